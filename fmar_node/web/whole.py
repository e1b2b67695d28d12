"""Answers to HTTP/1.0, which has no chunks and so no way to see whether an answer has come to its end (RFC 9112, section 6.1).

Rules kept here: an answer leaves whole and with its length, or is refused, also where it breaks off; it is held up to a bound.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fmar_node.errors import Broken, BrokenOff, FmarError, Outdated

MOST_BYTES = 4_194_304
"""Of an answer whose length is not known when it begins."""


class Whole:
    """ASGI middleware; `refuse` makes a refusal a response."""

    def __init__(self, app: ASGIApp, refuse: Callable[[FmarError, Scope], Response]) -> None:
        self.app, self.refuse = app, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["http_version"] != "1.0" or scope["method"] == "HEAD":
            await self.app(scope, receive, send)
            return
        held = _Held(send)
        try:
            await self.app(scope, receive, held)
            return
        except _TooLong:
            refused: FmarError = Outdated("http-too-old", f"the answer has more than {MOST_BYTES} bytes", headers={"Upgrade": "HTTP/1.1", "Connection": "Upgrade"})
        except BrokenOff as error:
            if held.head is None:
                raise
            refused = error.__cause__ if isinstance(error.__cause__, FmarError) else Broken("internal-error", "the answer broke off")
        await self.refuse(refused, scope)(scope, receive, send)


class _TooLong(Exception):
    """The answer passed the bound."""


class _Held:
    """One answer on its way out; it is held where its head does not say how long it is."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.head: Message | None = None
        self.pieces: list[bytes] = []
        self.size = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] not in (204, 304) and not _has_length(message):
            self.head = message
        elif self.head is None:
            await self.send(message)
        else:
            await self._hold(self.head, message)

    async def _hold(self, head: Message, message: Message) -> None:
        self.pieces.append(message.get("body", b""))
        self.size += len(self.pieces[-1])
        if self.size > MOST_BYTES:
            raise _TooLong
        if not message.get("more_body", False):
            self.head = None
            await self.send({**head, "headers": [*head["headers"], (b"content-length", b"%d" % self.size)]})
            await self.send({"type": "http.response.body", "body": b"".join(self.pieces)})


def _has_length(head: Message) -> bool:
    return any(name.lower() == b"content-length" for name, _ in head["headers"])
