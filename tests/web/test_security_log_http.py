"""Who was let do what, as the security log tells it: of each request that counts one line, and to each its own part."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from fmar_node.cli.participate import give_key
from fmar_node.client import EXCHANGE, SUBJECT_TYPE, connect, new_key
from fmar_node.security_log import EVENTS, NAME, files
from tests.live import LD_JSON, Live
from tests.market import organisation
from tests.web.test_credentials_http import Hand, newcomer
from tests.web.test_delegation_http import Pair

PERSON = "Xanthippe"


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A node of which nobody else reads or writes the log; its files are small."""
    participants = {"fsp-a": {"roles": ["FSP"]}, "fsp-b": {"roles": ["FSP"]}, "dso-east": {"roles": ["DNO"], "licenceArea": ["UKPN_EPN", "UKPN_LPN"]}}
    with Live(tmp_path_factory.mktemp("logged"), participants, FMAR_SECURITY_LOG_BYTES="20000", FMAR_TRUSTED_PROXIES="127.0.0.1") as node:
        yield node


def uuid(live: Live, name: str) -> str:
    return live.profiles[name].organisation.rsplit("/", 1)[1]


def line_of(live: Live, response: httpx.Response) -> dict[str, Any] | None:
    """The line of a request, as the operator reads it."""
    items = live.client("operator").get("/security-log?limit=200").json()["items"]
    return next((each for each in items if each.get("request") == response.headers["Fmar-Request-Id"]), None)


def told(live: Live, response: httpx.Response, *names: str) -> tuple[Any, ...]:
    line = line_of(live, response)
    assert line is not None, f"nothing was logged of {response.request.method} {response.request.url}"
    return tuple(line.get(name) for name in names)


# -- what is logged


def test_a_write_says_what_was_done_to_which_record_by_whom(logged: Live) -> None:
    made = logged.register()
    gone = logged.client("fsp-a").post(f"{made.headers['Location']}/deregistration", json={"deregistrationReason": "ERROR"})

    id_, mine = made.json()["assetId"], uuid(logged, "fsp-a")
    assert told(logged, made, "event", "outcome", "action", "kind", "record", "organisation", "application", "status") == (
        "write", "granted", "register", "assets", id_, mine, "fsp-a", 201,
    )  # fmt: skip
    assert told(logged, gone, "event", "action", "record", "route") == ("write", "deregistration", id_, "/assets/{id:record}/deregistration")


def test_a_refused_write_names_problem_and_policy(logged: Live) -> None:
    document = logged.battery(ratedCapacity="-1")

    refused = logged.client("fsp-a").post("/assets", json=document, headers=LD_JSON)
    forbidden = logged.client("fsp-a").post("/organisations", json=organisation("Another", ["FSP"]), headers=LD_JSON)
    anonymous = logged.client().post("/assets", json=document, headers=LD_JSON)

    assert told(logged, refused, "event", "outcome", "code", "policy") == ("write", "refused", "validation-failed", refused.json()["errors"][0]["code"])
    assert told(logged, forbidden, "outcome", "code", "policy", "organisation") == ("refused", forbidden.json()["code"], forbidden.json()["errors"][0]["code"], uuid(logged, "fsp-a"))
    assert told(logged, anonymous, "outcome", "code", "organisation") == ("refused", "credential-missing", None)


def test_a_trial_is_told_as_one(logged: Live) -> None:
    tried = logged.client("fsp-a").post("/assets?dry-run=true", json=logged.battery(), headers=LD_JSON)

    assert told(logged, tried, "event", "action", "trial", "record") == ("write", "register", True, None)


def test_a_batch_is_a_line_with_what_its_rows_came_to(logged: Live) -> None:
    rows = [logged.battery(), logged.battery(ratedCapacity="-1"), logged.battery()]
    body = "\n".join(map(json.dumps, rows))

    done = logged.client("fsp-a").post("/assets/batch", content=body, headers={"Content-Type": "application/x-ndjson"})

    event, action, records, refused = told(logged, done, "event", "action", "records", "refusedRows")
    assert (event, action, records, sum(refused.values())) == ("write", "batch", 2, 1)


