"""Nodes that are killed in part or whole while clients work: what is killed, what a client was told, and what must be there afterwards.

Rules kept here: what a client was told is what the journal holds; what a client was not told it may ask for again with the
same Idempotency-Key, and that has one effect. Children are killed as an operator would: by their process id, found through
/proc below the node's own.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from fmar_node.folder import Folder
from fmar_node.keeping.checkup import check_node
from fmar_node.keeping.maintenance import open_register, verify_journal
from tests.live import LD_JSON, Live

WRITER, JUDGE, WORKER = "fmar_node.writer", "fmar_node.judge", "fmar_node.store.worker"
CHILDREN = (WRITER, JUDGE, WORKER)
AGAIN = {"unavailable", "idempotency-key-running"}
"""Problem codes after which a client asks again."""
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
"""Of <linux/ptrace.h> and <linux/wait.h>."""
PATIENCE = 30.0
"""Seconds in which a node has to be itself again."""


PAUSE = 0.05
"""Seconds between two requests of a client."""


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
        time.sleep(0.2)


@contextmanager
def writing(live: Live, writers: int) -> Iterator[Told]:
    """While the block runs, so many clients register one asset after another."""
    told, ending, client = Told(), threading.Event(), live.client("fsp-a")

    def write() -> None:
        while not ending.wait(PAUSE):
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


@dataclass
class Answers:
    """What queries were answered: rows, or problem codes."""

    rows: list[list[dict[str, Any]]] = field(default_factory=list)
    codes: set[str] = field(default_factory=set)

    def wait_for_more(self, number: int) -> None:
        wanted = len(self.rows) + number
        wait_until(lambda: len(self.rows) >= wanted, "no query is answered")


@contextmanager
def asking(live: Live, question: str) -> Iterator[Answers]:
    """While the block runs, three clients ask the same question again and again."""
    answers, ending = Answers(), threading.Event()
    live.client("fsp-a")

    def ask() -> None:
        while not ending.wait(PAUSE):
            response = live.ask("fsp-a", question)
            if response.status_code == 200:
                found = response.json()["results"]["bindings"]
                answers.rows.append([{key: cell["value"] for key, cell in row.items()} for row in found])
            else:
                answers.codes.add(response.json()["code"])

    with ThreadPoolExecutor(3) as pool:
        work = [pool.submit(ask) for _ in range(3)]
        try:
            yield answers
        finally:
            ending.set()
    for each in work:
        each.result()


@dataclass
class Halves:
    """A request that is in flight for as long as somebody likes: the second half of its body waits."""

    document: dict[str, Any]
    is_begun: threading.Event = field(default_factory=threading.Event)
    may_end: threading.Event = field(default_factory=threading.Event)

    def sent(self) -> Iterator[bytes]:
        body = json.dumps(self.document).encode()
        yield body[:100]
        self.is_begun.set()
        assert self.may_end.wait(PATIENCE)
        yield body[100:]


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
        with suppress(ProcessLookupError):  # a query worker whose snapshot is over ends by itself
            os.kill(pid, signal.SIGKILL)
    return pids


@contextmanager
def held_thread(pid: int, name: str) -> Iterator[None]:
    """Stops one thread of a process, as a debugger does, until the end or until the process has gone. OSError where that is not allowed."""
    thread = next(int(each.name) for each in Path(f"/proc/{pid}/task").iterdir() if (each / "comm").read_text().strip() == name)
    libc = ctypes.CDLL(None, use_errno=True)
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        if libc.ptrace(request, thread, None, None):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.waitpid(thread, WALL)
    try:
        yield
    finally:
        if libc.ptrace(PTRACE_DETACH, thread, None, None):  # it has ended with its process, which waits for us to take note of it
            os.waitpid(thread, WALL)


def lull(live: Live) -> None:
    """Stops the query worker whose query takes long: it goes on until its deadline, and keeps nobody else from working."""
    wait_until(lambda: bool(giving_way(live)), "no query takes long")
    for pid in giving_way(live):
        os.kill(pid, signal.SIGSTOP)


def giving_way(live: Live) -> set[int]:
    """The query workers that have a lower priority than their node."""
    found = set()
    for pid in children(live, WORKER):
        with suppress(ProcessLookupError):  # it has ended meanwhile
            if os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, live.process.pid):
                found.add(pid)
    return found


def is_ready(live: Live) -> bool:
    return live.client().get("/readyz").status_code == 200


def is_listening(live: Live) -> bool:
    try:
        httpx.get(f"{live.url}/healthz")
    except httpx.TransportError:
        return False
    return True


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
    """A clean stop once the graph has caught up with the journal; the exit status."""
    index = int(live.register().headers["Fmar-Journal-Index"])
    live.rows("fsp-a", "SELECT ?s WHERE { ?s ?p ?o } LIMIT 1", after=index)
    return live.stop()


@contextmanager
def own_node(folder: Path) -> Iterator[Live]:
    """A node that may be killed, with one provider and two judges."""
    with Live(folder, {"fsp-a": {"roles": ["FSP"]}}, FMAR_PROBES_PER_HOUR="1000000", FMAR_JUDGES="2", FMAR_WRITER_SILENCE_SECONDS="6", FMAR_SNAPSHOT_SECONDS_MOST="6") as live:
        live.client("fsp-a"), live.client()
        yield live
