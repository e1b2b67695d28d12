"""The token endpoint, without HTTP: an application proves its key twice and gets a short-lived token.

Rules kept here:
- two grants: client_credentials, and token exchange (RFC 8693) for who acts on behalf of an organisation that has granted it;
- grant client_credentials (RFC 6749, 4.4) with a `private_key_jwt` assertion (RFC 7523, section 3) by a
  registered, unrevoked key; the assertion is for this node, recent, and counts once;
- or, without any assertion, by the certificate of the connection, whose key is a registered, unrevoked one of the
  `client_id` (RFC 8705, section 2.2, `self_signed_tls_client_auth`);
- the token (RFC 9068) is bound to the key of the DPoP proof that came with the request (RFC 9449, section 5); where none
  came, to the certificate of the connection (RFC 8705, section 3), and then its type is Bearer;
- a refusal carries the words of RFC 6749 section 5.2 in `members["error"]`;
- what an unknown client may learn is that this key is not registered under this name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fmar_node.access.certificate import CertificateCheck, ClientCertificate
from fmar_node.access.jose import ALGORITHMS, Compact, UnacceptableError, read_compact, text_claim, time_claim
from fmar_node.access.key import ApplicationKey, KeyDirectory, NodeKeys, public_key
from fmar_node.access.proof import JTI_CHARS, Proof, ProofCheck, ProofError
from fmar_node.access.replay import ReplayCache
from fmar_node.access.status import Place, own_list
from fmar_node.clock import Clock
from fmar_node.errors import FmarError, Malformed, Unauthenticated
from fmar_node.identity import is_uuid, new_token
from fmar_node.settings import Settings

TOKEN_TYPE = "at+jwt"  # noqa: S105
GRANT = "client_credentials"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
SUBJECT_TYPE = "https://w3id.org/fmar/ns#Organisation"
"""The kind of subject token: the IRI of the organisation on whose behalf the client is going to act."""
ISSUED_TYPE = "urn:ietf:params:oauth:token-type:access_token"
ASSERTION_KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_TYPES = (None, "JWT", "jwt", "client-authentication+jwt")
SCOPE = "fmar"
BOUND_CERTIFICATE = "x5t#S256"
"""The member of `cnf` that binds a token to a certificate (RFC 8705, section 3.1)."""
KEY_ID = re.compile(r"[A-Za-z0-9_-]{43}")
CLIENT_ID = re.compile(r"[A-Za-z0-9._~:/?#@!$&()*+,;=%\[\]-]{1,256}")


@dataclass(frozen=True, slots=True)
class _Assertion:
    """A client assertion whose signature holds, and the key that made it; no claims where a certificate took its place."""

    application: ApplicationKey
    claims: dict[str, Any] | None = field(repr=False)


class TokenService:
    """Issues access tokens of one node. `base_url` is the issuer identifier, without a slash at its end."""

    def __init__(
        self,
        base_url: str,
        keys: NodeKeys,
        settings: Settings,
        clock: Clock,
        directory: KeyDirectory,
        replay: ReplayCache,
        mandate: Callable[[str, str], bool] = lambda _, __: False,
    ) -> None:
        """`mandate` says of two organisations (bare UUIDs) whether the first has granted the second anything that is in force."""
        self._base_url = base_url.rstrip("/")
        self._keys = keys
        self._settings = settings
        self._clock = clock
        self._directory = directory
        self._replay = replay
        self._mandate = mandate
        self._proofs = ProofCheck(settings, clock, replay)
        self._certificates = CertificateCheck(settings, clock)

    def issue(
        self, form: Mapping[str, str], proofs: Sequence[str], method: str, url: str, certificates: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The answer to a token request (RFC 6749, 5.1): access_token, token_type, expires_in, scope.

        `proofs` are the values of the DPoP header, `certificates` what `CertificateCheck.forwarded` made of the request;
        `url` is the endpoint as the public knows it.
        Unauthenticated for the client, Malformed for the request and its proof, with `members["error"]`.
        """
        scope = self._check_grant(form)
        has_assertion = "client_assertion" in form or "client_assertion_type" in form
        is_certified = bool(certificates) and not (has_assertion and proofs)
        certificate = self._certificate(certificates) if is_certified else None
        assertion = self._asserted(form) if has_assertion or certificate is None else self._certified(form, certificate)
        subject = self._subject(form, assertion.application)
        proof = self._check_proof(proofs, method, url) if proofs or certificate is None else None
        self._spend(assertion, proof)
        return self._token(assertion.application, _binding(proof, certificate), scope, subject)

    def _check_grant(self, form: Mapping[str, str]) -> str:
        if form.get("grant_type") is None:
            raise _request_refused("invalid_request", f"grant_type is missing; send grant_type={GRANT}")
        if form["grant_type"] not in (GRANT, EXCHANGE):
            raise _request_refused("unsupported_grant_type", f"grant_type={GRANT} and {EXCHANGE} are offered")
        if form.get("scope") not in (None, "", SCOPE):
            raise _request_refused("invalid_scope", f"the only scope is {SCOPE}; leave scope out")
        return SCOPE

    def _certificate(self, certificates: Sequence[str]) -> ClientCertificate:
        try:
            return self._certificates.read(certificates)
        except UnacceptableError as error:
            raise _client_refused(f"the client certificate {error}", "invalid-client-certificate") from error

    def _certified(self, form: Mapping[str, str], certificate: ClientCertificate) -> _Assertion:
        """The registered key that the certificate of the connection is for (RFC 8705, section 2.2)."""
        name = form.get("client_id", "")
        if not name:
            raise _client_refused("send client_id beside the client certificate, or a private_key_jwt as client_assertion")
        application = self._directory.find(name, certificate.key.thumbprint) if _are_names(name, None) else None
        if application is None:
            raise _client_refused("the client certificate has a key that is not registered here under this client_id")
        if not application.is_active:
            raise _client_refused("the client certificate has a key that has been revoked")
        return _Assertion(application, None)

    def _asserted(self, form: Mapping[str, str]) -> _Assertion:
        if form.get("client_assertion_type") != ASSERTION_KIND or not form.get("client_assertion"):
            raise _client_refused(f"send a private_key_jwt as client_assertion, client_assertion_type={ASSERTION_KIND}")
        try:
            return self._authenticate(form)
        except UnacceptableError as error:
            raise _client_refused(f"the client assertion {error}") from error

    def _subject(self, form: Mapping[str, str], application: ApplicationKey) -> str:
        """The organisation (bare UUID) on whose behalf the client acts; empty where it acts for its own (RFC 8693, section 2.1)."""
        if form["grant_type"] == GRANT:
            return ""
        if form.get("subject_token_type") != SUBJECT_TYPE or "actor_token" in form:
            raise _request_refused("invalid_request", f"send subject_token_type={SUBJECT_TYPE}, the organisation's IRI as subject_token, and no actor_token")
        if form.get("requested_token_type") not in (None, "", ISSUED_TYPE):
            raise _request_refused("invalid_request", f"the only requested_token_type is {ISSUED_TYPE}")
        subject = form.get("subject_token", "").removeprefix(f"{self._base_url}/organisations/")
        if not is_uuid(subject) or not self._mandate(subject, application.organisation):
            raise _request_refused("invalid_target", "no delegation of this organisation to yours is in force")
        return subject

    def _authenticate(self, form: Mapping[str, str]) -> _Assertion:
        compact = read_compact(form["client_assertion"], self._settings.header_bytes)
        if compact.header.get("typ") not in ASSERTION_TYPES:
            raise UnacceptableError("has a typ other than JWT")
        claims = compact.claims()
        application = self._application(compact, claims, form.get("client_id"))
        if not application.is_active:
            raise UnacceptableError("is signed with a key that has been revoked")
        self._check_audience(claims)
        self._check_time(claims)
        text_claim(claims, "jti", JTI_CHARS)
        return _Assertion(application, claims)

    def _application(self, compact: Compact, claims: dict[str, Any], client_id: str | None) -> ApplicationKey:
        """The registered key that signed, found by names that hold nothing but a name."""
        name, key_id = text_claim(claims, "iss"), compact.header.get("kid")
        if text_claim(claims, "sub") != name or client_id not in (None, "", name):
            raise UnacceptableError("has an iss that is not also its sub and the client_id")
        application = self._directory.find(name, key_id) if _are_names(name, key_id) else None
        try:
            if application is not None:
                public_key(application.jwk).check(compact)
                return application
        except UnacceptableError:
            pass  # a stranger learns no names by it
        raise UnacceptableError("names a client and key (iss, kid) that are not registered here, or is not signed with that key")

    def _check_audience(self, claims: dict[str, Any]) -> None:
        if claims.get("aud") not in (self._base_url, token_endpoint(self._base_url)):
            raise UnacceptableError(f"is for another server; aud must be the text {self._base_url}")

    def _check_time(self, claims: dict[str, Any]) -> None:
        now, skew, most = self._clock.now().timestamp(), self._settings.clock_skew_seconds, self._settings.proof_seconds
        expires, issued = time_claim(claims, "exp"), time_claim(claims, "iat")
        if now >= expires + skew:
            raise UnacceptableError("has expired")
        if issued > now + skew or ("nbf" in claims and time_claim(claims, "nbf") > now + skew):
            raise UnacceptableError("is not valid yet by the clock of this node")
        if issued < now - most or not self._replay.remembers(issued):
            raise UnacceptableError(f"was issued more than {most} seconds ago, or before this node started; make a new one")

    def _check_proof(self, proofs: Sequence[str], method: str, url: str) -> Proof:
        try:
            proof = self._proofs.read(proofs)
            self._proofs.check(proof, method, url, token=None)
        except ProofError as error:
            raise _proof_refused(error) from error
        return proof

    def _spend(self, assertion: _Assertion, proof: Proof | None) -> None:
        if assertion.claims and not self._replay.use(f"assertion {assertion.application.client_id}", assertion.claims["jti"]):
            raise _client_refused("the client assertion has been used before; make a new one, with a new jti")
        try:
            if proof is not None:
                self._proofs.spend(proof)
        except ProofError as error:
            raise _proof_refused(error) from error

    def _token(self, application: ApplicationKey, binding: dict[str, str], scope: str, subject: str) -> dict[str, Any]:
        now, life = int(self._clock.now().timestamp()), self._settings.token_seconds
        claims = {
            "iss": self._base_url,
            "sub": f"{self._base_url}/organisations/{subject or application.organisation}",
            "aud": self._base_url,
            "client_id": application.client_id,
            "client_key_id": application.key_id,
            "iat": now,
            "nbf": now,
            "exp": now + life,
            "jti": new_token(),
            "scope": scope,
            "cnf": binding,
        }
        if subject:
            claims["act"] = {"sub": f"{self._base_url}/organisations/{application.organisation}"}
        if application.entry is not None:
            claims["status"] = Place(own_list(self._base_url), application.entry).as_claim()
        return {
            "access_token": self._keys.sign(claims, TOKEN_TYPE),
            "token_type": "DPoP" if "jkt" in binding else "Bearer",
            "expires_in": life,
            "scope": scope,
            **({"issued_token_type": ISSUED_TYPE} if subject else {}),
        }


