"""A request's headers become a credential, or a refusal that says what was wrong.

Rules kept here:
- no Authorization header is an anonymous caller; anything else must hold completely;
- one Authorization header with the scheme DPoP and one DPoP header; a bearer token only where it is bound to the client
  certificate (`cnf.x5t#S256`, RFC 8705, section 3) that a listed proxy forwards with it, or, bound to nothing, where the
  entry of its external issuer says so; bound to both, both must hold;
- an access token (RFC 9068) is typ `at+jwt`, signed by the key that its issuer and `kid` together name, for this node, in
  time, of bounded life, and bound (`cnf.jkt`) to the key of the proof that travels with it, or to that certificate; before
  the signature holds, `iss` and `kid` choose the key and nothing else is looked at;
- at this very request the key that signed it still counts, and, of a token of this node, its application's key is active,
  which belongs to whoever acts; of a token of another issuer, its organisations are admitted and its status is valid;
- an actor (`act`) is one organisation, never a chain of them;
- there is no I/O: where a key set or a status list has to be read first, NotAtHandError says which;
- the cheap checks come first, the jti is used up last, and no refusal repeats the token.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fmar_node.access.caller import Caller
from fmar_node.access.certificate import CertificateCheck
from fmar_node.access.issuer import Issuers, Nobody
from fmar_node.access.jose import ALGORITHMS, UnacceptableError, read_compact, text_claim, time_claim
from fmar_node.access.key import KeyDirectory, NodeKeys, PublicKey
from fmar_node.access.proof import ProofCheck, ProofError
from fmar_node.access.replay import ReplayCache
from fmar_node.access.status import Place, place_of
from fmar_node.access.token import BOUND_CERTIFICATE, SCOPE, TOKEN_TYPE
from fmar_node.clock import Clock
from fmar_node.errors import Unauthenticated
from fmar_node.identity import is_uuid
from fmar_node.settings import Issuer, Settings

SCHEME = re.compile(r"([A-Za-z]+) +([A-Za-z0-9._~+/-]+=*)")
UNQUOTABLE = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")  # RFC 6750, section 3: what error_description may not hold
DESCRIPTION_CHARS = 512
CLIENT_CHARS = 256


@dataclass(frozen=True, slots=True)
class Credential:
    """Who calls: `organisation` is the bare UUID, `key_id` the registered key behind the token, `token_id` its jti.

    `actor` is the organisation that acts on behalf of this one (RFC 8693, section 4.1), where there is one. A token of an
    external issuer has its `issuer` here, and no `key_id`; its `client_id` is a name at that issuer.
    """

    organisation: str
    client_id: str
    key_id: str
    token_id: str
    issued_at: datetime
    expires_at: datetime
    scope: str
    actor: str | None = None
    issuer: str = ""

    @property
    def acting(self) -> str:
        """The organisation whose application it is."""
        return self.actor or self.organisation


@dataclass(frozen=True, slots=True)
class _Binding:
    """What a token is bound to: the thumbprint of a key, the hash of a certificate, or both; "" is not bound to one."""

    key: str
    certificate: str

    @property
    def scheme(self) -> str:
        """The scheme with which such a token travels (RFC 9449, section 7.1; RFC 8705, section 3)."""
        return "dpop" if self.key else "bearer"


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A token whose signature and claims held."""

    credential: Credential
    bound_to: _Binding
    expires: float
    key: _Key
    foreign: _Foreign | None


@dataclass(frozen=True, slots=True)
class _Key:
    kid: object
    thumbprint: str


@dataclass(frozen=True, slots=True)
class _Foreign:
    """What is asked about a token of an external issuer at each request: whom its `sub` and `act` name, and its status."""

    entry: Issuer
    subjects: tuple[str, ...]
    place: Place | None


