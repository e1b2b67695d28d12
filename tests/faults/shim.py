"""The shim from the outside: compiled where there is a C compiler, loaded into real processes, told which call shall fail.

Rules kept here: the fault is in the system's call and nowhere else, so that SQLite, RocksDB and the node see what they would
see of a bad disk; the same numbers make the same calls fail.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import shutil
import subprocess
import sys
from enum import IntFlag
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("shim.c")
FOREVER = 2**63
KILL = -1
"""In the place of an errno: the process is killed at that call."""
ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EIO", "EROFS", "EMFILE")}


class Call(IntFlag):
    """The kinds of calls that change files; READ opens without changing anything, and needs a handle."""

    OPEN, READ, WRITE, SYNC, TRUNCATE, RENAME, LINK, UNLINK, MKDIR, CREATE = (1 << place for place in range(10))


WRITES = Call.OPEN | Call.WRITE | Call.SYNC | Call.TRUNCATE | Call.RENAME | Call.LINK | Call.UNLINK | Call.MKDIR
HANDLES = Call.OPEN | Call.READ


class Layout(ctypes.Structure):
    """`struct control` of `shim.c`."""

    _fields_ = [
        ("count", ctypes.c_uint64), ("first", ctypes.c_uint64), ("last", ctypes.c_uint64), ("hits", ctypes.c_uint64),
        ("step", ctypes.c_int64), ("error", ctypes.c_int32), ("kinds", ctypes.c_uint32), ("torn", ctypes.c_uint32),
        ("below", ctypes.c_char * 1024),
    ]  # fmt: skip


def compiled(folder: Path) -> Path:
    """The shared library; the test is skipped where it cannot be made."""
    if sys.platform != "linux":
        pytest.skip("the shim is for Linux")
    if not (compiler := shutil.which("cc")):
        pytest.skip("there is no C compiler (cc) here")
    library = folder / "shim.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl", "-lpthread"], check=True, capture_output=True)
    return library


class Shim:
    """The switch of all processes that have the library loaded, for files below one folder."""

    def __init__(self, library: Path, control: Path, below: Path, trace: Path | None = None) -> None:
        self.library, self.file, self.trace = library, control, trace
        if not control.exists():
            control.write_bytes(bytes(ctypes.sizeof(Layout)))
        with control.open("r+b") as file:
            self.shared = mmap.mmap(file.fileno(), ctypes.sizeof(Layout))
        self.control = Layout.from_buffer(self.shared)
        self.control.kinds = int(WRITES)
        self.watch(below)

    def environment(self) -> dict[str, str]:
        """For a process that is to have the library."""
        trace = {"FAULTS_TRACE": str(self.trace)} if self.trace else {}
        return {"LD_PRELOAD": str(self.library), "FAULTS_CONTROL": str(self.file), **trace}

    def watch(self, below: Path) -> None:
        """Only calls on paths that begin with this one are looked at from now on."""
        self.control.below = os.fsencode(below)

    @property
    def count(self) -> int:
        """The calls that were looked at so far."""
        return int(self.control.count)

    @property
    def hits(self) -> int:
        """The calls that failed since `arm`."""
        return int(self.control.hits)

    def arm(self, error: int, after: int = 1, times: int = FOREVER, torn: bool = False, kinds: Call | None = None) -> None:
        """From the `after`th call from now on, so many calls fail, of those that can fail so or of these kinds; a torn one writes half first."""
        self.disarm()
        self.control.kinds = int(kinds or (HANDLES if error == errno.EMFILE else WRITES))
        self.control.error, self.control.torn, self.control.hits = error, torn, 0
        first = self.control.count + after
        self.control.last = min(first + times - 1, FOREVER)
        self.control.first = first

    def disarm(self) -> None:
        """The fault is gone."""
        self.control.first = 0
        self.control.kinds = int(WRITES)

    def step(self, seconds: float) -> None:
        """The wall clock of these processes is off by so much."""
        self.control.step = int(seconds * 1e9)
