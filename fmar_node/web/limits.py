"""How many requests a caller may send, and how the node answers those beyond.

Rules kept here:
- a request is charged to who sent it: to the organisation and application of a credential once that holds, to the address
  otherwise, and a credential that does not hold too; so nobody uses up what is another's;
- who has nothing left, and was told so several times in this second, is refused before its proof is looked at, and told no
  figures: the token alone may be stolen;
- refusals beyond the first few of a second are answered late, so that who sends the next request upon the answer to the
  last slows itself down; so many may wait at once, and beyond them connections are closed;
- a token request that is right is answered whatever was sent before, late where its client has nothing left;
- figures are a caller's own (RateLimit, draft-ietf-httpapi-ratelimit-headers-11).
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import HTTPConnection

from fmar_node.access.caller import Caller
from fmar_node.access.credential import Credential
from fmar_node.allowance import Allowances
from fmar_node.errors import FmarError, TooMany
from fmar_node.node import Node
from fmar_node.settings import Settings
from fmar_node.web.lanes import Lanes
from fmar_node.web.problems import refusal

TOKEN = "/oauth/token"  # noqa: S105
UNLIMITED = frozenset({"/healthz", "/readyz"})
"""What a balancer asks, whoever else comes from its address."""
CODE = "rate-limited"
GOLDEN = 0.6180339887
MOST_ADDRESS = 64
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Limits:
    """What each caller has left."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.organisations = Allowances(settings.organisation_requests, settings.rate_seconds)
        self.applications = Allowances(settings.application_requests, settings.rate_seconds)
        self.addresses = Allowances(settings.anonymous_requests, settings.rate_seconds)
        self.refusals = Allowances(settings.refusals_at_once, 1.0)
        self.tokens = Allowances(settings.token_refusals, 60.0)
        self.policies = [(name, each) for name, each in (("organisation", self.organisations), ("application", self.applications)) if each.quota]
        window = max(1, round(settings.rate_seconds))
        self.policy = ", ".join(f'"{name}";q={each.quota:g};w={window}' for name, each in self.policies).encode("ascii")

    def is_flood(self, sender: str, application: str) -> bool:
        """Whether this caller has nothing left, and was told so several times in this second."""
        now = time.monotonic()
        if self.refusals.left(sender, now) >= 1:
            return False
        return self.organisations.left(sender, now) < 1 or self.applications.left(f"{sender} {application}", now) < 1

    def has_plenty(self, sender: str) -> bool:
        """Whether more than half of its allowance is left."""
        return 2 * self.organisations.left(sender, time.monotonic()) > self.organisations.quota

    def charge(self, caller: Caller) -> None:
        """A request of a caller whose credential holds. TooMany where it has none left."""
        now, application = time.monotonic(), f"{caller.party} {caller.application}"
        if self.organisations.left(caller.party, now) < 1:
            raise self._too_many("organisation", self.organisations, self.organisations.wait(caller.party, 1, now))
        if not self.applications.take(application, 1, now):
            raise self._too_many("application", self.applications, self.applications.wait(application, 1, now))
        self.organisations.charge(caller.party, 1, now)

    def owes(self, caller: Caller) -> bool:
        """Charges a request that is answered in any case, such as for a token; whether there was nothing left for it."""
        try:
            self.charge(caller)
        except TooMany:
            return True
        return False

    def take(self, address: str) -> TooMany | None:
        """A request without a credential: None, or why it is refused."""
        now = time.monotonic()
        if self.addresses.take(address, 1, now):
            return None
        return self._too_many("address", self.addresses, self.addresses.wait(address, 1, now))

    def punish(self, address: str) -> bool:
        """Charges an address with a request that came with a credential and was nobody's; whether it had none left."""
        now = time.monotonic()
        return not self.addresses.take(address, 1, now)

    def refused_token(self, client_id: str, address: str, error: FmarError) -> FmarError:
        """The refusal of a token request, or in its place TooMany where there were too many like it. A valid request never comes here."""
        now = time.monotonic()
        keys = [f"address {address}", *([f"client {client_id}"] if client_id else [])]
        short = [key for key in keys if not self.tokens.take(key, 1, now)]
        if not short:
            return error
        seconds = math.ceil(max(self.tokens.wait(key, 1, now) for key in short))
        detail = (
            f"more than {self.settings.token_refusals} token requests in a minute were refused under this client_id or from this address "
            "(token_refusals); a request that is right is answered all the same"
        )
        return TooMany(CODE, detail, members={"error": "slow_down"}, headers={"Retry-After": str(max(1, seconds))})

    def told(self, caller: Caller) -> list[tuple[bytes, bytes]]:
        """The headers that tell a caller its own figures."""
        if not self.policies:
            return []
        now, left = time.monotonic(), []
        for name, allowances in self.policies:
            rest = allowances.left(caller.party if name == "organisation" else f"{caller.party} {caller.application}", now)
            left.append(f'"{name}";r={max(0, int(rest))};t={math.ceil((allowances.quota - rest) * allowances.seconds / allowances.quota)}')
        return [(b"ratelimit-policy", self.policy), (b"ratelimit", ", ".join(left).encode("ascii"))]

    def unproved(self) -> TooMany:
        """What a caller is told of whom nothing is proved but that it has a token of somebody who has none left."""
        return TooMany(CODE, "this caller has sent more requests than the node takes", headers={"Retry-After": "1", "RateLimit-Policy": self.policy.decode()})

    def _too_many(self, policy: str, allowances: Allowances, seconds: float) -> TooMany:
        setting = "anonymous" if policy == "address" else policy
        detail = f"this {policy} may send {allowances.quota:g} requests in {allowances.seconds:g} seconds ({setting}_requests)"
        return TooMany(CODE, detail, members={"violated-policies": [policy]}, headers={"Retry-After": str(max(1, math.ceil(seconds)))})


