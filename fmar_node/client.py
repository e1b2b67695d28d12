"""A participant's side: a profile with its key, and an httpx.Auth that gets tokens and makes proofs.

Rules kept here:
- nothing of the node is imported: this file and httpx, joserfc and cryptography are all that a participant needs;
- the private key stays in a file that only its owner may read, and leaves this process only as signatures;
- a credential goes to the profile's node alone, wherever a redirect or a link may lead;
- each request has a proof of its own (RFC 9449), unless the profile binds its tokens to the certificate of its connections
  (RFC 8705), and a token that is bound otherwise than the profile says is not used; a refused token or a demanded nonce is mended once, never twice;
- a request is repeated only where that cannot do anything twice: it never reached the node, it only reads, or it carries an
  Idempotency-Key; each time with a proof of its own, and for a bounded time.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import json
import os
import re
import secrets
import ssl
import stat
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, Self
from weakref import WeakKeyDictionary

import httpx
from joserfc import jwk, jwt

ALGORITHM_OF = {"EC": "ES256", "OKP": "Ed25519", "RSA": "PS256"}
ASSERTION_KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
SUBJECT_TYPE = "https://w3id.org/fmar/ns#Organisation"
ERROR_WORD = re.compile(r'\berror="([a-z_]+)"')
MENDABLE = frozenset({"invalid_token", "use_dpop_nonce"})
ASSERTION_SECONDS = 60
FILES = ("ca", "certificate", "certificate_key")
"""The members of a profile that name files, relative to its folder."""
EARLY_SECONDS = 15.0  # a token is renewed this long before it ends, so that it does not end on its way
TIMEOUT = httpx.Timeout(120.0, connect=10.0)  # seconds


PATIENCE = 10.0
"""Seconds for which a client repeats a request before it gives up."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
READING = frozenset({"GET", "HEAD", "OPTIONS", "QUERY"})
LOST = (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError)
"""The connection ended before there was an answer."""


class CredentialError(httpx.HTTPError):
    """The node gave no access token. `word` is the OAuth error word, where it gave one; `is_passing` where it said when to come again."""

    def __init__(self, message: str, word: str = "", is_passing: bool = False) -> None:
        super().__init__(message)
        self.word, self.is_passing = word, is_passing


@dataclass(frozen=True)
class Profile:
    """Who a participant is at which node, with its private key (a JWK).

    `ca` is a PEM file of the certificates that the node's is checked against, where its issuer is not one that everybody knows;
    `on_behalf_of` the IRI of the organisation that it acts for, where that is not its own and has granted it.
    `certificate` (with its chain) and `certificate_key` are PEM files of what the participant shows of itself in TLS; with the
    `binding` "certificate" its tokens are bound to that certificate, and no proofs are made.
    """

    node: str
    issuer: str
    token_endpoint: str
    client_id: str
    organisation: str
    key: dict[str, Any] = field(repr=False)
    ca: str = ""
    on_behalf_of: str = ""
    certificate: str = ""
    certificate_key: str = ""
    binding: Literal["dpop", "certificate"] = "dpop"

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From `profile.json` and `key.jwk`. PermissionError where others than the owner may read a private key."""
        key = folder / "key.jwk"
        _check_own(key)
        said = json.loads((folder / "profile.json").read_text("utf-8"))
        names = ("node", "issuer", "token_endpoint", "client_id", "organisation")
        if missing := [name for name in names if not isinstance(said.get(name), str)]:
            raise ValueError(f"{folder / 'profile.json'} has no {', '.join(missing)}")
        files = {name: str(folder / said[name]) for name in FILES if said.get(name)}
        binding = _checked_binding(folder / "profile.json", said.get("binding", "dpop"), files)
        subject = str(said.get("on_behalf_of", ""))
        return cls(**{name: said[name] for name in names}, key=json.loads(key.read_text("utf-8")), **files, binding=binding, on_behalf_of=subject)

    def save(self, folder: Path) -> None:
        """Write `profile.json` and `key.jwk` (mode 0600) into `folder`, which is made if need be (mode 0700)."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        said = {name: value for name, value in asdict(self).items() if name != "key" and value}
        said |= {name: str(Path(said[name]).resolve()) for name in FILES if name in said}
        if self.binding == "dpop":
            del said["binding"]
        (folder / "profile.json").write_text(json.dumps(said, indent=2) + "\n", "utf-8")
        key = folder / "key.jwk"
        with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
            key.chmod(0o600)
            out.write(json.dumps(self.key, indent=2) + "\n")

    def acting_for(self, organisation: str) -> Self:
        """The same participant on behalf of an organisation (its IRI) that has granted it to."""
        return replace(self, on_behalf_of=organisation)

    @property
    def key_id(self) -> str:
        """The thumbprint under which the key is registered."""
        return thumbprint(self.key)


