"""One HTTP request met with the node: body within its caps, caller, answers with the right headers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from fmar_node.access.caller import Caller
from fmar_node.access.session import Session
from fmar_node.errors import Forbidden, Malformed, TooLarge, Unauthenticated, UnsupportedMedia
from fmar_node.node import Node
from fmar_node.representation import FLAT, FORMATS, JSON, LD_JSON, Profile, json_bytes, serialise
from fmar_node.vocabulary import Document
from fmar_node.web.cookie import clearing, given, is_own_page, session_cookie
from fmar_node.web.gone import while_wanted
from fmar_node.web.limits import Limits
from fmar_node.web.negotiation import best
from fmar_node.web.noted import noted_of

T = TypeVar("T")
SHORT = {
    LD_JSON: "jsonld",
    JSON: "json",
    "text/turtle": "turtle",
    "application/n-triples": "ntriples",
    "application/n-quads": "nquads",
    "application/rdf+xml": "rdfxml",
    "text/html": "html",
    "text/csv": "csv",
}
RECORD_FORMATS = (*FORMATS, "text/html")
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "QUERY"})
PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Accept, Authorization, DPoP, Cookie"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and the node that answers it."""

    request: Request
    node: Node

    @property
    def url(self) -> str:
        """The URL that a proof has to be for: the node's own base, whatever Host says."""
        path = self.request.scope.get("raw_path") or self.request.url.path.encode()
        return self.node.settings.base_url + path.decode("ascii", "replace").split("?")[0]

    @property
    def certificates(self) -> tuple[str, ...]:
        """What a listed proxy says of the client's certificate; nothing where the peer of the connection is anybody else."""
        if not self.node.certificates.is_offered:
            return ()
        values = self.request.headers.getlist(self.node.settings.client_certificate_header)
        return self.node.certificates.forwarded(self.request.client.host if self.request.client else "", values)

    async def caller(self) -> Caller:
        """Who is asking: by the Authorization header where there is one, otherwise by the session of a person who has signed in.

        Unauthenticated where a credential does not hold, Forbidden where another site's page may have sent the request.
        """
        headers = self.request.headers
        if "authorization" not in headers and self.session_tokens:
            return self.signed_in()[0]
        given = headers.getlist("authorization")
        try:
            caller = await self.node.caller(self.request.method, self.url, given, headers.getlist("dpop"), self.certificates)
        except Unauthenticated:
            noted_of(self.request).claims("token", self.node.verifier.claimed(given))
            raise
        self._met(caller)
        return caller

    def _met(self, caller: Caller) -> None:
        """Whose request it is, and whom it is charged to. TooMany where there is nothing left."""
        state = self.request.scope["state"]
        state["caller"] = caller
        if not caller.is_anonymous:
            limits: Limits = self.request.app.state.limits
            claimed = state["claimed"]
            is_its = claimed is not None and (claimed.party, claimed.name) == (caller.party, caller.application)
            state["account"] = claimed if is_its else limits.account(caller.party, caller.application)
            limits.charge(state["account"])

    @property
    def session_tokens(self) -> list[str]:
        """Every value of the session's cookie; one that is sound is one."""
        return given(self.request.headers.getlist("cookie"), session_cookie(self.node.settings.base_url))

    def signed_in(self) -> tuple[Caller, Session]:
        """The person who has signed in, and the session. Unauthenticated where there is none, Forbidden for another site's request."""
        if "authorization" in self.request.headers or not (tokens := self.session_tokens):
            raise Unauthenticated("session-missing", "this is for people who have signed in: GET /signin", headers=self.node.verifier.missing().headers)
        base_url = self.node.settings.base_url
        if self.request.method not in SAFE and not is_own_page(self.request.headers, base_url):
            detail = f"with a session, a request that may change something comes from a page of {base_url} (Origin, Sec-Fetch-Site)"
            raise Forbidden("cross-site-request", detail)
        try:
            caller, session = self.node.person(tokens[0] if len(tokens) == 1 else "")
        except Unauthenticated as ended:
            ended.headers["Set-Cookie"] = clearing(session_cookie(base_url), base_url)
            raise
        self._met(caller)
        return caller, session

    async def give_way(self) -> None:
        """Between two steps of work: a request that lets others go first (`lanes`) does so again."""
        if self.request.scope["state"]["gives_way"]:
            await self.request.app.state.lanes.step()

    async def while_wanted(self, work: Awaitable[T]) -> T:
        """What the work gives, as long as the client waits for it (`gone`)."""
        return await while_wanted(self.request.receive, work)

    def rest(self) -> None:
        """From here on the request does nothing but wait: it stands in no other request's way."""
        self.request.scope["state"]["rest"]()

    async def body(self, most: int) -> bytes:
        """The body, never more than `most` bytes of it in memory. Malformed where it does not come in time."""
        self.check_encoding()
        declared = self.request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > most:
            raise TooLarge("body-too-large", f"{declared} bytes; this node accepts {most}")
        seconds = self.node.settings.body_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._received(most)
        except TimeoutError:
            raise Malformed("malformed-request", f"the body did not arrive within {seconds:g} seconds") from None

    def check_encoding(self) -> None:
        """UnsupportedMedia where the body is compressed: its size could not be bounded by its bytes."""
        if (self.header("content-encoding") or "identity").lower() != "identity":
            raise UnsupportedMedia("unsupported-media-type", "send the body without Content-Encoding")

    async def _received(self, most: int) -> bytes:
        body = bytearray()
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > most:
                raise TooLarge("body-too-large", f"more than {most} bytes")
        return bytes(body)

    def header(self, name: str) -> str | None:
        """A header that is a list, whole: a client may send it in several lines (RFC 9110, section 5.3)."""
        lines = self.request.headers.getlist(name)
        return ", ".join(lines) if lines else None

    def wanted(self, offered: tuple[str, ...] = RECORD_FORMATS) -> str:
        """The media type to answer in: `format=` by its short name, otherwise the Accept header."""
        if short := self.request.query_params.get("format"):
            return best(next((name for name in offered if SHORT.get(name) == short), short), offered)
        return best(self.header("accept") or "", offered)

    def represent(self, document: Document, media_type: str, profile: Profile = FLAT) -> bytes:
        return serialise(document, media_type, self.node.vocabulary, profile)


def etag(shared: str, media_type: str, profile: Profile = FLAT) -> str:
    """A strong entity tag: the view of the record, then profile and format."""
    return f'"{shared}.{profile.tag}{SHORT.get(media_type, "json")}"'


def json_response(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json_bytes(value), status, {**PRIVATE, **(headers or {})}, JSON)
