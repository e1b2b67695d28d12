"""Tells subscribers of events: a courier for each subscription that is open, and what their owners ask of them.

Rules kept here: which subscriptions there are follows from the journal, and each has a courier for as long as it is open; no
request waits for any of this, and the web process never for a disk; a new secret is on disk before its record is, so that
nothing is ever sent that cannot be signed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from fmar_node.access.standing import Standings
from fmar_node.clock import Clock
from fmar_node.drafting import Submission
from fmar_node.feed import Feed, Pulse
from fmar_node.followers.courier import Courier, Desk
from fmar_node.followers.deliveries import Deliveries, Delivery
from fmar_node.followers.signature import new_secret
from fmar_node.journal.register import Register, Window
from fmar_node.kinds.subscription import ENDED
from fmar_node.record import Version
from fmar_node.settings import Settings
from fmar_node.vocabulary import Vocabulary

log = logging.getLogger("fmar.webhooks")
T = TypeVar("T")
PAGE = 100
BREATH_SECONDS = 0.05
"""Shortest time between two looks at the journal: entries that come in quick succession are told together."""
COUNT_SECONDS = 60.0
"""What waits and what is dead is counted so often."""


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret that was made for a subscription, and is not the one in force yet."""

    subscription: str
    number: int
    secret: str


class Webhooks:
    """The follower; `run` goes on until it is cancelled."""

    def __init__(
        self, register: Register, deliveries: Deliveries, vocabulary: Vocabulary, submit: Callable[[Submission], Awaitable[object]],
        settings: Settings, clock: Clock, calendar: Clock, pulse: Pulse,
    ) -> None:  # fmt: skip
        self.register, self.deliveries, self.pulse, self.settings = register, deliveries, pulse, settings
        self.thread = ThreadPoolExecutor(1, "webhooks")
        self.desk = Desk(Feed(register, vocabulary, settings.material_capacity_percent), Standings(register, calendar), deliveries, submit, self._do, settings, clock)
        self.couriers: dict[str, tuple[Courier, asyncio.Task[None]]] = {}
        self.newest = -1
        """The newest entry of a subscription that was looked at."""
        self.held = {"waiting": 0, "dead": 0}
        """Deliveries that wait, and dead letters, when they were last counted."""
        self.counted_at = float("-inf")

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.thread, work)

    @property
    def lag(self) -> int:
        """Entries of the journal that some subscription has not been looked through for yet."""
        return max((courier.lag for courier, _ in self.couriers.values()), default=0)

    async def run(self) -> None:
        size = 0
        while True:
            try:
                await self._look()
            except Exception:
                log.exception("the subscriptions could not be looked at; it is tried again")
                await asyncio.sleep(1.0)
            for courier, _ in self.couriers.values() if size != self.pulse.size else ():
                courier.wake()
            size = self.pulse.size
            await asyncio.sleep(BREATH_SECONDS)
            while not await self.pulse.wait(size - 1, COUNT_SECONDS):
                if asyncio.get_running_loop().time() - self.counted_at > COUNT_SECONDS:
                    break

    async def _look(self) -> None:
        """Couriers for the subscriptions that are open, where there are new ones; and the count, now and then."""
        for id_ in await self._do(self._opened):
            if id_ not in self.couriers or self.couriers[id_][1].done():
                courier = Courier(id_, self.desk)
                self.couriers[id_] = courier, asyncio.create_task(courier.run())
        self.couriers = {id_: each for id_, each in self.couriers.items() if not each[1].done()}
        now = asyncio.get_running_loop().time()
        if now - self.counted_at > COUNT_SECONDS:
            self.counted_at, self.held = now, await self._do(self._count)

    def _opened(self) -> list[str]:
        """The subscriptions that are open, where one of them is new or has changed. The first time, what is left of others is forgotten."""
        newest = self.register.newest_of("subscriptions")
        if newest == self.newest:
            return []
        found = [each.id for each in self._all() if each.state != ENDED]
        for id_ in self.deliveries.known() - set(found) if self.newest == -1 else ():
            self.deliveries.forget(id_)
        self.newest = newest
        return found

    def _all(self) -> list[Version]:
        found, after = list[Version](), ""
        while page := self.register.page("subscriptions", Window(everything=True), after, PAGE, {}):
            found, after = found + page, page[-1].id
        return found

    def _count(self) -> dict[str, int]:
        ids = list(self.couriers)
        return {"waiting": sum(map(self.deliveries.waiting, ids)), "dead": sum(map(self.deliveries.dead, ids))}

    # -- what owners ask for

    async def new_secret(self, subscription: str) -> NewSecret:
        """A secret for a subscription, on disk; it counts from now on, beside those before it."""
        secret = new_secret()
        return NewSecret(subscription, await self._do(partial(self.deliveries.add_secret, subscription, secret, self.desk.now)), secret)

    async def use(self, made: NewSecret) -> None:
        """The secret is the one in force; those before it end soon."""
        ends = self.desk.now + self.settings.webhook_secret_overlap_seconds
        await self._do(partial(self.deliveries.use_secret, made.subscription, made.number, ends))

    async def drop(self, made: NewSecret) -> None:
        await self._do(partial(self.deliveries.drop_secret, made.number))

    async def page(self, subscription: str, is_dead: bool, after: int, limit: int) -> list[Delivery]:
        """Deliveries that wait or are dead letters, in the order of the journal."""
        return await self._do(partial(self.deliveries.page, subscription, is_dead, after, limit))

    async def replay(self, subscription: str, entries: Sequence[int] | None) -> int:
        """Dead letters are delivered again, these or all; how many there were."""
        count = await self._do(partial(self.deliveries.replay, subscription, entries, self.desk.now))
        if subscription in self.couriers:
            self.couriers[subscription][0].wake()
        return count

    async def close(self) -> None:
        """Ends all couriers. Cancel `run` before."""
        tasks = [task for _, task in self.couriers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(RuntimeError):
            await self._do(self._close)
        self.thread.shutdown()

    def _close(self) -> None:
        self.register.connection.close()
        self.deliveries.close()
