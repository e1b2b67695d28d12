"""Limits of one caller: rates by organisation, application and address, floods, query budgets, failed sign-ins, lookups."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from fmar_node.access.caller import Caller
from fmar_node.client import FmarAuth, Profile
from fmar_node.errors import TooMany
from fmar_node.settings import Settings
from fmar_node.web.limits import CODE, Account, Limits, address_of
from tests.live import Live

ITEM = re.compile(r'"(\w+)";r=(\d+);t=(\d+)')
SETTINGS = {
    "FMAR_ORGANISATION_REQUESTS": "60", "FMAR_APPLICATION_REQUESTS": "40", "FMAR_ANONYMOUS_REQUESTS": "60", "FMAR_RATE_SECONDS": "3",
    "FMAR_REFUSAL_SECONDS": "0.4", "FMAR_REFUSALS_WAITING": "20", "FMAR_TOKEN_REFUSALS": "6", "FMAR_PROBES_PER_HOUR": "5", "FMAR_LOOKUPS_PER_HOUR": "5",
    "FMAR_QUERY_BUDGET": "1.5",
}  # fmt: skip


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A node that takes little of anybody."""
    with Live(tmp_path_factory.mktemp("tight"), {name: {"roles": ["FSP"]} for name in ("fsp-a", "fsp-b", "fsp-c", "fsp-d", "fsp-e")}, **SETTINGS) as node:
        yield node


def left(response: httpx.Response) -> dict[str, int]:
    """What the headers say is left, by policy."""
    return {name: int(rest) for name, rest, _ in ITEM.findall(response.headers["RateLimit"])}


def at_once(live: Live, threads: int, count: int, path: str = "/codes", **headers: str) -> list[httpx.Response]:
    """The answers to so many anonymous requests, or with these headers, over so many connections."""
    with httpx.Client(base_url=live.url, limits=httpx.Limits(max_connections=threads)) as client, ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda _: client.get(path, headers=headers), range(count)))


def spent(live: Live, name: str) -> httpx.Response:
    """The first refusal of a participant that sends as fast as it can."""
    for _ in range(400):
        response = live.client(name).get("/organisations?limit=1")
        if response.status_code == 429:
            return response
    raise AssertionError("it was never refused")


# -- rates


def test_every_answer_tells_a_caller_what_it_has_left(tight: Live) -> None:
    client = tight.client("fsp-a")
    first, second = client.get("/organisations?limit=1"), client.get("/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11")

    assert first.headers["RateLimit-Policy"] == second.headers["RateLimit-Policy"] == '"organisation";q=60;w=3, "application";q=40;w=3'
    assert (first.status_code, second.status_code) == (200, 404)
    assert left(second)["application"] <= left(first)["application"] <= 39
    assert "RateLimit" not in tight.client().get("/organisations?limit=1").headers


def test_who_is_over_its_limit_is_told_when_to_come_again_and_others_are_not_touched(tight: Live) -> None:
    """C10: what an organisation asks in all is counted."""
    before = left(tight.client("fsp-b").get("/organisations?limit=1"))

    refused = spent(tight, "fsp-a")
    others = tight.client("fsp-b").get("/organisations?limit=1")

    problem = refused.json()
    assert (problem["code"], problem["violated-policies"], left(refused)["application"]) == (CODE, ["application"], 0)
    assert "application_requests" in problem["detail"] and int(refused.headers["Retry-After"]) >= 1
    assert others.status_code == 200 and left(others)["application"] >= before["application"] - 1
    time.sleep(int(refused.headers["Retry-After"]))
    assert tight.client("fsp-a").get("/organisations?limit=1").status_code == 200


def test_a_closed_loop_flooder_slows_itself_down(tight: Live) -> None:
    spent(tight, "fsp-a")
    client, started = tight.client("fsp-a"), time.perf_counter()

    refused: list[httpx.Response] = []
    for _ in range(200):  # while a late one is waited for, a few more are taken
        if (answer := client.get("/organisations?limit=1")).status_code == 429:
            refused.append(answer)
        if len(refused) > 8:
            break

    late = [answer for answer in refused if "RateLimit" not in answer.headers]
    assert len(refused) > 8
    assert time.perf_counter() - started > 0.25 * len(late)


