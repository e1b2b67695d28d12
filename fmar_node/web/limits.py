"""How many requests a caller may send, and how the node answers those beyond.

Rules kept here:
- a request is charged to who sent it: to the organisation and application of a credential once that holds, to the address
  otherwise, and a credential that does not hold too; so nobody uses up what is another's;
- who has nothing left, and was told so several times in this second, is refused before its proof is looked at, and told no
  figures: the token alone may be stolen;
- refusals for too much, of whatever kind, beyond the first few of a second are answered late, so that who sends the next request upon the answer to the
  last slows itself down; so many may wait at once, and beyond them connections are closed;
- a token request that is right is answered whatever was sent before, late where its client has nothing left;
- figures are a caller's own (RateLimit, draft-ietf-httpapi-ratelimit-headers-11).
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections.abc import MutableMapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fmar_node.allowance import Allowances, Purse
from fmar_node.errors import FmarError, TooMany
from fmar_node.node import Node
from fmar_node.settings import Settings
from fmar_node.web.lanes import Lanes
from fmar_node.web.problems import refusal

TOKEN = "/oauth/token"  # noqa: S105
UNLIMITED = frozenset({"/healthz", "/readyz"})
"""What a balancer asks, whoever else comes from its address."""
CODE = "rate-limited"
GOLDEN, ALMOST = 0.6180339887, 0.9999
MOST_ADDRESS = 64


@dataclass(frozen=True, slots=True)
class Account:
    """What a caller has: its organisation (`party`), and its application."""

    party: str
    name: str
    organisation: Purse
    application: Purse

    @property
    def is_empty(self) -> bool:
        return self.organisation.left < 1 or self.application.left < 1


class Limits:
    """What each caller has left."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.organisations = Allowances(settings.organisation_requests, settings.rate_seconds)
        self.applications = Allowances(settings.application_requests, settings.rate_seconds)
        self.addresses = Allowances(settings.anonymous_requests, settings.rate_seconds)
        self.refusals = Allowances(settings.refusals_at_once, 1.0)
        self.tokens = Allowances(settings.token_refusals, 60.0)
        window = max(1, round(settings.rate_seconds))
        told = {b"organisation": self.organisations.quota, b"application": self.applications.quota}
        self.policy = b", ".join(b'"%s";q=%d;w=%d' % (name, quota, window) for name, quota in told.items() if quota)

    def account(self, party: str, application: str) -> Account:
        """What an organisation and its application have now."""
        now = time.monotonic()
        return Account(party, application, self.organisations.purse(party, now), self.applications.purse(f"{party} {application}", now))

    def is_flood(self, account: Account) -> bool:
        """Whether this caller has nothing left, and was told so several times in this second."""
        return account.is_empty and self.refusals.left(account.party, time.monotonic()) < 1

    def has_plenty(self, account: Account) -> bool:
        """Whether more than half of its allowance is left."""
        return 2 * account.organisation.left > self.organisations.quota

    def charge(self, account: Account) -> None:
        """A request of a caller whose credential holds. TooMany where it has none left."""
        if account.organisation.left < 1:
            raise self._too_many("organisation", self.organisations, account.organisation)
        if account.application.left < 1:
            raise self._too_many("application", self.applications, account.application)
        account.organisation.left -= 1
        account.application.left -= 1

    def owes(self, account: Account) -> bool:
        """Charges a request that is answered in any case, such as for a token; whether there was nothing left for it."""
        is_empty = account.is_empty
        account.organisation.left -= 1
        account.application.left -= 1
        return is_empty

    def take(self, address: str) -> TooMany | None:
        """A request without a credential: None, or why it is refused."""
        now = time.monotonic()
        if self.addresses.take(address, 1, now):
            return None
        return self._too_many("address", self.addresses, self.addresses.purse(address, now))

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

    def told(self, account: Account) -> list[tuple[bytes, bytes]]:
        """The headers that tell a caller its own figures."""
        if not self.policy:
            return []
        left: list[bytes] = []
        if quota := self.organisations.quota:
            rest = account.organisation.left
            left.append(b'"organisation";r=%d;t=%d' % (max(0.0, rest), (quota - rest) / self.organisations.rate + ALMOST))
        if quota := self.applications.quota:
            rest = account.application.left
            left.append(b'"application";r=%d;t=%d' % (max(0.0, rest), (quota - rest) / self.applications.rate + ALMOST))
        return [(b"ratelimit-policy", self.policy), (b"ratelimit", b", ".join(left))]

    def unproved(self) -> TooMany:
        """What a caller is told of whom nothing is proved but that it has a token of somebody who has none left."""
        return TooMany(CODE, "this caller has sent more requests than the node takes", headers={"Retry-After": "1"})

    def _too_many(self, policy: str, allowances: Allowances, purse: Purse) -> TooMany:
        seconds = (1 - purse.left) / allowances.rate
        setting = "anonymous" if policy == "address" else policy
        detail = f"this {policy} may send {allowances.quota:g} requests in {allowances.seconds:g} seconds ({setting}_requests)"
        return TooMany(CODE, detail, members={"violated-policies": [policy]}, headers={"Retry-After": str(max(1, math.ceil(seconds)))})


