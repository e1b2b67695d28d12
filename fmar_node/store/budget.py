"""How long the queries of an organisation may keep workers busy.

Rules kept here: a query is charged what its worker took for it, however it ended; who has used up its budget starts no
other query until some of it has come back; what is running goes on. Who has used much lately gives way to who has not.
"""

from __future__ import annotations

import math
import time

from fmar_node.allowance import Allowances
from fmar_node.errors import TooMany
from fmar_node.settings import Settings

MINUTE = 60.0
ENOUGH = 1.0
"""Seconds of a worker that have to be left for another query, lest a spent budget is nibbled at."""
LIGHT = 2.0
"""Seconds of a worker beyond what comes back that an organisation may use before its queries give way from their start."""


class Budget:
    """Worker seconds of a minute, by who pays."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.allowances = Allowances(settings.query_budget, MINUTE)
        self.enough = min(ENOUGH, settings.query_budget / 2)

    def check(self, payer: str) -> None:
        """TooMany `query-budget-spent` where there is nothing left."""
        now = time.monotonic()
        if self.allowances.left(payer, now) >= self.enough:
            return
        seconds = math.ceil(self.allowances.wait(payer, self.enough, now))
        detail = (
            f"queries of this caller have used their {self.settings.query_budget:g} seconds of query workers in a minute (query_budget); "
            f"there is some again in {seconds} s, and all of it after a minute without queries"
        )
        raise TooMany("query-budget-spent", detail, headers={"Retry-After": str(seconds)})

    def is_heavy(self, payer: str) -> bool:
        """Whether it has kept workers busy lately: its queries give way to others' from their start."""
        return self.allowances.left(payer, time.monotonic()) < self.settings.query_budget - LIGHT

    def charge(self, payer: str, seconds: float) -> None:
        self.allowances.charge(payer, seconds, time.monotonic())
