"""What is asked outside about the records of a kind, and what is made of the answers: facts, which are parts of the record."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fmar_node.sources.source import Finding
from fmar_node.vocabulary import Document

VERIFICATION = "verification"
"""The action by which the node enters answers, of every kind that has an inquiry."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Rules kept here: what has to be asked follows from a record and the sources that there are, and from nothing else."""

    sources: frozenset[str]
    """Who may be asked, as codes of EvidenceKind."""
    waiting: tuple[str, ...]
    """A term, and its values in the records that may wait."""
    wanted: Callable[[Document, frozenset[str]], frozenset[str] | None]
    """Which of these sources have yet to answer about a record; None where it waits for none of them, and an empty set where all have answered."""
    note: Callable[[list[Finding]], Document]
    """What the node enters of their findings."""


def facts(findings: Iterable[Finding]) -> list[Document]:
    """Findings as parts of the record: one for each field that was compared."""
    found = []
    for finding in findings:
        common = {"evidenceKind": finding.source, "checkedAt": finding.at, "evidenceReference": finding.reference}
        for each in finding.comparisons:
            values = {"comparedWith": each.found, "comparedWithPersonal": each.personal}
            told = {term: value for term, value in values.items() if value}
            found.append({**common, "evidenceField": each.field, "evidenceOutcome": each.outcome.value, **told})
    return found
