"""A small consent solution for trying things out: consumers consent, it says so when asked, and tells of what is taken back. Never for service.

    python examples/servers/consent_solution.py --port 9004 --node http://127.0.0.1:8080

`POST /consents` with `{"grantee": IRI, "subjects": ["mpan:..."], "purposes": ["REGISTER"]}`, for a consumer that has said yes, is answered with a
`receipt` (a signed JWT) and a `reference`: either is a proof. `DELETE /consents/{id}` takes a consent back: the node is notified, and told so
whenever it asks. `POST /verify` and `POST /status` are the node's questions; `/jwks` and `/status-lists/1` is what it publishes. `PUT /mode` changes how it
answers: `down` (503), `slow`, `wrong` (about another consent), `garbled` (no JSON). The formats are in `docs/formats/consent.md`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
import urllib.error
import urllib.request
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from joserfc import jwk, jws

MODES = ("up", "down", "slow", "wrong", "garbled")
PREFIX = "ck_"
YEAR = 365 * 86_400


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def bound(salt: bytes, identifier: str) -> str:
    """An identifier as a consent names it: nobody reads from it what it is, whoever knows it finds it again."""
    return encoded(hashlib.sha256(salt + identifier.encode()).digest())


def written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Given:
    """A consent that a consumer has given: to whom, about what, for what, from when until when."""

    grantee: str
    subjects: list[str]
    purposes: list[str]
    begins: float
    ends: float
    single_use: bool = False
    id: str = field(default_factory=lambda: f"cr-{secrets.token_hex(8)}")
    reference: str = field(default_factory=lambda: PREFIX + secrets.token_urlsafe(24))
    place: int = 0
    is_revoked: bool = False


class Solution:
    """The server, while the block runs; `mode` may be changed at any time, `asked` has what was asked, `sent` what was notified."""

    def __init__(self, port: int = 0, node: str = "", key: str = "", seconds: float = 2.0) -> None:
        self.node, self.key, self.seconds, self.mode = node, key, seconds, "up"
        self.secret = secrets.token_bytes(32)
        self.signer = jwk.generate_key("EC", "P-256", auto_kid=True)
        self.given: dict[str, Given] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.sent: list[dict[str, str]] = []
        self.clock = time.time
        self.closing = threading.Event()
        self.server = Quiet(("127.0.0.1", port), Answering)
        self.server.solution = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def notification_secret(self) -> str:
        """What the node's operator puts into a file."""
        return "whsec_" + base64.b64encode(self.secret).decode()

    def settings(self, secret_file: str, name: str = "example") -> dict[str, Any]:
        """The table of node.toml that makes a node trust this solution."""
        return {
            "name": name, "issuer": self.url, "jwks_uri": f"{self.url}/jwks", "status_lists": [f"{self.url}/status-lists/"],
            "url": self.url, "reference_prefix": PREFIX, "notification_secret_file": secret_file,
        }  # fmt: skip

    # -- what a consumer does

    def consent(self, grantee: str, subjects: list[str], purposes: list[str] | None = None, **more: Any) -> Given:
        """A consumer says yes; for a year from now, unless `begins` and `ends` (seconds since 1970) say otherwise."""
        now = self.clock()
        given = Given(grantee, subjects, purposes or ["REGISTER"], **{"begins": now - 60, "ends": now + YEAR, **more}, place=len(self.given))
        self.given[given.id] = given
        return given

    def revoke(self, id_: str, notify: bool = True) -> None:
        """A consumer takes it back. Without `notify` the node finds out when it asks."""
        self.given[id_].is_revoked = True
        if notify and self.node:
            self.notify(id_)

    # -- what is published and sent

    def receipt(self, given: Given, **changes: Any) -> str:
        """The consent as a signed receipt; a change to None leaves a claim out."""
        salt = secrets.token_bytes(16)
        claims = {
            "iss": self.url, "aud": self.node, "jti": given.id, "azp": given.grantee, "purposes": given.purposes,
            "iat": int(given.begins), "nbf": int(given.begins), "exp": int(given.ends), "single_use": given.single_use,
            "subjects": {"salt": encoded(salt), "names": [bound(salt, each) for each in given.subjects]},
            "status": {"status_list": {"uri": f"{self.url}/status-lists/1", "idx": given.place}}, **changes,
        }  # fmt: skip
        return self.signed({name: value for name, value in claims.items() if value is not None}, "consent+jwt")

    def signed(self, claims: dict[str, Any], type_: str) -> str:
        header = {"alg": "ES256", "typ": type_, "kid": self.signer.kid}
        return jws.serialize_compact(header, json.dumps(claims), self.signer, algorithms=["ES256"])

    def status_list(self) -> str:
        packed = bytearray(128)
        for given in self.given.values():
            packed[given.place // 8] |= given.is_revoked << given.place % 8
        listed = {"bits": 1, "lst": encoded(zlib.compress(bytes(packed)))}
        now = int(self.clock())
        return self.signed({"sub": f"{self.url}/status-lists/1", "iat": now, "exp": now + 3_600, "ttl": 1, "status_list": listed}, "statuslist+jwt")

    def notification(self, id_: str, type_: str = "consent.revoked", name: str = "", at: float = 0) -> tuple[dict[str, str], bytes]:
        """A signed notification: headers and body."""
        now = self.clock()
        body = json.dumps({"type": type_, "timestamp": written(at or now), "data": {"consent": id_}}).encode()
        name = name or f"msg_{secrets.token_hex(8)}"
        signature = hmac.digest(self.secret, f"{name}.{int(now)}.".encode() + body, "sha256")
        headers = {"webhook-id": name, "webhook-timestamp": str(int(now)), "webhook-signature": "v1," + base64.b64encode(signature).decode()}
        return {**headers, "Content-Type": "application/json"}, body

    def notify(self, id_: str) -> int:
        """Tells the node that a consent was taken back; the status of its answer, 0 where there was none."""
        headers, body = self.notification(id_)
        self.sent.append(headers)
        request = urllib.request.Request(f"{self.node}/consents/notifications", body, headers, method="POST")  # noqa: S310 (the node's own address)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    # -- what the node asks

    def verify(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        """What is said of a reference; None where there is no such."""
        given = next((each for each in self.given.values() if each.reference == asked.get("reference")), None)
        if given is None:
            return None
        salt = base64.urlsafe_b64decode(asked["salt"] + "==")
        names = {bound(salt, each) for each in given.subjects}
        return {
            "verdict": self.verdict(given), "consent": given.id, "grantee": given.grantee, "purposes": given.purposes,
            "subjects": [each for each in asked["subjects"] if each in names], "validFrom": written(given.begins), "validTo": written(given.ends),
            "singleUse": given.single_use,
        }  # fmt: skip

    def verdict(self, given: Given) -> str:
        if given.is_revoked:
            return "REVOKED"
        return "EXPIRED" if given.ends <= self.clock() else "VALID"

    def statuses(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"statuses": {id_: self.verdict(self.given[id_]) for id_ in asked["consents"] if id_ in self.given}}

    def __enter__(self) -> Solution:
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
    def solution(self) -> Solution:
        return self.server.solution  # type: ignore[attr-defined, no-any-return]

    def do_GET(self) -> None:
        public = {**self.solution.signer.as_dict(private=False), "alg": "ES256", "use": "sig"}
        if self.path == "/jwks" and self._is_up():
            self._send(200, {"keys": [public]})
        elif self.path == "/status-lists/1" and self._is_up():
            self._write(200, self.solution.status_list().encode(), "application/statuslist+jwt")
        else:
            self._send(404, {"error": "not found"})

    def do_POST(self) -> None:
        asked = json.loads(self._body() or b"{}")
        if self.path == "/consents":
            given = self.solution.consent(asked["grantee"], asked["subjects"], asked.get("purposes"))
            self._send(201, {"id": given.id, "reference": given.reference, "receipt": self.solution.receipt(given)})
        elif self.path in ("/verify", "/status"):
            self.solution.asked.append((self.path, asked))
            with suppress(OSError):  # nobody waits for it any more
                self._answer(asked)
        else:
            self._send(404, {"error": "not found"})

    def do_DELETE(self) -> None:
        id_ = self.path.removeprefix("/consents/")
        if id_ not in self.solution.given:
            self._send(404, {"error": "no such consent"})
            return
        self.solution.revoke(id_)
        self._send(200, {"id": id_, "revoked": True})

    def do_PUT(self) -> None:
        mode = self._body().decode("ascii", "replace").strip()
        if self.path != "/mode" or mode not in MODES:
            self._send(400, {"error": f"PUT /mode takes one of {', '.join(MODES)}"})
            return
        self.solution.mode = mode
        self._send(200, {"mode": mode})

    def _answer(self, asked: dict[str, Any]) -> None:
        solution = self.solution
        if solution.key and self.headers.get("Authorization") != "Basic " + base64.b64encode(f"{solution.key}:".encode()).decode():
            self._send(401, {"error": "no such key"})
        elif not self._is_up():
            self._send(503, {"error": "out of order"})
        elif solution.mode == "garbled":
            self._write(200, b'{"verdict": ', "application/json")
        else:
            found = solution.verify(asked) if self.path == "/verify" else solution.statuses(asked)
            if found is not None and solution.mode == "wrong":
                found |= {"grantee": "https://elsewhere.example/organisations/1", "statuses": {}}
            self._send(404 if found is None else 200, found or {"error": "no such reference"})

    def _is_up(self) -> bool:
        if self.solution.mode == "slow":
            self.solution.closing.wait(self.solution.seconds)
        return self.solution.mode != "down"

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def _send(self, status: int, body: dict[str, Any]) -> None:
        self._write(status, json.dumps(body).encode(), "application/json")

    def _write(self, status: int, body: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description="A small consent solution with invented consumers.")
    parser.add_argument("--port", type=int, default=9004)
    parser.add_argument("--node", default="http://127.0.0.1:8080", help="the base URL of the node that is notified, and for which receipts are")
    parser.add_argument("--key", default="", help="the key that the node has to bring (HTTP Basic, as the user)")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long an answer takes in the mode slow")
    given = parser.parse_args()
    with Solution(given.port, given.node, given.key, given.seconds) as solution, suppress(KeyboardInterrupt):
        print(f"consent solution at {solution.url}  (Ctrl-C ends it)\nits notifications are signed with {solution.notification_secret}", flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
