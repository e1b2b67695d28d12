"""A small graph on disk with three views, and query pools on snapshots of it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pyoxigraph as ox
import pytest

from fmar_node.settings import Settings
from fmar_node.store.graph import Change, Graph
from fmar_node.store.pool import Query, QueryPool

OURS, THEIRS, PUBLIC = "http://node/views/ours", "http://node/views/theirs", "http://node/views/public"
SHARED = "http://node/views/shared"
"""Has what PUBLIC has, and more."""
ASSETS = 600
INDEX = 7


def triple(asset: str, capacity: str) -> ox.Triple:
    return ox.Triple(ox.NamedNode(f"http://node/assets/{asset}"), ox.NamedNode("https://w3id.org/fmar/ns#capacity"), ox.Literal(capacity))


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    graph = Graph(tmp_path_factory.mktemp("graph") / "store")
    ours = [triple(f"ours-{number}", str(number)) for number in range(ASSETS)]
    public = triple("public-1", "open")
    changes = [Change(OURS, (), ours), Change(THEIRS, (), [triple("theirs-1", "secret")]), Change(PUBLIC, (), [public])]
    graph.apply([*changes, Change(SHARED, (), [public, triple("shared-1", "more")])], INDEX)
    yield graph
    graph.close()


@pytest.fixture(scope="session")
def snapshot(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes a new snapshot with every call."""
    numbers, folder = itertools.count(1), tmp_path_factory.mktemp("snapshots")

    def make() -> Path:
        target = folder / f"{next(numbers):09d}"
        graph.snapshot(target)
        return target

    return make


PoolMaker = Callable[..., AbstractAsyncContextManager[QueryPool]]


@pytest.fixture(scope="session")
def pooling(snapshot: Callable[[], Path]) -> PoolMaker:
    """`async with pooling(limit=...) as pool`: a pool that answers from a snapshot."""

    @asynccontextmanager
    async def make(**limits: object) -> AsyncIterator[QueryPool]:
        pool = QueryPool(Settings(**limits))
        try:
            await pool.start()
            await pool.use(snapshot())
            await until(lambda: pool.index == INDEX)
            yield pool
        finally:
            await pool.close()

    return make


async def until(is_so: Callable[[], bool], seconds: float = 10.0) -> None:
    """Waits until it is so, and fails when it never is."""
    async with asyncio.timeout(seconds):
        while not is_so():
            await asyncio.sleep(0.005)


def question(text: str, media_type: str = "text/csv", seconds: float = 10.0, organisation: str = "ours") -> Query:
    """A query over our own view that may name the public one."""
    return Query(text, (OURS,), (OURS, PUBLIC), media_type, seconds, organisation)


async def ask(pool: QueryPool, text: str, media_type: str = "text/csv", seconds: float = 10.0, organisation: str = "ours") -> bytes:
    """The whole answer."""
    answer = await pool.run(question(text, media_type, seconds, organisation))
    return b"".join([chunk async for chunk in answer.chunks])
