"""How the command speaks: output, errors with hints, profiles. Errors go to standard error, exit status non-zero."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fmar_node.client import CredentialError, Profile, connect, is_not_believed
from fmar_node.errors import PROBLEMS, FmarError

WIDE = 160
"""Columns when the output is no terminal, so that tables in files and pipes are whole."""

out = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False, emoji=False, width=None if sys.stderr.isatty() else WIDE)


DATA_FOLDERS = (Path(".fmar-demo"), Path("fmar-data"))
"""Where names of participants are looked up without `--data`: in the first of these that there is."""
DATA_HELP = "The node's data folder, for participants by name (default: .fmar-demo where there is one, otherwise fmar-data)."
ENOUGH = 141
"""The status of a command whose output was not read to its end: that of one that SIGPIPE ends."""
PATIENCE = 3.0
"""Seconds for which a command waits for a node that does not answer, as while it starts again."""
NO_HINT = frozenset({"malformed-request", "internal-error", "storage-full", "unavailable"})
"""Codes of a node's answer whose detail says it all."""
NO_TOKEN = {
    "invalid_target": "fmar delegation list shows what was granted, and what waits to be accepted; whoever you act for offers it",
    "invalid_dpop_proof": "is the clock of this machine right?",
    "invalid_client": "is the key registered, and the organisation active?",
}
"""What to do where the node gave no token, by its word for why."""
REVOKED = "the organisation registers another key, or the node's operator does: fmar participant rekey"
HINTED = frozenset({"sandbox-missing"})
"""Codes of this machine's own refusals whose remedy says more than their detail."""
PRIVATE_AUTHORITY = 'where a private authority signed it, name its PEM file in profile.json, as in "ca": "/etc/ssl/our-authority.pem"'


BY_SUFFIX = {".ttl": "text/turtle", ".nt": "application/n-triples", ".rdf": "application/rdf+xml", ".xml": "application/rdf+xml"}


class Refused(Exception):
    """The node refused a request; `problem` is its problem document."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail", ""))
        self.problem = problem


def fail(message: str, hint: str = "") -> NoReturn:
    """Says what went wrong and what to do, and ends with status 1."""
    err.print(f"[bold red]error[/]: {escaped(message)}", soft_wrap=True)
    if hint:
        err.print(f"[dim]hint:[/] {escaped(hint)}", soft_wrap=True)
    raise typer.Exit(1)


def media_type_of(file: Path) -> str:
    """What a document in a file is, by the end of its name; JSON-LD where that says nothing."""
    return BY_SUFFIX.get(file.suffix.lower(), "application/ld+json")


def escaped(text: str) -> str:
    """Text that is printed as it is, whatever brackets it has."""
    return escape(text)


def told(command: Callable[..., None]) -> Callable[..., None]:
    """Turns coded errors into messages with hints."""

    @wraps(command)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            with _read_or_not():
                command(*arguments, **options)
        except FmarError as error:
            for fault in error.faults:
                err.print(f"  {fault.code}  {escaped(fault.pointer or '/')}  {escaped(fault.message)}")
            fail(error.detail or error.title, PROBLEMS[error.code].remedy if error.code in HINTED else "")
        except Refused as refusal:
            show_problem(refusal.problem)
            raise typer.Exit(1) from None
        except httpx.HTTPError as error:
            fail(*_unanswered(error))
        except httpx.InvalidURL as error:
            fail(f"not a URL: {error}", "it reads like https://fmar.example.org or http://127.0.0.1:8080")
        except (OSError, ValueError, SyntaxError) as error:
            fail(_told_of_file(error) if isinstance(error, OSError) else str(error))
        except sqlite3.Error as error:
            fail(f"the journal cannot be read: {error}", "fmar check looks closer")
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            fail(f"{type(error).__name__}: {error}", "this was not foreseen; please report it with what you did")

    return guarded


@contextmanager
def _read_or_not() -> Iterator[None]:
    """Ends the command without a word where whoever reads its output has read enough, as head does."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(ENOUGH) from None


