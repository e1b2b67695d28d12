"""A token endpoint and a verifier with a clock that stands, one registered application, and a forger's tools."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import uvicorn
from joserfc import jwk, jws

from fmar_node.access.credential import Credential, Verifier
from fmar_node.access.key import ApplicationKey, SigningKeys
from fmar_node.access.replay import ReplayCache
from fmar_node.access.token import ASSERTION_KIND, TokenService
from fmar_node.client import Profile, new_key, public_part, thumbprint
from fmar_node.clock import SetClock, SystemClock
from fmar_node.errors import FmarError, Unauthenticated
from fmar_node.settings import Settings
from tests.issuing import Authority

BASE = "http://127.0.0.1:8080"
ORGANISATION = "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
ALL_ALGORITHMS = ["ES256", "Ed25519", "EdDSA", "PS256", "RS256", "HS256", "ES384", "none"]


class _Loose(jws.JWSRegistry):
    max_header_length = 100_000
    max_payload_length = 10_000_000


LOOSE = _Loose(algorithms=ALL_ALGORITHMS, strict_check_header=False)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(header: dict[str, Any], payload: dict[str, Any] | bytes, key: dict[str, Any]) -> str:
    """A JWS as a forger makes it: any header, any bytes, a signature that holds by `key`."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    head = b64(json.dumps(header).encode())
    message = f"{head}.{b64(body)}".encode()
    if key["kty"] == "oct":  # joserfc refuses to misuse a public key as a secret; a forger doesn't
        signature = hmac.digest(base64.urlsafe_b64decode(key["k"] + "=="), message, "sha256")
    else:
        signature = LOOSE.algorithms[header["alg"]].sign(message, jwk.import_key(key))
    return f"{head}.{b64(body)}.{b64(signature)}"


def algorithm_of(key: dict[str, Any]) -> str:
    return {"EC": "ES256", "OKP": "Ed25519", "RSA": "PS256"}[key["kty"]]


@dataclass
class Directory:
    """The registered keys, and every question that was asked."""

    keys: dict[str, ApplicationKey] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def register(self, client_id: str, key: dict[str, Any], organisation: str = ORGANISATION) -> None:
        name = thumbprint(key)
        self.keys[name] = ApplicationKey(client_id, organisation, name, public_part(key), True, len(self.keys))

    def revoke(self, key: dict[str, Any]) -> None:
        name = thumbprint(key)
        self.keys[name] = replace(self.keys[name], is_active=False)

    def find(self, client_id: str, key_id: str | None) -> ApplicationKey | None:
        self.asked.append((client_id, key_id))
        own = [each for each in self.keys.values() if each.client_id == client_id]
        if key_id is None:
            active = [each for each in own if each.is_active]
            return active[0] if len(active) == 1 else None
        return next((each for each in own if each.key_id == key_id), None)


