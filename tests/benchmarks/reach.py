"""The rows of the table: each is work of the node beside something plain, in rounds that take turns."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import pyshacl
import rdflib

from fmar_node.access.caller import caller_of
from fmar_node.client import connect
from fmar_node.followers.projector import Projector
from fmar_node.journal.journal import Draft, Journal
from fmar_node.keeping.maintenance import open_register
from fmar_node.read import Reader
from fmar_node.representation import triples
from fmar_node.store.graph import Change, Graph
from fmar_node.vocabulary import Vocabulary, packaged
from tests.benchmarks.load import Run, Signer, dealt, drive, plain_query
from tests.benchmarks.population import Asset, Filling, Plan, Population, assets, meter_point
from tests.benchmarks.quiet import dealt_out, percentiles, rounds
from tests.benchmarks.service import Served, Shelf, plain_server, served
from tests.market import Market

CLIENTS = 8
ROUNDS = 5
LOOKUPS = 1_200
BULK = 2_000
"""Rows of one batch."""
FMAR = "https://w3id.org/fmar/ns#"
JOIN = f"""PREFIX f: <{FMAR}> SELECT ?a ?kw ?point ?state ?export
{{ ?a f:assetCategory <https://w3id.org/fmar/codes/AssetCategory#SOLAR_PV> ; f:dnoConnection <https://w3id.org/fmar/codes/DNOCode#UKPN_LPN> ;
f:ratedCapacity ?kw ; f:gridSupplyPoint ?point ; f:connectionStatus ?state }}"""
AGGREGATE = f"""PREFIX f: <{FMAR}> SELECT ?category (COUNT(?a) AS ?n) (SUM(?kw) AS ?all)
{{ ?a f:dnoConnection <https://w3id.org/fmar/codes/DNOCode#UKPN_EPN> ; f:assetCategory ?category ; f:ratedCapacity ?kw }} GROUP BY ?category"""
HEAVY = f"""PREFIX f: <{FMAR}> SELECT ?maker (COUNT(*) AS ?n) (SUM(?kw * ?other) AS ?all)
{{ ?a f:manufacturer ?maker ; f:ratedCapacity ?kw . ?b f:manufacturer ?maker ; f:ratedCapacity ?other }} GROUP BY ?maker"""
QUIET = 250
"""Requests of the quiet tenant in a round."""
REFUSED = {"lookups and reads": b"rate-limited", "heavy queries": b"HTTP/1.1 429"}
"""What a flooder has to be told to be over its limit."""
RUNAWAY = f"SELECT (COUNT(*) AS ?n) {{ {' '.join(f'VALUES ?v{place} {{ {chr(32).join(map(str, range(30)))} }}' for place in range(7))} }}"


Ask = Callable[[Signer, Asset], bytes]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: what the node did, what was run beside it, the ratio and what it has to be."""

    name: str
    what: str
    node: str
    beside: str
    ratio: float | None
    wanted: str
    size: int

    @property
    def row(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:.3g}"
        return f"| {self.what} | {self.size:,} | {self.node} | {self.beside} | {ratio} | {self.wanted} |"


HEAD = "| work | assets | node | beside | ratio | wanted |\n|---|---|---|---|---|---|"


def medians(one: Callable[[], float], other: Callable[[], float], rounds: int = ROUNDS) -> tuple[float, float]:
    """The medians of rounds that take turns: one, other, one, other."""
    found = [(one(), other()) for _ in range(rounds)]
    return statistics.median(pair[0] for pair in found), statistics.median(pair[1] for pair in found)


class Reach:
    """The table's rows for one size of register; `rows` names them."""

    def __init__(self, shelf: Shelf, scratch: Path, size: int) -> None:
        self.shelf, self.scratch, self.size = shelf, scratch, size
        self.rows: dict[str, Callable[[], Iterator[Figure]]] = {
            "lookup": self.lookup, "identifiers": self.identifiers, "area": self.area, "registers": self.registers, "register": self.register, "bulk": self.bulk,
            "commit": self.commit, "restart": self.restart, "runaway": self.runaway, "quiet": self.quiet,
        }  # fmt: skip

    def population(self, providers: int = 30) -> Population:
        return self.shelf.register(Plan(self.size, providers))

    def figure(self, name: str, what: str, node: str, beside: str, ratio: float | None, wanted: str) -> Figure:
        return Figure(name, what, node, beside, ratio, wanted, self.size)

    def lookup(self) -> Iterator[Figure]:
        """Point lookups and record reads by 8 clients of as many providers, beside a plain server with all assets."""
        population = self.population()
        with plain_server(population, "operator", self.scratch) as plain, served(population) as node:
            askers = [(Signer(population.profiles[f"fsp-{place}"]), population.assets_of(place)) for place in range(CLIENTS)]
            pairs = [(signer, asset) for _, (signer, asset) in zip(range(LOOKUPS), _in_turn(askers), strict=False)]

            def asking() -> float:
                return drive(node.url, dealt([signer.query(_point(node, asset)) for signer, asset in pairs], CLIENTS)).rate

            def reading() -> float:
                requests = [signer.request("GET", f"/assets/{asset.id}", Accept="text/turtle") for signer, asset in pairs]
                return drive(node.url, dealt(requests, CLIENTS)).rate

            def plainly(text: str) -> Callable[[], float]:
                return lambda: drive(plain, dealt([plain_query(plain, text.format(_iri(node, asset))) for _, asset in pairs], CLIENTS)).rate

            ours, theirs = medians(asking, plainly(POINT))
            yield self.figure("lookup", "SPARQL point lookup, DPoP, 8 clients", f"{ours:,.0f}/s", f"plain server, same query: {theirs:,.0f}/s", ours / theirs, "0.12")
            ours, theirs = medians(reading, plainly(DESCRIBE))
            yield self.figure("lookup", "record read, DPoP, 8 clients", f"{ours:,.0f}/s", f"its DESCRIBE: {theirs:,.0f}/s", ours / theirs, "report")

    def identifiers(self) -> Iterator[Figure]:
        """Lookups by identifier in this process, beside the same in a register of 1,000 assets."""
        here, there = (Finder(self.shelf.register(Plan(size), with_graph=False)) for size in (self.size, 1_000))
        for scheme in sorted(here.values.keys() & there.values.keys()):
            ours, theirs = medians(lambda scheme=scheme: here.seconds(scheme), lambda scheme=scheme: there.seconds(scheme), 15)
            yield self.figure("identifiers", f"lookup by {scheme}, in process", f"{1000 * ours:.3f} ms", f"1,000 assets: {1000 * theirs:.3f} ms", ours / theirs, "within 1.3")
        here.close(), there.close()

    def area(self) -> Iterator[Figure]:
        """A join and an aggregate over a licence area by its DSO, beside the DSO's rows alone in a plain server."""
        population = self.population()
        own = population.profiles["dso-east"].organisation.rpartition("/")[2]
        with plain_server(population, own, self.scratch) as plain, served(population) as node:
            signer = Signer(population.profiles["dso-east"])
            for what, text in (("join of 5 patterns over a licence area", JOIN), ("aggregate over a licence area", AGGREGATE)):
                ours, theirs = medians(lambda text=text: _one(node.url, signer.query(text)), lambda text=text: _one(plain, plain_query(plain, text)), 9)
                yield self.figure("area", what, f"{1000 * ours:.1f} ms", f"the same rows alone: {1000 * theirs:.1f} ms", theirs / ours, "0.8")

    def registers(self) -> Iterator[Figure]:
        """The same DSO's questions to three nodes in turn, whose registers have 1, 50 and 500 other organisations."""
        with ExitStack() as stack:
            nodes = {providers: stack.enter_context(served(self.population(providers))) for providers in (1, 50, 500)}
            signers = {providers: Signer(node.population.profiles["dso-east"]) for providers, node in nodes.items()}

            def whole(text: str) -> Callable[[int], float]:
                return lambda providers: _one(nodes[providers].url, signers[providers].query(text))

            def point(providers: int) -> float:
                node, signer = nodes[providers], signers[providers]
                east = [asset for asset in node.population.assets if asset.judged["dnoConnection"] != "UKPN_SPN"][:100]
                return drive(node.url, [[signer.query(_point(node, asset)) for asset in east]]).median

            for what, ask in {"join of 5 patterns": whole(JOIN), "aggregate": whole(AGGREGATE), "point lookup": point}.items():
                rounds = [{providers: ask(providers) for providers in nodes} for _ in range(2 * ROUNDS + 1)]
                taken = {providers: statistics.median(each[providers] for each in rounds) for providers in nodes}
                for providers in (50, 500):
                    ratio = taken[providers] / taken[1]
                    yield self.figure("registers", f"{what}, {providers} other organisations", f"{1000 * taken[providers]:.2f} ms", f"1: {1000 * taken[1]:.2f} ms", ratio, "within 1.1")

    def register(self) -> Iterator[Figure]:
        """Registrations by 8 clients, and how far behind the graph is after the last; beside a loop of pyshacl alone."""
        population = self.population()
        with served(population) as node:
            signers = [Signer(population.profiles[f"fsp-{place}"]) for place in range(CLIENTS)]
            unseen = fresh()
            coming = iter([next(unseen) for _ in range(ROUNDS * 20 * CLIENTS)])
            shapes = rdflib.Graph()
            shapes.parse(packaged("shapes") / "asset.ttl")
            graphs = [_rdf(asset) for asset in list(assets(Plan(40, seed=77), "https://plain.example"))]
            lags: list[float] = []

            def ours() -> float:
                documents = [next(coming) for _ in range(20 * CLIENTS)]
                requests = [signers[place % CLIENTS].request("POST", "/assets", asset.body, **{"Content-Type": "application/ld+json"}) for place, asset in enumerate(documents)]
                run = drive(node.url, dealt(requests, CLIENTS))
                lags.append(_lag(node))
                return run.rate

            def theirs() -> float:
                started = time.perf_counter()
                for graph in graphs[:20]:
                    pyshacl.validate(graph, shacl_graph=shapes, inference="none", inplace=True)
                return 20 / (time.perf_counter() - started)

            rate, plain = medians(ours, theirs)
            worst = max(lags)
            yield self.figure("register", f"registration, 8 clients; in the graph after at most {worst:.1f} s", f"{rate:,.0f}/s", f"pyshacl alone: {plain:,.0f}/s", rate / plain, "0.9")

    def bulk(self) -> Iterator[Figure]:
        """A batch of rows by one provider in one request: until the last row is answered, and until it is in all graphs, and what each process
        worked for a row; beside the engine alone, which is given what these rows put into the graphs and does nothing else."""
        population, taken = self.population(), list[tuple[float, float, dict[str, float]]]()
        bare = self.scratch / f"bare-{self.size}"
        shutil.copytree(population.folder.graph, bare)
        with served(population) as node:
            signer, unseen = Signer(population.profiles["fsp-0"]), fresh()
            for _ in range(3):
                body = b"\n".join(next(unseen).body for _ in range(BULK))
                request, before = signer.request("POST", "/assets/batch", body, **{"Content-Type": "application/x-ndjson"}), node.worked()
                seconds = drive(node.url, [[request]]).seconds
                lag, after = _lag(node), node.worked()
                taken.append((seconds, lag, {name: after[name] - before.get(name, 0.0) for name in after}))
        seconds, lag, worked = sorted(taken, key=lambda each: each[0])[1]
        told = ", ".join(f"{name} {1000 * each / BULK:.1f}" for name, each in sorted(worked.items(), key=lambda each: -each[1]) if each / BULK > 5e-5)
        rate, work, quads = _engine_alone(population, bare)
        what = f"bulk registration, {BULK:,} rows in one request, {quads:.0f} quads each; processor ms for a row: {told}"
        whole, beside = BULK / (seconds + lag), f"the engine alone, the same quads: {rate:,.0f}/s, {work:.1f} ms for a row"
        yield self.figure("bulk", what, f"answered {BULK / seconds:,.0f}/s, in all graphs {whole:,.0f}/s", beside, whole / rate, "250/s")

    def commit(self) -> Iterator[Figure]:
        """The journal alone: entries per second when 32 submissions share a commit, beside one in each."""
        with _Drafts(self.scratch / f"commit-{self.size}") as (journal, drafts):
            def many() -> float:
                return _commits(journal, drafts, 20, 32)

            def single() -> float:
                return _commits(journal, drafts, 200, 1)

            ours, theirs = medians(many, single)
            sync = _sync_seconds(self.scratch / "synced")
            yield self.figure("commit", "group commit, 32 submissions", f"{ours:,.0f}/s", f"one: {theirs:,.0f}/s (an fsync of 20 kB: {1000 * sync:.2f} ms)", ours / theirs, "8")

    def restart(self) -> Iterator[Figure]:
        """Seconds from the start to ready; entries per second of a graph made anew."""
        population = self.population()
        taken = []
        for _ in range(3):
            with served(population) as node:
                taken.append(node.started)
        yield self.figure("restart", "restart until ready", f"{statistics.median(taken):.2f} s", "-", None, "2 s at 100,000")
        rate = self.shelf.rates[population.plan]
        yield self.figure("restart", "rebuild of the graph", f"{rate:,.0f} entries/s", "-", None, "300/s")

    def runaway(self) -> Iterator[Figure]:
        """20 light callers at an easy pace, alone and beside one whose query never ends."""
        population = self.population()
        with served(population) as node:
            signers = [(Signer(population.profiles[f"fsp-{place}"]), population.assets_of(place) or population.assets) for place in range(1, 21)]
            late: list[float] = []

            def light() -> float:
                return _paced(node, signers).percentile(0.95)

            def beside() -> float:
                thread = threading.Thread(target=lambda: late.append(_overdue(population, 1.5)))
                thread.start()
                time.sleep(0.1)
                found = _paced(node, signers).percentile(0.95)
                thread.join()
                return found

            alone, accompanied = medians(light, beside)
            yield self.figure("runaway", "p95 of 20 light callers beside a runaway query", f"{1000 * accompanied:.1f} ms", f"alone: {1000 * alone:.1f} ms", accompanied / alone, "within 1.2")
            yield self.figure("runaway", "a runaway query is answered after its deadline by", f"{max(late):.2f} s", "-", None, "0.5 s")

    def quiet(self) -> Iterator[Figure]:
        """Point lookups and record reads of one tenant, alone and beside another that is over its limit with 50 connections."""
        population = self.population()
        with served(population) as node:
            own, others = population.assets_of(1), population.assets_of(2)
            asked = {
                "point lookup": lambda signer, asset: signer.query(_point(node, asset)),
                "record read": lambda signer, asset: signer.request("GET", f"/assets/{asset.id}", Accept="text/turtle"),
            }
            floods: dict[str, Callable[[Signer, int], bytes]] = {
                "lookups and reads": lambda loud, place: asked["point lookup" if place % 2 else "record read"](loud, others[place % len(others)]),
                "heavy queries": lambda loud, place: loud.query(HEAVY) if place % 3 else asked["record read"](loud, others[place % len(others)]),
            }
            for what, ask in asked.items():
                for mix, make in floods.items():
                    def sending(ask: Ask = ask) -> list[bytes]:
                        signer = Signer(population.profiles["fsp-1"])
                        return [ask(signer, own[turn % len(own)]) for turn in range(QUIET)]

                    def flooding(make: Callable[[Signer, int], bytes] = make) -> list[list[bytes]]:
                        return dealt_out(partial(make, Signer(population.profiles["fsp-2"])))

                    alone, beside, sent = rounds(node, sending, flooding, REFUSED[mix], ROUNDS, rest=11.0)
                    before, during = percentiles(alone), percentiles(beside)
                    print(f"  {mix}: {sent[-1]}", flush=True)
                    for name, one, other in zip(("p50", "p95", "p99"), before, during, strict=True):
                        yield self.figure("quiet", f"{name} of a quiet {what} beside a flood of {mix}", f"{other:.2f} ms", f"alone: {one:.2f} ms", other / one, "within 1.2")


POINT = "SELECT ?p ?o {{ <{}> ?p ?o }}"
DESCRIBE = "DESCRIBE <{}>"


def _in_turn(askers: list[tuple[Signer, list[Asset]]]) -> Iterator[tuple[Signer, Asset]]:
    for turn in count():
        for signer, own in askers:
            yield signer, own[turn % len(own)]


def _iri(node: Served, asset: Asset) -> str:
    return f"{node.url}/assets/{asset.id}"


def _point(node: Served, asset: Asset) -> str:
    return POINT.format(_iri(node, asset))


def _one(url: str, request: bytes) -> float:
    return drive(url, [[request]]).seconds


def fresh() -> Iterator[Asset]:
    """Documents that no register of this run holds yet: meter points and serial numbers of their own."""
    for place, asset in enumerate(assets(Plan(10_000, seed=random.randrange(2, 10**9)), "https://plain.example")):
        changes = {"serialNumber": f"FRESH-{random.getrandbits(48):x}-{place}"} if "serialNumber" in asset.submitted else {}
        yield Asset(asset.id, asset.provider, {**asset.submitted, **changes, **_moved_points(asset)}, asset.judged, asset.faults)


def _moved_points(asset: Asset) -> dict[str, str]:
    area = asset.judged["dnoConnection"]
    return {term: meter_point(area, random.randrange(5 * 10**9, 9 * 10**9)) for term in ("importMPAN", "exportMPAN") if term in asset.judged}


def _rdf(asset: Asset) -> rdflib.Graph:
    lines = "\n".join(f"{triple} ." for triple in triples(asset.judged, Vocabulary.load()))
    return rdflib.Graph().parse(data=lines, format="nt")


class _Noting(Graph):
    """A graph that notes what it is to apply instead."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.noted: list[tuple[list[Change], int]] = []

    def apply(self, changes: Sequence[Change], index: int) -> None:
        self.noted.append((list(changes), index))


def _engine_alone(population: Population, bare: Path) -> tuple[float, float, float]:
    """The rows that a register has more than a copy of its graph, put into that copy as the writer does: rows a second, ms of all its threads for a row, quads of a row."""
    noting = _Noting(bare)
    projector = Projector(open_register(population.folder), noting, Vocabulary.load(), population.profiles["operator"].node)
    while projector.catch_up():
        pass
    noting.close()
    noted, graph = noting.noted, Graph(bare)
    rows = noted[-1][1] - graph.applied
    started, worked = time.perf_counter(), time.process_time()
    for place, (changes, index) in enumerate(noted):
        graph.apply(changes, index)
        graph.snapshot(bare.parent / f"{bare.name}-seen" / str(place))
    seconds, work = time.perf_counter() - started, time.process_time() - worked
    graph.close()
    return rows / seconds, 1000 * work / rows, sum(len(change.insert) for changes, _ in noted for change in changes) / rows


def _lag(node: Served) -> float:
    """Seconds until the graph that queries see holds everything that is in the journal now."""
    profile = node.population.profiles["operator"]
    started = time.perf_counter()
    with connect(profile) as client:
        size = int(client.get("/journal/checkpoint").text.split("\n")[1])
        headers = {"Content-Type": "application/sparql-query", "Fmar-Min-Journal-Index": str(size - 1)}
        while (response := client.post("/sparql", content=b"ASK {}", headers=headers)).status_code == 503:
            pass  # it waits for so long, and says then that the graph is behind
        response.raise_for_status()
    return time.perf_counter() - started


class Finder:
    """Looks a provider's assets up by the identifiers that they have."""

    def __init__(self, population: Population) -> None:
        self.register = open_register(population.folder)
        self.reader = Reader(self.register, Vocabulary.load())
        organisation = self.register.current("organisations", population.profiles["fsp-0"].organisation.rpartition("/")[2])
        assert organisation is not None
        self.caller = caller_of(organisation.document)
        self.values: dict[str, list[str]] = defaultdict(list)
        for asset in random.Random(1).sample(own := population.assets_of(0), min(300, len(own))):
            if point := asset.judged.get("importMPAN"):
                self.values["MPAN"].append(point)
            if "serialNumber" in asset.judged:
                self.values["SERIAL"].append(f"{asset.judged['manufacturer']}|{asset.judged['serialNumber']}")
            for alias in asset.judged.get("alias", ()):
                self.values[alias["scheme"]].append(alias["value"])

    def seconds(self, scheme: str) -> float:
        """The median of a lookup."""
        taken = []
        for value in self.values[scheme]:
            started = time.perf_counter()
            found = self.reader.lookup(scheme, value, self.caller)
            taken.append(time.perf_counter() - started)
            if not found:
                raise RuntimeError(f"no asset has {scheme} {value}")
        return statistics.median(taken)

    def close(self) -> None:
        self.register.connection.close()


class _Drafts:
    """A journal of its own, and drafts for it without end."""

    def __init__(self, folder: Path) -> None:
        self.market = Market(folder)

    def __enter__(self) -> tuple[Journal, Iterator[Callable[[int], Draft]]]:
        self.market.join("operator", "FMAR_OPERATOR")
        provider = self.market.join("fsp", "FSP")
        filling = Filling(self.market.journal, Vocabulary.load(), "https://node.example")
        made = list(assets(Plan(ROUNDS * (20 * 32 + 200)), "https://node.example"))
        return self.market.journal, ((lambda index, asset=asset: filling.draft(asset, provider, index)) for asset in made)

    def __exit__(self, *_: object) -> None:
        self.market.close()


def _commits(journal: Journal, drafts: Iterator[Callable[[int], Draft]], batches: int, each: int) -> float:
    size = journal.tree.size
    ready = [[next(drafts)(size + each * batch + place) for place in range(each)] for batch in range(batches)]
    started = time.perf_counter()
    for group in ready:
        with journal.batch() as batch:
            for draft in group:
                with batch.savepoint():
                    batch.append(draft)
    return batches * each / (time.perf_counter() - started)


def _sync_seconds(file: Path) -> float:
    """The median of writing 20 kB and waiting for the disk."""
    taken = []
    with file.open("wb") as out:
        for _ in range(100):
            started = time.perf_counter()
            out.write(bytes(20_000))
            out.flush()
            os.fdatasync(out.fileno())
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def _paced(node: Served, signers: list[tuple[Signer, list[Asset]]]) -> Run:
    """Each light caller asks once, one after the other, twenty times around: no queue of their own making."""
    requests = [signer.query(_point(node, own[turn % len(own)])) for turn in range(20) for signer, own in signers]
    return drive(node.url, [requests])


def _overdue(population: Population, seconds: float) -> float:
    """How long after its deadline a query is answered that would run for ever."""
    with connect(population.profiles["fsp-0"]) as client:
        client.get("/organisations?limit=1")
        started = time.perf_counter()
        response = client.post(f"/sparql?timeout={seconds}", content=RUNAWAY.encode(), headers={"Content-Type": "application/sparql-query"})
        assert response.json()["code"] == "query-timeout", response.text
    return time.perf_counter() - started - seconds


