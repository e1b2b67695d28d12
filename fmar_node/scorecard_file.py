"""What scorecards were, day by day: a file beside the register, worked out from the graph and from nothing else.

Rules kept here: a day's scores of a provider are kept once, as its own records had them; what an aggregate said first on a
day it says until the day has gone; the file holds figures and no values of records; a damaged one is made anew, without the
days that were in it. One thread uses it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from fmar_node.state_file import opened_or_anew, writing

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
        self.connection = opened_or_anew(file, SCHEMA, FORMAT, log, "past scores are lost")

    def has(self, day: date) -> bool:
        return self.connection.execute("SELECT 1 FROM daily WHERE day = ?", (day.isoformat(),)).fetchone() is not None

    def keep(self, day: date, scored: Iterable[tuple[str, Scored]]) -> None:
        """The scores of organisations on a day; days beyond those that are kept go."""
        rows = [(day.isoformat(), organisation, records, json.dumps(scores, sort_keys=True)) for organisation, (records, scores) in scored]
        with writing(self.connection, log, "the scorecards"):
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
        with writing(self.connection, log, "the scorecards"):
            self.connection.execute("INSERT OR REPLACE INTO release VALUES (?, ?, ?)", (name, day.isoformat(), json.dumps(card)))

    def close(self) -> None:
        self.connection.close()
