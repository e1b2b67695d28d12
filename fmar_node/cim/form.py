"""How a value of ours is written in CIM, and read again: exactly, or not at all.

Rules kept here: power is kW here and MW there, energy kWh and MWh, by moving the decimal point and never through a float;
generation is positive; what cannot come back as it went is None, never something near it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
MOST_CHARS = 25
"""A decimal of so many characters is exact in a context of 28 digits."""
KILO_TO_MEGA = -3
MIDNIGHT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T00:00:00(?:\.0+)?(?:Z|[+-]00:00)?)?")


@dataclass(frozen=True, slots=True)
class Form:
    """One way of writing a value. `datatype` is the XSD type that CIM documents have it in, empty for a reference."""

    says: str
    datatype: str
    out: Callable[[str], str]
    back: Callable[[str], str | None]


def plain(number: Decimal) -> str:
    """A decimal without exponent, trailing zeros or a minus before a zero."""
    return format(number.normalize() + 0, "f")


def decimal(text: str) -> Decimal | None:
    """The decimal that a text writes, None for anything else and for what could not be kept exactly."""
    return Decimal(text) if len(text) <= MOST_CHARS and DECIMAL.fullmatch(text) else None


def _shifted(places: int, sign: int = 1) -> Callable[[str], str]:
    return lambda text: plain(Decimal(text).scaleb(places) * sign)


def _shifted_back(places: int, sign: int = 1) -> Callable[[str], str | None]:
    def back(text: str) -> str | None:
        number = decimal(text)
        return None if number is None else plain(number.scaleb(-places) * sign)

    return back


def _day(text: str) -> str | None:
    found = MIDNIGHT.fullmatch(text)
    return found[1] if found else None


def _same(text: str) -> str:
    return text


def _number(text: str) -> str | None:
    return text if decimal(text) is not None else None


TEXT = Form("the same text", "string", _same, _same)
CODE = Form("the code as text", "string", _same, _same)
REFERENCE = Form("the IRI of the record", "", _same, _same)
DAY = Form("midnight UTC of that day", "dateTime", lambda text: f"{text}T00:00:00Z", _day)
KILOVOLT = Form("the same, in kV", "decimal", lambda text: plain(Decimal(text)), _number)
METRE = Form("the same, in metres, as text", "string", lambda text: plain(Decimal(text)), _number)
MEGAWATT = Form("MW = kW / 1000", "decimal", _shifted(KILO_TO_MEGA), _shifted_back(KILO_TO_MEGA))
MINUS_MEGAWATT = Form("MW = -kW / 1000", "decimal", _shifted(KILO_TO_MEGA, -1), _shifted_back(KILO_TO_MEGA, -1))
MEGAWATT_HOUR = Form("MWh = kWh / 1000", "decimal", _shifted(KILO_TO_MEGA), _shifted_back(KILO_TO_MEGA))
