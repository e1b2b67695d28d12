"""Stopping and starting in order: readiness first, requests in flight finished, and no failed request for a client that repeats."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from fmar_node.client import Client, connect
from tests.killing import lull
from tests.live import LD_JSON, Live


@pytest.fixture(scope="module")
def drained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A node that lets a balancer know before it stops."""
    with Live(tmp_path_factory.mktemp("drained"), {"fsp-a": {"roles": ["FSP"]}}, FMAR_DRAIN_SECONDS="1.5") as node:
        yield node


def test_readiness_goes_first_and_requests_in_flight_are_finished(drained: Live) -> None:
    heavy = f"SELECT (COUNT(*) AS ?n) {{ GRAPH <{drained.url}/codes> {{ ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }} }}"
    ask = drained.client("fsp-a")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask.get, "/sparql", params={"query": heavy, "timeout": "2"})
        lull(drained)

        drained.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        ready, alive = httpx.get(f"{drained.url}/readyz"), httpx.get(f"{drained.url}/healthz")
        registered = httpx.get(f"{drained.url}/assets").status_code
        said = running.result(10)

    assert (ready.status_code, ready.json()["started"], ready.json()["detail"]) == (503, False, "started: the node is stopping")
    assert (alive.status_code, registered) == (200, 200)
    assert said.json()["code"] == "query-timeout", "it ran to its own end, not to the node's"
    assert drained.process.wait(20) == 0


@dataclass
class Load:
    """Clients that read, ask and write until they are told to stop, and what they met."""

    live: Live
    is_over: threading.Event = field(default_factory=threading.Event)
    failures: list[str] = field(default_factory=list)
    written: dict[str, str] = field(default_factory=dict)
    reads: int = 0

    def run(self, work: Callable[[httpx.Client], None]) -> None:
        with connect(self.live.profiles["fsp-a"], patience=30) as client:
            while not self.is_over.is_set():
                try:
                    work(client)
                except Exception as error:
                    self.failures.append(repr(error))

    def write(self, client: httpx.Client) -> None:
        document = self.live.battery()
        response = client.post("/assets", json=document, headers={**LD_JSON, "Idempotency-Key": document["serialNumber"]})
        if response.status_code == 201:
            self.written[document["serialNumber"]] = response.headers["Location"]
        else:
            self.failures.append(response.text)

    def read(self, client: httpx.Client) -> None:
        self._meet(client.get("/assets", params={"managed": "me", "limit": "1"}))

    def ask(self, client: httpx.Client) -> None:
        self._meet(client.post("/sparql", content=b"ASK {}", headers={"Content-Type": "application/sparql-query"}))

    def _meet(self, response: httpx.Response) -> None:
        self.reads += 1
        if response.status_code != 200:
            self.failures.append(response.text)


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=[pytest.mark.campaign, pytest.mark.timeout(400)])])
def test_no_request_fails_and_none_has_two_effects_while_a_node_is_stopped_and_started(drained: Live, rounds: int) -> None:
    drained.environment["FMAR_DRAIN_SECONDS"] = "0"
    if drained.process.poll() is not None:
        drained.start()
    load = Load(drained)
    with ThreadPoolExecutor(4) as pool:
        for work in (load.write, load.write, load.read, load.ask):
            pool.submit(load.run, work)
        try:
            for _ in range(rounds):
                time.sleep(0.3 if rounds == 1 else 1.5)  # longer than a client's longest pause: who tries gets through
                assert drained.stop() == 0
                drained.start()
            time.sleep(0.3)
        finally:
            load.is_over.set()

    assert load.failures == []
    exported = [line for line in drained.client("fsp-a").get("/assets/export", headers={"Accept": "application/x-ndjson"}).text.splitlines() if line]
    assert len(load.written) > rounds and load.reads > rounds
    assert {serial: sum(f'"{serial}"' in line for line in exported) for serial in load.written} == dict.fromkeys(load.written, 1)


# -- what a client repeats


def outcomes(*given: httpx.Response | type[httpx.HTTPError]) -> tuple[Client, list[str]]:
    """A client of a server that does these things, one after the other, and then answers."""
    met: list[str] = []
    left = list(given)

    def serve(request: httpx.Request) -> httpx.Response:
        met.append(request.method)
        outcome = left.pop(0) if left else httpx.Response(200)
        if isinstance(outcome, httpx.Response):
            return outcome
        raise outcome("the server did this", request=request)

    return Client(patience=5, transport=httpx.MockTransport(serve), base_url="http://node"), met


LATER = {"Retry-After": "0"}


@pytest.mark.parametrize("first", [httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, httpx.Response(503, headers=LATER)], ids=str)
@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k"}], ids=["GET", "POST with a key"])
def test_what_is_safe_is_repeated(first: httpx.Response | type[httpx.HTTPError], key: dict[str, str]) -> None:
    client, met = outcomes(first)

    with closing(client):
        assert client.request("POST" if key else "GET", "/assets", headers=key, content=b"{}" if key else None).status_code == 200
    assert len(met) == 2


@pytest.mark.parametrize("first", [httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError])
def test_a_write_without_a_key_that_may_have_arrived_is_not_repeated(first: type[httpx.HTTPError]) -> None:
    client, met = outcomes(first)

    with closing(client), pytest.raises(first):
        client.post("/assets", content=b"{}")
    assert len(met) == 1


def test_a_write_that_never_left_is_repeated_without_a_key() -> None:
    client, met = outcomes(httpx.ConnectError)

    with closing(client):
        assert client.post("/assets", content=b"{}").status_code == 200
    assert len(met) == 2


@pytest.mark.parametrize("answer", [httpx.Response(503), httpx.Response(409, headers=LATER), httpx.Response(422), httpx.Response(429, headers=LATER), httpx.Response(507)])
def test_an_answer_that_stands_is_not_asked_for_again(answer: httpx.Response) -> None:
    client, met = outcomes(answer)

    with closing(client):
        assert client.get("/assets").status_code == answer.status_code
    assert len(met) == 1


def test_a_key_that_is_still_at_work_is_waited_for() -> None:
    client, met = outcomes(httpx.Response(409, headers=LATER), httpx.Response(201))

    with closing(client):
        assert client.post("/assets", content=b"{}", headers={"Idempotency-Key": "k"}).status_code == 201
    assert len(met) == 2


def test_a_body_that_cannot_be_sent_again_is_sent_once(tmp_path: Path) -> None:
    client, met = outcomes(httpx.ConnectError)

    with closing(client), pytest.raises(httpx.ConnectError):
        client.post("/assets", content=iter([b"{}"]), headers={"Idempotency-Key": "k"})
    assert len(met) == 1


def test_patience_ends() -> None:
    client, met = outcomes(*[httpx.ConnectError] * 50)
    client._patience = 0.5
    started = time.monotonic()

    with closing(client), pytest.raises(httpx.ConnectError):
        client.get("/assets")
    assert 1 < len(met) < 5 and time.monotonic() - started < 1