def _check_own(key: Path) -> None:
    if os.name == "posix" and stat.S_IMODE(key.stat().st_mode) & 0o077:
        raise PermissionError(f"{key} may be read by others than its owner; run: chmod 600 {key}")


def _checked_binding(file: Path, binding: object, files: Mapping[str, str]) -> Literal["dpop", "certificate"]:
    """The binding that a profile names, where its files go with it. ValueError otherwise."""
    if ("certificate" in files) != ("certificate_key" in files):
        raise ValueError(f"{file}: certificate and certificate_key go together")
    if "certificate_key" in files:
        _check_own(Path(files["certificate_key"]))
    if binding == "certificate":
        if "certificate" not in files:
            raise ValueError(f"{file} has the binding certificate and names no certificate")
        return "certificate"
    if binding != "dpop":
        raise ValueError(f"{file} has a binding other than dpop and certificate")
    return "dpop"


def new_key(kind: Literal["ES256", "Ed25519", "PS256"] = "ES256") -> dict[str, Any]:
    """A new private key as a JWK: P-256 unless `kind` asks for Ed25519 or a 3072-bit RSA key."""
    if kind == "ES256":
        return dict(jwk.generate_key("EC", "P-256").as_dict(private=True))
    if kind == "Ed25519":
        return dict(jwk.generate_key("OKP", "Ed25519").as_dict(private=True))
    return dict(jwk.generate_key("RSA", 3072).as_dict(private=True))


def public_part(key: Mapping[str, Any]) -> dict[str, Any]:
    """What may be told of a key: the public JWK, which is what is registered at a node."""
    return dict(jwk.import_key(dict(key)).as_dict(private=False))


def thumbprint(key: Mapping[str, Any]) -> str:
    """The RFC 7638 SHA-256 thumbprint of a key, the same for its private and public part."""
    return jwk.import_key(dict(key)).thumbprint()


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    good_until: float


