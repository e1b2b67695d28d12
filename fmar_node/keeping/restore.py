"""Restore: a node's data folder from a backup, whole or as it stood at an earlier commit; and the drill that proves it can be done.

Rules kept here:
- nothing is believed that is not verified: the files by their hashes, the journal entry by entry up to its signed head;
- a folder that is being restored says so, and no node starts on it before everything is on disk;
- an erasure stays: personal sections whose key was destroyed since are not there any more, whatever is restored;
- a journal that lacks entries which were signed goes on under a new key only, and says so in a hand-over.

The graph is not restored: a node makes it at its start, and answers everything but queries meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from fmar_node.checks.quality import is_measurement
from fmar_node.clock import stamp
from fmar_node.errors import Broken, Conflict, Malformed, OutOfRoom
from fmar_node.folder import Folder, overwrite, sync
from fmar_node.followers.projector import Projector
from fmar_node.identity import new_key
from fmar_node.journal import upgrade
from fmar_node.journal.checkpoint import Checkpoint, VerifierKey
from fmar_node.journal.cipher import decrypt
from fmar_node.journal.handover import Chain, Handover, parse_handovers
from fmar_node.journal.journal import FORMAT, LOST, refused
from fmar_node.journal.register import Register, connect
from fmar_node.journal.tree import ProofError, tree_root
from fmar_node.keeping.backup import KEPT, SLICE, Manifest, Progress, sha256_of, silent
from fmar_node.keeping.derived import remake_state
from fmar_node.keeping.maintenance import open_register, rebuild_graph, verify_entries
from fmar_node.keeping.places import JOURNAL, SUBJECT_KEYS, remember, remembered
from fmar_node.keeping.rotation import go_on_after_cut
from fmar_node.store.graph import Graph
from fmar_node.vocabulary import Vocabulary

KEY_FILES = ("lookup.key", "token.jwks")
"""The keys that a node does not start without; that of the journal can be replaced (`fmar key rotate-journal --lost`)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be restored: `at` is the last entry wanted, or an instant; None is all.

    `checkpoint` is the newest signed note that was kept elsewhere, `handovers` what `/journal/handovers` said last;
    `keys` and `subject_keys` are a folder and a file instead of the backup's own.
    """

    backup: Path
    at: int | datetime | None = None
    checkpoint: str = ""
    handovers: str = ""
    keys: Path | None = None
    subject_keys: Path | None = None
    lose_personal: bool = False
    new_key: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of it: entries restored, cut off here, and lost since the backup; records whose personal values are gone for want of a key."""

    entries: int
    cut: int
    lost: int
    without_key: int
    is_handed_over: bool
    has_key: bool
    verified: tuple[str, ...]
    places: tuple[Path, ...]
    """The folders with backups that the restored node knows, and reaches by its erasures."""


def restore(wish: Wish, target: Path, progress: Progress = silent) -> Restored:
    """Makes the data folder `target`. Refusals leave nothing behind; what is cut off leaves a folder that is refused.

    Malformed where something is asked for that cannot be, Broken where the backup is damaged, Conflict where going on
    would contradict what was signed, OutOfRoom where there is no room.
    """
    manifest = Manifest.read(wish.backup)
    check_files(wish.backup, manifest)
    folder = Folder(target)
    with _made(folder):
        return _Restoration(wish, manifest, folder, progress).run()


def check_files(backup: Path, manifest: Manifest) -> None:
    """Broken where a file of the backup is not what it was."""
    for name, digest in manifest.files.items():
        file = backup / name
        if not file.resolve().is_relative_to(backup.resolve()) or not file.is_file():
            raise Broken("internal-error", f"the backup has lost {name}; take another one")
        if sha256_of(file) != digest:
            raise Broken("internal-error", f"{name} is not what was backed up; take another backup")
    if missing := {JOURNAL, "node.toml"} - set(manifest.files):
        raise Malformed("malformed-request", f"{backup} is not a backup: its manifest does not name {min(missing)}")


