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

from fmar_node.client import CredentialError, FmarAuth, Profile, connect, new_key, public_part, thumbprint
from fmar_node.settings import Settings

from .conftest import ORGANISATION, LiveNode, Served


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
