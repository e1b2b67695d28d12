"""`fmar agent`: a loopback proxy that adds the credential and proof, so that any plain tool can use a node.

Rules kept here:
- it listens on 127.0.0.1 only, and answers only requests that name a loopback host: a web page that points
  its own name at 127.0.0.1 (DNS rebinding), or that calls from another origin, is refused;
- methods, paths, queries, headers and bodies pass as they are, streamed in both directions; only what
  belongs to one connection (RFC 9110, section 7.6.1) stays behind, and the tool's own credential;
- in answers, only the node's origin in Location, Content-Location and Link becomes the agent's, so that tools follow them here;
- where the token endpoint refuses its key, the profile is read again: a key that was rotated meanwhile is used at once.
"""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import httpx
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fmar_node.client import AsyncClient, CredentialError, FmarAuth, Profile, client_options, is_loopback
from fmar_node.errors import PROBLEMS, BrokenOff, FmarError, Outdated, Unavailable
from fmar_node.logs import is_news
from fmar_node.web.gone import while_wanted
from fmar_node.web.whole import Whole

ADDRESS = "127.0.0.1"
CONNECTION_HEADERS = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade".split()
)
ADDRESSING = frozenset({b"location", b"content-location", b"link"})
OWN_HEADERS = frozenset({b"host", b"authorization", b"dpop", b"expect"})
READ_AGAIN = "the agent reads the key of its profile again at the next request: replace it there, as fmar key rotate and fmar participant rekey do"
REPEATABLE_BYTES = 1_048_576  # a body up to this size is held, so that it can be sent again when a token was refused
PATIENCE = 2.0  # seconds for which a node that does not answer is asked again, before the tool is told
POOL = httpx.Limits(max_connections=100, max_keepalive_connections=20)

Headers = list[tuple[bytes, bytes]]