@dataclass(slots=True)
class _Restoration:
    """One restore, step by step, in the order in which they happen."""

    wish: Wish
    manifest: Manifest
    folder: Folder
    progress: Progress
    cut: int = 0
    lost: int = 0
    without_key: int = 0
    later: list[Handover] = field(default_factory=list)
    """Hand-overs since the backup."""

    def run(self) -> Restored:
        self._copy_files()
        key = VerifierKey.parse(self.manifest.verifierKey) if not self.folder.journal_key_file.exists() else self._own_key()
        (self.folder.journal / JOURNAL).touch(0o600)
        with closing(connect(self.folder.journal / JOURNAL, writable=True)) as connection:
            register = Register(connection, Vocabulary.load().terms, self.folder.lookup_key())
            with closing(_read_only(self.wish.backup / JOURNAL)) as source:
                size = self._size(Register(source, {}, b""), key)
            self._copy_tables(connection, size)
            self._read_subject_keys(connection, size)
            upgrade.run(connection, register, FORMAT)
            connection.execute("BEGIN")
            remake_state(register)
            connection.execute("COMMIT")
            note = register.checkpoint()
        (self.folder.journal / "checkpoint").write_text(note, "utf-8")
        return self._finished(key, size)

    def _own_key(self) -> VerifierKey:
        return self.folder.journal_key(self.folder.settings().base_url).verifier

    def _copy_files(self) -> None:
        """Settings, keys, participants; private all of them."""
        keys = self.wish.keys
        if keys and not keys.is_dir():
            raise Malformed("malformed-request", f"{keys} is no folder; --keys names the one that has {', '.join(KEY_FILES)}")
        for name in self.manifest.files:
            if name != JOURNAL and not (keys and name.startswith("keys/")):
                self._copy_file(self.wish.backup / name, name)
        for file in sorted(keys.iterdir()) if keys else ():
            if file.is_file():
                self._copy_file(file, f"keys/{file.name}")
        for name in KEY_FILES:
            if not (self.folder.keys / name).exists():
                raise Malformed("malformed-request", f"there is no {name}: this backup was made without keys; give the folder that has them with --keys")
        if self.folder.settings().base_url != self.manifest.baseUrl:
            raise Broken("internal-error", "the manifest names another base URL than node.toml; take another backup")

    def _copy_file(self, source: Path, name: str) -> None:
        target = self.folder.root / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(source.read_bytes())

    def _size(self, source: Register, key: VerifierKey) -> int:
        """How many entries are restored. Everything that was signed is compared before anything is copied."""
        if (found := source.meta("format")) != self.manifest.journalFormat or int(found or 0) > int(FORMAT):
            raise Broken("internal-error", f"the journal in the backup has format {found}; this version of fmar reads up to {FORMAT}")
        chain, head = self._chain(source, key)
        entries = source.size()
        if (head.size, source.checkpoint(), head.origin) != (entries, self.manifest.checkpoint, self.manifest.origin) or self.manifest.entries != entries:
            raise Broken("internal-error", "the manifest is not of the journal beside it; take another backup")
        if tree_root(source, head.size) != head.root:
            raise Broken("internal-error", f"the {entries} entries are not those that were signed; take another backup")
        if self.wish.checkpoint:
            self.lost = _beyond(source, chain, self.wish.checkpoint)
        if isinstance(self.wish.at, datetime) and stamp(self.wish.at) > max(self.manifest.madeAt, self.manifest.recordedAt):
            raise Malformed("malformed-request", f"the backup was made at {self.manifest.madeAt}, and does not know what came later; take a later backup")
        size = _cut_at(source, self.wish.at)
        self.cut = entries - size
        if self.lost and not self.wish.new_key:
            detail = (
                f"{self.lost} entries were signed that this backup does not have ({entries} to {entries + self.lost - 1}); "
                "a journal without them goes on under a new key only: give --new-key, or take a later backup"
            )
            raise Conflict("conflict", detail)
        return size

    def _chain(self, source: Register, key: VerifierKey) -> tuple[Chain, Checkpoint]:
        """The keys that lead to the node's own, and the backup's head, signed by one of them."""
        handovers = parse_handovers(self.wish.handovers) if self.wish.handovers else source.handovers()
        if handovers[: len(source.handovers())] != source.handovers():
            raise Conflict("conflict", "the hand-overs given are not those of this backup, continued")
        self.later = handovers[len(source.handovers()) :]
        try:
            chain = Chain.leading(handovers, key)
            return chain, chain.open(source.checkpoint())
        except ProofError as error:
            detail = f"the key is not the one that the journal goes on under ({error}); give the node's own with --keys, and its hand-overs with --handovers"
            raise Conflict("conflict", detail) from error

    def _copy_tables(self, connection: sqlite3.Connection, size: int) -> None:
        """The backup's tables up to the cut, and empty ones for what follows from them."""
        run = connection.execute
        run("PRAGMA secure_delete = ON")
        for pragma in ("journal_mode = OFF", "synchronous = OFF"):  # the folder is incomplete until all is synced
            run(f"PRAGMA {pragma}")
        run("ATTACH ? AS kept", (f"file:{self.wish.backup.absolute() / JOURNAL}?mode=ro",))
        run("BEGIN")
        for (sql,) in run(f"SELECT sql FROM kept.sqlite_schema WHERE sql IS NOT NULL AND tbl_name IN ({', '.join('?' * len(KEPT))})", KEPT).fetchall():
            run(sql)
        held = {row[0] for row in run("SELECT name FROM main.sqlite_schema WHERE type = 'table'")}
        for statement in upgrade.statements(tuple(_tables() - held)):
            run(statement)
        for start in range(0, size, SLICE):
            for table in ("entry", "section"):
                run(f"INSERT INTO {table} SELECT * FROM kept.{table} WHERE idx >= ? AND idx < ?", (start, min(start + SLICE, size)))
            self.progress(min(start + SLICE, size), size)
        bounds = {"meta": "1", "node": f"((idx + 1) << level) <= {size}", "checkpoint": f"size <= {size}", "handover": "1", "idempotency": f"idx < {size}"}
        for table, bound in bounds.items():
            run(f"INSERT INTO {table} SELECT * FROM kept.{table} WHERE {bound}")
        run("COMMIT")
        run("DETACH kept")
        connection.executemany("INSERT INTO handover (note) VALUES (?)", [(str(each),) for each in self.later])

    def _read_subject_keys(self, connection: sqlite3.Connection, size: int) -> None:
        """The newest keys of all records, and nothing where there is none any more."""
        held = self._held_keys()
        records = {row[0] for row in connection.execute("SELECT DISTINCT record FROM entry")}
        missing = [record for record in records if record not in held]
        if missing and not self.wish.lose_personal:
            file = self._keys_file()
            detail = (
                f"{file} lacks the keys of {len(missing)} records of {len(records)}: without them their personal values cannot be read, ever; "
                "give the right file with --subject-keys, or restore without them: --lose-personal"
            )
            raise Conflict("conflict", detail)
        self.without_key = len(missing)
        rows = [(record, new_key(), size) for record in missing]
        rows += [(record, key, _erased_before(connection, record, key, before, size)) for record, (key, before) in held.items() if record in records]
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO subject_key VALUES (?, ?, ?)", rows)
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, '')", ((LOST + record,) for record in missing))
        gone = "SELECT e.idx FROM entry e JOIN subject_key k ON k.record = e.record WHERE e.idx < k.erased_before"
        connection.execute(f"UPDATE section SET personal = NULL, submission = NULL WHERE idx IN ({gone})")
        connection.execute("COMMIT")

    def _keys_file(self) -> Path:
        file = self.wish.subject_keys or self.wish.backup.absolute().parent / SUBJECT_KEYS
        return file / SUBJECT_KEYS if file.is_dir() else file

    def _held_keys(self) -> dict[str, tuple[bytes, int]]:
        file = self._keys_file()
        if not file.exists():
            if self.wish.lose_personal:
                return {}
            detail = f"there is no {file}: personal values cannot be read without it; give it with --subject-keys, or restore without them: --lose-personal"
            raise Conflict("conflict", detail)
        try:
            with closing(_read_only(file)) as keys:
                if dict(keys.execute("SELECT key, value FROM meta").fetchall()).get("origin") != self.manifest.origin:
                    raise Conflict("conflict", f"{file} is of another node than this backup")
                return {row[0]: (row[1], row[2]) for row in keys.execute("SELECT record, key, erased_before FROM subject_key")}
        except sqlite3.DatabaseError as error:
            raise Conflict("conflict", f"{file} is damaged ({error}); give a copy with --subject-keys") from error

    def _finished(self, key: VerifierKey, size: int) -> Restored:
        """A new key where it must be, the proof, and only then a folder that counts."""
        has_key = self.folder.journal_key_file.exists()
        must_change = bool(self.cut or self.lost or self.wish.new_key or self.later)
        if must_change and has_key:
            key = go_on_after_cut(self.folder)
        verified = verify_entries(self.folder, key)
        for room in (self.folder.graph.parent, self.folder.snapshots, self.folder.participants):
            room.mkdir(parents=True, exist_ok=True)
        place = self.wish.backup.resolve().parent
        if (place / SUBJECT_KEYS).exists() and place not in remembered(self.folder):
            remember(self.folder, place)
        for path in sorted(self.folder.root.rglob("*"), reverse=True):
            path.chmod(0o700 if path.is_dir() else 0o600)
            sync(path)
        return Restored(size, self.cut, self.lost, self.without_key, must_change and has_key, has_key, tuple(verified), tuple(remembered(self.folder)))