class Verifier:
    """Verifies requests to one node. `base_url` is issuer and audience, without a slash at its end. Thread-safe."""

    def __init__(
        self,
        base_url: str,
        keys: NodeKeys,
        settings: Settings,
        clock: Clock,
        directory: KeyDirectory,
        replay: ReplayCache,
        issuers: Issuers | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._keys = keys
        self._issuers = issuers or Issuers(settings, Nobody())
        self._settings = settings
        self._clock = clock
        self._directory = directory
        self._proofs = ProofCheck(settings, clock, replay)
        self._certificates = CertificateCheck(settings, clock)
        self._seen: OrderedDict[bytes, _Accepted] = OrderedDict()
        self._lock = threading.Lock()

    def verify(
        self, method: str, url: str, authorization: Sequence[str], dpop: Sequence[str], certificates: Sequence[str] = ()
    ) -> Credential | None:
        """The credential behind a request, or None where it has no Authorization header at all.

        `authorization` and `dpop` are all values of those headers, `certificates` what `CertificateCheck.forwarded` made of
        the request; `url` is the request's as the public knows it: the node's base URL and the path, never the Host
        header. Unauthenticated where anything is wrong; NotAtHandError or Unavailable where something of an external issuer
        has to be read first, or cannot be.
        """
        if not authorization:
            return None
        scheme, token = self._presented(authorization, certificates)
        now = self._clock.now().timestamp()
        try:
            accepted = self._accepted(token, now)
            self._check_scheme(scheme, accepted.bound_to)
            self._check_certificate(accepted.bound_to.certificate, certificates)
            self._check_standing(accepted, now)
        except UnacceptableError as error:
            raise self._token_refused(f"the access token {error}") from error
        if not accepted.bound_to.key:
            return accepted.credential
        try:
            self._check_proof(accepted, token, method, url, dpop)
        except ProofError as error:
            raise self._refusal("invalid-dpop-proof", error.word, error.detail, error.headers) from error
        return accepted.credential

    def recall(self, authorization: bytes) -> Credential | None:
        """Whose token is in this header, where it was verified before and has not expired; that it may be used is not said."""
        known = self._seen.get(hashlib.sha256(authorization[authorization.rfind(b" ") + 1 :]).digest())
        return known.credential if known and not known.foreign and self._clock.now().timestamp() < known.expires else None

    def claimed(self, authorization: Sequence[str]) -> Caller | None:
        """Whom a refused token names, where this node has signed it; of any other one nothing is believed."""
        found = SCHEME.fullmatch(authorization[0]) if len(authorization) == 1 else None
        try:
            compact = read_compact(found[2] if found else "", self._settings.header_bytes)
            claims = compact.claims()
            if compact.header.get("typ") != TOKEN_TYPE or claims.get("iss") != self._base_url:
                return None
            self._key(None, compact.header.get("kid"), 0).check(compact)
            return Caller(self._organisation(text_claim(claims, "sub"), None), text_claim(claims, "client_id", CLIENT_CHARS), actor=self._actor(claims.get("act"), None) or "")
        except UnacceptableError:
            return None

    def refused(self, detail: str) -> Unauthenticated:
        """What to raise where a token holds, but gives nothing any more."""
        return self._token_refused(detail)

    def missing(self, detail: str = "this needs a credential") -> Unauthenticated:
        """What to raise where an anonymous caller may not go; it names no error (RFC 6750, section 3.1)."""
        return self._refusal("credential-missing", "", detail)

    def _presented(self, authorization: Sequence[str], certificates: Sequence[str]) -> tuple[str, str]:
        """Scheme, in lower case, and token."""
        if len(authorization) != 1:
            raise self._token_refused(f"exactly one Authorization header is needed, there are {len(authorization)}")
        if len(authorization[0]) > self._settings.header_bytes:
            raise self._token_refused(f"the Authorization header is longer than {self._settings.header_bytes} bytes")
        found = SCHEME.fullmatch(authorization[0])
        if found is None:
            raise self._token_refused("the Authorization header is not a scheme and one token")
        scheme = found[1].lower()
        if scheme == "dpop" or (scheme == "bearer" and (certificates or self._issuers.takes_bearer)):
            return scheme, found[2]
        if self._certificates.is_offered:
            raise self._token_refused("send Authorization: DPoP and a DPoP proof, or Bearer over a connection with the client certificate that the token is bound to")
        raise self._token_refused("this node takes DPoP-bound tokens only: send Authorization: DPoP and a DPoP proof")

    def _check_scheme(self, scheme: str, bound_to: _Binding) -> None:
        if scheme == bound_to.scheme:
            return
        if scheme == "bearer":
            raise self._token_refused("the access token is bound to a key and no bearer token: send Authorization: DPoP and a DPoP proof")
        if not bound_to.certificate:
            raise self._token_refused("the access token is bound to no key: send Authorization: Bearer")
        raise self._token_refused("the access token is bound to a client certificate: send Authorization: Bearer over a connection with that certificate")

    def _check_certificate(self, bound_to: str, certificates: Sequence[str]) -> None:
        if not bound_to:
            return
        if not certificates:
            raise self._token_refused("the access token is bound to a client certificate, and none came with this request")
        try:
            is_bound = self._certificates.is_bound(certificates, bound_to)
        except UnacceptableError as error:
            raise self._refusal("invalid-client-certificate", "invalid_token", f"the client certificate {error}") from error
        if not is_bound:
            raise self._token_refused("the access token is bound to another client certificate than the one of this connection")

    def _accepted(self, token: str, now: float) -> _Accepted:
        """The token's claims, from memory where the same token was verified before and has not expired."""
        mark = hashlib.sha256(token.encode("ascii")).digest()
        known = self._seen.get(mark)
        if known is not None and now < known.expires:
            return known
        accepted = self._read_token(token, now)
        self._remember(mark, accepted)
        return accepted

    def _remember(self, mark: bytes, accepted: _Accepted) -> None:
        with self._lock:
            self._seen[mark] = accepted
            while len(self._seen) > self._settings.token_cache:
                self._seen.popitem(last=False)

    def _read_token(self, token: str, now: float) -> _Accepted:
        compact = read_compact(token, self._settings.header_bytes)
        if compact.header.get("typ") != TOKEN_TYPE:
            raise UnacceptableError(f"has a typ other than {TOKEN_TYPE}")
        claims = compact.claims()
        entry = self._entry(claims)
        key = self._key(entry, compact.header.get("kid"), now)
        key.check(compact)
        audience = (entry.audience if entry else "") or self._base_url
        if claims.get("aud") != audience:
            raise UnacceptableError(f"is not for this node; aud must be the text {audience}")
        issued, expires = self._check_times(claims, now, is_own=entry is None)
        return _Accepted(
            self._credential(claims, issued, expires, entry), _bound_to(claims, entry), expires,
            _Key(compact.header.get("kid"), key.thumbprint), self._foreign(claims, entry) if entry else None,
        )  # fmt: skip

    def _entry(self, claims: dict[str, Any]) -> Issuer | None:
        """Whose token it says it is: None for this node's own. UnacceptableError for anybody else's."""
        if claims.get("iss") == self._base_url:
            return None
        entry = self._issuers.find(claims.get("iss"))
        if entry is None:
            raise UnacceptableError(f"is not from an issuer that this node accepts; its own iss is the text {self._base_url}")
        return entry

    def _key(self, entry: Issuer | None, kid: object, now: float) -> PublicKey:
        """The key of that name, of that issuer."""
        if entry:
            return self._issuers.key(entry, kid, now)
        key = self._keys.find(kid)
        if key is None:
            raise UnacceptableError("is not signed with a key of this node")
        return key

    def _check_times(self, claims: dict[str, Any], now: float, *, is_own: bool) -> tuple[float, float]:
        issued, expires = time_claim(claims, "iat"), time_claim(claims, "exp")
        starts = time_claim(claims, "nbf") if is_own or "nbf" in claims else issued
        if now >= expires:
            raise UnacceptableError("has expired; get a new one at the token endpoint")
        if max(issued, starts) > now + self._settings.clock_skew_seconds:
            raise UnacceptableError("is not valid yet")
        if expires - issued > self._settings.token_seconds_most:
            raise UnacceptableError(f"lives longer than the {self._settings.token_seconds_most} seconds that this node allows")
        return issued, expires

    def _credential(self, claims: dict[str, Any], issued: float, expires: float, entry: Issuer | None) -> Credential:
        is_own = entry is None
        return Credential(
            organisation=self._organisation(text_claim(claims, "sub"), entry),
            client_id=text_claim(claims, "client_id", CLIENT_CHARS),
            key_id=text_claim(claims, "client_key_id") if is_own else "",
            token_id=text_claim(claims, "jti"),
            issued_at=datetime.fromtimestamp(issued, UTC),
            expires_at=datetime.fromtimestamp(expires, UTC),
            scope=text_claim(claims, "scope") if is_own or "scope" in claims else "",
            actor=self._actor(claims.get("act"), entry),
            issuer=entry.issuer if entry else "",
        )

    def _organisation(self, subject: str, entry: Issuer | None) -> str:
        if entry:
            return self._issuers.organisation(entry, subject, self._base_url)
        prefix = f"{self._base_url}/organisations/"
        if not subject.startswith(prefix) or not is_uuid(subject.removeprefix(prefix)):
            raise UnacceptableError("has a sub that is not an organisation of this node")
        return subject.removeprefix(prefix)

    def _actor(self, act: Any, entry: Issuer | None) -> str | None:
        if act is None:
            return None
        if not isinstance(act, dict) or "act" in act:
            raise UnacceptableError("has an act that is not one organisation")
        return self._organisation(text_claim(act, "sub"), entry)

    def _foreign(self, claims: dict[str, Any], entry: Issuer) -> _Foreign:
        place = place_of(claims)
        self._issuers.check_place(entry, place)
        acting = (text_claim(claims["act"], "sub"),) if claims.get("act") is not None else ()
        return _Foreign(entry, (text_claim(claims, "sub"), *acting), place)

    def _check_standing(self, accepted: _Accepted, now: float) -> None:
        """What may have changed since the token was verified first."""
        foreign, credential = accepted.foreign, accepted.credential
        entry = foreign.entry if foreign else None
        if self._key(entry, accepted.key.kid, now).thumbprint != accepted.key.thumbprint:
            raise UnacceptableError("is not signed with a key of its issuer any more")
        if foreign is None:
            self._check_active(credential)
            return
        named = [self._organisation(each, entry) for each in foreign.subjects]
        if named[0] != credential.organisation or named[-1] != credential.acting:
            raise UnacceptableError("names another organisation than before")
        self._issuers.check_admitted(*named)
        self._issuers.check_status(foreign.entry, foreign.place, now)

    def _check_active(self, credential: Credential) -> None:
        """The application and its key belong to whoever acts, not to the one on whose behalf."""
        found = self._directory.find(credential.client_id, credential.key_id)
        if found is None or not found.is_active or found.organisation != credential.acting:
            raise self._token_refused("the application key behind this access token has been revoked")

    def _check_proof(self, accepted: _Accepted, token: str, method: str, url: str, dpop: Sequence[str]) -> None:
        proof = self._proofs.read(dpop)
        if not hmac.compare_digest(proof.key.thumbprint, accepted.bound_to.key):
            raise self._token_refused("the access token is bound to another key than the one that signed the DPoP proof")
        self._proofs.check(proof, method, url, token)
        self._proofs.spend(proof)

    def _token_refused(self, detail: str) -> Unauthenticated:
        return self._refusal("invalid-token", "invalid_token", detail)

    def _refusal(self, code: str, word: str, detail: str, headers: dict[str, str] | None = None) -> Unauthenticated:
        challenge = {"WWW-Authenticate": self._challenge(word, detail), **(headers or {})}
        return Unauthenticated(code, detail, members={"error": word} if word else {}, headers=challenge)

    def _challenge(self, word: str, detail: str) -> str:
        """RFC 9449 section 7.1 and RFC 9728 section 5.1; a description is quoted safely and kept short."""
        said = {"error": word, "error_description": UNQUOTABLE.sub("'", detail)[:DESCRIPTION_CHARS]} if word else {}
        where = {"resource_metadata": resource_metadata_url(self._base_url)}
        accepted = [_spelt("DPoP", {**said, "algs": " ".join(ALGORITHMS), **where})]
        if self._certificates.is_offered or self._issuers.takes_bearer:
            accepted.append(_spelt("Bearer", {**({"error": word} if word == "invalid_token" else {}), **where}))
        return ", ".join(accepted)


def _spelt(scheme: str, parameters: dict[str, str]) -> str:
    return f"{scheme} " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())


