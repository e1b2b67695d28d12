"""Posting to endpoints that participants have chosen: never where an endpoint must not be, and never for long."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from examples.servers.webhook_receiver import Receiver
from fmar_node.access.fetch import FetchError
from fmar_node.access.outlet import Outlet, Reply
from fmar_node.clock import SystemClock
from fmar_node.settings import Settings


def posted(endpoint: str, times: int = 1, **settings: Any) -> Reply:
    async def post() -> Reply:
        outlet = Outlet(endpoint, Settings(webhook_seconds=2, **settings), SystemClock())
        try:
            for _ in range(times):
                reply = await outlet.post(b'{"id": "1", "type": "test", "subject": "x"}', {"Content-Type": "application/json"})
            return reply
        finally:
            await outlet.close()

    return asyncio.run(post())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.8", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "[fe80::1]", "0.0.0.0", "224.0.0.1", "192.168.1.1", "100.64.0.1"])
def test_nothing_is_posted_to_an_address_that_is_not_public(host: str) -> None:
    """B19: by number, by name, mapped."""
    with pytest.raises(FetchError, match="not asked from here"):
        posted(f"https://{host}/")


@pytest.mark.parametrize("host", ["10.0.0.8", "169.254.169.254", "192.168.1.1", "[::ffff:10.0.0.8]"])
def test_who_lets_endpoints_be_on_this_machine_lets_no_other_private_one(host: str) -> None:
    with pytest.raises(FetchError, match="not asked from here"):
        posted(f"https://{host}/", webhook_loopback=True)


def test_a_name_is_judged_by_what_it_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """B19: a public name that leads home, as attackers make them; the resolver of the machine is the one outside thing."""
    real = socket.getaddrinfo

    def leads_home(host: Any, *given: Any, **named: Any) -> Any:
        return real("127.0.0.1" if host == b"hooks.example" or host == "hooks.example" else host, *given, **named)

    monkeypatch.setattr(socket, "getaddrinfo", leads_home)
    for loopback in (False, True):
        with pytest.raises(FetchError, match="not asked from here"):
            posted("https://hooks.example/", webhook_loopback=loopback)


def test_ports_are_those_of_the_setting() -> None:
    with pytest.raises(FetchError, match="port"):
        posted("https://hooks.example:22/")


def test_http_goes_nowhere_but_to_this_machine() -> None:
    with pytest.raises(FetchError, match="not an https URL"):
        posted("http://hooks.example/", webhook_loopback=True)


def test_an_answer_is_read_to_its_bound_and_redirects_are_not_followed() -> None:
    with Receiver() as receiver:
        taken = posted(f"{receiver.url}/", times=3, webhook_loopback=True)
        receiver.mode = "huge"
        huge = posted(f"{receiver.url}/", times=2, webhook_loopback=True, webhook_bytes=300)
        receiver.mode = "redirect"
        elsewhere = posted(f"{receiver.url}/", webhook_loopback=True)
        receiver.mode = "limited"
        limited = posted(f"{receiver.url}/", webhook_loopback=True)

    assert (taken.is_taken, huge.is_taken, len(huge.body)) == (True, True, 300)
    assert (elsewhere.status, elsewhere.is_taken, len(receiver.deliveries)) == (307, False, 7)
    assert (limited.status, limited.pause) == (429, 1.0)


def test_who_does_not_answer_in_time_is_left() -> None:
    with Receiver(mode="slow", seconds=5.0) as receiver, pytest.raises(FetchError, match=r"within 0\.3 seconds"):
        async def post() -> None:
            outlet = Outlet(receiver.url, Settings(webhook_seconds=0.3, webhook_loopback=True), SystemClock())
            try:
                await outlet.post(b"{}", {})
            finally:
                await outlet.close()

        asyncio.run(post())


def test_nobody_at_an_address_is_no_answer() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(FetchError):
            posted(f"http://127.0.0.1:{free.getsockname()[1]}/", webhook_loopback=True)
