"""A journal's stored hashes in memory, and trees grown into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from fmar_node.journal.tree import CompactRange, Run, leaf_hash


@dataclass
class Shelf:
    """Stored hashes by level; says how much was read."""

    levels: dict[int, list[bytes]] = field(default_factory=dict)
    reads: list[tuple[int, int, int]] = field(default_factory=list)

    def keep(self, runs: list[Run]) -> None:
        for run in runs:
            level = self.levels.setdefault(run.level, [])
            assert run.start == len(level)
            level.extend(run.hashes)

    def read(self, level: int, start: int, count: int) -> list[bytes]:
        self.reads.append((level, start, count))
        return self.levels.get(level, [])[start : start + count]


@dataclass
class Tree:
    """A tree with all that is stored for it."""

    range: CompactRange
    shelf: Shelf
    leaves: list[bytes]


def grow(size: int, batch: int = 1_000_000) -> Tree:
    leaves = [leaf_hash(b"entry %d" % index) for index in range(size)]
    shelf, grown = Shelf(), CompactRange()
    for start in range(0, size, batch):
        grown, runs = grown.append(leaves[start : start + batch])
        shelf.keep(runs)
    return Tree(grown, shelf, leaves)


@pytest.fixture(scope="session")
def grown() -> Callable[..., Tree]:
    """Makes a tree of `size` leaves `entry 0`, `entry 1`, ..., appended `batch` at a time."""
    return grow
