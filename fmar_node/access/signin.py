"""A person signs in: OpenID Connect, authorization code with PKCE (OpenID Connect Core 1.0, section 3.1; RFC 9700).

Rules kept here:
- an attempt belongs to the browser that began it: what it needs (`state`, `nonce`, PKCE verifier, where to) is in a cookie sealed
  by a key of this very process, and the answer has to bring the same `state`; an attempt counts once, whatever comes of it,
  and for `sign_in_seconds`;
- an answer is taken from the provider that was asked: `iss` (RFC 9207) is checked where it is given and has to be given where the
  provider says that it does; where there are several providers, one that neither does nor gave this node a secret is not used
  (mix-up, RFC 9700, section 4.4);
- after a sign-in people are led to a path of this node and nowhere else;
- who somebody is follows from issuer and subject, never from an e-mail address; the verified address only finds an invitation;
- of several organisations none is guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol
from urllib.parse import urlencode, urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fmar_node.access.caller import Applicant, UserRole
from fmar_node.access.id_token import Expected, Identity, identity_in
from fmar_node.access.jose import UnacceptableError, decode, encode
from fmar_node.access.provider import WORD, Description, Provider, RefusedError
from fmar_node.clock import Clock
from fmar_node.errors import Conflict, Forbidden, Invalid, Malformed, NotFound, Unavailable
from fmar_node.identity import new_key, new_token
from fmar_node.settings import Settings, is_safe_url

PURPOSE = b"fmar-sign-in-v1"
NONCE_BYTES = 12
LOCAL_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?\[\]-]*")
PATH_CHARS, CODE_CHARS = 512, 2_048
PARAMETERS = ("state", "code", "iss", "error")
log = logging.getLogger("fmar.signin")


@dataclass(frozen=True, slots=True)
class Person:
    """A user's record as it counts here: bare UUIDs of the user and its organisation, and the role."""

    user: str
    organisation: str
    role: UserRole


