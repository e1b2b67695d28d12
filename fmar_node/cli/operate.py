"""For the operator of a node: make it, run it, check it, rebuild its graph, audit its journal."""

from __future__ import annotations

import json
import logging
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import typer

from fmar_node import logs
from fmar_node.cli.console import DATA_HELP, data_folder, escaped, fail, organisation_of, out, print_json, told
from fmar_node.errors import FmarError
from fmar_node.folder import PUT_BACK, Folder
from fmar_node.launch import lasting

if TYPE_CHECKING:
    from fmar_node.access.key import PublicKey

DATA = typer.Option(Path("fmar-data"), "--data", help="The node's data folder.")
JSON = typer.Option(False, "--json", help="Print JSON.")


def add_to(app: typer.Typer) -> None:
    app.command("init")(init)
    app.command("serve")(serve)
    app.command("check")(check)
    app.command("rebuild")(rebuild)
    app.command("security-log")(security_log)
    audit = typer.Typer(help="Verify journal, proofs and receipts.", no_args_is_help=True)
    audit.command("verify")(verify)
    app.add_typer(audit, name="audit")


@told
def init(
    folder: Path = typer.Argument(..., help="The data folder to make."),
    base_url: str = typer.Option("http://127.0.0.1:8080", help="What every IRI of the node begins with. Cannot be changed later."),
    operator: str = typer.Option("FMAR Operator", help="The legal name of the operator's organisation."),
) -> None:
    """Make a node's data folder: keys, settings, the operator's organisation and credential."""
    from fmar_node.foundation import make_node

    document = {
        "type": "Organisation",
        "organisationLegalName": operator,
        "organisationType": "OTHER",
        "organisationTypeDescription": "operator of the register",
        "organisationRoles": ["FMAR_OPERATOR"],
    }
    if Folder(folder).journal.exists():
        fail(f"{folder} has a node already", f"run it with: fmar serve --data {folder}, or give another folder")
    profile = make_node(folder, checked(base_url), document)
    made = escaped(str(folder))
    out.print(f"made {made}", soft_wrap=True)
    out.print(f"  operator   {profile.organisation}", soft_wrap=True)
    out.print(f"  credential {made}/participants/operator", soft_wrap=True)
    out.print(f"next: fmar serve --data {made}", soft_wrap=True)


