"""Whether a client is still there: what is worked out for one that has gone is given up at once, with all that it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

T = TypeVar("T")
UNWATCHED = 0.1
"""Seconds before anybody looks: what takes no longer, as most does, pays nothing for it."""


async def while_wanted(receive: Receive, work: Awaitable[T]) -> T:
    """What the work gives; where the client goes first the work is cancelled, and ClientDisconnect. The request's body has been read before."""
    loop, watch = asyncio.get_running_loop(), None

    async def look() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        wanted.reschedule(loop.time())

    def begin() -> None:
        nonlocal watch
        watch = loop.create_task(look())

    try:
        async with asyncio.timeout(None) as wanted:
            timer = loop.call_later(UNWATCHED, begin)
            try:
                return await work
            finally:
                timer.cancel()
                if watch:
                    watch.cancel()
    except TimeoutError:
        if wanted.expired():
            raise ClientDisconnect from None
        raise
