"""Backups: what of a node cannot be made again, copied beside a running node; and what a backup must not hold.

Rules kept here:
- a backup is one read transaction's view of the journal: whole commits, with the checkpoint that was signed over them;
- it holds no key of a subject, and no hash that a personal value could be tried against: `subject-keys.db` beside the
  backups has the newest keys for all of them, so that an erasure reaches every backup that was ever made here;
- a backup has its name only when all of it is on disk; the subject keys are there before it;
- everything is readable by its owner only.

docs/formats/backup.md is the specification.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

from fmar_node.clock import Clock, SystemClock
from fmar_node.errors import Broken, Conflict, Malformed, counted
from fmar_node.folder import Folder, destroy, sync
from fmar_node.identity import new_token
from fmar_node.journal import upgrade
from fmar_node.journal.handover import Chain
from fmar_node.journal.journal import FORMAT, LOST
from fmar_node.journal.register import Register, connect
from fmar_node.journal.tree import ProofError, tree_root
from fmar_node.keeping.maintenance import verify_journal
from fmar_node.keeping.places import (
    JOURNAL,
    SUBJECT_KEYS,
    UNFINISHED,
    check_origin,
    digest_of,
    drop,
    erased_in,
    explained,
    holding,
    id_of,
    remember,
    replace_keys,
    sweep,
)
from fmar_node.saved_query import files_of

BACKUP_FORMAT = 1
KEPT = ("meta", "entry", "section", "node", "checkpoint", "handover", "idempotency")
"""The tables of a backup; what is not here follows from them, or is a key."""
MANIFEST = "manifest.json"
SLICE = 20_000
"""Entries copied between two words of progress."""
Progress = Callable[[int, int], None]
"""Told how many of how many entries are done."""


def silent(_: int, __: int) -> None:
    """No word of progress."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself, in `manifest.json`."""

    format: int
    journalFormat: str  # noqa: N815
    madeAt: str  # noqa: N815
    baseUrl: str  # noqa: N815
    origin: str
    verifierKey: str  # noqa: N815
    entries: int
    recordedAt: str  # noqa: N815
    checkpoint: str
    files: dict[str, str]

    @classmethod
    def read(cls, backup: Path) -> Manifest:
        """Malformed where there is no backup, or one of a later format."""
        try:
            said: Any = json.loads((backup / MANIFEST).read_text("utf-8"))
            if isinstance(said, dict) and isinstance(said.get("format"), int) and said["format"] > BACKUP_FORMAT:
                raise Malformed("malformed-request", f"{backup} has backup format {said['format']}; this version of fmar reads up to {BACKUP_FORMAT}")
            made = cls(**said)
        except (FileNotFoundError, NotADirectoryError) as error:
            if there := sorted(backup.glob(f"*/{MANIFEST}")):
                raise Malformed("malformed-request", f"{backup} holds backups; give one of them, the newest is {there[-1].parent}") from error
            raise Malformed("malformed-request", f"{backup} is not a backup: it has no {MANIFEST}") from error
        except (ValueError, TypeError) as error:
            raise Malformed("malformed-request", f"{backup / MANIFEST} is damaged: {error}") from error
        if [type(value) for value in asdict(made).values()] != [int, str, str, str, str, str, int, str, str, dict]:
            raise Malformed("malformed-request", f"{backup / MANIFEST} is damaged: its members are not of the right types")
        return made


def make_backup(
    folder: Folder, place: Path, *, with_keys: bool = True, is_verified: bool = True, progress: Progress = silent, clock: Clock | None = None
) -> Path:
    """Makes a backup in the folder `place`, and remembers it; the path of the new backup. The journal is verified first.

    Conflict where `place` belongs to another journal, or knows of an erasure that this node does not, or has keys that this
    node has lost; OutOfRoom where there is no room; Broken where the journal does not verify.
    """
    folder.check_made()
    place = _resolved(place)
    if place.is_relative_to(folder.root.resolve()):
        raise Malformed("malformed-request", f"{place} is inside the data folder, and would be lost with it; give another disk's folder")
    with explained(place):
        _check_format(folder)
        if is_verified:  # before the folder is held: it takes long
            _verify(folder)
    with explained(place), holding(place):
        sweep(place)
        copy = _Copy(folder, place, progress, clock or SystemClock())
        is_new = remember(folder, place, copy.keys_id)
        try:
            made = copy.make(with_keys)
        except BaseException:
            if is_new and not copy.has_written_keys:
                drop(folder, place, copy.keys_id)
            raise
        remember(folder, place, copy.keys_id, copy.reached)
        return made