def test_a_read_of_personal_data_is_logged_with_whose_it_is(logged: Live) -> None:
    made, others = logged.register(), {"fsp-a": 1, "dso-east": 1}

    reads = {name: logged.client(name).get(made.headers["Location"]) for name in others}
    listed = logged.client("dso-east").get("/assets?limit=2")
    found = logged.client("dso-east").post("/assets/lookup", json={"scheme": "MPAN", "value": made.json()["importMPAN"]})
    exported = logged.client("fsp-a").get("/assets/export")
    proved = logged.client("fsp-a").get(f"{made.headers['Location']}/proof")

    mine = uuid(logged, "fsp-a")
    for read in reads.values():
        assert told(logged, read, "event", "record", "records", "organisation")[:3] == ("read", made.json()["assetId"], 1)
        assert mine in told(logged, read, "holders")[0]
    assert told(logged, listed, "event", "records") == ("read", 2)
    assert told(logged, found, "event", "kind", "records") == ("read", "assets", 1)
    assert told(logged, exported, "records")[0] >= 1 and told(logged, proved, "event") == ("read",)


def test_a_read_of_nothing_personal_is_not_logged(logged: Live) -> None:
    organisation_ = logged.profiles["fsp-b"].organisation

    read = logged.client("fsp-a").get(organisation_)
    page, health = logged.client("fsp-a").get("/ontology"), logged.client().get("/metrics")

    assert [line_of(logged, each) for each in (read, page, health)] == [None] * 3


def test_a_record_that_is_not_the_callers_is_a_refusal(logged: Live) -> None:
    made = logged.register()

    refused = logged.client("fsp-b").get(made.headers["Location"])

    assert told(logged, refused, "event", "outcome", "status", "kind", "record") == ("refused", "refused", 404, "assets", made.json()["assetId"])


def test_a_query_is_told_by_its_hash_and_what_it_gave(logged: Live) -> None:
    text = f'SELECT ?s {{ ?s ?p ?o FILTER(STR(?o) != "{PERSON}") }} LIMIT 3'

    answer, refused = logged.ask("fsp-a", text), logged.ask("fsp-a", f"DROP GRAPH <x:{PERSON}>")

    assert told(logged, answer, "event", "outcome", "query", "rows", "bytes") == ("query", "granted", hashlib.sha256(text.encode()).hexdigest(), 3, len(answer.content))
    assert told(logged, refused, "event", "outcome", "code") == ("query", "refused", refused.json()["code"])


def test_a_query_that_nobody_waited_for_says_so(logged: Live) -> None:
    request_id = "c0ffee" * 4
    with pytest.raises(httpx.ReadTimeout):
        text = f"SELECT (COUNT(*) AS ?n) {{ GRAPH <{logged.url}/codes> {{ ?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l }} }}"
        logged.client().get("/sparql", params={"query": text, "timeout": "30"}, headers={"X-Request-Id": request_id}, timeout=0.5)

    gone = httpx.Response(400, headers={"Fmar-Request-Id": request_id}, request=httpx.Request("GET", logged.url))
    for _ in range(50):
        if line_of(logged, gone):
            break
        time.sleep(0.1)
    assert told(logged, gone, "event", "outcome", "code") == ("query", "refused", "client-gone")


def test_a_saved_query_is_told_by_its_name_and_the_names_of_its_parameters(logged: Live) -> None:
    """What a parameter is given is nowhere, nor what it is called by somebody who makes names up."""
    client = logged.client("fsp-a")

    answer = client.get("/queries/assets-by-connection-point", params={"gsp": PERSON, "format": "csv"})
    refused = client.get("/queries/assets-by-connection-point", params={"area": PERSON, PERSON: "1"})
    absent = client.get(f"/queries/{PERSON.lower()}")

    assert told(logged, answer, "event", "outcome", "saved", "parameters", "rows") == ("query", "granted", "assets-by-connection-point", ["gsp"], 0)
    assert told(logged, refused, "event", "outcome", "policy", "saved", "parameters") == ("refused", "refused", "parameter-unknown", "assets-by-connection-point", ["area"])
    assert told(logged, absent, "event", "code", "saved") == ("refused", "not-found", None)
    assert PERSON.lower() not in "".join(json.dumps(line_of(logged, each)) for each in (answer, refused, absent)).lower()


def test_tokens_that_are_given_and_refused_are_logged(logged: Live) -> None:
    form = {"grant_type": "client_credentials", "client_id": "fsp-a", "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion": "a.b.c"}

    known = httpx.post(f"{logged.url}/oauth/token", data=form)
    unknown = httpx.post(f"{logged.url}/oauth/token", data={**form, "client_id": f"{PERSON}@example.org"})

    tokens = logged.client("operator").get("/security-log?event=token&limit=200").json()["items"]
    assert {"fsp-a", "operator"} <= {each.get("application") for each in tokens if each["outcome"] == "granted"}
    assert not [each for each in tokens if each["outcome"] == "granted" and "claimed" in each]
    assert told(logged, known, "event", "outcome", "organisation", "application", "claimed", "code") == ("token", "refused", uuid(logged, "fsp-a"), "fsp-a", "client_id", "invalid-client")
    assert told(logged, unknown, "outcome", "organisation", "application", "claimed") == ("refused", None, None, None)


