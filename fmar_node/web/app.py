"""The HTTP face of a node: every route, and how refusals leave."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from fmar_node import __version__, errors
from fmar_node.certificate import Tls
from fmar_node.errors import FmarError
from fmar_node.kinds import KINDS, Kind
from fmar_node.logs import said
from fmar_node.node import Node
from fmar_node.representation import RDF_FORMATS, serialise_triples
from fmar_node.web import (
    batch,
    consents,
    credentials,
    documentation,
    events,
    export,
    jobs,
    journal,
    lookup,
    operations,
    quality,
    queries,
    readiness,
    records,
    releases,
    security,
    signin,
    sparql,
    subscriptions,
    template,
    words,
    workbench,
)
from fmar_node.web.compression import Compressed
from fmar_node.web.contract import taken_at
from fmar_node.web.description import catalogue
from fmar_node.web.lanes import Lanes
from fmar_node.web.limits import Limited, Limits
from fmar_node.web.metrics import Measures, metrics
from fmar_node.web.pages import start_page
from fmar_node.web.problems import refusal
from fmar_node.web.throttle import Throttle
from fmar_node.web.whole import Whole

log = logging.getLogger("fmar.web")
EXPOSED = ["ETag", "Link", "Location", "Retry-After", "Fmar-Journal-Index", "Fmar-Hint", "Fmar-Request-Id", "WWW-Authenticate", "DPoP-Nonce"]
EXPOSED += ["RateLimit", "RateLimit-Policy", events.BEHIND, subscriptions.SECRET, "Fmar-Quality", "Fmar-Claim-Code", "Idempotent-Replayed", "Allow", "Accept-Patch"]
Way = tuple[str, Any, str]
"""A path, what answers there, and to which method."""
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "QUERY", "OPTIONS"]


ROOMS: dict[str, type[records.Records]] = {"subscriptions": subscriptions.Subscriptions}
"""Of the kinds whose records have more to them than every record has."""


class RecordId(Convertor[str]):
    """A UUID in lower case and nothing else: `lookup` and its like are never taken for a record."""

    regex = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class Count(Convertor[int]):
    """A number that is no longer than a number can be."""

    regex = "[0-9]{1,15}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


class Plain(Route):
    """A route without FastAPI's work on arguments, which costs a point lookup a twentieth; it tells the log which one it is."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        return match, found and {**found, "route": self}


register_url_convertor("record", RecordId())
register_url_convertor("count", Count())


