"""A switch over HTTP: requested, effective without anyone calling, and what each side reads then, in SPARQL too (UC-03.04)."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from fmar_node.client import connect
from fmar_node.clock import AheadClock, SystemClock, parse_stamp, today
from fmar_node.folder import Folder
from tests.live import LD_JSON, PARTICIPANTS, Live

A, B = "fsp-a", "fsp-b"
MANAGED = "PREFIX fmar: <https://w3id.org/fmar/ns#> SELECT ?asset ?name ?ended { ?asset a fmar:Asset ; fmar:assetName ?name OPTIONAL { ?asset fmar:asOf ?ended } }"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A node that gives no notice, so that nobody waits for a fortnight."""
    who = {name: PARTICIPANTS[name] for name in (A, B, "fsp-c", "dso-east")}
    with Live(tmp_path_factory.mktemp("switching"), who, FMAR_SWITCH_NOTICE_DAYS="0") as live:
        yield live


def owned(node: Live, **changes: Any) -> str:
    """An asset that A manages and B owns; its IRI."""
    given = {"owner": node.profiles[B].organisation, "ownerName": None, "justification": None, **changes}
    return node.register(A, **given).json()["id"]


def request(node: Live, iri: str, who: str = B, path: str = "/switches", **changes: Any) -> Any:
    return node.client(who).post(path, json={"type": "Switch", "switchAsset": iri, **changes}, headers=LD_JSON)


def effective(node: Live, iri: str) -> dict[str, Any]:
    """The switch when it has taken effect."""
    deadline = time.monotonic() + 30
    while (found := node.client(B).get(iri).json())["switchStatus"] != "EFFECTIVE":
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def test_each_side_reads_its_own_time_in_records_lists_exports_and_sparql(node: Live) -> None:
    iri = owned(node, assetName="As A left it")
    made = request(node, iri)
    assert (made.status_code, made.json()["switchStatus"]) == (201, "IN_NOTICE")
    effective(node, made.json()["id"])
    b, a = node.client(B), node.client(A)
    changed = b.patch(iri, json={"assetName": "As B has it"}, headers={"Content-Type": "application/merge-patch+json", "If-Match": "*"})
    assert changed.status_code == 200, changed.text
    index = int(changed.headers["Fmar-Journal-Index"])

    names = {who: {row["asset"]: (row["name"], "ended" in row) for row in node.rows(who, MANAGED, index)}[iri] for who in (A, B, "dso-east", "operator")}
    assert names == {A: ("As A left it", True), B: ("As B has it", False), "dso-east": ("As B has it", False), "operator": ("As B has it", False)}
    assert (a.get(iri).json()["assetName"], "asOf" in a.get(iri).json()) == ("As A left it", True)
    assert [each["id"] for each in a.get("/assets?managed=former").json()["items"]] == [iri]
    row = a.get("/assets/export?managed=former").json()
    same, other = map(json.loads, a.post("/assets/batch", json=[row, {**row, "assetName": "As B has it"}]).text.splitlines())
    assert (same["outcome"], other["problem"]["errors"][0]["code"]) == ("unchanged", "FORMER-PROVIDER-1")
    assert iri not in a.get("/assets/export?format=ndjson").text
    assert "As A left it" in a.get("/assets/export?format=ndjson&managed=former").text
    refused = a.patch(iri, json={"assetName": "x"}, headers={"Content-Type": "application/merge-patch+json", "If-Match": "*"})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, "FORMER-PROVIDER-1")
    assert a.get(f"{iri}/history").json()["items"][-1]["changed"] == ["asOf"]


def test_what_is_refused_says_why_and_writes_nothing(node: Live) -> None:
    iri = owned(node)
    before = node.client("operator").get("/journal/checkpoint").text

    for who, status, code in ((A, 422, "consent-not-available"), ("dso-east", 403, "SWITCH-REQUEST-1")):
        answer = request(node, iri, who)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)
    far = request(node, iri, switchDate="2999-01-01")
    assert (far.status_code, far.json()["errors"][0]["code"]) == (422, "EFFECTIVE_DATE_INVALID")
    assert request(node, iri, path="/switches?dry-run=true").status_code == 200

    assert node.client("operator").get("/journal/checkpoint").text == before


