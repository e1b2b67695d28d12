"""The HTTP server of a node: starts, drains, stops in order, takes a renewed certificate on SIGHUP.

Rules kept here: the first SIGTERM or SIGINT turns readiness to 503, and requests are still taken for `drain_seconds`, so
that a balancer notices; then no connection is accepted and what is in flight is finished within `stop_seconds`; a second
signal cuts the waiting short.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from types import FrameType
from typing import Any

import uvicorn

from fmar_node.certificate import Tls, read_certificate
from fmar_node.errors import FmarError
from fmar_node.launch import lasting
from fmar_node.node import Node
from fmar_node.service import monotonic_state, notify
from fmar_node.web.connection import connection_of

HEAD_START = 0.05
"""Seconds for the node to send its other processes on their way."""
log = logging.getLogger("fmar.web")


class Server(uvicorn.Server):
    """uvicorn's server for one node."""

    def __init__(self, node: Node, host: str, port: int, tls: Tls | None = None) -> None:
        settings = node.settings
        super().__init__(
            uvicorn.Config(
                self._app,
                factory=True,
                host=host,
                port=port,
                http=connection_of(settings),
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # whose certificate header counts follows from the peer's own address, never from X-Forwarded-For
                timeout_graceful_shutdown=max(1, round(settings.stop_seconds)),
                ssl_context_factory=(lambda *_: tls.context) if tls else None,
            )
        )
        self.node, self.tls = node, tls

    def _app(self) -> Any:
        with lasting():
            from fmar_node.web.app import create_app  # takes long: the node's other processes start meanwhile

            return create_app(self.node, self.tls)

    async def _serve(self, sockets: list[Any] | None = None) -> None:
        self.node.begin()
        await asyncio.sleep(HEAD_START)
        await super()._serve(sockets)

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        if self.started and (self.tls or not sys.stdin.isatty()):  # on a terminal SIGHUP means that it has gone
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.renew)
        if self.started:
            log.info("the node is ready to answer")
            notify("READY=1", f"STATUS=serving {self.node.settings.base_url}")

    def renew(self) -> None:
        """Takes the certificate's files as they are now; keeps the old certificate where they do not serve."""
        notify("RELOADING=1", monotonic_state())
        if self.tls is None:
            log.warning("there is no certificate to load again")
        else:
            try:
                fresh = self.tls.renew(self.node.clock.now())
                log.info("the certificate was loaded again; it ends at %s", fresh.ends.isoformat())
            except FmarError as error:
                log.error("the certificate was not taken, the old one is kept: %s", error.detail)
        notify("READY=1")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain first; a second signal, or one before the node serves, ends it at once."""
        if self.node.is_stopping or not self.started:
            super().handle_exit(sig, frame)
            return
        self.node.is_stopping = True
        notify("STOPPING=1")
        seconds = self.node.settings.drain_seconds
        if seconds <= 0:
            super().handle_exit(sig, frame)
            return
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(loop.call_later, seconds, super().handle_exit, sig, frame)


def tls_of(node: Node) -> Tls | None:
    """The certificate that a node is to be served with; None for plain HTTP. Malformed where it does not serve."""
    certificate = read_certificate(node.settings, node.folder.root)
    if certificate is None:
        return None
    if (left := certificate.days_left(node.clock.now())) <= 0:
        log.error("the certificate in %s has expired; clients will refuse it", certificate.file)
    elif left < 14:
        log.warning("the certificate in %s ends in %d days", certificate.file, left)
    return Tls(node.settings, node.folder.root, certificate)
