"""Once a day: the scores of every provider, as its own records have them, for the file that scorecards over time are told from.

Rules kept here: a day is kept once everything in the graph was measured on it; what could not be asked is asked again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import date

from fmar_node.checks.quality import packaged_rules
from fmar_node.errors import FmarError
from fmar_node.record import uuid_of
from fmar_node.scorecard import Scorecards
from fmar_node.scorecard_file import ScorecardFile

log = logging.getLogger("fmar.quality")
SECONDS = 20.0


class Daily:
    """Keeps days in a file."""

    def __init__(self, scorecards: Scorecards, file: ScorecardFile, day: Callable[[], date]) -> None:
        self.scorecards, self.file, self.day = scorecards, file, day

    async def run(self) -> None:
        """Looks three times a minute, until it is cancelled."""
        await asyncio.to_thread(packaged_rules)
        while True:
            try:
                await self.keep()
            except FmarError as error:
                log.info("the scores of the day could not be asked for; they are asked for again: %s", error.code)
            await asyncio.sleep(SECONDS)

    async def keep(self) -> bool:
        """Keeps today, where it can be and is not kept yet; whether it was."""
        day = self.day()
        if self.file.has(day) or await self.scorecards.measured_on() != day.isoformat():
            return False
        rows = await self.scorecards.of_everybody(packaged_rules())
        self.file.keep(day, [(uuid_of(row.key), (row.records, dict(row.scores))) for row in rows if row.key])
        return True
