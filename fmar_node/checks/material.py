"""Which changes of an asset are material: those by which networks and markets decide (UC-02.04).

A pure function of two versions as somebody sees them, so that nobody is told of a change that it does not see. How much more or less
of a capacity is material the programme has left open ("X%"): it is a setting.
"""

from __future__ import annotations

from decimal import Decimal

from fmar_node.vocabulary import Document

DECISIVE = frozenset({"assetCategory", "importMPAN", "exportMPAN", "connectionType", "connectionStatus", "gspGroup", "gridSupplyPoint"})
CAPACITIES = frozenset({
    "ratedCapacity", "installedCapacity", "genCapacity", "demandCapacity", "storageEnergyCapacity", "agreedExportCapacity", "agreedImportCapacity",
    "flexibleUpKw", "flexibleDownKw",
})  # fmt: skip
PERCENT = 10.0


def material(before: Document | None, after: Document | None, percent: float = PERCENT) -> list[str]:
    """The terms whose change is material, sorted; none for other records than assets, nor where one of the two is not there."""
    if not before or not after or after.get("type") != "Asset":
        return []
    differing = {name for name in (DECISIVE | CAPACITIES) if before.get(name) != after.get(name)}
    return sorted(name for name in differing if name in DECISIVE or _moves(before.get(name), after.get(name), percent))


def _moves(before: str | None, after: str | None, percent: float) -> bool:
    """Whether a capacity has changed by more than so many per cent of what it was; where it comes, goes or was none, it has."""
    if before is None or after is None or Decimal(before) == 0:
        return before is None or after is None or Decimal(after) != 0
    return abs(Decimal(after) - Decimal(before)) * 100 > Decimal(str(percent)) * abs(Decimal(before))