def claimed_client(form: Mapping[str, str]) -> str:
    """The client that a token request says it comes from, by a name that holds nothing but a name; nothing of it is verified."""
    name: Any = form.get("client_id")
    if name is None:
        try:
            assertion = form.get("client_assertion", "")
            name = read_compact(assertion, len(assertion)).claims().get("iss")
        except UnacceptableError:
            return ""
    return name if isinstance(name, str) and CLIENT_ID.fullmatch(name) else ""


def _are_names(client_id: str, key_id: object) -> bool:
    """Whether both look like names, so that no other text ever reaches the directory."""
    is_key_id = key_id is None or (isinstance(key_id, str) and KEY_ID.fullmatch(key_id) is not None)
    return is_key_id and CLIENT_ID.fullmatch(client_id) is not None


def _binding(proof: Proof | None, certificate: ClientCertificate | None) -> dict[str, str]:
    """What a token is bound to: the key of the proof, and only without one the certificate."""
    if proof is not None:
        return {"jkt": proof.key.thumbprint}
    assert certificate is not None
    return {BOUND_CERTIFICATE: certificate.x5t_s256}


def _client_refused(detail: str, code: str = "invalid-client") -> FmarError:
    challenge = {"WWW-Authenticate": f'DPoP error="invalid_client", algs="{" ".join(ALGORITHMS)}"'}
    return Unauthenticated(code, detail, members={"error": "invalid_client"}, headers=challenge)


def _request_refused(word: str, detail: str) -> FmarError:
    return Malformed("invalid-grant-request", detail, members={"error": word})


def _proof_refused(error: ProofError) -> FmarError:
    return Malformed("invalid-dpop-proof", error.detail, members={"error": error.word}, headers=error.headers)


def token_endpoint(base_url: str) -> str:
    """Where tokens are issued."""
    return f"{base_url}/oauth/token"


def authorization_server_metadata(base_url: str, takes_certificates: bool = False) -> dict[str, Any]:
    """The document at `/.well-known/oauth-authorization-server` (RFC 8414, section 2; RFC 8705, section 3.3)."""
    certified = ["self_signed_tls_client_auth"] if takes_certificates else []
    return {
        "issuer": base_url,
        "token_endpoint": token_endpoint(base_url),
        "jwks_uri": f"{base_url}/oauth/jwks",
        "response_types_supported": [],
        "grant_types_supported": [GRANT, EXCHANGE],
        "token_endpoint_auth_methods_supported": ["private_key_jwt", *certified],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
        "scopes_supported": [SCOPE],
        "service_documentation": f"{base_url}/docs",
        **({"tls_client_certificate_bound_access_tokens": True} if takes_certificates else {}),
    }
