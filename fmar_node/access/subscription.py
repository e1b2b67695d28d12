"""The publications of others, read when they are needed and before they get old: the only I/O of credentials.

Rules kept here: of any number of questions that need the same publication at once, one asks for it and all wait for that
answer; a question is asked again when what it needed is there, or is known not to come; one that is given up ends nobody
else's waiting.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from fmar_node.access.fetch import FetchError, fetch
from fmar_node.access.issuer import Issuers
from fmar_node.access.jose import UnacceptableError
from fmar_node.access.publication import NotAtHandError, Publication
from fmar_node.clock import Clock
from fmar_node.errors import FmarError, Unavailable

log = logging.getLogger("fmar.access")
LOOK_SECONDS = 1.0
MOST_STEPS = 4
"""A credential needs a key set, a status list, and the key set again where that list has a new key."""
T = TypeVar("T")


class Subscriptions:
    """Reads what the issuers of one node publish."""

    def __init__(self, issuers: Issuers, seconds: float, clock: Clock) -> None:
        self.issuers, self.seconds, self.clock = issuers, seconds, clock
        self._running: dict[Publication[Any], asyncio.Task[None]] = {}
        self._keeper: asyncio.Task[None] | None = None

    async def settled(self, missing: NotAtHandError, ask: Callable[[], T]) -> T:
        """The answer to `ask`, which lacked a publication: that is read, and asked again. Unavailable where it never gets there."""
        for _ in range(MOST_STEPS):
            await self.read(missing.publication)
            try:
                return ask()
            except NotAtHandError as another:
                missing = another
        raise Unavailable("unavailable", f"{missing.publication.what} cannot be read at present", headers={"Retry-After": "5"})

    async def read(self, publication: Publication[Any]) -> None:
        """Reads it, or waits for whoever does; whether it worked, the publication knows."""
        await asyncio.shield(self._reading(publication))

    def start(self) -> None:
        """Begins to keep what is used up to date."""
        self._keeper = self._keeper or asyncio.create_task(self._keep())

    async def close(self) -> None:
        tasks = [task for task in (self._keeper, *self._running.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._keeper = None

    def _reading(self, publication: Publication[Any]) -> asyncio.Task[None]:
        if publication not in self._running:
            publication.ask(self.clock.now().timestamp())
            task = self._running[publication] = asyncio.create_task(self._read(publication))
            task.add_done_callback(lambda _: self._done(publication))
        return self._running[publication]

    def _done(self, publication: Publication[Any]) -> None:
        publication.is_being_asked = False
        self._running.pop(publication, None)

    async def _read(self, publication: Publication[Any]) -> None:
        try:
            body = await fetch(publication.uri, most=publication.most, seconds=self.seconds, accept=publication.accept, may_be_private=True)
            await self._take(publication, body)
        except (FetchError, UnacceptableError) as error:
            log.warning("%s was not read from %s: %s", publication.what, publication.uri, error)
        except FmarError as error:
            log.warning("%s was not read from %s: %s", publication.what, publication.uri, error.detail)

    async def _take(self, publication: Publication[Any], body: bytes) -> None:
        """A status list is signed by a key that may have to be read first."""
        try:
            publication.take(body, self.clock.now().timestamp())
        except NotAtHandError as missing:
            await self.read(missing.publication)
            with suppress(NotAtHandError):  # it was asked just now
                publication.take(body, self.clock.now().timestamp())

    async def _keep(self) -> None:
        while True:
            now = self.clock.now().timestamp()
            for publication in self.issuers.publications():
                if publication.is_due(now):
                    self._reading(publication)
            await asyncio.sleep(LOOK_SECONDS)
