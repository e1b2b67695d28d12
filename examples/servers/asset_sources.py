"""A small server that plays four sources of assets: meter points, MCS certificates, makers' serial numbers, and the connections of a network operator.

Its answers are invented and stand in asset_sources.json. Nothing but the standard library is needed:

    python examples/servers/asset_sources.py --port 9003
    FMAR_METER_POINT_URL=http://127.0.0.1:9003 FMAR_MCS_URL=http://127.0.0.1:9003 FMAR_OEM_URL=http://127.0.0.1:9003 fmar serve --data fmar-data

Connections are asked by a SPARQL query at `/connections` (`FMAR_CONNECTION_URL=http://127.0.0.1:9003/connections`).
`--mode` chooses how it behaves, and `PUT /mode` (`down`, or for one source `down meter-points`) changes that while it runs: `down` (503),
`limited` (429), `slow`, `wrong` (the answer to another question), `garbled` (no JSON), `huge`, `redirect`. With `--others`
every meter point and machine exists, also those that nothing is written down of.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

ANSWERS = Path(__file__).with_name("asset_sources.json")
MODES = ("up", "down", "limited", "slow", "wrong", "garbled", "huge", "redirect")
KEYS = {"meter-points": ("mpan",), "certificates": ("certificate",), "devices": ("manufacturer", "serialNumber"), "connections": ("reference",)}
"""The sources, by their paths, and what each is asked by."""
HUGE = 1 << 20
REFERENCE = re.compile(r'VALUES [?]reference [{] "([^"]*)" [}]')
"""The reference in a query, all that this server understands of SPARQL."""


class Sources:
    """The server, while the block runs; `modes` (by source) and `answers` may be changed at any time, `asked` has what was asked."""

    def __init__(self, port: int = 0, mode: str = "up", key: str = "", seconds: float = 2.0, others: bool = False) -> None:
        self.modes, self.key, self.seconds, self.others = dict.fromkeys(KEYS, mode), key, seconds, others
        self.answers: dict[str, list[dict[str, Any]]] = json.loads(ANSWERS.read_text("utf-8"))
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.lines: list[str] = []
        """The request lines, as a log would have them."""
        self.closing = threading.Event()
        self.server = Quiet(("127.0.0.1", port), Answering)
        self.server.sources = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def find(self, source: str, asked: dict[str, str]) -> dict[str, Any] | None:
        """What a source has; None where it has nothing of the kind."""
        names = KEYS[source]
        for answer in self.answers[source]:
            if all(answer[name] == asked.get(name) for name in names):
                return answer
        if self.others and source not in ("certificates", "connections"):
            return {**asked, "distributor": asked.get("mpan", "")[:2]}
        return None

    def __enter__(self) -> Sources:
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
    disable_nagle_algorithm = True

    @property
    def sources(self) -> Sources:
        return self.server.sources  # type: ignore[attr-defined, no-any-return]

    def do_POST(self) -> None:
        source, body = self.path.removeprefix("/"), self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.sources.lines.append(self.requestline)
        if source not in KEYS:
            self._send(404, {"error": "no such source"})
            return
        asked = json.loads(body) if source != "connections" else dict.fromkeys(KEYS[source], "".join(REFERENCE.findall(body.decode())))
        self.sources.asked.append((source, asked))
        with suppress(OSError):  # nobody waits for it any more
            self._answer(source, asked)

    def do_PUT(self) -> None:
        said = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode("ascii", "replace").split()
        mode, named = said[0] if said else "", said[1:] or list(KEYS)
        if self.path != "/mode" or mode not in MODES or not set(named) <= set(KEYS):
            self._send(400, {"error": f"PUT /mode takes one of {', '.join(MODES)}, and for one source its name: {', '.join(KEYS)}"})
            return
        self.sources.modes |= dict.fromkeys(named, mode)
        self._send(200, dict(self.sources.modes))

    def _answer(self, source: str, asked: dict[str, str]) -> None:
        sources, mode = self.sources, self.sources.modes[source]
        if sources.key and self.headers.get("Authorization") != "Basic " + base64.b64encode(f"{sources.key}:".encode()).decode():
            self._send(401, {"error": "no such key"})
        elif mode == "down":
            self._send(503, {"error": "out of order"})
        elif mode == "limited":
            self._send(429, {"error": "too many questions"}, {"Retry-After": "1"})
        elif mode == "redirect":
            self._send(307, {}, {"Location": f"{sources.url}/{source}"})
        elif mode in ("garbled", "huge"):
            self._write(200, b'{"mpan": "' + b"X" * (HUGE if mode == "huge" else 1), {"Content-Type": "application/json"})
        else:
            if mode == "slow":
                sources.closing.wait(sources.seconds)
            found = sources.find(source, asked)
            wrong = {KEYS[source][-1]: "0000000000000"} if mode == "wrong" else {}
            if source == "connections":
                rows = [] if found is None else [{name: {"type": "literal", "value": str(value)} for name, value in {**found, **wrong}.items()}]
                self._send(200, {"head": {"vars": sorted(rows[0] if rows else [])}, "results": {"bindings": rows}})
                return
            self._send(404 if found is None else 200, {"error": "not found"} if found is None else {**found, **wrong})

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
    parser = argparse.ArgumentParser(description="Small sources of assets with invented answers.")
    parser.add_argument("--port", type=int, default=9003)
    parser.add_argument("--mode", choices=MODES, default="up")
    parser.add_argument("--key", default="", help="the key that requests have to bring (HTTP Basic, as the user)")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long an answer takes in the mode slow")
    parser.add_argument("--others", action="store_true", help="every meter point and machine exists, also those that nothing is written down of")
    given = parser.parse_args()
    with Sources(given.port, given.mode, given.key, given.seconds, given.others) as sources, suppress(KeyboardInterrupt):
        print(f"sources of assets at {sources.url}  (Ctrl-C ends it)", flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
