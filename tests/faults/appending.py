"""A process that appends to a journal while the calls that it makes fail, or end it; prints what it saw as JSON.

Run as `python -m tests.faults.appending FOLDER DEED ...` with the shim loaded:

- `walk ERROR WAY EVERY` lets every so-manieth call of a batch fail in its turn: `once`, `until` the fault is gone, or `torn` (half a
  write first);
- `stop ERROR KINDS NUMBER TIMES` lets so many calls (of these kinds, 0 for all that can fail so) fail from that one on, and ends
  without a word to its journal; 0 times is all;
- `shared ERROR` lets the file fail that SQLite shares with readers, once the log is so long that it has to grow, and ends likewise;
- `kill EVERY` has a process killed at every so-manieth of all calls from the first opening on, each with a journal of its own;
- `trace BATCHES` makes a node and appends to its journal, and nothing fails.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fmar_node.errors import FmarError
from fmar_node.journal.journal import Journal
from fmar_node.journal.tree import tree_root
from tests.faults.shim import ERRORS, FOREVER, KILL, Call, Shim
from tests.journal.drafts import draft, opened

EACH = 3
"""Entries in a batch."""
BIG = 400_000
"""Bytes of a submission that makes the log long soon."""
SHARED_FRAMES = 4_062
"""Pages of the log that the first part of the shared file has room for."""
Seen = list[list[Any]]


class Appending:
    """A journal, and the numbers of the drafts that it said it had taken."""

    def __init__(self, shim: Shim, opening: Callable[[], Journal], emptied_after: int = 1_000) -> None:
        self.shim, self.opening, self.emptied_after, self.numbers = shim, opening, emptied_after, itertools.count()
        self.journal: Journal | None = None
        self.size = 100
        self.kept: list[int] = []
        self.refused: list[int] = []

    def append(self) -> str:
        """What became of a batch: a problem code, or nothing where it was taken."""
        numbers = list(itertools.islice(self.numbers, EACH))
        try:
            journal = self.open()
            with journal.batch() as batch:
                for number in numbers:
                    batch.append(draft(number, self.size, state="", is_live=False))
        except FmarError as error:
            self.refused += numbers
            return error.code
        except OSError:  # no handle for a file beside the database; the writer says storage-full then
            self.refused += numbers
            return "storage-full"
        self.kept += numbers
        return ""

    def open(self) -> Journal:
        """The journal, whose log is emptied into the database after so many pages."""
        if not self.journal:
            self.journal = self.opening()
            self.journal.connection.execute(f"PRAGMA wal_autocheckpoint = {self.emptied_after}")
        return self.journal

    def close(self) -> None:
        if self.journal:
            self.journal.close()
        self.journal = None

    def walk(self, error: int, way: str, every: int, is_closed: bool = False) -> Seen:
        """One call of a batch after another fails; at each place what was said, and what was said once the fault was gone."""
        seen: Seen = []
        while not seen or seen[-1][1]:
            if is_closed:
                self.close()
            place = len(seen) * every + 1
            self.shim.arm(error, place, 1 if way == "once" else FOREVER, torn=way == "torn")
            said, hits = self.append(), self.shim.hits
            self.shim.disarm()
            seen.append([place, hits, said, self.append()])
        self.close()
        return seen

    def as_json(self) -> dict[str, Any]:
        return {"kept": self.kept, "refused": self.refused}


def walk(folder: Path, shim: Shim, error: str, way: str, every: str) -> dict[str, Any]:
    """All calls of a batch in an open journal, in one whose log is emptied after each batch, and with the opening."""
    work = Appending(shim, lambda: opened(folder))
    work.append()
    places = work.walk(ERRORS[error], way, int(every))
    work.emptied_after = 1
    places += work.walk(ERRORS[error], way, int(every)) + work.walk(ERRORS[error], way, int(every), is_closed=True)
    return {"places": places, **work.as_json()}


def stop(folder: Path, shim: Shim, error: str, kinds: str, place: str, times: str) -> dict[str, Any]:
    """The last words of a process that goes after a call has failed."""
    work = Appending(shim, lambda: opened(folder))
    work.append()
    shim.arm(ERRORS[error], int(place), int(times) or FOREVER, kinds=Call(int(kinds)) or None)
    return {"said": work.append(), **work.as_json()}


def shared(folder: Path, shim: Shim, error: str) -> dict[str, Any]:
    """The same, where the shared file could not grow: then the log has the batch, and is synced."""
    work = Appending(shim, lambda: opened(folder), emptied_after=2 * SHARED_FRAMES)
    work.append()
    shim.watch(folder / "journal" / "journal.db-shm")
    shim.arm(ERRORS[error], times=1)
    said, work.size = "", BIG
    while not shim.hits:
        said = work.append()
    return {"said": said, **work.as_json()}


def kill(folder: Path, shim: Shim, every: str) -> dict[str, Any]:
    """The places, and at each how many entries were acknowledged before the kill."""
    told: dict[int, int] = {}
    for place in itertools.count(1, int(every)):
        reading, writing = os.pipe()
        own = folder / str(place)
        shim.watch(own / "journal")
        shim.arm(KILL, place, 1)
        if not (child := os.fork()):
            work = Appending(shim, lambda own=own: opened(own), emptied_after=40)  # type: ignore[misc]
            for number in range(6):
                if number == 3:
                    work.close()
                work.append()
                os.write(writing, b"." * EACH)
            work.close()
            os._exit(0)
        os.close(writing)
        told[place] = len(os.read(reading, 1 << 10)) if os.waitpid(child, 0) else 0
        os.close(reading)
        if not shim.hits:
            return {"told": told}
    raise AssertionError


def trace(folder: Path, shim: Shim, batches: str) -> dict[str, Any]:
    """A node is made, and grows; what was acknowledged stands in a file `told`, a mark in the trace: so many entries with this root.

    The log is emptied into the database often, and the journal closed and opened again.
    """
    from fmar_node.folder import Folder  # these take longer to load than all other deeds take
    from fmar_node.foundation import make_node
    from fmar_node.keeping.maintenance import open_journal
    from tests.market import organisation

    root = folder / "node"
    make_node(root, "https://node.example", organisation("Operator", ["FMAR_OPERATOR"]))
    told = os.open(folder / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    work = Appending(shim, lambda: open_journal(Folder(root)), emptied_after=40)
    for number in range(int(batches)):
        journal = work.open()
        os.write(told, f"{journal.tree.size} {tree_root(journal.register, journal.tree.size).hex()}\n".encode())
        if number % 5 == 4:
            work.close()
        work.append()
    return work.as_json()


if __name__ == "__main__":
    root = Path(sys.argv[1])
    switch = Shim(Path(os.environ["LD_PRELOAD"]), Path(os.environ["FAULTS_CONTROL"]), root)
    deed = {"walk": walk, "stop": stop, "shared": shared, "kill": kill, "trace": trace}[sys.argv[2]]
    print(json.dumps(deed(root, switch, *sys.argv[3:])), flush=True)
    os._exit(0)
