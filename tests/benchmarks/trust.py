"""What trust costs: credentials, records behind them, grants, revocation, keys that change; each beside something plain.

Rules kept here: rounds take turns and medians are compared; what costs the client time is made before the clock starts; a
credential is verified in this process, everything else is asked of a node in processes of its own.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from fmar_node.access.reveal import is_public
from fmar_node.client import CredentialError, connect, new_key, public_part, thumbprint
from fmar_node.keeping.maintenance import rebuild_graph
from tests.benchmarks.credentials import credentials
from tests.benchmarks.granting import granted
from tests.benchmarks.load import Signer, dealt, drive, raw
from tests.benchmarks.population import Asset, Plan, Population
from tests.benchmarks.reach import CLIENTS, JOIN, fresh, medians
from tests.benchmarks.service import Served, Shelf, served
from tests.live import free_port

TRUST_HEAD = "| work | node | beside | ratio |\n|---|---|---|---|"
ASKED = 800
TRUST_ROWS = ("credentials", "overhead", "grants", "rotation")
PROVIDERS, ASSETS = 200, 2_000
LARGE = (1_000, 10_000)
LD_JSON = {"Content-Type": "application/ld+json"}
SPARQL = {"Content-Type": "application/sparql-query", "Accept": "application/sparql-results+json"}
UNLIMITED = {f"FMAR_{name}_REQUESTS": "0" for name in ("ORGANISATION", "APPLICATION", "ANONYMOUS")} | {"FMAR_QUERY_BUDGET": "0"}
"""Nobody is to be slowed down: what is measured is the work."""
COUNT = "SELECT (COUNT(*) AS ?n) { ?asset a <https://w3id.org/fmar/ns#Asset> }"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row: what was done, how fast, what was run beside it, and the ratio."""

    what: str
    node: str
    beside: str
    ratio: float | None = None

    @property
    def row(self) -> str:
        return f"| {self.what} | {self.node} | {self.beside} | {'' if self.ratio is None else f'{self.ratio:.3g}'} |"


