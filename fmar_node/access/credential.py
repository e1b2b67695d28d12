"""A request's headers become a credential, or a refusal that says what was wrong.

Rules kept here:
- no Authorization header is an anonymous caller; anything else must hold completely;
- one Authorization header with the scheme DPoP and one DPoP header; a bearer token only where it is bound to the client
  certificate (`cnf.x5t#S256`, RFC 8705, section 3) that a listed proxy forwards with it; bound to both, both must hold;
- an access token (RFC 9068) is typ `at+jwt`, signed by a key of this node that its `kid` names, for this node,
  in time, of bounded life, and bound (`cnf.jkt`) to the key of the proof that travels with it, or to that certificate;
- its application's key is still active at this very request, so that revocation acts on the next one;
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

from fmar_node.access.certificate import CertificateCheck
from fmar_node.access.jose import ALGORITHMS, UnacceptableError, read_compact, text_claim, time_claim
from fmar_node.access.key import KeyDirectory, SigningKeys
from fmar_node.access.proof import ProofCheck, ProofError
from fmar_node.access.replay import ReplayCache
from fmar_node.access.token import BOUND_CERTIFICATE, SCOPE, TOKEN_TYPE
from fmar_node.clock import Clock
from fmar_node.errors import Unauthenticated
from fmar_node.identity import is_uuid
from fmar_node.settings import Settings

SCHEME = re.compile(r"([A-Za-z]+) +([A-Za-z0-9._~+/-]+=*)")
UNQUOTABLE = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")  # RFC 6750, section 3: what error_description may not hold
DESCRIPTION_CHARS = 512


@dataclass(frozen=True, slots=True)
class Credential:
    """Who calls: `organisation` is the bare UUID, `key_id` the registered key behind the token, `token_id` its jti.

    `actor` is the organisation that acts on behalf of this one (RFC 8693, section 4.1), where there is one.
    """

    organisation: str
    client_id: str
    key_id: str
    token_id: str
    issued_at: datetime
    expires_at: datetime
    scope: str
    actor: str | None = None


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


class Verifier:
    """Verifies requests to one node. `base_url` is issuer and audience, without a slash at its end. Thread-safe."""

    def __init__(
        self,
        base_url: str,
        keys: SigningKeys,
        settings: Settings,
        clock: Clock,
        directory: KeyDirectory,
        replay: ReplayCache,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._keys = keys
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
        header. Unauthenticated where anything is wrong.
        """
        if not authorization:
            return None
        scheme, token = self._presented(authorization, certificates)
        accepted = self._accepted(token)
        self._check_scheme(scheme, accepted.bound_to)
        self._check_certificate(accepted.bound_to.certificate, certificates)
        self._check_active(accepted.credential)
        if not accepted.bound_to.key:
            return accepted.credential
        try:
            self._check_proof(accepted, token, method, url, dpop)
        except ProofError as error:
            raise self._refusal("invalid-dpop-proof", error.word, error.detail, error.headers) from error
        return accepted.credential

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
        if scheme == "dpop" or (scheme == "bearer" and certificates):
            return scheme, found[2]
        if self._certificates.is_offered:
            raise self._token_refused("send Authorization: DPoP and a DPoP proof, or Bearer over a connection with the client certificate that the token is bound to")
        raise self._token_refused("this node takes DPoP-bound tokens only: send Authorization: DPoP and a DPoP proof")

    def _check_scheme(self, scheme: str, bound_to: _Binding) -> None:
        if scheme == bound_to.scheme:
            return
        if scheme == "bearer":
            raise self._token_refused("the access token is bound to a key and no bearer token: send Authorization: DPoP and a DPoP proof")
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

    def _accepted(self, token: str) -> _Accepted:
        """The token's claims, from memory where the same token was verified before and has not expired."""
        mark, now = hashlib.sha256(token.encode("ascii")).digest(), self._clock.now().timestamp()
        known = self._seen.get(mark)
        if known is not None and now < known.expires:
            return known
        try:
            accepted = self._read_token(token, now)
        except UnacceptableError as error:
            raise self._token_refused(f"the access token {error}") from error
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
        key = self._keys.find(compact.header.get("kid"))
        if key is None:
            raise UnacceptableError("is not signed with a key of this node")
        key.check(compact)
        claims = compact.claims()
        if claims.get("iss") != self._base_url or claims.get("aud") != self._base_url:
            raise UnacceptableError(f"is not from and for this node; iss and aud must both be the text {self._base_url}")
        issued, expires = self._check_times(claims, now)
        return _Accepted(self._credential(claims, issued, expires), _bound_to(claims), expires)

    def _check_times(self, claims: dict[str, Any], now: float) -> tuple[float, float]:
        issued, starts, expires = (time_claim(claims, name) for name in ("iat", "nbf", "exp"))
        if now >= expires:
            raise UnacceptableError("has expired; get a new one at the token endpoint")
        if max(issued, starts) > now + self._settings.clock_skew_seconds:
            raise UnacceptableError("is not valid yet")
        if expires - issued > self._settings.token_seconds_most:
            raise UnacceptableError(f"lives longer than the {self._settings.token_seconds_most} seconds that this node allows")
        return issued, expires

    def _credential(self, claims: dict[str, Any], issued: float, expires: float) -> Credential:
        return Credential(
            organisation=self._organisation(text_claim(claims, "sub")),
            client_id=text_claim(claims, "client_id"),
            key_id=text_claim(claims, "client_key_id"),
            token_id=text_claim(claims, "jti"),
            issued_at=datetime.fromtimestamp(issued, UTC),
            expires_at=datetime.fromtimestamp(expires, UTC),
            scope=text_claim(claims, "scope"),
            actor=self._actor(claims.get("act")),
        )

    def _organisation(self, subject: str) -> str:
        prefix = f"{self._base_url}/organisations/"
        if not subject.startswith(prefix) or not is_uuid(subject.removeprefix(prefix)):
            raise UnacceptableError("has a sub that is not an organisation of this node")
        return subject.removeprefix(prefix)

    def _actor(self, act: Any) -> str | None:
        if act is None:
            return None
        if not isinstance(act, dict) or "act" in act:
            raise UnacceptableError("has an act that is not one organisation")
        return self._organisation(text_claim(act, "sub"))

    def _check_active(self, credential: Credential) -> None:
        found = self._directory.find(credential.client_id, credential.key_id)
        if found is None or not found.is_active or found.organisation != (credential.actor or credential.organisation):
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
        if self._certificates.is_offered:
            accepted.append(_spelt("Bearer", {**({"error": word} if word == "invalid_token" else {}), **where}))
        return ", ".join(accepted)


