"""Whose query is next: a bounded queue, with places for queries that run and some more for those that run long.

Rules kept here: an organisation runs at most so many queries at once and has at most so many waiting, however
many it sends; among those who may run, the organisation that was served longest ago goes first; nobody waits
in a queue that is full; a query that turns out to be heavy makes room for the next one and goes on in a place of
the heavy, as long as there is one. Pure bookkeeping: no worker, no clock.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fmar_node.errors import TooMany
from fmar_node.settings import Settings

T = TypeVar("T")


@dataclass(eq=False)
class Turn(Generic[T]):
    """A place in the queue; `granted` gets what the query runs on."""

    organisation: str
    number: int
    granted: asyncio.Future[T] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    is_heavy: bool = False
    is_nameless: bool = False
    """Whether nobody is known who asks: of all of these together one place stays free for those who have a name."""


class Admission(Generic[T]):
    """The queue and who is running."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.waiting: list[Turn[T]] = []
        self.running: set[Turn[T]] = set()
        self.served: dict[str, int] = {}
        self.numbers = itertools.count(1)

    def join(self, organisation: str, is_nameless: bool = False) -> Turn[T]:
        """A place at the end of the queue. TooMany when the queue, or this organisation's part of it, is full."""
        waiting = sum(turn.organisation == organisation for turn in self.waiting)
        if len(self.waiting) >= self.settings.query_queue:
            raise too_many(self.settings, f"{len(self.waiting)} queries are waiting, as many as may (query_queue)")
        if waiting >= self.settings.query_queue_per_organisation:
            raise too_many(self.settings, f"{waiting} queries of this organisation are waiting, as many as may (query_queue_per_organisation)")
        turn: Turn[T] = Turn(organisation, next(self.numbers), is_nameless=is_nameless)
        self.waiting.append(turn)
        return turn

    def next(self) -> Turn[T] | None:
        """The turn that may run now, or None; it counts as running from here on."""
        heavy = sum(turn.is_heavy for turn in self.running)
        if len(self.running) - min(heavy, self.settings.query_heavy) >= self.settings.query_workers:
            return None
        busy = Counter(turn.organisation for turn in self.running)
        most = self.settings.query_per_organisation
        nameless = sum(turn.is_nameless for turn in self.running)
        is_full = nameless >= max(1, self.settings.query_workers + self.settings.query_heavy - 1)
        free = [turn for turn in self.waiting if busy[turn.organisation] < most and not turn.granted.done() and not (is_full and turn.is_nameless)]
        if not free:
            return None
        turn = min(free, key=lambda each: (self.served.get(each.organisation, 0), each.number))
        self.waiting.remove(turn)
        self.running.add(turn)
        self.served[turn.organisation] = next(self.numbers)
        return turn

    def leave(self, turn: Turn[T]) -> None:
        """The turn is over, or was given up while it waited."""
        self.running.discard(turn)
        if turn in self.waiting:
            self.waiting.remove(turn)
        present = {each.organisation for each in (*self.waiting, *self.running)}
        self.served = {name: number for name, number in self.served.items() if name in present}


def too_many(settings: Settings, detail: str) -> TooMany:
    """The refusal, with a Retry-After of one queue's length."""
    return TooMany("too-many-requests", detail, headers={"Retry-After": str(max(1, round(settings.query_queue_seconds)))})
