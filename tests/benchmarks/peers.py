"""The servers of the field that a node is measured beside: each on the same triples, in its default graph, unsecured.

Where they come from: Oxigraph's is PyPI's `oxigraph`; Fuseki is the jar `org.apache.jena:jena-fuseki-server` of Maven
Central, named by FUSEKI_JAR; Virtuoso is Debian's `virtuoso-opensource-7`. Who is not there is left out, and the table says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pyoxigraph as ox

from fmar_node.store.graph import Graph
from tests.benchmarks.load import raw
from tests.benchmarks.population import Population
from tests.benchmarks.service import OXIGRAPH
from tests.live import free_port

GRAPH = "urn:fmar:all"
ACCEPT = {"Accept": "application/sparql-results+json"}
WARN_ONLY = "rootLogger.level = warn\nrootLogger.appenderRef.out.ref = out\nappender.out.type = Console\nappender.out.name = out\n"
VIRTUOSO_INI = """[Database]
DatabaseFile = {folder}/virtuoso.db
ErrorLogFile = {folder}/virtuoso.log
LockFile = {folder}/virtuoso.lck
TransactionFile = {folder}/virtuoso.trx
xa_persistent_file = {folder}/virtuoso.pxa
[TempDatabase]
DatabaseFile = {folder}/temp.db
TransactionFile = {folder}/temp.trx
[Parameters]
ServerPort = {sql}
DirsAllowed = {folder}
NumberOfBuffers = 170000
MaxDirtyBuffers = 130000
MaxQueryMem = 2G
ThreadsPerQuery = 4
[HTTPServer]
ServerPort = 127.0.0.1:{http}
ServerRoot = {folder}
ServerThreads = 20
MaxClientConnections = 20
MaxKeepAlives = 20
KeepAliveTimeout = 60
[SPARQL]
ResultSetMaxRows = 2000000
MaxQueryCostEstimationTime = 0
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A running server; `query` is the URL that takes a query as a form (Virtuoso hangs at a direct one)."""

    name: str
    query: str

    def request(self, text: str) -> bytes:
        return raw(httpx.Request("POST", self.query, data={"query": text}, headers=ACCEPT))

    def rows(self, text: str) -> int:
        """How many rows the server answers with, so that all can be seen to answer the same."""
        return len(self.ask(text, 300).raise_for_status().json()["results"]["bindings"])

    def ask(self, text: str, seconds: float) -> httpx.Response:
        return httpx.post(self.query, data={"query": text}, headers=ACCEPT, timeout=seconds, trust_env=False)


def dump(population: Population, view: str, file: Path) -> Path:
    """One view of a stopped node's graph as N-Triples."""
    graph = Graph(population.folder.graph)
    with file.open("wb") as out:
        ox.serialize(graph.triples(f"{population.profiles['operator'].node}/views/{view}"), out, ox.RdfFormat.N_TRIPLES)
    graph.close()
    return file


@contextmanager
def oxigraph(data: Path, scratch: Path, *options: str) -> Iterator[Peer]:
    store, port = scratch / f"oxigraph-{free_port()}", free_port()
    subprocess.run([OXIGRAPH, "load", "--location", store, "--file", data], check=True, capture_output=True)
    command = [str(OXIGRAPH), "serve-read-only", "--location", str(store), "--bind", f"127.0.0.1:{port}", *options]
    with _running("Oxigraph", command, f"http://127.0.0.1:{port}/query", store) as peer:
        yield peer


@contextmanager
def fuseki(data: Path, scratch: Path) -> Iterator[Peer]:
    jar, port = os.environ["FUSEKI_JAR"], free_port()
    store, logging = scratch / f"fuseki-{port}", scratch / "log4j2.properties"
    logging.write_text(WARN_ONLY)
    java = ["java", f"-Dlog4j2.configurationFile={logging}"]
    subprocess.run([*java, "-cp", jar, "tdb2.tdbloader", "--loc", str(store), str(data)], check=True, capture_output=True)
    command = [*java, "-Xmx4G", "-jar", jar, "--tdb2", "--loc", str(store), "--port", str(port), "--localhost", "/fmar"]
    with _running("Fuseki", command, f"http://127.0.0.1:{port}/fmar/query", store) as peer:
        yield peer


@contextmanager
def virtuoso(data: Path, scratch: Path) -> Iterator[Peer]:
    sql, http = free_port(), free_port()
    folder = scratch / f"virtuoso-{http}"
    folder.mkdir()
    shutil.copy(data, folder / "all.nt")
    (folder / "virtuoso.ini").write_text(VIRTUOSO_INI.format(folder=folder, sql=sql, http=http))
    command = ["virtuoso-t", "+foreground", "+configfile", str(folder / "virtuoso.ini")]
    load = f"ld_dir('{folder}', 'all.nt', '{GRAPH}'); rdf_loader_run(); checkpoint;"

    def fill() -> None:
        subprocess.run(["isql-vt", f"127.0.0.1:{sql}", "dba", "dba", f"exec={load}"], check=True, capture_output=True)

    with _running("Virtuoso", command, f"http://127.0.0.1:{http}/sparql?default-graph-uri={GRAPH}", folder, fill) as peer:
        yield peer


@contextmanager
def _running(name: str, command: list[str], query: str, folder: Path, fill: Callable[[], None] | None = None) -> Iterator[Peer]:
    process = subprocess.Popen(command, cwd=folder.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peer = Peer(name, query)
    try:
        _wait(peer, process)
        if fill:
            fill()
        yield peer
    finally:
        process.kill()  # a peer that is past its deadline hears nothing else
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(peer: Peer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            peer.ask("ASK {}", 5).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise RuntimeError(f"{peer.name} did not start")


def missing() -> list[str]:
    """Who cannot be measured here, and how to bring it."""
    found = []
    if not os.environ.get("FUSEKI_JAR"):
        found.append("Fuseki (FUSEKI_JAR names no jar)")
    if not shutil.which("virtuoso-t"):
        found.append("Virtuoso (apt-get install virtuoso-opensource-7)")
    return found


def everyone(stack: ExitStack, data: Path, scratch: Path) -> list[Peer]:
    """All that are there, started; Oxigraph first."""
    peers = [stack.enter_context(oxigraph(data, scratch))]
    if os.environ.get("FUSEKI_JAR"):
        peers.append(stack.enter_context(fuseki(data, scratch)))
    if shutil.which("virtuoso-t"):
        peers.append(stack.enter_context(virtuoso(data, scratch)))
    return peers
