"""Steps 1 to 4: what it takes to register an asset, what the register says when it does not, and whom it asks."""

from __future__ import annotations

from typing import Any

import httpx

from fmar_node.cli.tour.visit import MERGE_PATCH, Visit, errors_of, expect, expect_that, journal_index

ISSUED = ("id", "registrationStatus", "managedBy", "registeredAt", "version", "shapesVersion", "defaulted")


def register(visit: Visit) -> str:
    """A provider registers a battery with its own document (UC-02.02)."""
    battery = visit.document("battery")
    visit.narrator.remark("examples/documents/battery.json, with a serial number and meter points of this visit:")
    made = visit.call("fsp-a", "POST", "/assets", 201, document=battery, keep=ISSUED, secrets=True, Idempotency_Key=f"tour-{visit.mark}-battery")
    record = made.json()
    expect("the record's id", made.headers["Location"], record["id"])
    expect("the version of a new record", 1, int(record["version"]))
    expect("who manages the asset", visit.profiles["fsp-a"].organisation, record["managedBy"])
    expect("the rated capacity", "500.00", record["ratedCapacity"])
    expect_that(made.headers["ETag"].startswith('"'), "the answer has a strong ETag")
    expect_that('rel="proof"' in made.headers["Link"], "the answer links to the proof of its receipt")
    expect_that(journal_index(made) < visit.journal_size(), "the entry of the receipt is in the journal")
    visit.kept["battery"] = made
    visit.kept["verified"] = visit.settled("fsp-a", httpx.URL(made.headers["Location"]).path)
    return f"The asset has an identifier, version 1, an ETag, and a receipt: entry {journal_index(made)} of the journal."


def refuse(visit: Visit) -> str:
    """A document with four mistakes gets four coded errors, and nothing is written."""
    before = visit.checkpoint()
    visit.narrator.remark("A misspelt key, a wrong check digit, a date that lies ahead, a serial number with a blank and a slash:")
    broken = visit.document("broken")
    broken |= {"importMPAN": _with_wrong_digit(broken["importMPAN"]), "serialNumber": "GP BESS/0002"}
    refused = visit.call("fsp-a", "POST", "/assets", 422, document=broken)
    wanted = [("A12", "/serialNumber"), ("A13", "/commissioningDate"), ("A20", "/importMPAN"), ("unknown-term", "/ratedCapcity")]
    expect("the errors", wanted, errors_of(refused))
    said = {each["code"]: each["message"] for each in refused.json()["errors"]}
    expect_that("ratedCapacity" in said["unknown-term"], "the misspelt key comes with a suggestion")
    visit.narrator.remark("The journal's checkpoint, the same before and after: origin, size, root hash.")
    visit.narrator.output("\n".join(before.splitlines()[:3]))
    expect("the journal's checkpoint after the refusal", before, visit.checkpoint())
    return f"All four at once, each on its field. Nothing was written: the journal still has {visit.journal_size()} entries."


def justify(visit: Visit) -> str:
    """Some rules bend for a stated reason, some only warn, and some gaps the register fills."""
    whole = visit.document("justified")
    visit.narrator.remark("The network has not allocated this solar farm's export meter point yet. Rule A21 wants one:")
    partial = {**whole, "justification": [each for each in whole["justification"] if each["rule"] != "A21"]}
    refused = visit.call("fsp-b", "POST", "/assets", 422, document=partial)
    expect("the errors", [("A21", "/exportMPAN")], errors_of(refused))
    expect("the severity", "J", refused.json()["errors"][0]["severity"])

    visit.narrator.remark("The same document with the reason, which stays on the record:")
    made = visit.call("fsp-b", "POST", "/assets", 201, document=whole, show=("assetName", "justification"), keep=("id", "mpanUnknownReason", "justification"))
    expect("the rules that were justified", ["A03", "A21"], sorted(each["rule"] for each in made.json()["justification"]))

    visit.narrator.remark("A battery without its stored energy and its energy source is registered with a warning, and a default:")
    warned = visit.call("fsp-c", "POST", "/assets", 201, document=visit.document("warned"), keep=("id", "energySource", "warning", "defaulted"))
    _expect_notes(warned.json())
    visit.kept["warned"] = warned
    return "Refused without a reason, registered with one; a warning and the filled terms stand on the record."


def ask_others(visit: Visit) -> str:
    """Sources outside are asked about every asset: one agrees, one does not, and a slip is mended (UC-02.02)."""
    visit.narrator.remark("The meter point service and the maker's register have answered about the battery meanwhile:")
    battery = visit.kept["verified"]
    _show_facts(visit, battery)
    expect("the state of the battery", "VERIFIED", battery.json()["registrationStatus"])

    visit.narrator.remark("A roof with an MCS certificate, and a slip in its postcode:")
    document = visit.document("certified")
    made = visit.call("fsp-c", "POST", "/assets", 201, document=document, show=("assetName", "postcode", "alias"), keep=("id", "registrationStatus"))
    path = httpx.URL(made.headers["Location"]).path
    queried = visit.settled("fsp-c", path)
    _show_facts(visit, queried)
    expect("the state of the roof", "QUERY", queried.json()["registrationStatus"])

    visit.narrator.remark("fsp-c looks at its papers. What it sends is asked of the register of certificates again:")
    mended = visit.call(
        "fsp-c", "PATCH", path, 200, document={"postcode": "SE1 4QP"}, media_type=MERGE_PATCH, keep=("postcode", "registrationStatus"),
        If_Match=queried.headers["ETag"],
    )  # fmt: skip
    expect("the state of the roof after the change", "PENDING_VALIDATION", mended.json()["registrationStatus"])
    expect("its state in the end", "VERIFIED", visit.settled("fsp-c", path).json()["registrationStatus"])
    return "Each answer is a fact of the record, with its source and time. A query says which field, and is answered by its provider."


def _show_facts(visit: Visit, response: httpx.Response) -> None:
    facts = [
        (each["evidenceKind"], each["evidenceField"], each["evidenceOutcome"], each.get("comparedWith") or each.get("comparedWithPersonal", ""))
        for each in response.json().get("evidence", ())
    ]
    visit.narrator.table(("source", "field", "outcome", "compared with"), facts)


def _expect_notes(record: dict[str, Any]) -> None:
    expect("the warnings", ["Asset.storageEnergyCapacity"], [each["rule"] for each in record["warning"]])
    expect("the filled energy source", "GRID", record["energySource"])
    expect_that("energySource" in record["defaulted"], "the record says that the energy source was filled")


def _with_wrong_digit(meter_point: str) -> str:
    return meter_point[:-1] + str((int(meter_point[-1]) + 4) % 10)
