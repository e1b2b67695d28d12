"""Who goes first in the web process: those who have little under way before those who have much.

Rules kept here: a caller's first request goes straight on; what it sends beside it, or when it has used up most of its
allowance, waits while first requests of others are under way, but never longer than a few milliseconds; of what waits, one goes on in a turn of the loop, and long work of it by steps, so that whoever comes meanwhile waits for one step and
not for all that there is to do.
"""

from __future__ import annotations

import asyncio
from collections import deque

PATIENCE = 0.005
"""Seconds: longest wait of a request, and the time for which a first request is waited for."""

TURNS = 1000
"""Turns of the loop in a second, as its clock counts them: one that takes longer keeps the time of its start (uvloop)."""


class Lanes:
    """Requests under way, and those that let others go first. For one event loop."""

    def __init__(self) -> None:
        self.under_way: dict[str, int] = {}
        self.first: dict[int, float] = {}
        """First requests under way, and until when they are waited for; the oldest first."""
        self.waiting: deque[tuple[asyncio.Future[None], float]] = deque()
        self.number = self.turn = 0
        self.begun: set[str] = set()
        """Those of whom a request went straight on in this turn; another one does not, even where the first is over."""
        self.timer: asyncio.Handle | None = None

    async def enter(self, caller: str, is_first: bool) -> int:
        """Waits for its turn; what it returns is given to `leave`."""
        count = self.under_way.get(caller, 0)
        self.under_way[caller] = count + 1
        number = self.number = self.number + 1
        now = asyncio.get_running_loop().time()
        if (turn := int(now * TURNS)) != self.turn:
            self.turn = turn
            self.begun.clear()
        if is_first and not count and caller not in self.begun:
            self.begun.add(caller)
            self.first[number] = now + PATIENCE
            return number
        try:
            await self.step()
        except BaseException:
            self._less(caller)
            raise
        return number

    def is_first(self, number: int) -> bool:
        return number in self.first

    async def step(self) -> None:
        """Waits for the turn of a request that lets others go first: one in a turn of the loop, none while a first one is under way."""
        loop = asyncio.get_running_loop()
        if not self.first and not self.timer:
            self.timer = loop.call_soon(self._next)
            return
        turn: asyncio.Future[None] = loop.create_future()
        self.waiting.append((turn, loop.time() + PATIENCE))
        if self.timer is None:
            self.timer = loop.call_later(PATIENCE / 5, self._next)
        await turn

    def leave(self, caller: str, number: int) -> None:
        """The request is over."""
        self._less(caller)
        if self.first.pop(number, None) and not self.first and self.waiting:
            self._soon()

    def _less(self, caller: str) -> None:
        if (count := self.under_way[caller]) > 1:
            self.under_way[caller] = count - 1
        else:
            del self.under_way[caller]

    def _soon(self) -> None:
        if self.timer:
            self.timer.cancel()
        self.timer = asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Lets one go on, where nobody goes before it or it has waited long enough; looks again in the next turn, or soon."""
        self.timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self.waiting and self.waiting[0][0].done():
            self.waiting.popleft()
        if not self.waiting:
            return
        is_free = all(until < now for until in self.first.values())
        if is_free or self.waiting[0][1] <= now:
            turn, _ = self.waiting.popleft()
            turn.set_result(None)
            self.timer = loop.call_soon(self._next) if self.waiting else None
        else:
            self.timer = loop.call_later(PATIENCE / 5, self._next)