class FmarAuth(httpx.Auth):
    """Adds token and proof to each request to the profile's node, for sync and async clients, from any thread.

    A request whose body can be sent again is repeated once where the token was refused or a nonce demanded.
    Raises CredentialError where the token endpoint refuses.
    """

    def __init__(self, profile: Profile, now: Callable[[], float] = time.time) -> None:
        self._profile = profile
        self._now = now
        self._key = jwk.import_key(dict(profile.key))
        self._public = dict(self._key.as_dict(private=False))
        self._key_id = self._key.thumbprint()
        self._has_proofs = profile.binding == "dpop"
        self._origins = {_origin(httpx.URL(url)) for url in (profile.node, profile.issuer)}
        self._token: _Token | None = None
        self._nonces: dict[str, str] = {}
        self._turn = threading.Lock()
        self._async_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if _origin(request.url) not in self._origins:
            yield request
            return
        token = yield from self._sync_token(request, None)
        response = yield self._signed(request, token)
        if self._is_mendable(request, response):
            token = yield from self._sync_token(request, self._refused(response, token))
            self._keep_nonce((yield self._signed(request, token)))

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        if _origin(request.url) not in self._origins:
            yield request
            return
        refused: _Token | None = None
        for _ in range(2):
            async with self._async_turn():
                steps = self._fetch(request, refused)
                step = next(steps, None)
                while step is not None:
                    answer = yield step
                    await answer.aread()
                    step = _next_step(steps, answer)
                token = self._held()
            response = yield self._signed(request, token)
            if not self._is_mendable(request, response):
                return
            refused = self._refused(response, token)

    def _sync_token(
        self, request: httpx.Request, refused: _Token | None
    ) -> Generator[httpx.Request, httpx.Response, _Token]:
        with self._turn:
            steps = self._fetch(request, refused)
            step = next(steps, None)
            while step is not None:
                answer = yield step
                answer.read()
                step = _next_step(steps, answer)
            return self._held()

    def _async_turn(self) -> AbstractAsyncContextManager[Any]:
        """One fetch at a time in each event loop; other loops and threads may fetch one of their own."""
        try:
            return self._async_turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        except RuntimeError:  # not asyncio: then there may be more fetches than needed
            return nullcontext()

    def _fetch(
        self, request: httpx.Request, refused: _Token | None
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """The requests that it takes to hold a token that is not `refused`: none, one, or two for a nonce."""
        if self._token is not None and self._token is not refused and self._now() < self._token.good_until:
            return
        response = yield self._token_request(request)
        self._keep_nonce(response)
        if response.status_code != httpx.codes.OK and _member(response, "error") == "use_dpop_nonce":
            response = yield self._token_request(request)
            self._keep_nonce(response)
        self._token = self._read_token(response)

    def _held(self) -> _Token:
        if self._token is None:
            raise CredentialError("there is no access token")
        return self._token

    def _token_request(self, cause: httpx.Request) -> httpx.Request:
        url = self._profile.token_endpoint
        form = {
            "grant_type": "client_credentials",
            "client_id": self._profile.client_id,
            "client_assertion_type": ASSERTION_KIND,
            "client_assertion": self._assertion(),
        }
        if subject := self._profile.on_behalf_of:
            form |= {"grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": SUBJECT_TYPE}
        headers = {"Accept": "application/json"}
        if self._has_proofs:
            headers["DPoP"] = self._proof("POST", httpx.URL(url), None)
        return httpx.Request("POST", url, data=form, headers=headers, extensions={**cause.extensions, "is_token_request": True})

    def _assertion(self) -> str:
        """A private_key_jwt (RFC 7523, section 3) for the issuer."""
        name, now = self._profile.client_id, int(self._now())
        life = {"iat": now, "exp": now + ASSERTION_SECONDS, "jti": secrets.token_urlsafe(16)}
        return self._sign({"typ": "JWT", "kid": self._key_id}, {"iss": name, "sub": name, "aud": self._profile.issuer, **life})

    def _proof(self, method: str, url: httpx.URL, token: str | None) -> str:
        """A DPoP proof (RFC 9449, section 4.2) for one request."""
        address = f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.split(b'?')[0].decode('ascii')}"
        claims = {"htm": method, "htu": address, "iat": int(self._now()), "jti": secrets.token_urlsafe(16)}
        if token is not None:
            digest = hashlib.sha256(token.encode("ascii")).digest()
            claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
        if nonce := self._nonces.get(_origin(url)):
            claims["nonce"] = nonce
        return self._sign({"typ": "dpop+jwt", "jwk": self._public}, claims)

    def _sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        algorithm = ALGORITHM_OF[self._key.key_type]
        return jwt.encode({**header, "alg": algorithm}, claims, self._key, algorithms=[algorithm])

    def _signed(self, request: httpx.Request, token: _Token) -> httpx.Request:
        if not self._has_proofs:
            request.headers["Authorization"] = f"Bearer {token.value}"
            return request
        request.headers["Authorization"] = f"DPoP {token.value}"
        request.headers["DPoP"] = self._proof(request.method, request.url, token.value)
        return request

    def _is_mendable(self, request: httpx.Request, response: httpx.Response) -> bool:
        self._keep_nonce(response)
        return _error_word(response) in MENDABLE and isinstance(request.stream, httpx.ByteStream)

    def _refused(self, response: httpx.Response, token: _Token) -> _Token | None:
        return token if _error_word(response) == "invalid_token" else None

    def _keep_nonce(self, response: httpx.Response) -> None:
        if nonce := response.headers.get("DPoP-Nonce"):
            self._nonces[_origin(response.request.url)] = nonce

    def _read_token(self, response: httpx.Response) -> _Token:
        value, kind, life = (_member(response, name) for name in ("access_token", "token_type", "expires_in"))
        expected = "dpop" if self._has_proofs else "bearer"
        if response.status_code != httpx.codes.OK or not isinstance(value, str) or str(kind).lower() != expected:
            word = str(_member(response, "error") or "")
            said = _member(response, "error_description") or _member(response, "detail") or word or "no reason given"
            raise CredentialError(f"no token from {self._profile.token_endpoint} ({response.status_code}): {said}", word, "Retry-After" in response.headers)
        seconds = float(life) if isinstance(life, int | float) else 0.0
        return _Token(value, self._now() + seconds - min(EARLY_SECONDS, seconds / 2))


