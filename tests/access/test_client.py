"""The participant's client against a real node over loopback HTTP."""

from __future__ import annotations

import asyncio
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwk

from fmar_node.client import CredentialError, FmarAuth, Profile, connect, new_key, public_part, thumbprint
from fmar_node.settings import Settings

from .conftest import ORGANISATION, LiveNode, Served
from .test_client_certificate import made


def _token_requests(live: LiveNode) -> int:
    return live.requests.count(("POST", "/oauth/token"))


def test_a_profile_comes_back_from_its_folder(profile: Profile, folder: Path) -> None:
    assert Profile.load(folder) == profile
    assert stat.S_IMODE((folder / "key.jwk").stat().st_mode) == 0o600
    assert profile.key["d"] not in f"{profile!r}{(folder / 'profile.json').read_text()}"
    assert profile.key_id == thumbprint(public_part(profile.key))


def test_a_key_that_others_may_read_is_refused(folder: Path) -> None:
    (folder / "key.jwk").chmod(0o644)

    with pytest.raises(PermissionError, match="chmod 600"):
        Profile.load(folder)


def test_saving_over_a_key_that_others_may_read_closes_it(profile: Profile, folder: Path) -> None:
    (folder / "key.jwk").chmod(0o644)

    profile.save(folder)

    assert Profile.load(folder) == profile


def test_a_profile_without_a_member_is_refused_by_name(folder: Path) -> None:
    (folder / "profile.json").write_text(json.dumps({"node": "http://127.0.0.1"}))

    with pytest.raises(ValueError, match="client_id"):
        Profile.load(folder)


@pytest.mark.parametrize("kind", ["ES256", "Ed25519", "PS256"])
def test_a_client_with_each_kind_of_key_reaches_the_node(live: LiveNode, profile: Profile, app_keys: dict[str, Any], kind: str) -> None:
    live.desk.directory.register("app-a", app_keys[kind])

    with connect(replace(profile, key=app_keys[kind])) as client:
        answer = client.get("/assets", params={"q": "a b"})

    assert answer.json()["organisation"] == ORGANISATION
    assert answer.json()["query"] == "q=a+b"


def test_one_token_serves_many_requests_each_with_its_own_proof(live: LiveNode, profile: Profile) -> None:
    with connect(profile) as client:
        answers = [client.request(method, "/a%20b/caf%C3%A9?x=%2F", content=b"{}") for method in ("PUT", "QUERY", "PATCH", "DELETE")]

    assert [answer.json()["organisation"] for answer in answers] == [ORGANISATION] * 4
    assert _token_requests(live) == 1


def test_threads_share_one_token(live: LiveNode, profile: Profile) -> None:
    with connect(profile) as client, ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda number: client.get(f"/assets/{number}"), range(60)))

    assert {answer.json()["organisation"] for answer in answers} == {ORGANISATION}
    assert _token_requests(live) == 1


def test_async_tasks_share_one_token(live: LiveNode, profile: Profile) -> None:
    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(auth=FmarAuth(profile), base_url=profile.node) as client:
            return await asyncio.gather(*(client.post("/assets", content=b"x") for _ in range(20)))

    answers = asyncio.run(ask())

    assert {answer.json()["organisation"] for answer in answers} == {ORGANISATION}
    assert _token_requests(live) == 1


def test_one_auth_serves_several_event_loops(live: LiveNode, profile: Profile) -> None:
    auth = FmarAuth(profile)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(auth=auth, base_url=profile.node) as client:
            return await client.get("/assets")

    assert [asyncio.run(ask()).status_code for _ in range(3)] == [200] * 3
    assert _token_requests(live) == 1


def test_a_token_is_renewed_before_it_ends(live: LiveNode, profile: Profile) -> None:
    times = [live.desk.clock.now().timestamp()]
    auth = FmarAuth(profile, now=lambda: times[0])
    with httpx.Client(auth=auth, base_url=profile.node) as client:
        assert client.get("/assets").status_code == 200
        auth._token = replace(auth._token, good_until=times[0])

        assert client.get("/assets").status_code == 200

    assert _token_requests(live) == 2


@pytest.mark.parametrize("is_async", [False, True])
def test_a_refused_token_is_renewed_once_and_the_request_repeated(live: LiveNode, profile: Profile, is_async: bool) -> None:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(auth=FmarAuth(profile), base_url=profile.node) as client:
            await client.get("/assets")
            live.forget_tokens = True
            return await client.post("/assets", content=b"once")

    if is_async:
        answer = asyncio.run(ask())
    else:
        with connect(profile) as client:
            client.get("/assets")
            live.forget_tokens = True
            answer = client.post("/assets", content=b"once")

    assert answer.json()["body"] == "once"
    assert live.requests.count(("POST", "/assets")) == 2
    assert _token_requests(live) == 2


def test_a_request_is_not_repeated_for_ever(live: LiveNode, profile: Profile) -> None:
    with connect(profile) as client:
        assert client.get("/assets").status_code == 200
        live.desk.directory.register("app-a", live.desk.key)
        live.desk.verifier._keys = type(live.desk.keys)(())
        live.desk.verifier._seen.clear()

        answer = client.get("/assets")

    assert answer.status_code == 401
    assert live.requests.count(("GET", "/assets")) == 3


