"""For the operator of a node: keep it safe. Backups, restore, the drill, upgrades, and the journal's signing key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.progress import Progress as Bar

from fmar_node.cli.console import err, escaped, fail, out, print_json, profile_of, told
from fmar_node.clock import parse_stamp
from fmar_node.errors import counted
from fmar_node.folder import PUT_BACK, Folder

if TYPE_CHECKING:
    from fmar_node.keeping.backup import Progress
    from fmar_node.keeping.restore import Wish

DATA = typer.Option(Path("fmar-data"), "--data", help="The node's data folder.")
BACKUP = typer.Argument(..., help="A backup: one of the folders that `fmar backup` has made.")
SUBJECT_KEYS = typer.Option(None, "--subject-keys", help="The keys of personal values (default: subject-keys.db beside the backup).")
KEYS = typer.Option(None, "--keys", help="A folder with the node's keys, instead of the backup's own.")


def add_to(app: typer.Typer) -> None:
    for name, command in (("backup", backup), ("restore", restore), ("drill", drill), ("upgrade", upgrade)):
        app.command(name)(command)


@told
def backup(
    place: Path = typer.Argument(..., help="The folder for this node's backups, on another disk; each gets a folder of its own there."),
    data: Path = DATA,
    without_keys: bool = typer.Option(False, "--without-keys", help="Leave out the node's keys and participants; you keep them elsewhere."),
    unverified: bool = typer.Option(False, "--unverified", help="Do not verify the journal first: to save what is left of a damaged one."),
) -> None:
    """Back up a node, running or stopped, without a pause; the journal is verified first."""
    from fmar_node.keeping.backup import Manifest, make_backup

    with _progress("backing up") as progress:
        made = make_backup(Folder(data), place, with_keys=not without_keys, is_verified=not unverified, progress=progress)
    manifest = Manifest.read(made)
    size = sum(file.stat().st_size for file in made.rglob("*") if file.is_file())
    out.print(f"backed up {manifest.entries} journal entries, {size / 1e6:.1f} MB, up to {manifest.recordedAt}", soft_wrap=True)
    out.print(f"  backup       {escaped(str(made))}", soft_wrap=True)
    out.print(f"  subject keys {escaped(str(made.parent / 'subject-keys.db'))}", soft_wrap=True)


@told
def restore(
    backup: Path = BACKUP,
    data: Path = typer.Option(..., "--data", help="The data folder to make; there must be nothing in it."),
    at: str = typer.Option("", help="The last journal entry to restore, or an instant such as 2026-11-22T09:30:00Z: the last commit before it."),
    checkpoint: Path | None = typer.Option(None, help="The newest checkpoint that you kept elsewhere: says whether entries are lost."),
    handovers: Path | None = typer.Option(None, help="The newest /journal/handovers, where the journal's key has changed since the backup."),
    keys: Path | None = KEYS,
    subject_keys: Path | None = SUBJECT_KEYS,
    lose_personal: bool = typer.Option(False, "--lose-personal", help="Go on where the keys of personal values are gone: the values are gone with them."),
    new_key: bool = typer.Option(False, "--new-key", help="Go on under a new signing key where entries are lost."),
) -> None:
    """Restore a backup into a new data folder, whole or as it was at an earlier commit."""
    from fmar_node.keeping.restore import Wish, restore

    note, chain = (file.read_text("utf-8") if file else "" for file in (checkpoint, handovers))
    wish = Wish(backup, _place(at), note, chain, keys, subject_keys, lose_personal, new_key)
    with _progress("restoring") as progress:
        restored = restore(wish, data, progress)
    where = escaped(str(data))
    out.print(f"restored {restored.entries} journal entries into {where}", soft_wrap=True)
    out.print(f"  verified: {', '.join(restored.verified)}", soft_wrap=True)
    for count, said in (
        (restored.cut, "entries of the backup were cut off"),
        (restored.lost, "entries that were signed since are lost"),
        (restored.without_key, "records have lost their personal values"),
    ):
        if count:
            out.print(f"  {count} {said}", soft_wrap=True)
    if restored.is_handed_over:
        out.print("  the journal goes on under a new signing key; tell those who verify receipts: /journal/handovers", soft_wrap=True)
    for place in restored.places:
        out.print(f"  erasures and backups of this node reach {escaped(str(place))}; for a rehearsal, remove {escaped(str(data / 'backups'))}", soft_wrap=True)
    if restored.has_key:
        out.print(f"next: fmar serve --data {where}; it makes the graph at its start, and queries are behind until it has", soft_wrap=True)
    else:
        out.print(f"the journal's signing key is not there; next: fmar key rotate-journal --lost --as operator --data {where}", soft_wrap=True)


def _place(at: str) -> int | datetime | None:
    if not at:
        return None
    if at.isdecimal():
        return int(at)
    try:
        return parse_stamp(at)
    except ValueError:
        return fail(f"{at!r} is neither a journal index nor an instant", "as in --at 776, or --at 2026-11-22T09:30:00Z")


@told
def drill(
    backup: Path = BACKUP,
    data: Path | None = typer.Option(None, "--data", help="The stopped node that the backup is of, to compare graphs."),
    keys: Path | None = KEYS,
    subject_keys: Path | None = SUBJECT_KEYS,
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Prove that a backup can be restored: restore it into a temporary folder, verify it, make its graph, compare."""
    from fmar_node.keeping.restore import Wish, drill

    wish: Wish = Wish(backup, keys=keys, subject_keys=subject_keys)
    with _progress("restoring") as progress:
        found = drill(wish, Folder(data) if data else None, progress)
    if as_json:
        print_json({
            "good": found.is_good, "seconds": round(found.seconds, 1), "entries": found.restored.entries, "views": found.views,
            "deviations": found.deviations, "differing": found.differing, "notCompared": found.not_compared,
        })  # fmt: skip
    else:
        for view, digest in found.views.items():
            mark = "[red]BAD[/] " if view in (*found.deviations, *found.differing) else "[green]ok[/]  "
            out.print(f"{mark} {digest}  {escaped(view)}", soft_wrap=True)
        out.print(f"the checkpoint is the one that was backed up; {', '.join(found.restored.verified)}", soft_wrap=True)
        out.print(_compared(found.deviations, found.differing, found.not_compared, bool(data)), soft_wrap=True)
        out.print(f"recovery time: {found.seconds:.1f} s for {found.restored.entries} entries, graph and all", soft_wrap=True)
    if not found.is_good:
        raise typer.Exit(1)


