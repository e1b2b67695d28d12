"""A small server that takes webhooks: it answers the challenge, checks signatures, and keeps each event once.

Nothing but the standard library is needed. The node has to be let send to this machine, which is for trying out:

    FMAR_WEBHOOK_LOOPBACK=true fmar serve --data fmar-data
    python examples/servers/webhook_receiver.py --port 9005
    curl -X PUT http://127.0.0.1:9005/secret -d 'whsec_...'

`PUT /mode` changes how it behaves while it runs: `up`, `down` (503), `limited` (429 with Retry-After), `slow`, `gone` (410), `redirect`,
`huge`, `deaf` (it takes events and answers no challenge), `echo` (it sends back what it was sent), or `reject ID` (500 for a subject).
`GET /events` lists what was taken.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

CHALLENGE = "org.fmar.endpoint.challenge"
TOLERANCE = 300
"""Seconds that a timestamp may be off."""
HUGE = 1 << 20


def verify(secrets: Sequence[str], headers: Any, body: bytes, now: float) -> bool:
    """Whether a delivery was signed with one of the secrets, and lately (Standard Webhooks)."""
    id_, timestamp, given = (headers.get(name, "") for name in ("webhook-id", "webhook-timestamp", "webhook-signature"))
    if not timestamp.isdecimal() or abs(now - int(timestamp)) > TOLERANCE:
        return False
    signed = f"{id_}.{timestamp}.".encode() + body
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    wanted = ["v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys]
    return any(hmac.compare_digest(each, one) for each in given.split() for one in wanted)


class Receiver:
    """The server, while the block runs; `mode` and `secrets` may be changed at any time."""

    def __init__(self, port: int = 0, mode: str = "up", secrets: Sequence[str] = (), seconds: float = 2.0) -> None:
        self.mode, self.secrets, self.seconds = mode, list(secrets), seconds
        self.events: list[dict[str, Any]] = []
        """Each event once, in the order in which they came."""
        self.deliveries: list[tuple[str, str, int]] = []
        """Every request: its webhook-id, the subject of its event, and what was answered."""
        self.signatures: list[str] = []
        self.forged = 0
        self.came = threading.Condition()
        self.server = Quiet(("127.0.0.1", port), Answering)
        self.server.receiver = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def taken(self, event: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        """What is answered to an event, and done with it."""
        refused = {"down": 503, "limited": 429, "gone": 410, "redirect": 307}
        if self.mode in refused:
            more = {"limited": {"Retry-After": "1"}, "redirect": {"Location": f"{self.url}/elsewhere"}}
            return refused[self.mode], b"", more.get(self.mode, {})
        if self.mode.startswith("reject ") and event["subject"].endswith(self.mode.split()[1]):
            return 500, b"", {}
        if event["type"] == CHALLENGE:
            return 200, b"" if self.mode == "deaf" else json.dumps({"challenge": event["data"]["challenge"]}).encode(), {}
        if event["id"] not in {each["id"] for each in self.events}:
            self.events.append(event)
        return 200, b"x" * HUGE if self.mode == "huge" else b"", {}

    def receive(self, headers: Any, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if self.mode == "slow":
            time.sleep(self.seconds)
        with self.came:
            event = json.loads(body)
            is_sound = not self.secrets or verify(self.secrets, headers, body, time.time())
            self.forged += not is_sound
            self.signatures.append(headers.get("webhook-signature", ""))
            answer = (200, body, {}) if self.mode == "echo" else self.taken(event) if is_sound else (401, b"", {})
            self.deliveries.append((headers.get("webhook-id", ""), event.get("subject", ""), answer[0]))
            self.came.notify_all()
            return answer

    def wait(self, is_there: Any, seconds: float = 30.0) -> bool:
        """Whether something was so in time, looked at whenever a request has come."""
        with self.came:
            return bool(self.came.wait_for(is_there, seconds))

    def __enter__(self) -> Receiver:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.server.shutdown()
        self.server.server_close()


class Quiet(ThreadingHTTPServer):
    """Says nothing of connections that break off."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class Answering(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self._answer(*self._receiver.receive(self.headers, self._body()))

    def do_PUT(self) -> None:
        said = self._body().decode()
        if self.path == "/secret":
            self._receiver.secrets.append(said.strip())
        elif self.path == "/mode":
            self._receiver.mode = said.strip()
        self._answer(204, b"", {})

    def do_GET(self) -> None:
        self._answer(200, json.dumps(self._receiver.events).encode(), {"Content-Type": "application/json"})

    @property
    def _receiver(self) -> Receiver:
        return self.server.receiver  # type: ignore[attr-defined, no-any-return]

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        with suppress(OSError):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=9005)
    parser.add_argument("--mode", default="up")
    parser.add_argument("--secret", action="append", default=[], help="whsec_...; without one nothing is checked")
    given = parser.parse_args()
    with Receiver(given.port, given.mode, given.secret) as receiver:
        print(f"webhooks are taken at {receiver.url}", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
