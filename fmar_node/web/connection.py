"""One HTTP connection, with bounds that the server does not have: on the head of a request, in bytes and in time.

Rules kept here: request line and headers of a request are at most so long; a request names one host (RFC 9112, 3.2); a
connection that has not sent them whole in time is closed, also one that never says anything; of a body that has been
answered before it came to its end no more is passed over than the largest body has, and for no longer than one may take.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fmar_node.settings import Settings

TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 28\r\nconnection: close\r\n\r\nThe headers are too large.\r\n"
)
NO_HOST = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 50\r\nconnection: close\r\n\r\nA request has one Host, which is a host and port.\n"
)
HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")


class Connection(HttpToolsProtocol):
    """uvicorn's protocol, watched while it waits for the head of a request."""

    settings = Settings()

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.is_in_head, self.has_begun, self.head_bytes, self.passed_over, self.is_refused = True, False, 0, 0, False
        self.patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._be_patient()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.has_begun = False
        super().data_received(data)
        if self.is_in_head and not self.has_begun and not self.transport.is_closing():
            self.head_bytes += len(data)
            if self.head_bytes > self.settings.head_bytes:
                self._refuse(TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.has_begun, self.head_bytes, self.passed_over = True, 0, 0
        self._expect_head()

    def on_headers_complete(self) -> None:
        self.is_in_head = False
        self._be_patient()
        size, hosts = len(self.url), list[bytes]()
        for name, value in self.headers:
            size += len(name) + len(value)
            if name == b"host":
                hosts.append(value)
        is_told = len(hosts) == 1 and HOST.fullmatch(hosts[0]) is not None
        if size > self.settings.head_bytes:
            self._refuse(TOO_LARGE)
        elif is_told or (not hosts and self.parser.get_http_version() == "1.0"):
            super().on_headers_complete()
        else:
            self._refuse(NO_HOST)

    def _refuse(self, answer: bytes) -> None:
        self.is_refused = True
        self.transport.write(answer)
        self.transport.close()

    def on_body(self, body: bytes) -> None:
        if self.is_refused:
            return
        super().on_body(body)
        if self.cycle.response_complete:
            self.passed_over += len(body)
            self._be_patient_for(self.settings.body_seconds)
            if self.passed_over > self.settings.batch_bytes:
                self.transport.close()

    def on_message_complete(self) -> None:
        self._be_patient()
        if not self.is_refused:
            super().on_message_complete()

    def _expect_head(self) -> None:
        self.is_in_head = True
        self._be_patient_for(self.settings.head_seconds)

    def _be_patient_for(self, seconds: float) -> None:
        """Closes the connection then, unless what is waited for has come; the first to begin waiting counts."""
        if self.patience is None:
            self.patience = self.loop.call_later(seconds, self.transport.close)

    def _be_patient(self) -> None:
        if self.patience is not None:
            self.patience.cancel()
            self.patience = None


def connection_of(settings: Settings) -> type[asyncio.Protocol]:
    """The protocol class with a node's bounds, for `uvicorn.Config(http=...)`."""
    return type("BoundedConnection", (Connection,), {"settings": settings})
