"""The stage of `fmar demo`: a node with an example market on this machine, toured and left running.

Rules kept here: the node runs as anybody's would, `fmar serve` on a data folder in a process of its own, and is
spoken to over HTTP alone; a second demo on the same folder finds everything as the first one left it; what the
demo starts ends with it.
"""

from __future__ import annotations

import runpy
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import httpx
import typer
from rich.progress import Progress

from fmar_node.cli.console import Refused, fail
from fmar_node.cli.tour.child import Process, last_lines, running
from fmar_node.cli.tour.consent import SECRET_FILE
from fmar_node.cli.tour.consent import settings_for as consents_of
from fmar_node.cli.tour.credential import token_of
from fmar_node.cli.tour.market import OPERATOR, PARTICIPANTS, bring_in_assets, settle_in, write_report
from fmar_node.cli.tour.narrator import Narrator
from fmar_node.cli.tour.person import PEOPLE, settings_for
from fmar_node.cli.tour.route import STEPS, walk
from fmar_node.cli.tour.tool import shown
from fmar_node.cli.tour.visit import Visit, example
from fmar_node.client import Profile, connect
from fmar_node.folder import Folder, write_private
from fmar_node.imports.render import MEANINGS
from fmar_node.imports.report import Report, Verdict

HOST = "127.0.0.1"
NODE_NAME = "FMAR demo node"
SETTINGS = f"""
# This node was made by `fmar demo`. Its tokens live for a short time, so that the tour can show one that has expired. What
# everybody sees of it are rows of UK Power Networks.
open_licence = "https://creativecommons.org/licenses/by/4.0/"
node_name = "{NODE_NAME}"
token_seconds = 10
# Its register may be put forward, so that the tour need not wait for a fortnight: fmar clock --to
clock_may_be_set = true
"""
LEFT_OVER = "if the folder is left over from an interrupted demo, remove it and start again; or choose another with --data"
READY_SECONDS = 60.0
LEAST_ASSETS = 500
REST_SECONDS = 0.5
"""Where nothing has been entered for so long, every source has answered."""
EVERY_ROWS = 200
"""How often the import speaks up where there is no terminal for a bar."""


def show(once: bool, port: int, data: Path) -> None:
    """Everything that the command does."""
    base_url, folder, narrator = f"http://{HOST}:{port}", Folder(data), Narrator()
    check_port(port)
    check_folder(folder, base_url)
    is_touring = True
    with ended_by_signals():
        try:
            with consent_solution(base_url) as solution, node(folder, base_url, narrator, solution) as process:
                tour(folder, base_url, narrator, solution.url)
                is_touring = False
                if not once:
                    invite(narrator, folder, base_url)
                    _watch(process, folder)
        except KeyboardInterrupt:
            if is_touring:
                raise typer.Exit(130) from None


