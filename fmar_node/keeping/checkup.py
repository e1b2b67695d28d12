"""What can be wrong with a node, looked for beside a running node as well as in a stopped one's folder.

Rules kept here: nothing is changed and nothing repaired; every finding says what was looked at, and where something is
wrong what to do; a look that cannot be taken (a running node holds the graph) is said to be one, not a fault.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmar_node.access.key import SigningKeys
from fmar_node.certificate import read_certificate
from fmar_node.checks.saved_query import NAME
from fmar_node.client import Profile
from fmar_node.clock import Clock, SystemClock, parse_stamp
from fmar_node.errors import FmarError, counted
from fmar_node.folder import PUT_BACK, Folder, is_open, readable
from fmar_node.followers.projector import Projector
from fmar_node.followers.verification import clients
from fmar_node.foundation import OPERATOR_CLIENT
from fmar_node.journal.checkpoint import origin_of
from fmar_node.journal.journal import origin_in
from fmar_node.journal.register import Register
from fmar_node.journal.tree import ProofError
from fmar_node.keeping.backup import MANIFEST, Manifest
from fmar_node.keeping.derived import has_its_lookup_key
from fmar_node.keeping.maintenance import open_register, verify_entries, verify_journal
from fmar_node.keeping.places import remembered, unreached
from fmar_node.keeping.scrub import pending
from fmar_node.kinds.erasure import ERASURE
from fmar_node.kinds.saved_query import name_of
from fmar_node.saved_query import broken_files, files_of
from fmar_node.settings import Settings
from fmar_node.store.graph import Graph
from fmar_node.vitals import bytes_of
from fmar_node.vocabulary import Vocabulary

LEAST_FREE, SCARCE_SHARE = 1 << 30, 0.1
"""Below that share a disk should be looked after; below so many bytes as well it is full for a register."""
SOON_DAYS, OLD_BACKUP_DAYS = 14, 7
RESTORE = "restore the data folder from a backup (fmar restore); do not write to this one"
KEY_CODES = ("unknown-signer", "bad-signature", "wrong-successor")
WRONG_KEY = (
    f"{PUT_BACK}; a change of keys that was cut off is finished by: fmar key rotate-journal; "
    "where the key is lost, move this one away: fmar key rotate-journal --lost"
)
WRONG_CHECKPOINT = (
    "compare the journal with checkpoints that were kept elsewhere: where it has become shorter, restore it from a backup; "
    "where it has not, only this file is damaged: remove it, and the next entry makes it anew"
)
LOCKING = "from fmar_node.store.sandbox import *; lock_network(); raise SystemExit(not is_locked())"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; good with a remedy means that it works and should be seen to."""

    what: str
    is_ok: bool
    detail: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"what": self.what, "ok": self.is_ok, "detail": self.detail, "remedy": self.remedy}


def check_node(folder: Folder, clock: Clock | None = None) -> list[Finding]:
    """Everything that can be wrong with a node's machine and data, and what to do. Malformed where there is no node."""
    folder.check_made()
    settings, said = _settings(folder)
    keys = list(_keys(folder))
    findings = [said, *keys, _folder(folder), _disk(folder.root)]
    if settings is None:
        return findings
    findings += [_sandbox(settings), _certificate(settings, folder, clock or SystemClock())]
    findings += _sources(settings, folder, clock or SystemClock())
    if not all(finding.is_ok for finding in keys if "may be read" not in finding.detail):
        return findings
    findings.append(_journal(folder))
    if findings[-1].is_ok:
        findings += _state(folder, settings, clock or SystemClock())
    return findings


def _settings(folder: Folder) -> tuple[Settings | None, Finding]:
    try:
        settings = folder.settings()
    except (FmarError, OSError, ValueError) as error:
        detail = getattr(error, "detail", "") or f"{folder.settings_file} cannot be read: {error}"
        return None, Finding("settings", False, detail, "mend node.toml or the environment; docs/reference/settings.md lists every name")
    return settings, Finding("settings", True, f"the node is {settings.base_url}")


def _keys(folder: Folder) -> Iterator[Finding]:
    """The node's own keys: there, readable by their owner only, of the right form; and the participants' kept here."""
    wrong = [Finding("keys", False, what, remedy) for what, remedy in folder.wrong_keys()]
    if folder.token_keys.is_file() and not is_open(folder.token_keys):
        try:
            SigningKeys.load(folder.token_keys)
        except (OSError, ValueError) as error:
            wrong.append(Finding("keys", False, str(error), PUT_BACK))
    own = {folder.journal_key_file, folder.lookup_key_file, folder.token_keys}
    others = sorted({*folder.keys.glob("*"), *folder.participants.glob("*/key.jwk")} - own)
    wrong += [Finding("keys", False, *readable(file)) for file in others if file.is_file() and is_open(file)]
    yield from wrong or [Finding("keys", True, "there, and readable by their owner only")]
    try:
        Profile.load(folder.participants / OPERATOR_CLIENT)
    except (OSError, ValueError) as error:
        detail = f"the operator's credential is not at hand in {folder.participants / OPERATOR_CLIENT}: {error}"
        yield Finding("operator", True, detail, "put it back from a backup, unless you keep it elsewhere: without one nobody acts as the operator")


