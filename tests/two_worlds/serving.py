"""Worlds served over HTTP by nodes of their own, all under one base URL, so that nothing but what they hold can differ."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from fmar_node.access.key import SigningKeys
from fmar_node.client import FmarAuth, Profile
from fmar_node.followers.vocabulary import load_vocabulary
from fmar_node.store.graph import Graph
from tests.live import free_port
from tests.market import BASE, Market, vocabulary
from tests.two_worlds.worlds import key_of

PROBES = 40
SURROUNDINGS = {"FMAR_PROBES_PER_HOUR": str(PROBES), "FMAR_REFUSAL_SECONDS": "0", "FMAR_QUERY_PER_ORGANISATION": "2"}


class Rewired(httpx.HTTPTransport):
    """Takes requests for the base URL to the port where the node really listens."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host = request.headers["Host"]
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.port)
        request.headers["Host"] = host
        return super().handle_request(request)


def vocabulary_graph(folder: Path) -> Path:
    """A node's graph with the vocabulary alone: copied into each world, for blank nodes are named anew with each loading."""
    graph = Graph(folder / "store")
    load_vocabulary(graph, BASE, folder / "vocabulary", vocabulary())
    graph.close()
    return folder


class Served:
    """A node that serves a copy of a market; use as a context manager."""

    def __init__(self, market: Market, folder: Path, words: Path) -> None:
        self.organisations = {name: caller.organisation for name, caller in market.callers.items()}
        copy = market.copied(folder)
        copy.close()
        for left in ("graph", "snapshot"):
            shutil.rmtree(folder / left, ignore_errors=True)
        shutil.copytree(words, folder / "graph")
        made = copy.node_folder()
        made.token_keys.unlink()
        SigningKeys.generate(made.token_keys)
        self.folder, self.port, self.clients = folder, free_port(), dict[str, httpx.Client]()

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "fmar_node.cli", "serve", "--data", str(self.folder), "--host", "127.0.0.1", "--port", str(self.port)]
        with (self.folder / "node.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **SURROUNDINGS}, start_new_session=True)
        return self

    def wait(self) -> Self:
        """Until it is ready, and its graph with it."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.client("").get("/readyz").status_code == 200:
                    return self
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"the node did not start:\n{(self.folder / 'node.log').read_text()[-3000:]}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for client in self.clients.values():
            client.close()
        self.process.terminate()
        self.process.wait(timeout=30)

    def client(self, viewer: str) -> httpx.Client:
        if viewer not in self.clients:
            transport = Rewired(self.port)
            self.clients[viewer] = httpx.Client(base_url=BASE, transport=transport, auth=self._auth(viewer), timeout=30)
        return self.clients[viewer]

    def _auth(self, viewer: str) -> FmarAuth | None:
        if not viewer:
            return None
        organisation = f"{BASE}/organisations/{self.organisations[viewer]}"
        return FmarAuth(Profile(BASE, BASE, f"{BASE}/oauth/token", f"app-{viewer}", organisation, json.loads(json.dumps(key_of(viewer)))))
