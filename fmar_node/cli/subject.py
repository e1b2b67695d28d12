"""For the operator, who answers to persons: what is held about a subject, and its erasure."""

from __future__ import annotations

import json
import os
import time
from contextlib import closing, nullcontext
from pathlib import Path

import httpx
import typer

from fmar_node.cli.console import answered, client_of, escaped, fail, out, print_json, told
from fmar_node.client import LOST
from fmar_node.errors import counted
from fmar_node.folder import Folder
from fmar_node.record import Version

DATA = typer.Option(Path("fmar-data"), "--data", help="The node's data folder.")
JSON = typer.Option(False, "--json", help="Print JSON.")
SUBJECT = typer.Argument(..., help="A record's IRI, assets/UUID, organisations/UUID, or SCHEME:VALUE as in MPAN:2000000000006.")
LD_JSON = {"Content-Type": "application/ld+json"}
PATIENCE = 600.0
"""Seconds to wait for a running node to have scrubbed its files."""


def add_to(app: typer.Typer) -> None:
    subject = typer.Typer(help="What is held about a person or installation.", no_args_is_help=True)
    subject.command("find")(find)
    subject.command("export")(export)
    app.add_typer(subject, name="subject")
    app.command("erase")(erase)


@told
def find(text: str = typer.Argument(..., help="A name, e-mail address, ... or SCHEME:VALUE as in MPAN:2000000000006; - reads it from standard input."), data: Path = DATA, as_json: bool = JSON) -> None:
    """List the records that have a text among their personal values, now or in the past."""
    from fmar_node.keeping.maintenance import open_register
    from fmar_node.keeping.subject import mentioning

    wanted = typer.get_text_stream("stdin").read().strip() if text == "-" else text
    if not wanted:
        fail("there is nothing to look for")
    folder = Folder(data)
    folder.check_made()
    with closing((register := open_register(folder)).connection):
        mentioned = list(mentioning(register, wanted))
        found = [(version.iri, version.state) for version in mentioned]
    _note(folder, "find", mentioned)
    if as_json:
        print_json([{"record": iri, "state": state} for iri, state in found])
        return
    for iri, state in found:
        out.print(f"{escaped(iri)}  {state}", soft_wrap=True)
    out.print(f"{counted(len(found), 'record')}; a record that was erased is not found by what was erased")


@told
def export(subject: str = SUBJECT, to: Path | None = typer.Option(None, "--out", help="A file instead of standard output."), data: Path = DATA) -> None:
    """Export everything that is held about a subject: every version, every section, and who sees it (subject access)."""
    from fmar_node.keeping.maintenance import open_register
    from fmar_node.keeping.places import remembered
    from fmar_node.keeping.subject import held, named

    folder = Folder(data)
    folder.check_made()
    with closing((register := open_register(folder)).connection):
        subjects = named(register, subject)
        report = [held(register, version) for version in subjects]
    _note(folder, "export", subjects)
    whole = {"subject": subject, "records": report, "backups": [str(place) for place in remembered(folder)]}
    if to is None:
        print_json(whole)
        return
    to.touch(0o600)
    to.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", "utf-8")
    out.print(f"wrote what is held about {counted(len(report), 'record')} to {escaped(str(to))}", soft_wrap=True)


def _note(folder: Folder, command: str, versions: list[Version]) -> None:
    """A line of the security log: whoever has the folder has looked at what is personal in it."""
    from fmar_node.access.reveal import parties
    from fmar_node.clock import SystemClock
    from fmar_node.security_log import MOST_NAMED, note

    holders = sorted({party for version in versions for party in parties(version.document)})
    said = {"route": f"fmar subject {command}", "outcome": "granted", "user": f"uid {os.getuid()}", "records": len(versions), "holders": holders[:MOST_NAMED]}
    if trouble := note(folder.log, folder.settings(), SystemClock(), "read", said):
        fail(f"the security log cannot be written ({trouble}), and without a line in it nobody looks at what is personal")


