"""A node that is killed, in part or whole, keeps every record that it acknowledged, exactly once, and recovers by itself.

Rules kept here: what a client was told is what the journal holds; what a client was not told it may ask for again
with the same Idempotency-Key, and that has one effect; of any number of rivals for one thing exactly one gets it.
Children are killed as an operator would: by their process id, found through /proc below the node's own.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from fmar_node.folder import Folder
from fmar_node.maintenance import check_node, open_register, verify_journal
from tests.live import LD_JSON, Live

WRITER, JUDGE, WORKER = "fmar_node.writer", "fmar_node.judge", "fmar_node.store.worker"
CHILDREN = (WRITER, JUDGE, WORKER)
AGAIN = {"unavailable", "idempotency-key-running"}
"""Problem codes after which a client asks again."""
PATIENCE = 30.0
"""Seconds in which a node has to be itself again."""
RIVALS = 50
MERGE = {"Content-Type": "application/merge-patch+json"}


# -- what a client was told


@dataclass
class Told:
    """What the clients of a node know: where the record of each serial number is, and how often they had to ask again."""

    places: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    repeats: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def note(self, serial: str, response: httpx.Response) -> None:
        with self.changed:
            if response.status_code == 201:
                self.places[serial] = response.headers["Location"]
            else:
                self.refused.append(response.text)
            self.changed.notify_all()

    def wait_for_more(self, number: int) -> None:
        """Until so many more records have been acknowledged."""
        with self.changed:
            wanted = len(self.places) + number
            assert self.changed.wait_for(lambda: len(self.places) >= wanted or self.refused, PATIENCE), "nothing is written"
        assert self.refused == []


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def insist(client: httpx.Client, document: dict[str, Any], key: str, told: Told) -> httpx.Response:
    """A participant's tool: it asks with the same key until the node says what became of its document."""
    deadline = time.monotonic() + 2 * PATIENCE
    while True:
        try:
            response = client.post("/assets", json=document, headers={**LD_JSON, "Idempotency-Key": key})
            said = response.text
            if response.is_success or response.json()["code"] not in AGAIN:
                return response
        except httpx.HTTPError as error:
            said = repr(error)
        assert time.monotonic() < deadline, said
        with told.changed:
            told.repeats += 1
        time.sleep(0.02)


@contextmanager
def writing(live: Live, writers: int) -> Iterator[Told]:
    """While the block runs, so many clients register one asset after another."""
    told, ending, client = Told(), threading.Event(), live.client("fsp-a")

    def write() -> None:
        while not ending.is_set():
            document = live.battery()
            serial = document["serialNumber"]
            told.note(serial, insist(client, document, f"key-{serial}", told))

    with ThreadPoolExecutor(writers) as pool:
        work = [pool.submit(write) for _ in range(writers)]
        try:
            yield told
        finally:
            ending.set()
    for each in work:
        each.result()
    assert told.refused == []


# -- what is killed


def children(live: Live, *modules: str) -> set[int]:
    """The process ids of a node's children that run one of these modules."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:  # it has ended meanwhile
                continue
            if parent == live.process.pid and set(modules) & set(words):
                found.add(int(entry.name))
    return found


def kill(pids: set[int]) -> set[int]:
    assert pids, "there is nothing to kill"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return pids


def is_ready(live: Live) -> bool:
    return live.client().get("/readyz").status_code == 200


def wait_for_others(live: Live, module: str, killed: set[int]) -> None:
    """Until others run in the place of the killed, and the node says that it is ready."""
    wait_until(lambda: bool(children(live, module) - killed) and not children(live, module) & killed, f"no other {module}")
    wait_until(lambda: is_ready(live), "the node is not ready again")


def kill_node(live: Live) -> None:
    """Everything of it at once, the web process first so that it cannot replace a child."""
    below = children(live, *CHILDREN)
    live.process.kill()
    kill(below)
    live.process.wait(PATIENCE)


def kill_web(live: Live) -> None:
    """The web process alone; the children see that it has gone."""
    live.process.kill()
    live.process.wait(PATIENCE)


# -- what is there afterwards


def journalled(live: Live) -> Counter[str]:
    """How many records of the journal have each serial number."""
    register = open_register(Folder(live.folder))
    serials = Counter(version.document["serialNumber"] for version in register.since(-1, 1_000_000) if version.kind == "assets")
    register.connection.close()
    return serials


def assert_kept(live: Live, told: Told) -> None:
    """Each acknowledged record is where it was said to be, and in the journal once."""
    assert told.places
    assert len(set(told.places.values())) == len(told.places)
    held = journalled(live)
    for serial, place in told.places.items():
        assert live.client("fsp-a").get(place).json()["serialNumber"] == serial
        assert held[serial] == 1


def assert_sound(live: Live) -> None:
    """A stopped node's journal verifies, and its graph, once it has caught up, is what `reveal` says of the journal."""
    assert verify_journal(Folder(live.folder))[0].endswith("entries")
    findings = {finding.what: finding for finding in check_node(Folder(live.folder))}
    assert {"journal", "graph", "views"} <= set(findings)
    assert [finding for finding in findings.values() if not finding.is_ok] == []


def stop_level(live: Live) -> int:
    """A clean stop when the graph has caught up; the exit status."""
    made = live.register()
    live.rows("fsp-a", "ASK {}" if False else "SELECT ?s WHERE { ?s ?p ?o } LIMIT 1", after=int(made.headers["Fmar-Journal-Index"]))
    return live.stop()


@contextmanager
def own_node(folder: Path) -> Iterator[Live]:
    """A node that may be killed, with one provider."""
    with Live(folder, {"fsp-a": {"roles": ["FSP"]}}, FMAR_PROBES_PER_HOUR="1000000") as live:
        live.client("fsp-a"), live.client()
        yield live


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Its children are killed; it lives on."""
    with own_node(tmp_path_factory.mktemp("crash")) as live:
        yield live


# -- a part of the node is killed


def test_a_killed_writer_loses_no_record_and_doubles_none(node: Live) -> None:
    with writing(node, writers=8) as told:
        for _ in range(3):
            told.wait_for_more(10)
            killed = kill(children(node, WRITER))
            wait_for_others(node, WRITER, killed)
        told.wait_for_more(10)

    assert told.repeats > 0
    assert_kept(node, told)