def test_a_credential_that_does_not_hold_is_logged(logged: Live) -> None:
    refused = logged.client().get("/assets", headers={"Authorization": "DPoP e30.e30.e30", "DPoP": "x"})

    assert told(logged, refused, "event", "outcome", "code", "organisation") == ("refused", "refused", "invalid-token", None)


def test_a_held_token_of_a_revoked_key_is_told_to_whose_it_was(logged: Live) -> None:
    name, profile = newcomer(logged)
    hand = Hand(logged, profile)
    token, id_ = hand.token(), profile.organisation.rsplit("/", 1)[1]

    def used() -> httpx.Response:
        return hand.get("/assets", token, hand.proof("GET", "/assets", token))

    granted = used()
    logged.client("operator").post(f"{profile.organisation}/key-revocation", json={"clientId": name})
    refused = used()
    fresh = give_key(logged.client("operator"), logged.profiles["operator"], name, profile.organisation, logged.folder / "participants" / name)
    with connect(fresh) as client:
        own = client.get("/security-log?event=refused").json()["items"]

    assert (granted.status_code, line_of(logged, granted)) == (200, None)
    assert told(logged, refused, "event", "outcome", "code", "reason", "claimed", "organisation", "application", "status") == (
        "refused", "refused", "invalid-token", "revoked", "token", id_, name, 401,
    )  # fmt: skip
    assert [(each["request"], each["claimed"]) for each in own] == [(refused.headers["Fmar-Request-Id"], "token")]


def test_a_held_token_of_an_ended_delegation_is_told_to_both(logged: Live) -> None:
    """The provider learns that the platform goes on trying, from its own part of the log."""
    pair = Pair(logged, newcomer(logged, "FSP")[1], newcomer(logged, "PLATFORM")[1])
    delegation, hand = pair.grant("READ"), Hand(logged, pair.platform)
    answer = hand.ask_token(grant_type=EXCHANGE, subject_token=pair.provider.organisation, subject_token_type=SUBJECT_TYPE)
    token = answer.json()["access_token"]
    pair.revoke(delegation)

    refused = hand.get("/assets", token, hand.proof("GET", "/assets", token))

    names = [profile.organisation.rsplit("/", 1)[1] for profile in (pair.provider, pair.platform)]
    assert told(logged, refused, "outcome", "reason", "claimed", "organisation", "actor") == ("refused", "not-granted", "token", *names)
    for profile in (pair.provider, pair.platform):
        with pair.client(profile) as client:
            assert [each for each in client.get("/security-log").json()["items"] if each.get("request") == refused.headers["Fmar-Request-Id"]]


def test_a_token_that_this_node_has_not_signed_names_nobody(logged: Live) -> None:
    """Whoever writes another's name into a token writes nothing into that one's part of the log."""
    hand = Hand(logged, logged.profiles["fsp-a"])
    head, payload, _ = hand.token().split(".")
    forged = hand.signed(json.loads(base64.urlsafe_b64decode(f"{head}==")), json.loads(base64.urlsafe_b64decode(f"{payload}==")), new_key())

    refused = hand.get("/assets", forged, hand.proof("GET", "/assets", forged))

    assert told(logged, refused, "outcome", "code", "reason", "claimed", "organisation", "application") == ("refused", "invalid-token", "bad-signature", None, None, None)


def test_no_line_holds_a_personal_value(logged: Live) -> None:
    client = logged.client("fsp-a")
    held = logged.battery(assetName=f"Roof of {PERSON}", ownerName=PERSON, postcode="ZE3 9QQ")

    made = client.post("/assets", json=held, headers={**LD_JSON, "Idempotency-Key": f"key-{PERSON}"})
    client.post("/assets", json={**held, "importMPAN": "2000000000777", PERSON: PERSON}, headers=LD_JSON)
    client.get(made.headers["Location"]), client.get(f"/{PERSON}?{PERSON}={PERSON}", headers={"User-Agent": PERSON, "X-Request-Id": PERSON})
    client.get(f"/assets?importMPAN={held['importMPAN']}"), client.get(f"/security-log?event={PERSON}")
    client.post("/assets/lookup", json={"scheme": "MPAN", "value": held["importMPAN"]})
    logged.ask("fsp-a", f'SELECT * {{ ?s ?p "{PERSON}" }}'), logged.ask("fsp-a", f"SELECT {PERSON}")
    logged.client("operator").get("/security-log")

    said = "".join(file.read_text() for file in files(logged.folder / "log"))
    assert made.status_code == 201
    assert [value for value in (PERSON, held["importMPAN"], held["exportMPAN"], "2000000000777", "ZE3 9QQ") if value in said] == []