def _spelt(scheme: str, parameters: dict[str, str]) -> str:
    return f"{scheme} " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())


def _bound_to(claims: dict[str, Any]) -> _Binding:
    confirmation = claims.get("cnf")
    if not isinstance(confirmation, dict) or not {"jkt", BOUND_CERTIFICATE} & confirmation.keys():
        raise UnacceptableError(f"is bound neither to a key (cnf.jkt) nor to a client certificate (cnf.{BOUND_CERTIFICATE})")
    key, certificate = (text_claim(confirmation, name) if name in confirmation else "" for name in ("jkt", BOUND_CERTIFICATE))
    return _Binding(key, certificate)


def resource_metadata_url(base_url: str) -> str:
    """Where a client learns how to get a credential (RFC 9728, section 3)."""
    return f"{base_url}/.well-known/oauth-protected-resource"


def protected_resource_metadata(base_url: str, name: str, takes_certificates: bool = False) -> dict[str, Any]:
    """The document at `/.well-known/oauth-protected-resource` (RFC 9728, section 2).

    Bearer tokens: only those that are bound to a client certificate, where the node has proxies that forward them.
    """
    return {
        "resource": base_url,
        "resource_name": name,
        "authorization_servers": [base_url],
        "scopes_supported": [SCOPE],
        "bearer_methods_supported": ["header"] if takes_certificates else [],
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
        "dpop_bound_access_tokens_required": not takes_certificates,
        "resource_documentation": f"{base_url}/docs",
        **({"tls_client_certificate_bound_access_tokens": True} if takes_certificates else {}),
    }