def _unanswered(error: httpx.HTTPError) -> tuple[str, str]:
    """Why a node gave no answer, and what to do."""
    if isinstance(error, CredentialError):
        return str(error), REVOKED if "revoked" in str(error) else NO_TOKEN.get(error.word, "the node says why; try again in a while" if error.is_passing else "")
    if is_not_believed(error):
        return f"the node's certificate is not believed: {error}", PRIVATE_AUTHORITY
    if isinstance(error, httpx.RemoteProtocolError) and "complete message body" in str(error):
        return "the answer broke off after its first bytes", "it probably met a deadline or a limit of the node's: narrow what you ask for"
    return f"the node does not answer: {error}", "is it running? start it with: fmar serve --data DIR"


def _told_of_file(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)


def show_problem(problem: dict[str, Any]) -> None:
    """A problem document for a person, with what to do about it."""
    said = escaped(str(problem.get("detail", "")))
    err.print(f"[bold red]{problem.get('status', '')} {escaped(str(problem.get('code', '')))}[/]: {said}", soft_wrap=True)
    if errors := problem.get("errors"):
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("severity", "code", "pointer", "message"):
            table.add_column(column, overflow="fold")
        for error in errors:
            table.add_row(*(escaped(str(error.get(column, ""))) for column in ("severity", "code", "pointer", "message")))
        err.print(table)
    if (code := problem.get("code")) in PROBLEMS and code not in NO_HINT:
        remedy = _mending(errors) if code == "validation-failed" and errors else PROBLEMS[code].remedy
        err.print(f"[dim]hint:[/] {escaped(remedy)}", soft_wrap=True)


def _mending(errors: list[dict[str, Any]]) -> str:
    """What to do about the faults of a document, by their severities."""
    severities = {error.get("severity") for error in errors}
    what = {"R": "mend each of severity R", "J": "give a justification for each of severity J, by its code"}
    return "; ".join(said for severity, said in what.items() if severity in severities)


def data_folder(given: Path | None = None) -> Path:
    """The data folder that names are looked up in: the one that is given, otherwise the demo's where it is here, otherwise fmar-data."""
    return given or next((folder for folder in DATA_FOLDERS if folder.exists()), DATA_FOLDERS[-1])


def profile_folder(name: str, data: Path | None = None) -> Path:
    """A profile's folder, or the one of that name beside a node's data folder."""
    hint = "give a profile's folder, or --data DIR and a participant's name"
    return found_profile(name, data) or fail(f"no profile {name!r}, neither a folder nor a participant beside {data_folder(data)}", hint)


def found_profile(name: str, data: Path | None = None) -> Path | None:
    """The folder of a profile, where there is one: that folder, or the one of that name beside a node's data folder."""
    places = (Path(name), data_folder(data) / "participants" / name)
    return next((folder for folder in places if (folder / "profile.json").exists()), None)


def profile_of(name: str, data: Path | None = None) -> Profile:
    folder = profile_folder(name, data)
    try:
        return Profile.load(folder)
    except json.JSONDecodeError as error:
        return fail(f"the profile in {folder} is damaged: {error}", "profile.json and key.jwk are JSON")


def client_of(name: str, data: Path | None = None, subject: str = "") -> httpx.Client:
    """A participant's client; on behalf of another organisation where `subject` names one."""
    profile = profile_of(name, data)
    return connect(profile.acting_for(organisation_of(subject, data)) if subject else profile, patience=PATIENCE)


def organisation_of(name: str, data: Path | None = None) -> str:
    """The IRI of an organisation: as it was given, or that of the participant of this name beside a data folder."""
    if name.startswith(("http:", "https:")):
        return name
    folder = found_profile(name, data) or fail(f"there is no organisation {name!r} beside {data_folder(data)}", "give its IRI, or --data DIR and a participant's name")
    said = json.loads((folder / "profile.json").read_text("utf-8"))
    return str(said.get("organisation", "")) or fail(f"{folder / 'profile.json'} has no organisation", "it is damaged; give the organisation's IRI")


def answered(response: httpx.Response) -> httpx.Response:
    """The response; Refused when it is a problem."""
    if response.is_success:
        return response
    try:
        raise Refused(response.json())
    except ValueError:
        raise Refused({"status": response.status_code, "detail": response.text[:500]}) from None


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))
