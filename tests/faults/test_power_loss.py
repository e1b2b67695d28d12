"""The power goes while a journal is written: of what was not synced any part may be missing, of what was acknowledged nothing.

A process is traced (`shim.c`), and its writes are done again up to some place, without those that no sync covers. More places and
more subsets: make test ARGS="-m campaign tests/faults/test_power_loss.py"
"""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.appending import EACH
from tests.faults.shim import Call, Shim
from tests.faults.test_journal_faults import PROJECT, numbers_in

HEAD = struct.Struct("6Iq")
SECTOR = 512
"""Bytes that a disk writes whole or not at all."""
BATCHES = 14


@dataclass(frozen=True, slots=True)
class Step:
    """One traced call."""

    kind: Call
    inode: int
    offset: int
    path: str
    other: str
    data: bytes


def steps_of(trace: bytes) -> Iterator[Step]:
    at = 0
    while at < len(trace):
        kind, high, low, path, other, size, offset = HEAD.unpack_from(trace, at)
        names = at + HEAD.size
        data = names + path + other
        yield Step(Call(kind), high << 32 | low, offset, trace[names : names + path].decode(), trace[names + path : data].decode(), trace[data : data + size])
        at = data + size


@dataclass
class Disk:
    """What is on a disk after the power has gone: all that was synced, and of the rest what chance has kept.

    Names change in their order, so that some first part of the changes after a folder's last sync is there; writes to a file
    come in any order, sector by sector; a write that is lost may have made the file longer.
    """

    chance: random.Random
    names: list[Step] = field(default_factory=list)
    synced_names: int = 0
    writes: dict[int, list[Step]] = field(default_factory=lambda: defaultdict(list))
    synced: dict[int, int] = field(default_factory=dict)
    told: int = 0

    def take(self, step: Step) -> None:
        if step.path.endswith("/told"):
            self.told = int(step.data) if step.kind is Call.WRITE else self.told
        elif step.kind in (Call.CREATE, Call.RENAME, Call.LINK, Call.UNLINK):
            self.names.append(step)
        elif step.kind is Call.SYNC:
            self.synced[step.inode] = len(self.writes[step.inode])
            if "." not in Path(step.path).name:
                self.synced_names = len(self.names)
        elif step.kind in (Call.WRITE, Call.TRUNCATE):
            self.writes[step.inode].append(step)

    def files(self, keeps: float) -> Iterator[tuple[str, bytes]]:
        """Name and bytes of each file where so large a part of the unsynced is kept."""
        named: dict[str, int] = {}
        most = self.chance.randint(self.synced_names, len(self.names)) if 0 < keeps < 1 else len(self.names) if keeps else self.synced_names
        for step in self.names[:most]:
            if step.kind is Call.CREATE:
                named[step.path] = step.inode
            elif step.path in named:
                inode = named.pop(step.path) if step.kind is not Call.LINK else named[step.path]
                if step.other:
                    named[step.other] = inode
        for path, inode in named.items():
            yield Path(path).name, self._bytes(inode, keeps)

    def _bytes(self, inode: int, keeps: float) -> bytes:
        held = bytearray()
        for place, step in enumerate(self.writes[inode]):
            is_synced = place < self.synced.get(inode, 0)
            if step.kind is Call.TRUNCATE:
                if is_synced or self.chance.random() < keeps:
                    held[:] = held[: step.offset].ljust(step.offset, b"\0")
                continue
            for start in range(0, len(step.data), SECTOR):
                part = step.data[start : start + SECTOR]
                begin = step.offset + start
                if is_synced or self.chance.random() < keeps:
                    held[:] = held.ljust(begin + len(part), b"\0")
                    held[begin : begin + len(part)] = part
                elif keeps > 0 and self.chance.random() < 0.5:
                    held[:] = held.ljust(begin + len(part), b"\0")
        return bytes(held)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, library: Path) -> list[Step]:
    """Everything that a new journal's process did to its files."""
    folder = tmp_path_factory.mktemp("traced")
    (folder / "data").mkdir()
    shim = Shim(library, folder / "control", folder / "data", folder / "trace")
    command = [sys.executable, "-m", "tests.faults.appending", folder / "data", "trace", str(BATCHES)]
    run = subprocess.run(command, cwd=PROJECT, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT), **shim.environment()}, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return list(steps_of((folder / "trace").read_bytes()))


def assert_kept(traced: list[Step], end: int, keeps: float, seed: int, folder: Path) -> int:
    """The journal on the disk opens, and has a whole prefix with all that was acknowledged; how many entries those were."""
    disk = Disk(random.Random(seed))
    for step in traced[:end]:
        disk.take(step)
    image = folder / f"{end}-{keeps}-{seed}" / "journal"
    image.mkdir(parents=True)
    for name, data in disk.files(keeps):
        if not name.endswith("-shm"):
            (image / name).write_bytes(data)
    held = numbers_in(image.parent)
    assert held == list(range(len(held))), (end, keeps, seed)
    assert len(held) % EACH == 0
    assert len(held) >= disk.told, (end, keeps, seed)
    return disk.told


def test_the_trace_has_what_it_needs(traced: list[Step]) -> None:
    paths = {Path(step.path).name for step in traced if step.kind is Call.WRITE}

    assert {"journal.db", "journal.db-wal", "checkpoint.new", "told"} <= paths
    assert {step.kind for step in traced} >= {Call.CREATE, Call.WRITE, Call.SYNC, Call.RENAME, Call.UNLINK}


@pytest.mark.parametrize("keeps", [0.0, 0.5, 1.0])
def test_what_was_acknowledged_survives_a_loss_of_power(traced: list[Step], tmp_path: Path, keeps: float) -> None:
    places = random.Random(20261126).sample(range(1, len(traced) + 1), 40)

    told = [assert_kept(traced, end, keeps, 1, tmp_path) for end in places]

    assert max(told) > EACH * BATCHES / 2


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("keeps", [0.0, 0.1, 0.5, 0.9])
def test_what_was_acknowledged_survives_at_every_call(traced: list[Step], tmp_path: Path, keeps: float, seed: int) -> None:
    for end in range(1, len(traced) + 1):
        assert_kept(traced, end, keeps, seed, tmp_path)
