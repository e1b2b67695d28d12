"""Client certificates through nginx and Caddy as they are shipped, in front of one live node; rows A8 and A16 of the attack catalogue.

The proxies reach the node from 127.0.0.1, which is listed; who comes to it directly comes from 127.0.0.9, which is not. The
node's environment asks its HTTP server to believe every X-Forwarded-For, and must not be heard.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwk

from fmar_node.cli.agent import Agent
from fmar_node.cli.participate import onboard, rotate_key
from fmar_node.client import AsyncClient, Profile, client_options, connect, trusted
from tests.live import LD_JSON, free_port
from tests.market import organisation
from tests.operation.proxies import INSTALLED, Door, proxy
from tests.operation.secure import Authority, Secure

pytestmark = pytest.mark.skipif(not INSTALLED, reason="neither nginx nor Caddy is installed")
UNLISTED = "127.0.0.9"
REQUIRED = {"nginx": "ssl_verify_client      optional -> ssl_verify_client      on", "caddy": "verify_if_given -> require_and_verify"}


class Place:
    """The node, the proxies in front of it, and a certificate by the authority for each participant's registered key."""

    def __init__(self, node: Secure, doors: dict[str, Door], folder: Path) -> None:
        self.node, self.doors, self.folder = node, doors, folder
        self.guests: dict[tuple[Door, str, int], Guest] = {}

    def guest(self, door: Door, name: str = "", number: int = 1) -> Guest:
        """Somebody at a door, with the certificate of `name`, or with none."""
        if (door, name, number) not in self.guests:
            self.guests[door, name, number] = Guest(self, door, name, number)
        return self.guests[door, name, number]

    def certificate(self, name: str, number: int = 1) -> tuple[str, str]:
        """PEM files of the certificate and its key; another `number` is a renewed one."""
        folder = self.folder / f"{name}-{number}"
        if not folder.exists():
            folder.mkdir()
            self.node.authority.issue(folder, f"{name}.example", key=jwk.import_key(self.node.profiles[name].key).private_key)
        return str(folder / "tls.crt"), str(folder / "tls.key")

    def header(self, name: str, form: str = "caddy") -> str:
        """What a proxy makes of a participant's certificate, and what a forger sends."""
        pem = Path(self.certificate(name)[0]).read_bytes()
        if form == "nginx":
            return quote(pem, safe="")
        return f":{base64.b64encode(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)).decode()}:"

    def direct(self, address: str = UNLISTED) -> httpx.Client:
        """Who has found the node's own port."""
        return httpx.Client(base_url=f"http://127.0.0.1:{self.node.behind}", transport=httpx.HTTPTransport(local_address=address))


class Guest:
    """Who asks by hand, right or wrong."""

    def __init__(self, place: Place, door: Door, name: str, number: int) -> None:
        context = ssl.create_default_context(cafile=str(place.node.authority.ca))
        if name:
            context.load_cert_chain(*place.certificate(name, number))
        self.name, self.client = name, httpx.Client(base_url=door.url, verify=context, trust_env=False)

    def ask_token(self, client_id: str = "", **headers: str) -> httpx.Response:
        form = {"grant_type": "client_credentials", "client_id": client_id or self.name}
        return self.client.post("/oauth/token", data=form, headers=headers)

    def token(self) -> str:
        response = self.ask_token()
        assert (response.status_code, response.json().get("token_type")) == (200, "Bearer"), response.text
        return str(response.json()["access_token"])

    def get(self, path: str, token: str, **headers: str) -> httpx.Response:
        return self.client.get(path, headers={"Authorization": f"Bearer {token}", **headers})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    authority, port = Authority(tmp_path_factory.mktemp("authority")), free_port()
    node = Secure(tmp_path_factory.mktemp("behind"), authority, port, FMAR_TOKEN_REFUSALS="0", FMAR_TRUSTED_PROXIES="127.0.0.1", FORWARDED_ALLOW_IPS="*")
    node.participants = {"fsp-a": {"roles": ["FSP"]}, "fsp-b": {"roles": ["FSP"]}}
    first, *others = sorted(INSTALLED, reverse=True)
    with ExitStack() as stack:
        doors = {first: stack.enter_context(proxy(first, tmp_path_factory.mktemp(first), node.behind, authority, port))}
        doors |= {name: stack.enter_context(proxy(name, tmp_path_factory.mktemp(name), node.behind, authority)) for name in others}
        made = Place(stack.enter_context(node), doors, tmp_path_factory.mktemp("certificates"))
        yield made
        for guest in made.guests.values():
            guest.client.close()


