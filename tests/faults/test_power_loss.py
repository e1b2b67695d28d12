"""The power goes while a journal is written: of what was not synced any part may be missing, of what was acknowledged nothing.

A process is traced (`shim.c`) that makes a node and appends to its journal; its calls are done again up to some place, without
those that no sync covers. Every place, more subsets: make test ARGS="-m campaign tests/faults/test_power_loss.py"
"""

from __future__ import annotations

import random
import shutil
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fmar_node.errors import FmarError
from fmar_node.folder import Folder
from fmar_node.journal.journal import Journal
from fmar_node.journal.tree import tree_root
from fmar_node.keeping.maintenance import open_journal, verify_journal
from tests.faults.appending import EACH
from tests.faults.shim import Call
from tests.faults.test_journal_faults import suffered
from tests.journal.drafts import draft

HEAD = struct.Struct("6Iq")
"""`struct record` of `shim.c`."""
SECTOR = 512
"""Bytes that a disk writes whole or not at all."""
BATCHES = 14
NAMING = (Call.CREATE, Call.MKDIR, Call.RENAME, Call.LINK, Call.UNLINK)


@dataclass(frozen=True, slots=True)
class Step:
    """One traced call."""

    kind: Call
    inode: int
    offset: int
    path: Path
    other: Path
    data: bytes


def steps_of(trace: bytes) -> Iterator[Step]:
    at = 0
    while at < len(trace):
        kind, high, low, path, other, size, offset = HEAD.unpack_from(trace, at)
        names = at + HEAD.size
        data = names + path + other
        first, second = trace[names : names + path].decode(), trace[names + path : data].decode()
        yield Step(Call(kind), high << 32 | low, offset, Path(first), Path(second), trace[data : data + size])
        at = data + size


@dataclass
class Disk:
    """What is on a disk after the power has gone: all that was synced, and of the rest what chance has kept.

    A file's bytes are there by sectors, in any order, and a write that is lost may have made the file longer all the same. A
    name is there once its folder was synced; before that it may be there or not, whatever became of the names beside it.
    """

    base: Path
    files: dict[int, int] = field(default_factory=dict)
    """By inode, which is given again once a file is gone, the number of the call that made the file."""
    writes: dict[int, list[Step]] = field(default_factory=lambda: defaultdict(list))
    synced: dict[int, int] = field(default_factory=dict)
    names: list[Step] = field(default_factory=list)
    synced_names: set[int] = field(default_factory=set)
    told: tuple[int, str] = (0, "")

    def take(self, step: Step) -> None:
        if step.path == self.base / "told":
            if step.kind is Call.WRITE:
                size, root = step.data.decode().split()
                self.told = int(size), root
        elif step.kind in NAMING:
            if step.kind is Call.CREATE:
                self.files[step.inode] = len(self.names)
            self.names.append(step)
        elif step.kind is Call.SYNC:
            file = self.files.get(step.inode, -1)
            self.synced[file] = len(self.writes[file])
            self.synced_names |= {number for number, name in enumerate(self.names) if name.path.parent == step.path}
        else:
            self.writes[self.files[step.inode]].append(step)

    def put(self, image: Path, keeps: float, chance: random.Random) -> None:
        """Writes it out into a folder; of what was not synced, so large a part is kept."""
        files: dict[Path, int | None] = {self.base: None}
        for number, step in enumerate(self.names):
            if number not in self.synced_names and chance.random() >= keeps:
                continue
            if step.kind in (Call.CREATE, Call.MKDIR):
                files[step.path] = number if step.kind is Call.CREATE else None
            elif step.path in files:
                file = files[step.path] if step.kind is Call.LINK else files.pop(step.path)
                if step.kind is not Call.UNLINK:
                    files[step.other] = file
        for path, file in sorted(files.items()):
            place = image / path.relative_to(self.base)
            if path != self.base and not place.parent.exists():
                continue
            if file is None:
                place.mkdir(parents=path == self.base)
            elif place.suffix != ".db-shm":
                place.write_bytes(self._bytes(file, keeps, chance))

    def _bytes(self, file: int, keeps: float, chance: random.Random) -> bytes:
        held = bytearray()
        for number, step in enumerate(self.writes[file]):
            is_synced = number < self.synced.get(file, 0)
            if step.kind is Call.TRUNCATE:
                if is_synced or chance.random() < keeps:
                    held = held[: step.offset].ljust(step.offset, b"\0")
                continue
            for start in range(0, len(step.data), SECTOR):
                begin, part = step.offset + start, step.data[start : start + SECTOR]
                is_kept = is_synced or chance.random() < keeps
                if is_kept or (keeps and chance.random() < 0.5):
                    held = held.ljust(begin + len(part), b"\0")
                if is_kept:
                    held[begin : begin + len(part)] = part
        return bytes(held)


@dataclass(frozen=True)
class Traced:
    """Everything that the process did to its files."""

    base: Path
    steps: list[Step]

    def disk(self, end: int) -> Disk:
        disk = Disk(self.base)
        for step in self.steps[:end]:
            disk.take(step)
        return disk


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, library: Path) -> Traced:
    folder = tmp_path_factory.mktemp("traced")
    suffered(folder, library, "trace", BATCHES, trace=folder / "trace")
    return Traced(folder / "data", list(steps_of((folder / "trace").read_bytes())))


def opened(folder: Folder, is_told: bool) -> Journal | None:
    """The journal; None where it is refused, as it may be while nobody was told that there is a node."""
    try:
        return open_journal(folder)
    except (FmarError, OSError, ValueError):
        if is_told:
            raise
        return None


def assert_kept(traced: Traced, end: int, keeps: float, seed: int, folder: Path) -> int:
    """The journal on the disk has a whole prefix, with all that was acknowledged, and goes on; how many entries those were."""
    disk, image = traced.disk(end), folder / f"{end}-{keeps}-{seed}"
    told, root = disk.told
    disk.put(image, keeps, random.Random(f"{end}-{keeps}-{seed}"))
    if journal := opened(Folder(image / "node"), is_told=bool(told)):
        size = journal.tree.size
        assert size >= told
        assert not told or tree_root(journal.register, told).hex() == root
        assert not told or size % EACH == 1
        with journal.batch() as batch:
            batch.append(draft(999_999, state="", is_live=False))
        journal.close()
    if told:
        assert f"{size + 1} entries" in verify_journal(Folder(image / "node"))
    shutil.rmtree(image, ignore_errors=True)
    return told


def test_the_trace_has_what_it_needs(traced: Traced) -> None:
    written = {step.path.name for step in traced.steps if step.kind is Call.WRITE}

    assert {"journal.db", "journal.db-wal", "checkpoint.new", "node.toml", "lookup.key", "told"} <= written
    assert {step.kind for step in traced.steps} >= {Call.CREATE, Call.MKDIR, Call.WRITE, Call.SYNC, Call.RENAME, Call.UNLINK}


@pytest.mark.parametrize("keeps", [0.0, 0.5, 1.0])
def test_what_was_acknowledged_survives_a_loss_of_power(traced: Traced, tmp_path: Path, keeps: float) -> None:
    places = random.Random(20261126).sample(range(1, len(traced.steps) + 1), 14)

    told = [assert_kept(traced, end, keeps, 1, tmp_path) for end in places]

    assert max(told) > EACH * BATCHES / 2


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("keeps", [0.0, 0.1, 0.5, 0.9])
def test_what_was_acknowledged_survives_at_every_call(traced: Traced, tmp_path: Path, keeps: float, seed: int) -> None:
    for end in range(1, len(traced.steps) + 1):
        assert_kept(traced, end, keeps, seed, tmp_path)