class Desk:
    """One node's credential desk, and the application `app-a` with its key."""

    def __init__(self, keys: SigningKeys, key: dict[str, Any], settings: Settings, clock: Any, base: str = BASE) -> None:
        self.base, self.keys, self.key, self.settings, self.clock = base, keys, key, settings, clock
        self.url = f"{base}/assets"
        self.token_url = f"{base}/oauth/token"
        self.directory = Directory()
        self.directory.register("app-a", key)
        self._serial = count()
        self.restart()

    def restart(self) -> None:
        self.replay = ReplayCache(self.settings, self.clock)
        parts = (self.base, self.keys, self.settings, self.clock, self.directory, self.replay)
        self.service, self.verifier = TokenService(*parts), Verifier(*parts)

    @property
    def now(self) -> int:
        return int(self.clock.now().timestamp())

    def jti(self) -> str:
        return f"jti-{next(self._serial)}"

    # what an honest application makes, with anything replaced (None leaves it out)

    def assertion(self, key: dict[str, Any] | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        key = key or self.key
        honest = {"iss": "app-a", "sub": "app-a", "aud": self.base, "iat": self.now, "exp": self.now + 60, "jti": self.jti()}
        head = {"typ": "JWT", "alg": algorithm_of(key), "kid": thumbprint(key), **(header or {})}
        return compact(_without_none(head), _without_none({**honest, **claims}), key)

    def proof(
        self,
        method: str = "GET",
        url: str | None = None,
        token: str | None = None,
        key: dict[str, Any] | None = None,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        key = key or self.key
        honest = {"htm": method, "htu": url or self.url, "iat": self.now, "jti": self.jti()}
        if token is not None:
            honest["ath"] = b64(hashlib.sha256(token.encode()).digest())
        head = {"typ": "dpop+jwt", "alg": algorithm_of(key), "jwk": public_part(key), **(header or {})}
        return compact(_without_none(head), _without_none({**honest, **claims}), key)

    def form(self, **fields: str) -> dict[str, str]:
        honest = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_KIND}
        return {**honest, **({} if "client_assertion" in fields else {"client_assertion": self.assertion()}), **fields}

    def issue(self, form: dict[str, str] | None = None, proofs: list[str] | None = None) -> dict[str, Any]:
        proofs = [self.proof("POST", self.token_url)] if proofs is None else proofs
        return self.service.issue(form or self.form(), proofs, "POST", self.token_url)

    def token(self) -> str:
        return str(self.issue()["access_token"])

    def claims(self, **claims: Any) -> dict[str, Any]:
        """The claims of a good access token, with anything replaced."""
        honest = {
            "iss": self.base, "sub": f"{self.base}/organisations/{ORGANISATION}", "aud": self.base, "client_id": "app-a",
            "client_key_id": thumbprint(self.key), "iat": self.now, "nbf": self.now, "exp": self.now + 300,
            "jti": self.jti(), "scope": "fmar", "cnf": {"jkt": thumbprint(self.key)},
        }  # fmt: skip
        return _without_none({**honest, **claims})

    def forged(self, payload: dict[str, Any] | bytes | None = None, key: dict[str, Any] | None = None, **header: Any) -> str:
        """An access token signed by the node's own key (unless `key`), with any header and claims."""
        head = {"typ": "at+jwt", "alg": "ES256", "kid": self.keys.jwks[-1]["kid"], **header}
        return compact(_without_none(head), self.claims() if payload is None else payload, key or self.keys.jwks[-1])

    # the two questions that tests ask

    def verify(self, token: str, proof: str | None = None, method: str = "GET", url: str | None = None) -> Credential | None:
        proof = self.proof(token=token) if proof is None else proof
        return self.verifier.verify(method, url or self.url, [f"DPoP {token}"], [proof])

    def refusal(self, token: str, proof: str | None = None) -> Unauthenticated:
        """The refusal of a request that must be refused, after a look at what every refusal must be."""
        with pytest.raises(Unauthenticated) as caught:
            self.verify(token, proof)
        return check_refusal(caught.value, token)

    def token_refusal(self, form: dict[str, str] | None = None, proofs: list[str] | None = None) -> FmarError:
        with pytest.raises(FmarError) as caught:
            self.issue(form, proofs)
        return caught.value


def check_refusal(error: Unauthenticated, token: str) -> Unauthenticated:
    challenge = error.headers["WWW-Authenticate"]
    assert error.code in {"invalid-token", "invalid-dpop-proof"}
    assert challenge.startswith(f'DPoP error="{error.members["error"]}", error_description="')
    assert 'algs="ES256 ' in challenge
    assert len(error.detail) > 20
    assert challenge.isascii()
    assert challenge.isprintable()
    assert len(token) < 20 or token not in f"{error.detail}{challenge}{error.members}"
    return error


def _without_none(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


@pytest.fixture(scope="session")
def node_keys(tmp_path_factory: pytest.TempPathFactory) -> SigningKeys:
    return SigningKeys.generate(tmp_path_factory.mktemp("node") / "token-keys.jwks")


@pytest.fixture(scope="session")
def app_keys() -> dict[str, dict[str, Any]]:
    """One key of each accepted type, and another P-256 key that nobody registered."""
    rsa = dict(jwk.generate_key("RSA", 2048).as_dict(private=True))
    return {"ES256": new_key(), "Ed25519": new_key("Ed25519"), "PS256": rsa, "stranger": new_key()}


@pytest.fixture
def clock() -> SetClock:
    return SetClock(NOON)


@pytest.fixture
def desk(node_keys: SigningKeys, app_keys: dict[str, Any], clock: SetClock) -> Desk:
    return Desk(node_keys, app_keys["ES256"], Settings(), clock)


# a real node over loopback HTTP


class LiveNode:
    """The smallest web layer around the real service and verifier: it echoes what it understood."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.requests: list[tuple[str, str]] = []
        self.token_status = 200
        self.forget_tokens = False
        self.headers: list[list[tuple[bytes, bytes]]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        method, path, sent = scope["method"], scope["raw_path"].decode(), list(scope["headers"])
        self.requests.append((method, path))
        self.headers.append(sent)
        if path == "/stream":
            await self._stream(send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status, extra, answer = self._answer(method, path, scope["query_string"], sent, body)
        headers = [(name.lower().encode(), value.encode()) for name, value in extra.items()]
        size = (b"content-length", str(len(answer)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [*headers, size]})
        await send({"type": "http.response.body", "body": answer})

    def _answer(self, method: str, path: str, query: bytes, sent: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        values = {name: [v.decode() for n, v in sent if n == name.encode()] for name in ("authorization", "dpop")}
        try:
            if path == "/oauth/token":
                issued = self.desk.service.issue(dict(parse_qsl(body.decode())), values["dpop"], method, self.desk.token_url)
                return self.token_status, {"Content-Type": "application/json"}, json.dumps(issued).encode()
            return self._resource(method, path, query, values, body)
        except FmarError as error:
            answer = json.dumps({**error.members, "detail": error.detail}).encode()
            status = 401 if isinstance(error, Unauthenticated) else 400
            return status, {**error.headers, "Content-Type": "application/problem+json"}, answer

    def _resource(self, method: str, path: str, query: bytes, values: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if self.forget_tokens:
            self.forget_tokens = False
            raise Unauthenticated(
                "invalid-token", "gone", headers={"WWW-Authenticate": 'DPoP error="invalid_token"'}
            )
        who = self.desk.verifier.verify(method, f"{self.desk.base}{path}", values["authorization"], values["dpop"])
        if path == "/moved":
            links = f'<{self.desk.base}/assets/2>; rel="next", <{self.desk.base}0/x>; rel="other"'
            return 201, {"Location": f"{self.desk.base}/assets/1", "Content-Location": f"{self.desk.base}/assets/3", "Link": links}, self.desk.base.encode()
        said = {"method": method, "path": path, "query": query.decode(), "body": body.decode("latin-1"),
                "organisation": who.organisation if who else None}  # fmt: skip
        return 200, {"Content-Type": "application/json", "Fmar-Journal-Index": "7"}, json.dumps(said).encode()

    async def _stream(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        self.may_end = threading.Event()
        await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
        for _ in range(500):
            if self.may_end.is_set():
                break
            await _pause()
        await send({"type": "http.response.body", "body": b"last\n"})


async def _pause() -> None:
    import asyncio

    await asyncio.sleep(0.01)


class Served:
    """An ASGI application on a real loopback socket, in a thread."""

    def __init__(self, lifespan: str = "off") -> None:
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self._lifespan = lifespan

    def start(self, app: Any) -> None:
        config = uvicorn.Config(
            app, log_level="critical", lifespan=self._lifespan, server_header=False, date_header=False, ws="none"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self.socket],), daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(5)
        self.socket.close()


class Place:
    """One listening address for a whole session; each test puts a new node there."""

    node: LiveNode

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.node(scope, receive, send)


@pytest.fixture(scope="session")
def place() -> Iterator[tuple[Place, str]]:
    served, place = Served(), Place()
    served.start(place)
    yield place, served.address
    served.stop()


@pytest.fixture
def live(place: tuple[Place, str], node_keys: SigningKeys, app_keys: dict[str, Any]) -> LiveNode:
    here, address = place
    here.node = LiveNode(Desk(node_keys, app_keys["ES256"], Settings(), SystemClock(), address))
    return here.node


@pytest.fixture(scope="session")
def profile(place: tuple[Place, str], app_keys: dict[str, Any]) -> Profile:
    base = place[1]
    return Profile(base, base, f"{base}/oauth/token", "app-a", ORGANISATION, app_keys["ES256"])


@pytest.fixture
def folder(profile: Profile, tmp_path: Path) -> Path:
    profile.save(tmp_path / "participants" / "fsp-a")
    return tmp_path / "participants" / "fsp-a"


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[Authority]:
    """One directory that others run, as `directory` finds it anew in each test."""
    with Authority(BASE) as made:
        yield made


@pytest.fixture
def directory(elsewhere: Authority, clock: SetClock) -> Authority:
    elsewhere.renew(clock)
    return elsewhere
