"""Fetching from others: where a URL may lead and where not (B2: server-side request forgery), counted on a real server."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fmar_node.access.fetch import FetchError, _trusted, checked, fetch, may_ask
from tests.issuing import Elsewhere


@pytest.fixture(scope="module")
def server() -> Iterator[Elsewhere]:
    with Elsewhere() as place:
        place.publish("/keys", "found")
        yield place


def got(url: str, **options: Any) -> bytes:
    return asyncio.run(fetch(url, **{"most": 1_000, "seconds": 5.0, "may_be_private": True, **options}))


def refusal(url: str, **options: Any) -> str:
    with pytest.raises(FetchError) as caught:
        got(url, **options)
    return str(caught.value)


def test_what_is_published_is_fetched(server: Elsewhere) -> None:
    assert got(f"{server.url}/keys", accept="application/jwk-set+json") == b"found"

    sent = server.headers[-1]
    assert sent["Host"] == server.url.removeprefix("http://")
    assert (sent["Accept"], sent["Accept-Encoding"]) == ("application/jwk-set+json", "identity")
    assert not {"Authorization", "Cookie"} & sent.keys()


@pytest.mark.parametrize("url", [
    "http://example.org/keys", "http://10.0.0.1/", "ftp://example.org/", "file:///etc/passwd", "//example.org/", "/keys", "", "https://", "x",
    "https://user@example.org/", "https://user:secret@example.org/", "https://example.org/#x", "https://example.org\\@127.0.0.1/", "https://[::1",
    "https://example.org:99999/", "http://localhost.example.org/", "http://127.0.0.1.example.org/", "gopher://127.0.0.1/", "https://exa mple.org/\r\nX: y", "https://xn--.example/",
])  # fmt: skip
def test_b2_another_kind_of_url_is_refused_before_anything_is_looked_up(url: str) -> None:
    with pytest.raises(FetchError):
        checked(url)


def test_b2_a_user_in_the_url_of_this_machine_is_refused(server: Elsewhere) -> None:
    before = server.connections

    assert "user" in refusal(server.url.replace("http://", "http://user@") + "/keys")
    assert server.connections == before


PRIVATE = [
    "127.0.0.1", "127.8.9.10", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.1", "198.18.0.1", "192.0.2.1", "240.0.0.1", "255.255.255.255",
    "::1", "fc00::1", "fd00:ec2::254", "fec0::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1",
    "2002:7f00:1::", "2001:0:7f00:1::", "::7f00:1", "64:ff9b:1::1", "100::1",
]  # fmt: skip
NEVER = ["0.0.0.0", "::", "169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fe80::1", "fe80::1%1", "224.0.0.1", "ff02::1"]
PUBLIC = ["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::1111"]


@pytest.mark.parametrize("address", PRIVATE)
def test_b2_a_private_address_is_asked_where_the_operator_has_chosen_the_url_alone(address: str) -> None:
    assert not may_ask(ipaddress.ip_address(address), may_be_private=False)
    assert may_ask(ipaddress.ip_address(address), may_be_private=True)


@pytest.mark.parametrize("address", NEVER)
def test_b2_some_addresses_are_never_asked(address: str) -> None:
    assert not may_ask(ipaddress.ip_address(address), may_be_private=False)
    assert not may_ask(ipaddress.ip_address(address), may_be_private=True)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_asked(address: str) -> None:
    assert may_ask(ipaddress.ip_address(address), may_be_private=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_b2_this_machine_under_any_name_is_not_asked_for_a_participant(server: Elsewhere, host: str) -> None:
    before, port = server.connections, server.url.rsplit(":", 1)[1]

    refusal(f"https://{host}:{port}/keys", may_be_private=False)
    refusal(f"http://{host}:{port}/keys", may_be_private=False)

    assert server.connections == before


class Names:
    """What a name stands for, each time that it is looked up."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.asked = list(answers), 0

    async def __call__(self, _: object, host: str, port: int, **__: Any) -> list[Any]:
        self.asked += 1
        named = self.answers.pop(0) if self.answers else []
        return [(0, 0, 0, "", (address, port)) for address in named]


