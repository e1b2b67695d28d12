"""`make bench ARGS="--peers"`: the node's SPARQL endpoint beside the servers of the field, on the same triples.

The node checks a credential and a proof at each request, keeps a window, and answers from a process that can be killed; the
peers do none of it. Each round asks all of them once, in turn; every server has answered each question before the clock
starts, and with as many rows.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx

from fmar_node.client import connect
from tests.benchmarks.load import Signer, dealt, drive
from tests.benchmarks.peers import Peer, dump, everyone, missing, oxigraph
from tests.benchmarks.population import Plan, Population
from tests.benchmarks.reach import AGGREGATE, JOIN, POINT, ROUNDS, RUNAWAY, Figure
from tests.benchmarks.service import Served, Shelf, served
from tests.benchmarks.trust import UNLIMITED

FIELD_ROWS = ("point", "joins", "overrun", "million")
LOOKUPS = 800
EXPORT = "SELECT ?s ?p ?o {{ ?s ?p ?o }} LIMIT {}"
_CROSS = " ".join(f"VALUES ?v{place} {{ {chr(32).join(map(str, range(30)))} }}" for place in range(4))
CROSS_JOIN = f"SELECT * {{ {_CROSS} {_CROSS.replace('?v', '?w')} FILTER(?v0 + ?w0 < 0) }}"
PATIENCE = 30.0
"""Seconds that a peer may take beyond all deadlines."""
SECONDS = 2.0


class Field:
    """The rows for one size of register; `rows` names them."""

    def __init__(self, shelf: Shelf, scratch: Path, size: int) -> None:
        self.shelf, self.scratch, self.size = shelf, scratch, size
        self.rows: dict[str, Callable[[], Iterator[Figure]]] = {
            "point": self.point, "joins": self.joins, "overrun": self.overrun, "million": self.million,
        }  # fmt: skip
        for who in missing():
            print(f"  not measured: {who}", flush=True)

    def population(self) -> Population:
        return self.shelf.register(Plan(self.size, 30))

    def data(self, population: Population) -> Path:
        return dump(population, "operator", self.scratch / f"all-{self.size}.nt")

    def figure(self, what: str, node: str, beside: str, ratio: float | None, wanted: str) -> Figure:
        return Figure("field", what, node, beside, ratio, wanted, self.size)

    def point(self) -> Iterator[Figure]:
        """Point lookups by 1, 4 and 16 clients, each a provider of its own that asks for its own assets."""
        population = self.population()
        with ExitStack() as stack:
            peers = everyone(stack, self.data(population), self.scratch)
            node = stack.enter_context(served(population, **UNLIMITED))
            signers = [Signer(population.profiles[f"fsp-{place}"]) for place in range(16)]
            for clients in (1, 4, 16):
                asked = [(signers[place % clients], asset) for place in range(LOOKUPS) for asset in [_own(population, place % clients, place)]]

                def ours(asked: list[tuple[Signer, str]] = asked, clients: int = clients) -> float:
                    return drive(node.url, dealt([signer.query(text) for signer, text in asked], clients)).rate

                def theirs(peer: Peer, asked: list[tuple[Signer, str]] = asked, clients: int = clients) -> float:
                    return drive(peer.query, dealt([peer.request(text) for _, text in asked], clients)).rate

                rates = in_turn({"node": ours, **{peer.name: lambda peer=peer: theirs(peer) for peer in peers}})
                for peer in peers:
                    wanted = "0.17" if peer.name == "Oxigraph" else "report"
                    yield self.figure(f"point lookup, credential checked, clients: {clients}", f"{rates['node']:,.0f}/s", f"{peer.name}: {rates[peer.name]:,.0f}/s", rates["node"] / rates[peer.name], wanted)

    def joins(self) -> Iterator[Figure]:
        """A join, an aggregate and a long export by one who sees everything."""
        population = self.population()
        with ExitStack() as stack:
            peers = everyone(stack, self.data(population), self.scratch)
            node = stack.enter_context(served(population, **UNLIMITED))
            signer = Signer(population.profiles["operator"])
            export = EXPORT.format(100_000)
            for what, text, rounds in (("join of 5 patterns", JOIN, 11), ("aggregate", AGGREGATE, 11), ("export of 100,000 rows as JSON", export, 7)):
                same_rows(node, peers, text)

                def ours(text: str = text) -> float:
                    return drive(node.url, [[signer.query(text)]]).seconds

                asks = {"node": ours, **{peer.name: lambda peer=peer, text=text: drive(peer.query, [[peer.request(text)]]).seconds for peer in peers}}
                taken = in_turn(asks, rounds)
                for peer in peers:
                    wanted = "0.85" if peer.name == "Oxigraph" else "1" if text is not export else "report"
                    yield self.figure(what, f"{1000 * taken['node']:.1f} ms", f"{peer.name}: {1000 * taken[peer.name]:.1f} ms", taken[peer.name] / taken["node"], wanted)

    def overrun(self) -> Iterator[Figure]:
        """How long after a deadline of 2 s the answer has come, and what it says."""
        population = self.population()
        with ExitStack() as stack:
            peer = stack.enter_context(oxigraph(self.data(population), self.scratch, "--timeout-s", "2"))
            stack.enter_context(served(population, **UNLIMITED))
            with connect(population.profiles["operator"]) as client:
                for what, text in (("a cross join", CROSS_JOIN), ("COUNT of a cross join", RUNAWAY)):
                    began = time.perf_counter()
                    try:
                        answer = client.post(f"/sparql?timeout={SECONDS:g}", content=text.encode(), headers={"Content-Type": "application/sparql-query"})
                        told = f"{answer.status_code} {answer.json().get('code', '')}"
                    except httpx.RemoteProtocolError:
                        told = "broken off while rows were on their way"
                    said = f"{time.perf_counter() - began - SECONDS:.2f} s, {told}"
                    theirs, how = _late(peer, text)
                    yield self.figure(f"overrun of a 2 s deadline: {what}", said, f"Oxigraph --timeout-s 2: {theirs:.1f} s, {how}", None, "under 0.5 s")

    def million(self) -> Iterator[Figure]:
        """A million rows to a client that reads as fast as it can: memory of all processes above idle, and how flat it is."""
        population = self.population()
        with served(population, **UNLIMITED) as node, connect(population.profiles["operator"]) as client:
            client.get("/organisations?limit=1")
            idle = proportional(node)
            with Watch(node) as watch:
                began, rows = time.perf_counter(), 0
                first = 0.0
                headers = {"Content-Type": "application/sparql-query", "Accept": "text/csv", "Accept-Encoding": "identity"}
                with client.stream("POST", "/sparql?timeout=30", content=_many().encode(), headers=headers) as answer:
                    if not answer.is_success:
                        raise RuntimeError(answer.read().decode())
                    for chunk in answer.iter_bytes():
                        first = first or time.perf_counter() - began
                        rows += chunk.count(b"\n")
                seconds = time.perf_counter() - began
            top = max(watch.bytes) - idle
            late = watch.bytes[len(watch.bytes) // 3 :]
            half = len(late) // 2
            slope = max(late[half:]) - max(late[:half])
            what = f"{rows - 1:,} rows stream ({seconds:.0f} s, first bytes after {1000 * first:.0f} ms): memory above idle"
            yield self.figure(what, f"{top / 2**20:.0f} MB", f"last third above the one before: {slope / 2**20:+.0f} MB", None, "under 200 MB, flat")


class Watch:
    """Looks at a node's memory ten times a second."""

    def __init__(self, node: Served) -> None:
        self.node, self.bytes, self.is_over = node, [proportional(node)], threading.Event()
        self.thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.thread.join()

    def _look(self) -> None:
        while not self.is_over.wait(0.1):
            self.bytes.append(proportional(self.node))