class Limited:
    """ASGI middleware: refuses what is too much before anything is done for it, tells callers what is left, answers floods late."""

    def __init__(self, app: App, node: Node, limits: Limits, lanes: Lanes) -> None:
        self.app, self.node, self.limits, self.lanes = app, node, limits, lanes
        self.waiting = 0
        """Refusals that are kept waiting now."""
        self.turns = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNLIMITED:
            await self.app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        known = self.node.verifier.recall(given[0].decode("latin-1")) if len(given) == 1 else None
        refused = self._refused(scope, bool(given), known)

        async def answer(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                await self._answer(scope, bool(given), message)
            await send(message)

        if refused:
            scope["state"]["refused"] = refused
            await refusal(refused, self.node.settings.base_url, scope["path"])(scope, receive, answer)
            return
        who = known.acting if known else address_of(HTTPConnection(scope))
        number = await self.lanes.enter(who, known is None or self.limits.has_plenty(who))
        scope["state"]["gives_way"] = not self.lanes.is_first(number)
        try:
            await self.app(scope, receive, answer)
        finally:
            self.lanes.leave(who, number)

    def _refused(self, scope: Scope, has_credential: bool, known: Credential | None) -> TooMany | None:
        """Why a request is refused before anybody looks at it; `known` is whose token it has, where that is known."""
        if not has_credential:
            return self.limits.take(address_of(HTTPConnection(scope))) if scope["path"] != TOKEN else None
        if known is None or not self.limits.is_flood(known.acting, known.client_id):
            return None
        scope["state"]["flooder"] = known.acting
        return self.limits.unproved()

    async def _answer(self, scope: Scope, has_credential: bool, message: MutableMapping[str, Any]) -> None:
        """What is left, for a caller who is known; and for who sends too much, not yet."""
        state = scope["state"]
        if state.get("gives_way"):
            await self.lanes.step()
        caller: Caller | None = state.get("caller")
        is_known = caller is not None and not caller.is_anonymous
        if caller and is_known:
            message["headers"] = [*message["headers"], *self.limits.told(caller)]
        refused = state.get("refused")
        is_flood = state.get("is_over", False) or (refused is not None and refused.code == CODE)
        if not is_known and not is_flood and (has_credential or (refused and scope["path"] == TOKEN)):
            is_flood = self.limits.punish(address_of(HTTPConnection(scope)))
        if is_flood:
            key = caller.party if caller and is_known else state.get("flooder") or address_of(HTTPConnection(scope))
            if not self.limits.refusals.take(key, 1, time.monotonic()):
                await self._wait(state, message)

    async def _wait(self, state: MutableMapping[str, Any], message: MutableMapping[str, Any]) -> None:
        state["is_late"] = True
        if self.waiting >= self.limits.settings.refusals_waiting:
            message["headers"] = [*message["headers"], (b"connection", b"close")]
            return
        self.waiting += 1
        self.turns += 1
        spread = 0.75 + self.turns * GOLDEN % 0.5  # who was refused together does not come again together
        try:
            await asyncio.sleep(self.limits.settings.refusal_seconds * spread)
        finally:
            self.waiting -= 1


def address_of(request: HTTPConnection) -> str:
    """The client's address; of IPv6 the network of 64 bits, which is one customer's."""
    host = _host(request)
    if ":" not in host:
        return host
    try:
        return str(ipaddress.ip_network((host.partition("%")[0], 64), strict=False).network_address)
    except ValueError:
        return host


def _host(request: HTTPConnection) -> str:
    """The peer; where that is a listed proxy, the last that it and other listed ones have passed on (X-Forwarded-For) and is none of them."""
    host = request.client.host if request.client else ""
    if "app" not in request.scope:
        return host
    is_listed = request.app.state.node.certificates.is_listed
    passed_on = [each.strip() for line in request.headers.getlist("x-forwarded-for") for each in line.split(",")]
    while is_listed(host) and passed_on:
        host = passed_on.pop()
    return host[:MOST_ADDRESS]