@pytest.fixture(params=["nginx", "caddy"])
def door(place: Place, request: pytest.FixtureRequest) -> Door:
    if request.param not in place.doors:
        pytest.skip(f"{request.param} is not installed")
    return place.doors[request.param]


@pytest.fixture
def guest(place: Place, door: Door) -> Guest:
    return place.guest(door, "fsp-a")


def refused(response: httpx.Response) -> str:
    assert response.status_code == 401, response.text
    challenge = response.headers["WWW-Authenticate"]
    assert challenge.startswith('DPoP error="invalid_token"') and ', Bearer error="invalid_token"' in challenge
    return str(response.json()["detail"])


def profile_of(place: Place, door: Door, name: str, **more: Any) -> Profile:
    """That of a participant who uses this door, with its certificate; the profiles of `onboard` know the authority already."""
    files = dict(zip(("certificate", "certificate_key"), place.certificate(name), strict=True))
    return replace(place.node.profiles[name], node=door.url, token_endpoint=f"{door.url}/oauth/token", **{**files, **more})


# -- what is offered


def test_a_certificate_is_enough_to_get_a_token_to_write_and_to_read(place: Place, guest: Guest) -> None:
    token = guest.token()

    made = guest.client.post("/assets", json=place.node.battery(), headers={**LD_JSON, "Authorization": f"Bearer {token}"})
    read = guest.get(made.headers["Location"].removeprefix(place.node.url), token)

    assert (made.status_code, read.status_code) == (201, 200), made.text
    assert read.json()["assetName"] == made.json()["assetName"]


def test_who_has_no_certificate_reads_what_is_public(place: Place, door: Door) -> None:
    assert place.guest(door).client.get("/organisations").status_code == 200
    assert place.guest(door, "fsp-a").client.get("/organisations").status_code == 200


def test_the_client_of_a_profile_works_with_either_binding(place: Place, door: Door) -> None:
    class Through(httpx.HTTPTransport):
        """The public address, served by this door: proofs name it."""

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            request.url = request.url.copy_with(port=door.port)
            return super().handle_request(request)

    certified = profile_of(place, door, "fsp-a", binding="certificate")
    proving = replace(certified, binding="dpop", node=place.node.url, token_endpoint=f"{place.node.url}/oauth/token")
    with connect(certified) as client, connect(proving, transport=Through(verify=trusted(proving))) as prover:
        made = [each.post("/assets", json=place.node.battery(), headers=LD_JSON) for each in (client, prover)]
        read = [each.get("/assets", params={"managed": "me"}) for each in (client, prover)]

    assert [each.status_code for each in (*made, *read)] == [201, 201, 200, 200]
    assert [each.request.headers["Authorization"].split()[0] for each in read] == ["Bearer", "DPoP"]
    assert "DPoP" not in read[0].request.headers and "DPoP" in read[1].request.headers
    assert len(read[0].json()["items"]) == len(read[1].json()["items"]) > 0


def test_a_batch_that_is_sent_slowly_is_answered_row_by_row(place: Place, door: Door) -> None:
    def rows() -> Iterator[bytes]:
        for _ in range(3):
            yield json.dumps(place.node.battery()).encode() + b"\n"
            time.sleep(0.05)

    with connect(profile_of(place, door, "fsp-b", binding="certificate")) as client:
        answer = client.post("/assets/batch", content=rows(), headers={"Content-Type": "application/x-ndjson"})

    assert [json.loads(line).get("outcome") for line in answer.text.splitlines()][:3] == ["created"] * 3