class People(Protocol):
    """Who has an account or an invitation, as the register has it now."""

    def signed_in(self, issuer: str, subject: str) -> list[Person]:
        """The ACTIVE users of this identity, at most one in each organisation."""
        ...

    def invited(self, email: str) -> list[Person]:
        """The INVITED users of this e-mail address (in lower case) whose invitation has not ended."""
        ...

    async def accept(self, person: Person, issuer: str, subject: str, proof: str) -> Person:
        """Binds an invited user to an identity; `proof` says how it was proven. FmarError where the register refuses."""
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that was begun. `begun` is in seconds since 1970; `organisation` a bare UUID or empty, `path` where to go then."""

    provider: str
    organisation: str
    path: str
    begun: float
    is_application: bool = False
    state: str = field(default_factory=lambda: new_token(32))
    nonce: str = field(default_factory=lambda: new_token(32))
    verifier: str = field(default_factory=lambda: new_token(32))

    @property
    def challenge(self) -> str:
        """PKCE, S256 (RFC 7636, section 4.2)."""
        return encode(hashlib.sha256(self.verifier.encode("ascii")).digest())


@dataclass(frozen=True, slots=True)
class Arrival:
    """A sign-in that held: who, and by which attempt."""

    identity: Identity
    attempt: Attempt


class SignIn:
    """The sign-ins of one node. Malformed where its base URL is not fit for cookies that must stay secret."""

    def __init__(self, base_url: str, settings: Settings, clock: Clock, providers: Sequence[Provider]) -> None:
        if providers and not is_safe_url(base_url, may_be_loopback=True):
            raise Malformed("malformed-request", f"settings: identity_providers: people sign in over https, and the base URL is {base_url}")
        self.redirect_uri = f"{base_url.rstrip('/')}/signin/callback"
        self.providers = {each.name: each for each in providers}
        self._settings, self._clock = settings, clock
        self._seal, self._used = AESGCM(new_key()), OrderedDict[bytes, float]()

    async def begin(self, name: str, organisation: str = "", path: str = "/", *, is_application: bool = False) -> tuple[str, str]:
        """The provider's URL to send a browser to, and the sealed attempt that the browser has to bring back.

        Malformed where there is no such provider or the path is not one of this node, Unavailable where the provider is not to be used.
        """
        provider = self.providers.get(name)
        if provider is None:
            raise Malformed("malformed-request", f"provider is one of {', '.join(self.providers) or 'none: people do not sign in at this node'}")
        if not self.is_local(path):
            raise Malformed("malformed-request", f"return is a path of this node of at most {PATH_CHARS} characters, like /assets")
        description = await provider.description()
        self._check_told_apart(provider, description)
        attempt = Attempt(name, organisation, path, self._now(), is_application)
        return self._authorization_url(provider, description, attempt), self._sealed(attempt)

    def is_local(self, path: str) -> bool:
        """Whether a path leads to this node, by everybody's reading of it."""
        root = urlsplit(self.redirect_uri).path.removesuffix("/signin/callback")
        is_path = len(path) <= PATH_CHARS and LOCAL_PATH.fullmatch(path) is not None and not path.startswith("//")
        return is_path and (path + "/").startswith(f"{root}/")

    def _check_told_apart(self, provider: Provider, description: Description) -> None:
        if len(self.providers) > 1 and not description.names_itself and not provider.has_secret:
            log.warning("%s: beside other providers it has to name itself in its answers (RFC 9207), or to give this node a secret", provider.name)
            raise Unavailable("identity-provider-unavailable", f"{provider.name} cannot be told apart from the others", headers={"Retry-After": "3600"})

    def _authorization_url(self, provider: Provider, description: Description, attempt: Attempt) -> str:
        asked = {
            "response_type": "code",
            "client_id": provider.given.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(provider.given.scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        endpoint = description.authorization_endpoint
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    async def finish(self, answered: Sequence[tuple[str, str]], sealed: str) -> Arrival:
        """Who has signed in, by the parameters that the provider sent the browser back with and the browser's sealed attempt.

        Malformed where it answers no attempt of this browser, Forbidden where it does not hold, Unavailable where the provider gives no usable answer.
        """
        given = {name: value for name, value in answered if name in PARAMETERS}
        if len(given) != sum(name in PARAMETERS for name, _ in answered):
            raise _no_answer("a parameter stands twice in the answer of the provider")
        attempt = self._taken(given.get("state", ""), sealed)
        provider = self.providers[attempt.provider]
        description = await provider.description()
        self._check_sender(given, provider, description)
        if word := given.get("error"):
            raise _refused(f"the provider says {word if WORD.fullmatch(word) else 'no'}")
        code = given.get("code", "")
        if not 0 < len(code) <= CODE_CHARS:
            raise _refused("the provider sent no code")
        try:
            token = await provider.redeem(code, attempt.verifier, self.redirect_uri)
            key = await provider.key_of(token)
            now, skew = self._now(), float(self._settings.clock_skew_seconds)
            expected = Expected(provider.given.issuer, provider.given.client_id, attempt.nonce, attempt.begun, now, skew)
            return Arrival(identity_in(token, key, expected), attempt)
        except RefusedError:
            raise _refused("the provider does not know the code, or not any more") from None
        except UnacceptableError as error:
            raise _refused(f"the ID token {error}") from error

    def _check_sender(self, given: Mapping[str, str], provider: Provider, description: Description) -> None:
        if given.get("iss", provider.given.issuer) != provider.given.issuer:
            raise _refused("the answer is from another provider than the one that was asked (iss)")
        if description.names_itself and "iss" not in given:
            raise _refused("the answer does not say which provider it is from (iss)")

    def _taken(self, state: str, sealed: str) -> Attempt:
        """The attempt that an answer belongs to; from here on it is used up."""
        attempt = self._opened(sealed)
        if attempt is None or not hmac.compare_digest(state.encode(), attempt.state.encode()):
            raise _no_answer("it was not begun in this browser, or before the node started")
        now = self._now()
        if not 0 <= now - attempt.begun < self._settings.sign_in_seconds:
            raise _no_answer(f"it took more than {self._settings.sign_in_seconds} seconds")
        mark = hashlib.sha256(attempt.state.encode()).digest()
        while self._used and next(iter(self._used.values())) <= now:
            self._used.popitem(last=False)
        if mark in self._used:
            raise _no_answer("this answer of the provider has been used before")
        self._used[mark] = now + self._settings.sign_in_seconds
        return attempt

    def _sealed(self, attempt: Attempt) -> str:
        nonce = new_key()[:NONCE_BYTES]
        return encode(nonce + self._seal.encrypt(nonce, json.dumps(asdict(attempt)).encode(), PURPOSE))

    def _opened(self, sealed: str) -> Attempt | None:
        try:
            data = decode(sealed, "cookie")
            return Attempt(**json.loads(self._seal.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], PURPOSE)))
        except (UnacceptableError, InvalidTag, ValueError):
            return None

    def _now(self) -> float:
        return self._clock.now().timestamp()

    async def close(self) -> None:
        for provider in self.providers.values():
            await provider.close()


def _no_answer(detail: str) -> Malformed:
    return Malformed("sign-in-failed", detail)


def _refused(detail: str) -> Forbidden:
    return Forbidden("sign-in-failed", detail)


async def admitted(people: People, arrival: Arrival) -> Person | Applicant:
    """The one person that this is at this node; an invitation is accepted by it. Whoever came to apply for another
    organisation is an applicant, and nobody else.

    Forbidden where there is none, and then the answer tells nothing of why; Conflict with the choices where there are several.
    """
    identity, wanted = arrival.identity, arrival.attempt.organisation
    if arrival.attempt.is_application:
        return Applicant(identity.name, identity.email)
    known = {each.organisation: each for each in people.signed_in(identity.issuer, identity.subject)}
    invited = {each.organisation: each for each in people.invited(identity.email) if each.organisation not in known}
    found = [each for each in (*known.values(), *invited.values()) if wanted in ("", each.organisation)]
    if not found:
        raise not_invited()
    if len(found) > 1:
        choices = [each.organisation for each in found]
        raise Conflict("sign-in-choice", "say which organisation: GET /signin with provider= and organisation=", members={"choices": choices})
    if found[0].organisation in known:
        return found[0]
    try:
        return await people.accept(found[0], identity.issuer, identity.subject, proof_of(identity))
    except (Conflict, Forbidden, Invalid, NotFound) as refusal:
        log.warning("an invitation was not accepted: %s", refusal)
        raise not_invited() from refusal


def not_invited() -> Forbidden:
    """The one answer to an identity that has no account here, whatever the reason."""
    return Forbidden("identity-not-invited")


def proof_of(identity: Identity) -> str:
    """How an identity was proven, for the register (UC-01.01): the method, how the person was authenticated, which token."""
    methods = f" ({' '.join(identity.methods)})" if identity.methods else ""
    return f"OpenID Connect{methods}, ID token sha-256 {identity.mark}"
