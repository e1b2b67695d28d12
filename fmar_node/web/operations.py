"""What an operator watches: liveness, readiness, metrics, the access log.

Rules kept here: neither log nor metrics hold a personal value: requests are counted and logged by route, not by
path, and organisations by id.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from fmar_node.node import Node
from fmar_node.representation import JSON, json_bytes
from fmar_node.web.records import exchange_of

HARDENING = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"),
)
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def healthz(_: Request) -> Response:
    """The web process answers."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """Whether the node can do everything it is for; 503 with what is missing."""
    node = exchange_of(request).node
    parts = readiness(node)
    status = 200 if all(parts.values()) else 503
    return Response(json_bytes({"ready": status == 200, **parts}), status, {"Cache-Control": "no-store"}, JSON)


def readiness(node: Node) -> dict[str, bool]:
    """Part by part; `sandbox` tells whether query workers are cut off from the network."""
    state = node.queries.status()
    return {
        "started": node.is_ready,
        "writer": node.writer.is_ready,
        "judges": node.judges.count > 0,
        "queries": state.workers > 0,
        "graph": node.is_ready and state.index >= max(node.level_at, node.register.size() - 1 - node.settings.projector_backlog),
        "sandbox": state.is_locked or not node.settings.require_sandbox,
    }


class Measures:
    """The node's metrics, in a registry of their own."""

    def __init__(self, node: Node) -> None:
        self.node, self.registry = node, CollectorRegistry()
        self.requests = Counter("fmar_requests", "Requests answered", ["route", "method", "status"], registry=self.registry)
        self.seconds = Histogram("fmar_request_seconds", "Time to answer", ["route"], registry=self.registry)
        self.refusals = Counter("fmar_refusals", "Refusals by problem code", ["code"], registry=self.registry)
        self.journal = Gauge("fmar_journal_entries", "Entries in the journal", registry=self.registry)
        self.graph = Gauge("fmar_graph_index", "Newest journal index that queries see", registry=self.registry)
        self.records = Gauge("fmar_records", "Records by kind and state", ["kind", "state"], registry=self.registry)
        self.workers = Gauge("fmar_query_workers", "Query workers running", registry=self.registry)
        self.waiting = Gauge("fmar_queries_waiting", "Queries waiting for a worker", registry=self.registry)
        self.queries = Gauge("fmar_queries", "Queries since the start, by outcome", ["outcome"], registry=self.registry)

    def text(self) -> bytes:
        state = self.node.queries.status()
        self.journal.set(self.node.register.size())
        self.graph.set(state.index)
        self.workers.set(state.workers)
        self.waiting.set(state.waiting)
        for outcome, count in state.outcomes.items():
            self.queries.labels(outcome).set(count)
        for (kind, status), count in self.node.register.counts().items():
            self.records.labels(kind, status).set(count)
        return generate_latest(self.registry)


async def metrics(request: Request) -> Response:
    """Prometheus text format."""
    return Response(request.app.state.measures.text(), media_type="text/plain; version=0.0.4")


class Watch:
    """ASGI middleware: one log line and one count per request, security headers on every answer."""

    def __init__(self, app: App, measures: Measures) -> None:
        self.app, self.measures, self.log = app, measures, structlog.get_logger("fmar.web")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *HARDENING]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            self._count(scope, status or 500, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        state = scope.get("state", {})
        method = scope["method"] if len(scope["method"]) < 10 and scope["method"].isalpha() else "other"
        self.measures.requests.labels(route, method, str(status)).inc()
        self.measures.seconds.labels(route).observe(seconds)
        refused = state.get("refused")
        if refused:
            self.measures.refusals.labels(refused).inc()
        caller = state.get("caller")
        self.log.info(
            "request",
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
            organisation=caller.organisation if caller else "",
            application=caller.application if caller else "",
            refused=refused or "",
        )