class Trust:
    """The table's rows; `rows` names them."""

    def __init__(self, shelf: Shelf, scratch: Path) -> None:
        self.shelf, self.scratch = shelf, scratch
        self.rows: dict[str, Callable[[], Iterator[Finding]]] = {
            "credentials": lambda: (Finding(*each) for each in credentials(scratch / "credentials")), "overhead": self.overhead, "grants": self.grants, "rotation": self.rotation,
        }  # fmt: skip

    # -- security on a read

    def overhead(self) -> Iterator[Finding]:
        """The same request with a credential and without one, 8 clients, for the same bytes of answer: what everybody sees."""
        population = self.shelf.register(Plan(ASSETS, 30))
        with served(population, **UNLIMITED, FMAR_QUERY_PER_ORGANISATION="2") as node:
            signers = [Signer(population.profiles[f"fsp-{place}"]) for place in range(CLIENTS)]
            public = [asset for asset in population.assets if is_public(asset.judged) and asset.provider >= CLIENTS]
            pairs = [(signers[place % CLIENTS], public[place % len(public)]) for place in range(ASKED)]
            point = f"SELECT ?p ?o {{{{ GRAPH <{node.url}/views/public> {{{{ <{{}}> ?p ?o }}}} }}}}"

            def lookup(asset: Asset) -> tuple[str, str, bytes, dict[str, str]]:
                return "POST", "/sparql", point.format(f"{node.url}/assets/{asset.id}").encode(), SPARQL

            def read(asset: Asset) -> tuple[str, str, bytes, dict[str, str]]:
                return "GET", f"/assets/{asset.id}", b"", {"Accept": "text/turtle"}

            for what, make in (("SPARQL point lookup", lookup), ("record read", read)):
                def proved(make: Any = make) -> float:
                    requests = [signer.request(method, path, body, **headers) for signer, asset in pairs for method, path, body, headers in [make(asset)]]
                    return drive(node.url, dealt(requests, CLIENTS)).rate

                def openly(make: Any = make) -> float:
                    requests = [raw(httpx.Request(method, node.url + path, content=body, headers=headers)) for _, asset in pairs for method, path, body, headers in [make(asset)]]
                    return drive(node.url, dealt(requests, CLIENTS)).rate

                ours, theirs = medians(proved, openly, 9)
                yield Finding(f"{what} with a DPoP credential, 8 clients", f"{ours:,.0f}/s", f"the same without a credential: {theirs:,.0f}/s", ours / theirs)

    # -- grants

    def grants(self) -> Iterator[Finding]:
        """A platform that 200 providers have granted their assets: its requests, its graph, and what a grant that comes and goes costs."""
        alone = self.shelf.register(Plan(ASSETS, 1))
        with served(self._granted("granted"), **UNLIMITED) as node:
            with served(alone, **UNLIMITED) as other:
                yield self._graph(node, other)
            yield from self._requests(node)
            yield from self._revocations(node)
        with served(self._granted("large", LARGE), **UNLIMITED) as node:
            for size in LARGE:
                yield from self._large(node, size)

    def _granted(self, name: str, large: Sequence[int] = ()) -> Population:
        population = granted(self.scratch / name, f"http://127.0.0.1:{free_port()}", Plan(ASSETS, PROVIDERS), large)
        rebuild_graph(population.folder)
        return population

    def _requests(self, node: Served) -> Iterator[Finding]:
        profiles, own = node.population.profiles, node.population.assets_of(0)
        signers = {name: Signer(profiles[name]) for name in ("platform", "platform-one")}
        writer = Signer(profiles["outsider"])

        def asked(name: str) -> float:
            requests = [signers[name].request("GET", f"/assets/{own[turn % len(own)].id}", Accept="text/turtle") for turn in range(200)]
            return drive(node.url, [requests]).median

        many, one = medians(lambda: asked("platform"), lambda: asked("platform-one"), 21)
        yield Finding("record read by a platform with 200 delegations", f"{1000 * many:.2f} ms", f"with 1: {1000 * one:.2f} ms", many / one)
        with written(node, writer) as rate:
            many, one = medians(lambda: asked("platform"), lambda: asked("platform-one"), 21)
        yield Finding(f"the same while others register assets ({rate():,.0f}/s)", f"{1000 * many:.2f} ms", f"with 1: {1000 * one:.2f} ms", many / one)

    def _graph(self, node: Served, other: Served) -> Finding:
        platform, owner = Signer(node.population.profiles["platform"]), Signer(other.population.profiles["fsp-0"])
        many, one = medians(lambda: drive(node.url, [[platform.query(JOIN)]]).seconds, lambda: drive(other.url, [[owner.query(JOIN)]]).seconds, 15)
        return Finding("join of 5 patterns over the graph of 200 grants", f"{1000 * many:.1f} ms", f"an organisation that manages the same assets itself: {1000 * one:.1f} ms", many / one)

    def _revocations(self, node: Served) -> Iterator[Finding]:
        """The next request after the answer to a revocation, on behalf of who has revoked; beside a request before it."""
        population, taken, before, let = node.population, [], [], 0
        for number in range(1, 11):
            acting = Signer(population.profiles["platform"].acting_for(population.profiles[f"fsp-{number}"].organisation))
            requests = [acting.request("GET", "/assets?limit=1") for _ in range(40)]
            before.append(drive(node.url, [requests[:20]]).median)
            with connect(population.profiles[f"fsp-{number}"]) as client:
                (given_,) = client.get("/delegations").json()["items"]
                assert client.post(f"{given_['id']}/revocation").status_code == 200
            started = time.perf_counter()
            for request in requests[20:]:
                if not is_answered(node.url, request):
                    break
                let += 1
            taken.append(time.perf_counter() - started)
        first, usual = statistics.median(taken), statistics.median(before)
        yield Finding(f"from a revocation's answer to the first refusal ({let} of 10 requests still answered)", f"{1000 * first:.1f} ms", f"a request before: {1000 * usual:.1f} ms", first / usual)

    def _large(self, node: Served, size: int) -> Iterator[Finding]:
        """A provider of so many assets grants, and takes back: until the platform's graph has it, and what writers notice."""
        population = node.population
        provider, platform, writer = (population.profiles[name] for name in (f"large-{size}", "platform", "outsider"))
        with connect(provider) as giving, connect(platform) as taking, paced_writer(node, Signer(writer)) as writing:
            time.sleep(3.0)
            quiet = writing.since(0)
            held = rows(taking)
            offer = {"type": "Delegation", "delegate": platform.organisation, "permission": ["READ"], "assetScope": "ALL_ASSETS", "validTo": "2099-01-01"}
            made_ = giving.post("/delegations", json=offer, headers=LD_JSON)
            assert made_.status_code == 201, made_.text
            for what, client, action, expected in (
                ("appear in", taking, "acceptance", held + size),
                ("leave", giving, "revocation", held),
            ):
                mark = len(writing.latencies)
                assert client.post(f"{made_.headers['Location']}/{action}").status_code == 200
                started = time.perf_counter()
                while abs(rows(taking) - expected) > size // 2:
                    pass
                seconds, during = time.perf_counter() - started, writing.since(mark)
                yield Finding(f"{size:,} assets {what} a platform's graph", f"{seconds:.2f} s", f"{size / seconds:,.0f} assets/s")
                yield Finding(
                    f"p95 of others' registrations meanwhile ({size:,} {what})", f"{1000 * during:.0f} ms", f"before: {1000 * quiet:.0f} ms", during / quiet
                )

    # -- keys that change

    def rotation(self) -> Iterator[Finding]:
        """Four clients with tokens of ten seconds that read without pause, while the node's signing key and one of theirs change."""
        population = self.shelf.register(Plan(ASSETS, 30))
        with served(population, **UNLIMITED, FMAR_TOKEN_SECONDS="10", FMAR_SIGNING_KEY_SECONDS="2"):
            def steady() -> None:
                time.sleep(20.0)

            def changing() -> None:
                for _ in range(2):
                    time.sleep(3.0)
                    subprocess.run([sys.executable, "-m", "fmar_node.cli", "key", "rotate-signing", "--data", str(population.root)], check=True, stdout=subprocess.DEVNULL)
                    time.sleep(3.0)
                    readers[0].change_key()
                time.sleep(8.0)

            readers = [Reading(population, f"fsp-{place}") for place in range(4)]
            before = self._rates(readers, steady)
            during = self._rates(readers, changing)
            again = self._rates(readers, steady)
            usual = (before + again) / 2
            failures = sum(reader.failures for reader in readers)
            yield Finding(f"reads while signing and application keys change twice ({failures} failures)", f"{during:,.0f}/s", f"while nothing changes: {usual:,.0f}/s", during / usual)

    def _rates(self, readers: list[Reading], meanwhile: Callable[[], None]) -> float:
        counts, stop = [0] * len(readers), threading.Event()

        def read(place: int) -> None:
            while not stop.is_set():
                counts[place] += readers[place].read()

        threads = [threading.Thread(target=read, args=(place,)) for place in range(len(readers))]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        try:
            meanwhile()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        return sum(counts) / (time.perf_counter() - started)


