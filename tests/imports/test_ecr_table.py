"""Reading the file: encodings, line ends, quoting, headers of other distributors."""

from __future__ import annotations

from pathlib import Path

import pytest

from fmar_node.errors import Malformed
from fmar_node.imports.ecr import candidates, read_rows
from fmar_node.imports.table import Row

from .conftest import RELEASE, table

UMLAUT = {"Customer Site": "Gemüsehof – Ost"}


def rows_of(tmp_path: Path, raw: bytes) -> list[Row]:
    path = tmp_path / "ecr.csv"
    path.write_bytes(raw)
    return list(read_rows(path))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_the_encoding_is_found(tmp_path: Path, encoding: str) -> None:
    (row,) = rows_of(tmp_path, table(UMLAUT).encode(encoding))

    assert row.cells["customer_site"] == "Gemüsehof – Ost"
    assert row.cells["export_mpan"] == "1000000000003"


@pytest.mark.parametrize("ending", ["\r\n", "\n", "\r"])
def test_line_ends_do_not_matter(tmp_path: Path, ending: str) -> None:
    rows = rows_of(tmp_path, table({}, {}).replace("\r\n", ending).encode())

    assert [row.number for row in rows] == [2, 3]
    assert rows[0].cells["last_updated"] == "2025-08-14"


def test_quoted_cells_hold_separators_quotes_and_line_ends(tmp_path: Path) -> None:
    first, second = rows_of(tmp_path, table({"Customer Site": 'Farm, "Upper"\r\nEnd'}, {}).encode())

    assert first.cells["customer_site"] == 'Farm, "Upper"\r\nEnd'
    assert second.number == 3


def test_columns_are_found_by_header_not_by_position(tmp_path: Path) -> None:
    turned = "\r\n".join(",".join(reversed(line.split(","))) for line in table({}).split("\r\n"))

    (row,) = rows_of(tmp_path, turned.encode())

    assert (row.cells["export_mpan"], row.cells["capacity_1"]) == ("1000000000003", "6.0")


def test_unknown_and_missing_columns_are_tolerated(tmp_path: Path) -> None:
    text = "Flood Zone,Customer Name,Customer Site,Energy Source 1,Licence Area,Connection Status\n3,A Ltd,Fen End,Wind,EPN,Connected\n"

    (row,) = rows_of(tmp_path, text.encode())
    reading = candidates(row, RELEASE)

    assert not row.has("export_mpan")
    assert [note.code for note in reading.notes] == ["FLEXIBLE-UNKNOWN", "DATE-MISSING", "CAPACITY-MISSING"]
    assert reading.documents[0]["assetCategory"] == "WIND_TURBINE"


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("export_mpan_msid", "export_mpan"),
        ("Maximum Export Capacity (MW)", "connected_export"),
        ("change_to_maximum_import_capacity__mw_", "accepted_import"),
        ("location__x_coordinate___eastings__where_data_is_held_", "easting"),
        ("energy_source_&_conversion_tech_2_reg_capacity_mw", "capacity_2"),
        ("Energy Source & Energy Conversion Technology 3 - Registered Cap", "capacity_3"),
        ("town_city", "town"),
        ("CHP Cogeneration (Yes/No)", "chp_1"),
    ],
)
def test_spellings_of_other_distributors_are_known(tmp_path: Path, header: str, column: str) -> None:
    text = f"Reference,Licence Area,Connection Status,Energy Source 1,{header}\na,b,c,d,e\n"

    (row,) = rows_of(tmp_path, text.encode())

    assert row.cells[column] == "e"


def test_a_header_that_says_kw_is_read_as_kw(tmp_path: Path) -> None:
    text = table({"Already connected Registered Capacity (MW)": "750"}).replace(
        "Registered Capacity (MW)", "Registered Capacity (kW)"
    )

    (row,) = rows_of(tmp_path, text.encode())

    assert candidates(row, RELEASE).documents[0]["ratedCapacity"] == "750"


def test_a_column_that_stands_twice_is_read_where_it_is_filled(tmp_path: Path) -> None:
    text = "Reference,Licence Area,Connection Status,Eastings,Eastings\na,EPN,Connected,,607000\n"

    (row,) = rows_of(tmp_path, text.encode())

    assert row.cells["easting"] == "607000"


def test_a_title_above_the_header_and_blank_lines_keep_the_spreadsheets_row_numbers(tmp_path: Path) -> None:
    first, last = rows_of(
        tmp_path, ("Embedded Capacity Register\r\n\r\n" + table({}) + "\r\n" + table({}).split("\r\n")[1]).encode()
    )

    assert (first.number, last.number) == (4, 6)


def test_semicolons_and_tabs_separate_too(tmp_path: Path) -> None:
    for separator in (";", "\t"):
        (row,) = rows_of(tmp_path, table({}).replace(",", separator).encode())
        assert row.cells["postcode"] == "NR25 6AA"


@pytest.mark.parametrize("raw", [b"", b"a,b,c\n1,2,3\n", b"\x00\xff\xfe", b'"' + b"x" * 200_000])
def test_what_is_no_register_is_malformed(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(Malformed, match=r"ecr\.csv"):
        rows_of(tmp_path, raw)


def test_a_row_with_more_cells_than_columns_is_skipped(tmp_path: Path) -> None:
    text = table({}).removesuffix("\r\n") + ",shifted\r\n"

    (row,) = rows_of(tmp_path, text.encode())

    skipped = candidates(row, RELEASE).skipped
    assert skipped is not None and skipped.code == "ROW-MISALIGNED"


def test_an_empty_row_is_skipped(tmp_path: Path) -> None:
    *_, row = rows_of(tmp_path, (table({}) + "," * 20 + "\r\n").encode())

    skipped = candidates(row, RELEASE).skipped
    assert skipped is not None and skipped.code == "ROW-EMPTY"