def _next_step(
    steps: Generator[httpx.Request, httpx.Response, None], answer: httpx.Response
) -> httpx.Request | None:
    try:
        return steps.send(answer)
    except StopIteration:
        return None


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _error_word(response: httpx.Response) -> str:
    if response.status_code != httpx.codes.UNAUTHORIZED:
        return ""
    found = ERROR_WORD.search(response.headers.get("WWW-Authenticate", ""))
    return found[1] if found else ""


def _member(response: httpx.Response, name: str) -> Any:
    try:
        answer = response.json()
    except ValueError:
        return None
    return answer.get(name) if isinstance(answer, dict) else None


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Attempts:
    """How often one request may be made: what to do after each outcome, until the time is up."""

    def __init__(self, request: httpx.Request, patience: float) -> None:
        self._may_resend = isinstance(request.stream, httpx.ByteStream)
        is_query = request.headers.get("Content-Type", "").startswith("application/sparql-query")
        self._is_safe = request.method in READING or is_query or "Idempotency-Key" in request.headers
        self._has_key = "Idempotency-Key" in request.headers
        self._deadline, self._pause = time.monotonic() + patience, FIRST_PAUSE

    def pause_after(self, outcome: httpx.Response | httpx.HTTPError) -> float | None:
        """Seconds to wait before the request is made again; None where this outcome stands."""
        is_over = self._is_over(outcome) if isinstance(outcome, httpx.Response) else self._is_final(outcome)
        pause = self._pause
        if isinstance(outcome, httpx.Response):
            pause = max(pause, min(LONGEST_PAUSE, _seconds(outcome.headers.get("Retry-After", ""))))
        self._pause = min(LONGEST_PAUSE, 2 * self._pause)
        if is_over or not self._may_resend or time.monotonic() + pause > self._deadline:
            return None
        return pause

    def _is_over(self, response: httpx.Response) -> bool:
        """503 with Retry-After says that nothing is known to have been done; 409 with it, that the first attempt still runs."""
        if "Retry-After" not in response.headers:
            return True
        is_late = self._is_safe and response.status_code == 503
        return not is_late and not (self._has_key and response.status_code == 409)

    def _is_final(self, error: httpx.HTTPError) -> bool:
        if isinstance(error, CredentialError):
            return not error.is_passing
        if isinstance(error, httpx.ConnectError):
            return is_not_believed(error)
        is_unsent = bool(isinstance(error, LOST) and error.request.extensions.get("is_token_request"))
        return not (isinstance(error, LOST) and (self._is_safe or is_unsent))


