"""Sessions of people who have signed in: a file beside the register, which holds nothing that lets anybody in.

Rules kept here:
- a session's token is 256 random bits that only the browser has; the file has its SHA-256;
- a session ends when it was not used for `session_idle_seconds`, after `session_seconds` in any case, when a person has begun
  more than `sessions_per_user`, and at once when it is ended; what has ended is removed;
- use is noted at most once a minute, so that a session ends up to a minute early, never late;
- the file is its owner's alone; one that is damaged is made anew: people sign in again, and the register knows nothing of it.

One thread uses a store.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fmar_node.access.caller import Applicant
from fmar_node.clock import Clock
from fmar_node.errors import OutOfRoom
from fmar_node.identity import new_record_id, new_token
from fmar_node.settings import Settings
from fmar_node.state_file import opened_or_anew, writing

TOKEN_BYTES = 32
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
NOTED_SECONDS = 60
FORMAT = 2
SCHEMA = f"""
CREATE TABLE session (
    mark BLOB PRIMARY KEY,       -- SHA-256 of the token
    id TEXT NOT NULL UNIQUE,
    user TEXT NOT NULL,
    organisation TEXT NOT NULL,
    applicant TEXT NOT NULL,     -- the identity of who has no account and applies for an organisation, and the address it has proved
    email TEXT NOT NULL,
    provider TEXT NOT NULL,
    began REAL NOT NULL,         -- seconds since 1970
    used REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX session_user ON session (user);
CREATE INDEX session_organisation ON session (organisation);
PRAGMA user_version = {FORMAT};
"""
COLUMNS = "id, user, organisation, applicant, email, provider, began, used"
Row = tuple[str, str, str, str, str, str, float, float]
log = logging.getLogger("fmar.signin")


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody's session. `user` and `organisation` are bare UUIDs; `ends` is the latest, `idle_ends` when it is not used again."""

    id: str
    user: str
    organisation: str
    applicant: Applicant | None
    provider: str
    began: datetime
    used: datetime
    ends: datetime
    idle_ends: datetime


class Sessions:
    """The sessions of one node, in `file`, which is made where it is not there. PermissionError where others may read it."""

    def __init__(self, file: Path, settings: Settings, clock: Clock) -> None:
        self.file, self._clock = file, clock
        self._idle, self._life, self._most = settings.session_idle_seconds, settings.session_seconds, settings.sessions_per_user
        self._connection = opened_or_anew(file, SCHEMA, FORMAT, log, "everybody signs in again")
        with self._writing():
            self._remove_ended()

    def begin(self, user: str, organisation: str, provider: str, applicant: Applicant | None = None) -> tuple[str, Session]:
        """A new session and its token, which nobody can find out again. OutOfRoom where it cannot be kept.

        Who has no account, and applies for an organisation, has neither user nor organisation.
        """
        token, now = new_token(TOKEN_BYTES), self._now()
        applied = (applicant.identity, applicant.email) if applicant else ("", "")
        row = (new_record_id(), user, organisation, *applied, provider, now, now)
        with self._writing():
            self._remove_ended()
            self._connection.execute(f"INSERT INTO session (mark, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (_mark(token), *row))
            newest = "SELECT id FROM session WHERE user = ?1 AND applicant = ?2 ORDER BY began DESC, id DESC LIMIT ?3"
            self._connection.execute(f"DELETE FROM session WHERE user = ?1 AND applicant = ?2 AND id NOT IN ({newest})", (user, applied[0], self._most))
        return token, self._session(row)

    def find(self, token: str) -> Session | None:
        """The session of that token while it lasts; being found is being used."""
        if TOKEN.fullmatch(token) is None:
            return None
        now, row = self._now(), self._connection.execute(f"SELECT {COLUMNS} FROM session WHERE mark = ?", (_mark(token),)).fetchone()
        if row is None:
            return None
        session = self._session(row)
        if not self._lasts(session, now):
            self.end(session.id)
            return None
        if now - session.used.timestamp() >= NOTED_SECONDS:
            with suppress(OutOfRoom), self._writing():
                self._connection.execute("UPDATE session SET used = ? WHERE id = ?", (now, session.id))
        return session

    def of_user(self, user: str) -> list[Session]:
        """A person's sessions, the newest first."""
        return self._found("user = ?", user)

    def of_organisation(self, organisation: str) -> list[Session]:
        """The sessions of an organisation's people, the newest first."""
        return self._found("organisation = ?", organisation)

    def get(self, id_: str) -> Session | None:
        return next(iter(self._found("id = ?", id_)), None)

    def end(self, id_: str) -> None:
        """Ends a session; on disk when this returns. OutOfRoom where that cannot be written."""
        with self._writing():
            self._connection.execute("DELETE FROM session WHERE id = ?", (id_,))

    def close(self) -> None:
        self._connection.close()

    def _found(self, condition: str, value: str) -> list[Session]:
        rows: Iterable[Row] = self._connection.execute(
            f"SELECT {COLUMNS} FROM session WHERE {condition} ORDER BY began DESC, id DESC", (value,)
        )
        now = self._now()
        return [session for row in rows if self._lasts(session := self._session(row), now)]

    def _session(self, row: Row) -> Session:
        id_, user, organisation, identity, email, provider, began, used = row
        ends = began + self._life
        return Session(id_, user, organisation, Applicant(identity, email) if identity else None, provider, *map(_instant, (began, used, ends, min(ends, used + self._idle))))

    def _lasts(self, session: Session, now: float) -> bool:
        return now < session.idle_ends.timestamp()

    def _remove_ended(self) -> None:
        now = self._now()
        self._connection.execute("DELETE FROM session WHERE began <= ? OR used <= ?", (now - self._life, now - self._idle))

    def _writing(self) -> AbstractContextManager[None]:
        return writing(self._connection, log, "the sessions")

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _mark(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
