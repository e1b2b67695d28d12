"""TLS by certificate files: real certificates, real handshakes, renewal without a restart, and everything that is refused."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from fmar_node.certificate import read_certificate
from fmar_node.client import Profile, connect
from fmar_node.errors import Malformed
from fmar_node.settings import Settings
from tests.live import free_port
from tests.operation.secure import Authority, Secure

COMMAND = [sys.executable, "-m", "fmar_node.cli"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Secure]:
    with Secure(tmp_path_factory.mktemp("secure"), authority) as node:
        yield node


def handshake(node: Secure, **bounds: ssl.TLSVersion) -> tuple[int, str | None]:
    """The serial number of the certificate that is served, and the version agreed on."""
    context = ssl.create_default_context(cafile=str(node.authority.ca))
    for name, version in bounds.items():
        setattr(context, name, version)
    port = int(node.url.rsplit(":", 1)[1])
    with socket.create_connection(("localhost", port), timeout=5) as line, context.wrap_socket(line, server_hostname="localhost") as secured:
        return x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"").serial_number, secured.version()


def test_a_participant_works_over_tls_with_a_private_authority(secure: Secure) -> None:
    made = secure.register()

    index = int(made.headers["Fmar-Journal-Index"])
    assert made.headers["Location"].startswith("https://localhost:")
    assert secure.rows("fsp-a", "SELECT ?s WHERE { ?s ?p ?o } LIMIT 1", after=index) != []


def test_without_the_authority_nobody_is_believed(secure: Secure) -> None:
    told = secure.folder / "participants" / "fsp-a"
    profile = Profile.load(told)
    stranger = Profile(profile.node, profile.issuer, profile.token_endpoint, profile.client_id, profile.organisation, profile.key)

    began = time.monotonic()
    with connect(stranger, patience=60) as client, pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        client.get("/assets")
    assert time.monotonic() - began < 30  # asking again changes nothing


def test_ssl_cert_file_names_the_authority_too(secure: Secure, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = Profile.load(secure.folder / "participants" / "fsp-a")
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.authority.ca))

    with connect(Profile(profile.node, profile.issuer, profile.token_endpoint, profile.client_id, profile.organisation, profile.key)) as client:
        assert client.get("/assets?managed=me").status_code == 200


def test_the_agent_and_the_command_know_the_authority_of_the_profile(secure: Secure) -> None:
    who = ["--as", "fsp-a", "--data", str(secure.folder)]
    asked = subprocess.run([*COMMAND, "query", "ASK { ?s ?p ?o }", *who], capture_output=True, text=True, timeout=30, check=False)
    with subprocess.Popen([*COMMAND, "agent", *who, "--port", str(port := free_port())], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as agent:
        assert agent.stdout is not None and agent.stdout.readline()
        try:
            answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/assets?managed=me", timeout=10).status
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait(10)

    assert answer == 200
    assert asked.returncode == 0, asked.stderr


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(secure: Secure, version: ssl.TLSVersion) -> None:
    assert handshake(secure, minimum_version=version, maximum_version=version)[1] == version.name.replace("v1_", "v1.")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_nothing_older_is_spoken(secure: Secure) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(secure, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)


def until(met: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not met() and time.monotonic() < deadline:
        time.sleep(0.05)
    return met()


def test_a_renewed_certificate_is_served_without_a_restart(secure: Secure) -> None:
    before, pid = handshake(secure)[0], secure.process.pid

    fresh = secure.authority.issue(secure.folder, "localhost")
    os.kill(pid, signal.SIGHUP)

    assert until(lambda: handshake(secure)[0] == fresh) and before != fresh
    assert secure.process.poll() is None
    assert secure.client("fsp-a").get("/assets?managed=me").status_code == 200


@pytest.mark.parametrize("breaks", ["rubbish", "expired", "other host"])
def test_a_broken_renewal_is_logged_and_the_old_certificate_kept(secure: Secure, breaks: str) -> None:
    before, start = handshake(secure)[0], secure.log.stat().st_size

    if breaks == "rubbish":
        (secure.folder / "tls.crt").write_text("no certificate")
    else:
        secure.authority.issue(secure.folder, "localhost" if breaks == "expired" else "elsewhere.example", days=-1 if breaks == "expired" else 30)
    os.kill(secure.process.pid, signal.SIGHUP)

    assert until(lambda: b"the old one is kept" in secure.log.read_bytes()[start:])
    assert handshake(secure)[0] == before


def test_metrics_tell_when_the_certificate_ends(secure: Secure) -> None:
    text = httpx.get(f"{secure.url}/metrics", verify=secure.trust, trust_env=False).text

    ends = float(next(line for line in text.splitlines() if line.startswith("fmar_certificate_end_timestamp_seconds")).split()[1])
    assert 20 * 86_400 < ends - time.time() < 40 * 86_400


# -- refused at the start


SETTINGS = Settings(base_url="https://register.example.org", tls_certificate="tls.crt", tls_key="tls.key")


def refused(folder: Path, settings: Settings = SETTINGS) -> str:
    with pytest.raises(Malformed) as caught:
        read_certificate(settings, folder)
    return caught.value.detail


def test_a_certificate_that_fits_is_read(tmp_path: Path, authority: Authority) -> None:
    authority.issue(tmp_path, "*.example.org", "other.example")

    certificate = read_certificate(SETTINGS, tmp_path)

    assert certificate is not None and certificate.names == ("*.example.org", "other.example")


@pytest.mark.parametrize("name", ["elsewhere.example", "*.org", "example.org", "*.register.example.org"])
def test_a_certificate_for_another_host_is_refused(tmp_path: Path, authority: Authority, name: str) -> None:
    authority.issue(tmp_path, name)

    assert f"is for {name} and not for register.example.org" in refused(tmp_path)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path, authority: Authority) -> None:
    authority.issue(tmp_path, "register.example.org")
    (tmp_path / "tls.key").chmod(0o640)

    assert "run: chmod 600" in refused(tmp_path)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path, authority: Authority) -> None:
    authority.issue(tmp_path, "register.example.org")
    first = (tmp_path / "tls.crt").read_bytes()
    authority.issue(tmp_path, "register.example.org", key=ec.generate_private_key(ec.SECP256R1()))
    (tmp_path / "tls.crt").write_bytes(first)

    assert "is not the one that the certificate was issued for" in refused(tmp_path)


def test_a_missing_file_a_lone_setting_and_a_plain_base_url_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path)
    assert "go together" in refused(tmp_path, SETTINGS.model_copy(update={"tls_key": ""}))
    assert "https base URL" in refused(tmp_path, SETTINGS.model_copy(update={"base_url": "http://register.example.org"}))


def test_the_command_says_what_is_wrong_and_starts_nothing(secure: Secure, tmp_path: Path) -> None:
    secure.authority.issue(tmp_path, "elsewhere.example")
    environment = {**os.environ, "FMAR_TLS_CERTIFICATE": str(tmp_path / "tls.crt"), "FMAR_TLS_KEY": str(tmp_path / "tls.key")}

    done = subprocess.run([*COMMAND, "serve", "--data", str(secure.folder)], env=environment, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 1 and "is for elsewhere.example and not for localhost" in done.stderr
    assert "Traceback" not in done.stderr
