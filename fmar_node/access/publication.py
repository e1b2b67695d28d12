"""What another party publishes, a key set or a status list: what it said last, and when it may be asked again. No I/O.

Rules kept here:
- what is fresh is used; what is older is asked for again first, by whoever may do I/O (`NotAtHandError` says so);
- it is asked at most once in `wait` seconds, whoever wants it and whatever for;
- while it cannot be read, what it said last is used up to `stale` seconds and never past its own end; then nobody knows, and
  the answer is Unavailable, never a guess;
- ages count from when the reading began.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fmar_node.errors import Unavailable

IDLE_SECONDS = 600.0
"""What nobody has used for so long is not kept up to date."""


@dataclass(frozen=True, slots=True)
class Edition:
    """What was published at one time. `ttl`: for how many seconds it may be used; `ends`: when it no longer counts."""

    ttl: float = math.inf
    ends: float = math.inf


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: how old it may be, how long before it is asked again, how old while it cannot be read."""

    fresh: float
    wait: float
    stale: float


T = TypeVar("T", bound=Edition)


class NotAtHandError(Exception):
    """A question needs a publication that has to be read first."""

    def __init__(self, publication: Publication[Any]) -> None:
        super().__init__(publication.what)
        self.publication = publication


class Publication(Generic[T]):
    """One key set or status list. `what` says to people which; `read` makes an edition of bytes, or raises UnacceptableError."""

    def __init__(self, what: str, uri: str, accept: str, most: int, patience: Patience, read: Callable[[bytes, T | None, float], T]) -> None:
        self.what, self.uri, self.accept, self.most, self.patience = what, uri, accept, most, patience
        self._read = read
        self._edition: T | None = None
        self._taken_at = self._asked_at = self._used_at = -math.inf
        self.is_being_asked = False

    def current(self, now: float) -> T:
        """What it says. NotAtHandError where it has to be read first, Unavailable where that has just failed."""
        self._used_at = now
        if self._edition is not None and self._is_younger(now, self.patience.fresh, self._edition):
            return self._edition
        if self.may_ask(now):
            raise NotAtHandError(self)
        if self._edition is not None and self._is_younger(now, self.patience.stale, None) and now < self._edition.ends:
            return self._edition
        wait = {"Retry-After": str(math.ceil(self.patience.wait))}
        raise Unavailable("unavailable", f"{self.what} cannot be read at present, and without it nobody knows whether this credential counts", headers=wait)

    def may_ask(self, now: float) -> bool:
        """Whether it may be asked now; also while somebody is asking, whose answer is everybody's."""
        return self.is_being_asked or not 0 <= now - self._asked_at < self.patience.wait

    def is_due(self, now: float) -> bool:
        """Whether it should be read again before anybody has to wait for it."""
        if self.is_being_asked or not self.may_ask(now) or now - self._used_at > IDLE_SECONDS:
            return False
        return self._edition is None or not self._is_younger(now, self.patience.fresh / 2, self._edition)

    def ask(self, now: float) -> None:
        """Somebody begins to read it."""
        self.is_being_asked, self._asked_at = True, now

    def take(self, body: bytes, now: float) -> None:
        """What was read. UnacceptableError where it is none, or older than what it said before; that is kept then."""
        self._edition = self._read(body, self._edition, now)
        self._taken_at = self._asked_at

    def _is_younger(self, now: float, most: float, edition: T | None) -> bool:
        seconds = min(most, max(edition.ttl, self.patience.wait)) if edition else most
        return 0 <= now - self._taken_at <= seconds and (edition is None or now < edition.ends)
