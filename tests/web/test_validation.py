"""A live node and the sources of assets, over HTTP: verified, queried, mended, accepted, not answered yet; and who sees why."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from examples.servers.asset_sources import Sources
from tests.live import LD_JSON, Live
from tests.market import battery, mpan

GIVE_UP = 15
FSPS = {"fsp-a": {"roles": ["FSP"]}, "neso": {"roles": ["SYSTEM_OPERATOR"]}, "dso-east": {"roles": ["DNO"], "licenceArea": ["UKPN_EPN"]}}
CERTIFIED = {"importMPAN": mpan(1, 12), "exportMPAN": None, "dnoConnection": "UKPN_LPN", "serialNumber": None, "postcode": "SE1 4QP"}


@pytest.fixture(scope="module")
def sources() -> Iterator[Sources]:
    with Sources(seconds=0.3) as server:
        yield server


@pytest.fixture(scope="module")
def node(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    urls = {f"FMAR_{source}_URL": sources.url for source in ("METER_POINT", "MCS", "OEM")}
    pauses = {"FMAR_SOURCE_PAUSE_SECONDS": "0.1", "FMAR_SOURCE_PAUSE_SECONDS_MOST": "0.3", "FMAR_SOURCE_CACHE_SECONDS": "0"}
    with Live(tmp_path_factory.mktemp("validation"), FSPS, **urls, **pauses, FMAR_LOG_LEVEL="debug") as running:
        yield running


@pytest.fixture(autouse=True)
def up(sources: Sources) -> None:
    sources.modes = dict.fromkeys(sources.modes, "up")


def registered(node: Live, serial: str, **changes: Any) -> str:
    known = {"importMPAN": mpan(1), "exportMPAN": mpan(2), "postcode": "IP1 2AB"}
    document = battery(serial, **{**known, **changes})
    document["justification"] = [{"rule": rule, "text": "for a test"} for rule in ("A03", "DUPLICATE_PROBABLE")]
    response = node.client("fsp-a").post("/assets", json=document, headers=LD_JSON)
    assert response.status_code == 201, response.text
    return response.headers["Location"]


def read(node: Live, iri: str, by: str = "fsp-a") -> dict[str, Any]:
    found: dict[str, Any] = node.client(by).get(iri).json()
    return found


def settled(node: Live, iri: str) -> dict[str, Any]:
    until = time.monotonic() + GIVE_UP
    while (found := read(node, iri))["validationStatus"] == "PENDING_VALIDATION" and time.monotonic() < until:
        time.sleep(0.02)
    return found


def listed(node: Live, status: str) -> list[str]:
    items = node.client("operator").get("/assets", params={"validationStatus": status}).json()["items"]
    return [item["id"] for item in items]


def test_an_asset_is_verified_and_says_by_whom(node: Live) -> None:
    iri = registered(node, "GP-BESS-0001")

    found = settled(node, iri)

    assert found["registrationStatus"] == "VERIFIED"
    assert {(each["evidenceKind"], each["evidenceOutcome"]) for each in found["evidence"]} == {("METER_POINT", "AGREES"), ("OEM", "AGREES")}
    line = node.client("operator").get(f"{iri}/history").json()["items"][1]
    assert (line["action"], line["by"]["organisation"]) == ("verification", "")


def test_a_query_is_mended_by_its_provider(node: Live) -> None:
    iri = registered(node, "S-1", serialNumber=None, postcode="IP1 2AC")
    assert settled(node, iri)["validationStatus"] == "QUERY"
    assert iri in listed(node, "QUERY")
    tag = node.client("fsp-a").get(iri).headers["ETag"]

    node.client("fsp-a").patch(iri, json={"postcode": "IP1 2AB"}, headers={"Content-Type": "application/merge-patch+json", "If-Match": tag})

    assert settled(node, iri)["validationStatus"] == "VERIFIED"


def test_a_query_is_accepted_by_the_operator_with_a_reason(node: Live) -> None:
    iri, operator = registered(node, "S-2", serialNumber=None, importMPAN=mpan(5)), node.client("operator")
    settled(node, iri)

    refusal = operator.post(f"{iri}/acceptance")
    done = operator.post(f"{iri}/acceptance", json={"acceptanceReason": "energised yesterday"}, headers=LD_JSON)

    assert [error["code"] for error in refusal.json()["errors"]] == ["ASSET-ACCEPT-3"]
    assert (done.status_code, done.json()["registrationStatus"]) == (200, "VERIFIED")


def test_a_record_with_evidence_may_be_sent_back_whole(node: Live) -> None:
    iri = registered(node, "S-3", **CERTIFIED, alias=[{"scheme": "MCS", "value": "MCS-99-000018"}])
    assert settled(node, iri)["validationStatus"] == "QUERY"
    response = node.client("fsp-a").get(iri)

    again = node.client("fsp-a").put(iri, json={**response.json(), "assetName": "Renamed"}, headers={**LD_JSON, "If-Match": response.headers["ETag"]})

    assert again.status_code == 200, again.text
    assert settled(node, iri)["validationStatus"] == "QUERY"


def test_while_a_source_is_down_an_asset_is_pending_over_a_restart(node: Live, sources: Sources) -> None:
    sources.modes["meter-points"] = "down"
    iri = registered(node, "GP-BESS-0002", assetModel="AS-250", ratedCapacity="250.00", genCapacity="250.00", demandCapacity="250.00")
    until = time.monotonic() + GIVE_UP
    while "evidence" not in read(node, iri) and time.monotonic() < until:
        time.sleep(0.02)
    assert listed(node, "PENDING_VALIDATION") == [iri]

    node.stop()
    sources.modes["meter-points"] = "up"
    node.start()

    assert settled(node, iri)["validationStatus"] == "VERIFIED"
    assert read(node, iri)["version"] == 3


def test_who_sees_no_personal_values_sees_none_of_an_answer(node: Live) -> None:
    iri = registered(node, "S-4", serialNumber=None, postcode="IP1 2AC")
    settled(node, iri)

    seen = {name: node.client(name).get(iri).text for name in ("fsp-a", "neso", "dso-east")}

    assert "IP1 2AB" in seen["fsp-a"]
    assert all('"validationStatus": "QUERY"' in text and "IP1 2AB" not in text for name, text in seen.items() if name != "fsp-a")


def test_nothing_personal_is_in_the_log_and_what_is_overdue_in_the_metrics(node: Live) -> None:
    metrics, log = node.client("operator").get("/metrics").text, node.log.read_text("utf-8")

    assert 'fmar_assets_overdue{state="QUERY"}' in metrics
    assert "METER_POINT gives no answer" in log
    assert not any(value in log for value in (mpan(1), mpan(2), mpan(5), "IP1 2A", "GP-BESS-000"))


def test_answers_are_not_taken_over_http(node: Live) -> None:
    iri = registered(node, "S-5", serialNumber=None)

    assert node.client("operator").post(f"{iri}/verification", json={"evidence": []}, headers=LD_JSON).status_code == 404