def _folder(folder: Folder) -> Finding:
    """Others may look into files that are open to them where the folder itself is."""
    open_to_others = [file for file in (folder.journal, folder.journal / "journal.db", folder.graph) if file.exists() and is_open(file)]
    if is_open(folder.root) and open_to_others:
        return Finding("folder", False, f"{open_to_others[0]} may be read by others than its owner", f"chmod -R go= {folder.root}")
    return Finding("folder", True, "journal and graph are readable by their owner only")


def _disk(root: Path) -> Finding:
    usage = shutil.disk_usage(root)
    left = f"{usage.free / LEAST_FREE:.1f} GiB of {usage.total / LEAST_FREE:.0f} GiB are free"
    make_room = "make room or move the data folder to a larger disk; a node without room refuses to write"
    if usage.free < min(LEAST_FREE, SCARCE_SHARE * usage.total):
        return Finding("disk", False, left, make_room)
    return Finding("disk", True, left, make_room if usage.free < SCARCE_SHARE * usage.total else "")


def _sandbox(settings: Settings) -> Finding:
    """Tried in a process of its own, since the lock cannot be taken off again."""
    if subprocess.run([sys.executable, "-c", LOCKING], check=False, capture_output=True).returncode == 0:  # noqa: S603
        return Finding("sandbox", True, "query workers are cut off from the network")
    remedy = "run on Linux with seccomp, or set require_sandbox = false in node.toml for development"
    return Finding("sandbox", not settings.require_sandbox, "query workers cannot be cut off from the network", remedy)


def _certificate(settings: Settings, folder: Folder, clock: Clock) -> Finding:
    renew = "renew it, then send the node SIGHUP (systemctl reload fmar)"
    try:
        certificate = read_certificate(settings, folder.root)
    except FmarError as error:
        return Finding("certificate", False, error.detail, "mend what it says; the node does not start like this")
    if certificate is None:
        return Finding("certificate", True, "none: TLS is a reverse proxy's work")
    left = certificate.days_left(clock.now())
    if left <= 0:
        return Finding("certificate", False, f"{certificate.file} expired at {certificate.ends.isoformat()}", renew)
    soon = left < SOON_DAYS
    return Finding("certificate", not soon, f"{certificate.file} is for {', '.join(certificate.names)} and ends in {left:.0f} days", renew if soon else "")


def _sources(settings: Settings, folder: Folder, clock: Clock) -> Iterator[Finding]:
    """Whether the external sources could be asked; nobody is."""
    try:
        sources = clients(settings, folder, clock)
    except FmarError as error:
        yield Finding("sources", False, error.detail, "mend what it says; the node does not start like this")
        return
    if sources:
        asked = ", ".join(f"{source.name} at {settings.source_url(source.name)}" for source in sources)
        yield Finding("sources", True, f"asked: {asked}")


def _journal(folder: Folder) -> Finding:
    try:
        return Finding("journal", True, ", ".join(verify_journal(folder)))
    except ProofError as error:
        return Finding("journal", False, *_told(folder, error))
    except FmarError as error:
        return Finding("journal", False, error.detail, "do what it says")
    except OSError as error:
        return Finding("journal", False, str(error), RESTORE)


def _told(folder: Folder, error: ProofError) -> tuple[str, str]:
    """What a proof that failed means, and what to do: the fault may lie with a key or with the kept checkpoint."""
    with suppress(FmarError, ProofError, sqlite3.DatabaseError, ValueError), closing((register := open_register(folder)).connection):
        if (found := origin_in(register)) not in ("", origin_of(folder.settings().base_url)):
            return f"the journal is {found}, and was made for another base URL than {folder.settings().base_url}", f"put the right base_url into {folder.settings_file}"
        if error.code == "state-mismatch" and not has_its_lookup_key(register):
            return "keys/lookup.key is not the key of this journal: nothing is found by its identifiers", PUT_BACK
    try:
        verify_entries(folder, folder.journal_key(folder.settings().base_url).verifier, with_kept=False)
    except ProofError as without:
        if without.code in KEY_CODES:
            return f"keys/journal.key is not the key that this journal goes on under ({error})", WRONG_KEY
        return str(error), RESTORE
    if error.code in ("wrong-root", "not-continued"):  # the checkpoint is this journal's, and entries that it was signed over are gone
        return str(error), RESTORE
    return f"journal/checkpoint is not of this journal, which is whole in itself: {error}", WRONG_CHECKPOINT


def _state(folder: Folder, settings: Settings, clock: Clock) -> Iterator[Finding]:
    """What is looked at once the journal holds."""
    register = open_register(folder)
    try:
        yield from _clock(register, folder.calendar(settings, clock))
        yield from _queries(folder, settings, register)
        try:
            yield from _erasures(folder, register)
            yield _backups(folder, register, clock)
        except FmarError as error:
            yield Finding("backups", False, error.detail, "do what it says")
        yield from _graph(folder, settings, register)
    finally:
        register.connection.close()


