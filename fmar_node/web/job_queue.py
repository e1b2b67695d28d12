"""The jobs of a node at work: which one begins next, its rows, its results, and how it goes on after a crash.

Rules kept here: a job is its request sent again from disk, through the very path of a batch, in the name of whoever sent it,
with the rights that this one has when a row's turn comes; its rows let others go first; no two jobs of one party run at once, so
that a party with many does not keep others waiting; a line of results is written when its row has been answered, and what has a
line is not done again; rows that a crash has cut off are known by their idempotency keys; a job that is cancelled, or whose node
stops, ends with the rows that are under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import FileIO
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message

from fmar_node.errors import FmarError, OutOfRoom
from fmar_node.job import Job, State, outcome_of
from fmar_node.node import Node
from fmar_node.representation import LD_JSON
from fmar_node.web.batch import TOGETHER, Batch, line_of, rows_sent
from fmar_node.web.exchange import Exchange
from fmar_node.web.noted import Noted
from fmar_node.web.problems import problem
from fmar_node.web.profile import meant, profile_of
from fmar_node.web.records import Records
from fmar_node.web.template import Row
from fmar_node.web.upsert import upsert_term

log = logging.getLogger("fmar.jobs")
CHUNK = 65_536
PATIENCE = 300.0
"""Seconds for which a row is tried again while the node cannot do it."""


@dataclass(eq=False)
class Body:
    """The body of a job, read as if it came over the network."""

    file: FileIO
    read: int = 0
    is_whole: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self) -> Message:
        if self.is_whole:
            await self.gone.wait()
            return {"type": "http.disconnect"}
        chunk = await asyncio.to_thread(self.file.read, CHUNK) or b""
        self.read += len(chunk)
        self.is_whole = not chunk
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}


@dataclass(eq=False)
class Run:
    """A job at work. `changed` is set, and exchanged for another one, with every result and at the end."""

    job: Job
    tally: Counter[str]
    task: asyncio.Task[None] | None = None
    body: Body | None = None
    is_cancelled: bool = False
    refused: FmarError | None = None
    """Why the rest of the rows could not be read."""
    again: set[int] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    @property
    def bytes_read(self) -> int:
        return self.body.read if self.body else 0


class JobQueue:
    """The jobs of a node that wait and run."""

    def __init__(self, node: Node, room: Records) -> None:
        self.node, self.room = node, room
        self.app: ASGIApp | None = None
        self.runs: dict[str, Run] = {}
        self.is_stopping = False

    def start(self, app: ASGIApp) -> None:
        """Goes on with what had not ended when the node did."""
        self.app = app
        self.next()

    def next(self) -> None:
        """Begins as many as may run; those that came first, one of each party."""
        busy = {run.job.sender.party for run in self.runs.values()}
        for job in self.node.jobs.waiting() if not self.is_stopping else ():
            if len(self.runs) >= self.node.settings.jobs_at_once:
                return
            if job.id not in self.runs and job.sender.party not in busy:
                busy.add(job.sender.party)
                run = self.runs[job.id] = Run(job, Counter())
                run.task = asyncio.create_task(self._work(run))

    async def cancel(self, job: Job) -> None:
        """No further row of it is begun. OutOfRoom where that cannot be kept."""
        if run := self.runs.get(job.id):
            run.is_cancelled = True
        elif not job.has_ended:
            self.node.jobs.end(job, State.CANCELLED, self.node.jobs.counted(job.id))
            await asyncio.to_thread(self.node.jobs.drop_body, job.id)

    async def close(self) -> None:
        """Lets the rows that are under way end; what is left is done when the node starts again."""
        self.is_stopping = True
        tasks = [run.task for run in self.runs.values() if run.task]
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=max(1.0, self.node.settings.stop_seconds))
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _work(self, run: Run) -> None:
        """All of a job. Whatever happens to it, the next one has its turn."""
        job = run.job
        try:
            run.tally = await asyncio.to_thread(self.node.jobs.counted, job.id)
            self.node.jobs.begin(job)
            noted = Noted()
            noted.wrote("batch")
            noted.kind = "assets"
            await self._answer(run, noted)
            if not self.is_stopping or run.is_cancelled:
                self._end(run)
        except OSError as error:
            log.error("the results of job %s cannot be written: %s", job.id, error)
            self._fail(run, OutOfRoom("storage-full", "the results could not be written; send the batch again with the same Idempotency-Key"))
        except Exception:
            log.exception("job %s failed", job.id)
            self._fail(run, None)
        finally:
            self.runs.pop(job.id, None)
            run.tell()
            self.next()
            await self._tidy(job)

    async def _tidy(self, job: Job) -> None:
        """The body goes where the job is over."""
        if (known := self.node.jobs.get(job.id)) is None or known.has_ended:
            await asyncio.to_thread(self.node.jobs.drop_body, job.id)

    async def _answer(self, run: Run, noted: Noted) -> None:
        """Answers the rows that have no answer yet."""
        job, node = run.job, self.node
        done = run.tally.total()
        with self.node.jobs.body(job.id).open("rb", buffering=0) as file, self.node.jobs.appending(job.id) as results:
            run.body = Body(file)
            exchange = self.exchange(job, run.body, noted)
            try:
                profile = profile_of(exchange.request.query_params, self.room.kind.class_name)
                key = job.key or f"job-{job.id}"
                caller = node.standings.of(job.sender)
                batch = Batch(
                    exchange, caller, key, self.room, meant(LD_JSON, profile), upsert_term(exchange.request.query_params),
                    PATIENCE, job.entry, run.again,
                )  # fmt: skip
                rows = self._left(run, await rows_sent(exchange, job.media_type, profile), done, exchange)
                async for result in batch.outcomes(rows):
                    results.write(line_of(result))
                    run.tally[outcome_of(result)] += 1
                    run.tell()
            except FmarError as error:
                run.refused = error
            finally:
                run.body.gone.set()
                if noted.records or noted.codes:
                    node.security.add("write", {"job": job.id, **noted.as_line(job.sender, None, 200, 0)})

    async def _left(self, run: Run, rows: AsyncIterator[Row], done: int, exchange: Exchange) -> AsyncIterator[Row]:
        """The rows that have no answer yet, as long as somebody wants one. FmarError where the rest cannot be read, unless that has been told."""
        place = 0
        try:
            async for row in rows:
                place += 1
                if place <= done:
                    continue
                if run.is_cancelled or self.is_stopping:
                    return
                if done and place <= done + TOGETHER:
                    run.again.add(row.number)
                await exchange.give_way()
                yield row
        except FmarError as error:
            run.refused = error
            if place >= done:
                raise

    def exchange(self, job: Job, body: Body, noted: Noted) -> Exchange:
        """The request that a job was, sent again from disk."""
        scope = {
            "type": "http", "http_version": "1.1", "method": "POST", "path": "/assets/batch", "raw_path": b"/assets/batch",
            "query_string": job.query.encode(), "headers": [(b"content-type", job.media_type.encode())], "app": self.app,
            "state": {"noted": noted, "gives_way": True},
        }  # fmt: skip
        return Exchange(Request(scope, body.receive), self.node)

    def _end(self, run: Run) -> None:
        if run.refused is not None:
            self._fail(run, run.refused)
            return
        state = State.CANCELLED if run.is_cancelled else State.FINISHED
        self.node.jobs.end(run.job, state, run.tally)

    def _fail(self, run: Run, error: FmarError | None) -> None:
        told: Mapping[str, Any] = problem(error, self.node.settings.base_url, f"/jobs/{run.job.id}") if error else {"code": "internal-error"}
        with suppress(OutOfRoom):
            self.node.jobs.end(run.job, State.FAILED, run.tally, told)
