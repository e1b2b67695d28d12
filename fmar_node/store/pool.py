"""The query workers as the web process sees them: ask, and get bytes or a refusal.

Rules kept here: every query runs in a process that can be killed, on a snapshot, without a network; a new
snapshot gets new workers, the old ones finish what they are at; admission is fair between organisations and
bounded in every direction, a budget bounds what each uses; nothing here blocks the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fmar_node.errors import FmarError, Unavailable, counted
from fmar_node.settings import Settings
from fmar_node.store.admission import Admission, Place, too_many
from fmar_node.store.answer import HEAVY_SECONDS, Answer, Delivery, Query
from fmar_node.store.budget import Budget
from fmar_node.store.crew import Crew, Worker, hire, may_promote
from fmar_node.store.snapshot import discard
from fmar_node.vitals import SECONDS, Spread

__all__ = ["Answer", "Query", "QueryPool", "Status"]

log = logging.getLogger("fmar.queries")
KEPT = ("answered", "refused")
"""Ends of a query after which its worker goes on."""


@dataclass(frozen=True, slots=True)
class Status:
    """For readiness and metrics. `outcomes` counts queries since the start by how they ended, `restarts` workers that were replaced
    before their snapshot was."""

    workers: int
    running: int
    waiting: int
    snapshot: str
    index: int
    is_locked: bool
    outcomes: dict[str, int]
    restarts: int
    pids: tuple[int, ...]

    @property
    def is_ready(self) -> bool:
        return self.workers > 0


class QueryPool:
    """Query workers on the newest snapshot; `start`, then `use` every new snapshot, `run` queries, `close`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.admission: Admission[tuple[Crew, Worker]] = Admission(settings)
        self.budget = Budget(settings)
        self.outcomes: Counter[str] = Counter()
        self.lost = 0
        self.waits = Spread(SECONDS)
        """Seconds that queries waited for a worker, those that got none too."""
        self.crew: Crew | None = None
        self.wanted: Path | None = None
        self.is_locked = False
        self.is_closed = False
        self.changed = asyncio.Event()
        self.switcher: asyncio.Task[None] | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self.old: set[Crew] = set()

    @property
    def index(self) -> int:
        """The journal index that answers have now; -1 before the first snapshot."""
        return self.crew.index if self.crew else -1

    async def start(self) -> None:
        """Try the sandbox. Unavailable `sandbox-missing` when it is required and this machine cannot give it."""
        child, said = await hire(self.settings, None)
        await child.stop()
        self.is_locked = bool(said.get("locked"))
        if self.settings.require_sandbox and not self.is_locked:
            raise Unavailable("sandbox-missing", "a query worker could still open sockets after locking itself in")
        self.switcher = asyncio.create_task(self._switch())

    async def use(self, snapshot: Path) -> None:
        """Answer from this snapshot as soon as a worker on it is ready; does not wait for that.

        The pool owns the directory from here on, and removes it after its last worker; a name is never used twice.
        """
        if any(crew.snapshot == snapshot for crew in self._crews()):
            return
        skipped, self.wanted = self.wanted, snapshot
        if self.is_closed:
            skipped, self.wanted = snapshot, None
        if skipped and skipped != self.wanted:
            self._spawn(asyncio.to_thread(discard, skipped))
        self.changed.set()

    async def run(self, query: Query) -> Answer:
        """The answer, when its first bytes are there. FmarError for every refusal (see `answer`, `admission`, `budget`)."""
        self.budget.check(query.charged_to)
        turn, loop = self.admission.join(query.organisation, query.is_nameless), asyncio.get_running_loop()
        joined = loop.time()
        try:
            self._dispatch()
            crew, worker = await self._granted(turn)
        except BaseException as error:
            self._withdraw(turn)
            if isinstance(error, FmarError):
                self.outcomes[error.code] += 1
            raise
        finally:
            self.waits.add(loop.time() - joined)

        def release(worker: Worker, outcome: str) -> None:
            self.outcomes[outcome] += 1
            self.admission.leave(turn)
            if worker.child.is_running and outcome in KEPT:
                crew.give_back(worker)
            elif outcome not in KEPT:
                self.lost += 1
                log.warning("a query ended its worker: %s", outcome)
            self._dispatch()

        def give_way() -> None:
            worker.demote()
            turn.is_heavy = True
            self._dispatch()

        charge = partial(self.budget.charge, query.charged_to)
        is_known = self.budget.is_heavy(query.charged_to) and may_promote()
        return await Delivery(worker, query, self.settings, release, charge, give_way, 0.0 if is_known else HEAVY_SECONDS).begin()

    def status(self) -> Status:
        """How it stands now."""
        return Status(
            workers=len(self.crew.members) if self.crew else 0,
            running=len(self.admission.running),
            waiting=len(self.admission.waiting),
            snapshot=self.crew.snapshot.name if self.crew else "",
            index=self.index,
            is_locked=self.is_locked,
            outcomes=dict(self.outcomes),
            restarts=self.lost + (self.crew.lost if self.crew else 0),
            pids=tuple(worker.child.pid for crew in self._crews() for worker in crew.members),
        )

    async def close(self) -> None:
        """End all workers, running queries with them; their snapshots are removed."""
        self.is_closed = True
        if self.switcher:
            self.switcher.cancel()
            await asyncio.gather(self.switcher, return_exceptions=True)
        if self.wanted:
            self._spawn(asyncio.to_thread(discard, self.wanted))
        self._retire()
        for crew in self.old:
            crew.kill()
        while self.tasks:
            await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _granted(self, turn: Place[tuple[Crew, Worker]]) -> tuple[Crew, Worker]:
        if turn.granted.done():  # at once, as most are
            return turn.granted.result()
        try:
            async with asyncio.timeout(self.settings.query_queue_seconds):
                return await turn.granted
        except TimeoutError:
            if not self.status().workers:
                raise Unavailable("unavailable", "no query worker is ready yet", headers={"Retry-After": "1"}) from None
            raise too_many(self.settings, f"{self._why_not(turn)} within {self.settings.query_queue_seconds:g} seconds (query_queue_seconds)") from None

    def _why_not(self, turn: Place[tuple[Crew, Worker]]) -> str:
        """What a query has waited for in vain."""
        own = sum(other.party == turn.party for other in self.admission.running)
        if own >= self.settings.query_per_organisation:
            return f"{counted(own, 'query', 'queries')} of this organisation had not ended, as many as may run at once (query_per_organisation),"
        return "no worker became free"

    def _withdraw(self, turn: Place[tuple[Crew, Worker]]) -> None:
        self.admission.leave(turn)
        if turn.granted.done() and not turn.granted.cancelled():
            crew, worker = turn.granted.result()
            crew.give_back(worker)
        turn.granted.cancel()
        self._dispatch()

    def _dispatch(self) -> None:
        """Give idle workers to those whose turn it is."""
        while self.crew and self.crew.idle and (turn := self.admission.next()):
            if worker := self.crew.lend():
                turn.granted.set_result((self.crew, worker))

    def _on_change(self) -> None:
        self.changed.set()
        self._dispatch()

    async def _switch(self) -> None:
        """Follow the snapshots: a crew takes over when its first worker is ready, or makes way for a newer one."""
        while True:
            await self.changed.wait()
            self.changed.clear()
            if (snapshot := self.wanted) is None:
                continue
            self.wanted = None
            crew = Crew(self.settings, snapshot, self.crew.peak if self.crew else 1, self._on_change)
            try:
                while not crew.is_ready and self.wanted is None:
                    await self.changed.wait()
                    self.changed.clear()
            except asyncio.CancelledError:
                self._dismiss(crew)
                raise
            if not crew.is_ready:
                self._dismiss(crew)
                self.changed.set()
                continue
            self._retire()
            self.crew = crew
            self._on_change()

    def _crews(self) -> set[Crew]:
        return self.old | ({self.crew} if self.crew else set())

    def _retire(self) -> None:
        if self.crew:
            self._dismiss(self.crew)
            self.crew = None

    def _dismiss(self, crew: Crew) -> None:
        self.old.add(crew)
        self.lost += crew.lost

        async def wind_up() -> None:
            await crew.retire()
            self.old.discard(crew)

        self._spawn(wind_up())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
