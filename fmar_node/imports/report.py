"""The row report of an import: what became of every row. `render` shows it to people, `json_lines` to machines.

Rules kept here: every row is in the report, in the order of the file; a refusal names what the importer found and
what the register said; nothing personal of a row is repeated (C7). Every document of a published register lacks a
registered owner, so that the justification of A03 does not make a row "justified"; one of a meter point does.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fmar_node.errors import Fault, Severity
from fmar_node.imports.reading import Candidate, Note, Skipped

EVERYWHERE = "A03"


class Verdict(StrEnum):
    """What became of a row or a document, the best first."""

    UNCHANGED = "unchanged"
    ACCEPTED = "accepted"
    WARNED = "warned"
    JUSTIFIED = "justified"
    REFUSED = "refused"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the register answered to one document. `asset` is the record's IRI, `faults` all that it reported."""

    is_accepted: bool
    asset: str = ""
    faults: tuple[Fault, ...] = ()
    detail: str = ""
    is_unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for a verdict. `source` is "row" where the importer saw it, "register" where the node did."""

    source: str
    code: str
    severity: str
    message: str
    field: str = ""
    published: str = ""

    def as_json(self) -> dict[str, str]:
        members = ("source", "code", "severity", "field", "message", "published")
        return {name: value for name in members if (value := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class DocumentReport:
    """What became of one document of a row."""

    technology: int
    verdict: Verdict
    key: str
    asset: str = ""
    reasons: tuple[Reason, ...] = ()

    def as_json(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "technology": self.technology,
            "outcome": self.verdict.value,
            "idempotencyKey": self.key,
        }
        if self.asset:
            shown["asset"] = self.asset
        return {**shown, "reasons": [reason.as_json() for reason in self.reasons]}


@dataclass(frozen=True, slots=True)
class RowReport:
    """What became of one row: the gravest verdict of its documents, or skipped."""

    number: int
    documents: tuple[DocumentReport, ...] = ()
    skipped: Skipped | None = None

    @property
    def verdict(self) -> Verdict:
        if self.skipped is not None or not self.documents:
            return Verdict.SKIPPED
        return max((document.verdict for document in self.documents), key=list(Verdict).index)

    @property
    def reasons(self) -> list[Reason]:
        """Every reason once."""
        if self.skipped is not None:
            return [Reason("row", self.skipped.code, "", self.skipped.message)]
        return list(dict.fromkeys(reason for document in self.documents for reason in document.reasons))

    def as_json(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"row": self.number, "outcome": self.verdict.value}
        if self.skipped is not None:
            return {**shown, "reasons": [reason.as_json() for reason in self.reasons]}
        return {**shown, "documents": [document.as_json() for document in self.documents]}


@dataclass(frozen=True, slots=True)
class Report:
    """The report of a file."""

    rows: tuple[RowReport, ...]

    @property
    def documents(self) -> list[DocumentReport]:
        return [document for row in self.rows for document in row.documents]

    def count(self, verdict: Verdict) -> int:
        """Rows of an outcome."""
        return sum(row.verdict is verdict for row in self.rows)

    def by_reason(self) -> Counter[tuple[str, str, str]]:
        """Rows per reason: (where it was seen, severity, code)."""
        return Counter(
            each
            for row in self.rows
            for each in {(reason.source, reason.severity, reason.code) for reason in row.reasons}
        )

    def reasons_most_first(self) -> list[tuple[tuple[str, str, str], int]]:
        return sorted(self.by_reason().items(), key=lambda item: (-item[1], item[0]))

    def as_json(self) -> dict[str, Any]:
        """The summary."""
        return {
            "rows": len(self.rows),
            "documents": len(self.documents),
            "registered": sum(document.verdict is not Verdict.REFUSED for document in self.documents),
            "outcomes": {verdict.value: self.count(verdict) for verdict in Verdict},
            "reasons": [
                {"source": source, "severity": severity, "code": code, "rows": number}
                for (source, severity, code), number in self.reasons_most_first()
            ],
        }


def document_report(candidate: Candidate, notes: Sequence[Note], outcome: Outcome) -> DocumentReport:
    """The report on a document: what the importer noted and justified, then what the register answered."""
    seen = [
        Reason("row", note.code, note.severity.value, note.message, note.field, note.as_json().get("published", ""))
        for note in notes
    ]
    seen += [
        Reason("row", each["rule"], Severity.JUSTIFY.value, each["text"])
        for each in candidate.document["justification"]
    ]
    said = [
        Reason("register", fault.code, fault.severity.value, fault.message, fault.field)
        for fault in outcome.faults
        if fault.severity is not Severity.FILLED
    ]
    if not outcome.is_accepted and not said:
        said = [
            Reason("register", "REFUSED", Severity.REJECT.value, outcome.detail or "the register refused the document")
        ]
    reasons = tuple(dict.fromkeys([*seen, *said]))
    return DocumentReport(candidate.technology, _verdict(outcome, reasons), candidate.key, outcome.asset, reasons)


def json_lines(report: Report) -> Iterator[str]:
    """One line per row, then `{"summary": ...}`."""
    for row in report.rows:
        yield json.dumps(row.as_json(), ensure_ascii=False)
    yield json.dumps({"summary": report.as_json()}, ensure_ascii=False)


def _verdict(outcome: Outcome, reasons: Sequence[Reason]) -> Verdict:
    if not outcome.is_accepted:
        return Verdict.REFUSED
    if outcome.is_unchanged:
        return Verdict.UNCHANGED
    severities = {reason.severity for reason in reasons if reason.code != EVERYWHERE}
    if Severity.JUSTIFY.value in severities:
        return Verdict.JUSTIFIED
    return Verdict.WARNED if severities & {"W", "R-field"} else Verdict.ACCEPTED
