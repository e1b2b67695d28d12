"""`make bench`: what the node costs, beside something plain that is run in the same minute.

Each figure is the median of interleaved rounds: node, plain, node, plain. Machines differ and are shared: the ratio
is the figure, the rates are colour. `--write` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyoxigraph as ox
import pyshacl
import rdflib

from fmar_node.client import connect
from fmar_node.judge import Paper, judge
from fmar_node.representation import triples
from tests.live import LD_JSON, Live
from tests.market import SETTINGS, START, battery, shapes, vocabulary

ROUNDS = 5
CLIENTS = 8
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
STORAGE = """PREFIX fmar: <https://w3id.org/fmar/ns#>
SELECT ?asset ?kw WHERE { ?asset fmar:assetCategory <https://w3id.org/fmar/codes/AssetCategory#BESS> ; fmar:ratedCapacity ?kw }
ORDER BY DESC(?kw) LIMIT 20"""


@dataclass(frozen=True)
class Figure:
    """Operations per second of the node and of what was run beside it."""

    what: str
    beside: str
    node: float
    plain: float

    @property
    def row(self) -> str:
        return f"| {self.what} | {self.node:,.0f}/s | {self.beside} | {self.plain:,.0f}/s | {self.node / self.plain:.3f} |"


def compared(what: str, beside: str, node: Callable[[], int], plain: Callable[[], int]) -> Figure:
    """Medians of interleaved rounds; each callable returns how many operations it did."""
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for run, into in ((node, rates[0]), (plain, rates[1])):
            started = time.perf_counter()
            count = run()
            into.append(count / (time.perf_counter() - started))
    figure = Figure(what, beside, statistics.median(rates[0]), statistics.median(rates[1]))
    print(figure.row, flush=True)
    return figure


def judging() -> Figure:
    """A conforming document judged, beside pyshacl alone on the same shapes."""
    body = json.dumps(battery()).encode()
    paper = Paper("assets", "register", "https://node.example/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11", "application/ld+json", body, START.date())
    document = judge(paper, vocabulary(), shapes(), SETTINGS).document
    data = rdflib.Graph().parse(data="\n".join(f"{triple} ." for triple in triples(document, vocabulary())), format="nt")
    graph = rdflib.Graph().parse("shapes/asset.ttl")

    def node() -> int:
        for _ in range(20):
            judge(paper, vocabulary(), shapes(), SETTINGS)
        return 20

    def plain() -> int:
        pyshacl.validate(data, shacl_graph=graph, inference="none", inplace=True)
        return 1

    return compared("judge an asset document (one justification)", "pyshacl, same shapes", node, plain)


def registering(live: Live, scratch: Path) -> Figure:
    """Documents registered over HTTP by 8 clients, beside the same bytes appended to SQLite with an fsync each."""
    clients = [connect(live.profiles["fsp-a"]) for _ in range(CLIENTS)]
    table = sqlite3.connect(scratch / "plain.db", isolation_level=None)
    table.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE entry (body BLOB)")

    def node() -> int:
        def work(client: object) -> None:
            for _ in range(15):
                response = client.post("/assets", json=live.battery(), headers=LD_JSON)  # type: ignore[attr-defined]
                assert response.status_code == 201, response.text

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(work, clients))
        return 15 * CLIENTS

    def plain() -> int:
        body = json.dumps(battery()).encode()
        for _ in range(500):
            table.execute("INSERT INTO entry VALUES (?)", (body,))
        return 500

    return compared("register an asset over HTTP, 8 clients", "SQLite append with fsync, no HTTP, no checks", node, plain)


def asking(live: Live, scratch: Path) -> Figure:
    """A small query with credential, proof, gate and worker, beside pyoxigraph in this process on the same triples."""
    client = live.client("fsp-a")
    own = client.post("/sparql", content=b"CONSTRUCT { ?s ?p ?o } WHERE { ?s ?p ?o }", headers={"Content-Type": "application/sparql-query", "Accept": "application/n-triples"})
    store = ox.Store(scratch / "plain")
    store.bulk_load(own.content, format=ox.RdfFormat.N_TRIPLES)

    def node() -> int:
        for _ in range(100):
            assert live.ask("fsp-a", STORAGE).status_code == 200
        return 100

    def plain() -> int:
        for _ in range(100):
            results = store.query(STORAGE)
            assert isinstance(results, ox.QuerySolutions)
            results.serialize(format=ox.QueryResultsFormat.JSON)
        return 100

    return compared("small SPARQL query over HTTP, one client", "pyoxigraph in process, no HTTP", node, plain)


def reading(live: Live) -> Figure:
    """A record read with credential and proof, beside the liveness route."""
    client, iri = live.client("fsp-a"), live.register("fsp-a").headers["Location"]

    def node() -> int:
        for _ in range(100):
            assert client.get(iri).status_code == 200
        return 100

    def plain() -> int:
        for _ in range(100):
            assert client.get("/healthz").status_code == 200
        return 100

    return compared("read a record over HTTP, one client", "the same client on /healthz", node, plain)


def main() -> None:
    options = argparse.ArgumentParser(prog="make bench ARGS=...")
    options.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, Live(Path(folder) / "live") as live:
        scratch = Path(folder)
        figures = [judging(), registering(live, scratch), asking(live, scratch), reading(live)]
    table = "\n".join(["| what | node | beside | plain | ratio |", "|---|---|---|---|---|", *(figure.row for figure in figures)])
    if chosen.write:
        before, _, rest = PAGE.read_text("utf-8").partition("<!-- table -->\n")
        _, _, after = rest.partition("<!-- /table -->\n")
        PAGE.write_text(f"{before}<!-- table -->\n{table}\n<!-- /table -->\n{after}", "utf-8")


if __name__ == "__main__":
    main()