class Limited:
    """ASGI middleware: refuses what is too much before anything is done for it, tells callers what is left, answers floods late."""

    def __init__(self, app: ASGIApp, node: Node, limits: Limits, lanes: Lanes) -> None:
        self.app, self.node, self.limits, self.lanes = app, node, limits, lanes
        self.waiting = 0
        """Refusals that are kept waiting now."""
        self.turns = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNLIMITED:
            await self.app(scope, receive, send)
            return
        state, given = scope["state"], [value for name, value in scope["headers"] if name == b"authorization"]
        known = self.node.verifier.recall(given[0]) if len(given) == 1 else None
        account = state["claimed"] = self.limits.account(known.acting, known.client_id) if known else None
        state["has_credential"] = bool(given)
        refused = self._refused(scope, account)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._answer(scope, message)
            await send(message)

        if refused:
            state["refused"] = refused
            await refusal(refused, self.node.settings.base_url, scope["path"])(scope, receive, answer)
            return
        who = account.party if account else address_of(HTTPConnection(scope))
        number = await self.lanes.enter(who, account is None or self.limits.has_plenty(account))
        state["gives_way"] = not self.lanes.is_first(number)
        with ExitStack() as lane:
            lane.callback(self.lanes.leave, who, number)
            state["rest"] = lane.close
            await self.app(scope, receive, answer)

    def _refused(self, scope: Scope, account: Account | None) -> TooMany | None:
        """Why a request is refused before anybody looks at it; `account` is of whose token it has, where that is known."""
        if not scope["state"]["has_credential"]:
            return self.limits.take(address_of(HTTPConnection(scope))) if scope["path"] != TOKEN else None
        if account is None or not self.limits.is_flood(account):
            return None
        scope["state"]["flooder"] = account.party
        return self.limits.unproved()

    async def _answer(self, scope: Scope, message: Message) -> None:
        """What is left, for a caller who is known; and for who sends too much, not yet."""
        state = scope["state"]
        if state.get("gives_way"):
            await self.lanes.step()
        account: Account | None = state.get("account")
        refused = state.get("refused")
        if account:
            message["headers"] += self.limits.told(account)
            if not refused and not state.get("is_over"):
                return
        is_flood = state.get("is_over", False) or isinstance(refused, TooMany)
        if not account and not is_flood and (state["has_credential"] or (refused and scope["path"] == TOKEN)):
            is_flood = self.limits.punish(address_of(HTTPConnection(scope)))
        if is_flood:
            key = account.party if account else state.get("flooder") or address_of(HTTPConnection(scope))
            if not self.limits.refusals.take(key, 1, time.monotonic()):
                await self._wait(state, message)

    async def _wait(self, state: MutableMapping[str, Any], message: Message) -> None:
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


def nameless(request: HTTPConnection) -> str:
    """Under what somebody counts who gives no credential."""
    return f"address {address_of(request)}"


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