def test_many_assets_are_requested_in_one_go_and_each_is_answered_alone(node: Live) -> None:
    mine, others = [owned(node) for _ in range(3)], node.register("fsp-c").json()["id"]
    rows = [{"type": "Switch", "switchAsset": iri, "switchDate": day} for iri in (*mine, others) for day in [(date.today() + timedelta(days=9)).isoformat()]]
    body, key = "\n".join(map(json.dumps, [*rows, rows[0], {"type": "Asset"}])), {"Idempotency-Key": f"many-{mine[0][-12:]}"}

    def sent(content: str, media_type: str, **headers: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in node.client(B).post("/switches/batch", content=content, headers={"Content-Type": media_type, **headers}).text.splitlines()]

    trial = node.client(B).post("/switches/batch?dry-run=true", json=rows).text.splitlines()
    told, again = sent(body, "application/x-ndjson", **key), sent(body, "application/x-ndjson", **key)

    assert [json.loads(line)["status"] for line in trial] == [200, 200, 200, 422]
    assert [line["status"] for line in told] == [201, 201, 201, 422, 409, 422]
    assert [node.client(B).get(line["id"]).json()["switchAsset"] for line in told[:3]] == mine
    assert told[4]["problem"]["errors"][0]["code"] == "SWITCH_ALREADY_PENDING"
    assert [line.get("id") for line in again] == [line.get("id") for line in told] and again[0]["outcome"] == "unchanged"
    assert node.client(B).post("/switches/batch", content="type\nSwitch\n", headers={"Content-Type": "text/csv"}).status_code == 415


def test_of_many_requests_at_once_exactly_one_is_taken(node: Live) -> None:
    iri = owned(node)
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 5 * 86_400))

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: request(node, iri, switchDate=day), range(6)))

    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 5]
    assert {answer.json()["errors"][0]["code"] for answer in answers if answer.status_code == 409} == {"SWITCH_ALREADY_PENDING"}


def test_a_switch_that_falls_due_while_the_node_is_away_takes_effect_at_its_start(node: Live) -> None:
    iri = owned(node)
    made = request(node, iri)
    node.stop(signal.SIGKILL)
    node.start()

    effective(node, made.json()["id"])

    assert node.client(B).get(iri).json()["managedBy"].endswith(node.profiles[B].organisation.rsplit("/", 1)[-1])


def test_the_notice_passes_when_the_clock_of_the_register_is_put_forward(tmp_path: Path) -> None:
    with Live(tmp_path, {name: PARTICIPANTS[name] for name in (A, B)}, FMAR_CLOCK_MAY_BE_SET="true") as node:
        made = request(node, owned(node)).json()
        assert date.fromisoformat(made["switchDate"]) == today(SystemClock()) + timedelta(days=14)

        AheadClock(SystemClock(), Folder(node.folder).clock).go_to(parse_stamp(made["switchDate"]))

        assert effective(node, made["id"])["recordedAt"].startswith(made["effectiveAt"][:13])
        with connect(node.profiles[A]) as fresh:  # credentials go by the machine's clock
            assert fresh.get("/assets?managed=former").json()["items"]


def test_a_confirmed_window_over_http(node: Live, tmp_path: Path) -> None:
    iri = owned(node)
    window = {"type": "ServiceWindow", "windowAsset": iri, "windowOperator": node.profiles["dso-east"].organisation, "windowProduct": "Sustain-H", "windowFrom": "2098-01-01T17:00:00Z", "windowTo": "2098-01-01T19:00:00Z"}
    if not window["windowOperator"].startswith("http"):
        window["windowOperator"] = f"{node.url}/organisations/{window['windowOperator']}"
    made = node.client(A).post("/service-windows", json=window, headers=LD_JSON)
    assert made.status_code == 201, made.text
    assert node.client("dso-east").post(f"{made.json()['id']}/confirmation").json()["windowStatus"] == "CONFIRMED"

    refused = request(node, iri)

    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "SERVICE_WINDOW_CONFIRMED")
    assert "2098-01-02" in refused.json()["errors"][0]["message"]
    assert node.client("fsp-c").get(made.json()["id"]).status_code == 404
