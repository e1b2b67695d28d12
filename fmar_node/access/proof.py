"""DPoP proofs (RFC 9449): whoever presents a token shows that it holds the key the token is bound to.

Rules kept here, each from section 4.3 unless it says otherwise:
- exactly one proof, typ `dpop+jwt`, signed by the public key that it brings, of an accepted type;
- `htm` and `htu` are this request's; `htu` is compared after the normalisation of RFC 3986 sections 6.2.2
  and 6.2.3, without query and fragment, and a refusal says which URL was expected;
- `iat` is recent by the node's clock, `ath` is the hash of the token that travels with it;
- `jti` counts once; where the node asks for a nonce (section 8), the proof has one that is fresh.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from fmar_node.access.jose import HEADS, UnacceptableError, encode, read_compact, read_header, text_claim, time_claim
from fmar_node.access.key import PublicKey, public_key
from fmar_node.access.replay import ReplayCache
from fmar_node.clock import Clock
from fmar_node.settings import Settings

PROOF_TYPE = "dpop+jwt"
JTI_CHARS = 256
DEFAULT_PORTS = {"http": 80, "https": 443}
ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class ProofError(Exception):
    """A proof does not hold. `word` is the OAuth error word, `headers` what the answer carries beside it."""

    def __init__(self, detail: str, word: str = "invalid_dpop_proof", headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.word = word
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof whose signature holds, by the key that it brought."""

    key: PublicKey
    claims: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProofCheck:
    """Judges proofs by one clock and one memory of what was used."""

    settings: Settings
    clock: Clock
    replay: ReplayCache

    def read(self, headers: Sequence[str]) -> Proof:
        """The one proof in the DPoP header. ProofError otherwise."""
        if len(headers) != 1:
            raise ProofError(f"exactly one DPoP header is needed, there are {len(headers)}")
        try:
            return self._read(headers[0])
        except UnacceptableError as error:
            raise ProofError(f"the DPoP proof {error}") from error

    def _read(self, text: str) -> Proof:
        compact = read_compact(text, self.settings.header_bytes, may_bring_key=True)
        key = _brought(compact.head)
        key.check(compact)
        return Proof(key, compact.claims())

    def check(self, proof: Proof, method: str, url: str, token: str | None) -> None:
        """ProofError unless the proof was made for this request, just now, and for `token` (RFC 9449, 4.3 and 7)."""
        try:
            self._check_request(proof.claims, method, url)
            self._check_token(proof.claims, token)
            self._check_time(proof.claims)
            text_claim(proof.claims, "jti", JTI_CHARS)
        except UnacceptableError as error:
            raise ProofError(f"the DPoP proof {error}") from error

    def spend(self, proof: Proof) -> None:
        """Use up the proof's jti; the last step of all. ProofError where it has been used before."""
        if not self.replay.use(f"proof {proof.key.thumbprint}", proof.claims["jti"]):
            raise ProofError("the DPoP proof has been used before; make a new one, with a new jti, for each request")

    def _check_request(self, claims: dict[str, Any], method: str, url: str) -> None:
        if text_claim(claims, "htm") != method:
            raise UnacceptableError(f"is for another method; htm must be {method}")
        target = text_claim(claims, "htu", self.settings.header_bytes)
        if target != url and normal_url(target) != normal_url(url):
            raise UnacceptableError(f"is for another URL; htu must be {normal_url(url)}")

    def _check_token(self, claims: dict[str, Any], token: str | None) -> None:
        if token is not None and not hmac.compare_digest(text_claim(claims, "ath"), token_hash(token)):
            raise UnacceptableError("is for another access token; ath must be the base64url SHA-256 of this one")

    def _check_time(self, claims: dict[str, Any]) -> None:
        issued, now = time_claim(claims, "iat"), self.clock.now().timestamp()
        if issued > now + self.settings.clock_skew_seconds:
            raise UnacceptableError("was issued in the future by the clock of this node; set the clock, or wait")
        if issued < now - self.settings.proof_seconds:
            raise UnacceptableError(f"was issued more than {self.settings.proof_seconds} seconds ago; make one per request")
        self._check_nonce(claims, issued)

    def _check_nonce(self, claims: dict[str, Any], issued: float) -> None:
        if "nonce" in claims:
            if not self.replay.has_issued(text_claim(claims, "nonce")):
                raise self._ask_for_nonce("has a nonce that this node did not issue, or too long ago")
        elif self.settings.dpop_nonce:
            raise self._ask_for_nonce("has no nonce")
        elif not self.replay.remembers(issued):
            raise self._ask_for_nonce("was issued before this node started")

    def _ask_for_nonce(self, fault: str) -> ProofError:
        nonce = {"DPoP-Nonce": self.replay.nonce()}
        return ProofError(f"the DPoP proof {fault}; make a new one with the nonce in DPoP-Nonce", "use_dpop_nonce", nonce)


@functools.lru_cache(HEADS)
def _brought(head: str) -> PublicKey:
    """The key in the header of a proof that is well formed; a client's proofs all bring the same."""
    header = read_header(head, may_bring_key=True)
    if header.get("typ") != PROOF_TYPE:
        raise UnacceptableError(f"has a typ other than {PROOF_TYPE}")
    return public_key(header.get("jwk"))


def token_hash(token: str) -> str:
    """`ath`: base64url of the SHA-256 of the access token (RFC 9449, section 4.2)."""
    return encode(hashlib.sha256(token.encode("ascii")).digest())


def normal_url(url: str) -> str:
    """Scheme, host and path of an absolute http(s) URL in normal form. UnacceptableError where it is something else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UnacceptableError("has an htu that is not a URL") from error
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        raise UnacceptableError("has an htu that is not an absolute http or https URL")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    shown_port = "" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{shown_port}{ESCAPE.sub(_normal_escape, parts.path) or '/'}"


def _normal_escape(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if character in UNRESERVED else found[0].upper()
