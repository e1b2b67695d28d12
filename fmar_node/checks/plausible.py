"""Quality rules that compare or calculate more than shapes can: one function for each plain rule of `shapes/quality/`.

Rules kept here: a function has the name of its rule; it reads what the rule says that it reads, and the day that it is
told; it says whether the record satisfies the rule, and what does not concern a record is satisfied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal

from fmar_node.checks import mpan
from fmar_node.vocabulary import Document

Plain = Callable[[Document, date], bool]
HOURS = (Decimal("0.25"), Decimal(48))
"""Least and most hours for which storage lasts at its rated capacity."""
PROPORTION = (Decimal("0.5"), Decimal(3))
"""Least and most installed capacity for one rated; panels are often half as much again as their inverter."""
FIRST_YEAR = {"BESS": "1990", "SOLAR_PV": "1990", "WIND_TURBINE": "1980", "EV_CHARGER": "2000", "HEAT_PUMP": "1980"}
ANY_YEAR = "1930"
"""The year before which no such equipment was on the grid."""
CURRENT_DAYS, SETTLED_DAYS = 730, 90
TURNS = (CURRENT_DAYS, SETTLED_DAYS)
"""Days after an entry at which a rule here may say something else of its record, though nothing in it has changed."""


def plausible_storage_hours(document: Document, _: date) -> bool:
    return _is_within(document, "storageEnergyCapacity", "ratedCapacity", HOURS)


def plausible_installed_capacity(document: Document, _: date) -> bool:
    return _is_within(document, "installedCapacity", "ratedCapacity", PROPORTION)


def plausible_commissioning(document: Document, _: date) -> bool:
    first = FIRST_YEAR.get(document.get("assetCategory", ""), ANY_YEAR)
    return str(document.get("commissioningDate", first)) >= first


def meter_point_in_area(document: Document, _: date) -> bool:
    points = (document[term] for term in ("importMPAN", "exportMPAN") if term in document)
    networks = (found for point in points if (found := mpan.distributor(point)) and found.is_area_fixed)
    return all(document.get("dnoConnection") in (None, network.dno_code) for network in networks)


def kept_current(document: Document, day: date) -> bool:
    return not _is_past(document.get("recordedAt"), CURRENT_DAYS, day)


def settled_soon(document: Document, day: date) -> bool:
    return document.get("validationStatus") == "VERIFIED" or not _is_past(document.get("registeredAt"), SETTLED_DAYS, day)


def _is_within(document: Document, term: str, of: str, bounds: tuple[Decimal, Decimal]) -> bool:
    if term not in document or of not in document or not (whole := Decimal(document[of])):
        return True
    return bounds[0] <= Decimal(document[term]) / whole <= bounds[1]


def _is_past(instant: str | None, days: int, day: date) -> bool:
    """Whether so many days have gone by since the day of an instant."""
    return instant is not None and date.fromisoformat(instant[:10]) + timedelta(days) <= day


PLAIN: Mapping[str, Plain] = {
    "plausible-storage-hours": plausible_storage_hours,
    "plausible-installed-capacity": plausible_installed_capacity,
    "plausible-commissioning": plausible_commissioning,
    "meter-point-in-area": meter_point_in_area,
    "kept-current": kept_current,
    "organisation-kept-current": kept_current,
    "settled-soon": settled_soon,
}
"""By the keys of the rules."""
