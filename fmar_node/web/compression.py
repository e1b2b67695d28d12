"""Answers compressed by gzip for clients that take it.

Rules kept here: what streams goes on streaming, each piece is sent as it comes; a stream that breaks off stays broken, its
gzip has no end; what has an entity tag, as records do, is left as it is, since other bytes would need another tag (RFC 9110,
section 8.8.1) and conditions a strong one; what must not be kept (tokens, sessions) is never compressed, so that nobody can measure a secret beside a text of his own.
"""

from __future__ import annotations

import re
import zlib
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fmar_node.web.negotiation import MOST_CHARS, accepted

LEAST = 1_400
"""Bytes below which an answer fits into one packet anyhow."""
LEVEL, GZIP = 4, 31
COMPRESSIBLE = re.compile(r"text/|application/(?:[\w.-]+\+)?(?:json|xml|javascript)|application/(?:n-triples|n-quads|x-ndjson)")


class Compressed:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        wanted = b", ".join(value for name, value in scope["headers"] if name == b"accept-encoding")
        await self.app(scope, receive, Answering(send, wanted.decode("latin-1") if scope["method"] != "HEAD" else ""))


class Answering:
    """One answer on its way out; whether it is compressed is decided by its head and the size of its first piece."""

    def __init__(self, send: Send, wanted: str) -> None:
        self.send, self.wanted = send, wanted
        self.head: Message | None = None
        self.gzip: Any = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            if is_compressible(message["status"], headers):
                headers.add_vary_header("Accept-Encoding")
                self.head = message if takes_gzip(self.wanted) else None
            if self.head is None:
                await self.send(message)
        elif message["type"] != "http.response.body":
            await self.send(message)
        else:
            await self._piece(message)

    async def _piece(self, message: Message) -> None:
        body, is_last = message.get("body", b""), not message.get("more_body", False)
        if self.head is not None:
            head, self.head = self.head, None
            if not is_last or len(body) >= LEAST:
                self.gzip = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
                _declare(MutableHeaders(raw=head["headers"]))
            await self.send(head)
        if self.gzip is not None and (body or is_last):
            body = self.gzip.compress(body) + self.gzip.flush(zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH)
        await self.send({**message, "body": body})


def _declare(headers: MutableHeaders) -> None:
    headers["Content-Encoding"] = "gzip"
    del headers["Content-Length"]


def is_compressible(status: int, headers: MutableHeaders) -> bool:
    """Whether an answer has a body of a kind that gets smaller, and that may be compressed."""
    if status in (204, 206, 304) or "ETag" in headers or "Content-Encoding" in headers or "no-store" in headers.get("Cache-Control", ""):
        return False
    return bool(COMPRESSIBLE.match(headers.get("Content-Type", "")))


def takes_gzip(header: str) -> bool:
    """Whether Accept-Encoding asks for gzip, by name or by `*`, and does not rule it out."""
    header = header[:MOST_CHARS]
    wanted = accepted(header)
    ruled_out = re.search(r"\bgzip\s*;\s*q\s*=\s*0(?:\.0*)?\s*(?:,|$)", header, re.IGNORECASE)
    return bool({"gzip", "x-gzip", "*"} & set(wanted)) and not ruled_out
