"""What network operators publish of connections: another node, or any other SPARQL endpoint that speaks this vocabulary, asked by ECR reference.

`POST {connection_url}` of a SELECT is answered in SPARQL JSON, one row for each technology that has the reference. Rules kept here: the
reference is in no URL, and in the query as an escaped literal; what the answer is silent about is not compared; of several technologies
the one is compared that the record is most like.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
import pyoxigraph as ox

from fmar_node.record import alias_in
from fmar_node.settings import CONNECTION
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
from fmar_node.vocabulary import CODES, FMAR, Document

SCHEME = "ECR"
CODED = ("dnoConnection", "connectionStatus", "energySource")
AGREED = ("agreedExportCapacity", "agreedImportCapacity")
MOST = 20
"""Technologies of one reference that are looked at."""
QUERY_TYPE, RESULTS = "application/sparql-query", "application/sparql-results+json"


@dataclass(frozen=True, slots=True)
class Connection:
    """What is published of one technology of a connection; empty where it does not say. Capacities are in kW."""

    codes: Mapping[str, str]
    rated: Decimal | None
    agreed: Mapping[str, Decimal]


class ConnectionNode(Asker[list[Connection]]):
    """Asks a SPARQL endpoint about the connection of an asset."""

    name = CONNECTION

    async def ask(self, document: Document) -> Finding:
        """What is published under an asset's ECR reference, field by field."""
        reference = alias_in(document, SCHEME)
        answer = await self.answer("", lambda body: connections_of(body, reference), {"reference": reference})
        return Finding(self.name, answer.at, self.url, compared(document, answer.found or []))

    def _request(self, path: str, asked: Mapping[str, str] | None) -> httpx.Request:  # noqa: ARG002
        text = query((asked or {}).get("reference", ""))
        return self.client.build_request("POST", self.url, content=text.encode(), headers={"Content-Type": QUERY_TYPE, "Accept": RESULTS})


def query(reference: str) -> str:
    """What is asked about a reference."""
    terms = (*CODED, "ratedCapacity", *AGREED)
    wanted = " ".join(f"OPTIONAL {{ ?asset fmar:{term} ?{term} }}" for term in terms)
    return (
        f'PREFIX fmar: <{FMAR}> SELECT ?reference {" ".join(f"?{term}" for term in terms)} WHERE {{ VALUES ?reference {{ {ox.Literal(reference)} }} '
        f"?asset fmar:alias ?alias . ?alias fmar:scheme <{CODES}IdentifierScheme#{SCHEME}> ; fmar:value ?reference . {wanted} }} LIMIT {MOST}"
    )


def connections_of(body: bytes, reference: str) -> list[Connection]:
    """The technologies that an answer describes. SourceUnavailable where it is none, or describes another connection."""
    results = members_of(body).get("results")
    bindings = results.get("bindings") if isinstance(results, dict) else None
    if not isinstance(bindings, list) or not all(isinstance(row, dict) for row in bindings):
        raise SourceUnavailable("the answer has no bindings")
    rows = [_plain(row) for row in bindings[:MOST]]
    if any(folded(text_of(row, "reference")) != folded(reference) for row in rows):
        raise SourceUnavailable("the answer describes another connection")
    return [connection_of(row) for row in rows]


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: cell.get("value") for name, cell in row.items() if isinstance(cell, dict)}


def connection_of(values: Mapping[str, Any]) -> Connection:
    """A technology by the terms of an asset; codes as codes or as concepts."""
    codes = {term: code for term in CODED if (code := text_of(values, term).rsplit("#", 1)[-1])}
    agreed = {term: number for term in AGREED if (number := number_of(values, term)) is not None}
    return Connection(codes, number_of(values, "ratedCapacity"), agreed)


def compared(document: Document, found: Iterable[Connection], by: Outcome = Outcome.AGREES) -> tuple[Comparison, ...]:
    """An asset beside what is published under its reference, or of its meter points: then the reference is not compared (`by`)."""
    told = [_compared(document, each, by) for each in found]
    if not told:
        return (Comparison("alias", Outcome.NOT_FOUND),)
    return min(told, key=lambda each: sum(comparison.outcome is Outcome.DIFFERS for comparison in each))


def _compared(document: Document, found: Connection, by: Outcome) -> tuple[Comparison, ...]:
    coded = (_code(document, term, found.codes.get(term, "")) for term in CODED)
    agreed = (_agreed(document, term, found.agreed.get(term)) for term in AGREED)
    rated = capacity(document, found.rated, "ratedCapacity", "installedCapacity")
    return Comparison("alias", by), *coded, rated, *agreed


def _code(document: Document, term: str, code: str) -> Comparison:
    if not code or term not in document:
        return Comparison(term, Outcome.NOT_COMPARED)
    return Comparison(term, outcome_of(document[term] == code), code)


def _agreed(document: Document, term: str, found: Decimal | None) -> Comparison:
    if found is None or term not in document:
        return Comparison(term, Outcome.NOT_COMPARED)
    return Comparison(term, outcome_of(Decimal(document[term]) == found), f"{found:f}")