def test_b2_a_name_with_one_address_that_may_not_be_asked_is_refused(server: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    """B2: mixed answers of the name service."""
    before = server.connections
    for named in (["127.0.0.1", "8.8.8.8"], ["8.8.8.8", "127.0.0.1"], ["2606:4700::1111", "::ffff:127.0.0.1"]):
        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", _bound(Names(named)))
        assert "not asked from here" in refusal("https://rebind.example/keys", may_be_private=False)
    assert server.connections == before


def test_b2_a_name_is_looked_up_once_and_what_was_judged_is_connected_to(server: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", _bound(names))

    assert got(server.url.replace("127.0.0.1", "localhost") + "/keys") == b"found"

    assert names.asked == 1
    assert server.headers[-1]["Host"].startswith("localhost:")


def test_b2_http_goes_to_this_machine_alone_whatever_its_name_stands_for(server: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", _bound(Names(["10.0.0.1"])))

    assert "not asked from here" in refusal("http://localhost/keys")


def _bound(names: Names) -> Any:
    async def getaddrinfo(loop: object, host: str, port: int, **options: Any) -> list[Any]:
        return await names(loop, host, port, **options)

    return getaddrinfo


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_b2_a_redirect_is_not_followed(server: Elsewhere, status: int) -> None:
    """B2: what must be fetched is fetched from where it was said, and from nowhere else."""
    server.publish("/moved", "", status, Location=f"{server.url}/keys")
    before = server.asked["/keys"]

    assert f"{status}, and redirects are not followed" in refusal(f"{server.url}/moved")
    assert server.asked["/keys"] == before


@pytest.mark.parametrize("status", [201, 204, 400, 404, 500])
def test_an_answer_that_is_not_200_is_none(server: Elsewhere, status: int) -> None:
    server.publish("/other", b"", status)

    assert str(status) in refusal(f"{server.url}/other")


def test_an_answer_is_read_to_its_limit_and_no_further(server: Elsewhere) -> None:
    server.publish("/large", b"x" * 1_001)

    assert got(f"{server.url}/large", most=1_001) == b"x" * 1_001
    assert "more than 1000 bytes" in refusal(f"{server.url}/large")


def test_a_compressed_answer_is_refused(server: Elsewhere) -> None:
    server.publish("/squeezed", b"x", Content_Encoding="gzip")

    assert "compressed" in refusal(f"{server.url}/squeezed")


def test_an_answer_that_does_not_come_in_time_is_none(server: Elsewhere) -> None:
    server.seconds, began = 1.0, time.perf_counter()
    try:
        assert "within 0.1 seconds" in refusal(f"{server.url}/keys", seconds=0.1)
    finally:
        server.seconds = 0.0
    assert time.perf_counter() - began < 0.9


def test_an_answer_that_trickles_is_given_up() -> None:
    """Every byte in time, the whole never."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_trickle, args=(listener,), daemon=True).start()

        assert "within 0.3 seconds" in refusal(f"http://127.0.0.1:{listener.getsockname()[1]}/", seconds=0.3)


def _trickle(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(10_000)
        try:
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1_000:
                connection.sendall(bytes([byte]))
                time.sleep(0.005)
        except OSError:
            return


def test_nobody_there_is_said(server: Elsewhere) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    assert "nobody answers" in refusal(f"http://127.0.0.1:{port}/")
    assert "no address" in refusal("https://nowhere.invalid/")


def test_no_proxy_of_the_surroundings_is_used(server: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert got(f"{server.url}/keys") == b"found"


class Tls:
    """An https server for the name `keys.example`, by an authority of its own."""

    def __init__(self, folder: Path) -> None:
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "keys.example")])
        made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(hours=1), now + timedelta(hours=1))
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("keys.example")]), False)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        self.file = folder / "server.pem"
        secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.file.write_bytes(secret + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.asked = self.listener.getsockname()[1], list[bytes]()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.file)
        while True:
            try:
                plain, _ = self.listener.accept()
                with context.wrap_socket(plain, server_side=True) as connection:
                    self.asked.append(connection.recv(10_000))
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            except OSError as error:
                if self.listener.fileno() < 0:
                    return
                assert error


def test_the_certificate_is_checked_for_the_name_and_not_for_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Tls(tmp_path)

    def asked(name: str, authority: str) -> str:
        monkeypatch.setenv("SSL_CERT_FILE", authority)
        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", _bound(Names(["127.0.0.1"])))
        _trusted.cache_clear()
        try:
            return got(f"https://{name}:{server.port}/keys").decode()
        except FetchError as error:
            return str(error)

    right, other = asked("keys.example", str(server.file)), asked("other.example", str(server.file))
    monkeypatch.delenv("SSL_CERT_FILE")
    unknown = asked("keys.example", certifi.where())
    _trusted.cache_clear()
    server.listener.close()

    assert right == "ok"
    assert b"Host: keys.example:" in server.asked[0]
    assert "CERTIFICATE_VERIFY_FAILED" in other
    assert "CERTIFICATE_VERIFY_FAILED" in unknown
    assert len(server.asked) == 1