def is_not_believed(error: httpx.HTTPError) -> bool:
    """Whether the node's certificate was not accepted: asking again changes nothing."""
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0


class Client(httpx.Client):
    """An httpx.Client that repeats what may be repeated, for at most `patience` seconds."""

    def __init__(self, *, patience: float = PATIENCE, **options: Any) -> None:
        super().__init__(**options)
        self._patience = patience

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        attempts = Attempts(request, self._patience)
        while True:
            try:
                response = super().send(request, **options)
            except httpx.HTTPError as error:
                if (pause := attempts.pause_after(error)) is None:
                    raise
            else:
                if (pause := attempts.pause_after(response)) is None:
                    return response
                response.close()
            time.sleep(pause)


class AsyncClient(httpx.AsyncClient):
    """The same for asyncio."""

    def __init__(self, *, patience: float = PATIENCE, **options: Any) -> None:
        super().__init__(**options)
        self._patience = patience

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        attempts = Attempts(request, self._patience)
        while True:
            try:
                response = await super().send(request, **options)
            except httpx.HTTPError as error:
                if (pause := attempts.pause_after(error)) is None:
                    raise
            else:
                if (pause := attempts.pause_after(response)) is None:
                    return response
                await response.aclose()
            await asyncio.sleep(pause)


def connect(profile: Profile, **options: Any) -> httpx.Client:
    """A client of the profile's node: paths are relative to it, credentials are added. Use it in a `with`.

    `patience` is for how many seconds it repeats what may be repeated while the node does not answer; 0: never.
    """
    return Client(**client_options(profile), **options)


def client_options(profile: Profile) -> dict[str, Any]:
    """How to reach the profile's node; a node on this machine is never reached through a proxy."""
    return {
        "base_url": profile.node,
        "auth": FmarAuth(profile),
        "timeout": TIMEOUT,
        "trust_env": not is_loopback(httpx.URL(profile.node).host),
        "verify": trusted(profile),
    }


def trusted(profile: Profile) -> ssl.SSLContext | bool:
    """Which certificates are believed, and which one is shown. ValueError where the profile's files do not serve."""
    named = _named(profile)
    if not profile.certificate:
        return named or _brought(profile)
    believed = named or httpx.create_ssl_context()
    try:
        believed.load_cert_chain(profile.certificate, profile.certificate_key, password="")  # nobody is asked for a passphrase
    except ssl.SSLError as error:
        raise ValueError(f"{profile.certificate} and {profile.certificate_key} are no certificate and its private key, in PEM and without a passphrase") from error
    except OSError as error:
        raise ValueError(f"{profile.certificate} and {profile.certificate_key}, of the profile: {error.strerror}") from error
    return believed


def _named(profile: Profile) -> ssl.SSLContext | None:
    """The certificates that are believed of a node: those of the profile's `ca`, otherwise of SSL_CERT_FILE, where either is named."""
    if not profile.node.startswith("https:"):
        return None
    if profile.ca:
        try:
            return ssl.create_default_context(cafile=profile.ca)
        except ssl.SSLError as error:
            raise ValueError(f"{profile.ca}, the ca of the profile, holds no certificate in PEM") from error
        except OSError as error:
            raise ValueError(f"{profile.ca}, the ca of the profile: {error.strerror}") from error
    return ssl.create_default_context() if os.environ.get("SSL_CERT_FILE") else None


def _brought(profile: Profile) -> ssl.SSLContext | bool:
    """What httpx brings; True where it has to look into the environment first."""
    is_told = not is_loopback(httpx.URL(profile.node).host) and not {"SSL_CERT_FILE", "SSL_CERT_DIR"}.isdisjoint(os.environ)
    return True if is_told else _authorities()


@functools.cache
def _authorities() -> ssl.SSLContext:
    """The authorities that httpx brings, read once: that takes longer than a request does."""
    return httpx.create_ssl_context(trust_env=False)
