"""What the writer process tells the web process of itself, about once a second, for metrics and readiness.

Rules kept here: what is reported is counted where it happens, never searched for; sizes on disk are looked up seldom;
times that travel are seconds since 1970, durations are seconds.
"""

from __future__ import annotations

import os
import shutil
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from fmar_node.clock import SystemClock

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ENTRIES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
SIZES_EVERY = 10.0
"""Seconds between two looks at the sizes on disk."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Spread:
    """How often values fell under each bound (the last count is of those above all), and their sum."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.bounds = tuple(self.bounds)
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self.counts)


def _seconds() -> Spread:
    return Spread(SECONDS)


@dataclass(slots=True)
class Vitals:
    """The state of the writer. `trouble` says what failed last and still does; empty when all works."""

    commit_seconds: Spread = field(default_factory=_seconds)
    commit_entries: Spread = field(default_factory=lambda: Spread(ENTRIES))
    snapshot_seconds: Spread = field(default_factory=_seconds)
    snapshot_at: float = 0.0
    lag_entries: int = 0
    lag_seconds: float = 0.0
    journal_bytes: int = 0
    wal_bytes: int = 0
    graph_bytes: int = 0
    trouble: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        spreads = ("commit_seconds", "commit_entries", "snapshot_seconds")
        read: dict[str, Any] = {name: Spread(**each) if name in spreads else each for name, each in value.items()}
        return cls(**read)


class Pulse:
    """Counts what the writer does; several threads may tell it things, one asks for `vitals`."""

    def __init__(self, journal: Path, graph: Path, size: int) -> None:
        self.journal, self.graph = journal, graph
        self.now = Vitals()
        self.commits: deque[tuple[int, float]] = deque([(size, time.monotonic())])
        self.sizes_due = 0.0

    def committed(self, entries: int, seconds: float, size: int) -> None:
        """A commit of so many entries; the journal holds `size` now."""
        self.now.commit_seconds.add(seconds)
        self.now.commit_entries.add(entries)
        self.commits.append((size, time.monotonic()))

    def snapped(self, seconds: float) -> None:
        """A snapshot was made."""
        self.now.snapshot_seconds.add(seconds)
        self.now.snapshot_at = SystemClock().now().timestamp()

    def vitals(self, size: int, applied: int, trouble: str) -> Vitals:
        """How things stand: the journal's size, the last index in the graph, what is wrong."""
        while self.commits and self.commits[0][0] - 1 <= applied:
            self.commits.popleft()
        self.now.lag_entries = max(0, size - 1 - applied)
        self.now.lag_seconds = time.monotonic() - self.commits[0][1] if self.commits else 0.0
        self.now.trouble = trouble
        if time.monotonic() >= self.sizes_due:
            self.sizes_due = time.monotonic() + SIZES_EVERY
            self.now.journal_bytes, self.now.wal_bytes = bytes_of(self.journal), bytes_of(self.journal.with_name(self.journal.name + "-wal"))
            self.now.graph_bytes = bytes_of(self.graph)
        return self.now


def bytes_of(path: Path) -> int:
    """Bytes of a file, or of the files in a folder; what vanishes meanwhile, or is not there, has none."""
    try:
        return sum(map(bytes_of, path.iterdir())) if path.is_dir() else path.stat().st_size
    except OSError:
        return 0


def free_bytes(folder: Path) -> int:
    """Room that is left on the disk of a folder, for this process."""
    return shutil.disk_usage(folder).free


def resident_bytes(pid: int) -> int:
    """Memory that a process holds; 0 where that cannot be told."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0
