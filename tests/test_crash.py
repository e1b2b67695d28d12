"""A node that is killed, in part or whole, keeps every record that it acknowledged, exactly once, and recovers by itself.

Rules kept here: what a client was told is what the journal holds; what a client was not told it may ask for again
with the same Idempotency-Key, and that has one effect; of any number of rivals for one thing exactly one gets it.
Children are killed as an operator would: by their process id, found through /proc below the node's own.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.killing import (
    JUDGE,
    PATIENCE,
    WORKER,
    WRITER,
    Halves,
    Told,
    asking,
    assert_kept,
    assert_sound,
    children,
    held_thread,
    insist,
    is_listening,
    is_ready,
    journalled,
    kill,
    kill_node,
    kill_web,
    own_node,
    stop_level,
    wait_for_others,
    wait_until,
    writing,
)
from tests.live import LD_JSON, Live

RIVALS = 50
MERGE = {"Content-Type": "application/merge-patch+json"}


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


def test_a_writer_that_hangs_is_replaced(node: Live) -> None:
    hanging = children(node, WRITER)
    for pid in hanging:
        os.kill(pid, signal.SIGSTOP)

    with writing(node, writers=2) as told:
        told.wait_for_more(2)

    assert told.repeats > 0 and not set(hanging) & set(children(node, WRITER))
    assert_kept(node, told)


def test_a_batch_whose_writer_is_killed_is_whole_when_it_is_sent_again(node: Live) -> None:
    rows = [node.battery() for _ in range(200)]
    body, headers = "\n".join(map(json.dumps, rows)), {"Content-Type": "application/x-ndjson", "Idempotency-Key": "a batch through kills"}

    def sent() -> Counter[str]:
        answer = node.client("fsp-a").post("/assets/batch", content=body, headers=headers, timeout=2 * PATIENCE)
        return Counter(json.loads(line)["outcome"] for line in answer.text.splitlines())

    before = journalled(node).total()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(sent)
        wait_until(lambda: journalled(node).total() > before + 20, "no row is entered")
        wait_for_others(node, WRITER, kill(children(node, WRITER)))
    told = [first.result()]
    while told[-1]["refused"] and len(told) < 20:
        told.append(sent())

    assert told[0]["refused"] and not told[-1]["refused"]
    assert {journalled(node)[each["serialNumber"]] for each in rows} == {1}


def test_an_engine_that_never_ends_a_snapshot_keeps_no_reader_on_an_old_graph(node: Live) -> None:
    (hanging,) = children(node, WRITER)
    try:
        with held_thread(hanging, "rocksdb:high"):  # that is who flushes
            made = insist(node.client("fsp-a"), node.battery(), "while nothing is flushed", Told())
            wait_until(lambda: hanging not in children(node, WRITER), "the writer goes on with a snapshot that has no end")
    except PermissionError:
        pytest.skip("no thread may be held here")
    wait_until(lambda: is_ready(node), "the node is not ready again")

    index = made.headers["Fmar-Journal-Index"]
    found = node.client("fsp-a").post("/sparql", content=f"ASK {{ <{made.headers['Location']}> ?p ?o }}", headers={"Content-Type": "application/sparql-query", "Fmar-Min-Journal-Index": index})
    assert found.json()["boolean"] is True


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
    with writing(node, writers=8) as told:
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
