"""Fetching what others publish, so that no address that they choose leads anywhere it should not (attack B2, server-side request forgery).

Rules kept here:
- https with certificates checked; http to this machine alone, where the URL itself says so;
- no user in the URL, no fragment, no redirect, no proxy, no cookie, no compressed answer;
- names are looked up once, every address found is judged, and one of those is connected to: a name that means something
  else a moment later changes nothing. One address that may not be asked refuses them all;
- private addresses are asked only where the caller says that the operator has chosen the URL; unspecified, multicast and
  link-local ones (there are the clouds' own services) never;
- an answer is 200, has at most so many bytes, and is there within so many seconds, looking up included.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
import ssl

import httpx

from fmar_node.access.address import Address, may_ask
from fmar_node.settings import is_loopback

PORTS = {"http": 80, "https": 443}


class FetchError(Exception):
    """It was not fetched; the message says why, and is fit for the log."""


async def fetch(url: str, *, most: int, seconds: float, accept: str = "*/*", may_be_private: bool = False) -> bytes:
    """The body behind a URL, `most` bytes at most, within `seconds`. FetchError otherwise.

    `may_be_private` is for URLs that the operator has configured; whatever a participant gives is asked in public alone.
    """
    try:
        async with asyncio.timeout(seconds):
            target = checked(url)
            return await _first(target, await addresses(target, may_be_private), most, accept)
    except TimeoutError:
        raise FetchError(f"there was no whole answer within {seconds:g} seconds") from None


def checked(url: str) -> httpx.URL:
    """The URL, where it is one that may be fetched at all. FetchError otherwise."""
    try:
        target = httpx.URL(url)
        host = target.host  # read here: a name that is no IDNA name cannot be
    except (httpx.InvalidURL, ValueError) as error:
        raise FetchError("it is not a URL") from error
    if target.scheme != "https" and not (target.scheme == "http" and is_loopback(host)):
        raise FetchError("it is not an https URL")
    if target.port is not None and not 0 < target.port < 65_536:
        raise FetchError("it has a port that there is not")
    if not host or target.userinfo or target.fragment or "@" in url or "\\" in url:
        raise FetchError("it has a user or a fragment, or no host")
    return target


async def addresses(target: httpx.URL, may_be_private: bool) -> list[Address]:
    """What the host's name stands for, each address judged. FetchError where one of them may not be asked."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(target.raw_host.decode("ascii"), port_of(target), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError("its host has no address") from error
    named = list(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in found))
    for address in named:
        if not may_ask(address, may_be_private) or (target.scheme == "http" and not address.is_loopback):
            raise FetchError("its host has an address that is not asked from here")
    return named


def port_of(target: httpx.URL) -> int:
    return target.port or PORTS[target.scheme]


async def _first(target: httpx.URL, named: list[Address], most: int, accept: str) -> bytes:
    """From the first address that takes a connection."""
    for address in named:
        try:
            return await _from(target, address, most, accept)
        except httpx.ConnectError as error:
            refusal = error
        except httpx.HTTPError as error:
            raise FetchError(f"it did not answer: {type(error).__name__}") from error
    raise FetchError(f"nobody answers there: {refusal}") from refusal


async def _from(target: httpx.URL, address: Address, most: int, accept: str) -> bytes:
    async with client_of_nobody() as client:
        request = request_to(client, "GET", target, address, {"Accept": accept})
        answer = await client.send(request, stream=True)
        try:
            return await _body(answer, most)
        finally:
            await answer.aclose()


def client_of_nobody() -> httpx.AsyncClient:
    """A client that brings nothing along but what it is told to send; whoever uses it has a time limit of its own."""
    return httpx.AsyncClient(verify=_trusted(), trust_env=False, follow_redirects=False, timeout=None)  # noqa: S113


def request_to(client: httpx.AsyncClient, method: str, target: httpx.URL, address: Address, headers: dict[str, str], body: bytes | None = None) -> httpx.Request:
    """A request for a URL that goes to one of the addresses that its name stands for, and to no other."""
    host = f"[{target.host}]" if ":" in target.host else target.raw_host.decode("ascii")
    named = {"Host": host if target.port is None else f"{host}:{target.port}", "Accept-Encoding": "identity", **headers}
    name = {"sni_hostname": target.raw_host.decode("ascii")}
    return client.build_request(method, target.copy_with(host=str(address)), headers=named, content=body, extensions=name)


async def _body(answer: httpx.Response, most: int) -> bytes:
    if answer.status_code != 200:
        raise FetchError(f"the answer was {answer.status_code}" + (", and redirects are not followed" if answer.is_redirect else ""))
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise FetchError("the answer is compressed")
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > most:
            raise FetchError(f"the answer has more than {most} bytes")
    return bytes(body)


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Which certificates are believed: those of SSL_CERT_FILE, otherwise what httpx brings."""
    return httpx.create_ssl_context()