def test_who_is_refused_without_a_proof_is_told_no_figures(tight: Live) -> None:
    """A token that was stolen, without its key, from an organisation that is over its limit."""
    time.sleep(0.6)  # something is left again of what other tests have used
    signer = FmarAuth(tight.profiles["fsp-a"])
    flow = signer.sync_auth_flow(httpx.Request("GET", f"{tight.url}/organisations?limit=1"))
    token_request = next(flow)
    signed = flow.send(httpx.post(token_request.url, content=token_request.content, headers=token_request.headers))
    flow.close()
    stolen = {"Authorization": signed.headers["Authorization"]}

    fresh = httpx.get(f"{tight.url}/organisations?limit=1", headers=stolen)
    assert httpx.get(f"{tight.url}/organisations?limit=1", headers=dict(signed.headers)).status_code == 200
    spent(tight, "fsp-a")
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: tight.client("fsp-a").get("/organisations?limit=1"), range(24)))
        answers = at_once(tight, 8, 8, "/organisations?limit=1", **stolen)

    assert fresh.status_code == 401
    assert {answer.status_code for answer in answers} <= {401, 429}
    assert not [answer for answer in answers if "RateLimit" in answer.headers or "violated-policies" in answer.json()]


def test_a_credential_that_does_not_hold_uses_up_nobodys_allowance_but_its_address(tight: Live) -> None:
    before = left(tight.client("fsp-c").get("/organisations?limit=1"))["organisation"]
    headers = {"Authorization": "DPoP eyJhbGciOiJFUzI1NiJ9.e30.AAAA", "DPoP": "x"}

    started = time.perf_counter()
    answers = at_once(tight, 10, 90, "/assets", **headers)
    taken = time.perf_counter() - started

    assert {answer.status_code for answer in answers} == {401}
    assert taken > 0.3, "none of them was answered late"
    assert left(tight.client("fsp-c").get("/organisations?limit=1"))["organisation"] >= before - 2


def test_anonymous_callers_are_limited_by_address_and_health_is_always_told(tight: Live) -> None:
    answers = at_once(tight, 10, 100)

    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and {answer.status_code for answer in answers} == {200, 429}
    assert refused[0].json()["violated-policies"] == ["address"] and refused[0].headers["Retry-After"]
    assert httpx.get(f"{tight.url}/healthz").status_code == httpx.get(f"{tight.url}/readyz").status_code == 200
    assert tight.client("fsp-b").get("/organisations?limit=1").status_code == 200


def test_so_many_refusals_wait_and_the_connections_of_others_are_closed(tight: Live) -> None:
    answers = at_once(tight, 40, 160)

    closed = [answer for answer in answers if answer.headers.get("Connection") == "close"]
    assert closed and {answer.status_code for answer in closed} == {429}


def test_a_flood_is_a_line_a_second_in_the_log(tight: Live) -> None:
    def lines() -> list[dict[str, Any]]:
        return [each for each in map(json.loads, tight.log.read_text().splitlines()) if each.get("refused") == CODE]

    time.sleep(1.2)
    before = len(lines())
    answers = at_once(tight, 19, 110)
    time.sleep(1.2)

    found = lines()[before:]
    refused = sum(answer.status_code == 429 for answer in answers)
    assert refused > 20 and len(found) < refused / 2
    assert sum(each.get("count", 1) for each in found) == refused


# -- sign-ins that fail


def ask_for_token(profile: Profile, client_id: str, **form: str) -> httpx.Response:
    """A token request under a client_id, with an assertion that its key did not make."""
    given = {
        "grant_type": "client_credentials", "client_id": client_id, "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.e30.AAAA",
    }  # fmt: skip
    return httpx.post(profile.token_endpoint, data={**given, **form})


def test_guesses_under_a_clients_name_are_throttled_and_the_client_itself_is_not(tight: Live) -> None:
    profile = tight.profiles["fsp-d"]

    answers = [ask_for_token(profile, "fsp-d") for _ in range(9)]
    spent(tight, "fsp-d")
    time.sleep(0.2)
    with httpx.Client(base_url=tight.url, auth=FmarAuth(profile)) as genuine:
        own = genuine.get("/organisations?limit=1")

    told = [(answer.status_code, answer.json()["error"]) for answer in answers]
    assert told[0] == (401, "invalid_client") and told[-1] == (429, "slow_down")
    assert answers[-1].headers["Retry-After"] and answers[-1].json()["code"] == CODE and answers[-1].headers["Cache-Control"] == "no-store"
    assert own.status_code == 200


