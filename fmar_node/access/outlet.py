"""Posting to an address that a participant has chosen, again and again, under the rules of `fetch`.

Rules kept here: what the name stands for is looked up and judged anew every half minute, and connections go to an address that was
judged; endpoints on this machine are posted to only where a setting says so, and then nothing else is that is not public; of
an answer so many bytes are read; redirects are not followed, and what an endpoint would have remembered is forgotten.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from fmar_node.access.address import Address
from fmar_node.access.fetch import FetchError, addresses, checked, client_of_nobody, port_of, request_to
from fmar_node.clock import Clock
from fmar_node.settings import Settings, is_loopback

JUDGED_SECONDS = 30.0
"""How long the addresses that were found are good for."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint has answered: the beginning of its body, and for how many seconds it wants to be left alone."""

    status: int
    body: bytes
    pause: float = 0.0

    @property
    def is_taken(self) -> bool:
        return 200 <= self.status < 300


class Outlet:
    """The way to one endpoint. FetchError where it may not be posted to, or does not answer."""

    def __init__(self, endpoint: str, settings: Settings, clock: Clock) -> None:
        self.endpoint, self.settings, self.clock = endpoint, settings, clock
        self.client = client_of_nobody()
        self.found: list[Address] = []
        self.judged_at = float("-inf")

    async def post(self, body: bytes, headers: dict[str, str]) -> Reply:
        seconds = self.settings.webhook_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._posted(self._target(), body, headers)
        except TimeoutError:
            raise FetchError(f"there was no whole answer within {seconds:g} seconds") from None
        except httpx.HTTPError as error:
            self.judged_at = float("-inf")
            raise FetchError(f"it did not answer: {type(error).__name__}") from error

    def _target(self) -> httpx.URL:
        target = checked(self.endpoint)
        is_here = is_loopback(target.host)
        if is_here and not self.settings.webhook_loopback:
            raise FetchError("its host has an address that is not asked from here")
        if not is_here and port_of(target) not in self.settings.webhook_ports:
            raise FetchError("it has a port that is not asked from here")
        return target

    async def _posted(self, target: httpx.URL, body: bytes, headers: dict[str, str]) -> Reply:
        if time.monotonic() - self.judged_at > JUDGED_SECONDS:
            self.found, self.judged_at = await self._judged(target), time.monotonic()
        for address in self.found[:-1]:
            with suppress(httpx.ConnectError):
                return await self._sent(target, address, body, headers)
        return await self._sent(target, self.found[-1], body, headers)

    async def _judged(self, target: httpx.URL) -> list[Address]:
        is_here = is_loopback(target.host)
        found = await addresses(target, may_be_private=is_here)
        if is_here and not all(address.is_loopback for address in found):
            raise FetchError("its host has an address that is not asked from here")
        return found

    async def _sent(self, target: httpx.URL, address: Address, body: bytes, headers: dict[str, str]) -> Reply:
        answer = await self.client.send(request_to(self.client, "POST", target, address, headers, body), stream=True)
        try:
            beginning = await self._beginning(answer)
        finally:
            await answer.aclose()
            self.client.cookies.clear()
        return Reply(answer.status_code, beginning, self._pause(answer.headers.get("retry-after", "")))

    async def _beginning(self, answer: httpx.Response) -> bytes:
        read = bytearray()
        async for chunk in answer.aiter_raw():
            read += chunk
            if len(read) > self.settings.webhook_bytes:
                break
        return bytes(read[: self.settings.webhook_bytes])

    def _pause(self, said: str) -> float:
        """Retry-After in seconds or as a date (RFC 9110, section 10.2.3); 0 where it is neither."""
        with suppress(ValueError, TypeError, OverflowError):
            left = float(said) if said.isdecimal() else (parsedate_to_datetime(said) - self.clock.now()).total_seconds()
            return min(max(0.0, left), self.settings.webhook_pause_seconds_most)
        return 0.0

    async def close(self) -> None:
        await self.client.aclose()
