"""A process that appends to a journal while the calls that it makes fail one after another; prints what it saw as JSON.

Run as `python -m tests.faults.appending FOLDER ERROR HOW` with the shim loaded; HOW is `once`, `until` (all calls from there on
fail, until the fault is gone), `torn` (the first of those writes half), or NUMBER,TIMES: so many from this call on, and the process
ends without a word to its journal. With ERROR `trace` nothing fails; HOW is how many batches it appends.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

from fmar_node.errors import FmarError
from fmar_node.journal.journal import Journal
from tests.faults.shim import ERRORS, FOREVER, Shim
from tests.journal.drafts import draft, opened

EACH = 3
"""Entries in a batch."""


class Appending:
    """A journal, and the numbers of the drafts that it said it had taken."""

    def __init__(self, folder: Path, shim: Shim) -> None:
        self.folder, self.shim, self.numbers = folder, shim, itertools.count()
        self.journal: Journal | None = opened(folder)
        self.kept: list[int] = []
        self.refused: list[int] = []

    def append(self) -> str:
        """What became of a batch: a problem code, or nothing where it was taken."""
        numbers = list(itertools.islice(self.numbers, EACH))
        try:
            self.journal = self.journal or opened(self.folder)
            with self.journal.batch() as batch:
                for number in numbers:
                    batch.append(draft(number))
        except FmarError as error:
            self.refused += numbers
            return error.code
        except OSError:  # no handle for a file beside the database; the writer says storage-full then
            self.refused += numbers
            return "storage-full"
        self.kept += numbers
        return ""

    def close(self) -> None:
        if self.journal:
            self.journal.close()
        self.journal = None

    def told(self, batches: int) -> None:
        """Appends, and writes into a file `told` how many entries it was told are kept: a mark in the trace. The log is emptied
        into the database often, and the journal closed and opened again."""
        told = os.open(self.folder / "journal" / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number in range(batches):
            if number % 5 == 4:
                self.close()
            self.append()
            os.write(told, f"{len(self.kept)}\n".encode())
            assert self.journal
            self.journal.connection.execute("PRAGMA wal_autocheckpoint = 40")

    def faults(self, error: int, how: str, is_closed: bool) -> list[list[Any]]:
        """Each call of a batch fails in its turn; at each place what was said, and what was said once the fault was gone."""
        seen = []
        for place in itertools.count(1):
            if is_closed:
                self.close()
            self.shim.arm(error, place, 1 if how == "once" else FOREVER, torn=how == "torn")
            said = self.append()
            hits = self.shim.hits
            self.shim.disarm()
            seen.append([place, hits, said, self.append()])
            if not hits:
                return seen
        raise AssertionError


if __name__ == "__main__":
    root, name, way = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    work = Appending(root, Shim(Path(os.environ["LD_PRELOAD"]), Path(os.environ["FAULTS_CONTROL"]), root / "journal"))
    if name == "trace":
        work.told(batches=int(way))
        os._exit(0)
    work.append()
    if "," in way:
        place, times = map(int, way.split(","))
        work.shim.arm(ERRORS[name], place, times or FOREVER)
        code = work.append()
        print(json.dumps({"code": code, "kept": work.kept, "refused": work.refused}), flush=True)
        os._exit(0)
    print(json.dumps({
        "open": work.faults(ERRORS[name], way, is_closed=False), "closed": work.faults(ERRORS[name], way, is_closed=True),
        "kept": work.kept, "refused": work.refused,
    }))  # fmt: skip
    work.close()
