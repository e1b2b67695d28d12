"""A whole node on a bad disk: what cannot be written is refused with a code, nothing is lost, and it goes on without a restart.

The faults are in the system's calls (`shim.c`), for all processes of the node and for one part of its folder. Every call in
turn: make test ARGS="-m campaign tests/faults/test_node_faults.py"
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from fmar_node.clock import parse_stamp
from tests.faults.shim import ERRORS, KILL, Shim
from tests.killing import (
    PATIENCE,
    WRITER,
    Told,
    assert_sound,
    children,
    insist,
    stop_level,
    wait_for_others,
    wait_until,
)
from tests.live import LD_JSON, Live

ASSETS = "PREFIX fmar: <https://w3id.org/fmar/ns#> SELECT ?asset { ?asset a fmar:Asset }"
SOME = [name if name == "ENOSPC" else pytest.param(name, marks=pytest.mark.campaign) for name in ERRORS]
"""A full disk in the suite, all of them in the campaign."""
REFUSALS = {(507, "storage-full"), (503, "unavailable")}
STEP = 20.0
"""Seconds; less than proofs of possession may be ahead or old."""


class Suffering(Live):
    """A node with the shim, and what its client was told."""

    def __init__(self, folder: Path, library: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.shim = Shim(library, folder / "control", folder / "data")
        super().__init__(folder, {"fsp-a": {"roles": ["FSP"]}}, FMAR_SNAPSHOT_SECONDS="0.1", FMAR_WRITER_SILENCE_SECONDS="6", FMAR_CLOCK_SKEW_SECONDS="60", **self.shim.environment())
        self.taken: dict[str, str] = {}
        self.refused: list[str] = []

    def offer(self) -> httpx.Response:
        """One asset offered to the node, which takes it or says by a code that it cannot."""
        document = self.battery()
        response = self.client("fsp-a").post("/assets", json=document, headers=LD_JSON)
        if response.status_code == 201:
            self.taken[document["serialNumber"]] = response.headers["Location"]
        else:
            assert (response.status_code, response.json()["code"]) in REFUSALS, response.text
            if response.status_code == 507:  # after a 503 a client does not know, and asks again
                self.refused.append(document["serialNumber"])
        return response

    def insist(self) -> httpx.Response:
        """One asset offered again and again with one key, as by a tool that was not told what became of it."""
        document = self.battery()
        response = insist(self.client("fsp-a"), document, document["serialNumber"], Told())
        self.taken[document["serialNumber"]] = response.headers["Location"]
        return response

    def readiness(self) -> dict[str, Any]:
        said: dict[str, Any] = self.client().get("/readyz").json()
        return said

    def metric(self, name: str) -> float:
        found = re.search(rf"^{name} (\S+)$", self.client().get("/metrics").text, re.MULTILINE)
        assert found
        return float(found[1])

    def recovers(self) -> None:
        """By itself: it is ready, takes records, and shows them."""
        self.shim.disarm()
        wait_until(lambda: bool(self.readiness()["ready"]), "the node is not ready again")
        made = self.offer()
        assert made.status_code == 201
        rows = self.rows("fsp-a", ASSETS, after=int(made.headers["Fmar-Journal-Index"]))
        assert made.json()["id"] in {row["asset"] for row in rows}

    def assert_kept(self) -> None:
        """What was taken is there, and what was refused is not."""
        items, url = {}, "/assets?limit=100"
        while url:
            page = self.client("fsp-a").get(url)
            items |= {item["serialNumber"]: item["id"] for item in page.json()["items"]}
            url = page.links["next"]["url"] if "next" in page.links else ""
        assert set(items) & set(self.refused) == set()
        assert {serial: items.get(serial) for serial in self.taken} == self.taken


@pytest.fixture(scope="module")
def suffering(tmp_path_factory: pytest.TempPathFactory, library: Path) -> Iterator[Suffering]:
    """The node that everything here is done to; a start takes seconds."""
    with Suffering(tmp_path_factory.mktemp("suffering"), library) as live:
        yield live


@pytest.fixture
def node(suffering: Suffering) -> Iterator[Suffering]:
    """The node, well; and sound again after the test."""
    suffering.shim.watch(suffering.folder)
    suffering.offer()
    yield suffering
    suffering.shim.disarm()
    suffering.assert_kept()


@pytest.mark.parametrize("name", SOME)
def test_while_nothing_can_be_written_writers_are_refused_and_readers_served(node: Suffering, name: str) -> None:
    before, writers = node.offer(), children(node, WRITER)
    node.rows("fsp-a", ASSETS, after=int(before.headers["Fmar-Journal-Index"]))
    node.shim.arm(ERRORS[name])

    if name != "EMFILE":  # the journal's files are open
        assert {node.offer().status_code for _ in range(3)} <= {503, 507}
        wait_until(lambda: not node.readiness()["storage"], "nothing is said of the storage")
        assert node.metric("fmar_storage_trouble") == 1.0
    else:
        for _ in range(3):
            node.offer()
    assert node.client("fsp-a").get(before.headers["Location"]).json() == before.json()
    assert before.json()["id"] in {row["asset"] for row in node.rows("fsp-a", ASSETS)}

    node.recovers()
    wait_until(lambda: node.metric("fmar_storage_trouble") == 0.0, "trouble is reported that is over")
    assert children(node, WRITER) == writers


@pytest.mark.parametrize("name", SOME)
def test_while_the_graph_cannot_be_written_records_are_taken_and_shown_afterwards(node: Suffering, name: str) -> None:
    writers = children(node, WRITER)
    node.shim.watch(node.folder / "graph")
    node.shim.arm(ERRORS[name])

    made = [node.offer() for _ in range(3)]
    wait_until(lambda: not node.readiness()["storage"], "nothing is said of the storage")

    assert [each.status_code for each in made] == [201] * 3
    node.recovers()
    assert {each.json()["id"] for each in made} <= {row["asset"] for row in node.rows("fsp-a", ASSETS)}
    assert children(node, WRITER) == writers


def test_a_folder_that_is_moved_away_takes_nothing_until_it_is_back(node: Suffering) -> None:
    writers, journal = children(node, WRITER), node.folder / "journal"
    for part in (journal, journal / "journal.db-wal"):
        node.offer()
        part.rename(away := node.folder / "away")

        assert [node.offer().status_code for _ in range(3)] == [507] * 3
        wait_until(lambda: "not in their place" in node.readiness().get("detail", ""), "nothing is said of the files")

        away.rename(part)
        node.recovers()
    assert children(node, WRITER) == writers


def test_a_journal_in_the_place_of_another_takes_nothing(node: Suffering, tmp_path: Path) -> None:
    journal, writers = node.folder / "journal", children(node, WRITER)
    shutil.copytree(journal, tmp_path / "other")
    journal.rename(away := node.folder / "away")
    (tmp_path / "other").rename(journal)

    assert [node.offer().status_code for _ in range(3)] == [507] * 3

    shutil.rmtree(journal)
    away.rename(journal)
    node.recovers()
    assert children(node, WRITER) == writers


def test_a_follower_that_dies_between_commit_and_graph_goes_on_where_it_was(node: Suffering) -> None:
    for place in (1, 2, 3):
        writers = children(node, WRITER)
        node.shim.watch(node.folder / "graph" / "store")
        node.shim.arm(KILL, after=place, times=1)

        made = node.insist()

        assert made.status_code == 201
        wait_for_others(node, WRITER, writers)
        node.recovers()
        rows = node.rows("fsp-a", ASSETS, after=int(made.headers["Fmar-Journal-Index"]))
        assert made.json()["id"] in {row["asset"] for row in rows}


def test_recorded_time_never_runs_backwards(node: Suffering) -> None:
    times = []
    try:
        for step in (0, -STEP, -STEP / 2, 0):
            node.shim.step(step)
            times.append(parse_stamp(node.offer().json()["recordedAt"]))
    finally:
        node.shim.step(0)

    assert times == sorted(times)


def test_what_was_endured_left_journal_and_graph_sound(suffering: Suffering) -> None:
    suffering.recovers()
    suffering.assert_kept()
    stop_level(suffering)
    try:
        assert_sound(suffering)
    finally:
        suffering.start()


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ERRORS)
def test_each_call_in_turn_fails_once(tmp_path: Path, library: Path, name: str) -> None:
    with Suffering(tmp_path, library) as live:
        writers = children(live, WRITER)
        for place in range(1, 120):
            live.shim.arm(ERRORS[name], after=place, times=1)
            deadline = time.monotonic() + PATIENCE
            while not live.shim.hits and time.monotonic() < deadline:
                live.offer()
            live.recovers()
        live.assert_kept()
        assert children(live, WRITER) == writers
        assert stop_level(live) == 0
        assert_sound(live)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_a_process_killed_at_each_call_loses_nothing(tmp_path: Path, library: Path) -> None:
    with Suffering(tmp_path, library) as live:
        for place in range(1, 80):
            live.shim.arm(KILL, after=place, times=1)
            deadline = time.monotonic() + PATIENCE
            while not live.shim.hits and time.monotonic() < deadline:
                with suppress(httpx.TransportError):
                    live.offer()
            live.shim.disarm()
            if is_gone(live):
                live.start()
            live.recovers()
        live.assert_kept()
        assert live.stop(signal.SIGTERM) == 0
        assert_sound(live)


def is_gone(live: Live) -> bool:
    """Whether it was the web process itself that made the call."""
    with suppress(subprocess.TimeoutExpired):
        live.process.wait(0.2)
        return True
    return False
