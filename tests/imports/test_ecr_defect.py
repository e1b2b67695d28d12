"""Each defect of the table in domain section 7, on a made-up row."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from fmar_node.imports.reading import RowReading

from .conftest import ACCEPTED, HYBRID, C, Desk, codes, published

Read = Callable[..., RowReading]
CONNECTED_MW = "Already connected Registered Capacity (MW)"
BATTERY = {"Energy Source 1": "Battery storage", "Energy Conversion Technology 1": "Battery"}


def rules(reading: RowReading) -> list[str]:
    return [each["rule"] for each in reading.documents[0]["justification"]]


def test_a_clean_row_is_one_accepted_document_without_notes(read: Read, desk: Desk) -> None:
    reading = read()

    (document,) = reading.documents
    assert codes(reading) == []
    assert desk.register(document, "k").is_accepted
    assert document["assetName"] == "Sandpiper Farm - Solar PV"
    assert (document["ownerKind"], document["ownerName"]) == ("ORGANISATION", "Fennel Energy Ltd")
    assert (document["dnoConnection"], document["gspGroup"]) == ("UKPN_EPN", "_A")
    assert (document["gridSupplyPoint"], document["primarySubstation"]) == ("Norwich Main", "Holt Primary 11kV")
    assert (document["agreedExportCapacity"], document["agreedImportCapacity"]) == ("5500", "300")
    assert (document["commissioningDate"], document["publishedSource"]) == ("2016-10-01", "UKPN ECR 2025-08")
    assert "effectiveDate" not in document and "bulkSupplyPoint" not in document


# -- meter points


@pytest.mark.parametrize(
    "cell", ["Data not available", "", "-", "NULL", "to be confirmed", "To Be Confirmed", "0", "0.0", "N/A", "TBC"]
)
def test_a_placeholder_is_a_missing_mpan_withheld_by_the_source(read: Read, desk: Desk, cell: str) -> None:
    reading = read({"Export MPAN / MSID": cell})

    (document,) = reading.documents
    assert "exportMPAN" not in document
    assert document["mpanUnknownReason"] == "WITHHELD_BY_SOURCE"
    assert rules(reading) == ["A03", "A21"]
    assert desk.register(document, "k").is_accepted


def test_storage_without_any_mpan_is_justified_by_x01(read: Read) -> None:
    reading = read({**BATTERY, "Export MPAN / MSID": "-"})

    assert rules(reading) == ["A03", "X01"]


def test_storage_with_an_import_mpan_alone_needs_no_justification(read: Read, desk: Desk) -> None:
    reading = read({**BATTERY, "Export MPAN / MSID": "-", "Import MPAN / MSID": "1000000000040"})

    (document,) = reading.documents
    assert rules(reading) == ["A03"]
    assert "mpanUnknownReason" not in document
    assert desk.register(document, "k").is_accepted


def test_demand_needs_its_import_mpan(read: Read, desk: Desk) -> None:
    reading = read({"Energy Source 1": "Demand", "Energy Conversion Technology 1": "Other"})

    (document,) = reading.documents
    assert (document["assetCategory"], document["otherKind"], document["demandTechType"]) == (
        "OTHER",
        "DEMAND",
        "OTHER",
    )
    assert (document["genCapacity"], document["demandCapacity"]) == ("0", "6000")
    assert rules(reading) == ["A03", "A20"]
    assert desk.register(document, "k").is_accepted


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("2.00006E+12", "MPAN-SCIENTIFIC"),
        ("1.20004E+12", "MPAN-SCIENTIFIC"),
        ("1200010257778", "MPAN-CHECK-DIGIT"),
        ("0000000000000", "MPAN-CHECK-DIGIT"),
        ("120003648123", "MPAN-SHAPE"),
        ("1200 0364 81236", "MPAN-SHAPE"),
        ("1200036481236 / 1000000000003", "MPAN-SHAPE"),
        ("7102", "MPAN-SHAPE"),
        ("١٢٠٠٠٣٦٤٨١٢٣٦", "MPAN-SHAPE"),
    ],
)
def test_a_wrong_mpan_is_refused_kept_as_published_and_left_to_query(
    read: Read, desk: Desk, cell: str, code: str
) -> None:
    reading = read({"Export MPAN / MSID": cell})

    (document,) = reading.documents
    assert codes(reading, "R-field") == [code]
    assert "exportMPAN" not in document and "mpanUnknownReason" not in document
    assert published(document)["Export MPAN / MSID"] == cell
    assert [fault.code for fault in desk.register(document, "k").faults] == ["A21"]


def test_a_refused_mpan_is_not_repeated_in_the_note(read: Read) -> None:
    (note,) = read({"Export MPAN / MSID": "1200010257778"}).notes

    assert note.published == "1200010257778"
    assert "1200010257778" not in json.dumps(note.as_json())


def test_of_a_full_mpan_the_core_is_taken_and_the_original_kept(read: Read) -> None:
    (document,) = read({"Export MPAN / MSID": "008451991000000000003"}).documents

    assert document["exportMPAN"] == "1000000000003"
    assert published(document)["Export MPAN / MSID"] == "008451991000000000003"


def test_equal_import_and_export_mpan_are_reported_and_kept_for_generation(read: Read, desk: Desk) -> None:
    reading = read({"Import MPAN / MSID": "1000000000003"})

    (document,) = reading.documents
    assert codes(reading) == ["MPAN-EQUAL"]
    assert document["importMPAN"] == document["exportMPAN"]
    assert desk.register(document, "k").is_accepted


def test_equal_import_and_export_mpan_leave_a_battery_its_export(read: Read, desk: Desk) -> None:
    reading = read({**BATTERY, "Import MPAN / MSID": "1000000000003"})

    (document,) = reading.documents
    assert "MPAN-EQUAL" in codes(reading)
    assert "importMPAN" not in document
    assert desk.register(document, "k").is_accepted


def test_a_reference_that_holds_an_mpan_is_detected_and_stays_personal(read: Read) -> None:
    reading = read({"Reference": "1200036481236"})

    (document,) = reading.documents
    (note,) = reading.notes
    assert note.code == "REFERENCE-IS-MPAN"
    assert published(document)["Reference"] == "1200036481236"
    assert "1200036481236" not in json.dumps([note.as_json(), {**document, "publishedValue": []}])


# -- several technologies


def test_a_hybrid_is_several_assets_on_one_connection(read: Read, desk: Desk) -> None:
    solar, battery = read(HYBRID).documents

    assert (solar["assetCategory"], battery["assetCategory"]) == ("SOLAR_PV", "BESS")
    assert (solar["ratedCapacity"], battery["ratedCapacity"]) == ("6000", "4250")
    assert solar["exportMPAN"] == battery["exportMPAN"]
    assert solar["agreedExportCapacity"] == battery["agreedExportCapacity"] == "5500"
    assert battery["demandCapacity"] == "300"
    assert desk.register(solar, "1").is_accepted and desk.register(battery, "2").is_accepted


def test_a_second_technology_without_its_own_capacity_is_refused_for_it(read: Read, desk: Desk) -> None:
    reading = read({**HYBRID, C.format(2): ""})

    solar, battery = reading.documents
    assert [(note.code, note.technology) for note in reading.notes if note.severity == "R-field"] == [
        ("CAPACITY-MISSING", 2)
    ]
    assert desk.register(solar, "1").is_accepted
    assert "A04" in [fault.code for fault in desk.register(battery, "2").faults]


def test_a_capacity_without_a_technology_becomes_no_asset(read: Read) -> None:
    reading = read({C.format(2): "5.0"})

    assert len(reading.documents) == 1
    assert codes(reading) == ["TECHNOLOGY-UNNAMED"]


# -- capacities


@pytest.mark.parametrize(
    ("megawatts", "kilowatts"),
    [
        ("4.999", "4999"),
        ("0.0010", "1"),
        ("0.25", "250"),
        ("49.9", "49900"),
        ("1.23456", "1234.56"),
        ("7", "7000"),
        ("1,200.5", "1200500"),
        ("500 kW", "500"),
        (".5", "500"),
    ],
)
def test_megawatts_become_kilowatts_exactly(read: Read, megawatts: str, kilowatts: str) -> None:
    (document,) = read({CONNECTED_MW: megawatts, C.format(1): megawatts}).documents

    assert {document[term] for term in ("ratedCapacity", "installedCapacity", "genCapacity")} == {kilowatts}
    assert document["demandCapacity"] == "0"


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("", "CAPACITY-MISSING"),
        ("0", "CAPACITY-ZERO"),
        ("0.0", "CAPACITY-ZERO"),
        ("-1", "CAPACITY-NEGATIVE"),
        ("49.900000000000006", "CAPACITY-PRECISION"),
        ("5E1", "SCIENTIFIC-NOTATION"),
        ("about 5", "NUMBER-UNREADABLE"),
        ("5 MVA", "NUMBER-UNREADABLE"),
        ("9" * 40, "NUMBER-UNREADABLE"),
    ],
)
def test_a_capacity_without_a_certain_value_is_refused(read: Read, desk: Desk, cell: str, code: str) -> None:
    reading = read({CONNECTED_MW: cell, C.format(1): cell})

    (document,) = reading.documents
    assert codes(reading, "R-field") == [code]
    assert "ratedCapacity" not in document
    assert not desk.register(document, "k").is_accepted


def test_the_capacity_of_the_status_goes_before_the_technologys_and_both_are_kept(read: Read) -> None:
    reading = read({CONNECTED_MW: "8.0", C.format(1): "7.8"})

    (document,) = reading.documents
    assert codes(reading) == ["CAPACITY-DISAGREES"]
    assert document["ratedCapacity"] == "8000"
    assert published(document)[C.format(1)] == "7.8"


def test_mva_alone_is_not_turned_into_kilowatts(read: Read) -> None:
    reading = read({"Already Connected - Maximum Export Capacity (MW)": ""})

    (document,) = reading.documents
    assert codes(reading) == ["CAPACITY-MVA-ONLY"]
    assert "agreedExportCapacity" not in document
    assert published(document)["Already Connected - Maximum Export Capacity (MVA)"] == "5.789"


def test_storage_without_energy_is_a_warning(read: Read) -> None:
    assert codes(read(BATTERY)) == ["STORAGE-ENERGY-MISSING"]


def test_storage_energy_becomes_kilowatt_hours(read: Read) -> None:
    reading = read({**BATTERY, "Storage Capacity 1 (MWh)": "12.5"})

    assert reading.documents[0]["storageEnergyCapacity"] == "12500"
    assert codes(reading) == []


def test_a_battery_takes_no_more_than_it_is_rated_for(read: Read) -> None:
    (document,) = read({**BATTERY, "Already Connected - Maximum Import Capacity (MW)": "50"}).documents

    assert (document["demandCapacity"], document["agreedImportCapacity"]) == ("6000", "50000")


# -- status, flexibility, dates


def test_accepted_to_connect_is_pending_with_the_accepted_columns(read: Read, desk: Desk) -> None:
    (document,) = read({**ACCEPTED, C.format(1): "7.0"}).documents

    assert document["connectionStatus"] == "PENDING"
    assert document["ratedCapacity"] == "6000"
    assert (document["agreedExportCapacity"], document["agreedImportCapacity"]) == ("5000", "200")
    assert "commissioningDate" not in document
    assert published(document)["Connection Status"] == "Accepted to Connect"
    assert desk.register(document, "k").is_accepted


@pytest.mark.parametrize("cell", ["", "-", "Rumoured"])
def test_an_unknown_status_is_refused(read: Read, desk: Desk, cell: str) -> None:
    reading = read({"Connection Status": cell})

    assert "STATUS-UNKNOWN" in codes(reading, "R-field")
    assert "A14" in [fault.code for fault in desk.register(reading.documents[0], "k").faults]


@pytest.mark.parametrize(("cell", "type_"), [("Yes", "NON_FIRM"), ("y", "NON_FIRM"), ("No", "FIRM")])
def test_a_flexible_connection_is_not_firm(read: Read, cell: str, type_: str) -> None:
    (document,) = read({"Flexible Connection (Yes/No)": cell}).documents

    assert (document["connectionType"], document["flexibleConnection"]) == (type_, type_ == "NON_FIRM")


@pytest.mark.parametrize("cell", ["", "To Be Confirmed"])
def test_an_unstated_flexibility_is_firm_with_a_warning(read: Read, cell: str) -> None:
    reading = read({"Flexible Connection (Yes/No)": cell})

    assert codes(reading) == ["FLEXIBLE-UNKNOWN"]
    assert reading.documents[0]["connectionType"] == "FIRM"
    assert "flexibleConnection" not in reading.documents[0]


@pytest.mark.parametrize(
    "cell",
    ["2016-10-01", "2016-10-01T00:00:00+00:00", "01/10/2016", "1/10/2016 00:00", "01-Oct-2016", "1 October 2016"],
)
def test_dates_are_read_year_first_and_day_first(read: Read, cell: str) -> None:
    assert read({"Date Connected": cell}).documents[0]["commissioningDate"] == "2016-10-01"


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("", "DATE-MISSING"),
        ("1900-01-01", "DATE-MISSING"),
        ("201-06-14", "DATE-UNREADABLE"),
        ("2021-02-30", "DATE-UNREADABLE"),
        ("42644", "DATE-UNREADABLE"),
        ("01/10/16", "DATE-UNREADABLE"),
        ("1-Foo-2016", "DATE-UNREADABLE"),
    ],
)
def test_connected_without_a_readable_date_goes_to_query(read: Read, desk: Desk, cell: str, code: str) -> None:
    reading = read({"Date Connected": cell})

    assert codes(reading, "R-field") == [code]
    assert [fault.code for fault in desk.register(reading.documents[0], "k").faults] == ["A14"]


def test_an_unreadable_date_of_change_is_only_a_warning(read: Read, desk: Desk) -> None:
    reading = read({"Last Updated": "201-06-14"})

    assert codes(reading, "W") == ["DATE-UNREADABLE"]
    assert desk.register(reading.documents[0], "k").is_accepted


# -- place


@pytest.mark.parametrize(
    ("cell", "kilovolts"),
    [("33kV", "33"), ("33", "33"), ("33.0", "33"), ("6.6", "6.6"), ("400 V", "0.4"), ("LV", "0.4")],
)
def test_voltages_are_read_as_kilovolts(read: Read, cell: str, kilovolts: str) -> None:
    (document,) = read({"Point of Connection (POC)_Voltage (kV)": cell}).documents

    assert document["connectionVoltage"] == kilovolts


@pytest.mark.parametrize(
    ("cell", "noted"),
    [
        ("", []),
        ("to be confirmed", []),
        ("0.0", ["VOLTAGE-ZERO"]),
        ("HV", ["NUMBER-UNREADABLE"]),
        ("11000", ["VOLTAGE-UNREADABLE"]),
    ],
)
def test_no_voltage_is_made_up(read: Read, cell: str, noted: list[str]) -> None:
    reading = read({"Point of Connection (POC)_Voltage (kV)": cell})

    assert codes(reading) == noted
    assert "connectionVoltage" not in reading.documents[0]


@pytest.mark.parametrize(
    ("east", "north", "noted"),
    [
        ("0", "0", ["COORDINATES-ZERO"]),
        ("", "", []),
        ("3862265", "400000", ["COORDINATES-OUTSIDE"]),
        ("607000", "", []),
    ],
)
def test_zero_and_impossible_coordinates_are_missing(read: Read, east: str, north: str, noted: list[str]) -> None:
    reading = read(
        {
            "Location (X-coordinate):_Eastings (where data is held)": east,
            "Location (y-coordinate):_Northings (where data is held)": north,
        }
    )

    assert codes(reading, "W") == noted
    assert not {"easting", "northing"} & reading.documents[0].keys()


@pytest.mark.parametrize("cell", ["ME2", "Rm9", "C012 5NB"])
def test_an_unusual_postcode_is_kept_as_written_with_a_warning(read: Read, cell: str) -> None:
    reading = read({"Postcode": cell})

    assert codes(reading, "W") == ["POSTCODE-UNUSUAL"]
    assert reading.documents[0]["postcode"] == published(reading.documents[0])["Postcode"] == cell


def test_a_postcode_is_tidied_and_its_original_kept(read: Read) -> None:
    (document,) = read({"Postcode": "nr256aa"}).documents

    assert document["postcode"] == "NR25 6AA"
    assert published(document)["Postcode"] == "nr256aa"


@pytest.mark.parametrize(
    ("cell", "dno", "group"),
    [
        ("London Power Networks (LPN)", "UKPN_LPN", "_C"),
        ("National Grid Electricity Distribution (South West) Plc", "NGED_SWEST", "_L"),
        ("NGED East Midlands", "NGED_EMID", "_B"),
        ("SPM", "SPEN_SPM", "_D"),
        ("electricity north west", "ENWL", "_G"),
        ("SEPD", "SSEN_SEPD", "_H"),
    ],
)
def test_licence_areas_are_mapped_to_their_group(read: Read, cell: str, dno: str, group: str) -> None:
    (document,) = read({"Licence Area": cell}).documents

    assert (document["dnoConnection"], document["gspGroup"]) == (dno, group)
    assert published(document)["Licence Area"] == cell


def test_an_unknown_licence_area_is_refused(read: Read, desk: Desk) -> None:
    reading = read({"Licence Area": "Atlantis"})

    assert codes(reading, "R-field") == ["LICENCE-AREA-UNKNOWN"]
    assert [fault.code for fault in desk.register(reading.documents[0], "k").faults] == ["A19"]


def test_a_missing_licence_area_is_told_by_a_meter_point_that_fixes_it(read: Read) -> None:
    reading = read({"Licence Area": ""})

    assert codes(reading) == ["LICENCE-AREA-FROM-MPAN"]
    assert reading.documents[0]["dnoConnection"] == "UKPN_EPN"


# -- names


@pytest.mark.parametrize(
    ("site", "name"),
    [
        ("St Mary's Lane", "St Marys Lane - Solar PV"),
        ("ROSE & CROWN FARM", "ROSE and CROWN FARM - Solar PV"),
        ("Adj. Watling Street, Borehamwood", "Adj Watling Street Borehamwood - Solar PV"),
        ("(ANM) Land at Café–Ost", "(ANM) Land at Café-Ost - Solar PV"),
        ("Boiler {Room)\tN°1", "Boiler Room) N 1 - Solar PV"),
    ],
)
def test_the_name_keeps_to_the_alphabet_of_a02(read: Read, desk: Desk, site: str, name: str) -> None:
    (document,) = read({"Customer Site": site}).documents

    assert document["assetName"] == name
    assert published(document)["Customer Site"] == site
    assert desk.register(document, "k").is_accepted


def test_a_long_name_is_cut_before_the_technology(read: Read) -> None:
    (document,) = read({"Customer Site": "x" * 400}).documents

    assert len(document["assetName"]) == 255
    assert document["assetName"].endswith("x - Solar PV")


@pytest.mark.parametrize("site", ["", "Fennel Energy Ltd", "FENNEL ENERGY", "&&&", "Fennel Energy Ltd UK"])
def test_a_site_without_a_name_of_its_own_is_called_after_its_substation(read: Read, site: str) -> None:
    (document,) = read({"Customer Site": site}).documents

    assert document["assetName"] == "Holt Primary 11kV - Solar PV"


def test_without_any_name_the_row_key_names_the_asset(read: Read) -> None:
    (document,) = read({"Customer Site": "", "Primary": "", "Grid Supply Point": "-"}).documents

    assert document["assetName"] == f"{document['alias'][0]['value']} - Solar PV"


def test_the_customers_name_stands_in_owner_name_alone(read: Read) -> None:
    (document,) = read({"Customer Site": "FENNEL ENERGY LTD, Sandpiper Farm"}).documents

    assert document.pop("ownerName") == "Fennel Energy Ltd"
    assert document["assetName"] == "Sandpiper Farm - Solar PV"
    assert "fennel" not in json.dumps(document).casefold()


@pytest.mark.parametrize(
    "customer", ["Mr John Barleycorn", "Mrs. Barleycorn", "J Barleycorn", "J & M Barleycorn", "Dr A B Barleycorn"]
)
def test_a_row_of_a_person_yields_no_document(read: Read, customer: str) -> None:
    reading = read({"Customer Name": customer})

    assert reading.documents == []
    assert reading.skipped is not None and reading.skipped.code == "OWNER-INDIVIDUAL"


@pytest.mark.parametrize(
    "customer", ["Dr Barleycorn Ltd", "J Barleycorn & Sons", "A B C Solar", "O&G Group", "SSE", "Low Carbon"]
)
def test_a_customer_that_says_what_it_is_is_an_organisation(read: Read, customer: str) -> None:
    assert read({"Customer Name": customer}).documents[0]["ownerName"] == customer


@pytest.mark.parametrize("customer", ["Redacted", "--REDACTED--", "withheld"])
def test_a_customer_that_is_held_back_may_be_a_person(read: Read, customer: str) -> None:
    reading = read({"Customer Name": customer})

    assert reading.skipped is not None and reading.skipped.code == "OWNER-WITHHELD"


def test_a_missing_customer_goes_to_query(read: Read, desk: Desk) -> None:
    reading = read({"Customer Name": "-"})

    assert codes(reading, "R-field") == ["OWNER-MISSING"]
    assert "ownerName" not in reading.documents[0]
    assert [fault.code for fault in desk.register(reading.documents[0], "k").faults] == ["A03"]


def test_control_characters_do_not_travel(read: Read) -> None:
    (document,) = read({"Energy Source 1": "Solar\x07\u202e", "Customer Name": "Fennel\x00 Energy Ltd"}).documents

    assert document["ownerName"] == "Fennel Energy Ltd"
    assert published(document)["Energy Source 1"] == "Solar  "
