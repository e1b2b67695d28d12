"""What scorecards were, day by day: a file beside the register, worked out from the graph and from nothing else.

Rules kept here: a day's scores of a provider are kept once, as its own records had them; what an aggregate said first on a
day it says until the day has gone; the file holds figures and no values of records; a damaged one is made anew, without the
days that were in it. One thread uses it.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

log = logging.getLogger("fmar.quality")
FORMAT = 1
SCHEMA = f"""
CREATE TABLE daily (
    day TEXT NOT NULL,           -- xsd:date
    organisation TEXT NOT NULL,  -- UUID
    records INTEGER NOT NULL,
    scores TEXT NOT NULL,        -- JSON: dimension -> 0 to 100
    PRIMARY KEY (organisation, day)
) WITHOUT ROWID;
CREATE INDEX daily_day ON daily (day);
CREATE TABLE release (
    name TEXT PRIMARY KEY,       -- which card
    day TEXT NOT NULL,
    card TEXT NOT NULL           -- as it was told
) WITHOUT ROWID;
PRAGMA user_version = {FORMAT};
"""
Scored = tuple[int, dict[str, int]]
"""How many records, and their scores."""


class ScorecardFile:
    """The days in `file`, which is made where it is not there."""

    def __init__(self, file: Path, days: int) -> None:
        self.file, self.most = file, days
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self.connection = _opened(file)
        except sqlite3.DatabaseError as error:
            log.warning("%s is damaged and made anew, past scores are lost: %s", file, error)
            for name in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm"))):
                name.unlink(missing_ok=True)
            self.connection = _opened(file)

    def has(self, day: date) -> bool:
        return self.connection.execute("SELECT 1 FROM daily WHERE day = ?", (day.isoformat(),)).fetchone() is not None

    def keep(self, day: date, scored: Iterable[tuple[str, Scored]]) -> None:
        """The scores of organisations on a day; days beyond those that are kept go."""
        rows = [(day.isoformat(), organisation, records, json.dumps(scores, sort_keys=True)) for organisation, (records, scores) in scored]
        with self.connection:
            self.connection.executemany("INSERT OR REPLACE INTO daily VALUES (?, ?, ?, ?)", rows)
            self.connection.execute("DELETE FROM daily WHERE day < ?", ((day - timedelta(self.most)).isoformat(),))

    def days(self, organisation: str) -> list[tuple[str, Scored]]:
        """The scores of an organisation, oldest day first."""
        rows = self.connection.execute("SELECT day, records, scores FROM daily WHERE organisation = ? ORDER BY day", (organisation,))
        return [(day, (records, json.loads(scores))) for day, records, scores in rows]

    def released(self, name: str, day: date) -> Any:
        """What an aggregate has said on a day; None where it has said nothing yet."""
        row = self.connection.execute("SELECT card FROM release WHERE name = ? AND day = ?", (name, day.isoformat())).fetchone()
        return json.loads(row[0]) if row else None

    def release(self, name: str, day: date, card: Any) -> None:
        with self.connection:
            self.connection.execute("INSERT OR REPLACE INTO release VALUES (?, ?, ?)", (name, day.isoformat(), json.dumps(card)))

    def close(self) -> None:
        self.connection.close()


def _opened(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        if connection.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
            connection.executescript("DROP TABLE IF EXISTS daily; DROP TABLE IF EXISTS release;" + SCHEMA)
        connection.execute("SELECT count(*) FROM daily").fetchone()
    except BaseException:
        connection.close()
        raise
    file.chmod(0o600)
    return connection
