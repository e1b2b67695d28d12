"""The same document again, by the caller's own code: registered once, brought up to date, never twice."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.live import LD_JSON, Live
from tests.web.test_table import CSV, flat, size, table

UPSERT = {"upsert": "friendlyCode"}


def coded(live: Live, **changes: Any) -> dict[str, Any]:
    return live.battery(**{"friendlyCode": f"B-{next(live.serials)}", **changes})


def put_in(live: Live, document: dict[str, Any], name: str = "fsp-a", **headers: str) -> httpx.Response:
    return live.client(name).post("/assets", json=document, params=UPSERT, headers={**LD_JSON, **headers})


def put_all(live: Live, rows: list[dict[str, Any]], name: str = "fsp-a", **headers: str) -> list[dict[str, Any]]:
    body = b"\n".join(json.dumps(row).encode() for row in rows)
    response = live.client(name).post("/assets/batch", content=body, params=UPSERT, headers={"Content-Type": "application/x-ndjson", **headers})
    return [json.loads(line) for line in response.text.splitlines()]


def codes(response: httpx.Response) -> set[str]:
    return {error["code"] for error in response.json()["errors"]}


def test_the_same_document_again_makes_no_version(live: Live) -> None:
    document = coded(live)
    made = put_in(live, document)
    before = size(live)

    again = put_in(live, document)

    assert (made.status_code, again.status_code, size(live)) == (201, 200, before)
    assert again.json() == made.json() and "Location" not in again.headers and again.headers["ETag"] == made.headers["ETag"]


@pytest.mark.parametrize("spelt", ["B-{}", "b-{}"])
def test_a_changed_document_is_the_next_version_of_the_same_asset(live: Live, spelt: str) -> None:
    number = next(live.serials)
    document = live.battery(friendlyCode=f"B-{number}")
    made = put_in(live, document).json()

    changed = put_in(live, {**document, "friendlyCode": spelt.format(number), "demandCapacity": "450"})

    assert changed.status_code == 200, changed.text
    assert changed.json().items() >= {"id": made["id"], "version": 2, "demandCapacity": "450.00"}.items()


def test_what_is_left_out_is_gone_as_with_put(live: Live) -> None:
    document = coded(live, assetModel="AS-500")
    put_in(live, document)

    left = put_in(live, {name: value for name, value in document.items() if name != "assetModel"})

    assert left.json()["version"] == 2 and "assetModel" not in left.json()


def test_a_code_of_another_organisation_is_another_code(live: Live) -> None:
    document = coded(live)
    made = [put_in(live, {**document, "serialNumber": f"S-{next(live.serials)}", "importMPAN": live.battery()["importMPAN"], "exportMPAN": live.battery()["exportMPAN"]}, name) for name in ("fsp-a", "fsp-b")]

    assert [answer.status_code for answer in made] == [201, 201]
    assert made[0].json()["id"] != made[1].json()["id"]


def test_a_code_that_was_freed_is_registered_anew(live: Live) -> None:
    document = coded(live)
    first = put_in(live, document).json()
    assert live.client("fsp-a").post(f"{first['id']}/deregistration", json={"deregistrationReason": "ERROR"}).status_code == 200

    again = put_in(live, document)

    assert again.status_code == 201 and again.json()["id"] != first["id"]


def test_an_upsert_is_refused_by_the_rules_of_what_it_becomes(live: Live) -> None:
    document, other = coded(live), coded(live)
    put_in(live, document)
    put_in(live, other)

    faults = [
        put_in(live, {**document, "ratedCapacity": "-1"}), put_in(live, {**document, "serialNumber": other["serialNumber"]}),
        put_in(live, {name: value for name, value in document.items() if name != "friendlyCode"}), put_in(live, {**document, "friendlyCode": 7}),
    ]  # fmt: skip

    assert [fault.status_code for fault in faults] == [422, 409, 422, 422]
    assert "DUPLICATE_EXACT" in codes(faults[1]) and codes(faults[2]) == {"friendlyCode"}
    assert put_in(live, document, "dso-east").status_code == 403


def test_an_upsert_goes_by_the_callers_own_code_and_in_json(live: Live) -> None:
    document = coded(live)
    by_serial = live.client("fsp-a").post("/assets", json=document, params={"upsert": "serialNumber"}, headers=LD_JSON)
    in_turtle = live.client("fsp-a").post("/assets", content=b"", params=UPSERT, headers={"Content-Type": "text/turtle"})
    spelt = {("fmar:friendlyCode" if name == "friendlyCode" else name): value for name, value in document.items()}

    assert (by_serial.status_code, in_turtle.status_code) == (400, 415)
    assert live.client("fsp-a").post("/assets/batch?upsert=x", content=b"", headers={"Content-Type": "application/x-ndjson"}).status_code == 400
    assert [put_in(live, spelt).status_code for _ in range(2)] == [201, 200]


def test_upserts_at_once_make_one_asset(live: Live) -> None:
    document = coded(live)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: put_in(live, document), range(6)))

    assert {answer.status_code for answer in answers} == {200, 201}
    assert len({answer.json()["id"] for answer in answers}) == 1 and {answer.json()["version"] for answer in answers} == {1}


def test_a_repeat_under_its_key_is_the_same_asset(live: Live) -> None:
    document, key = coded(live), {"Idempotency-Key": f"upsert-{next(live.serials)}"}
    first = put_in(live, document, **key)

    again, other = put_in(live, document, **key), put_in(live, {**document, "demandCapacity": "1"}, **key)

    assert again.content == first.content and again.headers["Idempotent-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


def test_a_dry_run_tells_of_the_update_and_writes_nothing(live: Live) -> None:
    document = coded(live)
    made, before = put_in(live, document).json(), size(live)

    trial = live.client("fsp-a").post("/assets", json={**document, "demandCapacity": "450"}, params={**UPSERT, "dry-run": "true"})

    assert (trial.status_code, size(live)) == (200, before)
    assert trial.json()["document"].items() >= {"id": made["id"], "demandCapacity": "450.00"}.items()


def test_rows_of_one_code_follow_each_other(live: Live) -> None:
    document, other = coded(live), coded(live)
    rows = [{**document, "demandCapacity": f"{each}.00"} for each in range(400, 410)]

    results = put_all(live, [other, *rows, rows[-1]])

    assert [result["outcome"] for result in results] == ["created", "created", *["updated"] * 9, "unchanged"]
    assert live.client("fsp-a").get(results[1]["id"]).json().items() >= {"version": 10, "demandCapacity": "409.00"}.items()


def test_a_table_is_sent_every_night(live: Live) -> None:
    rows = [flat(coded(live)) for _ in range(5)]
    nights = [rows, rows, [*rows[:2], rows[2] | {"demandCapacity": "450"}, *rows[3:], flat(coded(live))], [rows[0] | {"friendlyCode": ""}]]

    told = []
    for night in nights:
        response = live.client("fsp-a").post("/assets/batch", content=table(night), params=UPSERT, headers=CSV)
        told.append([json.loads(line)["outcome"] for line in response.text.splitlines()])

    assert told == [["created"] * 5, ["unchanged"] * 5, ["unchanged", "unchanged", "updated", "unchanged", "unchanged", "created"], ["refused"]]
