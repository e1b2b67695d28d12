"""What consent solutions have notified, put down before it is answered: a file beside the register.

Rules kept here: a notification is durable before its sender hears that it was taken; one with the same id is taken once; what was revoked stays
so, whichever order notifications come in, and also before this node has a record of the consent; of a consent there is a hash, and of nothing
else anything. The register knows what follows; what is lost here is found by asking the solutions.

One thread uses an inbox.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from fmar_node.sources.notification import REVOKED, Notification
from fmar_node.state_file import opened_or_anew, writing

log = logging.getLogger("fmar.consent")
FORMAT = 1
SCHEMA = f"""
CREATE TABLE taken (
    mark BLOB PRIMARY KEY        -- SHA-256 of solution and id
) WITHOUT ROWID;
CREATE TABLE revoked (
    mark BLOB PRIMARY KEY,       -- SHA-256 of solution and reference
    since TEXT NOT NULL
) WITHOUT ROWID;
PRAGMA user_version = {FORMAT};
"""


class Inbox:
    """The notifications that one node has taken."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._connection = opened_or_anew(file, SCHEMA, FORMAT, log, "and what it had is found by asking the solutions", across_threads=True)

    def take(self, notification: Notification) -> bool:
        """Puts it down; whether it is the first of its id. OutOfRoom where it cannot be kept, and then nothing was."""
        with writing(self._connection, log, "the notifications"):
            new = self._connection.execute("INSERT OR IGNORE INTO taken VALUES (?)", (_mark(notification.solution, notification.id),)).rowcount
            if new and notification.type == REVOKED:
                mark = _mark(notification.solution, notification.reference)
                self._connection.execute("INSERT INTO revoked VALUES (?, ?) ON CONFLICT DO UPDATE SET since = min(since, excluded.since)", (mark, notification.since))
        return bool(new)

    def since(self, solution: str, reference: str) -> str:
        """Since when a consent is revoked, as far as has been notified; empty where it is not."""
        row = self._connection.execute("SELECT since FROM revoked WHERE mark = ?", (_mark(solution, reference),)).fetchone()
        return str(row[0]) if row else ""

    def has_ended(self, solution: str, reference: str) -> bool:
        return bool(self.since(solution, reference))

    def revoked_of(self, consents: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Of consents, by solution and reference, those that are revoked."""
        return [each for each in consents if self.has_ended(*each)]

    def close(self) -> None:
        self._connection.close()


def _mark(*names: str) -> bytes:
    return hashlib.sha256("\0".join(names).encode()).digest()
