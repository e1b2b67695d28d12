"""A small companies register for trying things out: `GET /company/{number}` as the public data API of Companies House answers it.

The companies are invented and stand in companies.json. Nothing but the standard library is needed:

    python examples/servers/companies_register.py --port 9002
    FMAR_COMPANIES_REGISTER_URL=http://127.0.0.1:9002 fmar serve --data fmar-data

`--mode` chooses how it behaves, and `PUT /mode` (the mode as text) changes that while it runs: `down` (503), `limited` (429), `slow`,
and what a broken or hostile server might do: `garbled`, `huge`, `endless`, `packed`, `redirect`, `page`, `other`.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

COMPANIES = Path(__file__).with_name("companies.json")
MODES = ("up", "down", "limited", "slow", "garbled", "huge", "endless", "packed", "redirect", "page", "other")
ABSENT = {"errors": [{"type": "ch:service", "error": "company-profile-not-found"}]}
HUGE = 1 << 20


class Register:
    """The server, while the block runs; `mode` and `companies` (by number) may be changed at any time, `asked` has the numbers asked for."""

    def __init__(self, port: int = 0, mode: str = "up", key: str = "", seconds: float = 2.0) -> None:
        self.mode, self.key, self.seconds = mode, key, seconds
        self.companies: dict[str, dict[str, Any]] = {each["company_number"]: each for each in json.loads(COMPANIES.read_text("utf-8"))}
        self.asked: list[str] = []
        self.waiting, self.most_waiting = 0, 0
        """Requests that are being answered, and the most that ever were at once."""
        self.lock, self.closing = threading.Lock(), threading.Event()
        self.server = Quiet(("127.0.0.1", port), Answering)
        self.server.register = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Register:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.closing.set()
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

    @property
    def register(self) -> Register:
        return self.server.register  # type: ignore[attr-defined, no-any-return]

    def do_GET(self) -> None:
        register, number = self.register, self.path.removeprefix("/company/")
        with register.lock:
            register.asked.append(number)
            register.waiting += 1
            register.most_waiting = max(register.waiting, register.most_waiting)
        try:
            with suppress(OSError):  # nobody waits for it any more
                self._answer(number)
        finally:
            with register.lock:
                register.waiting -= 1

    def do_PUT(self) -> None:
        mode = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode("ascii", "replace").strip()
        if self.path != "/mode" or mode not in MODES:
            self._send(400, {"error": f"PUT /mode takes one of {', '.join(MODES)}"})
            return
        self.register.mode = mode
        self._send(200, {"mode": mode})

    def _answer(self, number: str) -> None:
        register, mode = self.register, self.register.mode
        company = register.companies.get(number)
        if register.key and self.headers.get("Authorization") != "Basic " + base64.b64encode(f"{register.key}:".encode()).decode():
            self._send(401, {"error": "Invalid Authorization", "type": "ch:service"})
        elif mode == "down":
            self._send(503, {"error": "Service Unavailable"})
        elif mode == "limited":
            self._send(429, {"error": "Too Many Requests"}, {"Retry-After": "1"})
        elif mode == "redirect":
            self._send(302, {}, {"Location": f"{register.url}/company/{number}"})
        elif mode in ("garbled", "page", "huge", "endless", "packed"):
            self._misbehave(mode)
        else:
            if mode == "slow":
                register.closing.wait(register.seconds)
            if company is None:
                self._send(404, ABSENT)
            else:
                self._send(200, {**company, **({"company_number": "00000001"} if mode == "other" else {})})

    def _misbehave(self, mode: str) -> None:
        if mode == "garbled":
            self._write(200, b'{"company_name": "WINDMI', {"Content-Type": "application/json"})
        elif mode == "page":
            self._write(404, b"<html>There is no such page</html>", {"Content-Type": "text/html"})
        elif mode == "huge":
            self._write(200, b'{"company_name": "' + b"X" * HUGE + b'"}', {"Content-Type": "application/json"})
        elif mode == "packed":
            self._write(200, gzip.compress(b"{" + b" " * HUGE + b"}"), {"Content-Type": "application/json", "Content-Encoding": "gzip"})
        else:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Connection", "close")
            self.end_headers()
            while not self.register.closing.wait(0.05):
                self.wfile.write(b" ")

    def _send(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._write(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _write(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description="A small companies register with invented companies.")
    parser.add_argument("--port", type=int, default=9002)
    parser.add_argument("--mode", choices=MODES, default="up")
    parser.add_argument("--key", default="", help="the key that requests have to bring (HTTP Basic, as the user)")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long an answer takes in the mode slow")
    given = parser.parse_args()
    with Register(given.port, given.mode, given.key, given.seconds) as register, suppress(KeyboardInterrupt):
        print(f"companies register at {register.url}  (Ctrl-C ends it)", flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
