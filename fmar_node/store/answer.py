"""One query on one worker: from the request to the last byte, a refusal, or the worker's end.

Rules kept here: the run time counts while the worker works, not while the client reads; both are bounded, by
SIGKILL; who asked and is cancelled, or closes, because the client has gone (`web.gone` sees to it) costs nothing any more
from that moment; an answer is never cut short in silence: `chunks` ends when the worker has said so, and raises otherwise.
"""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from fmar_node import frames
from fmar_node.errors import FmarError, Malformed, NotAcceptable, TooLarge, Unavailable, counted
from fmar_node.process import End
from fmar_node.settings import Settings
from fmar_node.store.crew import Worker
from fmar_node.store.reading import position

HEAVY_SECONDS = 0.1
"""A query that takes longer gives way to others from then on."""
EASY_SECONDS = 0.5
"""A reader may take so long over a piece of an answer; what is beyond it is charged as if the worker had worked."""
REFUSALS: Mapping[str, type[FmarError]] = {
    "query-malformed": Malformed,
    "query-failed": Malformed,
    "query-too-many-rows": TooLarge,
    "query-too-complex": TooLarge,
    "not-acceptable": NotAcceptable,
}


@dataclass(frozen=True, slots=True)
class Query:
    """What to ask. `text` comes from `gate.admit`; the graphs are all that it may see, whatever it says.

    `seconds` is its run time; `organisation` the key under which it shares the workers; `prefixes` are for the
    answer's syntax alone.
    """

    text: str
    default_graph: tuple[str, ...]
    named_graphs: tuple[str, ...]
    media_type: str
    seconds: float
    organisation: str
    base_iri: str | None = None
    prefixes: Mapping[str, str] = field(default_factory=dict)
    bindings: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Terms of variables of the result: an IRI and nothing, or a lexical form and its datatype."""
    is_nameless: bool = False
    """Whether it came without a credential."""
    payer: str = ""
    """Whose budget it is charged to, where that is not the organisation's."""

    @property
    def charged_to(self) -> str:
        return self.payer or self.organisation


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `index` is the journal index of the snapshot; `chunks` raises FmarError when it breaks off."""

    media_type: str
    index: int
    chunks: Delivery

    @property
    def is_whole(self) -> bool:
        """Whether all of it is there already, and the worker free again."""
        return self.chunks.end.reason == "answered"

    @property
    def default_graph(self) -> tuple[str, ...]:
        """What was asked where the query names no graph."""
        return self.chunks.query.default_graph

    @property
    def rows(self) -> int | None:
        """Rows or triples of an answer that came to its end, where its worker counted them."""
        return self.chunks.rows

    async def close(self) -> None:
        """Nobody wants the rest: frees the worker, by killing it when it is still at work."""
        await self.chunks.aclose()


Release = Callable[[Worker, str], None]
"""Told once how a worker's query ended: `answered`, `refused`, or the reason why the worker was killed or died."""
GiveWay = Callable[[], None]
"""Told when a query takes long, and gives way to others from then on."""
Charge = Callable[[float], None]
"""Told how many more seconds the worker has worked."""


