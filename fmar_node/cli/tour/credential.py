"""Step 6: credentials that do not hold. Each attempt is made with real keys, and refused with a reason.

Rules kept here: nothing is signed with the node's key; a genuine token is altered, aged, sent twice, or carried
by somebody else. A thief's client is an ordinary one that was handed a token that it did not ask for.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx

from fmar_node.cli.tour.narrator import flowing
from fmar_node.cli.tour.visit import ANYBODY, Visit, expect, expect_that
from fmar_node.client import FmarAuth, Profile

PATH = "/assets?managed=me&limit=1"


def defend(visit: Visit) -> str:
    """Forged, expired, replayed, stolen: four ways to fail."""
    visit.narrator.remark("A genuine request of fsp-a, to begin with. Its token says:")
    genuine = visit.client("fsp-a").get(PATH)
    token = token_of(genuine.request)
    visit.narrator.code(flowing(claims_of(token)), "json")
    visit.narrator.request(genuine.request, "as fsp-a", secrets=True)
    visit.narrator.answer(genuine, headers=())
    expect("the status of a genuine request", 200, genuine.status_code)
    _forge(visit, token)
    _let_expire(visit)
    visit.narrator.remark("Replayed: the genuine request once more, letter by letter, as somebody would who has recorded it.")
    _refused(visit, recorded(visit, genuine.request), "recorded, and sent again", "invalid_dpop_proof", "used before")
    _steal(visit)
    return "Four refusals, each with its reason. A token is worth nothing without its key, nor a request after its time."


def _forge(visit: Visit, token: str) -> None:
    subject = {"sub": visit.profiles["operator"].organisation}
    visit.narrator.remark("Forged: the same token, but its subject is now the operator, under the old signature:")
    visit.narrator.code(flowing(subject), "json")
    request = signed(visit, visit.profiles["fsp-a"], forge(token, subject))
    _refused(visit, request, "with the forged token", "invalid_token", "signature")


def _let_expire(visit: Visit) -> None:
    left = claims_of(visit.early_token)["exp"] + 1 - time.time()
    if left > 0:
        visit.narrator.remark(f"(the token from the start of the demo has {left:.0f} seconds to live; waiting for its end)")
        time.sleep(left)
    age = time.time() - claims_of(visit.early_token)["iat"]
    visit.narrator.remark(f"Expired: a token from the start of the demo, {age:.0f} seconds old, with a fresh proof.")
    request = signed(visit, visit.profiles["fsp-a"], visit.early_token)
    _refused(visit, request, "with the old token", "invalid_token", "expired")


def _steal(visit: Visit) -> None:
    token, thief = token_of(visit.client("fsp-a").get(PATH).request), visit.profiles["fsp-b"]
    visit.narrator.remark("Stolen: a valid token of fsp-a, presented by fsp-b, which signs the proof with the only key that it has.")
    visit.narrator.output(f"the token is bound to the key  {claims_of(token)['cnf']['jkt']}\nthe proof is signed by the key {thief.key_id}")
    _refused(visit, signed(visit, thief, token), "with a token of fsp-a", "invalid_token", "another key")


def _refused(visit: Visit, request: httpx.Request, note: str, word: str, reason: str) -> None:
    answer = visit.client(ANYBODY).send(request)
    visit.narrator.request(request, note, secrets=True)
    visit.narrator.answer(answer, keep=("code",))
    expect("the status", 401, answer.status_code)
    expect_that(f'error="{word}"' in answer.headers["WWW-Authenticate"], f"WWW-Authenticate gives the error {word}")
    expect_that(reason in answer.json()["detail"], f"the reason has to do with {reason!r}")


def signed(visit: Visit, bearer: Profile, token: str) -> httpx.Request:
    """A request with `token` and a proof by the key of `bearer`: its client is told that the token is its own."""
    flow = FmarAuth(bearer).sync_auth_flow(visit.client(ANYBODY).build_request("GET", PATH))
    handed = {"access_token": token, "token_type": "DPoP", "expires_in": 300}
    return flow.send(httpx.Response(200, json=handed, request=next(flow)))


def recorded(visit: Visit, genuine: httpx.Request) -> httpx.Request:
    """A request with the credential of another one, as it was sent."""
    credential = {name: genuine.headers[name] for name in ("Authorization", "DPoP")}
    return visit.client(ANYBODY).build_request("GET", PATH, headers=credential)


def token_of(request: httpx.Request) -> str:
    """The access token that a request carried."""
    return request.headers["Authorization"].removeprefix("DPoP ")


def claims_of(token: str) -> dict[str, Any]:
    """What a token says, unverified."""
    claims: dict[str, Any] = json.loads(_decoded(token.split(".")[1]))
    return claims


def forge(token: str, changes: Mapping[str, Any]) -> str:
    """The token with other claims under its old signature."""
    header, _, signature = token.split(".")
    payload = json.dumps({**claims_of(token), **changes}, separators=(",", ":")).encode()
    return f"{header}.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.{signature}"


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

