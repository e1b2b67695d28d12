"""The register of MCS certificates: whether a certificate exists, where, and for which capacity.

`POST /certificates` of `{"certificate": "..."}` is answered with `certificate`, and as far as it is known `postcode` and `capacity` in kW.
Rules kept here: a wrong or missing MPAN does not void a certificate, so that none is compared; a certificate may be of the
rated or of the installed capacity.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from fmar_node.record import alias_in
from fmar_node.settings import MCS
from fmar_node.sources.asker import Asker, members_of
from fmar_node.sources.source import (
    Comparison,
    Finding,
    Outcome,
    SourceUnavailable,
    capacity,
    folded,
    number_of,
    postcode,
    text_of,
)
from fmar_node.vocabulary import Document

PATH = "certificates"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the register has of a certificate; empty where it does not say."""

    postcode: str
    capacity: Decimal | None


class CertificateRegister(Asker[Certificate]):
    """Asks a register of MCS certificates."""

    name = MCS

    async def ask(self, document: Document) -> Finding:
        """What the register has of an asset's certificate, field by field."""
        number = alias_in(document, MCS)
        answer = await self.answer(PATH, lambda body: certificate_of(body, number), {"certificate": number})
        return Finding(self.name, answer.at, f"{self.url}/{PATH}", compared(document, answer.found))


def certificate_of(body: bytes, number: str) -> Certificate:
    """The certificate that an answer describes. SourceUnavailable where it describes another one."""
    answer = members_of(body)
    if folded(text_of(answer, "certificate")) != folded(number):
        raise SourceUnavailable("the answer describes another certificate")
    return Certificate(text_of(answer, "postcode", 10), number_of(answer, "capacity"))


def compared(document: Document, found: Certificate | None) -> tuple[Comparison, ...]:
    """An asset beside what the register has of its certificate."""
    if found is None:
        return (Comparison("alias", Outcome.NOT_FOUND),)
    return (
        Comparison("alias", Outcome.AGREES),
        postcode(document, found.postcode),
        capacity(document, found.capacity, "ratedCapacity", "installedCapacity"),
    )
