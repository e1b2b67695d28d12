"""`fmar export`: everything that a participant manages, to standard output, into a file, or into a folder with the node's signed manifest.

Rules kept here: the manifest is asked for at the place of the journal that the file is of; a file that is not the one in the
manifest is said to be wrong, and kept under a name that says so; nothing is overwritten in a folder.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import httpx
import typer
from rich.progress import Progress

from fmar_node.cli.console import DATA_HELP, answered, client_of, err, fail, out, told
from fmar_node.cli.participate import AS, FOR

SUFFIX = {"jsonld": "jsonld", "json": "json", "csv": "csv", "nq": "nq", "nt": "nt", "ttl": "ttl", "rdf": "rdf", "ndjson": "ndjson"}


def add_to(app: typer.Typer) -> None:
    app.command("export")(export)


@told
def export(
    as_: str = AS,
    data: Path | None = typer.Option(None, "--data", help=DATA_HELP),
    for_: str = FOR,
    format_: str = typer.Option("ndjson", "--format", help="ndjson, csv, json, jsonld, nq, nt, ttl or rdf."),
    profile: str = typer.Option("", help="The profile to ask for: fmar, cim or labelled."),
    at: str = typer.Option("", help="As the register stood at this time."),
    index: int | None = typer.Option(None, help="As it stood at this place of the journal."),
    filter_: list[str] = typer.Option([], "--filter", help="Only records with this value of a field, as name=value; repeat for several."),
    output: Path | None = typer.Option(None, "--output", "-o", help="A file (default: standard output)."),
    folder: Path | None = typer.Option(None, "--out", file_okay=False, help="A folder: the file and its manifest, signed by the node, go into it."),
) -> None:
    """Everything that you manage, streamed; with --out as a file that others can verify (fmar audit verify --export)."""
    asked = {"format": format_, "profile": profile, "at": at, "index": "" if index is None else str(index)}
    params = {name: value for name, value in asked.items() if value} | dict(map(_filter, filter_))
    with client_of(as_, data, for_) as client:
        if folder is not None:
            _into_folder(client, folder, params)
            return
        with client.stream("GET", "/assets/export", params=params) as response:
            _check(response)
            with output.open("wb") if output else nullcontext(sys.stdout.buffer) as sink:
                _copy(response, sink)


def _filter(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    return (name, value) if equals else fail(f"{given!r} gives no value", "a filter is given as name=value, such as assetCategory=BESS")


def _into_folder(client: httpx.Client, folder: Path, params: dict[str, str]) -> None:
    from fmar_node.journal.manifest import verify_export

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"assets.{SUFFIX.get(params['format'], 'txt')}"
    signed = file.with_name(file.name + ".manifest")
    if present := next((each for each in (file, signed) if each.exists()), None):
        fail(f"{present} is there already", "give a folder without an export")
    with client.stream("GET", "/assets/export", params=params) as response:
        _check(response)
        place = response.headers["Fmar-Journal-Index"]
        with file.open("xb") as sink, Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
            progress.add_task("export", total=None)
            _copy(response, sink)
    same = {name: value for name, value in params.items() if name != "at"} | {"index": place}
    note = answered(client.get("/assets/export/manifest", params=same)).text
    key = answered(client.get("/journal/key")).text.strip()
    signed.write_text(note, "utf-8")
    with file.open("rb") as written:
        try:
            verify_export(iter(lambda: written.read(65_536), b""), note, key)
        except ValueError as error:
            file.rename(wrong := file.with_name(f"{file.name}.wrong"))
            fail(f"the file is not what the node's manifest says ({error}); it is kept as {wrong}", "has something of it been erased meanwhile? export again")
    out.print(f"{file}  journal index {place}\n{signed}  signed by {key}", soft_wrap=True)


def _check(response: httpx.Response) -> None:
    if not response.is_success:
        response.read()
        answered(response)


def _copy(response: httpx.Response, sink: BinaryIO) -> None:
    for chunk in response.iter_bytes():
        sink.write(chunk)
