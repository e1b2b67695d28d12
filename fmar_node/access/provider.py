"""An identity provider as it describes itself: endpoints and keys, fetched within bounds and kept for a while.

Rules kept here:
- it is asked at `{issuer}/.well-known/openid-configuration` only (OpenID Connect Discovery 1.0, section 4), and what it answers
  names that very issuer; nothing that a person's browser or a token brings is ever fetched;
- every endpoint is https, or http on loopback where the configured issuer is; no redirect is followed;
- an answer has a size and a deadline; documents are fetched by one request at a time, keys for an unknown `kid` at most once
  in `provider_refresh_seconds`, so that nobody can make this node flood a provider;
- where the provider gives no usable answer nobody signs in, and the log has the reason; secrets and codes are in no message.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

import httpx

from fmar_node.access.id_token import ProviderKey, provider_keys, read_id_token, the_key
from fmar_node.access.jose import Compact, UnacceptableError, json_object
from fmar_node.clock import Clock
from fmar_node.errors import Unavailable
from fmar_node.settings import IdentityProvider, Settings, is_loopback, is_safe_url

WELL_KNOWN = "/.well-known/openid-configuration"
PAUSE = 2.0
"""Seconds for which a provider that gave no usable answer is not asked again: who waited for the same answer does not wait in turn."""
WORD = re.compile(r"[a-z_]{1,40}")
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
log = logging.getLogger("fmar.signin")


class RefusedError(Exception):
    """The provider refused the code: nothing is wrong with the provider."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a provider says of itself, as far as it is of use here."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    names_itself: bool
    """Its answers carry `iss` (RFC 9207)."""
    takes_basic: bool


@dataclass(slots=True)
class _Kept:
    """What was fetched, and when."""

    description: Description | None = None
    described: float = 0.0
    keys: tuple[ProviderKey, ...] | None = None
    keyed: float = 0.0
    failed: float = -PAUSE
    failure: str = ""