def _bound_to(claims: dict[str, Any], entry: Issuer | None) -> _Binding:
    """What `cnf` says; nothing where there is none, and its issuer's entry lets it be a bearer token."""
    confirmation = claims.get("cnf")
    if confirmation is None and entry and entry.bearer:
        return _Binding("", "")
    if not isinstance(confirmation, dict) or not {"jkt", BOUND_CERTIFICATE} & confirmation.keys():
        raise UnacceptableError(f"is bound neither to a key (cnf.jkt) nor to a client certificate (cnf.{BOUND_CERTIFICATE})")
    key, certificate = (text_claim(confirmation, name) if name in confirmation else "" for name in ("jkt", BOUND_CERTIFICATE))
    return _Binding(key, certificate)


def resource_metadata_url(base_url: str) -> str:
    """Where a client learns how to get a credential (RFC 9728, section 3)."""
    return f"{base_url}/.well-known/oauth-protected-resource"


def protected_resource_metadata(base_url: str, name: str, takes_certificates: bool = False, issuers: Sequence[Issuer] = ()) -> dict[str, Any]:
    """The document at `/.well-known/oauth-protected-resource` (RFC 9728, section 2).

    Bearer tokens: only those that are bound to a client certificate, where the node has proxies that forward them, and those
    of an external issuer whose entry says so.
    """
    takes_bearer = takes_certificates or any(entry.bearer for entry in issuers)
    return {
        "resource": base_url,
        "resource_name": name,
        "authorization_servers": [base_url, *(entry.issuer for entry in issuers)],
        "scopes_supported": [SCOPE],
        "bearer_methods_supported": ["header"] if takes_bearer else [],
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
        "dpop_bound_access_tokens_required": not takes_bearer,
        "resource_documentation": f"{base_url}/docs",
        **({"tls_client_certificate_bound_access_tokens": True} if takes_certificates else {}),
    }