def _compared(deviations: tuple[str, ...], differing: tuple[str, ...], reason: str, has_live: bool) -> str:
    if deviations:
        return f"[red]{len(deviations)} views are not what reveal says of the journal[/]"
    if differing:
        return f"[red]{len(differing)} views are not those of the node[/]; fmar check --data looks which graph is wrong"
    if reason:
        return f"every view equals what reveal says; not compared with the node: {escaped(reason)}"
    return "every view equals what reveal says" + (", and the node's own" if has_live else "")


@told
def upgrade(data: Path = DATA) -> None:
    """Take a stopped node's journal, made by an earlier version, to the present format."""
    from fmar_node.journal.journal import FORMAT
    from fmar_node.journal.tree import ProofError
    from fmar_node.keeping.maintenance import upgrade_journal, verify_journal

    folder = Folder(data)
    with _stopped(folder):
        upgrade_journal(folder)
    try:
        verified = verify_journal(folder)
    except ProofError as error:
        fail(f"the journal has format {FORMAT}, and does not verify: {error}", "fmar check says what is wrong, and what to do")
    out.print(f"the journal has format {FORMAT}; verified: {', '.join(verified)}")


@told
def rotate_journal(
    data: Path = DATA,
    lost: bool = typer.Option(False, "--lost", help="The signing key is gone: an operator's application key answers for the new one."),
    as_: str = typer.Option("operator", "--as", help="With --lost: the operator's profile folder, or its name beside --data."),
    key: str = typer.Option("", help="With --lost: the verifier key of the lost key (what /journal/key said), or a file that holds it."),
) -> None:
    """Give a stopped node's journal a new signing key, destroy the old one, and leave a signed hand-over."""
    from fmar_node.journal.checkpoint import VerifierKey
    from fmar_node.journal.tree import ProofError
    from fmar_node.keeping.rotation import check_lost, finish, replace_lost, rotate

    folder = Folder(data)
    with _stopped(folder):
        if finished := finish(folder):
            out.print(f"finished the change of keys that was cut off; the journal's key is {finished}", soft_wrap=True)
            return
        if not lost:
            handover = rotate(folder)
        else:
            check_lost(folder)
            said = Path(key).read_text("utf-8") if key and Path(key).exists() else key or _known(folder)
            try:
                verifier = VerifierKey.parse(said.strip())
            except ProofError as error:
                fail(f"this is no verifier key: {error}", "it is what /journal/key said: <origin>+<key id>+<base64>")
            handover = replace_lost(folder, verifier, profile_of(as_, data))
    fate = "is gone, and the operator's key answers for the new one" if lost else "is destroyed"
    out.print(f"the journal goes on under a new key, from {handover.size} entries on; the old one {fate}", soft_wrap=True)
    out.print(f"  new key {handover.new}", soft_wrap=True)
    out.print("  tell those who verify receipts: they follow /journal/handovers from the key that they have", soft_wrap=True)


