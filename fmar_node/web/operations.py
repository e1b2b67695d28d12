"""What an operator watches: the access log, and headers that every answer has.

Rules kept here: neither log nor metrics hold a personal value: requests are counted and logged by route, not by
path, and organisations by id; every answer names the request as the log does.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fmar_node.identity import new_token
from fmar_node.logs import said
from fmar_node.web.metrics import Measures

HARDENING = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"),
)
GIVEN = re.compile(rb"[0-9a-fA-F-]{16,64}")
"""A request id that a proxy may give: hexadecimal, so that nothing personal comes into the log by it."""
DIGITS = re.compile(rb"[0-9]+")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Watch:
    """ASGI middleware: one log line and one count per request, its id and security headers on every answer."""

    def __init__(self, app: App, measures: Measures) -> None:
        self.app, self.measures, self.log = app, measures, logging.getLogger("fmar.web")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        request_id = request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *HARDENING, (b"fmar-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            self._count(scope, status or 500, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        state = scope["state"]
        method = scope["method"] if len(scope["method"]) < 10 and scope["method"].isalpha() else "other"
        self.measures.requests.labels(route, method, str(status)).inc()
        self.measures.seconds.labels(route).observe(seconds)
        refused, caller = state.get("refused"), state.get("caller")
        if refused:
            self.measures.refused(refused)
        self.log.info(
            "request",
            extra=said(
                request=state["request_id"],
                method=method,
                route=route,
                status=status,
                ms=round(seconds * 1000, 1),
                organisation=caller.organisation if caller else "",
                application=caller.application if caller else "",
                refused=refused.code if refused else "",
            ),
        )


def request_id_of(scope: Scope) -> str:
    """The id that a proxy gave in X-Request-Id where it is one, otherwise a new one."""
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if len(given) == 1 and GIVEN.fullmatch(given[0]) and not DIGITS.fullmatch(given[0]):
        return bytes(given[0]).decode("ascii").lower()
    return new_token()
