"""Step 12: a person signs in at an identity provider, and works with the rights of its organisation and its role.

Rules kept here: the browser is a script that does what a browser does (redirects, cookies, Origin); who was invited is
deactivated at the end, so that the register can be visited again.
"""

from __future__ import annotations

import json
from urllib.parse import urlencode

import httpx

from fmar_node.cli.tour.visit import KEPT_ALIVE, LD_JSON, Visit, expect, expect_that

PROVIDER = "demo"
ADA = {"sub": "ada-1", "name": "Ada Holt", "email": "ada.holt@fsp-a.example.com"}
BOB = {"sub": "bob-2", "name": "Bob Fenn", "email": "bob.fenn@fsp-a.example.com"}
PEOPLE = (ADA, BOB)
"""Who the demo's identity provider knows."""


def sign_in(visit: Visit) -> str:
    """Ada is invited, signs in, reads, is kept from writing, and is out when she leaves (UC-01.01, UC-01.04)."""
    visit.narrator.remark("fsp-a invites Ada, who is to read and nothing else:")
    invitation = {"type": "User", "userEmail": ADA["email"], "userName": ADA["name"], "userRole": "READER"}
    made = visit.call("fsp-a", "POST", "/users", 201, document=invitation, show=("userEmail", "userRole"), keep=("userStatus", "inviteEnds"))
    user = made.headers["Location"].removeprefix(visit.base_url)
    with httpx.Client(base_url=visit.base_url, trust_env=False, limits=KEPT_ALIVE) as browser:
        visit.narrator.remark("Bob, whom the provider knows as well, was not invited:")
        expect("what becomes of Bob", 403, _through_the_provider(visit, browser, BOB).status_code)
        visit.narrator.remark("Ada:")
        expect("what becomes of Ada", 303, _through_the_provider(visit, browser, ADA).status_code)
        session = browser.get("/session", headers={"Accept": "application/json"})
        visit.narrator.request(session.request, "with Ada's cookie")
        visit.narrator.answer(session, ("user", "organisation", "role"))
        expect("the status", 200, session.status_code)
        _work(visit, browser)
        visit.narrator.remark("Ada leaves fsp-a. Her session, open in her browser, has ended:")
        visit.call("fsp-a", "POST", f"{user}/deactivation", 200, keep=("userStatus",))
        after = browser.get("/session", headers={"Accept": "application/json"})
        visit.narrator.request(after.request, "with Ada's cookie")
        visit.narrator.answer(after, ("code", "detail"))
        expect("the status", 401, after.status_code)
    return "People prove who they are where they always do; what they may do here is their organisation's to say, and to take back."


def _through_the_provider(visit: Visit, browser: httpx.Client, person: dict[str, str]) -> httpx.Response:
    """The way of a browser: to the node, to the provider, and back with a code."""
    begun = browser.get("/signin", params={"provider": PROVIDER})
    expect_that(begun.is_redirect, "the node sends the browser to the provider")
    chosen = browser.get(f"{begun.headers['Location']}&{urlencode({'login_hint': person['sub']})}")
    expect_that(chosen.is_redirect, "the provider sends the browser back")
    done = browser.get(chosen.headers["Location"], headers={"Accept": "application/json"})
    way = ("GET /signin", begun.headers["Location"].split("?")[0], chosen.headers["Location"].split("?")[0])
    visit.narrator.output("\n".join((" -> ".join(way[:2]), f"  -> {way[2]}?code=...&state=... -> {done.status_code}", *_reason(done))))
    return done


def _reason(answer: httpx.Response) -> list[str]:
    return [answer.json()["detail"]] if answer.is_client_error else []


def _work(visit: Visit, browser: httpx.Client) -> None:
    listed = browser.get("/assets?managed=me&limit=1").json()["items"]
    visit.narrator.remark(f"She sees what fsp-a sees, such as {listed[0]['assetName']}. She may not register anything:")
    document = json.dumps(visit.document("battery"))
    refused = browser.post("/assets", content=document, headers={"Content-Type": LD_JSON, "Origin": visit.base_url})
    visit.narrator.request(refused.request, "with Ada's cookie")
    visit.narrator.answer(refused, ("code", "detail"))
    expect("the policy", "USER-ROLE-1", refused.json()["errors"][0]["code"])
    foreign = browser.post("/assets", content=document, headers={"Content-Type": LD_JSON, "Origin": "https://elsewhere.example"})
    visit.narrator.remark("And a page of another site cannot use her session at all:")
    visit.narrator.request(foreign.request, "from https://elsewhere.example")
    visit.narrator.answer(foreign, ("code",))
    expect("the problem", "cross-site-request", foreign.json()["code"])


def settings_for(issuer: str) -> str:
    """The node's setting for the demo's provider."""
    return json.dumps([{"name": PROVIDER, "issuer": issuer, "client_id": "fmar-demo"}])