def test_a_token_that_is_issued_counts_as_a_request_of_its_client(tight: Live) -> None:
    with httpx.Client(base_url=tight.url, auth=FmarAuth(tight.profiles["fsp-c"])) as client:
        assert left(client.get("/organisations?limit=1"))["organisation"] <= 58


# -- what is not the caller's


def test_lookups_that_find_nothing_are_counted_and_those_that_find_are_not_held_back(tight: Live) -> None:
    """C3: trying out identifiers ends."""
    def look(value: str) -> httpx.Response:
        return tight.client("fsp-b").post("/assets/lookup", json={"scheme": "SERIAL", "value": value})

    own = tight.register("fsp-b").json()["serialNumber"]
    hits = [look(own) for _ in range(8)]
    misses = [look(f"NONE-{number}") for number in range(7)]

    assert {answer.status_code for answer in hits} == {200}
    assert [answer.status_code for answer in misses] == [404] * 5 + [429] * 2
    assert "lookups_per_hour" in misses[-1].json()["detail"] and misses[-1].headers["Retry-After"]
    assert look(own).status_code == 200


# -- queries


def test_a_query_budget_that_is_spent_is_told_with_its_limit_and_its_end(tight: Live) -> None:
    """C10: and how long its queries may run in all."""
    heavy = f"SELECT (COUNT(*) AS ?n) {{ GRAPH <{tight.url}/codes> {{ ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }} }}"
    stopped = tight.client("fsp-e").get("/sparql", params={"query": heavy, "timeout": "1.2"})

    refused = tight.ask("fsp-e", "ASK {}")
    others = tight.ask("fsp-b", "ASK {}")

    assert (stopped.json()["code"], others.status_code) == ("query-timeout", 200)
    assert (refused.status_code, refused.json()["code"]) == (429, "query-budget-spent")
    assert "1.5 seconds" in refused.json()["detail"] and "query_budget" in refused.json()["detail"]
    assert 5 < int(refused.headers["Retry-After"]) <= 60


# -- the bookkeeping


def account(limits: Limits, caller: Caller) -> Account:
    return limits.account(caller.party, caller.application)


def test_a_party_pays_for_what_it_does_on_behalf_of_others() -> None:
    limits = Limits(Settings(organisation_requests=2, application_requests=0))
    acting, itself = Caller("fsp", "app", actor="platform"), Caller("fsp", "own")

    limits.charge(account(limits, acting)), limits.charge(account(limits, acting))

    with pytest.raises(TooMany):
        limits.charge(account(limits, acting))
    limits.charge(account(limits, itself))
    assert dict(limits.told(account(limits, itself)))[b"ratelimit"].startswith(b'"organisation";r=1;')


def test_limits_of_nothing_refuse_nobody_and_tell_nothing() -> None:
    limits = Limits(Settings(organisation_requests=0, application_requests=0, anonymous_requests=0, token_refusals=0))

    for _ in range(10_000):
        limits.charge(account(limits, Caller("fsp", "app")))

    assert limits.take("1.2.3.4") is None and limits.told(account(limits, Caller("fsp", "app"))) == [] and not limits.punish("1.2.3.4")


def test_an_organisation_that_is_over_takes_nothing_of_its_applications() -> None:
    limits = Limits(Settings(organisation_requests=1, application_requests=5))
    limits.charge(account(limits, Caller("fsp", "one")))

    with pytest.raises(TooMany):
        limits.charge(account(limits, Caller("fsp", "two")))

    assert dict(limits.told(account(limits, Caller("fsp", "two"))))[b"ratelimit"].endswith(b'"application";r=5;t=0')


@pytest.mark.parametrize(("host", "address"), [
    ("192.0.2.7", "192.0.2.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"), ("fe80::1%eth0", "fe80::"), ("::zz", "::zz"),
])  # fmt: skip
def test_an_address_is_a_customers(host: str, address: str) -> None:
    from starlette.requests import HTTPConnection

    assert address_of(HTTPConnection({"type": "http", "client": (host, 1)})) == address
    assert address_of(HTTPConnection({"type": "http", "client": None})) == ""
