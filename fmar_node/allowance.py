"""Allowances: so much at once, and as much again in so many seconds, for each of many callers.

Rules kept here: what was used comes back evenly, so that nobody waits for a clock's minute to turn; an operation costs the
same however much was used; memory is bounded, and those who have all of theirs are the first to be forgotten. Pure: the
time is given, in seconds of any clock that does not go back.
"""

from __future__ import annotations

import math
from collections import OrderedDict

MOST = 100_000
"""Callers that are remembered at once."""


class Allowances:
    """`quota` for each key in `seconds`; a quota of 0 is no limit."""

    def __init__(self, quota: float, seconds: float, most: int = MOST) -> None:
        self.quota, self.seconds, self.most = quota, seconds, most
        self.used: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What a key had left, and when that was."""

    def left(self, key: str, now: float) -> float:
        """What the key may use now; below 0 where more was charged than there was."""
        if not self.quota:
            return math.inf
        left, at = self.used.get(key, (self.quota, now))
        return min(self.quota, left + (now - at) * self.quota / self.seconds)

    def take(self, key: str, amount: float, now: float) -> bool:
        """Whether there was as much left; nothing is taken where there was not."""
        if (left := self.left(key, now)) < amount:
            return False
        self._set(key, left - amount, now)
        return True

    def charge(self, key: str, amount: float, now: float) -> None:
        """Takes what has been used already, whether or not there is as much."""
        self._set(key, self.left(key, now) - amount, now)

    def wait(self, key: str, amount: float, now: float) -> float:
        """Seconds until so much is left."""
        return max(0.0, amount - self.left(key, now)) * self.seconds / self.quota if self.quota else 0.0

    def _set(self, key: str, left: float, now: float) -> None:
        if not self.quota:
            return
        self.used[key] = left, now
        self.used.move_to_end(key)
        if len(self.used) > self.most:
            self._forget(now)

    def _forget(self, now: float) -> None:
        """Those who have all of theirs; where there is none, those who used theirs longest ago."""
        for key in [key for key in self.used if self.left(key, now) >= self.quota]:
            del self.used[key]
        while len(self.used) > self.most * 3 // 4:
            self.used.popitem(last=False)