def check_port(port: int) -> None:
    """Ends the command where something else listens on the port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            refuse_port(port, str(error.strerror))


def refuse_port(port: int, reason: str) -> NoReturn:
    other = port + 1 if port < 65535 else 8080
    fail(f"port {port} cannot be used: {reason}", f"end what runs there, or choose another: fmar demo --port {other} --data .fmar-demo-{other}")


def check_folder(folder: Folder, base_url: str) -> None:
    """Ends the command where the folder is not, and cannot become, the demo node of this address."""
    if not folder.is_made:
        if folder.root.exists() and any(folder.root.iterdir()):
            fail(f"{folder.root} holds something else than a demo node", LEFT_OVER)
        return
    settings = folder.settings()
    if settings.node_name != NODE_NAME:
        fail(f"{folder.root} holds a node that is not a demo's", "choose another folder with --data")
    if not settings.clock_may_be_set:
        fail(f"{folder.root} was made by an earlier demo, whose clock cannot be set", "remove it and start again, or choose another with --data")
    if settings.base_url != base_url:
        made_for = settings.base_url.rsplit(":", 1)[-1]
        fail(
            f"{folder.root} was made for {settings.base_url}, which stands in the IRI of every record in it",
            f"start it with --port {made_for}, or choose another folder with --data",
        )


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP (unless it is ignored, as under nohup) end the block as Ctrl-C does."""
    heard = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else [])]
    before = {each: signal.signal(each, signal.default_int_handler) for each in heard}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def node(folder: Folder, base_url: str, narrator: Narrator, solution: Any) -> Iterator[Process]:
    """The demo's node, ready to answer, until the block ends."""
    narrator.rule("FMAR demo")
    if not folder.is_made:
        from fmar_node.foundation import make_node  # and with it the judge: only a first demo waits for them

        make_node(folder.root, base_url, OPERATOR)
        with folder.settings_file.open("a", encoding="utf-8") as settings:
            settings.write(SETTINGS)
        narrator.print(f"made a node in {folder.root}: keys, journal, the operator's organisation")
    log = folder.root / "node.log"
    share_secret(folder.root / SECRET_FILE, solution.notification_secret)
    with (
        companies_register() as register,
        asset_sources() as sources,
        identity_provider() as issuer,
        running(
            "serve", "--data", str(folder.root), log=log, FMAR_COMPANIES_REGISTER_URL=register, FMAR_IDENTITY_PROVIDERS=settings_for(issuer),
            FMAR_METER_POINT_URL=sources, FMAR_MCS_URL=sources, FMAR_OEM_URL=sources,
            FMAR_CONSENT_SOLUTIONS=consents_of(solution.url), FMAR_WEBHOOK_LOOPBACK="true",
        ) as process,
    ):
        seconds = _wait_until_ready(process, base_url, log)
        check_answers(folder, base_url)
        narrator.print(f"started it at {base_url} in {seconds:.1f} s; its log is {log}")
        yield process


@contextmanager
def companies_register() -> Iterator[str]:
    """The address of the register of the demo's companies, which runs in a thread of the demo until the block ends."""
    made = runpy.run_path(str(example("servers/companies_register.py")))
    with made["Register"]() as register:
        yield register.url


@contextmanager
def asset_sources() -> Iterator[str]:
    """The address of the sources that the demo's node asks about assets: every meter point and machine is there."""
    made = runpy.run_path(str(example("servers/asset_sources.py")))
    with made["Sources"](others=True) as sources:
        yield sources.url


@contextmanager
def consent_solution(base_url: str) -> Iterator[Any]:
    """Where the demo's consumers consent, in a thread of the demo until the block ends."""
    made = runpy.run_path(str(example("servers/consent_solution.py")))
    with made["Solution"](node=base_url) as solution:
        yield solution


def share_secret(file: Path, secret: str) -> None:
    """The secret of this demo's consent solution, in the place of an earlier one's."""
    file.unlink(missing_ok=True)
    write_private(file, secret.encode())


@contextmanager
def identity_provider() -> Iterator[str]:
    """The issuer that the demo's people sign in at, in a thread of the demo until the block ends."""
    made = runpy.run_path(str(example("servers/identity_provider.py")))
    provider = made["Provider"]("", [dict(person) for person in PEOPLE], "fmar-demo")
    with made["server_of"](provider) as server:
        provider.issuer = f"http://{HOST}:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield provider.issuer
        server.shutdown()


def _wait_until_ready(process: Process, base_url: str, log: Path) -> float:
    began = time.monotonic()
    with httpx.Client(base_url=base_url, trust_env=False) as client:
        while time.monotonic() - began < READY_SECONDS and process.poll() is None:
            try:
                if client.get("/readyz").is_success:
                    return time.monotonic() - began
            except httpx.TransportError:
                pass
            time.sleep(0.05)
    return fail(f"the node did not start; its last words: {last_lines(log)}", f"the whole log is {log}; fmar check --data {log.parent} looks closer")


def check_answers(folder: Folder, base_url: str) -> None:
    """Ends the command where it is another node that answers: one that began at the same time."""
    key = httpx.get(f"{base_url}/journal/key", trust_env=False).text.strip()
    if key != str(folder.journal_key(base_url).verifier):
        refuse_port(int(base_url.rsplit(":", 1)[-1]), "address already in use, by another node")


