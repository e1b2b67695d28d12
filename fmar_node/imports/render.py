"""The row report of an import for people: outcomes, reasons, and the first rows that were not registered."""

from __future__ import annotations

from collections import Counter

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fmar_node.imports.report import DocumentReport, Report, RowReport, Verdict

SHOWN = 20
MEANINGS = {
    Verdict.UNCHANGED: "registered before, nothing new",
    Verdict.ACCEPTED: "registered as published",
    Verdict.WARNED: "registered, with warnings",
    Verdict.JUSTIFIED: "registered, with a justification for what is not published",
    Verdict.REFUSED: "not registered: to be queried with the publisher",
    Verdict.SKIPPED: "no asset in it that may be registered",
}


def render(report: Report, most: int = SHOWN) -> RenderableType:
    """The report for people: outcomes, reasons, and the first refused or skipped rows."""
    return Group(_outcomes(report), Text(), _reasons(report), Text(), _refused(report, most))


def _outcomes(report: Report) -> Table:
    table = Table(title=f"{len(report.rows)} rows, {len(report.documents)} documents", title_justify="left", box=None)
    for heading, side in (("outcome", "left"), ("rows", "right"), ("documents", "right"), ("", "left")):
        table.add_column(heading, justify="right" if side == "right" else "left")
    documents = Counter(document.verdict for document in report.documents)
    for verdict in Verdict:
        if verdict is not Verdict.UNCHANGED or report.count(verdict):
            table.add_row(verdict.value, str(report.count(verdict)), str(documents[verdict] or "-"), MEANINGS[verdict])
    return table


def _reasons(report: Report) -> Table:
    table = Table(title="Reasons", title_justify="left", box=None)
    table.add_column("rows", justify="right")
    for heading in ("severity", "seen by", "code", ""):
        table.add_column(heading)
    messages = {
        (reason.source, reason.severity, reason.code): reason.message for row in report.rows for reason in row.reasons
    }
    for (source, severity, code), number in report.reasons_most_first():
        table.add_row(str(number), severity, source, code, Text(messages[source, severity, code], overflow="fold"))
    return table


def _refused(report: Report, most: int) -> Table:
    rows = [row for row in report.rows if row.verdict in (Verdict.REFUSED, Verdict.SKIPPED)]
    shown = "" if len(rows) <= most else f", the first {most}"
    table = Table(
        title=f"Rows with something that was not registered: {len(rows)}{shown}", title_justify="left", box=None
    )
    table.add_column("row", justify="right")
    for heading in ("outcome", "why"):
        table.add_column(heading)
    for row in rows[:most]:
        table.add_row(str(row.number), row.verdict.value, Text(_why(row), overflow="fold"))
    return table


def _why(row: RowReport) -> str:
    """What kept it out, per refused technology."""
    if row.skipped is not None:
        return f"{row.skipped.code}: {row.skipped.message}"
    refused = [document for document in row.documents if document.verdict is Verdict.REFUSED]
    return "\n".join(_told(document, is_only=len(row.documents) == 1) for document in refused)


def _told(document: DocumentReport, *, is_only: bool) -> str:
    """Refused fields, rejections, and what nobody justified; not the warnings beside them."""
    justified = {reason.code for reason in document.reasons if reason.source == "row" and reason.severity == "J"}
    told = [
        f"{reason.code} ({reason.field or reason.source}): {reason.message}"
        for reason in document.reasons
        if reason.severity in ("R", "R-field")
        or (reason.source == "register" and reason.severity == "J" and reason.code not in justified)
    ]
    return f"{'' if is_only else f'technology {document.technology}: '}{'; '.join(told)}"