@told
def rotate_signing(
    data: Path = DATA,
    at_once: bool = typer.Option(False, "--at-once", help="The old key was stolen: it is gone at once, and every token with it."),
) -> None:
    """Give a node, running or stopped, a new key that signs access tokens; the old ones count until their tokens have ended."""
    from fmar_node.access import rotation
    from fmar_node.clock import SystemClock

    folder = Folder(data)
    folder.check_made()
    folder.check_keys(folder.token_keys)
    settings = folder.settings()
    try:
        keys = rotation.rotate_signing(folder.token_keys, settings, SystemClock(), at_once=at_once)
    except ValueError as error:
        fail(str(error), PUT_BACK)
    out.print(f"made the signing key {keys.signing_kid}; a running node takes it within a second", soft_wrap=True)
    if at_once:
        out.print("  the old keys are gone; clients get new tokens by themselves")
    else:
        out.print(f"  it is published now and signs in {settings.signing_key_seconds} seconds; {counted(len(keys.jwks) - 1, 'older key')} still counts for what it has signed", soft_wrap=True)


def _known(folder: Folder) -> str:
    """The public part of a lost key, as far as the journal has it: the one that it was handed over to last."""
    from fmar_node.keeping.maintenance import open_register

    register = open_register(folder)
    try:
        handovers = register.handovers()
    finally:
        register.connection.close()
    return str(handovers[-1].new) if handovers else fail("which key was lost?", "give --key: what /journal/key said, or verifierKey in a backup's manifest")


@contextmanager
def _stopped(folder: Folder) -> Iterator[None]:
    """No node runs on the folder meanwhile: the graph's lock is the right to write the journal."""
    from fmar_node.store.graph import Graph

    folder.check_made()
    try:
        graph = Graph(folder.graph)
    except OSError as error:
        if "LOCK" not in str(error):
            raise
        fail("a node is running on this folder", "stop it first")
    except RuntimeError as error:
        fail(f"the graph is damaged: {error}", f"make it anew from the journal: fmar rebuild --data {folder.root}")
    try:
        yield
    finally:
        graph.close()


@contextmanager
def _progress(what: str) -> Iterator[Progress]:
    """A bar on standard error when that is a terminal."""
    with Bar(console=err, transient=True) if err.is_terminal else nullcontext() as bar:
        task = bar.add_task(what, total=None) if bar else None

        def told_of(done: int, total: int) -> None:
            if bar is not None and task is not None:
                bar.update(task, completed=done, total=total)

        yield told_of
