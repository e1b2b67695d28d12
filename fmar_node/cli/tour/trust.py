"""Steps 10 and 11: acting on behalf of another, and keys that come and go.

Rules kept here: what a step grants or registers it takes back at its end, so that the register can be visited again.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack
from datetime import date, timedelta
from typing import Any

import httpx

from fmar_node.cli.tour.credential import claims_of, token_of
from fmar_node.cli.tour.narrator import flowing
from fmar_node.cli.tour.visit import KEPT_ALIVE, LD_JSON, PATIENCE, Visit, expect, expect_that, speaking
from fmar_node.client import CredentialError, Profile, connect, new_key, public_part, thumbprint

GRANTED = ("READ", "REGISTER")
WATCHERS = 4
NOTICED = 1.0
"""Seconds within which a revocation has to be noticed."""


def delegate(visit: Visit) -> str:
    """fsp-a lets the platform register for it, and changes its mind (UC-05.04)."""
    visit.narrator.remark("fsp-a offers the platform to read and register assets for it, until a day in a year:")
    offer = _offer(visit)
    with connect(visit.profiles["platform"].acting_for(visit.profiles["fsp-a"].organisation), limits=KEPT_ALIVE) as client:
        visit.narrator.remark("Until it is accepted it gives nothing: there is no token that names both.")
        visit.narrator.output(_no_token(client))
        visit.call("platform", "POST", f"{offer}/acceptance", 200, keep=("delegationStatus",))
        made = _register(visit, client)
        visit.narrator.remark("What was granted is not granted on:")
        refused = client.post("/delegations", json=_document(visit, "installer"), headers={"Content-Type": LD_JSON})
        _tell(visit, refused, 403)
        expect("the policy", "DELEGATION-SCOPE-1", refused.json()["errors"][0]["code"])
        _show_both(visit, made)
        visit.narrator.remark("fsp-a takes it back. The platform still holds a token that has seconds to live:")
        visit.call("fsp-a", "POST", f"{offer}/revocation", 200, keep=("delegationStatus",))
        began = time.monotonic()
        visit.narrator.output(f"{_no_token(client)}\n(noticed after {1000 * (time.monotonic() - began):.0f} ms)")
        expect_that(time.monotonic() - began < NOTICED, "the revocation is noticed within a second")
    visit.call("fsp-a", "POST", f"{made.headers['Location']}/deregistration", 200, document={"deregistrationReason": "ERROR"}, keep=("registrationStatus",))
    return "A platform acts under its own name, within what was granted, for as long as it is granted; the journal names both."


def _document(visit: Visit, delegate_name: str) -> dict[str, Any]:
    until = (date.fromtimestamp(time.time()) + timedelta(days=365)).isoformat()  # noqa: DTZ012
    return {
        "type": "Delegation", "delegate": visit.profiles[delegate_name].organisation, "permission": list(GRANTED),
        "assetScope": "ALL_ASSETS", "validTo": until,
    }  # fmt: skip


def _offer(visit: Visit) -> str:
    document = _document(visit, "platform")
    made = visit.call("fsp-a", "POST", "/delegations", 201, document=document, show=tuple(document), keep=("delegationStatus",))
    return made.headers["Location"].removeprefix(visit.base_url)


def _no_token(client: httpx.Client) -> str:
    try:
        client.get("/assets?limit=1")
    except CredentialError as error:
        expect_that("no delegation" in str(error), "the reason has to do with a delegation")
        return str(error)
    expect_that(False, "there is no token for who was granted nothing")
    return ""


def _register(visit: Visit, client: httpx.Client) -> httpx.Response:
    visit.narrator.remark("Now there is one. It says for whom, and who:")
    asked = client.get("/assets?managed=me&limit=1")
    expect("the status", 200, asked.status_code)
    said = claims_of(token_of(asked.request))
    visit.narrator.code(flowing({name: said[name] for name in ("sub", "act", "client_id", "exp")}), "json")
    document = visit.document("battery")
    document |= {"assetName": "Green Park battery 2", "serialNumber": f"{document['serialNumber']}-P", "friendlyCode": f"{document['friendlyCode']}-P"}
    document |= {term: visit.meter_point(document[term][:2], place) for term, place in (("importMPAN", 8), ("exportMPAN", 9))}
    made = client.post("/assets", json=document, headers={"Content-Type": LD_JSON})
    visit.narrator.request(made.request, f"{speaking('platform')} on behalf of fsp-a", flowing(document, ("assetName", "ratedCapacity")))
    visit.narrator.answer(made, ("managedBy", "registrationStatus"))
    expect("the status", 201, made.status_code)
    expect("who manages it", visit.profiles["fsp-a"].organisation, made.json()["managedBy"])
    visit.newest = int(made.headers["Fmar-Journal-Index"])
    return made


def _show_both(visit: Visit, made: httpx.Response) -> None:
    visit.narrator.remark("The history of the asset names both, for the one whose asset it is:")
    line, *_ = visit.call("fsp-a", "GET", made.headers["Location"].removeprefix(visit.base_url) + "/history", 200).json()["items"]
    visit.narrator.code(flowing(line["by"]), "json")
    expect("the actor", visit.profiles["platform"].organisation.rsplit("/", 1)[-1], line["by"]["actor"])


def _tell(visit: Visit, answer: httpx.Response, status: int) -> None:
    visit.narrator.request(answer.request, f"{speaking('platform')} on behalf of fsp-a")
    visit.narrator.answer(answer, ("code", "detail"))
    expect("the status", status, answer.status_code)


def rotate(visit: Visit) -> str:
    """An application of fsp-b changes its key while it works, and loses the old one."""
    name, first, second = f"fsp-b-fleet-{visit.mark}", new_key(), new_key()
    visit.narrator.remark(f"fsp-b registers an application of its own, {name}, and lets {WATCHERS} clients of it work without pause.")
    _add_key(visit, name, first)
    old, fresh = (_profile(visit, name, key) for key in (first, second))
    with Watch(old) as watch:
        visit.narrator.remark("A second key is added, the clients move to it one by one, and the first is revoked:")
        _add_key(visit, name, second)
        watch.move(fresh)
        _revoke(visit, name, thumbprint(first))
        watch.let_work()
    visit.narrator.output(f"{watch.count} requests during the rotation, {len(watch.failed)} failed")
    expect("the requests that failed", [], watch.failed)
    with connect(old, patience=0) as client:
        began = time.monotonic()
        try:
            client.get("/assets?limit=1")
        except CredentialError as error:
            visit.narrator.remark("Whoever has kept the first key, or a copy of it:")
            visit.narrator.output(f"{error}\n(after {1000 * (time.monotonic() - began):.0f} ms)")
        else:
            expect_that(False, "the revoked key gets no token")
    visit.narrator.remark("The application has done its work; all that is left of its keys is revoked.")
    _revoke(visit, name)
    return "Keys change under load without a failed request, and what is revoked is refused at the next one."


class Watch:
    """Clients that ask without pause until the block ends; whatever fails is kept."""

    def __init__(self, profile: Profile) -> None:
        self.profiles = [profile] * WATCHERS
        self.failed: list[str] = []
        self.count, self.is_over = 0, False
        self.threads = [threading.Thread(target=self._ask, args=(place,)) for place in range(WATCHERS)]

    def __enter__(self) -> Watch:
        for thread in self.threads:
            thread.start()
        self.let_work()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over = True
        for thread in self.threads:
            thread.join()

    def move(self, profile: Profile) -> None:
        """One client after the other goes on with another key, and has by the end."""
        for place in range(WATCHERS):
            self.profiles[place] = profile
            self.let_work()

    def let_work(self) -> None:
        """Waits until every client has asked twice more, or one has failed."""
        until, deadline = self.count + 2 * WATCHERS, time.monotonic() + PATIENCE
        while self.count < until and not self.failed and time.monotonic() < deadline:
            time.sleep(0.01)

    def _ask(self, place: int) -> None:
        with ExitStack() as stack:
            clients = {id(profile): stack.enter_context(connect(profile, patience=0, limits=KEPT_ALIVE)) for profile in self.profiles}
            while not self.is_over:
                profile = self.profiles[place]
                if id(profile) not in clients:
                    clients[id(profile)] = stack.enter_context(connect(profile, patience=0, limits=KEPT_ALIVE))
                self._once(clients[id(profile)])

    def _once(self, client: httpx.Client) -> None:
        self.count += 1
        try:
            answer = client.get("/assets?limit=1")
            if not answer.is_success:
                self.failed.append(f"{answer.status_code} {answer.text[:200]}")
        except httpx.HTTPError as error:
            self.failed.append(str(error))


def _profile(visit: Visit, name: str, key: dict[str, Any]) -> Profile:
    known = visit.profiles["fsp-b"]
    return Profile(known.node, known.issuer, known.token_endpoint, name, known.organisation, key, known.ca)


def _add_key(visit: Visit, name: str, key: dict[str, Any]) -> None:
    path = visit.profiles["fsp-b"].organisation.removeprefix(visit.base_url) + "/key-registration"
    note = {"clientId": name, "publicKey": json.dumps(public_part(key))}
    visit.call("fsp-b", "POST", path, 200, document=note, show=("clientId",))


def _revoke(visit: Visit, name: str, key_id: str = "") -> None:
    path = visit.profiles["fsp-b"].organisation.removeprefix(visit.base_url) + "/key-revocation"
    note = {"clientId": name, **({"keyId": key_id} if key_id else {})}
    visit.call("fsp-b", "POST", path, 200, document=note, show=tuple(note))
