"""What is still to be delivered to whom, and with which secrets: a file beside the register.

Rules kept here: how far a subscription has read the journal, and what of that it has not delivered yet, are put down in one
transaction, on disk before anything goes out or is forgotten, so that nothing is lost with the process; what was delivered and
not put down yet is delivered again; a delivery names an entry and holds no value; of each record the oldest delivery alone may
go out; dead letters let the later ones of their record pass, and are kept until they are replayed or too many. Secrets
stand here and nowhere else, in a file that is its owner's alone: they are in no backup.

One thread uses a file at a time.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from fmar_node.errors import Broken
from fmar_node.state_file import opened, writing

log = logging.getLogger("fmar.webhooks")
FORMAT = 1
SCHEMA = f"""
CREATE TABLE line (
    subscription TEXT PRIMARY KEY,
    seen INTEGER NOT NULL,               -- the entry up to which the journal was looked through for it
    failing_since REAL                   -- seconds since 1970; NULL while deliveries are taken
) STRICT, WITHOUT ROWID;
CREATE TABLE secret (
    number INTEGER PRIMARY KEY,
    subscription TEXT NOT NULL,
    secret TEXT NOT NULL,
    made REAL NOT NULL,
    ends REAL                            -- NULL: until there is a new one
) STRICT;
CREATE INDEX secret_subscription ON secret (subscription);
CREATE TABLE delivery (
    subscription TEXT NOT NULL, entry INTEGER NOT NULL, record TEXT NOT NULL,
    is_dead INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    since REAL,                          -- its first attempt
    due REAL NOT NULL DEFAULT 0,
    problem TEXT NOT NULL DEFAULT '',    -- why the last attempt failed
    PRIMARY KEY (subscription, entry)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_record ON delivery (subscription, record, entry) WHERE is_dead = 0;
CREATE INDEX delivery_due ON delivery (subscription, due) WHERE is_dead = 0;
CREATE INDEX delivery_dead ON delivery (subscription, entry) WHERE is_dead = 1;
PRAGMA user_version = {FORMAT};
"""
COLUMNS = "entry, record, is_dead, attempts, since, due, problem"
SECRETS = 2
"""Secrets of a subscription that count at once, the newest."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One entry that a subscription has not delivered yet. Times are seconds since 1970."""

    entry: int
    record: str
    is_dead: bool = False
    attempts: int = 0
    since: float | None = None
    due: float = 0.0
    problem: str = ""


class Deliveries:
    """The file, which is made where it is not there. PermissionError where others may read it, Broken where it is damaged."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            self.connection = opened(file, SCHEMA, FORMAT, across_threads=True)
        except sqlite3.DatabaseError as error:
            detail = f"{file} is damaged ({error}); move it away: then every subscriber makes a new secret, and reads what was not delivered from the feed"
            raise Broken("internal-error", detail) from error

    def writing(self) -> AbstractContextManager[None]:
        """A transaction, on disk at its end. OutOfRoom where that cannot be."""
        return writing(self.connection, log, "the deliveries")

    # -- secrets

    def add_secret(self, subscription: str, secret: str, now: float) -> int:
        """One more secret; its number."""
        with self.writing():
            row = self.connection.execute("INSERT INTO secret (subscription, secret, made) VALUES (?, ?, ?) RETURNING number", (subscription, secret, now)).fetchone()
        return int(row[0])

    def use_secret(self, subscription: str, number: int, old_ends: float) -> None:
        """A secret is the subscription's: the ones before it end, at the latest then; and all but the last of them now."""
        with self.writing():
            older = "subscription = ?1 AND number < ?2"
            self.connection.execute(f"UPDATE secret SET ends = min(coalesce(ends, ?3), ?3) WHERE {older}", (subscription, number, old_ends))
            kept = "SELECT number FROM secret WHERE subscription = ?1 ORDER BY number DESC LIMIT ?3"
            self.connection.execute(f"DELETE FROM secret WHERE {older} AND number NOT IN ({kept})", (subscription, number, SECRETS))

    def drop_secret(self, number: int) -> None:
        with self.writing():
            self.connection.execute("DELETE FROM secret WHERE number = ?", (number,))

    def secrets(self, subscription: str, now: float) -> list[str]:
        """Those that count, the newest first."""
        sql = "SELECT secret FROM secret WHERE subscription = ? AND (ends IS NULL OR ends > ?) ORDER BY number DESC LIMIT ?"
        return [row[0] for row in self.connection.execute(sql, (subscription, now, SECRETS))]

    # -- how far, and what of it is not delivered yet

    def seen(self, subscription: str) -> int | None:
        row = self.connection.execute("SELECT seen FROM line WHERE subscription = ?", (subscription,)).fetchone()
        return int(row[0]) if row else None

    def advance(self, subscription: str, seen: int, found: Iterable[tuple[int, str]]) -> None:
        """The journal was looked through up to an entry; `found` are the entries that are to be delivered, with their records. In a transaction."""
        self.connection.execute("INSERT INTO line (subscription, seen) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET seen = ?2", (subscription, seen))
        sql = "INSERT INTO delivery (subscription, entry, record) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        self.connection.executemany(sql, ((subscription, entry, record) for entry, record in found))

    def waiting(self, subscription: str) -> int:
        return self._count("is_dead = 0", subscription)

    def dead(self, subscription: str) -> int:
        return self._count("is_dead = 1", subscription)

    def _count(self, which: str, subscription: str) -> int:
        return int(self.connection.execute(f"SELECT count(*) FROM delivery WHERE subscription = ? AND {which}", (subscription,)).fetchone()[0])

    def due(self, subscription: str, now: float, flying: Sequence[str], limit: int) -> list[Delivery]:
        """Deliveries whose time has come, the oldest first: of each record the oldest that waits, and none of those under way."""
        sql = f"SELECT {COLUMNS} FROM delivery d WHERE {_first(flying)} AND due <= ? ORDER BY entry LIMIT ?"
        return list(map(_delivery, self.connection.execute(sql, (subscription, *flying, now, limit))))

    def next_due(self, subscription: str, now: float, flying: Sequence[str]) -> float | None:
        """When the time comes of a delivery that is not due yet."""
        sql = f"SELECT min(due) FROM delivery d WHERE {_first(flying)} AND due > ?"
        value = self.connection.execute(sql, (subscription, *flying, now)).fetchone()[0]
        return None if value is None else float(value)

    def delivered(self, subscription: str, entry: int) -> None:
        """It was taken, or is nothing for this subscriber any more. In a transaction."""
        self.connection.execute("DELETE FROM delivery WHERE subscription = ? AND entry = ?", (subscription, entry))

    def postponed(self, subscription: str, delivery: Delivery) -> None:
        """It was not taken. In a transaction."""
        sql = "UPDATE delivery SET is_dead = ?, attempts = ?, since = ?, due = ?, problem = ? WHERE subscription = ? AND entry = ?"
        told = (int(delivery.is_dead), delivery.attempts, delivery.since, delivery.due, delivery.problem)
        self.connection.execute(sql, (*told, subscription, delivery.entry))

    def bury(self, subscription: str, most: int) -> None:
        """Keeps the newest dead letters. In a transaction."""
        kept = "SELECT entry FROM delivery WHERE subscription = ?1 AND is_dead = 1 ORDER BY entry DESC LIMIT ?2"
        self.connection.execute(f"DELETE FROM delivery WHERE subscription = ?1 AND is_dead = 1 AND entry NOT IN ({kept})", (subscription, most))

    def hasten(self, subscription: str, now: float) -> None:
        """The endpoint takes deliveries again: what waits for its time need not wait longer. In a transaction."""
        self.connection.execute("UPDATE delivery SET due = min(due, ?2) WHERE subscription = ?1 AND is_dead = 0", (subscription, now))

    def renew(self, subscription: str, now: float) -> None:
        """The subscription begins anew: what waits has as long as it had at first. In a transaction."""
        self.connection.execute("UPDATE delivery SET attempts = 0, since = NULL, due = ?2 WHERE subscription = ?1 AND is_dead = 0", (subscription, now))
        self.connection.execute("UPDATE line SET failing_since = NULL WHERE subscription = ?", (subscription,))

    # -- trouble

    def failing_since(self, subscription: str) -> float | None:
        row = self.connection.execute("SELECT failing_since FROM line WHERE subscription = ?", (subscription,)).fetchone()
        return row[0] if row else None

    def note_failing(self, subscription: str, since: float | None) -> None:
        """Since when nothing was taken; None where something was. In a transaction."""
        value = "coalesce(failing_since, ?2)" if since is not None else "?2"
        self.connection.execute(f"UPDATE line SET failing_since = {value} WHERE subscription = ?1", (subscription, since))

    # -- for the subscriber

    def page(self, subscription: str, is_dead: bool, after: int, limit: int) -> list[Delivery]:
        sql = f"SELECT {COLUMNS} FROM delivery WHERE subscription = ? AND is_dead = ? AND entry > ? ORDER BY entry LIMIT ?"
        return list(map(_delivery, self.connection.execute(sql, (subscription, int(is_dead), after, limit))))

    def replay(self, subscription: str, entries: Sequence[int] | None, now: float) -> int:
        """Dead letters wait again, these or all of them; how many there were."""
        which = "" if entries is None else f" AND entry IN ({','.join('?' * len(entries))})"
        sql = f"UPDATE delivery SET is_dead = 0, attempts = 0, since = NULL, due = ? WHERE subscription = ? AND is_dead = 1{which}"
        with self.writing():
            return self.connection.execute(sql, (now, subscription, *(entries or ()))).rowcount

    def forget(self, subscription: str) -> None:
        """Everything about a subscription that has ended."""
        with self.writing():
            for table in ("line", "secret", "delivery"):
                self.connection.execute(f"DELETE FROM {table} WHERE subscription = ?", (subscription,))

    def known(self) -> set[str]:
        """The subscriptions that there is anything of."""
        return {row[0] for row in self.connection.execute("SELECT subscription FROM line UNION SELECT subscription FROM secret UNION SELECT subscription FROM delivery")}

    def close(self) -> None:
        self.connection.close()


def _first(flying: Sequence[str]) -> str:
    """Of a subscription and each record of it, but for those under way, the oldest delivery that waits."""
    older = "SELECT 1 FROM delivery o WHERE o.subscription = d.subscription AND o.record = d.record AND o.entry < d.entry AND o.is_dead = 0"
    return f"subscription = ? AND is_dead = 0 AND record NOT IN ({','.join('?' * len(flying))}) AND NOT EXISTS ({older})"


def _delivery(row: tuple[int, str, int, int, float | None, float, str]) -> Delivery:
    entry, record, is_dead, attempts, since, due, problem = row
    return Delivery(entry, record, bool(is_dead), attempts, since, due, problem)
