"""Steps 7 to 9: what becomes of an asset after its registration, until it leaves the register."""

from __future__ import annotations

from typing import Any

import httpx

from fmar_node.cli.tour.visit import MERGE_PATCH, Visit, errors_of, expect, expect_that


def change(visit: Visit) -> str:
    """Two people change one record: the second has to read what the first one did (UC-02.04)."""
    made, read = visit.kept["battery"], visit.kept["verified"]
    path = path_of(made)
    visit.narrator.remark("The battery takes more power than it did. If-Match names the version that the change is based on, the verified one:")
    stronger = {"demandCapacity": "500.00"}
    first = visit.call("fsp-a", "PATCH", path, 200, document=stronger, media_type=MERGE_PATCH, keep=("demandCapacity", "version"), If_Match=read.headers["ETag"])
    expect("the version after the first change", 3, int(first.json()["version"]))

    visit.narrator.remark("A colleague still has version 2 on the screen and renames the asset:")
    renamed = {"assetName": "Green Park battery North"}
    stale = visit.call("fsp-a", "PATCH", path, 412, document=renamed, media_type=MERGE_PATCH, If_Match=read.headers["ETag"])
    expect("the problem", "version-stale", stale.json()["code"])

    visit.narrator.remark("Having read version 3, the colleague sends its ETag:")
    second = visit.call("fsp-a", "PATCH", path, 200, document=renamed, media_type=MERGE_PATCH, keep=("assetName", "version"), If_Match=first.headers["ETag"])
    expect("the name now", "Green Park battery North", second.json()["assetName"])
    _look_back(visit, path, made)
    return "No change is lost by accident, and every earlier state can be read again."


def _look_back(visit: Visit, path: str, made: httpx.Response) -> None:
    visit.narrator.remark("Who changed what, and when:")
    history = visit.call("fsp-a", "GET", f"{path}/history", 200).json()["items"]
    rows = [[str(each["version"]), each["recordedAt"], each["action"], str(each["journalIndex"]), _changed(each)] for each in history]
    visit.narrator.table(("version", "recordedAt", "action", "entry", "changed"), rows, numbers=("version", "entry"))
    expect("the actions", ["register", "verification", "update", "update"], [each["action"] for each in history])

    visit.narrator.remark("The record as it stood when it was registered:")
    then = visit.call("fsp-a", "GET", f"{path}?at={made.json()['recordedAt']}", 200, keep=("assetName", "demandCapacity", "version")).json()
    expect("the state then", ("Green Park battery 1", "480.00"), (then["assetName"], then["demandCapacity"]))


def _changed(line: dict[str, Any]) -> str:
    names = [name for name in line["changed"] if name not in ("version", "recordedAt", "recordedBy")]
    return ", ".join(names) if len(names) < 6 else f"{len(names)} terms"


def find(visit: Visit) -> str:
    """Identifiers find assets, for those who may know of them, and keep assets from standing in the register twice."""
    battery = visit.kept["battery"].json()
    visit.narrator.remark("fsp-a looks its battery up by meter point, then by serial number. Identifiers travel in the body:")
    by_meter_point = {"scheme": "MPAN", "value": battery["exportMPAN"]}
    by_serial = {"scheme": "SERIAL", "value": battery["serialNumber"], "manufacturer": battery["manufacturer"]}
    for asked in (by_meter_point, by_serial):
        found = visit.call("fsp-a", "POST", "/assets/lookup", 200, document=asked, keep=("items",)).json()["items"]
        expect("what was found", [battery["id"]], [each["id"] for each in found])

    visit.narrator.remark("fsp-b asks for the same meter point, then for one that nobody has: it cannot tell the two apart.")
    theirs = visit.call("fsp-b", "POST", "/assets/lookup", 404, document=by_meter_point)
    nobodys = visit.call("fsp-b", "POST", "/assets/lookup", 404, document={"scheme": "MPAN", "value": visit.meter_point("10", 9)})
    expect("the two answers", theirs.text, nobodys.text)

    visit.narrator.remark("fsp-b registers the same machine, by manufacturer and serial number, at meter points of its own:")
    twin = visit.document("battery") | {"importMPAN": visit.meter_point("10", 7), "exportMPAN": visit.meter_point("10", 8)}
    refused = visit.call("fsp-b", "POST", "/assets", 409, document=twin, show=("manufacturer", "serialNumber", "importMPAN", "exportMPAN"))
    expect("the errors", [("DUPLICATE_EXACT", "/serialNumber")], errors_of(refused))
    expect_that(visit.profiles["fsp-a"].organisation not in refused.text and battery["id"] not in refused.text, "the refusal names nobody")
    return "Found by those who may know, not found by anybody else, and a duplicate refused without naming its holder."


def leave(visit: Visit) -> str:
    """The end of an asset's life, and why an organisation cannot leave before its assets (UC-02.03, UC-01.04)."""
    path = path_of(visit.kept["battery"])
    visit.narrator.remark("The battery is taken down. Records are never deleted; their state says that they ended:")
    gone = visit.call(
        "fsp-a", "POST", f"{path}/deregistration", 200, document={"deregistrationReason": "DECOMMISSIONED"},
        keep=("registrationStatus", "deregistrationReason", "deregisteredAt", "version"),
    ).json()  # fmt: skip
    expect("the state of the battery", "DEREGISTERED", gone["registrationStatus"])

    visit.narrator.remark("fsp-a wants to leave the register as a whole:")
    own = httpx.URL(visit.profiles["fsp-a"].organisation).path
    refused = visit.call("fsp-a", "POST", f"{own}/deregistration", 409, document={})
    expect("the errors", ["LIVE_ASSETS"], [code for code, _ in errors_of(refused)])
    status = visit.client("fsp-a").get(own).json()["organisationStatus"]
    expect("the state of fsp-a", "ACTIVE", status)
    return "The asset is de-registered; the organisation stays until its assets are, and is told what to do first."


def path_of(made: httpx.Response) -> str:
    """The path of the record that a registration made."""
    return httpx.URL(made.headers["Location"]).path
