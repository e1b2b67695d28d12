"""The SPARQL page in a real browser, as a person uses it: Chromium, driven over WebDriver (W3C), without a library for that.

It wants `chromium` and `chromedriver` on the PATH (Debian's `chromium` and `chromium-driver`), and skips where they are not:

    make test ARGS="-n 0 -m campaign tests/web/test_browser.py"
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from fmar_node.cli.agent import agent_app
from tests.access.conftest import Served
from tests.live import Live, free_port

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(not (shutil.which("chromedriver") and shutil.which("chromium")), reason="chromium and chromedriver are not on the PATH"),
]
PATIENCE = 30.0
OPTIONS = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"]}
CAPABILITIES = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": OPTIONS, "goog:loggingPrefs": {"browser": "ALL"}}}}


class Browser:
    """One window."""

    def __init__(self, address: str) -> None:
        self.client = httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False)
        self.session = self._told("POST", "/session", CAPABILITIES)["sessionId"]

    def _told(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return self.client.request(method, path, json=body).raise_for_status().json()["value"]

    def go(self, url: str) -> None:
        self._told("POST", f"/session/{self.session}/url", {"url": url})

    def run(self, script: str) -> Any:
        return self._told("POST", f"/session/{self.session}/execute/sync", {"script": script, "args": []})

    def until(self, script: str) -> Any:
        """What the script returns, as soon as that is something."""
        deadline = time.monotonic() + PATIENCE
        while not (found := self.run(script)):
            assert time.monotonic() < deadline, self.run("return document.body.innerText")
            time.sleep(0.1)
        return found

    def complaints(self) -> list[str]:
        return [line["message"] for line in self._told("POST", f"/session/{self.session}/se/log", {"type": "browser"}) if line["level"] == "SEVERE"]

    def close(self) -> None:
        self._told("DELETE", f"/session/{self.session}")
        self.client.close()


@pytest.fixture
def browser() -> Iterator[Browser]:
    port = free_port()
    driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                httpx.get(f"http://127.0.0.1:{port}/status", trust_env=False)
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        window = Browser(f"http://127.0.0.1:{port}")
        yield window
        window.close()
    finally:
        driver.terminate()
        driver.wait(10)


def examples(browser: Browser, address: str) -> list[str]:
    """The names of the examples that the page offers, once it is ready."""
    browser.go(f"{address}/sparql")
    found: list[str] = browser.until("return [...document.querySelectorAll('#examples button')].map(each => each.textContent)")
    return found


def asked(browser: Browser, example: int) -> list[str]:
    """The first row that an example of the open page is answered with."""
    browser.run(f"document.querySelectorAll('#examples button')[{example}].click()")
    row: list[str] = browser.until("const row = document.querySelector('.tabPanel.active .yasr table tbody tr'); return row && [...row.cells].map(each => each.innerText.trim())")
    return row


def test_whoever_opens_the_page_can_ask(live: Live, browser: Browser) -> None:
    """Anonymous: the national picture is answered in the page, nothing is loaded from elsewhere, and the browser complains of nothing."""
    names = examples(browser, live.url)

    row = asked(browser, names.index("what is public"))

    assert any(row) and len(names) >= 5
    assert browser.run("return performance.getEntriesByType('resource').every(each => each.name.startsWith(location.origin))")
    assert browser.complaints() == []


def test_a_participant_asks_its_own_graph_through_the_agent(live: Live, browser: Browser) -> None:
    made = live.register(assetName="Seen in a browser")
    live.ask("fsp-a", "ASK {}", after=int(made.headers["Fmar-Journal-Index"]))
    agent = Served("on")
    agent.start(agent_app(live.profiles["fsp-a"]))
    try:
        names = examples(browser, agent.address)
        row = asked(browser, names.index("my portfolio"))
    finally:
        agent.stop()

    assert any(row) and browser.complaints() == []