def _clock(register: Register, clock: Clock) -> Iterator[Finding]:
    row = register.connection.execute("SELECT recorded_at FROM entry ORDER BY idx DESC LIMIT 1").fetchone()
    behind = (parse_stamp(row[0]) - clock.now()).total_seconds() if row else 0.0
    if behind > 1:
        remedy = "set the clock of this machine (timedatectl set-ntp true); until it has caught up, entries carry the time of the newest one"
        yield Finding("clock", False, f"{behind:.0f} seconds behind the newest entry, which was recorded at {row[0]}", remedy)
    else:
        yield Finding("clock", True, "not behind the newest entry")


def _erasures(folder: Folder, register: Register) -> Iterator[Finding]:
    if (index := pending(register)) >= 0:
        detail = f"what the erasure at entry {index} destroyed may still stand in files of the graph, in snapshots or in the database's log"
        remedy = "let the node run: it scrubs them soon after an erasure, and its log says what keeps it from it; or, stopped, give the same fmar erase again"
        yield Finding("erasures", False, detail, remedy)
    for missed in unreached(folder):
        yield Finding("erasures", False, missed, f"make that folder reachable, and run fmar backup into it or give the same fmar erase again; or, where it is gone for good, remove its line from {folder.backups}")


def _queries(folder: Folder, settings: Settings, register: Register) -> Iterator[Finding]:
    """The operator's saved queries: those that are left out, and those that stand before a published one."""
    files = files_of(folder.queries)
    broken = list(broken_files(folder.queries, Vocabulary.load(), settings))
    for file, why in broken:
        yield Finding("queries", False, f"{file} is left out: {why}", "mend it, or take it away; the next request sees that")
    hiding = [file.name for file in files if NAME.fullmatch(file.stem) and register.holder(name_of(file.stem))]
    if hiding:
        detail = f"{', '.join(hiding)}: an organisation has published a query of that name, which is not answered while the file is there"
        yield Finding("queries", True, detail, "call the file something else, unless that is what you want")
    elif files and not broken:
        yield Finding("queries", True, f"{counted(len(files), 'saved query', 'saved queries')} in {folder.queries}")


def _backups(folder: Folder, register: Register, clock: Clock) -> Finding:
    """How old the newest backup is; none at all is said, and is not a fault of the data."""
    made = [Manifest.read(path.parent).madeAt for place in remembered(folder) for path in place.glob(f"*/{MANIFEST}")]
    if not made:
        return Finding("backups", True, "none was made, or none can be reached", "fmar backup DIR, on another disk, and again every day")
    erased = register.connection.execute("SELECT max(recorded_at) FROM entry WHERE action = ?", (ERASURE,)).fetchone()[0] or ""
    if erased > max(made):
        detail = f"the newest of {len(made)} was made before the newest erasure, at {erased}: none has a value of those records, what was kept neither"
        return Finding("backups", True, detail, "fmar backup DIR")
    days = (clock.now() - parse_stamp(max(made))).total_seconds() / 86_400
    old = days > OLD_BACKUP_DAYS
    return Finding("backups", not old, f"the newest of {len(made)} was made at {max(made)}", "fmar backup DIR, every day" if old else "")


def _graph(folder: Folder, settings: Settings, register: Register) -> Iterator[Finding]:
    if hasattr(os, "geteuid") and os.geteuid() != folder.root.stat().st_uid:
        remedy = "run it as the user that the node runs as: what another one opens, the node cannot open afterwards"
        yield Finding("graph", True, "not compared: the folder belongs to another user", remedy)
        return
    try:
        graph = Graph(folder.graph)
    except (OSError, RuntimeError) as error:
        if "LOCK" in str(error):
            yield Finding("graph", True, "in use: a node is running on this folder", "stop it and check again to compare every view with the journal")
        else:
            yield Finding("graph", False, f"cannot be opened: {error}", "fmar rebuild")
        return
    try:
        yield from _views(graph, register, settings)
    finally:
        graph.close()
    yield _snapshots(folder.snapshots)


def _views(graph: Graph, register: Register, settings: Settings) -> Iterator[Finding]:
    projector = Projector(register, graph, Vocabulary.load(), settings.base_url)
    behind = register.size() - 1 - projector.applied
    yield Finding("graph", True, f"holds journal index {projector.applied}" + (f", {behind} behind; it catches up at start" if behind else ""))
    wrong = projector.deviations()
    detail = f"{len(wrong)} views differ from the journal: {', '.join(wrong[:3])}" if wrong else "every view equals what reveal says"
    yield Finding("views", not wrong, detail, "fmar rebuild" if wrong else "")


def _snapshots(directory: Path) -> Finding:
    left = sorted(directory.iterdir()) if directory.exists() else []
    if not left:
        return Finding("snapshots", True, "none are left over")
    size = sum(map(bytes_of, left)) / 2**20
    return Finding("snapshots", True, f"{len(left)} left over from a node that was killed, {size:.0f} MiB at most", "nothing to do: they are removed at the next start")
