"""For those who write documents and shapes: judge offline, as the node would."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fmar_node.cli.console import err, escaped, fail, media_type_of, out, print_json, told
from fmar_node.clock import SystemClock, today
from fmar_node.errors import Fault, FmarError, Severity, counted

if TYPE_CHECKING:
    from fmar_node.checks.shape import Shapes
    from fmar_node.vocabulary import Vocabulary

COLOURS = {Severity.REJECT: "red", Severity.JUSTIFY: "yellow", Severity.WARN: "cyan", Severity.FILLED: "dim"}
OFFLINE_ID = "00000000-0000-7000-8000-000000000000"


def add_to(app: typer.Typer) -> None:
    app.command("validate")(validate)


@told
def validate(
    files: list[Path] = typer.Argument(..., exists=True, dir_okay=False, help="Documents: JSON-LD, Turtle, N-Triples or RDF/XML, in our terms or in CIM."),
    kind: str = typer.Option("assets", help="The kind of record that they are, as it stands in URLs."),
    shapes: Path | None = typer.Option(None, help="A folder of shapes instead of the packaged ones."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Judge documents offline with the package's shapes, or a maintainer's working copy.

    Rules over the register (uniqueness, owners, meter points of others) need the node.
    """
    from fmar_node.checks.shape import Shapes
    from fmar_node.kinds import KINDS
    from fmar_node.vocabulary import Vocabulary

    if kind not in KINDS:
        fail(f"there are no {kind}", f"kinds are {', '.join(KINDS)}")
    vocabulary = Vocabulary.load()
    bench = Shapes(vocabulary, shapes)
    if not bench.has(KINDS[kind].name):
        fail(f"{shapes} has no {KINDS[kind].name}.ttl", "a folder of shapes has one file per kind of record")
    if shapes is not None:
        _check_folder(shapes, vocabulary)
    results = {str(file): _judged(file, kind, vocabulary, bench) for file in files}
    if as_json:
        print_json([{"file": file, "errors": [fault.as_json() for fault in faults]} for file, faults in results.items()])
    else:
        for file, faults in results.items():
            _tell(file, faults)
    if any(map(_of_another_kind, results.values())):
        err.print(f"[dim]hint:[/] these are judged as {kind}; --kind takes {', '.join(KINDS)}", soft_wrap=True)
    if any(fault.severity in (Severity.REJECT, Severity.JUSTIFY) for faults in results.values() for fault in faults):
        raise typer.Exit(1)


def _check_folder(folder: Path, vocabulary: Vocabulary) -> None:
    """Ends the command where the shapes themselves are wrong; says which of them are slow, and where packaged ones stand in."""
    from fmar_node.checks.shape_file import mistakes, not_compiled

    if found := list(mistakes(folder, vocabulary)):
        for each in found:
            err.print(f"  {escaped(each)}", soft_wrap=True)
        fail(f"the shapes in {folder} have {counted(len(found), 'mistake')}", "docs/guides/ontology-maintainer.md says how shapes are written")
    for each in not_compiled(folder, vocabulary):
        err.print(f"[dim]note:[/] {escaped(each)}: pyshacl is asked about it for every document", soft_wrap=True)
    if not (folder / "cim").is_dir():
        err.print(f"[dim]note:[/] {escaped(str(folder))} has no cim/: documents in CIM are judged by the packaged shapes of CIM", soft_wrap=True)


def _of_another_kind(faults: list[Fault]) -> bool:
    return any(fault.code == "type-mismatch" for fault in faults)


def _judged(file: Path, kind: str, vocabulary: Vocabulary, bench: Shapes) -> list[Fault]:
    """All faults of a document; those that its justifications answer are left out."""
    from fmar_node.jsonld import fault_of
    from fmar_node.judge import Paper, judge
    from fmar_node.settings import Settings

    settings = Settings.read()
    media_type = media_type_of(file)
    paper = Paper(kind, "register", f"{settings.base_url}/{kind}/{OFFLINE_ID}", media_type, file.read_bytes(), today(SystemClock()))
    try:
        judgement = judge(paper, vocabulary, bench, settings)
    except FmarError as error:
        return fault_of(error)
    justified = {each.get("rule") for each in judgement.document.get("justification", ())}
    return [fault for fault in judgement.faults if fault.severity is not Severity.JUSTIFY or fault.code not in justified]


def _tell(file: str, faults: list[Fault]) -> None:
    bad = [fault for fault in faults if fault.severity in (Severity.REJECT, Severity.JUSTIFY)]
    out.print(f"{escaped(file)}: " + ("[red]refused[/]" if bad else "[green]accepted[/]"), soft_wrap=True)
    for fault in faults:
        colour = COLOURS[fault.severity]
        said = f"{escaped(f'{fault.code:<12}')} {escaped(fault.pointer or '/')}  {escaped(fault.message)}"
        out.print(f"  [{colour}]{fault.severity.value}[/] {said}", soft_wrap=True)
