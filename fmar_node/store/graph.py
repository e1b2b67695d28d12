"""The graph, writable: one store, a named graph per view, and the journal index that they hold.

Rules kept here:
- one process has it open, and calls it from one thread; only `snapshot` may run in a second one beside it;
- what belongs together is one update text, or one load, and with it the index: all of it is there after a crash, or nothing;
- a load of changes and a snapshot take turns, since both make the engine flush, and two flushes that meet may wait for ever (RocksDB 12094);
  a view that is made anew takes minutes, and keeps no snapshot waiting;
- the default graph stays empty, so that a forgotten dataset argument shows nothing;
- triples of a change hold IRIs and literals, no blank nodes (they could not be deleted again);
- it follows the journal: it is not fsynced, and whatever is missing is applied again from the journal.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyoxigraph as ox

from fmar_node.errors import Broken, Unavailable
from fmar_node.store import state
from fmar_node.store.snapshot import TEMPORARY, sweep

__all__ = ["Change", "Graph", "Triple", "opened", "vocabulary_triples"]

Triple = ox.Triple
PATIENCE = 3.0
"""Seconds to wait for the end of the last writer."""
LOADED = 10_000
"""Triples from which on what only enters is loaded, by files of the engine's own: half the work of an update (docs/benchmarks.md)."""


@dataclass(frozen=True, slots=True)
class Change:
    """What leaves and what enters one view; `view` is its IRI. Give differences: they cost a tenth of a rewrite.

    A text stands for the triples that it says in N-Triples, but for the dot behind the last one.
    """

    view: str
    delete: Collection[Triple | str] = ()
    insert: Collection[Triple | str] = ()


