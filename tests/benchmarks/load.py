"""The load: one loop over a few connections that sends prepared requests, the same for every server that is measured.

Rules kept here: everything that costs the client time (tokens, proofs, texts) is done before the clock starts; a
connection sends its next request when it has the whole answer to the last; an answer other than 2xx ends the run.
"""

from __future__ import annotations

import selectors
import socket
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from fmar_node.client import FmarAuth, Profile

PATIENCE = 60.0
QUERY = {"Content-Type": "application/sparql-query", "Accept": "application/sparql-results+json"}


@dataclass(frozen=True, slots=True)
class Run:
    """What a run took: seconds in all, and of each request."""

    seconds: float
    latencies: list[float]

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """The latency in seconds that this share of the requests stays within."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def median(self) -> float:
        return statistics.median(self.latencies)


class Signer:
    """Makes a participant's requests ready to be sent: each has a proof of its own."""

    def __init__(self, profile: Profile) -> None:
        self.auth, self.node = FmarAuth(profile), profile.node
        with httpx.Client(base_url=self.node, auth=self.auth, trust_env=False) as client:
            client.get("/organisations?limit=1").raise_for_status()

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        request = httpx.Request(method, self.node + path, content=body, headers=headers)
        flow = self.auth.sync_auth_flow(request)
        signed = next(flow)
        flow.close()
        if signed is not request:
            raise RuntimeError("the token ran out while requests were prepared; prepare fewer")
        return raw(signed)

    def query(self, text: str) -> bytes:
        return self.request("POST", "/sparql", text.encode(), **QUERY)


def raw(request: httpx.Request) -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{request.method} {request.url.raw_path.decode()} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + request.content


def plain_query(url: str, text: str) -> bytes:
    """The same query for a server that asks for no credential."""
    headers = QUERY if not text.startswith("DESCRIBE") else {**QUERY, "Accept": "text/turtle"}
    return raw(httpx.Request("POST", f"{url}/query", content=text.encode(), headers=headers))


@dataclass(slots=True)
class _Connection:
    """One keep-alive connection, its requests, and the answer that is coming in."""

    sock: socket.socket
    waiting: list[bytes]
    came: bytearray = field(default_factory=bytearray)
    sent: float = 0.0

    def send(self) -> bool:
        if not self.waiting:
            return False
        self.came.clear()
        self.sent = time.perf_counter()
        self.sock.sendall(self.waiting.pop())
        return True

    def receive(self) -> bool:
        """Whether the answer is whole."""
        chunk = self.sock.recv(262_144)
        if not chunk:
            raise ConnectionError("the server closed a connection")
        self.came += chunk
        head = self.came.find(b"\r\n\r\n")
        if head < 0:
            return False
        if self.came[9:10] != b"2":
            raise RuntimeError(bytes(self.came[:800]).decode("utf-8", "replace"))
        fields = bytes(self.came[:head]).lower()
        if b"transfer-encoding: chunked" in fields:
            return self.came.endswith(b"\r\n0\r\n\r\n") or self.came[head:] == b"\r\n\r\n0\r\n\r\n"
        length = int(fields.split(b"content-length:")[1].split(b"\r\n")[0])
        return len(self.came) >= head + 4 + length


def drive(url: str, requests: Sequence[Iterable[bytes]], until: float | None = None) -> Run:
    """Sends one sequence of requests per connection; ends when all are answered, or after `until` seconds."""
    address = urlsplit(url)
    connections = [_Connection(socket.create_connection((address.hostname, address.port)), list(each)[::-1]) for each in requests]
    latencies: list[float] = []
    with selectors.DefaultSelector() as selector:
        started = time.perf_counter()
        for connection in connections:
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sock.settimeout(PATIENCE)
            if connection.send():
                selector.register(connection.sock, selectors.EVENT_READ, connection)
        while selector.get_map() and (until is None or time.perf_counter() - started < until):
            ready = selector.select(PATIENCE)
            if not ready:
                raise TimeoutError("no answer came")
            for key, _ in ready:
                connection = key.data
                if connection.receive():
                    latencies.append(time.perf_counter() - connection.sent)
                    if not connection.send():
                        selector.unregister(connection.sock)
        seconds = time.perf_counter() - started
    for connection in connections:
        connection.sock.close()
    return Run(seconds, latencies)


def dealt(requests: Sequence[bytes], clients: int) -> list[Sequence[bytes]]:
    """Requests dealt out to so many connections."""
    return [requests[place::clients] for place in range(clients)]