def test_the_agent_works_through_a_profile_that_is_bound_to_its_certificate(place: Place, door: Door) -> None:
    async def ask() -> httpx.Response:
        profile = profile_of(place, door, "fsp-a", binding="certificate")
        async with AsyncClient(**client_options(profile)) as client:
            agent = httpx.ASGITransport(Agent(profile, client, lambda: profile))
            async with httpx.AsyncClient(transport=agent, base_url="http://127.0.0.1:8090") as tool:
                return await tool.get("/assets", params={"managed": "me"})

    assert asyncio.run(ask()).status_code == 200


def test_a_rotated_key_leaves_authority_certificate_and_binding_in_the_profile(place: Place) -> None:
    """The certificate need not be for the registered key: it carries the tokens of any."""
    folder = place.node.folder / "participants" / "rotating"
    made = onboard(place.node.profiles["operator"], "rotating", organisation("Rotating", ["FSP"]), folder)
    certified = profile_of(place, next(iter(place.doors.values())), "fsp-a", binding="certificate")
    replace(made, certificate=certified.certificate, certificate_key=certified.certificate_key, binding="certificate").save(folder)
    before = Profile.load(folder)

    rotate_key(str(folder), None)

    after = Profile.load(folder)
    assert (replace(after, key=before.key), after.key != before.key) == (before, True)
    with connect(after) as client:
        assert client.get("/assets", params={"managed": "me"}).status_code == 200


def test_an_assertion_over_a_certificates_connection_gets_a_token_that_is_bound_to_it(place: Place, door: Door) -> None:
    """The certificate need not be for the registered key: fsp-a signs the assertion, the connection is fsp-b's."""
    certificate, key = place.certificate("fsp-b")
    with connect(profile_of(place, door, "fsp-a", binding="certificate", certificate=certificate, certificate_key=key)) as client:
        answer = client.get("/assets", params={"managed": "me"})
    token = answer.request.headers["Authorization"].split()[1]

    assert answer.status_code == 200
    assert "another client certificate" in refused(place.guest(door, "fsp-a").get("/assets", token))


def test_a_renewed_certificate_with_the_same_key_gets_a_new_token(place: Place, door: Door, guest: Guest) -> None:
    old, renewed = guest.token(), place.guest(door, "fsp-a", number=2)

    assert "another client certificate" in refused(renewed.get("/assets", old))
    assert renewed.get("/assets", renewed.token()).status_code == 200


def test_the_metadata_tell_of_certificates(place: Place, door: Door) -> None:
    client = place.guest(door).client

    server, resource = (client.get(f"/.well-known/oauth-{name}").json() for name in ("authorization-server", "protected-resource"))

    assert "self_signed_tls_client_auth" in server["token_endpoint_auth_methods_supported"]
    assert server["tls_client_certificate_bound_access_tokens"] is resource["tls_client_certificate_bound_access_tokens"] is True


def test_where_certificates_are_required_nobody_comes_in_without(place: Place, door: Door, tmp_path: Path) -> None:
    with proxy(door.name, tmp_path / "strict", place.node.behind, place.node.authority, change=REQUIRED[door.name]) as strict:
        assert place.guest(strict, "fsp-a").client.get("/organisations").status_code == 200

        try:
            answer = place.guest(strict).client.get("/organisations")
        except httpx.TransportError:
            return  # Caddy ends the connection, nginx says 400
        assert (answer.status_code, "application/problem+json" in answer.headers["Content-Type"]) == (400, False)


# -- what is attacked


def test_a8_a_stolen_token_is_refused_with_anothers_certificate_and_with_none(place: Place, door: Door, guest: Guest) -> None:
    token = guest.token()

    with_anothers = refused(place.guest(door, "fsp-b").get("/assets", token))
    with_none = refused(place.guest(door).get("/assets", token))

    assert "bound to another client certificate" in with_anothers
    assert "Bearer over a connection with the client certificate" in with_none
    assert guest.get("/assets", token).status_code == 200


