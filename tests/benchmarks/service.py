"""What is measured, running: a node on a filled folder, and a plain Oxigraph server on some triples."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pyoxigraph as ox

from fmar_node.keeping.maintenance import rebuild_graph
from fmar_node.store.graph import Graph
from tests.benchmarks.population import Plan, Population, populate
from tests.live import free_port

OXIGRAPH = Path(sys.executable).with_name("oxigraph")


class Shelf:
    """Registers by plan, made once in a run and gone with it: a copy of the one on the shelf is measured."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[Plan, Population] = {}
        self.rates: dict[Plan, float] = {}
        """Entries per second of the graphs that were made."""

    def register(self, plan: Plan, with_graph: bool = True) -> Population:
        if plan not in self.made:
            root = self.folder / f"register-{len(self.made)}"
            started = time.perf_counter()
            self.made[plan] = populate(root, f"http://127.0.0.1:{free_port()}", plan)
            print(f"  made {plan.assets:,} assets of {plan.providers} providers in {time.perf_counter() - started:.0f} s", flush=True)
        population = self.made[plan]
        if with_graph and not population.folder.graph.exists():
            started = time.perf_counter()
            entries = rebuild_graph(population.folder)
            self.rates[plan] = entries / (time.perf_counter() - started)
            print(f"  graph of {entries:,} entries ({self.rates[plan]:,.0f}/s)", flush=True)
        return population


class Served:
    """A node in processes of its own on a population's folder; `started` says how many seconds it took to be ready."""

    def __init__(self, population: Population, **settings: str) -> None:
        self.population, self.url = population, population.profiles["operator"].node
        command = [sys.executable, "-m", "fmar_node.cli", "serve", "--data", str(population.root)]
        began = time.perf_counter()
        self.log = (population.root.parent / f"{population.root.name}.log").open("ab")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env={**os.environ, **settings}, start_new_session=True)
        self.started = self._wait() - began

    def _wait(self) -> float:
        deadline = time.monotonic() + 900
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx.get(f"{self.url}/readyz", trust_env=False).status_code == 200:
                    return time.perf_counter()
            except httpx.HTTPError:
                pass
            time.sleep(0.02)
        raise RuntimeError(f"the node did not become ready; see {self.log.name}")

    def memory(self) -> dict[str, int]:
        """Resident bytes by kind of process, of the largest of each."""
        found: dict[str, int] = {}
        for name, entry, _ in self._processes():
            with suppress(OSError, ValueError, IndexError):
                found[name] = max(found.get(name, 0), int((entry / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        return found

    def worked(self) -> dict[str, float]:
        """Seconds of processors that each kind of process has had."""
        found: dict[str, float] = {}
        for name, _, stat in self._processes():
            found[name] = found.get(name, 0.0) + sum(map(int, stat[11:13])) / os.sysconf("SC_CLK_TCK")
        return found

    def _processes(self) -> Iterator[tuple[str, Path, list[str]]]:
        """The node's processes: kind, place in /proc, and what follows the name in `stat`."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError, IndexError):
                    stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                    words = (entry / "cmdline").read_bytes().decode().split("\0")
                    if self.process.pid in (int(stat[1]), int(entry.name)):
                        yield next((word.removeprefix("fmar_node.") for word in reversed(words) if word.startswith("fmar_node.")), "other"), entry, stat

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        self.log.close()


@contextmanager
def served(population: Population, **settings: str) -> Iterator[Served]:
    node = Served(population, **settings)
    try:
        yield node
    finally:
        node.stop()


@contextmanager
def plain_server(population: Population, view: str, scratch: Path) -> Iterator[str]:
    """`oxigraph serve-read-only` over one view of a stopped node's graph, in its default graph; its URL."""
    store, port = scratch / f"plain-{free_port()}", free_port()
    graph = Graph(population.folder.graph)
    target = ox.Store(store)
    target.bulk_extend(ox.Quad(*triple) for triple in graph.triples(f"{population.profiles['operator'].node}/views/{view}"))
    target.flush()
    graph.close()
    del target
    process = subprocess.Popen([OXIGRAPH, "serve-read-only", "--location", store, "--bind", f"127.0.0.1:{port}"], stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                httpx.get(url, trust_env=False)
                break
            except httpx.HTTPError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(store, ignore_errors=True)


def bytes_of(path: Path) -> int:
    """What a file or folder takes on disk."""
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size if path.exists() else 0