def proportional(node: Served) -> int:
    """Bytes that a node and its children have in memory, shared pages counted once (Pss)."""
    children = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children").read_text().split()
    total = 0
    for process in (str(node.process.pid), *children):
        with suppress(OSError):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return 1024 * total


def in_turn(asks: dict[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, float]:
    """The median of each over rounds in which all are asked, after one that does not count."""
    found = [{name: ask() for name, ask in asks.items()} for _ in range(rounds + 1)][1:]
    return {name: statistics.median(each[name] for each in found) for name in asks}


def same_rows(node: Served, peers: list[Peer], text: str) -> None:
    with connect(node.population.profiles["operator"]) as client:
        answer = client.post("/sparql", content=text.encode(), headers={"Content-Type": "application/sparql-query", "Accept": "application/sparql-results+json"})
        ours = len(answer.raise_for_status().json()["results"]["bindings"])
    for peer in peers:
        if (theirs := peer.rows(text)) != ours:
            raise RuntimeError(f"{peer.name} answers {theirs} rows, the node {ours}: {text}")


def _own(population: Population, provider: int, place: int) -> str:
    own = population.assets_of(provider)
    return POINT.format(f"{population.profiles['operator'].node}/assets/{own[place % len(own)].id}")


def _late(peer: Peer, text: str) -> tuple[float, str]:
    """How long after the deadline a peer has answered to the end, and what."""
    began = time.perf_counter()
    try:
        answer = peer.ask(text, PATIENCE)
        told = f"{answer.status_code}, which ends in {answer.text[-48:].strip()!r}"
    except httpx.TimeoutException:
        told = f"no answer in {PATIENCE:g} s"
    return time.perf_counter() - began - SECONDS, told


def _many() -> str:
    """A query of a million rows that needs no register."""
    digits = " ".join(map(str, range(10)))
    return f"SELECT * {{ {' '.join(f'VALUES ?v{place} {{ {digits} }}' for place in range(6))} }}"
