"""What grows with the register: rates, latencies, bytes, memory, start, rebuild, at one size after another."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from fmar_node.kinds import KINDS
from tests.benchmarks.load import Signer, drive
from tests.benchmarks.population import Asset, Plan, Population
from tests.benchmarks.reach import POINT, Finder, fresh
from tests.benchmarks.service import Served, Shelf, bytes_of, served

ASKED = 200
GROWTH_HEAD = (
    "| assets | filled | rebuild | ready | point lookup | read | list page | by MPAN | register | journal | WAL | graph | per asset | memory |\n"
    + "|"
    + "---|" * 14
)
REBUILD = "import sys; from pathlib import Path; from fmar_node.folder import Folder; from fmar_node.keeping.maintenance import rebuild_graph; print(rebuild_graph(Folder(Path(sys.argv[1]))))"


@dataclass(frozen=True, slots=True)
class Growth:
    """One size's row."""

    text: str


def grown(shelf: Shelf, size: int, graph_seconds: float) -> Growth:
    """Fills a register of this size, its graph as far as it gets, and asks it; latencies are medians of one client."""
    started = time.perf_counter()
    population = shelf.register(Plan(size), with_graph=False)
    filled = size / (time.perf_counter() - started)
    wal = bytes_of(population.folder.journal / "journal.db-wal")
    rebuilt = _rebuilt(population, graph_seconds)
    cells = [f"{size:,}", f"{filled:,.0f}/s", f"{size / rebuilt:,.0f}/s" if rebuilt else f"not in {graph_seconds:,.0f} s"]
    cells += _asked(population) if rebuilt else _read_only(population)
    journal, graph = bytes_of(population.folder.journal), bytes_of(population.folder.graph)
    cells[9:9] = [_bytes(journal), _bytes(wal), _bytes(graph), f"{(journal + graph) / size / 1000:.1f} kB"]
    row = "| " + " | ".join(cells) + " |"
    print(row, flush=True)
    return Growth(row)


def _rebuilt(population: Population, most: float) -> float:
    """Seconds to make the graph, in a process that is ended at `most`; 0 where it was not done by then."""
    started = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", REBUILD, str(population.root)], stdout=subprocess.DEVNULL) as process:
        try:
            if process.wait(most):
                raise RuntimeError("the graph could not be made")
        except subprocess.TimeoutExpired:
            process.kill()
            return 0.0
    return time.perf_counter() - started


def _asked(population: Population) -> list[str]:
    """Ready, the five latencies, memory."""
    with served(population) as node:
        signer, own = Signer(population.profiles["fsp-0"]), population.assets_of(0)
        asked = (own * ASKED)[:ASKED]
        with_point = [asset for asset in own if "importMPAN" in asset.judged]
        typed = {"Content-Type": "application/json"}
        kinds: list[Callable[[], list[bytes]]] = [
            lambda: [signer.query(POINT.format(f"{node.url}/assets/{asset.id}")) for asset in asked],
            lambda: [signer.request("GET", f"/assets/{asset.id}") for asset in asked],
            lambda: [signer.request("GET", "/assets?managed=me&limit=50") for _ in range(40)],
            lambda: [signer.request("POST", "/assets/lookup", _lookup(asset), **typed) for asset in (with_point * ASKED)[:ASKED]],
            lambda: [signer.request("POST", "/assets", asset.body, **{"Content-Type": "application/ld+json"}) for asset in _fresh(40)],
        ]
        cells = [f"{node.started:.1f} s"] + [f"{1000 * drive(node.url, [make()]).median:.1f} ms" for make in kinds]
        return [*cells, _memory(node)]


def _read_only(population: Population) -> list[str]:
    """Where there is no graph in time: the journal's lookups and reads in this process."""
    finder, own = Finder(population), population.assets_of(0)
    taken = [
        _median(lambda place: finder.reader.current("assets", own[place % len(own)].id, finder.caller), ASKED),
        _median(lambda _: finder.reader.page(KINDS["assets"], finder.caller, 50, "", True, {}), 20),
        finder.seconds("MPAN"),
    ]
    finder.close()
    return ["-", "-", *(f"{1000 * each:.2f} ms (in process)" for each in taken), "-", "-"]


def _median(run: Callable[[int], object], times: int) -> float:
    found = []
    for place in range(times):
        started = time.perf_counter()
        run(place)
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def _lookup(asset: Asset) -> bytes:
    return f'{{"scheme": "MPAN", "value": "{asset.judged["importMPAN"]}"}}'.encode()


def _fresh(number: int) -> list[Asset]:
    return [asset for asset, _ in zip(fresh(), range(number), strict=False)]


def _memory(node: Served) -> str:
    return ", ".join(f"{name.rpartition('.')[2]} {size / 2**20:.0f}" for name, size in sorted(node.memory().items())) + " MB"


def _bytes(number: int) -> str:
    return f"{number / 1e6:,.0f} MB" if number > 1e6 else f"{number / 1e3:,.0f} kB"
