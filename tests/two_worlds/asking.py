"""A world's snapshot, asked in this process by the path that a request takes: the gate, the window, the worker's evaluation.

Only the processes are left out: what a worker would write into its socket is kept here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pyoxigraph as ox

from fmar_node import frames
from fmar_node.access.caller import Caller
from fmar_node.errors import FmarError
from fmar_node.query import Question, ask
from fmar_node.store import state
from fmar_node.store.graph import Triple
from fmar_node.store.pool import Query
from fmar_node.store.worker import Sink, evaluate, refusal_of
from fmar_node.vocabulary import packaged, turtle
from tests.market import BASE, SETTINGS, Market

LIMITED = SETTINGS.model_copy(update={"query_rows": 20_000})
FOLDERS = {"ontology": ("ontology", "*.ttl"), "codes": ("ontology", "codes/*.ttl"), "shapes": ("shapes", "*.ttl")}


@cache
def words() -> dict[str, list[Triple]]:
    """The vocabulary graphs, read once: blank nodes get another label with each reading, whatever the register holds."""
    return {name: [triple for file in sorted(packaged(folder).glob(files)) for triple in turtle(file.read_text("utf-8"))] for name, (folder, files) in FOLDERS.items()}


@dataclass(frozen=True, slots=True)
class Answered:
    """All that an asker can tell of an answer: a media type and bytes, or a refusal's code and detail."""

    media_type: str
    body: bytes

    @property
    def is_refusal(self) -> bool:
        return self.media_type == "refusal"


class Snapshot:
    """The graph of a market as workers read it; takes the pool's place in `query.ask`."""

    def __init__(self, market: Market) -> None:
        graph = market.projected().graph
        for name, triples in words().items():
            graph.load(f"{BASE}/{name}", triples)
        graph.snapshot(market.folder / "snapshot")
        graph.close()
        self.store = ox.Store.read_only(str(market.folder / "snapshot"))
        self.index = state.applied(self.store)
        self.loop = asyncio.Runner()

    def ask(self, question: Question, caller: Caller) -> Answered:
        pool: Any = self
        try:
            answer: Any = self.loop.run(ask(pool, LIMITED, question, caller, self.want))
        except FmarError as error:
            return Answered("refusal", f"{error.code} {error.detail}".encode())
        return answer

    async def want(self, index: int) -> None:
        """Nothing: its graph has the whole story."""

    async def run(self, query: Query) -> Answered:
        return evaluated(self.store, query)

    def close(self) -> None:
        self.loop.close()
        del self.store


def evaluated(store: ox.Store, query: Query) -> Answered:
    """What a worker answers to a query over this store."""
    sink = _Kept(query.media_type)
    request = {
        "query": query.text, "default_graph": query.default_graph, "named_graphs": query.named_graphs,
        "base_iri": query.base_iri, "prefixes": dict(query.prefixes), "bindings": {}, "merged": 1_000_000,
    }  # fmt: skip
    try:
        evaluate(store, request, sink)
        sink.finish()
    except Exception as error:
        refusal = refusal_of(sink.failure if isinstance(sink.failure, Exception) else error)
        return Answered("refusal", f"{refusal.code} {refusal.detail}".encode())
    return Answered(query.media_type, b"".join(sink.sent))


@dataclass
class _Kept(Sink):
    """A worker's sink whose frames go nowhere."""

    sent: list[bytes] = field(default_factory=list)

    def __init__(self, media_type: str) -> None:
        super().__init__(None, media_type, LIMITED.query_result_bytes, LIMITED.query_rows)  # type: ignore[arg-type]
        self.sent = []

    def send(self, header: frames.Header) -> None:
        self.sent.append(b"".join(self.held))
        self.held.clear()
        self.held_bytes = 0
