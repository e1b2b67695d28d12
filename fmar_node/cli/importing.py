"""`fmar import`: published registers to documents, with a report on every row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.progress import Progress

from fmar_node.cli.console import DATA_HELP, client_of, err, out, told

if TYPE_CHECKING:
    from fmar_node.imports.report import Report

JUDGED_ONLY = {"dry-run": "true"}


def add_to(app: typer.Typer) -> None:
    imports = typer.Typer(help="Register rows of published registers.", no_args_is_help=True)
    imports.command("ecr")(import_ecr)
    app.add_typer(imports, name="import")


@told
def import_ecr(
    file: Path = typer.Argument(..., exists=True, dir_okay=False, help="An Embedded Capacity Register as its publisher has it (CSV)."),
    as_: str = typer.Option(..., "--as", help="A profile folder, or a participant's name beside --data."),
    data: Path | None = typer.Option(None, "--data", help=DATA_HELP),
    limit: int = typer.Option(0, min=0, help="Only so many rows (default: all)."),
    dry_run: bool = typer.Option(False, help="Judge only, write nothing."),
    as_json: bool = typer.Option(False, "--json", help="One line per row, then a summary."),
) -> None:
    """Map the rows of an ECR to asset documents, register them, and report row by row."""
    from fmar_node.cli.registering import registering
    from fmar_node.imports.ecr import read_rows
    from fmar_node.imports.release import read_register
    from fmar_node.imports.run import run_import

    rows = list(read_rows(file))
    readings = read_register(rows)[: limit or None]
    with client_of(as_, data) as client, Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        bar = progress.add_task("rows", total=len(readings))
        register = registering(client, JUDGED_ONLY if dry_run else {})
        report = run_import(readings, register, on_row=lambda _: progress.advance(bar))
    show(report, as_json)


def show(report: Report, as_json: bool = False) -> None:
    """The report as lines of JSON, or as tables."""
    from fmar_node.imports.render import render
    from fmar_node.imports.report import json_lines

    if as_json:
        for line in json_lines(report):
            print(line)
    else:
        out.print(render(report))
