"""The port to everything outside that knows better: what is asked, what is answered, and what no answer is.

Rules kept here: an answer is a finding, which says of each field that was compared what came of it; where a source gives none,
whatever the reason, it is unavailable, which says nothing about the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Protocol

from fmar_node.vocabulary import Document


class Outcome(StrEnum):
    """What came of comparing one field; codes of EvidenceOutcome."""

    AGREES = "AGREES"
    DIFFERS = "DIFFERS"
    NOT_FOUND = "NOT_FOUND"
    NOT_COMPARED = "NOT_COMPARED"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field (a term, or the source's own name of a field), and what the source has in it: `personal` where that is about a person."""

    field: str
    outcome: Outcome
    found: str = ""
    personal: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a source answered: which one (a code of EvidenceKind), when (xsd:dateTime), where it can be looked up again."""

    source: str
    at: str
    reference: str
    comparisons: tuple[Comparison, ...]

    @property
    def is_confirmed(self) -> bool:
        """Whether the source has the record, and nothing otherwise."""
        return {each.outcome for each in self.comparisons} <= {Outcome.AGREES, Outcome.NOT_COMPARED}


class SourceUnavailable(Exception):
    """The source gave no answer that can be used. `pause` is how many seconds it asks not to be asked again."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


class ExternalSource(Protocol):
    """A port: somebody outside who can be asked about a record."""

    @property
    def name(self) -> str:
        """A code of EvidenceKind."""
        ...

    async def ask(self, document: Document) -> Finding:
        """What the source has of a record; SourceUnavailable where it does not say."""
        ...

    async def close(self) -> None:
        """Ends its connections."""
        ...


def outcome_of(agrees: bool) -> Outcome:
    return Outcome.AGREES if agrees else Outcome.DIFFERS


def text_of(answer: Mapping[str, object], name: str, longest: int = 200) -> str:
    """A text of an answer in one line of printable characters; empty where it has none."""
    value = answer.get(name)
    plain = "".join(character if character.isprintable() else " " for character in value) if isinstance(value, str) else ""
    return " ".join(plain.split())[:longest].rstrip()


def number_of(answer: Mapping[str, object], name: str) -> Decimal | None:
    """A number of an answer, written as one or as text; None where it has none."""
    value = answer.get(name)
    try:
        number = Decimal(str(value)) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except InvalidOperation:
        return None
    return number if number is not None and number.is_finite() else None


def capacity(document: Document, found: Decimal | None, *terms: str) -> Comparison:
    """The rated capacity in kW beside a source's: the same as one of these terms."""
    if found is None:
        return Comparison("ratedCapacity", Outcome.NOT_COMPARED)
    return Comparison("ratedCapacity", outcome_of(any(Decimal(document[term]) == found for term in terms if term in document)), f"{found:f}")


def postcode(document: Document, found: str) -> Comparison:
    """The postcode beside a source's, whatever the blanks; what the record does not say is not taken from the source."""
    if not found or "postcode" not in document:
        return Comparison("postcode", Outcome.NOT_COMPARED)
    return Comparison("postcode", outcome_of(folded(document["postcode"]) == folded(found)), personal=found)


def folded(text: str) -> str:
    """A text as identifiers are compared: letters and digits, whatever the case."""
    return "".join(filter(str.isalnum, text)).casefold()
