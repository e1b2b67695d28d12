"""What an operator watches: the access log, the security log, and headers that every answer has.

Rules kept here: neither logs nor metrics hold a personal value: requests are counted and logged by route, not by
path, and organisations by id; every answer names the request as the log does; a flood of refusals is a line a second.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fmar_node.identity import new_token
from fmar_node.logs import tell
from fmar_node.security_log import SecurityLog
from fmar_node.web.metrics import CREDENTIAL_CODES, Measures, reason_of
from fmar_node.web.noted import Noted

HARDENING = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; frame-ancestors 'none'"),
)
LASTING = (b"strict-transport-security", b"max-age=31536000")
"""Of a node that is reached by https: browsers do not go there without it (RFC 6797)."""
GIVEN = re.compile(rb"[0-9a-fA-F-]{16,64}")
"""A request id that a proxy may give: hexadecimal, so that nothing personal comes into the log by it."""
DIGITS = re.compile(rb"[0-9]+")


class Watch:
    """ASGI middleware: one log line and one count per request, its id and security headers on every answer."""

    def __init__(self, app: ASGIApp, measures: Measures, security: SecurityLog, floods: Floods, is_listed: Callable[[str], bool], *, is_https: bool) -> None:
        self.app, self.measures, self.log, self.is_listed = app, measures, logging.getLogger("fmar.web"), is_listed
        self.security, self.floods = security, floods
        self.hardening = (*HARDENING, LASTING) if is_https else HARDENING

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, size = time.perf_counter(), 0, 0
        request_id = request_id_of(scope, self.is_listed)
        state = scope.setdefault("state", {})
        state["request_id"], state["noted"] = request_id, Noted()

        async def watched(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name for name, _ in message["headers"]}
                hardening = [each for each in self.hardening if each[0] not in given]
                message["headers"] = [*message["headers"], *hardening, (b"fmar-request-id", request_id.encode())]
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            self._count(scope, status or 500, time.perf_counter() - started, size)

    def _count(self, scope: Scope, status: int, seconds: float, size: int) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        state = scope["state"]
        method = scope["method"] if len(scope["method"]) < 10 and scope["method"].isalpha() else "other"
        self.measures.answered(route, method, status)
        refused, caller = state.get("refused"), state.get("caller")
        if refused:
            self.measures.refused(refused)
        if refused and state.get("is_late"):
            self.floods.add(caller.party if caller else state.get("flooder", ""), caller.application if caller else "", refused.code)
            return
        self.measures.took(route, seconds)
        tell(
            self.log,
            "request",
            request=state["request_id"],
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
            organisation=caller.organisation if caller else "",
            application=caller.application if caller else "",
            refused=refused.code if refused else "",
        )
        noted: Noted = state["noted"]
        if noted.event or (refused and route != "unknown"):
            known = {"request": state["request_id"], "method": method, "route": route}
            if refused and refused.code in CREDENTIAL_CODES:
                known["reason"] = reason_of(refused)
            self.security.add(noted.event or "refused", {**known, **noted.as_line(caller, refused, status, size)})


class Floods:
    """Refusals that were answered late, by who sent them: one line a second in each log, however many they are."""

    def __init__(self, security: SecurityLog) -> None:
        self.security, self.log = security, logging.getLogger("fmar.web")
        self.counts: Counter[tuple[str, str, str]] = Counter()

    def add(self, organisation: str, application: str, code: str) -> None:
        """Another one; the second begins with the first."""
        if not self.counts:
            asyncio.get_running_loop().call_later(1.0, self.tell)
        self.counts[organisation, application, code] += 1

    def tell(self) -> None:
        """Writes what has been counted."""
        for (organisation, application, code), count in self.counts.items():
            tell(self.log, "requests refused", organisation=organisation, application=application, refused=code, count=count)
            who = {"organisation": organisation, "application": application} if organisation else {}
            self.security.add("refused", {"outcome": "refused", **who, "code": code, "count": count})
        self.counts.clear()


def request_id_of(scope: Scope, is_listed: Callable[[str], bool]) -> str:
    """The id that a listed proxy gave in X-Request-Id where it is one, otherwise a new one."""
    peer = (scope.get("client") or ("",))[0]
    given = [value for name, value in scope["headers"] if name == b"x-request-id"] if is_listed(peer) else []
    if len(given) == 1 and GIVEN.fullmatch(given[0]) and not DIGITS.fullmatch(given[0]):
        return bytes(given[0]).decode("ascii").lower()
    return new_token()
