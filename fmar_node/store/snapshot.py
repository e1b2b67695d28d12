"""Snapshots on disk: directories of hard links, made by `store.graph`, read by workers, gone after the last of them.

Rules kept here: a directory that a process has open is never removed (a reader on a removed snapshot fails,
or eats all memory: engine reference, fact 1); what is being made or removed is called `*.tmp`; the live store
is never taken for a snapshot.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

TEMPORARY = ".tmp"
TRIAL_BYTES = 1 << 20


def discard(snapshot: Path) -> None:
    """Remove a snapshot that nobody reads any more; ValueError for a store that has a writer."""
    if (snapshot / "LOCK").exists():
        raise ValueError("this is a live store, not a snapshot")
    with suppress(FileNotFoundError):
        going = snapshot.rename(snapshot.with_name(snapshot.name + TEMPORARY))
        shutil.rmtree(going, ignore_errors=True)


def is_there(snapshot: Path) -> bool:
    """Whether anything is left of a snapshot, which is being removed perhaps."""
    return snapshot.exists() or snapshot.with_name(snapshot.name + TEMPORARY).exists()


def put_in_place(fresh: Path, store: Path) -> None:
    """A store that was made anew in the place of another, which goes; neither is open."""
    gone = store.with_name(store.name + TEMPORARY)
    shutil.rmtree(gone, ignore_errors=True)
    if store.exists():
        store.rename(gone)
    fresh.rename(store)
    shutil.rmtree(gone, ignore_errors=True)


def try_to_write(directory: Path) -> None:
    """OSError where a file of some size cannot be written and synced."""
    trial = directory / f"trial{TEMPORARY}"
    try:
        with trial.open("wb") as file:
            file.write(bytes(TRIAL_BYTES))
            file.flush()
            os.fsync(file.fileno())
    finally:
        trial.unlink(missing_ok=True)


def sweep(directory: Path, everything: bool = False) -> None:
    """Remove what was being made or removed when a process was killed; all snapshots when `everything`.

    `everything` is for the start of a node, before any worker runs.
    """
    for left in directory.iterdir() if directory.exists() else ():
        if left.name.endswith(TEMPORARY):
            shutil.rmtree(left, ignore_errors=True)
        elif everything:
            discard(left)
