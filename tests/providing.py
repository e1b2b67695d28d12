"""An identity provider for the tests: the one of the examples, on loopback in a thread, and the faults that it may have."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import httpx

SERVER = Path(__file__).parents[1] / "examples" / "servers" / "identity_provider.py"
ADA = {"sub": "ada-1", "name": "Ada", "email": "ada@example.org"}
BOB = {"sub": "bob-2", "name": "Bob", "email": "Bob@Example.org"}
EVE = {"sub": "eve-3", "name": "Eve", "email": "eve@example.org"}
UNSURE = {"sub": "uma-4", "name": "Uma", "email": "uma@example.org", "email_verified": False}


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("identity_provider", SERVER)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


example = _loaded()


class Faulty(example.Provider):  # type: ignore[misc, name-defined]
    """A provider whose descriptions, claims and signatures a test may change; it knows how often it was asked for what."""

    change: Callable[[dict[str, Any]], dict[str, Any]]
    sign: Callable[[dict[str, Any]], str] | None
    description: dict[str, Any]

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {}
        self.well_behaved()

    def well_behaved(self) -> None:
        self.change, self.sign, self.description = dict, None, {}
        self.answers.clear()
        self.asked.clear()

    def discovery(self) -> dict[str, Any]:
        return {**super().discovery(), **self.description}

    def claims(self, code: Any) -> dict[str, Any]:
        changed = self.change(super().claims(code))
        return {name: value for name, value in changed.items() if value is not None}

    def signed(self, claims: dict[str, Any]) -> str:
        return self.sign(claims) if self.sign else super().signed(claims)

    def answer(self, method: str, target: str, body: bytes, authorization: str) -> Any:
        path = urlsplit(target).path
        self.asked.append(path)
        return self.answers[path] if path in self.answers else super().answer(method, target, body, authorization)


class Providing:
    """A provider that answers on a port of its own; use as a context manager."""

    def __init__(self, people: list[dict[str, Any]] | None = None, secret: str = "") -> None:
        self.server = example.server_of(None)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.server.server_close()
        self.provider = Faulty(self.url, people or [ADA, BOB, EVE, UNSURE], "fmar-node", "", secret)
        self.start()

    def start(self) -> None:
        self.server = example.server_of(self.provider, urlsplit(self.url).port)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def setting(self, name: str = "central", **more: Any) -> dict[str, Any]:
        """What stands in the node's settings."""
        return {"name": name, "issuer": self.url, "client_id": "fmar-node", **more}


def answered(url: str, who: str) -> list[tuple[str, str]]:
    """What the provider sends the browser of `who` back with, when the node has sent it to `url`."""
    return parse_qsl(urlsplit(returned(url, who)).query)


def returned(url: str, who: str) -> str:
    """The address that the provider sends the browser of `who` back to."""
    response = ask("GET", f"{url}&login_hint={who}")
    assert response.status_code == 302, response.text
    return response.headers["Location"]


def ask(method: str, url: str, **given: Any) -> httpx.Response:
    """A request to a provider, on a connection of its own."""
    with httpx.Client(trust_env=False, verify=False) as client:
        return client.request(method, url, **given)
