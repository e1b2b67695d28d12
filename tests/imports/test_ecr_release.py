"""A whole file: keys, twins, shared meter points, and what a later release changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fmar_node.imports.ecr import read_rows
from fmar_node.imports.reading import RowReading
from fmar_node.imports.release import changed_terms, read_register, release_name

from .conftest import HYBRID, C, codes

File = Callable[..., Path]
OTHER_POINT = {"Export MPAN / MSID": "1000000000040"}
LARGER = {"Already connected Registered Capacity (MW)": "60", C.format(1): "60"}


def read_all(path: Path, release: str = "") -> list[RowReading]:
    return read_register(read_rows(path), release)


def keys(readings: list[RowReading]) -> list[str]:
    return [candidate.key for reading in readings for candidate in reading.candidates]


def aliases(readings: list[RowReading]) -> list[str]:
    return [document["alias"][0]["value"] for reading in readings for document in reading.documents]


def test_the_release_is_named_by_publisher_and_newest_change(file: File) -> None:
    path = file({"Last Updated": "2024-01-15"}, {"Last Updated": "201-06-14"}, {"Last Updated": "14/08/2025"})

    assert release_name(list(read_rows(path))) == "UKPN ECR 2025-08"


def test_a_release_without_dates_and_areas_is_still_named(file: File) -> None:
    assert release_name(list(read_rows(file({"Last Updated": "", "Licence Area": ""})))) == "ECR"


def test_the_same_file_gives_the_same_keys_and_documents(file: File) -> None:
    path = file({}, HYBRID, OTHER_POINT)

    assert read_all(path) == read_all(path)


def test_keys_tell_rows_technologies_and_releases_apart(file: File) -> None:
    path = file({}, HYBRID, OTHER_POINT, {})

    both = [*keys(read_all(path, "UKPN ECR 2025-08")), *keys(read_all(path, "UKPN ECR 2025-09"))]

    assert len(set(both)) == len(both) == 10
    assert all(key.startswith("ecr-") and len(key) == 44 for key in both)


def test_a_key_does_not_depend_on_the_place_of_the_row(file: File) -> None:
    first = keys(read_all(file({}, OTHER_POINT)))

    assert sorted(first) == sorted(keys(read_all(file(OTHER_POINT, {}))))


def test_aliases_outlive_reformatting(file: File) -> None:
    before = aliases(read_all(file({})))

    after = aliases(
        read_all(file({"Customer Site": "SANDPIPER  FARM", "Energy Source 1": "solar", "Last Updated": "2026-01-01"}))
    )

    assert before == after


def test_twins_get_numbered_aliases(file: File) -> None:
    first, second = aliases(read_all(file({}, {})))

    assert second == f"{first}-2"


def test_a_meter_point_on_two_rows_is_reported_as_shared(file: File) -> None:
    readings = read_all(file({}, {"Customer Site": "Godwit Farm", **LARGER}, OTHER_POINT))

    assert [codes(reading) for reading in readings] == [["MPAN-SHARED"], ["MPAN-SHARED"], []]


def test_rows_that_agree_on_everything_are_ambiguous_and_not_justified(file: File) -> None:
    first, second = read_all(file({}, {"Last Updated": "2025-01-01"}))

    assert codes(first) == codes(second) == ["MPAN-AMBIGUOUS"]
    assert [each["rule"] for each in second.documents[0]["justification"]] == ["A03"]


def test_another_machine_of_like_size_at_the_meter_point_is_justified(file: File) -> None:
    first, second = read_all(file({}, {"Customer Site": "Godwit Farm"}))

    for reading in (first, second):
        assert codes(reading) == ["MPAN-SHARED"]
        assert [each["rule"] for each in reading.documents[0]["justification"]] == ["A03", "DUPLICATE_PROBABLE"]


def test_like_technologies_of_one_row_are_justified(file: File) -> None:
    twice = {"Energy Source 2": "Solar", "Energy Conversion Technology 2": "Photovoltaic", C.format(2): "6.0"}

    (reading,) = read_all(file(twice))

    rules = [[each["rule"] for each in document["justification"]] for document in reading.documents]
    assert rules == [["A03", "DUPLICATE_PROBABLE"]] * 2
    assert codes(reading) == []


def test_a_reformatted_row_changes_nothing(file: File) -> None:
    (before,) = read_all(file({}))[0].documents
    record = {
        **before,
        "ratedCapacity": 6000.0,
        "assetId": "x",
        "registrationStatus": "VERIFIED",
        "gspGroup": "codes/GSPGroup#_A",
    }

    (after,) = read_all(
        file({"Primary": "HOLT PRIMARY 11KV", "Customer Name": "FENNEL ENERGY LTD", "Last Updated": "2026-01-01"})
    )[0].documents

    assert changed_terms(after, record) == ()


def test_a_changed_row_names_what_changed(file: File) -> None:
    (before,) = read_all(file({}))[0].documents

    (after,) = read_all(file({**LARGER, "Export MPAN / MSID": "-"}))[0].documents

    assert changed_terms(after, before) == (
        "exportMPAN",
        "genCapacity",
        "installedCapacity",
        "mpanUnknownReason",
        "ratedCapacity",
    )


RECORD = {
    "gridSupplyPoint": "WALPOLE GIS 132KV", "bulkSupplyPoint": "MARCH GRID 132/33kV", "primarySubstation": "MALDON CAUSEWAY PRIMARY 33/11kV",
    "energyConversionType": "Battery", "otherDescription": "Gas; Engine (combustion / reciprocating)", "assetName": "Old Road 33kV - Natural gas",
}  # fmt: skip


@pytest.mark.parametrize(
    ("term", "value"),
    [
        ("gridSupplyPoint", "Walpole"),
        ("bulkSupplyPoint", "March Grid 33kV"),
        ("primarySubstation", "Maldon Causeway Primary 11kV"),
        ("energyConversionType", "Storage - Electrochemical (Batteries)"),
        ("otherDescription", "Fossil - Gas; Engine (combustion / reciprocating)"),
        ("assetName", "OLD ROAD - Natural gas"),
    ],
)
def test_what_a_release_only_writes_otherwise_is_no_change(term: str, value: str) -> None:
    assert changed_terms({**RECORD, term: value}, RECORD) == ()


@pytest.mark.parametrize(
    ("term", "value"),
    [
        ("gridSupplyPoint", "Walpole East"),
        ("bulkSupplyPoint", "Swaffham Grid 33kV"),
        ("primarySubstation", "Main Grid"),
        ("energyConversionType", "Onshore wind turbines"),
        ("otherDescription", "Waste; Engine (combustion / reciprocating)"),
        ("assetName", "New Road - Natural gas"),
    ],
)
def test_what_a_release_says_otherwise_is_a_change(term: str, value: str) -> None:
    assert changed_terms({**RECORD, term: value}, RECORD) == (term,)
