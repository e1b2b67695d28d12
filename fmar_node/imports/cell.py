"""What a cell says: numbers, dates, voltages, places, postcodes, meter points. Pure, exact, and never a guess.

Rules kept here: a cell either has one certain meaning or raises `CellError` with the reason; digits are never
repaired; decimals stay decimals (MW x 1000 is exact); no message repeats the cell, which may be personal.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from decimal import Decimal

from fmar_node.checks import mpan

NUMBER = re.compile(r"([+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|[+-]?\.[0-9]+)\s*([a-z]*)", re.IGNORECASE)
SCIENTIFIC = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?[eE][+-]?[0-9]+")
POSTCODE = re.compile(r"(?:GIR 0AA|[A-Z]{1,2}[0-9][A-Z0-9]? [0-9][ABD-HJLNP-UW-Z]{2})")
DAY_FIRST = re.compile(r"([0-9]{1,2})[/.\- ]([0-9]{1,2}|[A-Za-z]{3,9})[/.\- ]([0-9]{4})")
YEAR_FIRST = re.compile(r"([0-9]{4})[/\-]([0-9]{2})[/\-]([0-9]{2})")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
FIRST_YEAR = 1880
"""No public electricity supply is older."""
SPOKEN = str.maketrans({"&": " and ", "'": None, "’": None, "–": "-", "—": "-"})
GRID = (Decimal(700_000), Decimal(1_300_000))
"""The extent of EPSG:27700 in metres, east and north."""
HIGHEST_VOLTAGE = Decimal(400)
MOST_DIGITS = 22
"""More are no measurement, and would not stay exact."""
KILO = Decimal(1000)
CENT = Decimal("0.01")


class CellError(ValueError):
    """A cell without one certain meaning. `code` names the defect, the text says what it is."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def number(cell: str) -> tuple[Decimal, str]:
    """A plain decimal and the unit written behind it, lower case: `"1,200.5 kW"` is 1200.5 and `"kw"`."""
    if SCIENTIFIC.fullmatch(cell.strip()):
        raise CellError("SCIENTIFIC-NOTATION", "is in scientific notation; its digits are lost")
    found = NUMBER.fullmatch(cell.strip())
    if found is None or len(found[1]) > MOST_DIGITS:
        raise CellError("NUMBER-UNREADABLE", "is not a number")
    value = Decimal(found[1].replace(",", ""))
    return value or Decimal(0), found[2].lower()


def kilowatts(cell: str, *, is_kilowatts: bool = False) -> Decimal:
    """A capacity in kW, exact. The column's unit is MW unless said otherwise; a unit in the cell goes before it."""
    value, unit = number(cell)
    if unit not in ("", "mw", "kw", "mwh", "kwh"):
        raise CellError("NUMBER-UNREADABLE", "has a unit that is not a capacity's")
    scaled = value if (unit or ("kw" if is_kilowatts else "mw")).startswith("k") else value * KILO
    if scaled < 0:
        raise CellError("CAPACITY-NEGATIVE", "is below zero")
    if scaled != scaled.quantize(CENT):
        raise CellError("CAPACITY-PRECISION", "has more than two decimals in kW; it was not rounded")
    return scaled


def plain(value: Decimal) -> str:
    """A decimal without exponent and without idle zeros: `7`, `7.5`, `0`."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def kilovolts(cell: str) -> Decimal:
    """A voltage: `33kV`, `33`, `33.0`, `400 V`."""
    value, unit = number(cell)
    if unit not in ("", "kv", "v"):
        raise CellError("VOLTAGE-UNREADABLE", "is not a voltage")
    value = value / KILO if unit == "v" else value
    if value == 0:
        raise CellError("VOLTAGE-ZERO", "is zero, which stands for a missing voltage")
    if not 0 < value <= HIGHEST_VOLTAGE:
        raise CellError("VOLTAGE-UNREADABLE", f"is no voltage of a network between 0 and {HIGHEST_VOLTAGE} kV")
    return value


def day(cell: str) -> date:
    """A date, year first or (as these islands write it) day first; a time behind it is left away."""
    written = re.split(r"[T ](?=[0-9]{1,2}:)", cell.strip())[0]
    try:
        if found := YEAR_FIRST.fullmatch(written):
            return _day(int(found[1]), int(found[2]), int(found[3]))
        if found := DAY_FIRST.fullmatch(written):
            return _day(int(found[3]), _month(found[2]), int(found[1]))
    except ValueError as error:
        raise CellError("DATE-UNREADABLE", "is no day of the calendar") from error
    raise CellError("DATE-UNREADABLE", "is not a date")


def _day(year: int, month: int, day_of_month: int) -> date:
    if year < FIRST_YEAR:
        raise ValueError(f"before {FIRST_YEAR}")
    return date(year, month, day_of_month)


def _month(text: str) -> int:
    return int(text) if text.isdigit() else MONTHS.index(text[:3].lower()) + 1


def place(easting: str, northing: str) -> tuple[Decimal, Decimal]:
    """A point of the British National Grid in metres."""
    east, north = number(easting)[0], number(northing)[0]
    if east == 0 or north == 0:
        raise CellError("COORDINATES-ZERO", "is 0, 0, which stands for a missing place")
    if not (0 < east < GRID[0] and 0 < north < GRID[1]):
        raise CellError("COORDINATES-OUTSIDE", "lies outside the British National Grid")
    return east, north


def postcode(cell: str) -> str:
    """A postcode in the Post Office's form, `IP12 2TW`."""
    packed = "".join(cell.split()).upper()
    spaced = f"{packed[:-3]} {packed[-3:]}"
    if POSTCODE.fullmatch(spaced) is None:
        raise CellError("POSTCODE-UNUSUAL", "is not a whole postcode; it was kept as written")
    return spaced


def meter_point(cell: str) -> str:
    """An MPAN core of 13 digits; of a full MPAN of 21 characters the last 13 (domain section 4)."""
    written = mpan.core(cell.strip().removeprefix("'"))
    if SCIENTIFIC.fullmatch(written):
        raise CellError("MPAN-SCIENTIFIC", "is in scientific notation; its digits are lost")
    if mpan.CORE.fullmatch(written) is None:
        raise CellError("MPAN-SHAPE", "is not 13 digits")
    if not mpan.is_valid(written):
        raise CellError("MPAN-CHECK-DIGIT", "fails the check of its last digit; it was not repaired")
    return written


def printable(cell: str) -> str:
    """A text without control characters, line ends and tabs apart."""
    return "".join(char if char in "\t\r\n" or unicodedata.category(char)[0] != "C" else " " for char in cell)


def tidy(cell: str) -> str:
    """A text on one line: no control characters, one space between words."""
    return " ".join(unicodedata.normalize("NFC", printable(cell)).split())


def named(cell: str) -> str:
    """A text in the alphabet of A02: letters of any script, digits, space and `-_/()`."""
    spoken = tidy(cell).translate(SPOKEN)
    return " ".join("".join(char if _is_in_name(char) else " " for char in spoken).split()).strip(" -_/")


def _is_in_name(char: str) -> bool:
    return char in "-_/()" or unicodedata.category(char) in ("Lu", "Ll", "Lt", "Lm", "Lo", "Nd")