@told
def erase(
    subject: str = SUBJECT,
    reason: str = typer.Option("REQUEST", help="REQUEST, RETENTION or ERROR."),
    past: bool = typer.Option(False, "--past", help="Only the personal values of past versions; the present ones stay."),
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
    data: Path = DATA,
) -> None:
    """Destroy a subject's personal values wherever the node keeps them; tree and proofs stay valid. Cannot be undone.

    Beside a running node this goes through it, as the operator; on a stopped one it is done here.
    """
    from fmar_node.keeping.maintenance import open_register
    from fmar_node.keeping.places import remembered
    from fmar_node.keeping.scrub import pending
    from fmar_node.keeping.subject import is_erased, named
    from fmar_node.kinds.erasure import EVERYTHING, PAST

    folder = Folder(data)
    folder.check_made()
    remembered(folder)  # before anything is destroyed: an erasure has to know where backups are
    scope = PAST if past else EVERYTHING
    with closing((register := open_register(folder)).connection):
        versions = named(register, subject)
        is_due = pending(register) >= 0
    for version in versions:
        said = ", nothing left to erase" if is_erased(version, scope) else ""
        out.print(f"{escaped(version.iri)}  {version.state}, {counted(version.number, 'version')}{said}", soft_wrap=True)
    versions = [version for version in versions if not is_erased(version, scope)]
    if versions and not yes:
        typer.confirm("Destroy the personal values of past versions?" if past else "Destroy all personal values of the above?", abort=True)
    if versions or is_due:
        note = {"erasureReason": reason, "erasureScope": scope}
        (_beside if _is_running(folder) else _here)(folder, versions, note)
    if versions or is_due or not past:
        _tell_of_backups(folder, past=past)


def _is_running(folder: Folder) -> bool:
    from fmar_node.cli.operate import is_held

    return is_held(folder.graph)


def _here(folder: Folder, versions: list[Version], note: dict[str, str]) -> None:
    """On a stopped node's folder."""
    from fmar_node.keeping.erase import erase_records

    with out.status("erasing, and making the graph anew") if out.is_terminal else nullcontext():
        erase_records(folder, versions, note)
    done = f"erased {counted(len(versions), 'record')}" if versions else "finished an erasure that was cut off: it is gone"
    out.print(f"{done} from journal, graph, snapshots and log of the database")


def _beside(folder: Folder, versions: list[Version], note: dict[str, str]) -> None:
    """Through the running node, as the operator."""
    with client_of("operator", folder.root) as client:
        for version in versions:
            answered(client.post(f"{version.iri}/erasure", json=note, headers=LD_JSON))
        if versions:
            out.print(f"erased {counted(len(versions), 'record')}; the node removes what its files still hold")
        with out.status("waiting until it has") if out.is_terminal else nullcontext():
            _wait_for_scrub(folder, client)
    out.print("its files are scrubbed: graph, snapshots, log of the database")


def _wait_for_scrub(folder: Folder, client: httpx.Client) -> None:
    """Until the node has scrubbed its files; ends the command where it takes too long, or the node has ended."""
    from fmar_node.keeping.maintenance import open_register
    from fmar_node.keeping.scrub import pending

    deadline = time.monotonic() + PATIENCE
    with closing((register := open_register(folder)).connection):
        while pending(register) >= 0:
            if time.monotonic() > deadline:
                fail("the node has not scrubbed its files yet", "its log says why; fmar check tells when it is done")
            try:
                client.get("/healthz", timeout=PATIENCE)
            except (httpx.ConnectError, *LOST):
                fail("the node has ended: the values are erased, and its files not scrubbed yet", "start it and give the same fmar erase again: it finishes this, and reaches the backups; fmar check tells what is open")
            time.sleep(0.5)


def _tell_of_backups(folder: Folder, *, past: bool) -> None:
    """What backups still open; ends with status 1 where they may open what was erased."""
    from fmar_node.keeping.places import forget, remembered

    missed = forget(folder)
    for each in missed:
        out.print(f"[yellow]not reached[/]: {escaped(each)}; the next fmar backup there destroys it", soft_wrap=True)
    if missed:
        raise typer.Exit(1)
    if not remembered(folder):
        out.print("this node knows of no backups; copies that were made by other means are not reached")
    else:
        out.print("no backup opens these values any more" + ("; the present ones neither: run fmar backup now" if past else ""))
