"""Latency of a quiet tenant, alone and while another one floods: rounds that take turns, the flood in a process of its own.

Rules kept here: the quiet tenant asks at an easy pace over one connection, each time when the last answer is there; a round
beside a flood begins when the flooder has been refused for the first time, and the flood goes on until the round is over;
what the flooder sends is signed before. The flooder does not wait: it sends the next request upon the answer to the last.
"""

from __future__ import annotations

import multiprocessing
import selectors
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

from tests.benchmarks.service import Served

CONNECTIONS = 50
EACH = 150
"""Requests that are prepared for each connection of the flooder."""
PACE = 0.012
"""Seconds between two requests of the quiet tenant."""
SHARES = (0.5, 0.95, 0.99)
WARM = 60.0
"""Longest time until the flooder is refused."""


@dataclass(slots=True)
class Sent:
    """What a flooder has sent, by the first digit of the answer's status."""

    answers: dict[str, int]
    seconds: float

    def __str__(self) -> str:
        return ", ".join(f"{count / self.seconds:,.0f} {status}xx/s" for status, count in sorted(self.answers.items()))


def paced(url: str, requests: Sequence[bytes], pace: float = PACE) -> list[float]:
    """Latencies of requests over one connection, one every `pace` seconds."""
    address = urlsplit(url)
    taken = []
    with socket.create_connection((address.hostname, address.port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        due = time.perf_counter()
        for request in requests:
            due = max(due + pace, time.perf_counter())
            time.sleep(max(0.0, due - time.perf_counter()))
            started = time.perf_counter()
            sock.sendall(request)
            came = bytearray()
            while not _is_whole(came):
                if not (chunk := sock.recv(262_144)):
                    raise ConnectionError("the server closed a connection")
                came += chunk
            taken.append(time.perf_counter() - started)
            if came[9:10] != b"2":
                raise RuntimeError(bytes(came[:800]).decode("utf-8", "replace"))
    return taken


def _is_whole(came: bytearray) -> bool:
    head = came.find(b"\r\n\r\n")
    if head < 0:
        return False
    fields = bytes(came[:head]).lower()
    if b"transfer-encoding: chunked" in fields:
        return came.endswith(b"0\r\n\r\n")
    return len(came) >= head + 4 + int(fields.split(b"content-length:")[1].split(b"\r\n")[0])


class Flood:
    """A flooder with 50 connections, as a context manager: within, it has been refused and goes on."""

    def __init__(self, url: str, requests: Sequence[Sequence[bytes]], refusal: bytes) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.ours, theirs = spawn.Pipe()
        self.process = spawn.Process(target=flood, args=(url, requests, refusal, theirs), daemon=True)
        self.sent = Sent({}, 1.0)

    def __enter__(self) -> Flood:
        self.process.start()
        if not self.ours.poll(WARM):
            raise TimeoutError("the flooder was not refused")
        self.ours.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self.ours.send("enough")
        self.sent = self.ours.recv()
        self.process.join()


def flood(url: str, requests: Sequence[Sequence[bytes]], refusal: bytes, told: Connection) -> None:
    """Sends until it is told that it is enough; counts from the first `refusal` on, of which it tells."""
    address = urlsplit(url)
    waiting = [list(each)[::-1] for each in requests]
    with selectors.DefaultSelector() as selector:
        selector.register(told, selectors.EVENT_READ, None)
        for own in waiting:
            _send(selector, (address.hostname or "", address.port or 80), None, own)
        answers: dict[str, int] = {}
        since = 0.0
        while True:
            for key, _ in selector.select(1.0):
                if key.data is None:
                    told.recv()
                    told.send(Sent(answers, time.perf_counter() - since))
                    return
                sock, (own, came) = key.fileobj, key.data
                came += sock.recv(262_144)
                if came and not _is_whole(came):
                    continue
                status = bytes(came[9:10]).decode() or "closed without answer "
                if not since and refusal in came:
                    since = time.perf_counter()
                    told.send("refused")
                if since:
                    answers[status] = answers.get(status, 0) + 1
                selector.unregister(sock)
                is_over = not came or b"connection: close" in bytes(came).lower()
                _send(selector, (address.hostname or "", address.port or 80), None if is_over else sock, own)


def _send(selector: selectors.BaseSelector, address: tuple[str, int], sock: socket.socket | None, own: list[bytes]) -> None:
    """The connection's next request, over a new one where it was closed."""
    if not own:
        return
    if sock is None:
        sock = socket.create_connection(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(own.pop())
    selector.register(sock, selectors.EVENT_READ, (own, bytearray()))


def dealt_out(make: Callable[[int], bytes]) -> list[list[bytes]]:
    """Prepared requests for each connection of a flooder; `make` makes the one of that number."""
    return [[make(EACH * connection + place) for place in range(EACH)] for connection in range(CONNECTIONS)]


def rounds(node: Served, quiet: Callable[[], list[bytes]], loud: Callable[[], list[list[bytes]]], refusal: bytes, count: int, rest: float) -> tuple[list[list[float]], list[list[float]], list[Sent]]:
    """Latencies of each round alone and beside the flood, in turns, and what the flooder sent; a flood has begun with such a `refusal`."""
    alone, beside, sent = [], [], []
    for _ in range(count):
        alone.append(paced(node.url, quiet()))
        flooding, asked = loud(), quiet()
        with Flood(node.url, flooding, refusal) as other:
            beside.append(paced(node.url, asked))
        sent.append(other.sent)
        time.sleep(rest)
    return alone, beside, sent


def percentiles(found: list[list[float]]) -> list[float]:
    """The median over the rounds of each share's latency, in milliseconds."""
    return [1000 * statistics.median(_share(each, share) for each in found) for share in SHARES]


def _share(latencies: list[float], share: float) -> float:
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
