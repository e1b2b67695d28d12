"""Cookies of people who sign in: their names, their attributes, and whose page a request comes from.

Rules kept here: over https a cookie is `__Host-`, so that no other host of the domain can set or read it; scripts see none, and
other sites' requests carry none but when they lead a person here; a request that may change something comes from a page of
this very node, by the browser's own word.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers


def session_cookie(base_url: str) -> str:
    """The name of the cookie that holds a session's token."""
    return _named("fmar-session", base_url)


def attempt_cookie(base_url: str) -> str:
    """The name of the cookie that holds a sign-in that was begun."""
    return _named("fmar-signin", base_url)


def _named(name: str, base_url: str) -> str:
    return f"__Host-{name}" if base_url.startswith("https:") else name


def setting(name: str, value: str, seconds: int, base_url: str) -> str:
    """A Set-Cookie header's value."""
    secure = "; Secure" if base_url.startswith("https:") else ""
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"


def clearing(name: str, base_url: str) -> str:
    return setting(name, "", 0, base_url)


def given(lines: Iterable[str], name: str) -> list[str]:
    """All values of a cookie in the Cookie headers; more than one means that somebody else has set one."""
    pairs = (pair.strip().partition("=") for line in lines for pair in line.split(";"))
    return [value for key, _, value in pairs if key == name]


def origin_of(base_url: str) -> str:
    """The web origin of a node (RFC 6454), as browsers write it."""
    parts = urlsplit(base_url)
    default = {"https": 443, "http": 80}.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, default) else "")


def is_own_page(headers: Headers, base_url: str) -> bool:
    """Whether the browser says that a page of this node sent the request.

    A form of a page without referrer has `Origin: null`; then Sec-Fetch-Site decides, which no page can set.
    """
    origins = headers.getlist("origin")
    if origins in ([], ["null"]):
        return headers.getlist("sec-fetch-site") == ["same-origin"]
    return origins == [origin_of(base_url)]
