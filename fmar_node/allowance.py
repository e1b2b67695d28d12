"""Allowances: so much at once, and as much again in so many seconds, for each of many callers.

Rules kept here: what was used comes back evenly, so that nobody waits for a clock's minute to turn; an operation costs the
same however much was used; memory is bounded, and those who have all of theirs are the first to be forgotten. Pure: the
time is given, in seconds of any clock that does not go back.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

MOST = 100_000
"""Callers that are remembered at once."""


@dataclass(slots=True)
class Purse:
    """What a key had left at an instant; below 0 where more was charged than there was."""

    left: float
    at: float


class Allowances:
    """`quota` for each key in `seconds`; a quota of 0 is no limit."""

    def __init__(self, quota: float, seconds: float, most: int = MOST) -> None:
        self.quota, self.seconds, self.most = quota, seconds, most
        self.rate = quota / seconds
        self.purses: OrderedDict[str, Purse] = OrderedDict()

    def purse(self, key: str, now: float) -> Purse:
        """What the key has now; what is taken out of it is taken for good. It is current for as long as `now` is."""
        purse = self.purses.get(key)
        if purse is None:
            return self._new(key, now)
        left = purse.left + (now - purse.at) * self.rate
        purse.left, purse.at = left if left < self.quota else self.quota, now
        self.purses.move_to_end(key)
        return purse

    def left(self, key: str, now: float) -> float:
        """What the key may use now; nothing is kept of one that has used nothing."""
        purse = self.purses.get(key)
        if purse is None:
            return self.quota or math.inf
        return min(self.quota, purse.left + (now - purse.at) * self.rate)

    def take(self, key: str, amount: float, now: float) -> bool:
        """Whether there was as much left; nothing is taken where there was not."""
        purse = self.purse(key, now)
        if purse.left < amount:
            return False
        purse.left -= amount
        return True

    def charge(self, key: str, amount: float, now: float) -> None:
        """Takes what has been used already, whether or not there is as much."""
        self.purse(key, now).left -= amount

    def wait(self, key: str, amount: float, now: float) -> float:
        """Seconds until so much is left."""
        return max(0.0, amount - self.left(key, now)) / self.rate if self.quota else 0.0

    def _new(self, key: str, now: float) -> Purse:
        if not self.quota:
            return Purse(math.inf, now)
        if len(self.purses) >= self.most:
            self._forget(now)
        purse = self.purses[key] = Purse(self.quota, now)
        return purse

    def _forget(self, now: float) -> None:
        """Those who have all of theirs; where there is none, those who used theirs longest ago."""
        for key in [key for key in self.purses if self.left(key, now) >= self.quota]:
            del self.purses[key]
        while len(self.purses) > self.most * 3 // 4:
            self.purses.popitem(last=False)