def tour(folder: Folder, base_url: str, narrator: Narrator, solution: str) -> None:
    """Participants, assets, and the steps; ends the command where one of them goes otherwise than it should."""
    began = time.monotonic()
    try:
        profiles = settle_in(folder.participants)
    except Refused as refusal:
        fail(f"a participant cannot be onboarded: {refusal}", LEFT_OVER)
    narrator.print(f"onboarded {len(profiles)} participants in {time.monotonic() - began:.1f} s, each with a key of its own:")
    narrator.table(("name", "organisation", "licence areas"), [(each.name, each.legal_name, ", ".join(each.areas)) for each in PARTICIPANTS])
    visit = _visit(folder, base_url, narrator, profiles)
    visit.consent_solution = solution
    bring_in(folder, narrator, profiles)
    let_answer(visit)
    visit.mark, began = visit.journal_size(), time.monotonic()
    try:
        if not walk(visit):
            raise typer.Exit(1)
    finally:
        visit.close()
    narrator.print()
    narrator.rule(f"{len(STEPS)} steps in {time.monotonic() - began:.1f} s, all as expected")


def _visit(folder: Folder, base_url: str, narrator: Narrator, profiles: dict[str, Profile]) -> Visit:
    """What the tour starts from: the journal's key, pinned now, and a token that will have expired by step 6."""
    with connect(profiles["fsp-a"]) as client:
        early = token_of(client.get("/assets?managed=me&limit=1").request)
        key = client.get("/journal/key").text.strip()
    return Visit(folder, base_url, narrator, profiles, key, early)


def bring_in(folder: Folder, narrator: Narrator, profiles: dict[str, Profile]) -> None:
    """The import, with a bar on a terminal, and its summary."""
    narrator.print()
    narrator.print(f"registering the rows of {shown(example('data/ukpn-ecr-sample.csv'))} as JSON-LD over HTTP, by three providers in turn")
    began, is_terminal = time.monotonic(), narrator.console.is_terminal
    with Progress(console=narrator.console, transient=True, disable=not is_terminal) as progress:
        bar = progress.add_task("rows", total=None)

        def count(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total)
            if not is_terminal and done % EVERY_ROWS == 0:
                narrator.line(f"  {done} of {total} rows")

        report = bring_in_assets(profiles, count)
    seconds = time.monotonic() - began
    write_report(report, folder.root / "import-report.jsonl")
    registered = sum(document.verdict is not Verdict.REFUSED for document in report.documents)
    _summarise(narrator, report)
    narrator.print(f"{registered} assets in {seconds:.1f} s; what became of every row is in {folder.root / 'import-report.jsonl'}")
    if registered < LEAST_ASSETS:
        fail(f"only {registered} assets were registered, of at least {LEAST_ASSETS}", "the row report says why")


def let_answer(visit: Visit) -> None:
    """Waits until the sources have answered about the assets that they know; the journal is at rest then."""
    began, before = time.monotonic(), -1
    while (size := visit.journal_size()) != before:
        before = size
        time.sleep(REST_SECONDS)
    visit.narrator.print(f"the meter point service has answered about their meter points; the last of it took {time.monotonic() - began:.1f} s")


def _summarise(narrator: Narrator, report: Report) -> None:
    rows = [(verdict.value, str(count), MEANINGS[verdict]) for verdict in Verdict if (count := report.count(verdict))]
    narrator.table(("outcome", "rows", "meaning"), rows, numbers=("rows",))
    narrator.print()


def invite(narrator: Narrator, folder: Folder, base_url: str) -> None:
    """What to try next, and where; the last line says that the node is ready for it."""
    query = shown(example("queries/storage-by-capacity.rq"))
    narrator.line("")
    narrator.line("Try next, from another terminal:")
    narrator.line(f"  fmar query {query} --as dso-east --data {folder.root}")
    narrator.line(f'  curl "{base_url}/assets?assetCategory=WIND_TURBINE&limit=2"')
    narrator.line(f"  a browser at {base_url}/")
    narrator.line("")
    narrator.line(f"FMAR node at {base_url}  (Ctrl-C ends it)")


def _watch(process: Process, folder: Folder) -> None:
    """Waits for the end of the node, which comes before Ctrl-C only when something went wrong."""
    process.wait()
    fail("the node has ended by itself", f"the log says why: {folder.root / 'node.log'}")