def test_a8_another_clients_name_is_refused_and_so_is_an_unknown_one(place: Place, door: Door) -> None:
    for client_id in ("fsp-a", "operator", "nobody"):
        answer = place.guest(door, "fsp-b").ask_token(client_id)

        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("form", ["nginx", "caddy"])
@pytest.mark.parametrize("name", ["Client-Cert", "client-cert", "CLIENT-CERT"])
def test_a16_a_header_that_a_client_sends_through_a_proxy_is_stripped_or_overwritten(place: Place, door: Door, guest: Guest, form: str, name: str) -> None:
    token, spoof = guest.token(), {name: place.header("fsp-a", form), "Client-Cert-Chain": place.header("fsp-a")}

    for thief in (place.guest(door), place.guest(door, "fsp-b")):
        assert refused(thief.get("/assets", token, **spoof))
        assert thief.ask_token("fsp-a", **spoof).json()["error"] == "invalid_client"
    assert place.guest(door, "fsp-b").ask_token(**spoof).status_code == 200


def test_a16_two_headers_through_a_proxy_do_not_help_either(place: Place, door: Door, guest: Guest) -> None:
    token, value = guest.token(), place.header("fsp-a")
    spoof = [("Authorization", f"Bearer {token}"), ("Client-Cert", value), ("Client-Cert", value), ("Client_Cert", value)]

    assert refused(place.guest(door).client.get("/assets", headers=spoof))
    assert refused(place.guest(door, "fsp-b").client.get("/assets", headers=spoof))


FORWARDED = [{}, {"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-For": "127.0.0.1, 127.0.0.1", "X-Forwarded-Proto": "https"}, {"Forwarded": "for=127.0.0.1"}, {"X-Real-IP": "127.0.0.1"}]


@pytest.mark.parametrize("more", FORWARDED, ids=str)
def test_a16_a_header_that_is_sent_to_the_node_directly_is_ignored(place: Place, more: dict[str, str]) -> None:
    """Whatever else the request says of where it comes from."""
    token = place.guest(next(iter(place.doors.values())), "fsp-a").token()
    spoof = {"Client-Cert": place.header("fsp-a"), **more}
    form = {"grant_type": "client_credentials", "client_id": "fsp-a"}

    with place.direct() as thief:
        used, asked = thief.get("/assets", headers={"Authorization": f"Bearer {token}", **spoof}), thief.post("/oauth/token", data=form, headers=spoof)
        public = thief.get("/organisations", headers={"Client-Cert": "nonsense", **more})

    assert refused(used)
    assert (asked.status_code, asked.json()["error"], "private_key_jwt" in asked.json()["error_description"]) == (401, "invalid_client", True)
    assert public.status_code == 200


def test_from_a_listed_address_the_same_header_is_believed(place: Place) -> None:
    """What the tests above would see if the node took them for a proxy."""
    with place.direct("127.0.0.1") as proxied:
        answer = proxied.post("/oauth/token", data={"grant_type": "client_credentials", "client_id": "fsp-a"}, headers={"Client-Cert": place.header("fsp-a")})

    assert (answer.status_code, answer.json()["token_type"]) == (200, "Bearer")


@pytest.mark.parametrize("value", [b"nonsense", b":AAAA:", b":%:", b"%", b"\xff\xfe", b":" + b"A" * 20_000 + b":", b"-----BEGIN%20CERTIFICATE-----"])
def test_a_header_of_a_listed_proxy_that_is_no_certificate_is_refused_in_words(place: Place, value: bytes) -> None:
    token = place.guest(next(iter(place.doors.values())), "fsp-a").token()
    sent: Any = {"Client-Cert": value}

    with place.direct("127.0.0.1") as proxied:
        asked = proxied.post("/oauth/token", data={"grant_type": "client_credentials", "client_id": "fsp-a"}, headers=sent)
        used = proxied.get("/assets", headers={"Authorization": f"Bearer {token}", **sent})

    assert (asked.status_code, asked.json()["code"], asked.json()["error"]) == (401, "invalid-client-certificate", "invalid_client")
    assert (used.status_code, used.json()["code"], used.json()["error"]) == (401, "invalid-client-certificate", "invalid_token")
