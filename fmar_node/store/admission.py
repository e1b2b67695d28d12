"""Whose query is next: a bounded queue, with places for queries that run and some more for those that run long.

Rules kept here: a party runs at most so many queries at once and has at most so many waiting, however
many it sends; among those who may run, the party that was served longest ago goes first (`turns`); nobody waits
in a queue that is full; a query that turns out to be heavy makes room for the next one and goes on in a place of
the heavy, as long as there is one; of those without a name all together do not take the last place. Pure
bookkeeping: no worker, no clock.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Generic, TypeVar

from fmar_node.errors import TooMany
from fmar_node.settings import Settings
from fmar_node.turns import Turn, Turns

T = TypeVar("T")


@dataclass(eq=False)
class Place(Turn[T]):
    """A query's turn; `granted` gets what it runs on. `is_nameless`: nobody is known who asks."""

    is_heavy: bool = False
    is_nameless: bool = False


class Admission(Turns[Place[T]], Generic[T]):
    """The queue of queries and those that run."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    def join(self, party: str, is_nameless: bool = False) -> Place[T]:
        """A place at the end of the queue. TooMany when the queue, or this party's part of it, is full."""
        waiting = sum(turn.party == party for turn in self.waiting)
        if len(self.waiting) >= self.settings.query_queue:
            raise too_many(self.settings, f"{len(self.waiting)} queries are waiting, as many as may (query_queue)")
        if waiting >= self.settings.query_queue_per_organisation:
            raise too_many(self.settings, f"{waiting} queries of this organisation are waiting, as many as may (query_queue_per_organisation)")
        return self.enter(Place(party, is_nameless=is_nameless))

    def next(self) -> Place[T] | None:
        """The turn that may run now, or None; it counts as running from here on."""
        workers, places = self.settings.query_workers, self.settings.query_heavy
        if len(self.running) - min(sum(turn.is_heavy for turn in self.running), places) >= workers:
            return None
        busy, most = Counter(turn.party for turn in self.running), self.settings.query_per_organisation
        is_last = sum(turn.is_nameless for turn in self.running) >= max(1, workers + places - 1)
        return self.call(lambda turn: busy[turn.party] < most and not (is_last and turn.is_nameless))


def too_many(settings: Settings, detail: str) -> TooMany:
    """The refusal, with a Retry-After of one queue's length."""
    return TooMany("too-many-requests", detail, headers={"Retry-After": str(max(1, round(settings.query_queue_seconds)))})
