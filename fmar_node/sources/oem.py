"""The register of makers' serial numbers: which model a machine is, and its rated capacity.

`POST /devices` of `{"manufacturer": "...", "serialNumber": "..."}` is answered with `serialNumber`, and as far as it is known `model` and
`ratedCapacity` in kW.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from fmar_node.settings import OEM
from fmar_node.sources.asker import Asker, members_of
from fmar_node.sources.source import (
    Comparison,
    Finding,
    Outcome,
    SourceUnavailable,
    capacity,
    folded,
    number_of,
    outcome_of,
    text_of,
)
from fmar_node.vocabulary import Document

PATH = "devices"


@dataclass(frozen=True, slots=True)
class Machine:
    """What the register has of a machine; empty where it does not say."""

    model: str
    capacity: Decimal | None


class SerialRegister(Asker[Machine]):
    """Asks a register of serial numbers."""

    name = OEM

    async def ask(self, document: Document) -> Finding:
        """What the register has of an asset's serial number, field by field."""
        number = str(document.get("serialNumber", ""))
        asked = {"manufacturer": str(document.get("manufacturer", "")), "serialNumber": number}
        answer = await self.answer(PATH, lambda body: machine_of(body, number), asked)
        return Finding(self.name, answer.at, f"{self.url}/{PATH}", compared(document, answer.found))


def machine_of(body: bytes, number: str) -> Machine:
    """The machine that an answer describes. SourceUnavailable where it describes another one."""
    answer = members_of(body)
    if folded(text_of(answer, "serialNumber")) != folded(number):
        raise SourceUnavailable("the answer describes another machine")
    return Machine(text_of(answer, "model"), number_of(answer, "ratedCapacity"))


def compared(document: Document, found: Machine | None) -> tuple[Comparison, ...]:
    """An asset beside what the register has of its machine."""
    if found is None:
        return (Comparison("serialNumber", Outcome.NOT_FOUND),)
    return Comparison("serialNumber", Outcome.AGREES), _model(document, found.model), capacity(document, found.capacity, "ratedCapacity")


def _model(document: Document, model: str) -> Comparison:
    if not model or "assetModel" not in document:
        return Comparison("assetModel", Outcome.NOT_COMPARED)
    return Comparison("assetModel", outcome_of(folded(model) == folded(document["assetModel"])), model)
