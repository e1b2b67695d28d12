"""A process in which the disk fills up, or cannot be written to, under a journal; prints what it saw as JSON.

Run as `python -m tests.journal.starving FOLDER HOW`; the faults are real ones, made by the operating system.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from fmar_node.errors import FmarError
from fmar_node.journal.journal import Journal
from tests.journal.drafts import draft, opened

BIG = 200_000
"""Bytes: so many of these that they leave the page cache before the commit."""
CAPABILITIES, OVERRIDE = 0x20080522, 1 << 1


def limit(room: int | None, folder: Path) -> None:
    """No file may grow further than `room` bytes beyond the largest one."""
    largest = max(file.stat().st_size for file in folder.iterdir())
    most = resource.RLIM_INFINITY if room is None else largest + room
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def without_override() -> None:
    """Gives up root's right to pass over file modes (Linux); other users don't have it."""
    if os.geteuid() == 0:
        libc, header, data = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
        libc.capget(header, data)
        data[0] &= ~OVERRIDE
        if libc.capset(header, data) != 0:
            raise SystemExit("this process cannot give up CAP_DAC_OVERRIDE")


def written(journal: Journal, numbers: range, size: int) -> list[str]:
    """A batch of drafts, and what became of it."""
    try:
        with journal.batch() as batch:
            for number in numbers:
                with batch.savepoint():
                    batch.append(draft(number, size))
    except FmarError as error:
        return [type(error).__name__, error.code, journal.tree.size]
    return ["written", "", journal.tree.size]


def filled(folder: Path, size: int) -> list[Any]:
    """A journal before, on and after a full disk."""
    journal = opened(folder)
    seen = [written(journal, range(3), 100)]
    limit(0, folder / "journal")
    seen.append(written(journal, range(3, 43), size))
    seen.append(written(journal, range(3, 4), 100))
    limit(None, folder / "journal")
    seen.append(written(journal, range(43, 46), 100))
    journal.close()
    return seen


def locked(folder: Path, what: str) -> list[Any]:
    """A journal whose folder, or file, may only be read."""
    opened(folder).close()
    without_override()
    target = folder / "journal" if what == "folder" else folder / "journal" / "journal.db"
    target.chmod(0o555)
    try:
        journal = opened(folder)
    except FmarError as error:
        seen = [[type(error).__name__, error.code, -1]]
    else:
        seen = [written(journal, range(3), 100)]
        journal.close()
    target.chmod(0o755)
    return seen


if __name__ == "__main__":
    root, how = Path(sys.argv[1]), sys.argv[2]
    ways = {"full": lambda: filled(root, 100), "full-amid": lambda: filled(root, BIG)}
    print(json.dumps(ways[how]() if how in ways else locked(root, how)))