def create_app(node: Node, tls: Tls | None = None) -> FastAPI:
    """The ASGI application of a node; starting and stopping it starts and stops the node."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        await node.start()
        app.state.jobs.queue.start(app)
        yield
        floods.tell()
        await app.state.jobs.queue.close()
        await node.close()

    app = FastAPI(
        title=node.settings.node_name, version=__version__, lifespan=life, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.state.node = node
    app.state.measures = Measures(node, tls)
    app.state.throttle = Throttle(node.settings)
    app.state.failures = signin.Failures(node.settings)
    app.state.limits, app.state.lanes = Limits(node.settings), Lanes()
    floods = operations.Floods(node.security)

    def refuse(error: FmarError, scope: Scope) -> Response:
        scope["state"]["refused"] = error
        return refusal(error, node.settings.base_url, scope["path"])

    _add_routes(app)
    app.add_exception_handler(FmarError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(ClientDisconnect, _leave)
    app.add_exception_handler(Exception, _break)
    app.add_middleware(Limited, node=node, limits=app.state.limits, lanes=app.state.lanes)
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=METHODS, allow_headers=["*"], expose_headers=EXPOSED, max_age=600)
    app.add_middleware(Compressed)
    app.add_middleware(Whole, refuse=refuse)
    app.add_middleware(operations.Watch, measures=app.state.measures, security=node.security, floods=floods, is_listed=node.certificates.is_listed, is_https=node.settings.base_url.startswith("https:"))
    documentation.describe(app)
    return app


def _add_routes(app: FastAPI) -> None:
    def add(path: str, endpoint: Any, method: str) -> None:
        """A route that answers, as plain as can be; FastAPI sees it when it is to be described."""
        app.router.routes.append(Plain(path, endpoint, methods=[method], include_in_schema=False))
        app.state.ways.append((path, endpoint, method))

    app.state.ways = list[Way]()
    for path, endpoint, method in FIRST:
        add(path, endpoint, method)
    running: set[tuple[str, str]] = set()
    for kind in KINDS.values():
        room = ROOMS.get(kind.plural, records.Records)(kind, running)
        if kind.plural == "assets":
            app.state.jobs = jobs.JobRoom(app.state.node, room)
            add("/assets/batch", batch.batch_of(room, app.state.jobs), "POST")
            add("/assets/{id:record}/provenance", room.provenance, "GET")
        if kind.plural == "switches":
            add("/switches/batch", batch.batch_of(room), "POST")
        for path, endpoint, method in _of_records(kind, room):
            add(path, endpoint, method)
    app.router.add_route("/sparql", sparql.endpoint, methods=["QUERY"], include_in_schema=False)
    for path, endpoint, method in (*app.state.jobs.routes, *signin.ROUTES, *OTHERS):
        add(path, endpoint, method)
    app.router.routes.append(Plain("/yasgui/{version}/{name}", workbench.file, include_in_schema=False))


def _of_records(kind: Kind, room: records.Records) -> Iterator[Way]:
    """What there is for the records of a kind."""
    many, one = f"/{kind.plural}", f"/{kind.plural}/{{id:record}}"
    yield many, queries.listed if kind.plural == "queries" else room.list, "GET"
    if not kind.actions["register"].is_nodes_own:
        yield many, room.register, "POST"
    yield one, room.read, "GET"
    if "update" in kind.actions:
        yield one, room.replace, "PUT"
        yield one, room.patch, "PATCH"
    yield f"{one}/versions", room.versions, "GET"
    yield f"{one}/versions/{{number:count}}", room.version, "GET"
    yield f"{one}/history", room.history, "GET"
    yield f"{one}/proof", room.proof, "GET"
    for name, action in kind.actions.items():
        if not (action.takes_document or action.is_nodes_own):
            yield f"{one}/{name}", records.acting(room, name), "POST"
    for path, endpoint, method in room.more():
        yield f"{one}/{path}", endpoint, method
    for path, endpoint in releases.ROUTES if kind.plural == "releases" else ():
        yield f"{one}/{path}", endpoint, "GET"


async def start(request: Request) -> Response:
    """What this node is: a page for people, DCAT and service description for machines."""
    exchange = records.exchange_of(request)
    node, media_type = exchange.node, exchange.wanted(("text/html", *RDF_FORMATS, "application/ld+json"))
    if media_type == "text/html":
        return HTMLResponse(start_page(node), headers={"Vary": "Accept"})
    found = catalogue(node.settings, await exchange.caller())
    return Response(serialise_triples(found, media_type), headers=sparql.OWN, media_type=media_type)


FIRST: tuple[Way, ...] = (
    ("/sparql", sparql.endpoint, "POST"),
    ("/sparql", sparql.endpoint, "GET"),
    ("/", start, "GET"),
    ("/events", events.feed, "GET"),
    ("/assets/lookup", lookup.look_up, "POST"),
    ("/assets/export", export.assets, "GET"),
    ("/assets/export/manifest", export.manifest, "GET"),
    ("/assets/template", template.template, "GET"),
    ("/consents/notifications", consents.notifications, "POST"),
)
"""Routes are tried in their order: what is asked most comes first."""
OTHERS: tuple[Way, ...] = (
    ("/oauth/token", credentials.token, "POST"),
    ("/oauth/jwks", credentials.jwks, "GET"),
    ("/oauth/status/1", credentials.status, "GET"),
    ("/.well-known/oauth-authorization-server", credentials.authorization_server, "GET"),
    ("/.well-known/oauth-protected-resource", credentials.protected_resource, "GET"),
    ("/.well-known/void", sparql.statistics_of, "GET"),
    ("/journal/checkpoint", journal.checkpoint, "GET"),
    ("/journal/key", journal.key, "GET"),
    ("/journal/handovers", journal.handovers, "GET"),
    ("/journal/tile/{path:path}", journal.tile, "GET"),
    ("/journal/entries/{index:count}", journal.entry, "GET"),
    ("/queries/{name}", queries.asked, "GET"),
    *((path, endpoint, "GET") for path, endpoint in (*quality.ROUTES, *words.ROUTES)),
    ("/healthz", readiness.healthz, "GET"),
    ("/readyz", readiness.readyz, "GET"),
    ("/metrics", metrics, "GET"),
    ("/security-log", security.page, "GET"),
    ("/docs", documentation.page, "GET"),
)
"""Those that are not of a kind of record."""


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, FmarError)
    request.state.refused = error
    kind = getattr(request.state, "kind", "")
    return refusal(error, request.app.state.node.settings.base_url, request.url.path, kind)


async def _refuse_http(request: Request, error: Exception) -> Response:
    """What the router refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        offered = _offered(request)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=offered)
        detail = f"this resource has {offered['Allow']}"
        return await _refuse(request, errors.MethodNotAllowed("method-not-allowed", detail, headers=offered))
    if error.status_code == 404:
        return await _refuse(request, errors.NotFound("not-found", "there is nothing at this address"))
    return await _refuse(request, errors.Malformed("malformed-request", str(error.detail)))


def _offered(request: Request) -> dict[str, str]:
    """Every method that some route has for this path, and what those take that take a body (Accept-Patch is of RFC 5789, the others are its kin)."""
    methods: set[str] = set()
    taken: dict[str, str] = {}
    for route in request.app.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
            taken |= taken_at(getattr(route, "path_format", ""))
    return {"Allow": ", ".join(sorted(methods)), **taken}


async def _leave(request: Request, error: Exception) -> Response:  # noqa: ARG001
    """Who went away while the body was still coming, or before there was an answer; nobody reads this one, but the logs and the measures tell of it."""
    return await _refuse(request, errors.Malformed("client-gone"))


async def _break(request: Request, error: Exception) -> Response:
    if isinstance(error, errors.BrokenOff):
        return Response()  # which nobody is sent any more
    log.error("a request failed", exc_info=error, extra=said(request=request.state.request_id))
    return await _refuse(request, errors.Broken("internal-error", "the node made a mistake; it has been logged"))