def test_a_body_that_cannot_be_sent_again_is_sent_once(live: LiveNode, profile: Profile) -> None:
    with connect(profile) as client:
        client.get("/assets")
        live.forget_tokens = True

        answer = client.post("/assets", content=iter([b"a", b"b"]))
        again = client.post("/assets", content=iter([b"a", b"b"]))

    assert answer.status_code == 401
    assert again.json()["body"] == "ab"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_demanded_nonce_is_given(live: LiveNode, profile: Profile, is_async: bool) -> None:
    live.desk.settings = Settings(dpop_nonce=True)
    live.desk.restart()

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(auth=FmarAuth(profile), base_url=profile.node) as client:
            return [await client.get("/assets") for _ in range(3)]

    if is_async:
        answers = asyncio.run(ask())
    else:
        with connect(profile) as client:
            answers = [client.get("/assets") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert live.requests == [("POST", "/oauth/token")] * 2 + [("GET", "/assets")] * 3


def test_a_revoked_key_gets_no_token_and_a_reason(live: LiveNode, profile: Profile) -> None:
    live.desk.directory.revoke(live.desk.key)

    with connect(profile) as client, pytest.raises(CredentialError, match="revoked") as caught:
        client.get("/assets")

    assert caught.value.word == "invalid_client"
    assert isinstance(caught.value, httpx.HTTPError)


def test_an_unknown_key_gets_no_token_in_an_async_client_either(live: LiveNode, profile: Profile) -> None:
    async def ask() -> None:
        async with httpx.AsyncClient(auth=FmarAuth(replace(profile, key=new_key()))) as client:
            await client.get(f"{profile.node}/assets")

    with pytest.raises(CredentialError, match="not registered"):
        asyncio.run(ask())


def test_an_answer_that_is_no_token_is_an_error(live: LiveNode, profile: Profile) -> None:
    live.token_status = 503

    with connect(profile) as client, pytest.raises(CredentialError, match=r"\(503\)"):
        client.get("/assets")


def test_no_credential_goes_to_another_server(live: LiveNode, profile: Profile) -> None:
    other = Served()
    stranger = LiveNode(live.desk)
    other.start(stranger)
    with connect(profile) as client:
        client.get(f"{other.address}/assets")
    other.stop()

    assert stranger.requests == [("GET", "/assets")]
    assert not {b"authorization", b"dpop"} & {name for name, _ in stranger.headers[0]}
    assert live.requests == []


# certificates in a profile


@pytest.fixture
def certified(profile: Profile, tmp_path: Path) -> Profile:
    """A profile with the files of a certificate for its own key."""
    key = jwk.import_key(profile.key)
    (tmp_path / "tls.crt").write_bytes(x509.load_der_x509_certificate(made(profile.key)).public_bytes(Encoding.PEM))
    (tmp_path / "tls.key").touch(mode=0o600)
    (tmp_path / "tls.key").write_bytes(key.as_pem(private=True))
    return replace(profile, certificate=str(tmp_path / "tls.crt"), certificate_key=str(tmp_path / "tls.key"), binding="certificate")


def test_a_profile_with_a_certificate_comes_back_from_its_folder(certified: Profile, tmp_path: Path) -> None:
    certified.save(tmp_path / "own")

    assert Profile.load(tmp_path / "own") == certified


def test_the_files_of_a_profile_are_relative_to_its_folder(certified: Profile, tmp_path: Path) -> None:
    certified.save(tmp_path)
    said = json.loads((tmp_path / "profile.json").read_text()) | {"certificate": "tls.crt", "certificate_key": "tls.key"}
    (tmp_path / "profile.json").write_text(json.dumps(said))

    assert Profile.load(tmp_path) == certified


@pytest.mark.parametrize(("change", "says"), [
    ({"certificate": None}, "go together"), ({"certificate_key": None}, "go together"), ({"binding": "none"}, "other than"), ({"binding": 7}, "other than"),
    ({"certificate": None, "certificate_key": None}, "names no certificate"),
])  # fmt: skip
def test_a_profile_whose_certificate_and_binding_do_not_go_together_is_refused(certified: Profile, tmp_path: Path, change: dict[str, Any], says: str) -> None:
    certified.save(tmp_path)
    said = json.loads((tmp_path / "profile.json").read_text()) | change
    (tmp_path / "profile.json").write_text(json.dumps(said))

    with pytest.raises(ValueError, match=says):
        Profile.load(tmp_path)


def test_a_certificate_key_that_others_may_read_is_refused(certified: Profile, tmp_path: Path) -> None:
    certified.save(tmp_path)
    (tmp_path / "tls.key").chmod(0o640)

    with pytest.raises(PermissionError, match=r"chmod 600 .*tls\.key"):
        Profile.load(tmp_path)


def test_files_that_are_no_certificate_and_its_key_are_refused_by_name(certified: Profile, tmp_path: Path) -> None:
    (tmp_path / "locked.key").write_bytes(jwk.import_key(certified.key).as_pem(private=True, password="secret"))
    (tmp_path / "other.key").write_bytes(jwk.import_key(new_key()).as_pem(private=True))

    for name in ("locked.key", "other.key", "tls.crt", "none.key"):
        with pytest.raises(ValueError, match=name):
            connect(replace(certified, certificate_key=str(tmp_path / name)))


def test_with_the_binding_certificate_no_proof_is_made_and_no_token_without_that_binding_used(live: LiveNode, certified: Profile) -> None:
    with connect(certified) as client, pytest.raises(CredentialError, match="exactly one DPoP header"):
        client.get("/assets")

    assert [path for _, path in live.requests] == ["/oauth/token"]
    assert b"dpop" not in dict(live.headers[0])