# -- who reads it


def test_an_organisation_reads_its_own_part_and_not_who_read_its_records(logged: Live) -> None:
    made = logged.register()
    read = logged.client("dso-east").get(made.headers["Location"])

    own = logged.client("fsp-a").get("/security-log?limit=200").json()["items"]
    readers = logged.client("dso-east").get("/security-log?limit=200").json()["items"]

    assert {each.get("organisation") for each in own} == {uuid(logged, "fsp-a")}
    assert {each.get("organisation") for each in readers} == {uuid(logged, "dso-east")}
    assert not [each for each in own if each.get("request") == read.headers["Fmar-Request-Id"]]
    assert [each for each in readers if each.get("request") == read.headers["Fmar-Request-Id"]]
    assert not [each for each in (*own, *readers) if "holders" in each]


def test_anonymous_callers_read_nothing_and_reading_is_logged(logged: Live) -> None:
    refused, read = logged.client().get("/security-log"), logged.client("fsp-b").get("/security-log")

    assert (refused.status_code, read.status_code) == (401, 200)
    assert told(logged, read, "event", "outcome", "organisation") == ("log-read", "granted", uuid(logged, "fsp-b"))
    assert told(logged, refused, "event", "outcome") == ("log-read", "refused")


def test_pages_follow_one_another_newest_first_through_all_files(logged: Live) -> None:
    for _ in range(100):
        logged.client("fsp-a").get("/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11")
    client = logged.client("operator")

    response, seen = client.get("/security-log?limit=40&event=refused"), list[dict[str, Any]]()
    while True:
        seen += response.json()["items"]
        if "next" not in response.links:
            break
        assert response.links["next"]["url"] == response.json()["next"]
        response = client.get(response.links["next"]["url"])

    ids = [each["id"] for each in seen]
    assert len(files(logged.folder / "log")) > 1 and len(seen) >= 100
    assert ids == sorted(set(ids), reverse=True) and {each["event"] for each in seen} == {"refused"}


def test_a_span_of_time_and_an_event_narrow_it(logged: Live) -> None:
    client = logged.client("fsp-a")
    lines = client.get("/security-log?limit=200").json()["items"]

    since, until = lines[-1]["time"], lines[len(lines) // 2]["time"]
    within = client.get("/security-log", params={"from": since, "to": until, "limit": 200}).json()["items"]

    assert within and all(since <= each["time"] < until for each in within)
    assert {each["event"] for event in EVENTS for each in client.get(f"/security-log?event={event}").json()["items"]} <= set(EVENTS)


@pytest.mark.parametrize("asked", ["event=other", "cursor=x", "limit=0", "limit=501", "from=yesterday", "to=2026", "nonsense=1", "limit=1&limit=2"])
def test_what_is_asked_wrongly_is_400(logged: Live, asked: str) -> None:
    assert logged.client("operator").get(f"/security-log?{asked}").status_code == 400


# -- beside the node


def test_its_files_are_the_owners_and_metrics_tell_of_it(logged: Live) -> None:
    logged.client("fsp-a").get("/security-log")
    metrics = logged.client().get("/metrics").text

    assert {stat.S_IMODE(file.stat().st_mode) for file in files(logged.folder / "log")} == {0o600}
    assert "fmar_security_log_dropped_total 0.0" in metrics and "fmar_security_log_trouble 0.0" in metrics


def test_the_operator_reads_it_offline_and_nothing_is_lost_when_the_node_stops(logged: Live) -> None:
    last = logged.register()

    assert logged.stop() == 0
    command = [sys.executable, "-m", "fmar_node.cli", "security-log", "--data", str(logged.folder), "--organisation", logged.profiles["fsp-a"].organisation, "--limit", "3"]
    run = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    plain = subprocess.run([*command, "--event", "write"], capture_output=True, text=True, check=True).stdout
    logged.start()

    assert json.loads(run.stdout)[0]["request"] == last.headers["Fmar-Request-Id"] and len(json.loads(run.stdout)) == 3
    assert last.json()["assetId"] in plain.splitlines()[0] and (logged.folder / "log" / NAME).exists()
