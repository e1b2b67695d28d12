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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from fmar_node.folder import Folder
from fmar_node.keeping.checkup import check_node
from fmar_node.keeping.maintenance import open_register, verify_journal
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
        time.sleep(0.1)


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
        while not ending.is_set():
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
    """A node that may be killed, with one provider."""
    with Live(folder, {"fsp-a": {"roles": ["FSP"]}}, FMAR_PROBES_PER_HOUR="1000000") as live:
        live.client("fsp-a"), live.client()
        yield live


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The node that everything here is done to; one, since a start takes seconds."""
    with own_node(tmp_path_factory.mktemp("crash")) as live:
        yield live


@pytest.fixture
def node(mortal: Live) -> Live:
    """The node, running."""
    if mortal.process.poll() is not None:
        mortal.start()
    return mortal


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


def test_a_writer_killed_again_and_again_is_replaced(node: Live) -> None:
    for _ in range(3):
        killed = kill(children(node, WRITER))
        wait_until(lambda killed=killed: bool(children(node, WRITER) - killed), "no other writer")
    wait_until(lambda: is_ready(node), "the node is not ready again")

    assert node.register().status_code == 201


def test_a_retry_after_a_killed_writer_is_one_effect(node: Live) -> None:
    document, told = node.battery(), Told()
    first = insist(node.client("fsp-a"), document, "before the kill", told)
    killed = kill(children(node, WRITER))

    again = insist(node.client("fsp-a"), document, "before the kill", told)
    wait_for_others(node, WRITER, killed)
    third = insist(node.client("fsp-a"), document, "before the kill", told)

    assert [each.status_code for each in (first, again, third)] == [201] * 3
    assert first.json() == again.json() == third.json()
    assert third.headers["Idempotent-Replayed"] == "true"
    assert journalled(node)[document["serialNumber"]] == 1


def test_a_killed_judge_is_noticed_by_no_client(node: Live) -> None:
    with writing(node, writers=8) as told:
        for _ in range(3):
            told.wait_for_more(10)
            killed = kill({min(children(node, JUDGE))})
            wait_for_others(node, JUDGE, killed)
        told.wait_for_more(10)

    assert told.repeats == 0
    assert_kept(node, told)


def test_all_judges_killed_lose_no_record(node: Live) -> None:
    with writing(node, writers=8) as told:
        told.wait_for_more(10)
        killed = kill(children(node, JUDGE))
        wait_for_others(node, JUDGE, killed)
        told.wait_for_more(10)

    assert_kept(node, told)


def test_idle_judges_that_were_killed_are_noticed_by_no_client(node: Live) -> None:
    killed = kill(children(node, JUDGE))
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in killed), "they are not reaped")

    responses = [node.client("fsp-a").post("/assets", json=node.battery(), headers=LD_JSON) for _ in range(3)]

    assert statuses(responses) == {201: 3}
    wait_for_others(node, JUDGE, killed)


def test_killed_query_workers_give_no_wrong_answer(node: Live) -> None:
    made = node.register()
    question = f"SELECT ?name WHERE {{ <{made.json()['id']}> <https://w3id.org/fmar/ns#assetName> ?name }}"
    right = node.rows("fsp-a", question, after=int(made.headers["Fmar-Journal-Index"]))
    with asking(node, question) as answers:
        for _ in range(3):
            answers.wait_for_more(10)
            killed = kill(children(node, WORKER))
            wait_for_others(node, WORKER, killed)
        answers.wait_for_more(10)

    assert len(right) == 1
    assert all(each == right for each in answers.rows)
    assert answers.codes <= {"unavailable", "query-out-of-memory"}  # a kill by the kernel looks the same


# -- the whole node is killed


def test_a_killed_node_has_every_record_once_when_it_is_back(node: Live) -> None:
    before = set(journalled(node))
    with writing(node, writers=20) as told:
        for end in (kill_node, kill_web):
            told.wait_for_more(20)
            end(node)
            node.start()
        told.wait_for_more(20)

    assert told.repeats > 0
    assert_kept(node, told)
    assert set(journalled(node)) - before == set(told.places)
    stop_level(node)
    assert_sound(node)


def test_requests_in_flight_are_answered_when_the_node_is_told_to_end(node: Live) -> None:
    node.register()
    with ThreadPoolExecutor(8) as pool:
        halves = [Halves(node.battery()) for _ in range(8)]
        work = [pool.submit(node.client("fsp-a").post, "/assets", content=each.sent(), headers=LD_JSON) for each in halves]
        wait_until(lambda: all(each.is_begun.is_set() for each in halves), "the requests do not begin")
        assert [httpx.get(f"{node.url}/healthz").status_code for _ in range(3)] == [200] * 3

        node.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not is_listening(node), "the node still takes connections")
        for each in halves:
            each.may_end.set()

    node.process.wait(PATIENCE)
    assert statuses([each.result() for each in work]) == {201: 8}
    assert {each.document["serialNumber"] for each in halves} <= set(journalled(node))


def test_a_node_under_load_that_is_told_to_end_loses_nothing(node: Live) -> None:
    with writing(node, writers=8) as told:
        told.wait_for_more(20)
        node.stop()
        node.start()
        told.wait_for_more(8)

    assert_kept(node, told)


# -- rivals for one thing


def together(number: int, act: Callable[[int], httpx.Response]) -> list[httpx.Response]:
    """So many threads that begin at the same moment."""
    start = threading.Barrier(number)

    def one(place: int) -> httpx.Response:
        start.wait(PATIENCE)
        return act(place)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


def statuses(responses: list[httpx.Response]) -> Counter[int]:
    return Counter(response.status_code for response in responses)


def codes_of(responses: list[httpx.Response]) -> set[str]:
    """The rules that refusals name."""
    return {error["code"] for each in responses if not each.is_success for error in each.json()["errors"]}


def test_of_fifty_claims_of_a_friendly_code_one_succeeds(node: Live) -> None:
    client, documents = node.client("fsp-a"), [node.battery(friendlyCode="WANTED") for _ in range(RIVALS)]

    responses = together(RIVALS, lambda place: client.post("/assets", json=documents[place], headers=LD_JSON))

    assert statuses(responses) == {201: 1, 409: RIVALS - 1}
    assert codes_of(responses) == {"FRIENDLY_CODE_TAKEN"}
    assert len(client.get("/assets", params={"friendlyCode": "WANTED"}).json()["items"]) == 1


def test_of_fifty_claims_of_a_device_one_succeeds(node: Live) -> None:
    documents = [node.battery(serialNumber="ONE-OF-A-KIND", manufacturer="Rare") for _ in range(RIVALS)]
    client = node.client("fsp-a")

    responses = together(RIVALS, lambda place: client.post("/assets", json=documents[place], headers=LD_JSON))

    assert statuses(responses) == {201: 1, 409: RIVALS - 1}
    assert codes_of(responses) == {"DUPLICATE_EXACT"}
    assert journalled(node)["ONE-OF-A-KIND"] == 1


def test_of_fifty_changes_of_one_version_one_is_made(node: Live) -> None:
    made, client = node.register(), node.client("fsp-a")
    place, headers = made.headers["Location"], {**MERGE, "If-Match": made.headers["ETag"]}

    responses = together(RIVALS, lambda number: client.patch(place, content=json.dumps({"assetName": f"Name {number}"}), headers=headers))

    assert statuses(responses) == {200: 1, 412: RIVALS - 1}
    assert len(client.get(f"{place}/versions").json()["items"]) == 2
    assert client.get(place).json() == next(each.json() for each in responses if each.is_success)


def test_fifty_requests_with_one_key_are_one_request(node: Live) -> None:
    document, told, client = node.battery(), Told(), node.client("fsp-a")

    responses = together(RIVALS, lambda _: insist(client, document, "one key for all", told))

    assert statuses(responses) == {201: RIVALS}
    assert len({response.headers["Location"] for response in responses}) == 1
    assert [response.headers.get("Idempotent-Replayed") for response in responses].count(None) == 1
    assert journalled(node)[document["serialNumber"]] == 1


def test_of_fifty_different_requests_with_one_key_one_is_made(node: Live) -> None:
    documents, told, client = [node.battery() for _ in range(RIVALS)], Told(), node.client("fsp-a")

    responses = together(RIVALS, lambda place: insist(client, documents[place], "one key for different things", told))

    held = journalled(node)
    assert statuses(responses) == {201: 1, 422: RIVALS - 1}
    assert sum(held[document["serialNumber"]] for document in documents) == 1


# -- the end


def test_a_clean_stop_is_exit_status_0(node: Live) -> None:
    assert stop_level(node) == 0


# -- the campaign


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [20261122])
def test_a_hundred_kills_lose_no_record_and_double_none(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with own_node(tmp_path) as live:
        with writing(live, writers=8) as told:
            for _ in range(100):
                told.wait_for_more(chance.randint(1, 10))
                time.sleep(chance.uniform(0, 0.1))
                strike(live, chance)
            told.wait_for_more(20)

        assert told.repeats > 0
        assert_kept(live, told)
        assert set(journalled(live)) == set(told.places)
        stop_level(live)
        assert_sound(live)


def strike(live: Live, chance: random.Random) -> None:
    """One kill of the campaign, and the node's recovery from it; the same draws for each, whatever runs at the moment."""
    victim, is_whole = chance.choice([*CHILDREN, "web", "node"]), chance.random() < 0.5
    if victim in CHILDREN:
        found = children(live, victim)
        wait_for_others(live, victim, kill(found if is_whole else {min(found)}))
    else:
        {"web": kill_web, "node": kill_node}[victim](live)
        live.start()