class Delivery(AsyncIterator[bytes]):
    """The bytes of an answer, as its worker makes them."""

    def __init__(self, worker: Worker, query: Query, settings: Settings, release: Release, charge: Charge, give_way: GiveWay, light_seconds: float = HEAVY_SECONDS) -> None:
        self.worker = worker
        self.charge = charge
        self.query = query
        self.settings = settings
        self.seconds_left = min(query.seconds, settings.query_seconds)
        self.rows: int | None = None
        self.blobs: list[bytes] = []
        self.given_at = 0.0
        self.end = _End(worker, release)
        loop = asyncio.get_running_loop()
        self.demotion = loop.call_later(light_seconds, give_way)
        self.timer = loop.call_later(settings.query_delivery_seconds, functools.partial(_overdue, weakref.ref(self)))
        self.finalizer = weakref.finalize(self, loop.call_soon_threadsafe, self.end.stop, "client-gone")
        self.finalizer.atexit = False

    async def begin(self) -> Answer:
        """Send the query, wait for the first bytes. FmarError for every refusal."""
        try:
            await self.worker.child.send(_request(self.query, self.settings))
        except ConnectionError as error:
            raise await self._died() from error
        except BaseException:
            self._stop("client-gone")
            raise
        header, self.blobs = await self._frame()
        return Answer(header["media_type"], self.worker.index, self)

    async def __anext__(self) -> bytes:
        loop = asyncio.get_running_loop()
        if self.given_at and (late := loop.time() - self.given_at - EASY_SECONDS) > 0:
            self.charge(late)  # who reads slowly holds a worker all the same
        try:
            return await self._next()
        finally:
            self.given_at = loop.time()

    async def _next(self) -> bytes:
        while not self.blobs:
            if self.end.reason == "answered":
                raise StopAsyncIteration
            _, self.blobs = await self._frame()
        return self.blobs.pop()

    async def aclose(self) -> None:
        self.blobs.clear()
        self._stop("client-gone")

    async def _frame(self) -> frames.Frame:
        if self.end.reason:
            raise self._reason()
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(max(0.0, self.seconds_left)):
                frame = await self.worker.child.receive()
        except TimeoutError:
            self._stop("timeout")
            raise self._reason() from None
        except (EOFError, ValueError):
            frame = None
        except BaseException:
            self._stop("client-gone")
            raise
        finally:
            taken = loop.time() - started
            self.seconds_left -= taken
            self.charge(taken)
        if frame is None:
            raise await self._died()
        if "error" in frame[0]:
            raise self._refused(frame[0])
        if frame[0].get("end"):
            self.rows = frame[0].get("rows")
            self._settle("answered")
        return frame

    def _refused(self, header: frames.Header) -> FmarError:
        """The worker's refusal; what is wrong with the worker rather than with the query ends it."""
        code, detail = header["error"], header["detail"]
        if code not in REFUSALS:
            self._stop("out-of-memory" if code == "query-out-of-memory" else "crashed")
            return self._reason()
        self._settle("refused")
        return REFUSALS[code](code, position(detail, self.query.text) if code == "query-malformed" else detail)

    async def _died(self) -> FmarError:
        if not self.end.reason:
            end = await self.worker.ended
            self._settle("out-of-memory" if end in (End.KILLED, End.ABORTED) else "crashed")
        return self._reason()

    def _reason(self) -> FmarError:
        match self.end.reason:
            case "timeout":
                return Unavailable("query-timeout", f"stopped after {counted(min(self.query.seconds, self.settings.query_seconds), 'second')}")
            case "overdue":
                return Unavailable("query-timeout", f"the result was not taken within {counted(self.settings.query_delivery_seconds, 'second')}")
            case "out-of-memory":
                return Unavailable("query-out-of-memory", f"the limit is {self.settings.worker_memory_bytes} bytes")
        return Unavailable("query-failed", "the engine gave up on this query")

    def _stop(self, reason: str) -> None:
        self._settle(reason, self.end.stop)

    def _settle(self, reason: str, settle: Callable[[str], None] | None = None) -> None:
        self.timer.cancel()
        self.demotion.cancel()
        self.finalizer.detach()
        (settle or self.end.settle)(reason)


class _End:
    """How it ended, said once; knows the worker but not the delivery, which may be gone."""

    def __init__(self, worker: Worker, release: Release) -> None:
        self.worker = worker
        self.release = release
        self.reason = ""

    def settle(self, reason: str) -> None:
        if not self.reason:
            self.reason = reason
            self.release(self.worker, reason)

    def stop(self, reason: str) -> None:
        if not self.reason:
            self.worker.child.kill()
            self.settle(reason)


def _overdue(reference: weakref.ref[Delivery]) -> None:
    if delivery := reference():
        delivery._stop("overdue")


def _request(query: Query, settings: Settings) -> frames.Header:
    return {
        "query": query.text,
        "default_graph": query.default_graph,
        "named_graphs": query.named_graphs,
        "media_type": query.media_type,
        "bindings": {name: list(term) for name, term in query.bindings.items()},
        "base_iri": query.base_iri,
        "prefixes": dict(query.prefixes),
        "rows": settings.query_rows,
        "bytes": settings.query_result_bytes,
        "merged": settings.query_merged_triples,
    }
