"""`fmar import`: published registers to documents, with a report on every row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.progress import Progress

from fmar_node.cli.console import DATA_HELP, client_of, err, fail, out, told

if TYPE_CHECKING:
    import httpx

    from fmar_node.imports.reading import RowReading
    from fmar_node.imports.report import Report
    from fmar_node.imports.run import Register

JUDGED_ONLY = {"dry-run": "true"}


AS = typer.Option(..., "--as", help="A profile folder, or a participant's name beside --data.")
DATA = typer.Option(None, "--data", help=DATA_HELP)
LIMIT = typer.Option(0, min=0, help="Only so many rows (default: all).")
DRY_RUN = typer.Option(False, help="Judge only, write nothing.")
JSON = typer.Option(False, "--json", help="One line per row, then a summary.")
AREA = typer.Option("", "--licence-area", help="The code of the licence area that all rows of the file connect in, which the register does not say, such as UKPN_EPN.")


def add_to(app: typer.Typer) -> None:
    imports = typer.Typer(help="Register rows of published registers, or add their names to what is registered.", no_args_is_help=True)
    for name, command in (("ecr", import_ecr), ("repd", import_repd), ("tec", import_tec), ("crosswalk", import_crosswalk), ("bmu", import_bmu)):
        imports.command(name)(command)
    app.add_typer(imports, name="import")


def _file(what: str) -> Any:
    return typer.Argument(..., exists=True, dir_okay=False, help=what)


@told
def import_ecr(
    file: Path = _file("An Embedded Capacity Register as its publisher has it (CSV)."),
    as_: str = AS,
    data: Path | None = DATA,
    limit: int = LIMIT,
    dry_run: bool = DRY_RUN,
    as_json: bool = JSON,
) -> None:
    """Map the rows of an ECR to asset documents, register them, and report row by row."""
    from fmar_node.imports.ecr import read_rows
    from fmar_node.imports.release import read_register

    _registered(read_register(list(read_rows(file))), as_, data, limit, dry_run, as_json)


@told
def import_repd(
    file: Path = _file("A Renewable Energy Planning Database as DESNZ publishes it (CSV)."),
    as_: str = AS,
    data: Path | None = DATA,
    area: str = AREA,
    limit: int = LIMIT,
    dry_run: bool = DRY_RUN,
    as_json: bool = JSON,
) -> None:
    """Map the projects of the REPD that are alive to asset documents, register them, and report row by row."""
    _projects("repd", file, area, as_, data, limit, dry_run, as_json)


@told
def import_tec(
    file: Path = _file("A Transmission Entry Capacity register as NESO publishes it (CSV)."),
    as_: str = AS,
    data: Path | None = DATA,
    area: str = AREA,
    limit: int = LIMIT,
    dry_run: bool = DRY_RUN,
    as_json: bool = JSON,
) -> None:
    """Map the embedded projects of the TEC register to asset documents, register them, and report row by row."""
    _projects("tec", file, area, as_, data, limit, dry_run, as_json)


@told
def import_crosswalk(
    file: Path = _file("Names of power stations in other registers, as OSUKED's Power Station Dictionary has them (CSV)."),
    as_: str = AS,
    data: Path | None = DATA,
    limit: int = LIMIT,
    dry_run: bool = DRY_RUN,
    as_json: bool = JSON,
) -> None:
    """Add the names that other registers have for your assets: those that are known by a name of the row."""
    from fmar_node.imports.crosswalk import POWER_STATIONS

    _linked(POWER_STATIONS.read(POWER_STATIONS.read_rows(file)), as_, data, limit, dry_run, as_json)


@told
def import_bmu(
    file: Path = _file("BM units as Elexon lists them: JSON of its Insights API, or CSV of the Central Registration Agency."),
    as_: str = AS,
    data: Path | None = DATA,
    limit: int = LIMIT,
    dry_run: bool = DRY_RUN,
    as_json: bool = JSON,
) -> None:
    """Add EIC and lead party to your assets that are known by their BM unit."""
    from fmar_node.imports.crosswalk import BM_UNITS, BM_UNITS_2022

    names = BM_UNITS if file.suffix.lower() == ".json" else BM_UNITS_2022
    _linked(names.read(names.read_rows(file)), as_, data, limit, dry_run, as_json)


def _projects(name: str, file: Path, area: str, as_: str, data: Path | None, limit: int, dry_run: bool, as_json: bool) -> None:
    from fmar_node.checks.mpan import GSP_GROUPS
    from fmar_node.imports.project import register

    if area and area not in GSP_GROUPS:
        fail(f"there is no licence area {area!r}", f"licence areas are {', '.join(sorted(GSP_GROUPS))}")
    projects = register(name)
    _registered(projects.read(projects.read_rows(file), licence_area=area), as_, data, limit, dry_run, as_json)


def _registered(readings: list[RowReading], as_: str, data: Path | None, limit: int, dry_run: bool, as_json: bool) -> None:
    from fmar_node.cli.registering import registering
    from fmar_node.imports.release import aliases_of

    aliases = aliases_of(readings)
    _run(readings, lambda client, params: registering(client, params, aliases), as_, data, limit, dry_run, as_json)


def _linked(readings: list[RowReading], as_: str, data: Path | None, limit: int, dry_run: bool, as_json: bool) -> None:
    from fmar_node.cli.registering import linking

    _run(readings, linking, as_, data, limit, dry_run, as_json)


def _run(
    readings: list[RowReading], registers: Callable[[httpx.Client, dict[str, str]], Register], as_: str, data: Path | None, limit: int, dry_run: bool, as_json: bool
) -> None:
    from fmar_node.imports.report import Verdict
    from fmar_node.imports.run import run_import

    chosen = readings[: limit or None]
    with client_of(as_, data) as client, Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        bar = progress.add_task("rows", total=len(chosen))
        report = run_import(chosen, registers(client, JUDGED_ONLY if dry_run else {}), on_row=lambda _: progress.advance(bar))
    show(report, as_json)
    if report.count(Verdict.REFUSED):
        raise typer.Exit(1)


def show(report: Report, as_json: bool = False) -> None:
    """The report as lines of JSON, or as tables."""
    from fmar_node.imports.render import render
    from fmar_node.imports.report import json_lines

    if as_json:
        for line in json_lines(report):
            print(line)
    else:
        out.print(render(report))
