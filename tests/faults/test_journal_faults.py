"""A journal whose calls to the system fail, or end its process: a batch is taken whole or refused whole, and the next one is taken.

Every call and every way: make test ARGS="-m campaign tests/faults/test_journal_faults.py"
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fmar_node.folder import Folder
from fmar_node.keeping.maintenance import verify_entries
from tests.faults.appending import EACH
from tests.faults.shim import ERRORS, Call, Shim
from tests.journal.drafts import KEY, LOOKUP_KEY, draft, opened

PROJECT = Path(__file__).parents[2]
WAYS = ("once", "until", "torn")


def suffered(folder: Path, library: Path, *deed: object, trace: Path | None = None) -> dict[str, Any]:
    """What a process saw that appended in the folder `data` while calls failed."""
    (folder / "data").mkdir(parents=True)
    shim = Shim(library, folder / "control", folder / "data", trace)
    command = [sys.executable, "-m", "tests.faults.appending", folder / "data", *map(str, deed)]
    run = subprocess.run(command, cwd=PROJECT, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT), **shim.environment()}, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    seen: dict[str, Any] = json.loads(run.stdout)
    return seen


def numbers_in(folder: Path) -> list[int]:
    """The numbers of the drafts that a journal holds, in their order; it is sound, and goes on."""
    journal = opened(folder)
    held = [int(row[0].rpartition("-")[2], 16) for row in journal.connection.execute("SELECT record FROM entry ORDER BY idx")]
    with journal.batch() as batch:
        assert batch.append(draft(999_999, state="", is_live=False)) == len(held)
    journal.close()
    (folder / "keys").mkdir()
    (folder / "keys" / "lookup.key").write_bytes(LOOKUP_KEY)
    verify_entries(Folder(folder), KEY.verifier)
    return held


@pytest.mark.parametrize(("error", "way", "every"), [
    ("EIO", "once", 2), ("ENOSPC", "torn", 6), ("EMFILE", "until", 1),
    *(pytest.param(error, way, 1, marks=[pytest.mark.campaign, pytest.mark.timeout(600)]) for error in ERRORS for way in WAYS),
])  # fmt: skip
def test_a_failed_call_refuses_a_batch_whole_and_the_next_is_taken(tmp_path: Path, library: Path, error: str, way: str, every: int) -> None:
    seen = suffered(tmp_path, library, "walk", error, way, every)

    said = {(said, bool(hits)) for _, hits, said, _ in seen["places"]}
    assert said <= {("", False), ("", True), ("storage-full", True), ("unavailable", True)}
    assert {("", False), ("storage-full", True)} <= said
    assert {after for _, _, _, after in seen["places"]} == {""}
    assert numbers_in(tmp_path / "data") == seen["kept"]
    assert len(seen["kept"]) % EACH == 0


@pytest.mark.parametrize("error", ["EIO", *(pytest.param(name, marks=pytest.mark.campaign) for name in ("ENOSPC", "EROFS"))])
def test_what_the_log_has_whole_but_was_refused_does_not_come_back(tmp_path: Path, library: Path, error: str) -> None:
    """The process ends before another batch has gone over it."""
    unsynced = suffered(tmp_path / "1", library, "stop", error, int(Call.SYNC), 1, 1)
    unshared = suffered(tmp_path / "2", library, "shared", error)

    assert (unsynced["said"], unshared["said"]) == ("storage-full", "storage-full")
    assert numbers_in(tmp_path / "1" / "data") == unsynced["kept"]
    assert numbers_in(tmp_path / "2" / "data") == unshared["kept"]


@pytest.mark.campaign
@pytest.mark.timeout(600)
@pytest.mark.parametrize("times", [0, 1])
@pytest.mark.parametrize("error", ERRORS)
def test_what_was_refused_does_not_come_back_with_the_next_start(tmp_path: Path, library: Path, error: str, times: int) -> None:
    """Only where nothing can be written any more does the node say that it doesn't know."""
    for place in range(1, 40):
        seen = suffered(tmp_path / str(place), library, "stop", error, 0, place, times)

        held = numbers_in(tmp_path / str(place) / "data")

        is_unknown = seen["said"] == "unavailable" and times == 0
        assert seen["said"] in ("", "storage-full") or is_unknown
        assert held == seen["kept"] or (is_unknown and held == seen["kept"] + seen["refused"]), (place, seen, held)


@pytest.mark.parametrize("every", [40, pytest.param(1, marks=[pytest.mark.campaign, pytest.mark.timeout(600)])])
def test_a_process_that_is_killed_at_any_call_leaves_what_it_acknowledged_and_at_most_one_batch_more(tmp_path: Path, library: Path, every: int) -> None:
    told = suffered(tmp_path, library, "kill", every)["told"]

    extra = []
    for place, count in told.items():
        held = numbers_in(tmp_path / "data" / place)
        assert held == list(range(len(held)))
        extra.append(len(held) - count)
    assert set(extra) <= {0, EACH}
    assert max(told.values()) == 6 * EACH
    assert set(extra) == {0, EACH} or every > 1
