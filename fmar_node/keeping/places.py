"""The folders that hold backups: where they are, the keys of subjects beside them, and what an erasure does there.

Rules kept here:
- the node remembers each file of subject keys that it has written, by folder and id, so that disks that take turns in one
  place are told apart; a file is taken for reached by an erasure only while that is known;
- a key that was destroyed does not come back: its bytes are overwritten, here and in the file that another replaces;
- what a node has lost is not erased: nobody has decided that, and it is destroyed nowhere else;
- one process at a time writes into a folder.

docs/formats/backup.md is the specification.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fmar_node.errors import Broken, Conflict, FmarError, OutOfRoom, Unavailable
from fmar_node.folder import Folder, destroy, sync
from fmar_node.journal.journal import LOST, refused
from fmar_node.journal.register import connect

SUBJECT_KEYS, JOURNAL = "subject-keys.db", "journal.db"
UNFINISHED = ".unfinished-"
PATIENCE = 10.0
"""Seconds to wait for another backup into the same folder."""


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


def drop(folder: Folder, place: Path, keys_id: str) -> None:
    with _alone(folder.root):
        _write_known(folder, [each for each in _known(folder) if (each.place, each.id) != (place, keys_id)])


def _known(folder: Folder) -> list[Keys]:
    """What `remember` was told: a line each, with path, id and erasures, a tab between them; a path alone where an earlier version wrote it."""
    try:
        lines = folder.backups.read_text("utf-8").splitlines() if folder.backups.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(folder, str(error)) from error
    parts = [[*line.split("\t"), "", ""] for line in lines if line]
    if odd := next((place for place, *_ in parts if not place.startswith("/")), ""):
        raise _unreadable(folder, f"{odd!r} is no absolute path")
    return [Keys(Path(place), keys_id, reached) for place, keys_id, reached, *_ in parts]


def _unreadable(folder: Folder, why: str) -> Broken:
    detail = (
        f"{folder.backups}, the list of folders with backups, cannot be read: {why}; put it back from the newest backup, which has one, "
        "or remove it and run fmar backup into each of those folders"
    )
    return Broken("internal-error", detail)


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
        erased = erased_in(connection)
    origin = folder.journal_key(folder.settings().base_url).name
    for place in remembered(folder):
        with suppress(FmarError, OSError, sqlite3.Error), explained(place, must_be=True), holding(place):
            sweep(place)
            check_origin(place, origin)
            _forget(place / SUBJECT_KEYS, erased)
            remember(folder, place, id_of(place), digest_of(erased))
    return unreached(folder)


def unreached(folder: Folder) -> list[str]:
    """The folders with backups where the key of an erased record may still be, and why; what is away and was reached since is none of them."""
    with closing(connect(folder.journal / JOURNAL)) as connection:
        erased = erased_in(connection)
    if not erased:
        return []
    return [f"{each.place}: {reason}" for each in _known(folder) if (reason := _why_unreached(each, erased))]


def _why_unreached(each: Keys, erased: Erased) -> str:
    try:
        with closing(keys_of(each.place)) as keys:
            if each.id in ("", _meta(keys).get("id", "")):
                held = {row[0]: row[1] for row in keys.execute("SELECT record, key FROM subject_key")}
                is_there = any(held.get(record, key) != key for record, key, _ in erased)
                return "it has the key of an erased record still" if is_there else ""
        reason = f"another disk is in its place; {SUBJECT_KEYS} with the id {each.id} is not there"
    except (FmarError, OSError, sqlite3.Error) as error:
        reason = error.detail if isinstance(error, FmarError) else f"{SUBJECT_KEYS}: {error}"
    return "" if each.reached == digest_of(erased) else reason


Erased = list[tuple[str, bytes, int]]
"""Records that were erased: which, the key that it has now, the entry before which nothing personal is left."""


def erased_in(connection: sqlite3.Connection, schema: str = "main") -> Erased:
    """All erased records; not those whose key was lost, since nobody has decided that it be gone elsewhere too."""
    sql = f"SELECT record, key, erased_before FROM {schema}.subject_key WHERE erased_before > 0 AND ?1 || record NOT IN (SELECT key FROM {schema}.meta) ORDER BY 1"
    return [(record, key, before) for record, key, before in connection.execute(sql, (LOST,))]


def digest_of(erased: Erased) -> str:
    """Names a set of erasures: keys are random, so that no other set has this name."""
    return sha256(b"".join(record.encode() + key for record, key, _ in erased)).hexdigest()[:32] if erased else ""


# -- one folder


def keys_of(place: Path) -> sqlite3.Connection:
    """The subject keys beside the backups of a folder, to read. Unavailable where there are none."""
    file = place / SUBJECT_KEYS
    if not file.exists():
        raise Unavailable("unavailable", f"there is no {SUBJECT_KEYS}: is the disk with the backups there?")
    return sqlite3.connect(f"file:{file}?mode=ro", uri=True, isolation_level=None)


def _meta(keys: sqlite3.Connection) -> dict[str, str]:
    return dict(keys.execute("SELECT key, value FROM meta").fetchall())


def id_of(place: Path) -> str:
    """The id of the subject keys in a folder; empty where there are none, or they have none yet."""
    with suppress(FmarError, sqlite3.Error), closing(keys_of(place)) as keys:
        return _meta(keys).get("id", "")
    return ""


def check_origin(place: Path, origin: str) -> None:
    try:
        with closing(keys_of(place)) as keys:
            found = _meta(keys).get("origin")
    except sqlite3.DatabaseError as error:
        raise Conflict("conflict", f"{place / SUBJECT_KEYS} is damaged ({error}); put it back from a copy, or choose another folder") from error
    if found != origin:
        raise Conflict("conflict", f"{place} has the backups of {found}, and this node is {origin}; give each node a folder of its own")


def replace_keys(place: Path) -> None:
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


def sweep(place: Path) -> None:
    """Clears away what a backup has left that was cut off. The caller holds the folder."""
    for left in place.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left)
    for suffix in (".new", ".new-journal", ".old"):
        if (file := place / f"{SUBJECT_KEYS}{suffix}").exists():
            destroy(file)


@contextmanager
def holding(place: Path) -> Iterator[None]:
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
def explained(place: Path, *, must_be: bool = False) -> Iterator[None]:
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
