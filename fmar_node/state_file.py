"""Files of SQLite beside the journal, for what is no part of the register: sessions, jobs, deliveries, notifications, scorecards.

Rules kept here: a file and its folder are their owner's alone; what was written is on disk at the end of a transaction, and what was
removed is gone from the file; a file that is damaged, or of another format, is refused or made anew, and never half read.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fmar_node.errors import OutOfRoom


def opened(file: Path, schema: str, format_: int, *, across_threads: bool = False) -> sqlite3.Connection:
    """The file, which is made where it is not there; `schema` ends with the format as `user_version`.

    PermissionError where others may read it, sqlite3.DatabaseError where it is damaged or of another format.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    for open_, remedy in ((file.parent, f"chmod -R go= {file.parent}"), (file, f"chmod 600 {file}")):
        if os.name == "posix" and open_.stat().st_mode & 0o077:
            raise PermissionError(f"{open_} may be read by others than its owner; run: {remedy}")
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=not across_threads)
    try:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")
        if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("quick_check found a fault")
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found == 0:
            connection.executescript(f"BEGIN; {schema} COMMIT;")
        elif found != format_:
            raise sqlite3.DatabaseError(f"format {found}, not {format_}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def opened_or_anew(file: Path, schema: str, format_: int, log: logging.Logger, lost: str, *, across_threads: bool = False) -> sqlite3.Connection:
    """The file; one that is damaged is made anew, and the log says what is `lost`. PermissionError where others may read it."""
    try:
        return opened(file, schema, format_, across_threads=across_threads)
    except sqlite3.DatabaseError as error:
        log.warning("%s is damaged and made anew, %s: %s", file, lost, error)
    for name in (file, *beside(file)):
        name.unlink(missing_ok=True)
    return opened(file, schema, format_, across_threads=across_threads)


def beside(file: Path) -> tuple[Path, ...]:
    """What SQLite puts beside a file."""
    return tuple(file.with_name(file.name + end) for end in ("-wal", "-shm"))


@contextmanager
def writing(connection: sqlite3.Connection, log: logging.Logger, what: str) -> Iterator[None]:
    """A transaction, on disk at its end. OutOfRoom where `what` cannot be written; then nothing was changed."""
    try:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
    except sqlite3.DatabaseError as error:
        log.error("%s cannot be written: %s", what, error)
        raise OutOfRoom("storage-full", f"{what} cannot be written; nothing was changed") from error
