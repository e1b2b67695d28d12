"""Asks one source outside for JSON over HTTP.

Rules kept here: the address is https, or this machine; only 200 with what was asked for, and 404, are answers; a redirect is not
followed, an answer is read up to a limit of bytes and of time; what is personal goes in a body, never in a URL; what was answered is
used again for a while, and kept in memory only.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar
from urllib.parse import urlsplit

from fmar_node.clock import Clock, stamp
from fmar_node.errors import Malformed
from fmar_node.settings import Settings, is_loopback
from fmar_node.sources.source import SourceUnavailable

if TYPE_CHECKING:
    import httpx

REMEMBERED = 1_000
"""Answers that are kept at most."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What a source has, or None where it has nothing of the kind; and when it said so."""

    found: T | None
    at: str


class Asker(Generic[T]):
    """The HTTP side of a client of a source; `name` is a code of EvidenceKind, `key` is sent as the user of HTTP Basic, with an empty password."""

    name: ClassVar[str]

    def __init__(self, settings: Settings, clock: Clock, key: str = "", url: str = "") -> None:
        self.settings, self.clock = settings, clock
        self.url = checked(url or settings.source_url(self.name), f"{self.name.lower()}_url")
        self.remembered: OrderedDict[tuple[str, str], tuple[float, Answer[T]]] = OrderedDict()
        import httpx  # judge and writer know what is asked, and ask nobody

        self.client = httpx.AsyncClient(
            auth=httpx.BasicAuth(key, "") if key else None,
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "fmar-node"},
            timeout=settings.source_seconds, follow_redirects=False, trust_env=not _is_near(self.url),
        )  # fmt: skip

    async def answer(self, path: str, read: Callable[[bytes], T], asked: Mapping[str, str] | None = None) -> Answer[T]:
        """GET, or POST of what is asked; `read` makes of a body what it describes, and raises SourceUnavailable where that is no answer."""
        question = path, json.dumps(asked) if asked else ""
        known = self.remembered.get(question)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        body = await self._body(path, asked)
        answer = Answer(None if body is None else read(body), stamp(self.clock.now()))
        self.remembered[question] = (time.monotonic() + self.settings.source_cache_seconds, answer)
        self.remembered.move_to_end(question)
        while len(self.remembered) > REMEMBERED:
            self.remembered.popitem(last=False)
        return answer

    async def _body(self, path: str, asked: Mapping[str, Any] | None) -> bytes | None:
        import httpx

        request = self._request(path, asked)
        try:
            async with asyncio.timeout(self.settings.source_seconds):
                response = await self.client.send(request, stream=True)
                try:
                    return await self._read(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise SourceUnavailable(f"no answer within {self.settings.source_seconds:g} seconds") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SourceUnavailable(f"no answer: {type(error).__name__}") from error

    def _request(self, path: str, asked: Mapping[str, str] | None) -> httpx.Request:
        return self.client.build_request("POST" if asked else "GET", f"{self.url}/{path}", json=asked)

    async def _read(self, response: httpx.Response) -> bytes | None:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.status_code == HTTPStatus.NOT_FOUND and kind != "text/html":  # a page is some other server's
            return None
        if response.status_code != HTTPStatus.OK:
            raise SourceUnavailable(_said(response.status_code), _pause(response.headers.get("retry-after", "")))
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise SourceUnavailable("the answer is compressed, which was not asked for")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self.settings.source_bytes:
                raise SourceUnavailable(f"the answer has more than {self.settings.source_bytes} bytes")
        return bytes(body)

    async def close(self) -> None:
        """Ends its connections."""
        await self.client.aclose()


def members_of(body: bytes) -> dict[str, Any]:
    """The members of an answer; SourceUnavailable where it is no JSON object."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise SourceUnavailable("the answer is not JSON") from None
    if not isinstance(answer, dict):
        raise SourceUnavailable("the answer is no JSON object")
    return answer


def key_in(file: Path, setting: str) -> str:
    """The key that a file holds. Malformed where it holds none that can be sent."""
    try:
        key = file.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise Malformed("malformed-request", f"{setting}: {file} cannot be read: {type(error).__name__}") from error
    if not re.fullmatch(r"[!-9;-~]+", key):
        raise Malformed("malformed-request", f"{setting}: {file} holds no key: one line without spaces or colons")
    return key


def checked(url: str, setting: str) -> str:
    """The address of a source, without a slash at its end. Malformed where it is none that can be asked."""
    try:
        parts = urlsplit(url)
        is_good = bool(parts.hostname) and parts.port != 0 and not (parts.query or parts.fragment or parts.username or parts.password)
    except ValueError:
        is_good = False
    if not is_good or not (parts.scheme == "https" or (parts.scheme == "http" and _is_near(url))):
        raise Malformed("malformed-request", f"{setting} is https://..., or http:// on this machine, without a query or a user")
    return url.rstrip("/")


def _is_near(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")


def _said(status: int) -> str:
    told = {401: "it does not accept this node's key", 403: "it does not accept this node's key", 429: "it is asked too often"}
    return told.get(status, f"it answered with status {status}")


def _pause(text: str) -> float:
    return float(text) if re.fullmatch("[0-9]{1,6}", text) else 0.0
