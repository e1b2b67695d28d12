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
from fmar_node.imports.release import read_register
from fmar_node.imports.report import Outcome, Report, json_lines, render
from fmar_node.imports.run import Register, run_import
from fmar_node.judge import fault_from_json

JUDGED_ONLY = {"dry-run": "true"}


def add_to(app: typer.Typer) -> None:
    imports = typer.Typer(help="Register rows of published registers.", no_args_is_help=True)
    imports.command("ecr")(import_ecr)
    app.add_typer(imports, name="import")


@told
def import_ecr(
    file: Path = typer.Argument(..., help="An Embedded Capacity Register as its publisher has it (CSV)."),
    as_: str = typer.Option(..., "--as", help="A profile folder, or a participant's name beside --data."),
    data: Path | None = typer.Option(None, "--data", help="A node's data folder, for profiles by name."),
    limit: int = typer.Option(0, help="Only so many rows (default: all)."),
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
    """Registers documents over HTTP; a refusal is an outcome like any other."""

    def register(document: dict[str, Any], key: str) -> Outcome:
        response = client.post("/assets", json=document, params=params, headers={"Idempotency-Key": key, "Content-Type": "application/ld+json"})
        try:
            return _accepted(answered(response))
        except Refused as refusal:
            faults = tuple(fault_from_json(each) for each in refusal.problem.get("errors", ()))
            return Outcome(False, faults=faults, detail=str(refusal.problem.get("detail", "")))

    return register


def _accepted(response: httpx.Response) -> Outcome:
    """What a record says of its own acceptance: warnings, and terms that were filled."""
    body = response.json()
    if "accepted" in body:
        return Outcome(True, faults=tuple(fault_from_json(each) for each in body["errors"]))
    warned = [Fault(each["rule"], Severity.WARN, each["text"]) for each in body.get("warning", ())]
    filled = [Fault("default", Severity.FILLED, f"{name} was filled", f"/{name}", name) for name in body.get("defaulted", ())]
    replayed = response.headers.get("Idempotent-Replayed") == "true"
    return Outcome(True, response.headers["Location"], tuple(warned + filled), is_unchanged=replayed)
