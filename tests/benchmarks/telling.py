"""What being told costs: deliveries to an endpoint beside a plain client that posts to it, and how far the feed is behind the journal.

Rules kept here: rounds take turns and medians are compared; the endpoint is the receiver of the examples, in a process of its own, and
checks no signatures; what is delivered was registered before the clock starts, while the subscription was paused.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from fmar_node.client import connect
from tests.benchmarks.reach import medians
from tests.benchmarks.trust import UNLIMITED, Finding
from tests.live import LD_JSON, Live, free_port

EVENTS = 400
AT_ONCE = 8
RATE, SECONDS = 50, 10
"""Registrations a second, and for how long, while the feed is followed."""
EVENT_ROWS = ("webhooks", "feed")
RECEIVER = Path(__file__).parents[2] / "examples" / "servers" / "webhook_receiver.py"


@contextmanager
def receiving() -> Iterator[str]:
    """The address of an endpoint that takes everything."""
    port = free_port()
    process = subprocess.Popen([sys.executable, RECEIVER, "--port", str(port)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


class Telling:
    """The table's rows; `rows` names them."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.rows: dict[str, Callable[[], Iterator[Finding]]] = {"webhooks": self.webhooks, "feed": self.feed}

    def webhooks(self) -> Iterator[Finding]:
        """The same number of events of as many records, 8 under way at once: by the node, with its signatures and its disk, and by httpx."""
        with Live(self.scratch / "webhooks", {"fsp-a": {"roles": ["FSP"]}}, **UNLIMITED, FMAR_WEBHOOK_LOOPBACK="true", FMAR_WEBHOOK_AT_ONCE=str(AT_ONCE)) as node, receiving() as endpoint:
            client = node.client("fsp-a")
            made = client.post("/subscriptions", json={"type": "Subscription", "endpoint": endpoint, "eventKind": ["assets"]}, headers=LD_JSON)
            place = made.headers["Location"]
            while client.get(place).json()["subscriptionStatus"] != "ACTIVE":
                time.sleep(0.1)

            def by_node() -> float:
                client.post(f"{place}/pause", headers=LD_JSON).raise_for_status()
                index = max(int(node.register().headers["Fmar-Journal-Index"]) for _ in range(EVENTS))
                started = time.perf_counter()
                client.post(f"{place}/resumption", headers=LD_JSON).raise_for_status()
                while client.get(f"{place}/deliveries?limit=1").json()["items"] or all(event["id"] != str(index) for event in taken(endpoint)):
                    time.sleep(0.02)
                return EVENTS / (time.perf_counter() - started)

            def by_httpx() -> float:
                body = json.dumps(taken(endpoint)[-1]).encode()
                started = time.perf_counter()
                asyncio.run(posted(endpoint, body))
                return EVENTS / (time.perf_counter() - started)

            ours, plain = medians(by_node, by_httpx)
        yield Finding(f"deliveries to one endpoint, {AT_ONCE} at once", f"{ours:,.0f}/s", f"httpx to the same endpoint {plain:,.0f}/s", ours / plain)

    def feed(self) -> Iterator[Finding]:
        """From the answer to a registration until a follower with `wait` has its event."""
        came: dict[str, float] = {}
        with Live(self.scratch / "feed", {"fsp-a": {"roles": ["FSP"]}}, **UNLIMITED) as node:
            enough = threading.Event()

            def follow() -> None:
                with connect(node.profiles["fsp-a"]) as follower:
                    place = "/events?since=now&kind=assets&limit=500&wait=1"
                    while not enough.is_set():
                        page = follower.get(place)
                        came.update(dict.fromkeys((event["id"] for event in page.json()), time.perf_counter()))
                        place = page.links["next"]["url"]

            following = threading.Thread(target=follow)
            following.start()
            time.sleep(1.0)
            answered, taken_seconds = paced(node)
            time.sleep(2.0)
            enough.set()
            following.join()
        lags = sorted(max(0.0, came[index] - at) for index, at in answered.items())
        median, most = statistics.median(lags), lags[int(0.99 * len(lags))]
        beside = statistics.median(taken_seconds)
        yield Finding(f"lag of the feed at {RATE} registrations/s", f"{1000 * median:,.0f} ms, 99 % below {1000 * most:,.0f} ms", f"a registration {1000 * beside:,.0f} ms", median / beside)


def taken(endpoint: str) -> list[dict[str, str]]:
    """The events that the endpoint has."""
    events: list[dict[str, str]] = httpx.get(f"{endpoint}/events", trust_env=False).json()
    return events


async def posted(endpoint: str, body: bytes) -> None:
    """As many posts as there are events, so many at once."""
    async with httpx.AsyncClient(trust_env=False) as client:
        left = iter(range(EVENTS))

        async def post() -> None:
            for _ in left:
                (await client.post(endpoint, content=body)).raise_for_status()

        await asyncio.gather(*(post() for _ in range(AT_ONCE)))


def paced(node: Live) -> tuple[dict[str, float], list[float]]:
    """Registers at an even pace; when each was answered, by the index of its entry, and how long each took."""
    answered: dict[str, float] = {}
    took = []
    due = time.perf_counter()
    for _ in range(RATE * SECONDS):
        time.sleep(max(0.0, due - time.perf_counter()))
        started = time.perf_counter()
        index = node.register().headers["Fmar-Journal-Index"]
        answered[index] = time.perf_counter()
        took.append(answered[index] - started)
        due = max(due + 1 / RATE, started)
    return answered, took