class Graph:
    """The store in the folder `path`. OSError when another process has it open."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.store = ox.Store(path)
        self.flushing = threading.Lock()
        self.said = state.said(self.store)
        """The journal indexes that the graph says it holds: loads leave those before them to the next update, which deletes them."""
        self.applied = max(self.said, default=-1)
        """The last journal index that the graph holds; -1 when it is empty."""

    def apply(self, changes: Sequence[Change], index: int) -> None:
        """Carry out the changes in their order, and remember `index`, in one transaction.

        Deletions of what is not there and insertions of what is there have no effect. ValueError when
        `index` is before `applied`.
        """
        if index < self.applied:
            raise ValueError(f"the graph holds {self.applied} and cannot go back to {index}")
        is_further = index > self.applied
        if is_further and sum(len(change.insert) for change in changes) >= LOADED and not any(change.delete for change in changes):
            with self.flushing:
                self.store.bulk_extend(itertools.chain(_quads(changes), [state.quad(index)]))
            self.said.append(index)
        else:
            parts = [part for change in changes for part in _statements(change)]
            if is_further:
                parts += [*(f"DELETE DATA {{ {state.block(each)} }}" for each in self.said), f"INSERT DATA {{ {state.block(index)} }}"]
            if parts:
                self.store.update(" ;\n".join(parts))
            if is_further:
                self.said = [index]
        self.applied = index

    def clear(self, view: str) -> None:
        """Remove a view; nothing happens when there is none."""
        self.store.remove_graph(ox.NamedNode(view))

    def load(self, view: str, triples: Iterable[Triple]) -> None:
        """Add many triples to one view, for rebuilding it: atomic by itself, without touching the index."""
        name = ox.NamedNode(view)
        self.store.bulk_extend(ox.Quad(triple.subject, triple.predicate, triple.object, name) for triple in triples)

    def load_quads(self, text: bytes) -> None:
        """Add many quads, N-Quads without blank nodes, for filling an empty graph: fast, without touching the index."""
        self.store.bulk_load(text, format=ox.RdfFormat.N_QUADS)

    def compact(self) -> None:
        """Sort everything that was loaded into one run of files: half the bytes, and queries in half the time (docs/growth.md).

        Takes a quarter of the time that the loading took. A graph that grows by `apply` does not need it.
        """
        self.store.optimize()

    def triples(self, view: str) -> Iterator[Triple]:
        """What a view holds, in no order."""
        for quad in self.store.quads_for_pattern(None, None, None, ox.NamedNode(view)):
            yield quad.triple

    def about(self, view: str, record: str) -> Iterator[Triple]:
        """What a view holds about a record and its parts, as it is stored; parts are the hash IRIs that the record leads to."""
        name, waiting, seen = ox.NamedNode(view), [record], {record}
        while waiting:
            for quad in self.store.quads_for_pattern(ox.NamedNode(waiting.pop()), None, None, name):
                yield quad.triple
                if isinstance(quad.object, ox.NamedNode) and quad.object.value.startswith(f"{record}#") and quad.object.value not in seen:
                    seen.add(quad.object.value)
                    waiting.append(quad.object.value)

    def values(self, view: str, subject: str, predicate: str) -> Iterator[str]:
        """The IRIs and texts that a view holds as values of a property."""
        for quad in self.store.quads_for_pattern(ox.NamedNode(subject), ox.NamedNode(predicate), None, ox.NamedNode(view)):
            yield quad.object.value  # type: ignore[union-attr]

    def views(self) -> list[str]:
        """The IRIs of all views, sorted."""
        names = (name.value for name in self.store.named_graphs())
        return sorted(name for name in names if name != state.GRAPH)

    def snapshot(self, target: Path) -> None:
        """A consistent copy for readers, of hard links; may hold more than `applied` said when it began.

        Takes 10 to 200 ms, seconds in a flood of writes: call it in a thread of its own, and again not before ten times
        its duration. Leftovers beside it are removed. FileExistsError when `target` exists, OSError when the graph is
        closed or cannot be written.
        """
        if target.exists():
            raise FileExistsError(target)
        self.check_open()
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent)
        unfinished = target.with_name(target.name + TEMPORARY)
        with self.flushing:
            self.store.backup(unfinished)
        unfinished.rename(target)

    def check_open(self) -> None:
        """OSError when it is closed."""
        if "store" not in vars(self):
            raise OSError("the graph is closed")

    def close(self) -> None:
        """Flush and let go of the folder. What cannot be flushed is applied again from the journal. Nothing happens the second time."""
        if store := vars(self).pop("store", None):
            with suppress(OSError):
                store.flush()


def opened(path: Path) -> Graph:
    """The graph, and with it the only right to write the journal. A writer whose node was killed may still be finishing.

    Unavailable when another node holds on to it.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return Graph(path)
        except OSError as error:
            if "LOCK" not in str(error):
                raise
            if time.monotonic() > deadline:
                raise Unavailable("unavailable", "another node is running on this folder; stop it first") from error
        except RuntimeError as error:
            raise Broken("internal-error", f"the graph is damaged ({error}); make it anew from the journal: fmar rebuild") from error
        time.sleep(0.05)


def as_stored(triples: Iterable[Triple]) -> set[Triple]:
    """The triples as a store gives them back: it rewrites literals (`500.00` becomes `500`)."""
    scratch = ox.Store()
    scratch.bulk_extend(ox.Quad(*triple) for triple in triples)
    return {quad.triple for quad in scratch}


def _quads(changes: Iterable[Change]) -> Iterator[ox.Quad]:
    """What enters by some changes."""
    for change in changes:
        name = ox.NamedNode(change.view)
        for each in change.insert:
            triples = [quad.triple for quad in ox.parse(f"{each} .", ox.RdfFormat.N_TRIPLES)] if isinstance(each, str) else [each]
            yield from (ox.Quad(triple.subject, triple.predicate, triple.object, name) for triple in triples)


def _statements(change: Change) -> Iterator[str]:
    name = ox.NamedNode(change.view)
    for verb, triples in (("DELETE DATA", change.delete), ("INSERT DATA", change.insert)):
        if text := " .\n".join(map(str, triples)):
            yield f"{verb} {{ GRAPH {name} {{\n{text} }} }}"


def vocabulary_triples(files: Iterable[Path]) -> Iterator[Triple]:
    """The triples of some Turtle files; each file's blank nodes stay its own."""
    for file in files:
        for quad in ox.parse(path=file, format=ox.RdfFormat.TURTLE, rename_blank_nodes=True):
            yield quad.triple
