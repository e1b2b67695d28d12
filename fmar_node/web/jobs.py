"""Batches that are answered at once and done later (`Prefer: respond-async`, RFC 7240): POST /assets/batch, then /jobs/{id}.

Rules kept here: the body is put on disk as it comes, under a cap, and nothing is promised before it is all there; what would be
refused before any row is refused at once; a job is the sender's, to everybody else there is none; its results are lines in the order
of the rows, and can be read while it runs; an Idempotency-Key that comes again gets the job that there is.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from fmar_node.access.caller import Caller, UserRole
from fmar_node.clock import stamp
from fmar_node.errors import FmarError, Forbidden, Invalid, Malformed, OutOfRoom, TooLarge, TooMany
from fmar_node.identity import new_record_id
from fmar_node.job import OUTCOMES, Job, State
from fmar_node.node import Node
from fmar_node.read import not_here
from fmar_node.web.batch import NDJSON, rows_sent
from fmar_node.web.exchange import PRIVATE, Exchange, json_response
from fmar_node.web.job_queue import Body, JobQueue, Run
from fmar_node.web.negotiation import NUMBER
from fmar_node.web.noted import Noted
from fmar_node.web.profile import profile_of
from fmar_node.web.records import Records, exchange_of

BLOCK = 65_536
PAUSE = 0.05
"""Seconds between two looks at results that come one by one."""


class JobRoom:
    """The routes of jobs."""

    def __init__(self, node: Node, room: Records) -> None:
        self.node, self.queue, self.room = node, JobQueue(node, room), room
        self.arriving: Counter[str] = Counter()
        """Bodies that are coming in, by whose they are."""

    @property
    def routes(self) -> tuple[tuple[str, Any, str], ...]:
        return (
            ("/jobs", self.list, "GET"),
            ("/jobs/{id:record}", self.read, "GET"),
            ("/jobs/{id:record}", self.remove, "DELETE"),
            ("/jobs/{id:record}/results", self.results, "GET"),
            ("/jobs/{id:record}/cancellation", self.cancel, "POST"),
        )

    async def take(self, exchange: Exchange, caller: Caller, media_type: str, key: str) -> Response:
        """Keeps a batch; 202 with where its progress is. FmarError for what would be refused before any row."""
        node, id_ = exchange.node, new_record_id()
        self._check_room(caller)
        self.arriving[caller.party] += 1
        file = node.jobs.body(id_)
        try:
            digest, size = await self._spooled(exchange, file)
            job = self._job(id_, exchange, caller, media_type, key, digest, size)
            known = node.jobs.keyed(caller.sender, key)
            if known is None:
                await self._check(job)
                node.jobs.add(job)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        finally:
            self.arriving[caller.party] -= 1
        if known is not None:
            file.unlink()
            if known.digest != job.digest:
                raise Invalid("idempotency-key-reused", "the same Idempotency-Key came with another batch before")
        else:
            self.queue.next()
        return self._taken(known or job, is_known=known is not None)

    def _taken(self, job: Job, *, is_known: bool) -> Response:
        shown = self._shown(job)
        again = {"Idempotent-Replayed": "true"} if is_known else {}
        return json_response(shown, 202, {"Location": shown["id"], "Preference-Applied": "respond-async", "Retry-After": "1", **again})

    def _check_room(self, caller: Caller) -> None:
        most = self.node.settings.jobs_per_organisation
        if self.node.jobs.count_waiting(caller.party) + self.arriving[caller.party] >= most:
            detail = f"your organisation has {most} jobs that have not ended (jobs_per_organisation); wait for one, or cancel it"
            raise TooMany("too-many-requests", detail, headers={"Retry-After": "10"})

    async def _spooled(self, exchange: Exchange, file: Path) -> tuple[str, int]:
        """SHA-256 and size of the body, which is in the file when this returns, on disk."""
        most, seconds = self.node.settings.job_bytes, self.node.settings.body_seconds
        digest, size = hashlib.sha256(), 0
        chunks = exchange.request.stream()
        with _private(file) as out:
            while True:
                try:
                    async with asyncio.timeout(seconds):
                        chunk = await anext(chunks, None)
                except TimeoutError:
                    raise Malformed("malformed-request", f"nothing of the body came for {seconds:g} seconds") from None
                if chunk is None:
                    break
                size += len(chunk)
                if size > most:
                    raise TooLarge("body-too-large", f"more than {most} bytes; this node keeps no larger batch as a job (job_bytes)")
                digest.update(chunk)
                await asyncio.to_thread(os.write, out, chunk)
            await asyncio.to_thread(os.fsync, out)
        return digest.hexdigest(), size

    def _job(self, id_: str, exchange: Exchange, caller: Caller, media_type: str, key: str, body: str, size: int) -> Job:
        query = exchange.request.url.query
        digest = hashlib.sha256(f"{body} {media_type} {query}".encode()).hexdigest()
        return Job(id_, caller, media_type, query, key, digest, size, self.node.register.size(), self.node.jobs.now())

    async def _check(self, job: Job) -> None:
        """FmarError where no row of it could be read: the header of a table is wrong, an array is too long."""
        with self.node.jobs.body(job.id).open("rb", buffering=0) as file:
            exchange = self.queue.exchange(job, Body(file), Noted())
            await rows_sent(exchange, job.media_type, profile_of(exchange.request.query_params, self.room.kind.class_name))

    async def list(self, request: Request) -> Response:
        """The sender's jobs, the newest first."""
        exchange, caller = await self._met(request)
        self.node.jobs.sweep()
        return json_response({"items": [self._shown(job) for job in exchange.node.jobs.of(caller.sender)]})

    async def read(self, request: Request) -> Response:
        """How far a job is."""
        job = await self._found(request)
        return json_response(self._shown(job), headers={} if job.has_ended else {"Retry-After": "1"})

    async def results(self, request: Request) -> Response:
        """One line per row, in order, of those that have been answered and, as long as the job runs, of the others as soon as they are; `skip` leaves out so many."""
        job = await self._found(request)
        skip = request.query_params.get("skip", "0")
        if not NUMBER.fullmatch(skip):
            raise Malformed("malformed-request", "skip is how many lines are left out")
        return StreamingResponse(self._lines(job, int(skip)), headers=PRIVATE, media_type=NDJSON)

    async def cancel(self, request: Request) -> Response:
        """No further row of the job is begun; what has been done stays. One that has ended stays as it is."""
        job = await self._found(request, is_change=True)
        await self.queue.cancel(job)
        return json_response(self._shown(self.node.jobs.get(job.id) or job))

    async def remove(self, request: Request) -> Response:
        """Cancels a job that has not ended (202); one that has is removed with its results (204)."""
        job = await self._found(request, is_change=True)
        if job.has_ended:
            self.node.jobs.remove(job)
            return Response(status_code=204, headers=PRIVATE)
        await self.queue.cancel(job)
        return json_response(self._shown(self.node.jobs.get(job.id) or job), 202)

    async def _met(self, request: Request) -> tuple[Exchange, Caller]:
        exchange = exchange_of(request)
        caller = await exchange.caller()
        if caller.is_anonymous:
            raise exchange.node.verifier.missing("a job is shown to whoever sent it")
        return exchange, caller

    async def _found(self, request: Request, *, is_change: bool = False) -> Job:
        """The job, which is the caller's. NotFound where it is not, or is not there any more."""
        _, caller = await self._met(request)
        job = self.node.jobs.find(request.path_params["id"], caller.sender)
        if job is None:
            raise not_here()
        if is_change and caller.user_role is UserRole.READER:
            raise Forbidden("not-permitted", "a person who may only read ends no job")
        return job

    def _shown(self, job: Job) -> dict[str, Any]:
        """A job as JSON. There is no time of its end: nobody knows how long the rows take that have not been read."""
        run = self.queue.runs.get(job.id)
        tally = run.tally if run else job.tally
        url = f"{self.node.settings.base_url}/jobs/{job.id}"
        read = job.bytes if job.state is State.FINISHED else run.bytes_read if run else 0
        shown: dict[str, Any] = {"id": url, "type": "Job", "state": self._state(job, run), "results": f"{url}/results"}
        shown |= {"rows": sum(tally.values()), **{name: tally.get(name, 0) for name in OUTCOMES}, "bytes": job.bytes, "bytesRead": read}
        times = {"made": job.made, "began": job.began, "ended": job.ended}
        shown |= {name: stamp(datetime.fromtimestamp(at, UTC)) for name, at in times.items() if at is not None}
        return {**shown, "problem": dict(job.problem)} if job.problem else shown

    def _state(self, job: Job, run: Run | None) -> str:
        return State.RUNNING if run and not job.has_ended else job.state

    async def _lines(self, job: Job, skip: int) -> AsyncIterator[bytes]:
        """The lines that there are, then those that come, until the job has ended."""
        file = self.node.jobs.results(job.id)
        read, waiting = 0, b""
        while True:
            run = self.queue.runs.get(job.id)
            changed = run.changed if run else None
            has_ended = (known := self.node.jobs.get(job.id)) is None or known.has_ended
            chunk = await asyncio.to_thread(_read, file, read)
            read += len(chunk)
            *whole, waiting = (waiting + chunk).split(b"\n")
            skip, wanted = max(0, skip - len(whole)), whole[skip:]
            if wanted:
                yield b"".join(line + b"\n" for line in wanted)
            if chunk:
                continue
            if has_ended:
                return
            await _told(changed)


async def _told(changed: asyncio.Event | None) -> None:
    """Waits for a result, or for a moment: a job that is queued has none."""
    with suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            await (changed.wait() if changed else asyncio.sleep(0.5))
    await asyncio.sleep(PAUSE)


def _read(file: Path, at: int) -> bytes:
    try:
        with file.open("rb") as lines:
            lines.seek(at)
            return lines.read(BLOCK)
    except FileNotFoundError:
        return b""


@contextmanager
def _private(file: Path) -> Any:
    """A new file that only its owner may read. OutOfRoom where it cannot be written."""
    try:
        out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            yield out
        finally:
            os.close(out)
    except FmarError:
        raise
    except OSError as error:
        raise OutOfRoom("storage-full", "the batch could not be kept; nothing was changed") from error
