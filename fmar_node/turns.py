"""Whose turn it is among those who wait for one of a few places: whoever was served longest ago.

Rules kept here: however much one party sends, the others do not wait for all of it; who has gone away meanwhile is passed over.
Pure bookkeeping: no clock, and nothing of what the places are.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(eq=False)
class Turn(Generic[T]):
    """A place in the queue; `granted` gets what is waited for."""

    party: str
    number: int = 0
    granted: asyncio.Future[T] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


W = TypeVar("W", bound=Turn)  # type: ignore[type-arg]


class Turns(Generic[W]):
    """Who waits, and who has a place; a turn is in one of the two until it has left."""

    def __init__(self) -> None:
        self.waiting: list[W] = []
        self.running: set[W] = set()
        self.served: dict[str, int] = {}
        self.numbers = itertools.count(1)

    def enter(self, turn: W) -> W:
        """To the end of the queue."""
        turn.number = next(self.numbers)
        self.waiting.append(turn)
        return turn

    def call(self, may: Callable[[W], bool] = lambda _: True) -> W | None:
        """The turn that is next, of those that may; it has a place from here on."""
        free = [turn for turn in self.waiting if not turn.granted.done() and may(turn)]
        if not free:
            return None
        turn = min(free, key=lambda each: (self.served.get(each.party, 0), each.number))
        self.waiting.remove(turn)
        self.running.add(turn)
        self.served[turn.party] = next(self.numbers)
        return turn

    def leave(self, turn: W) -> None:
        """The turn is over, or was given up while it waited."""
        self.running.discard(turn)
        if turn in self.waiting:
            self.waiting.remove(turn)
        present = {each.party for each in (*self.waiting, *self.running)}
        self.served = {party: number for party, number in self.served.items() if party in present}