class Reading:
    """A participant that reads its own assets, one after the other, and may change its key."""

    def __init__(self, population: Population, name: str) -> None:
        self.profile, self.failures, self.turn = population.profiles[name], 0, 0
        self.own = population.assets_of(int(name.rpartition("-")[2]))
        self.client = connect(self.profile)

    def read(self) -> int:
        self.turn += 1
        try:
            answer = self.client.get(f"/assets/{self.own[self.turn % len(self.own)].id}")
        except CredentialError:
            self.failures += 1
            return 0
        self.failures += answer.status_code != 200
        return int(answer.status_code == 200)

    def change_key(self) -> None:
        """As `fmar key rotate` does it: the new key is registered, used, and then the old one revoked."""
        old, key = self.profile, new_key()
        note = {"clientId": old.client_id, "applicationName": old.client_id, "publicKey": json.dumps(public_part(key))}
        with connect(old) as client:
            assert client.post(f"{old.organisation}/key-registration", json=note, headers=LD_JSON).status_code == 200
        self.profile = replace(old, key=key)
        self.client = connect(self.profile)
        with connect(self.profile) as client:
            note = {"clientId": old.client_id, "keyId": thumbprint(old.key)}
            assert client.post(f"{old.organisation}/key-revocation", json=note, headers=LD_JSON).status_code == 200


# -- asking a node


def is_answered(url: str, request: bytes) -> bool:
    """Whether a request is not refused."""
    try:
        drive(url, [[request]])
    except RuntimeError as refusal:
        assert " 401 " in str(refusal)[:40], refusal
        return False
    return True


def rows(client: httpx.Client) -> int:
    """How many assets a caller's graph holds, as soon as it is as new as its rights."""
    while True:
        answer = client.post("/sparql", content=COUNT, headers=SPARQL)
        if answer.status_code == 200:
            return int(answer.json()["results"]["bindings"][0]["n"]["value"])
        assert answer.json()["code"] == "graph-behind", answer.text


def registering(signer: Signer, asset: Asset) -> bytes:
    return signer.request("POST", "/assets", asset.body, **LD_JSON)


@contextmanager
def written(node: Served, signer: Signer) -> Iterator[Callable[[], float]]:
    """Within, assets are registered without pause over two connections; how many a second there have been."""
    stop, unseen, count, started = threading.Event(), fresh(), [0, 0], time.perf_counter()
    lock = threading.Lock()

    def write(place: int) -> None:
        while not stop.is_set():
            with lock:
                requests = [registering(signer, next(unseen)) for _ in range(10)]
            drive(node.url, [requests])
            count[place] += 10

    threads = [threading.Thread(target=write, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: sum(count) / (time.perf_counter() - started)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


class PacedWriter:
    """Registers one asset after the other, at an easy pace, and notes how long each took."""

    def __init__(self, node: Served, signer: Signer) -> None:
        self.node, self.signer, self.latencies, self.stop = node, signer, list[float](), threading.Event()
        self.thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        unseen = fresh()
        while not self.stop.wait(0.03):
            self.latencies.append(drive(self.node.url, [[registering(self.signer, next(unseen))]]).seconds)

    def since(self, place: int) -> float:
        """The 95th percentile of what has been written since a place."""
        while len(self.latencies) < place + 10:
            time.sleep(0.05)
        ordered = sorted(self.latencies[place:])
        return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


@contextmanager
def paced_writer(node: Served, signer: Signer) -> Iterator[PacedWriter]:
    writer = PacedWriter(node, signer)
    writer.thread.start()
    try:
        yield writer
    finally:
        writer.stop.set()
        writer.thread.join()