class Agent:
    """An ASGI application that speaks to one node as one participant, whose profile `read` reads."""

    def __init__(self, profile: Profile, client: httpx.AsyncClient, read: Callable[[], Profile]) -> None:
        self._profile = profile
        self._client = client
        self._read = read
        origins = {_origin(url) for url in (profile.node, profile.issuer)}
        self._node_origin = re.compile(rb"(?:%s)(?=[/?#>]|$)" % b"|".join(re.escape(each) for each in sorted(origins)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if refusal := _why_not(request):
            await self._problem("agent-refused", 403, refusal)(scope, receive, send)
            return
        try:
            answer = await self._answer_wanted(request)
        except ClientDisconnect:
            return
        except CredentialError as error:
            await self._problem("invalid-client", 502, f"the node refused this agent's credential: {error}; {READ_AGAIN}")(scope, receive, send)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            await self._problem("node-unreachable", 502, f"{self._profile.node}: {reason}")(scope, receive, send)
        else:
            try:
                await self._inward(request, answer)(scope, receive, send)
            finally:
                await answer.aclose()

    async def _answer_wanted(self, request: Request) -> httpx.Response:
        """The node's answer, as long as the tool waits for it: where it has gone, the node is told so by the end of the connection."""
        outward = await self._outward(request)
        is_whole = isinstance(outward.stream, httpx.SyncByteStream)  # else the body is still to come, by the same way as word of the tool's going
        return await (while_wanted(request.receive, self._answer(outward)) if is_whole else self._answer(outward))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        """The node's answer; where the key was refused and the profile has another one by now, with that. No token, so nothing was sent of the request."""
        try:
            return await self._client.send(request, stream=True)
        except CredentialError as error:
            if error.word != "invalid_client" or not self._has_new_key():
                raise
            return await self._client.send(request, stream=True)

    def _has_new_key(self) -> bool:
        """Whether the profile has got another key than the one in use, which is used from now on."""
        try:
            key = self._read().key
        except (OSError, ValueError):  # it is being written, or gone
            return False
        if key == self._profile.key:
            return False
        self._profile = replace(self._profile, key=key)
        self._client.auth = FmarAuth(self._profile)
        return True

    async def _outward(self, request: Request) -> httpx.Request:
        """The tool's request, addressed to the node."""
        path, query = request.scope["raw_path"], request.scope["query_string"]
        target = httpx.URL(self._profile.node).copy_with(raw_path=path + (b"?" + query if query else b""))
        headers = _passing(request.headers.raw, OWN_HEADERS)
        timeout = {"timeout": self._client.timeout.as_dict()}
        return httpx.Request(request.method, target, headers=headers, content=await _body(request), extensions=timeout)

    def _inward(self, request: Request, answer: httpx.Response) -> Response:
        """The node's answer, addressed to the tool."""
        here = _origin(f"http://{request.headers['host']}")
        response = StreamingResponse(_whole(answer), answer.status_code)
        response.raw_headers = [
            (name, self._node_origin.sub(lambda _: here, value) if name.lower() in ADDRESSING else value)
            for name, value in _passing(answer.headers.raw, frozenset())
        ]
        return response

    def refuse(self, error: FmarError, scope: Scope) -> Response:  # noqa: ARG002
        """The refusal of an answer that was under way."""
        return self._problem(error.code, 426 if isinstance(error, Outdated) else 502, error.detail, error.headers)

    def _problem(self, code: str, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
        problem = {
            "type": f"{self._profile.issuer}/problems/{code}",
            "title": PROBLEMS[code].title,
            "status": status,
            "detail": detail,
        }
        return Response(json.dumps(problem), status, headers, "application/problem+json")


async def _whole(answer: httpx.Response) -> AsyncIterator[bytes]:
    """The node's answer as it comes. BrokenOff where the node breaks it off: to end it well would be a lie."""
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    except httpx.HTTPError as error:
        reason = f"the node has broken an answer off: {str(error) or type(error).__name__}"
        logging.getLogger("uvicorn.error").warning(reason)
        raise BrokenOff from Unavailable("node-unreachable", reason)


def _origin(url: str) -> bytes:
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://".encode() + parsed.netloc


def _passing(headers: Iterable[tuple[bytes, bytes]], left_out: frozenset[bytes]) -> Headers:
    """What travels on: not what Connection names, not what belongs to one connection, not `left_out`."""
    known = [(name.lower(), name, value) for name, value in headers]
    named = {part.strip().lower() for low, _, value in known if low == b"connection" for part in value.split(b",")}
    return [(name, value) for low, name, value in known if low not in CONNECTION_HEADERS | left_out | named]


async def _body(request: Request) -> bytes | AsyncIterator[bytes]:
    """Nothing or little as bytes, which can be sent again; the rest as it comes."""
    size = request.headers.get("content-length")
    if size is None and "transfer-encoding" not in request.headers:
        return b""
    if size is not None and size.isdigit() and int(size) <= REPEATABLE_BYTES:
        return await request.body()
    return request.stream()


def _why_not(request: Request) -> str:
    """Why a request is not one of a tool on this machine; empty where it is."""
    hosts, origins = request.headers.getlist("host"), request.headers.getlist("origin")
    if len(hosts) != 1 or not is_loopback(_host(f"http://{hosts[0]}")):
        return "the Host header does not name this machine; use the address that the agent printed"
    if any(not is_loopback(_host(origin)) for origin in origins):
        return "the request comes from a web page of another origin"
    if request.headers.get("sec-fetch-site") == "cross-site":
        return "the request comes from a web page of another site"
    return ""


def _host(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return ""
    return parsed.host if parsed.scheme in ("http", "https") and not parsed.userinfo else ""


def agent_app(profile: Profile, on_ready: Callable[[], None] = lambda: None, read: Callable[[], Profile] | None = None) -> ASGIApp:
    """The agent as an ASGI application, with the life of its connections; `on_ready` is called once it serves, `read` reads the profile again."""
    client = AsyncClient(**client_options(profile), patience=PATIENCE, limits=POOL, follow_redirects=False)
    agent = Agent(profile, client, read or (lambda: profile))

    whole = Whole(agent, agent.refuse)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await whole(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _live(client, on_ready, receive, send)

    return app


async def _live(client: httpx.AsyncClient, on_ready: Callable[[], None], receive: Receive, send: Send) -> None:
    """The lifespan of the application: connections are opened as needed and closed at its end."""
    await receive()
    on_ready()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await client.aclose()
    await send({"type": "lifespan.shutdown.complete"})


def serve_agent(profile: Profile, port: int, on_ready: Callable[[str], None], read: Callable[[], Profile] | None = None) -> None:
    """Serve on 127.0.0.1 until stopped by SIGINT or SIGTERM; port 0 takes any free one.

    `on_ready` gets the agent's address (`http://127.0.0.1:8090`) when it listens. OSError where the port is taken.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen()
        address = f"http://{ADDRESS}:{listener.getsockname()[1]}"
        uvicorn.Server(_config(agent_app(profile, lambda: on_ready(address), read))).run([listener])


def _config(app: ASGIApp) -> uvicorn.Config:
    logging.getLogger("uvicorn.error").addFilter(is_news)
    quiet: dict[str, Any] = {"log_level": "warning", "access_log": False, "server_header": False, "date_header": False}
    return uvicorn.Config(app, lifespan="on", ws="none", timeout_graceful_shutdown=5, **quiet)
