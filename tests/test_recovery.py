"""What the graph, queries and repetitions are like after a child or the node was killed; `test_crash` has the records."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.killing import WRITER, children, kill, lull
from tests.live import LD_JSON, Live

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="children are found through /proc")
ASSETS = "PREFIX fmar: <https://w3id.org/fmar/ns#> SELECT ?asset { ?asset a fmar:Asset }"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A node whose children are killed."""
    two: dict[str, dict[str, Any]] = {"fsp-a": {"roles": ["FSP"]}, "fsp-b": {"roles": ["FSP"]}}
    with Live(tmp_path_factory.mktemp("recovery"), two) as made:
        yield made


def register(node: Live, document: dict[str, Any], seconds: float = 30.0) -> httpx.Response:
    """What a client gets in the end that repeats its request with one key while the node is not available."""
    headers, deadline = {**LD_JSON, "Idempotency-Key": f"key-{document['serialNumber']}"}, time.monotonic() + seconds
    while (response := node.client("fsp-a").post("/assets", json=document, headers=headers)).status_code == 503:
        assert time.monotonic() < deadline, response.text
        time.sleep(0.05)
    return response


def test_the_graph_follows_the_writer_that_comes_after(node: Live) -> None:
    for _ in range(3):
        kill(children(node, WRITER))

        made = register(node, node.battery())

        rows = node.rows("fsp-a", ASSETS, after=int(made.headers["Fmar-Journal-Index"]))
        assert made.json()["id"] in {row["asset"] for row in rows}


def test_queries_are_answered_while_there_is_no_writer(node: Live) -> None:
    made = register(node, node.battery())
    node.rows("fsp-a", ASSETS, after=int(made.headers["Fmar-Journal-Index"]))
    kill(children(node, WRITER))

    answers = [node.rows("fsp-a", ASSETS) for _ in range(30)]

    assert all(made.json()["id"] in {row["asset"] for row in rows} for rows in answers)
    assert register(node, node.battery()).status_code == 201


def test_the_snapshot_under_a_query_outlives_the_writer(node: Live) -> None:
    heavy = f"SELECT (COUNT(*) AS ?n) {{ GRAPH <{node.url}/codes> {{ ?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l }} }}"
    snapshots = node.folder / "graph" / "snapshots"
    register(node, node.battery())

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(node.client("fsp-b").get, "/sparql", params={"query": heavy, "timeout": "6"})
        lull(node)
        read = {each.name for each in snapshots.iterdir()}
        kill(children(node, WRITER))
        register(node, node.battery())
        is_running, left = not running.done(), {each.name for each in snapshots.iterdir()}

    assert is_running and read & left
    assert running.result().json()["code"] == "query-timeout"


def test_who_writes_while_there_is_no_writer_is_told_when_to_come_again(node: Live) -> None:
    kill(children(node, WRITER))

    response = node.client("fsp-a").post("/assets", json=node.battery(), headers=LD_JSON)

    assert (response.status_code, response.json()["code"], response.headers["Retry-After"]) == (503, "unavailable", "1")
    assert register(node, node.battery()).status_code == 201


def test_what_was_answered_before_a_kill_is_answered_again_after_it(node: Live) -> None:
    document = node.battery()
    before = register(node, document)
    node.stop(signal.SIGKILL)

    node.start()

    after = register(node, document)
    assert (after.status_code, after.content, after.headers["Idempotent-Replayed"]) == (201, before.content, "true")


def send(node: Live, name: str, path: str, document: dict[str, Any]) -> httpx.Response:
    """By a connection of its own: fifty threads on one pool leave sockets behind."""
    with httpx.Client(base_url=node.url, auth=node.client(name).auth, timeout=60, trust_env=False) as client:
        return client.post(path, json=document, headers=LD_JSON)


def tally(answers: list[httpx.Response]) -> Counter[tuple[int, str]]:
    return Counter((answer.status_code, "" if answer.is_success else answer.json()["errors"][0]["code"]) for answer in answers)


def test_of_fifty_claims_to_a_device_by_two_providers_one_is_granted(node: Live) -> None:
    serial = f"S-{next(node.serials)}"
    documents = [{**node.battery(), "serialNumber": serial} for _ in range(50)]

    def claim(number: int) -> httpx.Response:
        return send(node, ("fsp-a", "fsp-b")[number % 2], "/assets", documents[number])

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(claim, range(50)))

    assert tally(answers) == {(201, ""): 1, (409, "DUPLICATE_EXACT"): 49}


def test_of_fifty_deregistrations_one_is_made(node: Live) -> None:
    place = register(node, node.battery()).headers["Location"]
    note = {"deregistrationReason": "DECOMMISSIONED"}

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: send(node, "fsp-a", f"{place}/deregistration", note), range(50)))

    assert tally(answers) == {(200, ""): 1, (409, "ASSET-DEREGISTER-3"): 49}