@contextmanager
def _made(folder: Folder) -> Iterator[None]:
    """A folder that says that it is incomplete until the block has ended well; a refusal leaves nothing of it."""
    root = folder.root
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise Malformed("malformed-request", f"{root} is there already and not empty; a restore makes a folder of its own")
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.incomplete.write_text("This folder is being restored from a backup. Where no restore is running, remove it and restore again.\n", "utf-8")
        for path in (folder.incomplete, root, root.absolute().parent):
            sync(path)
        folder.journal.mkdir(mode=0o700)
        yield
        folder.incomplete.unlink()
        sync(root)
    except sqlite3.OperationalError as error:
        shutil.rmtree(root)
        reason = refused(error)
        raise type(reason)(reason.code, f"{root} could not be written: {error}") from error
    except sqlite3.DatabaseError as error:
        shutil.rmtree(root)
        raise Broken("internal-error", f"the journal in the backup is damaged: {error}; take another backup") from error
    except ProofError as error:
        shutil.rmtree(root)
        raise Broken("internal-error", f"the restored journal does not verify: {error}; take another backup") from error
    except OSError as error:
        shutil.rmtree(root, ignore_errors=True)
        raise OutOfRoom("storage-full", f"{root} could not be written: {error.strerror or error}") from error
    except BaseException:
        shutil.rmtree(root, ignore_errors=True)
        raise