class Provider:
    """One configured provider. `secret` is what it gave this node, empty for a public client."""

    def __init__(self, given: IdentityProvider, secret: str, settings: Settings, clock: Clock) -> None:
        self.given, self.has_secret = given, bool(secret)
        self._secret, self._settings, self._clock = secret, settings, clock
        self._is_local = urlsplit(given.issuer).scheme == "http"
        self._kept, self._lock = _Kept(), asyncio.Lock()
        self._client: httpx.AsyncClient | None = None

    @property
    def name(self) -> str:
        return self.given.name

    async def description(self) -> Description:
        """Its discovery document. Unavailable where there is no usable one."""
        async with self._lock:
            return await self._described()

    async def _described(self) -> Description:
        now, kept = self._now(), self._kept
        if kept.description is None or not 0 <= now - kept.described < self._settings.provider_cache_seconds:
            document = await self._get(self.given.issuer.removesuffix("/") + WELL_KNOWN)
            kept.description, kept.described = self._read(document), now
        return kept.description

    def _read(self, document: Mapping[str, Any]) -> Description:
        if document.get("issuer") != self.given.issuer:
            self._give_up("its discovery document names another issuer than the configured one")
        found = {name: document.get(name) for name in ENDPOINTS}
        for name, url in found.items():
            if not isinstance(url, str) or not is_safe_url(url, may_be_loopback=self._is_local):
                self._give_up(f"its {name} is not a URL that may be used: https, without user and fragment")
        if "S256" not in self._listed(document, "code_challenge_methods_supported", "S256"):
            self._give_up("it does not take PKCE with S256")
        return Description(
            **{name: str(url) for name, url in found.items()},
            names_itself=document.get("authorization_response_iss_parameter_supported") is True,
            takes_basic="client_secret_basic" in self._listed(document, "token_endpoint_auth_methods_supported", "client_secret_basic"),
        )

    def _listed(self, document: Mapping[str, Any], name: str, otherwise: str) -> list[Any]:
        """A member that is a list; what its absence means where there is none."""
        found = document.get(name, [otherwise])
        if not isinstance(found, list):
            self._give_up(f"its {name} is not a list")
        return found

    async def key_of(self, id_token: Compact) -> ProviderKey:
        """The provider's key that can have signed. UnacceptableError where it has no such key, Unavailable where it does not answer."""
        async with self._lock:
            known = self._kept.keys and the_key(self._kept.keys, id_token)
            age, settings = self._now() - self._kept.keyed, self._settings
            good_for = settings.provider_cache_seconds if known else settings.provider_refresh_seconds
            if self._kept.keys is None or not 0 <= age < good_for:
                await self._fetch_keys()
            found = the_key(self._kept.keys or (), id_token)
        if found is None:
            raise UnacceptableError("is not signed with a key that the provider publishes")
        return found

    async def _fetch_keys(self) -> None:
        document = await self._get((await self._described()).jwks_uri)
        try:
            self._kept.keys, self._kept.keyed = provider_keys(document), self._now()
        except UnacceptableError as error:
            self._give_up(f"what is at its jwks_uri {error}")

    async def redeem(self, code: str, verifier: str, redirect_uri: str) -> Compact:
        """The ID token for a code (RFC 6749, section 4.1.3; RFC 7636, section 4.5), not yet checked.

        RefusedError where the provider refuses, UnacceptableError where what it gives is no ID token.
        """
        description = await self.description()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}
        basic: tuple[str, str] | None = None
        if self._secret and description.takes_basic:
            basic = (quote(self.given.client_id, safe=""), quote(self._secret, safe=""))  # RFC 6749, section 2.3.1
        else:
            form |= {"client_id": self.given.client_id} | ({"client_secret": self._secret} if self._secret else {})
        status, body = await self._ask("POST", description.token_endpoint, data=form, auth=basic)
        if status in (400, 401):
            self._refused(body)
        given = self._object(status, body, "its token endpoint")
        if not isinstance(given.get("id_token"), str):
            raise UnacceptableError("is missing in the answer of the provider")
        return read_id_token(given["id_token"])

    def _refused(self, body: bytes) -> NoReturn:
        """A code that is not good is the person's matter, everything else the operator's."""
        try:
            word = json_object(body, "answer").get("error")
        except UnacceptableError:
            word = None
        if word == "invalid_grant":
            raise RefusedError
        said = word if isinstance(word, str) and WORD.fullmatch(word) else "no word that is known"
        self._give_up(f"its token endpoint refuses this node: {said}")

    async def _get(self, url: str) -> dict[str, Any]:
        if 0 <= self._now() - self._kept.failed < PAUSE:
            self._give_up(self._kept.failure)
        try:
            status, body = await self._ask("GET", url)
        except Unavailable as error:
            self._kept.failed, self._kept.failure = self._now(), error.detail.removeprefix(f"{self.name}: ")
            raise
        return self._object(status, body, urlsplit(url).path)

    def _object(self, status: int, body: bytes, what: str) -> dict[str, Any]:
        if status != 200:
            self._give_up(f"{what} answers with status {status}")
        try:
            return json_object(body, "answer")
        except UnacceptableError as error:
            self._give_up(f"{what} {error}")

    async def _ask(self, method: str, url: str, **given: Any) -> tuple[int, bytes]:
        most, body = self._settings.provider_bytes, bytearray()
        if self._client is None:
            is_near = is_loopback(urlsplit(self.given.issuer).hostname or "")  # never reached through a proxy
            self._client = httpx.AsyncClient(verify=_trusted(), trust_env=not is_near, follow_redirects=False)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            async with asyncio.timeout(self._settings.provider_seconds), self._client.stream(method, url, headers=headers, **given) as response:
                if response.headers.get("content-encoding", "identity") != "identity":
                    self._give_up(f"{urlsplit(url).path} answers compressed, which was not asked for")
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > most:
                        self._give_up(f"{urlsplit(url).path} answers with more than {most} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            self._give_up(f"{urlsplit(url).path} cannot be reached: {type(error).__name__}")
        return response.status_code, bytes(body)

    def _give_up(self, reason: str) -> NoReturn:
        log.warning("the identity provider %s gave no usable answer: %s", self.name, reason)
        raise Unavailable("identity-provider-unavailable", f"{self.name}: {reason}", headers={"Retry-After": "30"})

    def _now(self) -> float:
        return self._clock.now().timestamp()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()


@functools.cache
def _trusted() -> ssl.SSLContext:
    """The certificates that SSL_CERT_FILE or httpx brings; reading them takes longer than asking."""
    return httpx.create_ssl_context()