def _resolved(place: Path) -> Path:
    try:
        return place.resolve()
    except RuntimeError as error:
        raise Malformed("malformed-request", f"{place} leads back to itself") from error


def _verify(folder: Folder) -> None:
    try:
        verify_journal(folder)
    except ProofError as error:
        detail = f"the journal is not backed up, it does not verify: {error}; keep the backups that you have, and run fmar check"
        raise Broken("internal-error", detail) from error


def sha256_of(file: Path) -> str:
    with file.open("rb") as data:
        return file_digest(data, "sha256").hexdigest()


class _Copy:
    """One backup being made, from one read transaction."""

    def __init__(self, folder: Folder, place: Path, progress: Progress, clock: Clock) -> None:
        self.folder, self.place, self.progress, self.clock = folder, place, progress, clock
        self.base_url = folder.settings().base_url
        self.keys_id = id_of(place) or new_token()
        self.reached, self.has_written_keys = "", False
        """Which erasures the journal that was copied knows of; whether they have reached the subject keys."""

    def make(self, with_keys: bool) -> Path:
        instant = self.clock.now()
        self.unfinished = self.place / f"{UNFINISHED}{instant:%Y%m%dT%H%M%S}.{instant.microsecond // 1000:03d}Z"
        self.unfinished.mkdir(mode=0o700)
        try:
            manifest = self._copied(instant.isoformat(timespec="milliseconds").replace("+00:00", "Z"), with_keys)
            return self._published(manifest)
        except BaseException:
            shutil.rmtree(self.unfinished, ignore_errors=True)
            fresh = self.place / f"{SUBJECT_KEYS}.new"
            if fresh.exists():
                destroy(fresh)
            raise

    def _copied(self, made_at: str, with_keys: bool) -> Manifest:
        target = self.unfinished / JOURNAL
        connection = connect(_private(target), writable=True)
        try:
            entries = self._copy_tables(connection)
            connection.row_factory = sqlite3.Row
            copy = Register(connection, {}, b"")
            note, key = copy.checkpoint(), self.folder.journal_key(self.base_url).verifier
            try:
                head = Chain.leading(copy.handovers(), key).open(note)
                if (head.size, head.root) != (entries, tree_root(copy, entries)):
                    raise ProofError("wrong-root", f"the {entries} entries are not those that were signed at {head.size}")
            except ProofError as error:
                raise Broken("internal-error", f"the journal cannot be backed up, it does not verify: {error}; run fmar check") from error
            newest = connection.execute("SELECT recorded_at FROM entry ORDER BY idx DESC LIMIT 1").fetchone()[0]
        finally:
            connection.close()
        for source in (self.folder.settings_file, self.folder.backups, *files_of(self.folder.queries)):
            self._copy_file(source)
        for source in sorted((*self.folder.keys.iterdir(), *self.folder.participants.rglob("*"))) if with_keys else ():
            if source.is_file() and not source.name.endswith(".new"):
                self._copy_file(source)
        files = sorted(file for file in self.unfinished.rglob("*") if file.is_file())
        named = {file.relative_to(self.unfinished).as_posix(): sha256_of(file) for file in files}
        return Manifest(BACKUP_FORMAT, FORMAT, made_at, self.base_url, key.name, str(key), entries, newest, note, named)

    def _copy_tables(self, target: sqlite3.Connection) -> int:
        """Fills a fresh database, and the subject keys for all backups, from one view of the journal; how many entries."""
        run = target.execute
        for statement in upgrade.statements(KEPT):
            run(statement)
        for pragma in ("journal_mode = OFF", "synchronous = OFF"):  # nobody sees it before it is whole and synced
            run(f"PRAGMA {pragma}")
        run("ATTACH ? AS source", (f"file:{self.folder.journal / JOURNAL}?mode=ro",))
        run("ATTACH ? AS subjects", (f"file:{_private(self.place / f'{SUBJECT_KEYS}.new')}?mode=rw",))
        if held := (self.place / SUBJECT_KEYS).exists():
            check_origin(self.place, self.folder.journal_key(self.base_url).name)
            run("ATTACH ? AS held", (f"file:{self.place / SUBJECT_KEYS}?mode=ro",))
        run("BEGIN")
        size = int(run("SELECT coalesce(max(idx) + 1, 0) FROM source.entry").fetchone()[0])
        if not size:
            raise Malformed("malformed-request", "the journal is empty: there is nothing to back up")
        run("INSERT INTO meta SELECT * FROM source.meta WHERE key NOT IN ('erased', 'scrubbed')")
        for start in range(0, size, SLICE):
            for table in ("entry", "section"):
                run(f"INSERT INTO {table} SELECT * FROM source.{table} WHERE idx >= ? AND idx < ?", (start, start + SLICE))
            self.progress(min(start + SLICE, size), size)
        for table in ("node", "checkpoint", "handover", "idempotency"):
            run(f"INSERT INTO {table} SELECT * FROM source.{table}")
        self._copy_subject_keys(target, held)
        run("COMMIT")
        return size

    def _copy_subject_keys(self, target: sqlite3.Connection, held: bool) -> None:
        """The journal's keys, and those of records that an earlier backup has and this journal no more."""
        run = target.execute
        for statement in upgrade.statements(("meta", "subject_key")):
            run(statement.replace("TABLE ", "TABLE subjects.", 1))
        run("INSERT INTO subjects.subject_key SELECT * FROM source.subject_key")
        self.reached = digest_of(erased_in(target, "source"))
        origin = self.folder.journal_key(self.base_url).name
        run("INSERT INTO subjects.meta VALUES ('format', ?), ('origin', ?), ('id', ?)", (str(BACKUP_FORMAT), origin, self.keys_id))
        if held:
            ours, theirs = "source.subject_key s", "held.subject_key h"
            later = run(f"SELECT h.record FROM {theirs} JOIN {ours} USING (record) WHERE h.key <> s.key AND h.erased_before > s.erased_before").fetchone()
            if later:
                detail = f"{self.place} knows of an erasure of record {later[0]} that this node does not; erase it here first: fmar erase"
                raise Conflict("conflict", detail)
            lost = f"SELECT count(*) FROM {theirs} JOIN {ours} USING (record) WHERE h.key <> s.key AND ? || s.record IN (SELECT key FROM source.meta)"
            if count := run(lost, (LOST,)).fetchone()[0]:
                detail = (
                    f"{self.place} has the keys of {counted(count, 'record')} whose personal values this node has lost, and a backup would destroy them; "
                    "restore with them (--subject-keys), or give this node a folder of its own"
                )
                raise Conflict("conflict", detail)
            run(f"INSERT INTO subjects.subject_key SELECT h.* FROM {theirs} WHERE h.record NOT IN (SELECT record FROM source.subject_key)")

    def _copy_file(self, source: Path) -> None:
        if source.exists():
            target = self.unfinished / source.relative_to(self.folder.root)
            for parent in reversed(target.relative_to(self.unfinished).parents[:-1]):
                (self.unfinished / parent).mkdir(mode=0o700, exist_ok=True)
            _private(target).write_bytes(source.read_bytes())

    def _published(self, manifest: Manifest) -> Path:
        _private(self.unfinished / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1) + "\n", "utf-8")
        for path in (*self.unfinished.rglob("*"), self.unfinished):
            sync(path)
        self.has_written_keys = True
        replace_keys(self.place)
        target = self.place / f"{self.unfinished.name.removeprefix(UNFINISHED)}-{manifest.entries}"
        self.unfinished.rename(target)
        sync(self.place)
        return target


def _check_format(folder: Folder) -> None:
    """Broken where the journal is not there, or not one of the present format."""
    path = folder.journal / JOURNAL
    if not path.exists():
        raise Broken("internal-error", f"{path} does not exist")
    with closing(connect(path)) as connection:
        found = Register(connection, {}, b"").meta("format")
    if found != FORMAT:
        raise Broken("internal-error", f"the journal has format {found}, this version of fmar backs up format {FORMAT}; run: fmar upgrade")


def _private(file: Path) -> Path:
    """A new, empty file that only its owner may read."""
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return file