def checked(base_url: str) -> str:
    """A base URL that record IRIs can begin with, without a slash at its end."""
    try:
        parts = urlsplit(base_url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return fail(f"{base_url!r} is not a URL", "it reads like https://fmar.example.org or http://127.0.0.1:8080")
    if not is_good or parts.query or parts.fragment or "@" in parts.netloc:
        fail(f"{base_url!r} cannot be a base URL", "it reads like https://fmar.example.org or http://127.0.0.1:8080")
    return base_url.rstrip("/")


@told
def serve(
    data: Path = DATA,
    host: str = typer.Option("", help="Address to listen on (default: the base URL's)."),
    port: int = typer.Option(0, min=0, max=65_535, help="Port to listen on (default: the base URL's)."),
    base_url: str = typer.Option("", help="Refused unless it is the one that the folder was made for."),
    config: Path | None = typer.Option(None, help="A settings file instead of the folder's node.toml."),
) -> None:
    """Run a node until Ctrl-C or SIGTERM."""
    run_server(data, host, port, base_url or None, config)


def run_server(data: Path, host: str = "", port: int = 0, base_url: str | None = None, config: Path | None = None) -> None:
    """Serves a data folder with one web process."""
    with lasting():
        from fmar_node.access.key import SigningKeys
        from fmar_node.node import Node
        from fmar_node.settings import is_loopback
        from fmar_node.web.server import Server, tls_of

    folder = Folder(data)
    folder.check_made()
    folder.check_keys()
    try:
        SigningKeys.load(folder.token_keys)  # before anything is started
    except ValueError as error:
        fail(str(error), PUT_BACK)
    if config and not config.is_file():
        fail(f"there is no settings file {config}")
    settings = folder.settings(config, base_url=base_url)
    address = urlsplit(settings.base_url)
    logs.set_up("web", settings.log_level)
    node = Node(folder, settings)
    tls = tls_of(node)
    if address.scheme == "https" and tls is None and not (host or port):
        fail(f"{settings.base_url} is spoken over TLS, and no certificate is set", "set tls_certificate and tls_key; or, behind a proxy that speaks TLS, give --host and --port")
    logging.getLogger("uvicorn.error").addFilter(lambda _: node.refusal is None)  # told below, without a traceback
    if settings.clock_may_be_set and host and not is_loopback(host):
        fail(f"the clock of this node may be set, and {host} is not this machine alone", "take clock_may_be_set out of its settings, or listen on 127.0.0.1")
    where = (host or address.hostname or "127.0.0.1", port or address.port or (443 if tls else 8080))
    server = Server(node, *where, tls)
    told_to_end = signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it once more when all is done
    with suppress(SystemExit):
        server.run()
    signal.signal(signal.SIGTERM, told_to_end)
    if node.refusal:
        raise node.refusal
    if not server.started:
        fail(f"the node did not start on {where[0]} port {where[1]}", "the log above says why; --port takes another one, fmar check looks closer")


@told
def check(data: Path = DATA, as_json: bool = JSON) -> None:
    """Check a node, running or stopped: settings, keys, disk, certificate, journal, and of a stopped one every graph."""
    from fmar_node.keeping.checkup import check_node

    findings = check_node(Folder(data))
    if as_json:
        print_json([finding.as_json() for finding in findings])
    else:
        for finding in findings:
            good = "[yellow]note[/]" if finding.remedy else "[green]ok[/]  "
            mark = good if finding.is_ok else "[red]BAD[/] "
            out.print(f"{mark} {finding.what}: {escaped(finding.detail)}", soft_wrap=True)
            if finding.remedy:
                out.print(f"     [dim]{escaped(finding.remedy)}[/]", soft_wrap=True)
    if not all(finding.is_ok for finding in findings):
        raise typer.Exit(1)


@told
def security_log(
    data: Path | None = typer.Option(None, "--data", help=DATA_HELP),
    since: str = typer.Option("", "--from", help="From this instant or day on, as in 2026-11-22T09:30:00Z."),
    until: str = typer.Option("", "--to", help="Before this instant or day."),
    event: str = typer.Option("", help="One kind of event: read, write, query, token, sign-in, log-read, refused."),
    organisation: str = typer.Option("", help="What this organisation did, or had done on its behalf: its IRI, its UUID, or its name beside --data."),
    limit: int = typer.Option(100, min=1, help="At most so many lines, the newest first."),
    as_json: bool = JSON,
) -> None:
    """Read a node's security log, of a running node or a stopped one, without asking it."""
    from fmar_node.clock import parse_stamp
    from fmar_node.security_log import EVENTS, Wish, read

    if event and event not in EVENTS:
        fail(f"there is no event {event!r}", f"events are {', '.join(EVENTS)}")
    folder = Folder(data_folder(data))
    folder.check_made()
    first, last = (parse_stamp(text) if text else None for text in (since, until))
    whose = _uuid_of(organisation, data) if organisation else ""
    lines: list[dict[str, Any]] = []
    cursor = ""
    while len(lines) < limit:
        page = read(folder.log, Wish(first, last, event, cursor, whose, limit - len(lines)))
        lines += page.lines
        if not (cursor := page.cursor):
            break
    if as_json:
        print_json(lines)
        return
    if not lines:
        out.print("there are no such lines")
    for line in lines:
        who = " ".join(str(line[name]) for name in ("organisation", "application", "actor", "user") if name in line) or "anonymous"
        what = " ".join(str(line[name]) for name in ("action", "kind", "record", "code", "reason", "policy") if name in line)
        by = f"by a {line['claimed']} of" if "claimed" in line else "by"
        out.print(escaped(f"{line['time']} {line['event']:8} {line.get('outcome', ''):7} {line.get('route', '-')} {what} {by} {who}"), soft_wrap=True)


def _uuid_of(organisation: str, data: Path | None) -> str:
    from fmar_node.identity import is_uuid
    from fmar_node.record import uuid_of

    found = organisation if is_uuid(organisation) else uuid_of(organisation_of(organisation, data))
    return found if is_uuid(found) else fail(f"{organisation!r} is no organisation", "its IRI ends in its UUID")


@told
def rebuild(data: Path = DATA) -> None:
    """Rebuild the graph of a stopped node from its journal."""
    from fmar_node.keeping.maintenance import open_register, rebuild_graph

    folder = Folder(data)
    folder.check_made()
    open_register(folder).size()
    if is_held(folder.graph):
        fail("a node is running on this folder", "stop it first; its graph cannot be made anew under it")
    shutil.rmtree(folder.snapshots, ignore_errors=True)
    count = rebuild_graph(folder, out.status("rebuilding the graph") if out.is_terminal else None)
    out.print(f"rebuilt the graph from {count} journal entries")


def is_held(store: Path) -> bool:
    """Whether a process has the graph open; a damaged one that nobody has is not."""
    from fmar_node.store.graph import Graph

    try:
        Graph(store).close()
    except OSError as error:
        return "LOCK" in str(error)
    except RuntimeError:
        return False
    return False


@told
def verify(
    data: Path | None = typer.Option(None, "--data", help="Verify the whole journal in a data folder."),
    receipt: Path | None = typer.Option(None, help="Verify one receipt (the answer of /{kind}/{id}/proof), offline."),
    key: str = typer.Option("", help="The journal's verifier key (/journal/key), or a file that holds it."),
    export: Path | None = typer.Option(None, help="Verify an exported file by its --manifest, offline."),
    manifest: Path | None = typer.Option(None, help="With --export: the manifest that the node has signed (default: the file's name and .manifest)."),
    handovers: Path | None = typer.Option(None, help="With --receipt or --export: the journal's /journal/handovers; they are followed from the key on."),
    operator_key: Path | None = typer.Option(None, help="With --handovers: the operator's public key (JWK), where a signing key was lost."),
    as_json: bool = JSON,
) -> None:
    """Verify a receipt or an export offline, or every entry, hash and signature of a journal."""
    from fmar_node.journal.handover import nobody
    from fmar_node.journal.manifest import verify_export
    from fmar_node.journal.receipt import parse_receipt, verify_receipt
    from fmar_node.journal.tree import ProofError
    from fmar_node.keeping.maintenance import verify_journal
    from fmar_node.keeping.operators import operator_authority

    given = receipt or export
    if given is None and data is not None:
        Folder(data).check_made()
    try:
        if given is not None:
            if not key:
                fail("which key has signed it?", "give --key: what the node says at /journal/key, or a file that holds it")
            verifier = (Path(key).read_text("utf-8") if Path(key).exists() else key).strip()
            chain = handovers.read_text("utf-8") if handovers else None
            authority = operator_authority(_read_key(operator_key)) if operator_key else nobody
            if export is not None:
                note = (manifest or export.with_name(f"{export.name}.manifest")).read_text("utf-8")
                passed = verify_export(_chunks(export), note, verifier, chain or "", authority)
            else:
                passed = verify_receipt(parse_receipt(given.read_bytes()), verifier, None, chain, authority)
        elif data is not None:
            passed = verify_journal(Folder(data))
        else:
            fail("nothing to verify", "give --receipt FILE --key KEY, --export FILE --key KEY, or --data DIR")
    except (ProofError, FmarError) as error:
        if as_json:
            print(json.dumps({"verified": False, "code": error.code, "detail": error.detail}))
        where = "the key is at /journal/key of the node, the receipt at /proof of the record" if receipt else "restore the data folder from a backup"
        where = "the key is at /journal/key of the node; the file is as it was exported, or it is not that file" if export else where
        fail(f"not verified: {error}", where)
    if as_json:
        print_json({"verified": True, "checks": passed})
    else:
        out.print("[green]verified[/]: " + ", ".join(passed))


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while chunk := source.read(65_536):
            yield chunk


def _read_key(file: Path) -> PublicKey:
    from fmar_node.access.authority import operator_key
    from fmar_node.access.jose import UnacceptableError

    try:
        return operator_key(file.read_text("utf-8"))
    except UnacceptableError as error:
        return fail(f"{file} {error}", "it is what fmar key public prints at the operator")
