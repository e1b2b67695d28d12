"""`make bench`: what the node costs, beside something plain that is run in the same minute.

Each figure is the median of rounds that take turns: node, plain, node, plain. Machines differ and are shared: the ratio
is the figure, the rates are colour. Node and plain server are driven by the same loop, with proofs signed before the
clock starts. `--write` puts the table, or with `--growth` the other table, into its page in docs/.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.field import FIELD_ROWS, Field
from tests.benchmarks.growth import GROWTH_HEAD, grown
from tests.benchmarks.picture import bars
from tests.benchmarks.quality import QUALITY_ROWS, Quality
from tests.benchmarks.reach import HEAD, Figure, Reach
from tests.benchmarks.service import Shelf
from tests.benchmarks.switching import SWITCH_ROWS, Switching
from tests.benchmarks.telling import EVENT_ROWS, Telling
from tests.benchmarks.trust import TRUST_HEAD, TRUST_ROWS, Trust

DOCS = Path(__file__).parents[2] / "docs"
MOST_REGISTERS = 10_000
"""Assets of the largest registers that are made three times over, unless that row is asked for."""
ROWS = ("lookup", "identifiers", "area", "registers", "register", "bulk", "commit", "restart", "runaway", "quiet")


def options() -> argparse.Namespace:
    found = argparse.ArgumentParser(prog="make bench ARGS=...")
    found.add_argument("--assets", default="10000", help="sizes of the register, as in 1000,10000,100000")
    found.add_argument("--only", action="append", choices=(*ROWS, *TRUST_ROWS, *FIELD_ROWS, *EVENT_ROWS, *QUALITY_ROWS, *SWITCH_ROWS), help="one row, or several of them")
    found.add_argument("--quiet", action="append_const", const="quiet", dest="only", help="only the latency of a quiet tenant beside a flood")
    found.add_argument("--trust", action="store_true", help="only what trust costs: credentials, grants, revocation, keys that change")
    found.add_argument("--events", action="store_true", help="only what being told costs: webhooks beside a plain client, the lag of the feed")
    found.add_argument("--switch", action="store_true", help="only what a switch of provider costs, beside plain updates")
    found.add_argument("--peers", action="store_true", help="the SPARQL endpoint beside the servers of the field")
    found.add_argument("--quality", action="store_true", help="what judging and scoring cost: compiled shapes beside pyshacl, a register measured again")
    found.add_argument("--growth", default="", help="measure growth at these sizes instead, as in 1000,10000,100000,1000000")
    found.add_argument("--graph-seconds", type=float, default=3600.0, help="longest time to fill a graph, with --growth")
    found.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md or docs/growth.md")
    return found.parse_args()


def machine() -> str:
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), platform.processor())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GB, {platform.system()} {platform.release()}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"


def put(page: Path, table: str, mark: str) -> None:
    """Replaces what stands between the page's marks of this name."""
    before, _, rest = page.read_text("utf-8").partition(f"<!-- {mark} -->\n")
    after = rest.partition(f"<!-- /{mark} -->\n")[2]
    page.write_text(f"{before}<!-- {mark} -->\n{table}\n<!-- /{mark} -->\n{after}", "utf-8")


def sizes(text: str) -> list[int]:
    return [int(each.replace("_", "")) for each in text.split(",")]


def measured(shelf: Shelf, scratch: Path, chosen: argparse.Namespace) -> list[Figure]:
    figures: list[Figure] = []
    for size in sizes(chosen.assets):
        reach = Reach(shelf, scratch, size)
        for name in chosen.only or [row for row in ROWS if row != "registers" or size <= MOST_REGISTERS]:
            for figure in reach.rows[name]():
                print(figure.row, flush=True)
                figures.append(figure)
    return figures


def beside_peers(shelf: Shelf, scratch: Path, chosen: argparse.Namespace) -> Iterator[str]:
    for size in sizes(chosen.assets):
        field = Field(shelf, scratch, size)
        for name in chosen.only or FIELD_ROWS:
            for figure in field.rows[name]():
                print(figure.row, flush=True)
                yield figure.row


def trusted(trust: Trust, only: list[str] | None) -> Iterator[str]:
    for name in only or TRUST_ROWS:
        for finding in trust.rows[name]():
            print(finding.row, flush=True)
            yield finding.row


def told(telling: Telling | Switching, only: list[str] | None) -> Iterator[str]:
    for name in only or telling.rows:
        for finding in telling.rows[name]():
            print(finding.row, flush=True)
            yield finding.row


def of_quality(shelf: Shelf, scratch: Path, chosen: argparse.Namespace) -> Iterator[str]:
    for size in sizes(chosen.assets):
        quality = Quality(shelf, scratch, size)
        for name in chosen.only or QUALITY_ROWS:
            for finding in quality.rows[name]():
                print(finding.row, flush=True)
                yield finding.row


def main() -> None:
    chosen = options()
    command = "make bench ARGS=\"" + " ".join(word for word in sys.argv[1:] if word != "--write") + "\""
    with tempfile.TemporaryDirectory(prefix="fmar-bench-") as folder:
        scratch = Path(folder)
        shelf, mark = Shelf(scratch), "table"
        if chosen.trust:
            page, mark, table = DOCS / "benchmarks.md", "trust", "\n".join([TRUST_HEAD, *trusted(Trust(shelf, scratch), chosen.only)])
        elif chosen.events:
            page, mark, table = DOCS / "benchmarks.md", "events", "\n".join([TRUST_HEAD, *told(Telling(scratch), chosen.only)])
        elif chosen.quality:
            page, mark, table = DOCS / "benchmarks.md", "quality", "\n".join([TRUST_HEAD, *of_quality(shelf, scratch, chosen)])
        elif chosen.switch:
            page, mark, table = DOCS / "benchmarks.md", "switch", "\n".join([TRUST_HEAD, *told(Switching(scratch), chosen.only)])
        elif chosen.peers:
            page, mark, table = DOCS / "benchmarks.md", "peers", "\n".join([HEAD, *beside_peers(shelf, scratch, chosen)])
        elif chosen.growth:
            rows = [row.text for size in sizes(chosen.growth) for row in [grown(shelf, size, chosen.graph_seconds)]]
            page, table = DOCS / "growth.md", "\n".join([GROWTH_HEAD, *rows])
        else:
            figures = measured(shelf, scratch, chosen)
            page, table = DOCS / "benchmarks.md", "\n".join([HEAD, *(figure.row for figure in figures)])
            if chosen.write:
                (DOCS / "benchmarks.svg").write_text(bars(figures), "utf-8")
    if chosen.write:
        put(page, f"`{command}` on {machine()}\n\n{table}", mark)


if __name__ == "__main__":
    main()
