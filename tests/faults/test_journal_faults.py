"""A journal whose calls to the system fail one after another: a batch is taken whole or refused whole, and the next one is taken.

Every call and every way: make test ARGS="-m campaign tests/faults/test_journal_faults.py"
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.appending import EACH
from tests.faults.shim import ERRORS, Shim
from tests.journal.drafts import opened

PROJECT = Path(__file__).parents[2]
WAYS = ("once", "until", "torn")
QUICK = {("ENOSPC", "once"), ("EIO", "torn"), ("EROFS", "until"), ("EMFILE", "until")}


def suffered(folder: Path, library: Path, error: str, way: str) -> dict[str, Any]:
    """What a process saw that appended while calls failed."""
    (folder / "data").mkdir()
    shim = Shim(library, folder / "control", folder / "data" / "journal")
    command = [sys.executable, "-m", "tests.faults.appending", folder / "data", error, way]
    run = subprocess.run(command, cwd=PROJECT, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT), **shim.environment()}, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    seen: dict[str, Any] = json.loads(run.stdout)
    return seen


def numbers_in(folder: Path) -> list[int]:
    """The numbers of the drafts that a journal holds, in their order; its tree is checked as it is opened."""
    journal = opened(folder)
    try:
        found = [journal.register.connection.execute("SELECT record FROM entry ORDER BY idx").fetchall()]
        assert journal.tree.size == len(found[0])
        return [int(row[0].rpartition("-")[2], 16) for row in found[0]]
    finally:
        journal.close()


@pytest.mark.parametrize(
    ("error", "way"),
    [pytest.param(error, way, marks=[] if (error, way) in QUICK else pytest.mark.campaign) for error in ERRORS for way in WAYS],
)
@pytest.mark.timeout(600)
def test_a_failed_call_refuses_a_batch_whole_and_the_next_is_taken(tmp_path: Path, library: Path, error: str, way: str) -> None:
    seen = suffered(tmp_path, library, error, way)

    places = seen["open"] + seen["closed"]
    assert sum(hits > 0 for _, hits, _, _ in places) > 2
    assert {said for _, _, said, _ in places} <= {"", "storage-full", "unavailable"}
    assert {after for _, _, _, after in places} == {""}
    held = numbers_in(tmp_path / "data")
    assert held == seen["kept"]
    assert len(held) % EACH == 0
    assert seen["refused"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("error", "times", "places"), [
    ("EIO", 1, range(18, 24)),
    *(pytest.param(error, times, range(1, 30), marks=pytest.mark.campaign) for error in ERRORS for times in (0, 1)),
])  # fmt: skip
def test_what_was_refused_does_not_come_back_with_the_next_start(tmp_path: Path, library: Path, error: str, times: int, places: range) -> None:
    """Not even where the sync of the log failed; only where nothing can be written any more does the node say that it doesn't know."""
    codes = set()
    for place in places:
        folder = tmp_path / str(place)
        folder.mkdir()
        seen = suffered(folder, library, error, f"{place},{times}")
        codes.add(seen["code"])

        held = numbers_in(folder / "data")

        assert held[: len(seen["kept"])] == seen["kept"]
        assert held == seen["kept"] or (seen["code"] == "unavailable" and held == seen["kept"] + seen["refused"]), (place, seen, held)
    assert "storage-full" in codes or error == "EMFILE"
    assert times == 0 or "unavailable" not in codes
