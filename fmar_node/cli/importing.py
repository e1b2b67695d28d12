"""`fmar import`: published registers to documents, with a report on every row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import typer
from rich.progress import Progress

from fmar_node.cli.console import Refused, answered, client_of, err, out, told
from fmar_node.errors import Fault, Severity
from fmar_node.imports.ecr import read_rows
from fmar_node.imports.release import changed_terms, read_register
from fmar_node.imports.render import render
from fmar_node.imports.report import Outcome, Report, json_lines
from fmar_node.imports.run import Register, run_import
from fmar_node.judge import fault_from_json

JUDGED_ONLY = {"dry-run": "true"}
LD_JSON = {"Content-Type": "application/ld+json"}


def add_to(app: typer.Typer) -> None:
    imports = typer.Typer(help="Register rows of published registers.", no_args_is_help=True)
    imports.command("ecr")(import_ecr)
    app.add_typer(imports, name="import")


@told
def import_ecr(
    file: Path = typer.Argument(..., exists=True, dir_okay=False, help="An Embedded Capacity Register as its publisher has it (CSV)."),
    as_: str = typer.Option(..., "--as", help="A profile folder, or a participant's name beside --data."),
    data: Path | None = typer.Option(None, "--data", help="A node's data folder, for profiles by name."),
    limit: int = typer.Option(0, min=0, help="Only so many rows (default: all)."),
    dry_run: bool = typer.Option(False, help="Judge only, write nothing."),
    as_json: bool = typer.Option(False, "--json", help="One line per row, then a summary."),
) -> None:
    """Map the rows of an ECR to asset documents, register them, and report row by row."""
    rows = list(read_rows(file))
    readings = read_register(rows)[: limit or None]
    with client_of(as_, data) as client, Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        bar = progress.add_task("rows", total=len(readings))
        register = registering(client, JUDGED_ONLY if dry_run else {})
        report = run_import(readings, register, on_row=lambda _: progress.advance(bar))
    show(report, as_json)


def show(report: Report, as_json: bool = False) -> None:
    """The report as lines of JSON, or as tables."""
    if as_json:
        for line in json_lines(report):
            print(line)
    else:
        out.print(render(report))


def registering(client: httpx.Client, params: dict[str, str]) -> Register:
    """Registers documents over HTTP; a refusal is an outcome like any other.

    A row of an earlier release is found again by its alias: unchanged it makes no version, changed a new one.
    """

    def register(document: dict[str, Any], key: str) -> Outcome:
        try:
            known = _known(client, document)
            if known is not None:
                return _brought_up_to_date(client, known, document, params)
            return _accepted(answered(client.post("/assets", json=document, params=params, headers={**LD_JSON, "Idempotency-Key": key})))
        except Refused as refusal:
            faults = tuple(fault_from_json(each) for each in refusal.problem.get("errors", ()))
            return Outcome(False, faults=faults, detail=str(refusal.problem.get("detail", "")))

    return register


def _known(client: httpx.Client, document: dict[str, Any]) -> httpx.Response | None:
    """The record that carries the row's alias, where the caller has one."""
    alias = document["alias"][0]
    found = client.post("/assets/lookup", json={"scheme": alias["scheme"], "value": alias["value"]})
    return None if found.status_code == httpx.codes.NOT_FOUND else answered(client.get(answered(found).json()["items"][0]["id"]))


def _brought_up_to_date(client: httpx.Client, known: httpx.Response, document: dict[str, Any], params: dict[str, str]) -> Outcome:
    changed = changed_terms(document, known.json())
    if not changed:
        return Outcome(True, known.json()["id"], is_unchanged=True)
    patch = {term: document.get(term) for term in (*changed, "justification", "publishedValue", "publishedSource")}
    headers = {"Content-Type": "application/merge-patch+json", "If-Match": known.headers["ETag"]}
    return _accepted(answered(client.patch(known.json()["id"], json=patch, params=params, headers=headers)))


def _accepted(response: httpx.Response) -> Outcome:
    """What a record says of its own acceptance: warnings, and terms that were filled."""
    body = response.json()
    if "accepted" in body:
        return Outcome(True, faults=tuple(fault_from_json(each) for each in body["errors"]))
    warned = [Fault(each["rule"], Severity.WARN, each["text"]) for each in body.get("warning", ())]
    filled = [Fault("default", Severity.FILLED, f"{name} was filled", f"/{name}", name) for name in body.get("defaulted", ())]
    replayed = response.headers.get("Idempotent-Replayed") == "true"
    return Outcome(True, response.headers["Location"], tuple(warned + filled), is_unchanged=replayed)
