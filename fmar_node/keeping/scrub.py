"""What an erasure leaves behind on disk, scrubbed: files of the graph, snapshots, the database's log, keys beside backups.

Rules kept here: the values are gone from entries, tables and graph when the erasure is acknowledged; a scrub removes the
bytes that storage still holds of them. It is done whole or again: the mark in the journal (`scrubbed`, up to the newest
erasure in `erased`) is set last. Its steps, in order:

  1 graph      made anew in a process of its own (`fmar_node.keeping.renewal`) and put in the old one's place
  2 snapshots  of the old graph, gone with the last query that reads them
  3 database   its write-ahead log emptied; free pages hold zeros (`secure_delete`)
  4 backups    the old keys destroyed in `subject-keys.db` beside every backup that can be reached (`fmar check` tells of the others)
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fmar_node.errors import Unavailable
from fmar_node.folder import Folder
from fmar_node.journal.register import Register, connect
from fmar_node.keeping.places import forget
from fmar_node.process import PACKAGE
from fmar_node.settings import Settings, surroundings
from fmar_node.store.snapshot import TEMPORARY, is_there

log = logging.getLogger("fmar.scrub")
STEP_SECONDS = 0.05


class Scrub:
    """One writer's scrubbing; `exchange` puts a new graph in the old one's place and returns the old one's snapshots,
    `is_ending` says when to give up."""

    def __init__(self, folder: Folder, settings: Settings, register: Register, exchange: Callable[[Path], list[Path]], is_ending: Callable[[], bool]) -> None:
        self.folder, self.settings, self.register, self.exchange, self.is_ending = folder, settings, register, exchange, is_ending

    def run(self) -> None:
        """Scrubs what the newest erasure has left. OSError, sqlite3.Error or Unavailable where it could not; then it is due still."""
        index = pending(self.register)
        old = self.exchange(self.renewed())
        self._wait(lambda: not any(map(is_there, old)), self.settings.query_delivery_seconds)
        finish(self.folder, index)
        log.info("scrubbed what erasures up to entry %d had left", index)

    def renewed(self) -> Path:
        """A graph made anew beside the old one."""
        store = self.folder.graph.with_name(f"renewed{TEMPORARY}")
        shutil.rmtree(store, ignore_errors=True)
        command = [sys.executable, "-P", "-m", "fmar_node.launch", "fmar_node.keeping.renewal", str(self.folder.root), str(store)]
        with subprocess.Popen(command, env=surroundings(PYTHONPATH=str(PACKAGE.parent)), stdin=subprocess.DEVNULL) as child:  # noqa: S603
            while child.poll() is None:
                if self.is_ending():
                    child.kill()
                time.sleep(STEP_SECONDS)
        if child.returncode:
            shutil.rmtree(store, ignore_errors=True)  # it may hold what is erased next
            raise Unavailable("unavailable", f"the graph could not be made anew (status {child.returncode})")
        return store

    def _wait(self, is_so: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not is_so():
            if self.is_ending() or time.monotonic() > deadline:
                raise Unavailable("unavailable", "snapshots from before the erasure are still being read")
            time.sleep(STEP_SECONDS)


def pending(register: Register) -> int:
    """The newest erasure that has left something to scrub; -1 where all is done."""
    erased, scrubbed = (int(register.meta(key) or -1) for key in ("erased", "scrubbed"))
    return erased if erased > scrubbed else -1


def finish(folder: Folder, index: int) -> None:
    """Steps 3 and 4, and the mark: nothing up to the erasure at `index` is left to scrub. Unavailable where the log is in use."""
    connection = connect(folder.journal / "journal.db", writable=True)
    try:
        connection.execute("PRAGMA secure_delete = ON")
        if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            raise Unavailable("unavailable", "the journal's log is being read")
        for missed in forget(folder):
            log.warning("a key that an erasure destroyed is still beside backups: %s; the next fmar backup there destroys it", missed)
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('scrubbed', ?)", (str(index),))
    finally:
        connection.close()
