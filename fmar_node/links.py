"""The node's ends of its child processes: the writer, and the warm judges. Both are supervised.

Rules kept here: a child that dies costs at most the requests it was working on (they are told that nothing is known
of their outcome), never the node; it is replaced at once, slower when it keeps dying; a document that breaks a judge is
refused, a document whose judge was killed by somebody else is judged once more; a writer tells of itself every second,
and one that has fallen silent is killed: an engine that hangs may stop every thread of its process.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from fmar_node.drafting import Submission
from fmar_node.errors import Fault, FmarError, Invalid, TooMany, Unavailable, by_name
from fmar_node.frames import Frame, Header
from fmar_node.judge import AT_HAND, Judgement, Paper, fault_from_json
from fmar_node.process import Child, End
from fmar_node.record import Receipt
from fmar_node.settings import Settings
from fmar_node.turns import Turn, Turns
from fmar_node.vitals import Vitals
from fmar_node.vocabulary import Vocabulary

log = logging.getLogger("fmar.node")
FIRST_PAUSE, SLOWEST_RESTART = 0.1, 10.0
LONG_LIFE = 5.0
"""Seconds after which a child that ends was no bad start."""
TROUBLE = (FmarError, OSError, EOFError, ValueError)
"""What may go wrong where a child is started."""


def error_from_json(value: Mapping[str, Any]) -> FmarError:
    """A coded refusal that came from another process."""
    faults: tuple[Fault, ...] = tuple(fault_from_json(each) for each in value["faults"])
    return by_name(value["class"])(value["code"], value["detail"], faults, dict(value["members"]), dict(value["headers"]))


class WriterLink:
    """The writer process: commits by order number, events for snapshots."""

    def __init__(self, data: str, settings: Settings, on_snapshot: Callable[[str], Awaitable[None]]) -> None:
        self.data, self.settings, self.on_snapshot = data, settings, on_snapshot
        self.child: Child | None = None
        self.waiting: dict[int, asyncio.Future[Header]] = {}
        self.numbers = itertools.count()
        self.supervisor: asyncio.Task[None] | None = None
        self.is_ending = False
        self.vitals = Vitals()
        """What the writer said of itself last."""
        self.restarts = 0

    async def start(self) -> None:
        """Starts the writer and waits until it is ready; its refusal is raised here."""
        await self._begin(is_first=True)
        self.supervisor = asyncio.create_task(self._supervise())

    async def _begin(self, is_first: bool = False) -> None:
        child = await Child.start("fmar_node.writer", self.data)
        await child.send({"settings": self.settings.model_dump(), "is_first": is_first})
        frame = await child.receive()
        if frame is None or frame[0].get("event") != "ready":
            await child.stop()
            raise error_from_json(frame[0]["refusal"]) if frame else Unavailable("unavailable", "the writer did not start; see the log")
        self.child = child

    async def _supervise(self) -> None:
        pause = FIRST_PAUSE
        while True:
            await self._listen()
            self._fail_waiting()
            if self.is_ending:
                return
            log.error("the writer ended; starting another")
            self.restarts += 1
            while not self.is_ending:
                try:
                    await self._begin()
                    pause = FIRST_PAUSE
                    break
                except TROUBLE as error:
                    log.error("the writer does not start: %s", error)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, SLOWEST_RESTART)

    async def _listen(self) -> None:
        assert self.child is not None
        child = self.child
        try:
            while (frame := await self._heard(child)) is not None:
                header = frame[0]
                if header.get("event") == "snapshot":
                    await self.on_snapshot(header["path"])
                elif header.get("event") == "vitals":
                    self.vitals = Vitals.from_json(header["vitals"])
                elif (future := self.waiting.pop(header.get("id", -1), None)) and not future.done():
                    future.set_result(header)
        except TimeoutError:
            log.error("the writer has said nothing of itself for %s s; it is killed", self.settings.writer_silence_seconds)
            child.kill()
        except (EOFError, ValueError, OSError) as error:
            log.error("the writer's socket: %s", error)
        self.child = None
        await child.stop()

    async def _heard(self, child: Child) -> Frame | None:
        """The next frame; TimeoutError where there is none for too long."""
        async with asyncio.timeout(self.settings.writer_silence_seconds):
            return await child.receive()

    def _fail_waiting(self) -> None:
        for future in self.waiting.values():
            if not future.done():
                detail = "the writer ended before it answered; repeat the request with the same Idempotency-Key"
                future.set_exception(Unavailable("unavailable", detail, headers={"Retry-After": "1"}))
        self.waiting.clear()

    @property
    def is_ready(self) -> bool:
        return self.child is not None

    async def commit(self, submission: Submission, judgement: Judgement) -> Receipt:
        """The receipt after the journal's commit; FmarError for a refusal."""
        if self.child is None:
            raise Unavailable("unavailable", "the writer is restarting; nothing was written", headers={"Retry-After": "1"})
        number = next(self.numbers)
        future: asyncio.Future[Header] = asyncio.get_running_loop().create_future()
        self.waiting[number] = future
        order = {"id": number, "submission": submission.as_json(), "judgement": judgement.as_json()}
        try:
            await self.child.send(order, submission.body)
            answer = await asyncio.shield(future)
        except ConnectionError as error:
            self.waiting.pop(number, None)
            raise Unavailable("unavailable", "the writer is restarting", headers={"Retry-After": "1"}) from error
        if "refusal" in answer:
            raise error_from_json(answer["refusal"])
        return Receipt.from_json(answer["receipt"])

    async def want(self, index: int) -> None:
        """Tells the writer that a query waits for a snapshot that holds this entry."""
        with suppress(ConnectionError):  # a writer that starts makes a snapshot first of all
            if self.child:
                await self.child.send({"wanted": index})

    async def close(self) -> None:
        """The writer finishes what it has and ends."""
        self.is_ending = True
        if self.child:
            self.child.hang_up()
            await self.child.stop(seconds=10)
        if self.supervisor:
            await asyncio.wait([self.supervisor], timeout=5)
            self.supervisor.cancel()


