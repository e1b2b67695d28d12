"""Energy sources and technologies: the mapping table at work."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fmar_node.imports.reading import RowReading
from fmar_node.imports.spelling import packaged

from .conftest import codes, published

Read = Callable[..., RowReading]
STORED = "Stored Energy (all stored energy irrespective of the original energy source)"
ENGINE = "Engine (combustion / reciprocating)"


def mapped(reading: RowReading) -> tuple[str, str | None, str]:
    (document,) = reading.documents
    return document["assetCategory"], document.get("otherKind"), document["energySource"]


@pytest.mark.parametrize(
    ("source", "technology", "expected"),
    [
        ("Solar", "Photovoltaic", ("SOLAR_PV", None, "SOLAR")),
        ("solar", "Photovoltaic", ("SOLAR_PV", None, "SOLAR")),
        ("Photovoltaic", "Photovoltaic", ("SOLAR_PV", None, "SOLAR")),
        ("Wind onshore", "Onshore wind turbines", ("WIND_TURBINE", None, "WIND")),
        ("Wind offshore", "Offshore wind turbines", ("WIND_TURBINE", None, "WIND")),
        ("Storage battery", "Battery", ("BESS", None, "GRID")),
        ("Battery storage", "Battery", ("BESS", None, "GRID")),
        ("Storage", "Battery", ("BESS", None, "GRID")),
        ("Energy Storage", "Battery", ("BESS", None, "GRID")),
        (STORED, "Storage - Electrochemical  (Batteries)", ("BESS", None, "GRID")),
        (STORED, "Storage - Mechanical - Flywheel", ("OTHER", "STORAGE", "GRID")),
        (STORED, "Storage - Mechanical - Pumped Hydro", ("OTHER", "STORAGE", "HYDRO")),
        ("Fossil - Gas", ENGINE, ("OTHER", "GENERATION", "NATURAL_GAS")),
        ("Fosil gas", "Gas turbine (OCGT)", ("OTHER", "GENERATION", "NATURAL_GAS")),
        ("Fossil oil", ENGINE, ("OTHER", "GENERATION", "DIESEL")),
        ("biomass", "Steam turbine (thermal power plant)", ("OTHER", "GENERATION", "BIOMASS")),
        ("Landfill Gas, Sewage", ENGINE, ("OTHER", "GENERATION", "BIOGAS")),
        ("Biofuel sewage gas", ENGINE, ("OTHER", "GENERATION", "BIOGAS")),
        ("Waste", "Steam turbine (thermal power plant)", ("OTHER", "GENERATION", "OTHER")),
        ("Water (flowing water or head of water)", "Hydro - Run of river", ("OTHER", "GENERATION", "HYDRO")),
        ("Hydrogen", "Fuel Cell", ("OTHER", "GENERATION", "HYDROGEN")),
        ("Nuclear", "Other", ("OTHER", "GENERATION", "OTHER")),
    ],
)
def test_sources_and_technologies_are_mapped_and_kept(
    read: Read, source: str, technology: str, expected: tuple[str, str | None, str]
) -> None:
    reading = read({"Energy Source 1": source, "Energy Conversion Technology 1": technology})

    assert mapped(reading) == expected
    assert published(reading.documents[0])["Energy Source 1"] == source
    assert published(reading.documents[0])["Energy Conversion Technology 1"] == technology
    assert not {"SOURCE-DISAGREES", "SOURCE-UNKNOWN", "SOURCE-BY-WORD", "TECHNOLOGY-UNKNOWN"} & set(codes(reading))


def test_other_is_described_in_the_registers_words(read: Read) -> None:
    (document,) = read({"Energy Source 1": "Waste", "Energy Conversion Technology 1": ENGINE}).documents

    assert document["otherDescription"] == f"Waste; {ENGINE}"
    assert document["energyConversionType"] == ENGINE


def test_combined_heat_and_power_has_a_category(read: Read) -> None:
    (document,) = read(
        {
            "Energy Source 1": "Fossil - Gas",
            "Energy Conversion Technology 1": ENGINE,
            "CHP Cogeneration (Yes/No)": "Yes",
        }
    ).documents

    assert (document["assetCategory"], document["energySource"]) == ("CHP", "NATURAL_GAS")
    assert "otherKind" not in document and "otherDescription" not in document


def test_combined_heat_and_power_from_waste_is_still_described(read: Read) -> None:
    (document,) = read(
        {"Energy Source 1": "Waste", "Energy Conversion Technology 1": ENGINE, "CHP Cogeneration (Yes/No)": "Yes"}
    ).documents

    assert (document["assetCategory"], document["energySource"]) == ("CHP", "OTHER")
    assert document["otherDescription"] == f"Waste; {ENGINE}"


@pytest.mark.parametrize("technology", ["", "Data not available", "Storage - Electrical", "Other"])
def test_storage_of_no_named_kind_is_taken_for_a_battery_with_a_warning(read: Read, technology: str) -> None:
    reading = read({"Energy Source 1": STORED, "Energy Conversion Technology 1": technology})

    assert mapped(reading) == ("BESS", None, "GRID")
    assert "STORAGE-ASSUMED-BATTERY" in codes(reading, "W")


def test_an_unknown_source_becomes_other_with_a_description(read: Read) -> None:
    reading = read({"Energy Source 1": "Zero-point field", "Energy Conversion Technology 1": "Other"})

    assert mapped(reading) == ("OTHER", "GENERATION", "OTHER")
    assert reading.documents[0]["otherDescription"] == "Zero-point field; Other"
    assert codes(reading, "W") == ["SOURCE-UNKNOWN"]


def test_a_new_spelling_is_mapped_by_a_telling_word_with_a_warning(read: Read) -> None:
    reading = read({"Energy Source 1": "Ground-mounted solar array"})

    assert mapped(reading) == ("SOLAR_PV", None, "SOLAR")
    assert codes(reading, "W") == ["SOURCE-BY-WORD"]


def test_words_that_disagree_settle_nothing(read: Read) -> None:
    reading = read({"Energy Source 1": "Solar and wind park", "Energy Conversion Technology 1": "Other"})

    assert mapped(reading) == ("OTHER", "GENERATION", "OTHER")


def test_a_missing_source_is_taken_from_the_technology(read: Read) -> None:
    reading = read({"Energy Source 1": "", "Energy Conversion Technology 1": "Onshore wind turbines"})

    assert mapped(reading) == ("WIND_TURBINE", None, "WIND")
    assert codes(reading, "W") == ["SOURCE-FROM-TECHNOLOGY"]


def test_the_source_wins_over_a_technology_that_contradicts_it(read: Read) -> None:
    reading = read(
        {"Energy Source 1": "Solar", "Energy Conversion Technology 1": "Steam turbine (thermal power plant)"}
    )

    assert mapped(reading) == ("SOLAR_PV", None, "SOLAR")
    assert codes(reading, "W") == ["SOURCE-DISAGREES"]


def test_an_unknown_technology_is_kept_and_reported(read: Read) -> None:
    reading = read({"Energy Conversion Technology 1": "Perpetual motion"})

    assert reading.documents[0]["energyConversionType"] == "Perpetual motion"
    assert codes(reading, "W") == ["TECHNOLOGY-UNKNOWN"]


def test_a_row_that_names_no_technology_yields_no_document(read: Read) -> None:
    reading = read({"Energy Source 1": "-", "Energy Conversion Technology 1": "Data not available"})

    assert reading.documents == []
    assert reading.skipped is not None and reading.skipped.code == "TECHNOLOGY-MISSING"


def test_every_code_of_the_mapping_is_one_of_the_catalogue() -> None:
    sources = packaged().sources.values()

    assert {source.category for source in sources} <= {"SOLAR_PV", "WIND_TURBINE", "BESS", "OTHER"}
    assert {source.kind for source in sources} == {"GENERATION", "STORAGE", "DEMAND"}
    assert {source.code for source in sources} <= {
        "SOLAR", "WIND", "HYDRO", "BIOMASS", "BIOGAS", "NATURAL_GAS", "DIESEL", "HYDROGEN", "GRID", "OTHER",
    }  # fmt: skip
    assert all(packaged().licence_areas[name] == code for name, code in packaged().licence_areas.items())
