"""From the installer's van to the provider's portfolio over HTTP: register, hand over the code, look up, claim."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from fmar_node.identity import new_claim_code, new_record_id
from tests.live import LD_JSON, Live

HEADER = "Fmar-Claim-Code"


def install(live: Live, name: str = "installer", **changes: Any) -> httpx.Response:
    response = live.client(name).post("/assets", json=live.battery(**changes), headers=LD_JSON)
    assert response.status_code == 201, response.text
    return response


def look(live: Live, name: str = "fsp-a", **asked: str) -> httpx.Response:
    return live.client(name).post("/assets/lookup", json=asked)


def claim(live: Live, iri: str, name: str = "fsp-a", **note: str) -> httpx.Response:
    return live.client(name).post(f"{iri}/claim", json=note)


def test_an_asset_goes_from_the_installer_to_a_provider(live: Live) -> None:
    made = install(live)
    iri, code = made.json()["id"], made.headers[HEADER]
    assert (made.json()["registrationStatus"], code in made.text) == ("AWAITING_NEW_FSP", False)

    found = look(live, scheme="CLAIM_CODE", value=code.lower()).json()["items"]
    claimed = claim(live, iri, claimCode=code)

    assert [(each["id"], each["nextStep"]) for each in found] == [(iri, "claim")]
    assert (claimed.status_code, claimed.json()["managedBy"]) == (200, live.profiles["fsp-a"].organisation)
    assert live.client("installer").get(iri).status_code == 404
    assert claim(live, iri, "fsp-b", claimCode=code).status_code == 404


def test_the_asset_is_found_by_what_stands_on_the_machine_with_the_code_beside_it(live: Live) -> None:
    made = install(live)
    serial, code = made.json()["serialNumber"], made.headers[HEADER]

    found = [
        look(live, name, scheme=scheme, value=value, claimCode=given)
        for name, scheme, value, given in (
            ("fsp-a", "SERIAL", serial, code), ("fsp-a", "MPAN", made.json()["importMPAN"], code), ("fsp-a", "SERIAL", serial, new_claim_code()),
            ("platform", "SERIAL", serial, code), ("fsp-a", "SERIAL", "S-none", code), ("fsp-a", "SERIAL", serial, ""),
        )
    ]  # fmt: skip

    assert [answer.status_code for answer in found] == [200, 200, 404, 404, 404, 404]
    assert found[0].json()["items"][0].keys() == {"id", "assetId", "assetCategory", "registrationStatus", "ratedCapacity", "nextStep"}
    assert len({answer.content for answer in found[2:]}) == 1


def test_a_wrong_code_and_no_asset_have_one_answer(live: Live) -> None:
    """C1: whether a machine has been installed is told to nobody who has no authority."""
    iri = install(live).json()["id"]

    wrong, absent = claim(live, iri, claimCode=new_claim_code()), claim(live, f"/assets/{new_record_id()}", claimCode=new_claim_code())

    def plain(answer: httpx.Response) -> dict[str, Any]:
        return {name: value for name, value in answer.json().items() if name != "instance"}

    assert wrong.status_code == absent.status_code == 404
    assert plain(wrong) == plain(absent) and len(wrong.content) == len(absent.content)


def test_a_repeat_under_its_key_is_the_same_answer_without_the_code(live: Live) -> None:
    document, key = live.battery(), {**LD_JSON, "Idempotency-Key": f"install-{next(live.serials)}"}
    first, again = (live.client("installer").post("/assets", json=document, headers=key) for _ in range(2))

    assert first.content == again.content and HEADER in first.headers and HEADER not in again.headers
    renewed = live.client("installer").post(f"{first.json()['id']}/claim-code")
    assert (renewed.status_code, claim(live, first.json()["id"], claimCode=first.headers[HEADER]).status_code) == (200, 404)
    assert claim(live, first.json()["id"], claimCode=renewed.headers[HEADER]).status_code == 200


def test_a_fleet_is_sent_every_night_under_its_makers_numbers(live: Live) -> None:
    rows = [live.battery(externalId=f"unit/{next(live.serials)}") for _ in range(3)]

    def send(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        body = b"\n".join(json.dumps(row).encode() for row in given)
        answer = live.client("installer").post("/assets/batch", params={"upsert": "externalId"}, content=body, headers={"Content-Type": "application/x-ndjson"})
        return [json.loads(line) for line in answer.text.splitlines()]

    first, second = send(rows), send([rows[0], {**rows[1], "assetModel": "AS-501"}, rows[2]])
    claim(live, first[2]["id"], claimCode=first[2]["claimCode"])
    third = send(rows)

    assert [row["outcome"] for row in first] == ["created"] * 3
    assert [row["outcome"] for row in second] == ["unchanged", "updated", "unchanged"] and not any("claimCode" in row for row in second)
    assert [row["outcome"] for row in third] == ["unchanged", "updated", "refused"]
    assert "EXTERNAL_ID_TAKEN" in {each["code"] for each in third[2]["problem"]["errors"]}


def test_an_owner_appoints_over_http(live: Live) -> None:
    owner = live.profiles["fsp-b"].organisation
    iri = install(live, owner=owner, ownerName=None, justification=None).json()["id"]

    appointed = live.client("fsp-b").post(f"{iri}/appointment", json={"appointedProvider": live.profiles["fsp-a"].organisation})
    found = look(live, scheme="SERIAL", value=appointed.json()["serialNumber"])

    assert (appointed.status_code, found.json()["items"][0]["nextStep"], claim(live, iri).status_code) == (200, "claim", 200)


@pytest.mark.parametrize("asked", [{"at": "yesterday"}, {"at": 7}, {"claimCode": 7}, {"claimCode": "x" * 65}, {"code": "x"}])
def test_a_lookup_that_is_not_understood_is_refused(live: Live, asked: dict[str, Any]) -> None:
    assert live.client("fsp-a").post("/assets/lookup", json={"scheme": "SERIAL", "value": "S-1", **asked}).status_code == 422


def test_whoever_tries_out_codes_is_held_back(tmp_path: Path) -> None:
    """C3: claims and lookups with a code are counted together, by organisation."""
    with Live(tmp_path, {"fsp-a": {"roles": ["FSP"]}, "fsp-b": {"roles": ["FSP"]}, "installer": {"roles": ["INSTALLER"]}}, FMAR_CLAIMS_PER_HOUR="4") as live:
        made = install(live)
        iri, code = made.json()["id"], made.headers[HEADER]
        tried = [claim(live, iri, claimCode=new_claim_code()).status_code for _ in range(3)]
        tried += [look(live, scheme="CLAIM_CODE", value=new_claim_code()).status_code, claim(live, iri, claimCode=new_claim_code()).status_code]
        held = look(live, scheme="CLAIM_CODE", value=new_claim_code())

        assert tried == [404, 404, 404, 404, 429] and held.status_code == 429
        assert claim(live, iri, "fsp-b", claimCode=code).status_code == 200, "others go on"
        assert live.stop() == 0, "and with that all lines are written"
        log = "".join(file.read_text("utf-8") for file in (live.folder / "log").glob("security*"))
        live.start()
        assert code not in log and '"action":"claim"' in log.replace(" ", "")


def extended(live: Live) -> httpx.Response:
    publisher = live.profiles["platform"].organisation
    fields = [{"extensionPublisher": publisher, "extensionName": name, "extensionValue": value} for name, value in (("baseline", "=P376, \"5 of 10\""), ("duration", "4 h"))]
    return live.register(extension=fields, externalId=f"x-{next(live.serials)}", friendlyCode=f"X-{next(live.serials)}")


@pytest.mark.parametrize("form", ["application/ld+json", "application/json", "text/turtle", "application/n-triples", "application/ld+json;profile=cim"])
def test_what_organisations_add_comes_back_in_every_format(live: Live, form: str) -> None:
    made, (media_type, _, profile) = extended(live), form.partition(";")
    query = {"profile": "cim"} if profile else {}
    told = live.client("fsp-a").get(made.json()["id"], headers={"Accept": media_type}, params=query)

    again = live.client("fsp-a").put(
        made.json()["id"], content=told.content, params=query, headers={"Content-Type": told.headers["Content-Type"], "If-Match": told.headers["ETag"]}
    )

    assert "P376" in told.text and "duration" in told.text
    assert (again.status_code, live.client("fsp-a").get(made.json()["id"]).json()) == (200, made.json()), again.text


def test_what_organisations_add_comes_back_in_a_table(live: Live) -> None:
    made = extended(live)
    table = live.client("fsp-a").get("/assets/export", headers={"Accept": "text/csv"}).text
    lines = [line for line in table.splitlines(keepends=True) if made.json()["id"] in line or line.startswith("id") or line.startswith("#")]

    answer = live.client("fsp-a").post("/assets/batch", content="".join(lines).encode(), headers={"Content-Type": "text/csv"})

    assert [json.loads(line)["outcome"] for line in answer.text.splitlines()] == ["unchanged"], answer.text


def test_an_asset_is_found_by_the_names_that_it_had_on_a_day(live: Live) -> None:
    evse = f"GB*OLD*E{next(live.serials).replace('-', '')}"
    made = live.register(alias=[{"scheme": "EVSE", "value": evse, "validFrom": "2020-01-01", "validTo": "2021-01-01"}])

    def found(**at: str) -> int:
        return look(live, scheme="EVSE", value=evse, **at).status_code

    assert (found(), found(at="2020-06-01"), found(at="2019-12-31"), found(at="2021-01-01"), found(at="2020-01-01")) == (404, 200, 404, 404, 200)
    assert live.register("fsp-b", alias=[{"scheme": "EVSE", "value": evse}]).json()["id"] != made.json()["id"]


def test_where_values_come_from_is_told_over_http(live: Live) -> None:
    made = live.register()

    told = live.client("fsp-a").get(f"{made.json()['id']}/provenance")

    assert (told.status_code, told.json()["record"]) == (200, made.json()["id"])
    assert {"field": "effectiveDate", "source": "DERIVED", "method": "DEFAULT", "quality": "GIVEN"} in told.json()["items"]
    assert live.client("dso-south").get(f"{made.json()['id']}/provenance").status_code == 404
