"""The meter point service: whether an MPAN exists, where, on whose network, and for which direction.

`POST /meter-points` of `{"mpan": "..."}` is answered with `mpan`, and as far as it is known `postcode`, `distributor` (the two digits) and
`direction` (IMPORT or EXPORT). Rules kept here: an MPAN is in no URL; a distributor says of the network only where its id fixes the
area; nothing else of an answer is looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from fmar_node.checks.mpan import DISTRIBUTORS
from fmar_node.settings import METER_POINT
from fmar_node.sources.asker import Answer, Asker, members_of
from fmar_node.sources.source import Comparison, Finding, Outcome, SourceUnavailable, outcome_of, postcode, text_of
from fmar_node.vocabulary import Document

PATH = "meter-points"
DIRECTION = {"importMPAN": "IMPORT", "exportMPAN": "EXPORT"}


@dataclass(frozen=True, slots=True)
class MeterPoint:
    """What the service has of an MPAN; empty where it does not say."""

    postcode: str
    distributor: str
    direction: str


class MeterPointService(Asker[MeterPoint]):
    """Asks a meter point service about both MPANs of an asset."""

    name = METER_POINT

    async def ask(self, document: Document) -> Finding:
        """What the service has of an asset's meter points, field by field."""
        terms = [term for term in DIRECTION if term in document]
        if not terms:
            raise SourceUnavailable("the record has no meter point")
        answers = await asyncio.gather(*(self._answer(document[term]) for term in terms))
        compared = [each for term, answer in zip(terms, answers, strict=True) for each in comparisons(document, term, answer.found)]
        return Finding(self.name, min(answer.at for answer in answers), f"{self.url}/{PATH}", tuple(compared))

    async def _answer(self, mpan: str) -> Answer[MeterPoint]:
        return await self.answer(PATH, lambda body: meter_point_of(body, mpan), {"mpan": mpan})


def meter_point_of(body: bytes, mpan: str) -> MeterPoint:
    """The meter point that an answer describes. SourceUnavailable where it describes another one."""
    answer = members_of(body)
    if text_of(answer, "mpan") != mpan:
        raise SourceUnavailable("the answer describes another meter point")
    return MeterPoint(text_of(answer, "postcode", 10), text_of(answer, "distributor", 2), text_of(answer, "direction", 6).upper())


def comparisons(document: Document, term: str, found: MeterPoint | None) -> Iterator[Comparison]:
    """One of an asset's meter points beside what the service has."""
    if found is None:
        yield Comparison(term, Outcome.NOT_FOUND)
        return
    yield Comparison(term, outcome_of(found.direction in ("", DIRECTION[term])), found.direction)
    yield _network(document, found.distributor)
    yield postcode(document, found.postcode)


def _network(document: Document, distributor: str) -> Comparison:
    known = DISTRIBUTORS.get(distributor)
    if known is None or known.dno_code is None or not known.is_area_fixed or "dnoConnection" not in document:
        return Comparison("dnoConnection", Outcome.NOT_COMPARED)
    return Comparison("dnoConnection", outcome_of(known.dno_code == document["dnoConnection"]), known.dno_code)