class JudgePool:
    """Warm judge processes; each judges one document at a time, and is replaced when it has ended, whatever it was doing.

    Among those who wait, whoever was served longest ago is next: one party's slow documents do not stop all others'. A judge is
    given a release before the first paper that names it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.idle: list[Child] = []
        self.members: set[Child] = set()
        self.turns: Turns[Turn[Child]] = Turns()
        self.keepers: set[asyncio.Task[None]] = set()
        self.is_ending = False
        self.restarts = 0
        self.releases: dict[str, bytes] = {}
        """The files of the releases that papers may name, beside the packaged one."""
        self.given: dict[Child, list[str]] = {}
        """Which of them each judge has, the last given last."""

    @property
    def waiting(self) -> int:
        """Documents that wait for a judge."""
        return len(self.turns.waiting)

    @property
    def count(self) -> int:
        """Judges that run."""
        return sum(child.is_running for child in self.members)

    async def start(self) -> None:
        """Waits for the first judge; the others start while it works."""
        first = await self._made()
        self._look_after(self._keep(first))
        for _ in range(self.settings.judges - 1):
            self._look_after(self._keep())

    async def _made(self) -> Child:
        child = await Child.start("fmar_node.judge")
        await child.send({"settings": self.settings.model_dump()}, b"")
        if await child.receive() is None:
            raise Unavailable("unavailable", "a judge process did not start; see the log")
        for release in self.releases:
            await self._give(child, release)
        return child

    def know(self, releases: Iterable[Vocabulary]) -> None:
        """From here on papers name these releases, or the packaged one."""
        self.releases = {each.release: self.releases.get(each.release) or json.dumps(dict(each.files)).encode() for each in releases if each.files}

    async def warm(self) -> None:
        """Gives the judges that have nothing to do what they will need."""
        for child in list(self.idle):
            if child in self.idle:
                self.idle.remove(child)
                try:
                    for release in self.releases:
                        await self._give(child, release)
                except (TimeoutError, OSError, EOFError):
                    await child.stop(seconds=0)
                else:
                    self._offer(child)

    async def _give(self, child: Child, release: str) -> None:
        """The judge has a release when this returns. ConnectionError or EOFError where it has ended, TimeoutError where it is too slow."""
        at_hand = self.given.setdefault(child, [])
        if release in self.releases and release not in at_hand:
            async with asyncio.timeout(self.settings.release_seconds):
                await child.send({"release": release}, self.releases[release])
                if await child.receive() is None:
                    raise EOFError("the judge ended over a release")
            self.given[child] = [*at_hand, release][-AT_HAND:]

    async def _keep(self, child: Child | None = None) -> None:
        """One judge at work, and another one whenever it has ended; later and later where they do not live long."""
        pause = FIRST_PAUSE
        while True:
            child, started = child or await self._insist(), time.monotonic()
            self.members.add(child)
            self._offer(child)
            await child.wait()
            self._forget(child)
            if self.is_ending:
                return
            log.warning("a judge ended")
            self.restarts += 1
            pause = FIRST_PAUSE if time.monotonic() - started > LONG_LIFE else min(2 * pause, SLOWEST_RESTART)
            child = None
            await asyncio.sleep(pause)

    def _forget(self, ended: Child) -> None:
        self.members.discard(ended)
        self.given.pop(ended, None)
        if ended in self.idle:
            self.idle.remove(ended)

    def _offer(self, child: Child) -> None:
        """The judge has nothing to do: whoever's turn it is gets it."""
        self.idle.append(child)
        self._deal()

    def _deal(self) -> None:
        while self.idle:
            if not self.idle[0].is_running:
                self.idle.pop(0).hang_up()
            elif turn := self.turns.call():
                turn.granted.set_result(self.idle.pop(0))
            else:
                return

    async def _insist(self) -> Child:
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._made()
            except TROUBLE as error:
                log.error("a judge does not start: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, SLOWEST_RESTART)

    def _look_after(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.keepers.add(task)
        task.add_done_callback(self.keepers.discard)

    async def judge(self, paper: Paper, party: str = "") -> Judgement:
        """The judgement of a party's document; FmarError for a refusal. Where the judge was killed meanwhile, another one tries, once."""
        frame = await self._ask(paper, party) or await self._ask(paper, party)
        if frame is None:
            raise Unavailable("unavailable", "the judges are restarting; nothing was written", headers={"Retry-After": "1"})
        answer = frame[0]
        if "refusal" in answer:
            raise error_from_json(answer["refusal"])
        return Judgement.from_json(answer["judgement"])

    async def _ask(self, paper: Paper, party: str) -> Frame | None:
        """One judge's answer; None when the judge was killed, Invalid when the document was too much for it."""
        header = asdict(paper)
        body = header.pop("body")
        header["today"] = paper.today.isoformat()
        turn = await self._turn(party)
        child = turn.granted.result()
        frame, is_late = None, False
        try:
            for release in (paper.shadow, paper.release):  # of too many, those go that came first
                await self._give(child, release)
            async with asyncio.timeout(self.settings.release_seconds if paper.kind == "releases" else self.settings.judge_seconds):
                await child.send({"paper": header}, body)
                frame = await child.receive()
        except TimeoutError:
            is_late = True
        except (EOFError, OSError):  # it has ended; how, is found out below
            frame = None
        finally:
            self.turns.leave(turn)
            if frame is None:
                child.is_condemned = True
                end = await child.stop(seconds=0 if is_late else 1)
            else:
                self._offer(child)
        if frame is None and (is_late or end is not End.KILLED):
            raise Invalid("validation-failed", "this document could not be judged within the limits of this node")
        return frame

    async def _turn(self, party: str) -> Turn[Child]:
        """A turn that has been granted a judge; TooMany when too many wait for one, Unavailable when none becomes free."""
        if self.waiting >= self.settings.judge_queue:
            raise TooMany("too-many-requests", "too many documents wait for judgement", headers={"Retry-After": "1"})
        turn = self.turns.enter(Turn(party))
        self._deal()
        try:
            async with asyncio.timeout(self.settings.judge_seconds):
                await turn.granted
        except BaseException as error:
            self._withdraw(turn)
            if isinstance(error, TimeoutError):
                raise Unavailable("unavailable", "no judge became free; nothing was written", headers={"Retry-After": "1"}) from None
            raise
        return turn

    def _withdraw(self, turn: Turn[Child]) -> None:
        self.turns.leave(turn)
        if turn.granted.done() and not turn.granted.cancelled():
            self._offer(turn.granted.result())

    async def close(self) -> None:
        self.is_ending = True
        for child in tuple(self.members):
            child.hang_up()
        for child in tuple(self.members):
            await child.stop(seconds=1)
        for task in self.keepers:
            task.cancel()
