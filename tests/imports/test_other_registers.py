"""REPD, TEC, BM units and the crosswalk: what becomes of the rows as published, and names that go from one register to the next."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fmar_node.checks.shape import Shapes
from fmar_node.cli.registering import linking, registering
from fmar_node.errors import Malformed, Severity
from fmar_node.imports.crosswalk import BM_UNITS, BM_UNITS_2022, POWER_STATIONS
from fmar_node.imports.project import register
from fmar_node.imports.reading import RowReading
from fmar_node.imports.report import Outcome, Report, Verdict
from fmar_node.imports.run import Register, run_import
from fmar_node.judge import Paper, judge
from fmar_node.settings import Settings
from fmar_node.vocabulary import Vocabulary
from tests.live import Live

from .conftest import shared_data

REPD, TEC = register("repd"), register("tec")
PROJECT = {
    "Old Ref ID": "B0001", "Ref ID": "101", "Record Last Updated (dd/mm/yyyy)": "20/06/2024", "Operator (or Applicant)": "Fennel Energy Ltd",
    "Site Name": "Sandpiper Farm", "Technology Type": "Solar Photovoltaics", "Installed Capacity (MWelec)": " 12.50 ", "CHP Enabled": "No",
    "Development Status (short)": "Awaiting Construction", "Country": "England", "Post Code": "NR25 6AA", "X-coordinate": "607000",
    "Y-coordinate": "338000", "Operational": "",
}  # fmt: skip
EMBEDDED = {
    "Project Name": "Sandpiper Storage", "Customer Name": "FENNEL ENERGY LTD", "Connection Site": "Norwich Main", "Cumulative Total Capacity (MW)": "49.9",
    "MW Effective From": "2030/10/31", "Project Status": "Scoping", "Agreement Type": "Embedded", "Plant Type": "Energy Storage System", "Project Number": "PRO-000001",
}  # fmt: skip


def table(path: Path, *rows: dict[str, str]) -> Path:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def repd(path: Path, *changes: dict[str, str], area: str = "") -> list[RowReading]:
    return REPD.read(REPD.read_rows(table(path / "repd.csv", *({**PROJECT, **each} for each in changes))), licence_area=area)


EACH = 25
"""Of so many rows one is judged: the shapes take their time."""


def by_the_shapes() -> Register:
    """A register that asks the node's own shapes."""
    vocabulary = Vocabulary.load()
    shapes = Shapes(vocabulary)

    def judged(document: dict[str, Any], key: str) -> Outcome:
        paper = Paper("assets", "register", "http://127.0.0.1:8080/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11", "application/ld+json", json.dumps(document).encode(), date(2026, 11, 22))
        covered = {each["rule"] for each in document["justification"]}
        faults = judge(paper, vocabulary, shapes, Settings()).faults
        blocking = [each for each in faults if each.severity is Severity.REJECT or (each.severity is Severity.JUSTIFY and each.code not in covered)]
        return Outcome(not blocking, faults=tuple(faults))

    return judged


def notes(reading: RowReading) -> set[str]:
    return {note.code for note in reading.notes}


def test_a_project_becomes_an_asset_that_is_not_connected_yet(tmp_path: Path) -> None:
    (reading,) = repd(tmp_path, {})

    (document,) = reading.documents
    assert (document["assetName"], document["assetCategory"], document["ratedCapacity"]) == ("Sandpiper Farm - Solar PV", "SOLAR_PV", "12500")
    assert (document["connectionStatus"], document["mpanUnknownReason"]) == ("PENDING", "NOT_YET_ALLOCATED")
    assert [alias["value"] for alias in document["alias"]] == ["101", "B0001"]
    assert document["publishedSource"] == "REPD 2024-06" and "dnoConnection" not in document


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Development Status (short)": "Abandoned"}, "PROJECT-ENDED"),
        ({"Country": "Northern Ireland"}, "OUTSIDE-GREAT-BRITAIN"),
        ({"Technology Type": "Gas Boiler"}, "TECHNOLOGY-NO-ELECTRICITY"),
        ({"Ref ID": ""}, "KEY-MISSING"),
        ({"Operator (or Applicant)": "Mr J Bloggs"}, "OWNER-INDIVIDUAL"),
    ],
)
def test_a_row_that_is_no_asset_says_why(tmp_path: Path, change: dict[str, str], code: str) -> None:
    (reading,) = repd(tmp_path, change)

    assert reading.skipped is not None and reading.skipped.code == code


