"""The query workers of one snapshot: started, lent, replaced, dismissed; the snapshot goes with the last of them.

Rules kept here: a worker never outlives its snapshot, nor a snapshot its last worker; there is one worker more
than queries run, so that a query whose neighbour was killed does not wait for a start; a worker that dies is
replaced, later and later when it dies at its start; a query that takes long gives way to those that do not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fmar_node.process import Child, End
from fmar_node.settings import Settings
from fmar_node.store.snapshot import discard

log = logging.getLogger("fmar.queries")

START_SECONDS = 30.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
NICENESS = 10
MODULE = "fmar_node.store.worker"


@dataclass(eq=False)
class Worker:
    """A worker that is ready; `index` is the journal index that its snapshot holds."""

    child: Child
    index: int
    ended: asyncio.Task[End]
    is_demoted: bool = False

    def demote(self) -> None:
        """Its query takes long: it gets a tenth of the time of others where there is not enough for all."""
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self.child.pid, NICENESS)
            self.is_demoted = True

    def is_promoted(self) -> bool:
        """Whether it has its priority back, which takes a right (RLIMIT_NICE) that not every node has."""
        if self.is_demoted:
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self.child.pid, os.getpriority(os.PRIO_PROCESS, 0))
                self.is_demoted = False
        return not self.is_demoted


def may_promote() -> bool:
    """Whether a worker that was demoted can have its priority back, so that it need not be replaced."""
    return os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_NICE)[0] >= 20 - os.getpriority(os.PRIO_PROCESS, 0)


async def hire(settings: Settings, snapshot: Path | None) -> tuple[Child, dict[str, object]]:
    """Start a worker; the child and what it says of itself (`ready`, `index`, `locked`), nothing when it died.

    What it writes when it dies may quote a query, so nobody hears it: how it ended is logged here.
    """
    child = await Child.start(MODULE, one_arena=True, is_mute=True)
    setup = {
        "snapshot": str(snapshot) if snapshot else "",
        "memory": settings.worker_memory_bytes,
        "must_lock": settings.require_sandbox,
    }
    try:
        async with asyncio.timeout(START_SECONDS):
            await child.send(setup)
            frame = await child.receive()
    except (TimeoutError, ConnectionError, EOFError, ValueError):
        frame = None
    except BaseException:
        child.kill()
        raise
    return child, frame[0] if frame else {}


class Crew:
    """The workers on one snapshot; `on_change` is called whenever one has become free, or has gone."""

    def __init__(self, settings: Settings, snapshot: Path, peak: int, on_change: Callable[[], None]) -> None:
        self.settings = settings
        self.snapshot = snapshot
        self.on_change = on_change
        self.expected = peak
        self.peak = 0
        self.index = -1
        self.lost = 0
        self.idle: list[Worker] = []
        self.members: set[Worker] = set()
        self.is_retired = False
        self.wanting = asyncio.Event()
        self.retiring = asyncio.Event()
        self.keeper = asyncio.create_task(self._keep())

    @property
    def size(self) -> int:
        """As many as queries have run at once, here or on the last snapshot, and one more."""
        return min(self.settings.query_workers + self.settings.query_heavy, max(self.peak, self.expected)) + 1

    @property
    def is_ready(self) -> bool:
        return bool(self.members)

    def lend(self) -> Worker | None:
        """An idle worker, if there is one."""
        if not self.idle:
            return None
        worker = self.idle.pop()
        self.peak = max(self.peak, len(self.members) - len(self.idle))
        self.wanting.set()
        return worker

    def give_back(self, worker: Worker) -> None:
        """The worker has answered and can answer again, or is replaced where it would be slow for ever."""
        if self.is_retired or not worker.is_promoted():
            worker.child.hang_up()
        elif worker in self.members:
            self.idle.append(worker)

    async def retire(self) -> None:
        """Dismiss the idle, let the busy finish, then remove the snapshot."""
        self.is_retired = True
        self.retiring.set()
        self.wanting.set()
        for worker in self.idle:
            worker.child.hang_up()
        self.idle.clear()
        await self.keeper
        while self.members:
            await asyncio.wait([worker.ended for worker in self.members])
            await asyncio.sleep(0)
        await asyncio.to_thread(discard, self.snapshot)

    def kill(self) -> None:
        """End everybody now."""
        for worker in self.members:
            worker.child.kill()

    async def _keep(self) -> None:
        pause = 0.0
        while not self.is_retired:
            if len(self.members) >= self.size:
                await self.wanting.wait()
                self.wanting.clear()
            elif await self._add():
                pause = 0.0
            else:
                pause = min(LONGEST_PAUSE, 2 * pause or FIRST_PAUSE)
                log.error("a query worker on %s died at its start; next try in %.1f s", self.snapshot.name, pause)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self.retiring.wait()

    async def _add(self) -> bool:
        child, said = await hire(self.settings, self.snapshot)
        if not said.get("ready"):
            child.kill()
            await child.wait()
            return False
        self.index = int(str(said["index"]))
        worker = Worker(child, self.index, asyncio.create_task(child.wait()))
        self.members.add(worker)
        worker.ended.add_done_callback(lambda _: self._gone(worker))
        if self.is_retired:
            child.hang_up()
        else:
            self.idle.append(worker)
        self.on_change()
        return True

    def _gone(self, worker: Worker) -> None:
        self.members.discard(worker)
        if worker in self.idle:
            log.warning("an idle query worker ended")
            self.lost += 1
            self.idle.remove(worker)
        self.wanting.set()
        self.on_change()
