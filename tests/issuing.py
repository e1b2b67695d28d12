"""An issuer elsewhere: a small HTTP server on loopback with a key set and status lists, whose tokens are made here, right or wrong."""

from __future__ import annotations

import base64
import json
import threading
import time
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import TracebackType
from typing import Any, Self

from joserfc import jwk, jws

from fmar_node.client import new_key, public_part, thumbprint
from fmar_node.clock import Clock, SystemClock


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    connections = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up is no event."""


class Elsewhere:
    """What is published under paths, who asked for it, and how badly it answers."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.seconds = 0.0
        self.is_down = False

    def __enter__(self) -> Self:
        place = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                place.asked[self.path] += 1
                place.headers.append(dict(self.headers.items()))
                time.sleep(place.seconds)
                status, headers, body = (503, {}, b"") if place.is_down else place.page(self.path)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def connections(self) -> int:
        return self.server.connections

    def page(self, path: str) -> tuple[int, dict[str, str], bytes]:
        return self.pages.get(path, (404, {}, b""))

    def publish(self, path: str, body: bytes | str, status: int = 200, **headers: str) -> str:
        said = body.encode() if isinstance(body, str) else body
        self.pages[path] = (status, {name.replace("_", "-"): value for name, value in headers.items()}, said)
        return self.url + path


class Authority(Elsewhere):
    """An authorization server that others run: its keys, the tokens that it issues, the list of those that it has taken back."""

    def __init__(self, audience: str = "", clock: Clock | None = None) -> None:
        super().__init__()
        self.audience = audience
        self.serial = count()
        self.renew(clock or SystemClock())

    def renew(self, clock: Clock) -> None:
        """It has a new key and no history."""
        self.clock, self.keys, self.seconds, self.is_down = clock, [new_key()], 0.0, False
        self.statuses: dict[int, int] = {}
        self.bits, self.places, self.ttl, self.life = 1, 1_024, 30, 600
        self.list_changes: dict[str, Any] = {}
        self.pages.clear()
        self.asked.clear()

    @property
    def key(self) -> dict[str, Any]:
        """The one that signs."""
        return self.keys[-1]

    @property
    def now(self) -> int:
        return int(self.clock.now().timestamp())

    @property
    def list_uri(self) -> str:
        return f"{self.url}/lists/1"

    def page(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if path in self.pages:
            return self.pages[path]
        if path == "/keys":
            return 200, {"Content-Type": "application/jwk-set+json"}, json.dumps({"keys": [published(key) for key in self.keys]}).encode()
        if path == "/lists/1":
            return 200, {"Content-Type": "application/statuslist+jwt"}, self.status_list().encode()
        return super().page(path)

    def entry(self, **changes: Any) -> dict[str, Any]:
        """What a node that trusts it has in its settings."""
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys", "status_lists": [f"{self.url}/lists/"], **changes}

    def claims(self, subject: str, holder: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """Those of a good token, bound to the holder's key, with anything replaced; None leaves a claim out."""
        honest = {
            "iss": self.url, "sub": subject, "aud": self.audience, "client_id": "https://app.example/1", "iat": self.now,
            "exp": self.now + 300, "jti": f"{next(self.serial)}", "cnf": {"jkt": thumbprint(holder)},
        }  # fmt: skip
        return {name: value for name, value in {**honest, **changes}.items() if value is not None}

    def token(self, subject: str, holder: dict[str, Any], header: dict[str, Any] | None = None, key: dict[str, Any] | None = None, **changes: Any) -> str:
        return signed(self.claims(subject, holder, **changes), key or self.key, **{"typ": "at+jwt", **(header or {})})

    def place(self, index: int, **changes: Any) -> dict[str, Any]:
        """The claim `status`."""
        return {"status_list": {"idx": index, "uri": self.list_uri, **changes}}

    def status_list(self) -> str:
        packed = bytearray(self.places * self.bits // 8)
        for index, value in self.statuses.items():
            packed[index * self.bits // 8] |= value << index * self.bits % 8
        listed = {"bits": self.bits, "lst": base64url(zlib.compress(bytes(packed)))}
        claims = {"sub": self.list_uri, "iat": self.now, "exp": self.now + self.life, "ttl": self.ttl, "status_list": listed}
        changes = dict(self.list_changes)
        key, header = changes.pop("key", self.key), changes.pop("header", {})
        claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return signed(claims, key, **{"typ": "statuslist+jwt", **header})


def published(key: dict[str, Any]) -> dict[str, Any]:
    """The public part with its name, as it stands in a key set."""
    return {**public_part(key), "kid": key.get("kid", thumbprint(key)), "use": "sig"}


def signed(claims: dict[str, Any], key: dict[str, Any], **header: Any) -> str:
    """A JWS as a forger makes it too: any header, None leaves one out, a signature that holds."""
    algorithm = {"EC": "ES256", "OKP": "Ed25519"}[key["kty"]]
    given = {"alg": algorithm, "kid": key.get("kid", thumbprint(key)), **header}
    head = json.dumps({name: value for name, value in given.items() if value is not None}).encode()
    message = f"{base64url(head)}.{base64url(json.dumps(claims).encode())}"
    signature = jws.JWSRegistry.algorithms[algorithm].sign(message.encode(), jwk.import_key(key))
    return f"{message}.{base64url(signature)}"


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