def test_two_rows_with_one_key_are_neither(tmp_path: Path) -> None:
    assert {reading.skipped.code for reading in repd(tmp_path, {}, {"Site Name": "Another"}) if reading.skipped} == {"KEY-TWICE"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Installed Capacity (MWelec)": " "}, "CAPACITY-MISSING"),
        ({"Installed Capacity (MWelec)": "0"}, "CAPACITY-ZERO"),
        ({"Development Status (short)": "Perhaps"}, "STATUS-UNKNOWN"),
        ({"Technology Type": "Perpetuum mobile"}, "SOURCE-UNKNOWN"),
        ({"Operator (or Applicant)": ""}, "OWNER-MISSING"),
        ({"Development Status (short)": "Operational", "Operational": "01/04/2023"}, "LICENCE-AREA-UNKNOWN"),
    ],
)
def test_a_defect_is_noted(tmp_path: Path, change: dict[str, str], code: str) -> None:
    (reading,) = repd(tmp_path, change)

    assert code in notes(reading)


def test_who_knows_the_licence_area_says_it(tmp_path: Path) -> None:
    connected = {"Development Status (short)": "Operational", "Operational": "01/04/2023"}

    (reading,) = repd(tmp_path, connected, area="UKPN_EPN")

    assert (reading.documents[0]["dnoConnection"], reading.documents[0]["commissioningDate"]) == ("UKPN_EPN", "2023-04-01")
    assert "LICENCE-AREA-UNKNOWN" not in notes(reading)


def test_several_technologies_with_one_capacity_are_one_asset_of_no_category(tmp_path: Path) -> None:
    rows = TEC.read_rows(table(tmp_path / "tec.csv", {**EMBEDDED, "Plant Type": "Energy Storage System;PV Array (Photo Voltaic/solar)"}, {**EMBEDDED, "Project Number": "PRO-2", "Agreement Type": "Direct Connection"}))

    mixed, direct = TEC.read(rows)

    assert (mixed.documents[0]["assetCategory"], mixed.documents[0]["otherKind"]) == ("OTHER", "GENERATION") and "TECHNOLOGIES-JOINED" in notes(mixed)
    assert direct.skipped is not None and direct.skipped.code == "TRANSMISSION-CONNECTED"


@pytest.mark.parametrize(
    ("name", "file", "rows", "documents", "skipped"),
    [
        ("repd", "repd/repd-2024-q2.csv", 976, 672, {"PROJECT-ENDED": 274, "OUTSIDE-GREAT-BRITAIN": 29, "TECHNOLOGY-NO-ELECTRICITY": 1}),
        ("repd", "repd/repd-2021-q1.csv", 565, 366, {"PROJECT-ENDED": 179, "OUTSIDE-GREAT-BRITAIN": 20}),
        ("tec", "neso-tec/tec-register-2025-09-02.csv", 663, 134, {"TRANSMISSION-CONNECTED": 529}),
    ],
)
def test_a_whole_register_is_read(name: str, file: str, rows: int, documents: int, skipped: dict[str, int]) -> None:
    projects = register(name)
    readings = projects.read(projects.read_rows(shared_data(file)))

    report = run_import(readings[::EACH], by_the_shapes(), concurrency=1)

    assert (len(readings), sum(len(reading.candidates) for reading in readings)) == (rows, documents)
    assert Counter(reading.skipped.code for reading in readings if reading.skipped) == skipped
    refused = {reason.code for document in report.documents if document.verdict is Verdict.REFUSED for reason in document.reasons if reason.severity == "R"}
    assert refused <= {"A03", "A04", "A14", "A15", "A16", "A17", "A19"} and report.count(Verdict.JUSTIFIED) > 0


@pytest.mark.parametrize(
    ("names", "file", "rows", "skipped"),
    [
        (POWER_STATIONS, "osuked-identifiers/power-station-ids.csv", 131, None),
        (BM_UNITS, "elexon-bmu/bm-units-2025-11.json", 1190, None),
        (BM_UNITS_2022, "elexon-bmu/cra-registered-bm-units-2022-06.csv", 2503, {}),
    ],
)
def test_a_whole_list_of_names_is_read(names: Any, file: str, rows: int, skipped: dict[str, int] | None) -> None:
    readings = names.read(names.read_rows(shared_data(file)))

    assert len(readings) == rows and all(reading.skipped or reading.candidates for reading in readings)
    assert skipped is None or Counter(reading.skipped.code for reading in readings if reading.skipped) == skipped


@pytest.mark.parametrize("text", ["{}", "[1]", "[", '"x"'])
def test_a_list_of_names_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "units.json"
    file.write_text(text, "utf-8")

    with pytest.raises(Malformed):
        BM_UNITS.read_rows(file)