def _read_only(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{file.absolute()}?mode=ro", uri=True, isolation_level=None)
    connection.row_factory = sqlite3.Row
    return connection


def _tables() -> frozenset[str]:
    """All tables of the present schema."""
    scratch = sqlite3.connect(":memory:")
    with closing(scratch):
        for statement in upgrade.statements():
            scratch.execute(statement)
        return frozenset(row[0] for row in scratch.execute("SELECT name FROM sqlite_schema WHERE type = 'table'"))


def _cut_at(source: Register, at: int | datetime | None) -> int:
    """The size of the newest checkpoint at or before an entry or an instant. Malformed where there was none yet."""
    if at is None:
        return source.size()
    if isinstance(at, int) and at >= source.size():
        raise Malformed("malformed-request", f"the backup ends with entry {source.size() - 1}: entry {at} is not in it; take a later backup")
    if isinstance(at, datetime):
        sql = "SELECT max(c.size) FROM checkpoint c JOIN entry e ON e.idx = c.size - 1 WHERE e.recorded_at <= ?"
        found = source.connection.execute(sql, (stamp(at),)).fetchone()[0]
    else:
        found = source.connection.execute("SELECT max(size) FROM checkpoint WHERE size <= ?", (at + 1,)).fetchone()[0]
    if found is None:
        raise Malformed("malformed-request", "the journal had no commit then yet; the oldest that can be restored is its first entry")
    return int(found)


def _beyond(source: Register, chain: Chain, note: str) -> int:
    """How many entries a checkpoint that was kept elsewhere has more than the backup. Conflict where they are no one journal."""
    try:
        head = chain.open(note)
    except ProofError as error:
        detail = f"the checkpoint that was kept is not one of this journal: {error}; where the journal's key has changed since the backup, give --handovers"
        raise Conflict("conflict", detail) from error
    size = source.size()
    if head.size <= size and tree_root(source, head.size) != head.root:
        raise Conflict("conflict", f"the first {head.size} entries of the backup are not those that were signed then; this backup must not be used")
    return max(0, head.size - size)


def _erased_before(connection: sqlite3.Connection, record: str, key: bytes, before: int, size: int) -> int:
    """Up to where this journal's personal sections of a record are gone.

    What was erased may have been written on another branch of the journal: what the key does not open is gone too.
    """
    if not before:
        return 0
    sql = "SELECT e.idx, s.personal FROM entry e JOIN section s ON s.idx = e.idx WHERE e.record = ? ORDER BY e.idx DESC"
    for index, blob in connection.execute(sql, (record,)):
        if index < before or blob is None or decrypt(key, index, "personal", blob) is None:
            return min(int(index) + 1, size)
    return 0


# -- the drill


@dataclass(frozen=True, slots=True)
class Drill:
    """What a restore into a folder that is thrown away has shown: digests by view, and those of the live node that differ."""

    manifest: Manifest
    restored: Restored
    views: dict[str, str]
    deviations: tuple[str, ...]
    differing: tuple[str, ...]
    not_compared: str
    seconds: float

    @property
    def is_good(self) -> bool:
        return not self.deviations and not self.differing


def drill(wish: Wish, live: Folder | None = None, progress: Progress = silent) -> Drill:
    """Restores a backup for the drill alone, makes its graph, and compares: with the manifest, with reveal, with the live node."""
    started, manifest = time.monotonic(), Manifest.read(wish.backup)
    root = Path(tempfile.mkdtemp(prefix="fmar-drill-"))
    folder = Folder(root / "data")
    try:
        restored = restore(wish, folder.root, progress)
        with closing((register := open_register(folder)).connection):
            if not restored.is_handed_over and register.checkpoint() != manifest.checkpoint:
                raise Broken("internal-error", "the restored checkpoint is not the one that was backed up")
        rebuild_graph(folder)
        deviations, views = _seen(folder)
        seconds = time.monotonic() - started
        theirs, reason = _live_views(live, restored.entries) if live else ({}, "")
        differing = tuple(sorted(view for view in views.keys() | theirs.keys() if views.get(view) != theirs.get(view))) if theirs else ()
        return Drill(manifest, restored, views, deviations, differing, reason, seconds)
    finally:
        for file in (*root.rglob("*.key"), *root.rglob("*.jwk*"), *root.rglob(f"{JOURNAL}*")):
            overwrite(file)
        shutil.rmtree(root)


def _seen(folder: Folder) -> tuple[tuple[str, ...], dict[str, str]]:
    """The views that are not what reveal says, and a digest of each view."""
    graph, register = Graph(folder.graph), open_register(folder)
    try:
        projector = Projector(register, graph, Vocabulary.load(), folder.settings().base_url)
        return tuple(projector.deviations()), digests(graph)
    finally:
        register.connection.close()
        graph.close()


def digests(graph: Graph) -> dict[str, str]:
    """SHA-256 of each view's triples as sorted N-Quads, without the scores: those are of a day."""
    found = {}
    for view in graph.views():
        if "/views/" in view:
            lines = sorted(f"{triple.subject} {triple.predicate} {triple.object} <{view}> .\n" for triple in graph.triples(view) if not is_measurement(triple))
            found[view] = hashlib.sha256("".join(lines).encode()).hexdigest()
    return found


def _live_views(live: Folder, entries: int) -> tuple[dict[str, str], str]:
    """The digests of a stopped node that holds as much; otherwise why they are not compared."""
    try:
        graph = Graph(live.graph)
    except (OSError, RuntimeError) as error:
        return {}, "a node is running on it" if "LOCK" in str(error) else f"its graph cannot be opened: {error}"
    try:
        if graph.applied != entries - 1:
            return {}, f"its graph holds journal index {graph.applied}, the backup goes to {entries - 1}"
        return digests(graph), ""
    finally:
        graph.close()
