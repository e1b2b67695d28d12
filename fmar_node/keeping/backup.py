"""Backups: what of a node cannot be made again, copied beside a running node; and what a backup must not hold.

Rules kept here:
- a backup is one read transaction's view of the journal: whole commits, with the checkpoint that was signed over them;
- it holds no key of a subject, and no hash that a personal value could be tried against: `subject-keys.db` beside the
  backups has the newest keys for all of them, so that an erasure reaches every backup that was ever made here;
- a key that was destroyed does not come back: the file is replaced as a whole, its old bytes are overwritten;
- a backup has its name only when all of it is on disk; the subject keys are there before it;
- everything is readable by its owner only.

docs/formats/backup.md is the specification.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from fmar_node.clock import Clock, SystemClock
from fmar_node.errors import Broken, Conflict, FmarError, Malformed, OutOfRoom, Unavailable, counted
from fmar_node.folder import Folder, destroy, sync
from fmar_node.identity import new_token
from fmar_node.journal import upgrade
from fmar_node.journal.handover import Chain
from fmar_node.journal.journal import FORMAT, LOST, refused
from fmar_node.journal.register import Register, connect
from fmar_node.journal.tree import ProofError, tree_root
from fmar_node.keeping.maintenance import verify_journal

BACKUP_FORMAT = 1
KEPT = ("meta", "entry", "section", "node", "checkpoint", "handover", "idempotency")
"""The tables of a backup; what is not here follows from them, or is a key."""
SUBJECT_KEYS, MANIFEST, JOURNAL = "subject-keys.db", "manifest.json", "journal.db"
UNFINISHED = ".unfinished-"
SLICE = 20_000
"""Entries copied between two words of progress."""
PATIENCE = 10.0
"""Seconds to wait for another backup into the same folder."""
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
    with _told(place):
        _opened(folder).close()
        if is_verified:  # before the folder is held: it takes long
            _verify(folder)
    with _told(place), _held(place):
        _sweep(place)
        with closing(_opened(folder)) as register:
            copy = _Copy(folder, place, register, progress, clock or SystemClock())
            is_new = remember(folder, place, copy.keys_id)
            try:
                made = copy.make(with_keys)
            except BaseException:
                if is_new and not copy.has_written_keys:
                    _forget_place(folder, place, copy.keys_id)
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


# -- where the backups are


@dataclass(frozen=True, slots=True)
class Keys:
    """A file with subject keys that this node has written: in which folder, by which id, and which erasures are known to have reached it."""

    place: Path
    id: str = ""
    reached: str = ""

    def __str__(self) -> str:
        return f"{self.place}\t{self.id}\t{self.reached}\n"


def remember(folder: Folder, place: Path, keys_id: str = "", reached: str = "") -> bool:
    """Adds subject keys to those that an erasure reaches, or says that the erasures `reached` have; whether they are new."""
    with _alone(folder.root):
        known = _known(folder)
        same = [each for each in known if each.place == place and each.id in (keys_id, "")]
        if not same or reached or same[0].id != keys_id:
            _write_known(folder, [*(each for each in known if each not in same), Keys(place, keys_id, reached)])
        return not same


def remembered(folder: Folder) -> list[Path]:
    """The folders with backups of this node."""
    return list(dict.fromkeys(each.place for each in _known(folder)))


def _forget_place(folder: Folder, place: Path, keys_id: str) -> None:
    with _alone(folder.root):
        _write_known(folder, [each for each in _known(folder) if (each.place, each.id) != (place, keys_id)])


def _known(folder: Folder) -> list[Keys]:
    """What `remember` was told: a line each, with path, id and erasures, a tab between them; a path alone where an earlier version wrote it."""
    lines = folder.backups.read_text("utf-8").splitlines() if folder.backups.exists() else []
    parts = [[*line.split("\t"), "", ""] for line in lines if line]
    return [Keys(Path(place), keys_id, reached) for place, keys_id, reached, *_ in parts]


def _write_known(folder: Folder, known: list[Keys]) -> None:
    fresh = folder.backups.with_suffix(".new")
    fresh.write_text("".join(map(str, known)), "utf-8")
    fresh.chmod(0o600)
    sync(fresh)
    fresh.replace(folder.backups)
    sync(folder.root)


# -- what erasures do there


def forget(folder: Folder) -> list[str]:
    """Destroys the old keys of all erased records beside the backups. Those that may still be there, and why.

    May be called again and again: a disk that was away is reached when it is back.
    """
    with closing(connect(folder.journal / JOURNAL)) as connection:
        erased = _erased(connection)
    origin = folder.journal_key(folder.settings().base_url).name
    for place in remembered(folder):
        with suppress(FmarError, OSError, sqlite3.Error), _told(place, must_be=True), _held(place):
            _sweep(place)
            _check_origin(place, origin)
            _forget(place / SUBJECT_KEYS, erased)
            remember(folder, place, _id_of(place), _digest(erased))
    return unreached(folder)


def unreached(folder: Folder) -> list[str]:
    """The folders with backups where the key of an erased record may still be, and why; what is away and was reached since is none of them."""
    with closing(connect(folder.journal / JOURNAL)) as connection:
        erased = _erased(connection)
    if not erased:
        return []
    return [f"{each.place}: {reason}" for each in _known(folder) if (reason := _why_unreached(each, erased))]


def _why_unreached(each: Keys, erased: Erased) -> str:
    try:
        with closing(_keys_of(each.place)) as keys:
            if each.id in ("", _meta(keys).get("id", "")):
                held = {row[0]: row[1] for row in keys.execute("SELECT record, key FROM subject_key")}
                is_there = any(held.get(record, key) != key for record, key, _ in erased)
                return "it has the key of an erased record still" if is_there else ""
        reason = f"another disk is in its place; {SUBJECT_KEYS} with the id {each.id} is not there"
    except (FmarError, OSError, sqlite3.Error) as error:
        reason = error.detail if isinstance(error, FmarError) else f"{SUBJECT_KEYS}: {error}"
    return "" if each.reached == _digest(erased) else reason


Erased = list[tuple[str, bytes, int]]
"""Records that were erased: which, the key that it has now, the entry before which nothing personal is left."""


def _erased(connection: sqlite3.Connection, schema: str = "main") -> Erased:
    """All erased records; not those whose key was lost, since nobody has decided that it be gone elsewhere too."""
    sql = f"SELECT record, key, erased_before FROM {schema}.subject_key WHERE erased_before > 0 AND ?1 || record NOT IN (SELECT key FROM {schema}.meta) ORDER BY 1"
    return [(record, key, before) for record, key, before in connection.execute(sql, (LOST,))]


def _digest(erased: Erased) -> str:
    """Names a set of erasures: keys are random, so that no other set has this name."""
    return sha256(b"".join(record.encode() + key for record, key, _ in erased)).hexdigest()[:32] if erased else ""


def sha256_of(file: Path) -> str:
    with file.open("rb") as data:
        return file_digest(data, "sha256").hexdigest()


class _Copy:
    """One backup being made, from one read transaction."""

    def __init__(self, folder: Folder, place: Path, register: Register, progress: Progress, clock: Clock) -> None:
        self.folder, self.place, self.register, self.progress, self.clock = folder, place, register, progress, clock
        self.base_url = folder.settings().base_url
        self.keys_id = _id_of(place) or new_token()
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
        for source in (self.folder.settings_file, self.folder.backups):
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
            _check_origin(self.place, self.folder.journal_key(self.base_url).name)
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
        self.reached = _digest(_erased(target, "source"))
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
        _replace_subject_keys(self.place)
        target = self.place / f"{self.unfinished.name.removeprefix(UNFINISHED)}-{manifest.entries}"
        self.unfinished.rename(target)
        sync(self.place)
        return target


def _replace_subject_keys(place: Path) -> None:
    """The new file takes the old one's place; the old one's bytes are overwritten, by the next backup if not by this one."""
    fresh, present, old = (place / f"{SUBJECT_KEYS}{suffix}" for suffix in (".new", "", ".old"))
    sync(fresh)
    if present.exists():
        os.link(present, old)
    fresh.replace(present)
    sync(place)
    if old.exists():
        destroy(old)


def _forget(file: Path, erased: list[tuple[str, bytes, int]]) -> None:
    """The new keys in place of the old ones, whose bytes go with them."""
    connection = sqlite3.connect(f"file:{file}?mode=rw", uri=True, isolation_level=None)
    try:
        for pragma in ("secure_delete = ON", "journal_mode = DELETE", "synchronous = EXTRA"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN IMMEDIATE")
        sql = "UPDATE subject_key SET key = ?2, erased_before = ?3 WHERE record = ?1 AND key <> ?2"
        connection.executemany(sql, erased)
        connection.execute("COMMIT")
    finally:
        connection.close()


def _opened(folder: Folder) -> _Closing:
    """The journal, to see whether it is one of the present format. FmarError where not."""
    path = folder.journal / JOURNAL
    if not path.exists():
        raise Broken("internal-error", f"{path} does not exist")
    register = _Closing(connect(path), {}, b"")
    if (found := register.meta("format")) != FORMAT:
        register.close()
        raise Broken("internal-error", f"the journal has format {found}, this version of fmar backs up format {FORMAT}; run: fmar upgrade")
    return register


class _Closing(Register):
    def close(self) -> None:
        self.connection.close()


def _keys_of(place: Path) -> sqlite3.Connection:
    """The subject keys beside the backups of a folder, to read. Unavailable where there are none."""
    file = place / SUBJECT_KEYS
    if not file.exists():
        raise Unavailable("unavailable", f"there is no {SUBJECT_KEYS}: is the disk with the backups there?")
    return sqlite3.connect(f"file:{file}?mode=ro", uri=True, isolation_level=None)


def _meta(keys: sqlite3.Connection) -> dict[str, str]:
    return dict(keys.execute("SELECT key, value FROM meta").fetchall())


def _id_of(place: Path) -> str:
    """The id of the subject keys in a folder; empty where there are none, or they have none yet."""
    with suppress(FmarError, sqlite3.Error), closing(_keys_of(place)) as keys:
        return _meta(keys).get("id", "")
    return ""


def _check_origin(place: Path, origin: str) -> None:
    try:
        with closing(_keys_of(place)) as keys:
            found = _meta(keys).get("origin")
    except sqlite3.DatabaseError as error:
        raise Conflict("conflict", f"{place / SUBJECT_KEYS} is damaged ({error}); put it back from a copy, or choose another folder") from error
    if found != origin:
        raise Conflict("conflict", f"{place} has the backups of {found}, and this node is {origin}; give each node a folder of its own")


def _private(file: Path) -> Path:
    """A new, empty file that only its owner may read."""
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return file


def _sweep(place: Path) -> None:
    """Clears away what a backup has left that was cut off. The caller holds the folder."""
    for left in place.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left)
    for suffix in (".new", ".new-journal", ".old"):
        if (file := place / f"{SUBJECT_KEYS}{suffix}").exists():
            destroy(file)


@contextmanager
def _held(place: Path) -> Iterator[None]:
    """Nobody else writes into the folder meanwhile. Unavailable where somebody does."""
    descriptor, deadline = os.open(place / ".lock", os.O_RDWR | os.O_CREAT, 0o600), time.monotonic() + PATIENCE
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise Unavailable("unavailable", f"another backup is being made in {place}") from error
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else is in a block of this kind for the same folder meanwhile; these blocks are short."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _told(place: Path, *, must_be: bool = False) -> Iterator[None]:
    """The folder is there, and a disk that is full or cannot be written says so."""
    if must_be and not place.is_dir():
        raise Unavailable("unavailable", "it is not there: is the disk with the backups in its place?")
    try:
        if not place.exists():
            place.mkdir(mode=0o700, parents=True)
        yield
    except sqlite3.OperationalError as error:
        reason = refused(error)
        raise type(reason)(reason.code, f"the backup in {place} could not be written: {error}") from error
    except sqlite3.DatabaseError as error:
        raise Broken("internal-error", f"the journal or {place / SUBJECT_KEYS} is damaged ({error}); run fmar check") from error
    except OSError as error:
        raise OutOfRoom("storage-full", f"the backup in {place} could not be written: {error.strerror or error}") from error