# -- from one register to the next, over HTTP


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with Live(tmp_path_factory.mktemp("registers"), {"fsp-a": {"roles": ["FSP"]}}) as live:
        yield live


def ran(node: Live, readings: list[RowReading], how: Any) -> Report:
    return run_import(readings, how(node.client("fsp-a"), {}), concurrency=4)


def outcomes(report: Report) -> dict[str, int]:
    return {verdict.value: count for verdict, count in Counter(document.verdict for document in report.documents).items()}


def test_names_go_from_one_register_to_the_next_and_a_repeat_changes_nothing(node: Live, tmp_path: Path) -> None:
    projects = repd(tmp_path, {"Ref ID": "901", "Old Ref ID": "B901"}, {"Ref ID": "902", "Old Ref ID": "B902", "Site Name": "Curlew Moor"})
    stations = table(
        tmp_path / "ids.csv",
        {"dictionary_id": "1", "name": "Sandpiper", "sett_bmu_id": "E_SAND-1, E_SAND-2", "ngc_bmu_id": "", "eic_id": "", "old_repd_id": "", "new_repd_id": "901"},
        {"dictionary_id": "2", "name": "Both", "sett_bmu_id": "E_BOTH-1", "ngc_bmu_id": "", "eic_id": "", "old_repd_id": "B901", "new_repd_id": "902"},
        {"dictionary_id": "3", "name": "Elsewhere", "sett_bmu_id": "E_ELSE-1", "ngc_bmu_id": "", "eic_id": "", "old_repd_id": "", "new_repd_id": "903"},
    )
    units = tmp_path / "units.json"
    units.write_text(json.dumps([{"elexonBmUnit": unit, "leadPartyId": "FENNEL", "eic": None} for unit in ("E_SAND-1", "E_SAND-2", "E_ELSE-1")] + [{"elexonBmUnit": None, "leadPartyId": None}]), "utf-8")

    registered = ran(node, projects, registering)
    crossed = ran(node, POWER_STATIONS.read(POWER_STATIONS.read_rows(stations)), linking)
    led = ran(node, BM_UNITS.read(BM_UNITS.read_rows(units)), linking)
    again = [ran(node, projects, registering), ran(node, POWER_STATIONS.read(POWER_STATIONS.read_rows(stations)), linking), ran(node, BM_UNITS.read(BM_UNITS.read_rows(units)), linking)]

    assert outcomes(registered) == {"justified": 2}, registered
    assert outcomes(crossed) == {"accepted": 1, "refused": 2}
    assert {reason.code for document in crossed.documents for reason in document.reasons} == {"ASSET-AMBIGUOUS", "ASSET-UNKNOWN"}
    assert {document.verdict for document in led.documents[:2]} == {Verdict.ACCEPTED, Verdict.UNCHANGED}  # both are of one asset, and whichever comes first adds the party
    assert led.count(Verdict.SKIPPED) == 1
    asset = node.client("fsp-a").get(registered.documents[0].asset).json()
    assert {(alias["scheme"], alias["value"]) for alias in asset["alias"]} == {("REPD", "901"), ("REPD", "B901"), ("BMU", "E_SAND-1"), ("BMU", "E_SAND-2"), ("BSC_PARTY", "FENNEL")}
    assert all(outcomes(report).keys() <= {"unchanged", "refused"} for report in again)


def test_a_later_release_changes_what_has_changed(node: Live, tmp_path: Path) -> None:
    before = {"Ref ID": "911", "Old Ref ID": "B911", "Site Name": "Dunlin Fen"}
    after = {**before, "Record Last Updated (dd/mm/yyyy)": "20/09/2025", "Development Status (short)": "Operational", "Operational": "01/09/2025"}
    ran(node, repd(tmp_path, before, {"Ref ID": "912", "Old Ref ID": "", "Site Name": "Godwit"}), registering)

    report = ran(node, repd(tmp_path, after, {"Ref ID": "912", "Old Ref ID": "", "Site Name": " GODWIT ", "Record Last Updated (dd/mm/yyyy)": "20/09/2025"}, area="UKPN_EPN"), registering)

    changed, same = report.documents
    asset = node.client("fsp-a").get(changed.asset).json()
    assert (asset["connectionStatus"], asset["commissioningDate"], asset["publishedSource"]) == ("CONNECTED", "2025-09-01", "REPD 2025-09")
    assert len(node.client("fsp-a").get(f"{changed.asset}/versions").json()["items"]) == 2
    assert same.verdict is not Verdict.REFUSED
