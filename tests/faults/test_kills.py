"""Kills at random while clients register, change and de-register: each acknowledged change is there once, whole, and in its order.

All of it: make test ARGS="-m campaign tests/faults/test_kills.py" (five seeds, a hundred kills each).
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from fmar_node.folder import Folder
from fmar_node.keeping.maintenance import open_register
from tests.killing import (
    AGAIN,
    CHILDREN,
    PATIENCE,
    assert_sound,
    children,
    kill,
    kill_node,
    kill_web,
    own_node,
    stop_level,
    wait_for_others,
)  # fmt: skip
from tests.live import LD_JSON, Live

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="children are found through /proc")
MERGE = {"Content-Type": "application/merge-patch+json"}
CLIENTS = 8


@dataclass
class Asset:
    """What one client was told of an asset that nobody else changes."""

    place: str
    documents: list[dict[str, Any]]
    is_live: bool = True


@dataclass
class Client:
    """A provider's tool that registers, changes and de-registers by its own draws, and repeats what it got no answer to."""

    live: Live
    chance: random.Random
    assets: list[Asset] = field(default_factory=list)
    repeats: int = 0
    acknowledged: int = 0
    failed: BaseException | None = None

    def work(self) -> None:
        """One change and its acknowledgement."""
        live = [asset for asset in self.assets if asset.is_live]
        draw = self.chance.random()
        if not live or draw < 0.4:
            made = self._insist("POST", "/assets", self.live.battery(), LD_JSON)
            self.assets.append(Asset(made.headers["Location"], [made.json()]))
        else:
            asset = self.chance.choice(live)
            asset.is_live = draw < 0.85
            asked = ("PATCH", asset.place, {"assetName": f"Name {self.chance.getrandbits(40)}"}, MERGE) if asset.is_live else (
                "POST", f"{asset.place}/deregistration", {"deregistrationReason": "DECOMMISSIONED"}, LD_JSON,
            )  # fmt: skip
            asset.documents.append(self._insist(*asked).json())
        self.acknowledged += 1

    def _insist(self, method: str, place: str, document: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
        key, deadline = f"{self.chance.getrandbits(128):032x}", time.monotonic() + 2 * PATIENCE
        while True:
            try:
                sent = {**headers, "Idempotency-Key": key, **({"If-Match": "*"} if method == "PATCH" else {})}
                response = self.live.client("fsp-a").request(method, place, content=json.dumps(document), headers=sent)
                if response.is_success:
                    return response
                assert response.json()["code"] in AGAIN, response.json().get("errors", response.text)
                said = response.text
            except httpx.HTTPError as error:
                said = repr(error)
            assert time.monotonic() < deadline, said
            self.repeats += 1
            time.sleep(0.1)


@contextmanager
def working(live: Live, chance: random.Random) -> Iterator[list[Client]]:
    """While the block runs, the clients change one thing after another."""
    clients, ending = [Client(live, random.Random(chance.random())) for _ in range(CLIENTS)], threading.Event()

    def work(client: Client) -> None:
        try:
            while not ending.is_set():
                client.work()
        except BaseException as error:
            client.failed = error

    with ThreadPoolExecutor(CLIENTS) as pool:
        pool.map(work, clients)
        try:
            yield clients
        finally:
            ending.set()
    assert [client.failed for client in clients if client.failed] == []


def wait_for_more(clients: list[Client], number: int) -> None:
    wanted, deadline = sum(client.acknowledged for client in clients) + number, time.monotonic() + PATIENCE
    while sum(client.acknowledged for client in clients) < wanted:
        assert [client.failed for client in clients if client.failed] == []
        assert time.monotonic() < deadline, "nothing is written"
        time.sleep(0.01)


def strike(live: Live, chance: random.Random) -> None:
    """One kill, and the node's recovery from it; the same draws for each, whatever runs at the moment."""
    victim, is_whole = chance.choice([*CHILDREN, "web", "node"]), chance.random() < 0.5
    if victim in CHILDREN:
        found = children(live, victim)
        wait_for_others(live, victim, kill(found if is_whole else {min(found)}))
    else:
        {"web": kill_web, "node": kill_node}[victim](live)
        live.start()


def assert_all_kept(live: Live, clients: list[Client]) -> None:
    """Each asset's versions are those that its client was told of, in that order, and no others."""
    register = open_register(Folder(live.folder))
    held: dict[str, list[int]] = {}
    for version in register.since(-1, 10_000_000):
        if version.kind == "assets":
            held.setdefault(version.iri, []).append(version.number)
    register.connection.close()
    assets = [asset for client in clients for asset in client.assets]
    assert {asset.place: list(range(1, len(asset.documents) + 1)) for asset in assets} == held
    for asset in assets:
        for number, document in enumerate(asset.documents, 1):
            said = live.client("fsp-a").get(f"{asset.place}/versions/{number}").json()
            assert said == document


def endure(folder: Path, seed: int, kills: int) -> None:
    chance = random.Random(seed)
    with own_node(folder) as live:
        with working(live, chance) as clients:
            for _ in range(kills):
                wait_for_more(clients, chance.randint(1, 10))
                time.sleep(chance.uniform(0, 0.1))
                strike(live, chance)
            wait_for_more(clients, 20)

        assert_all_kept(live, clients)
        assert sum(client.repeats for client in clients) > 0
        stop_level(live)
        assert_sound(live)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(20261126, 20261131))
def test_a_hundred_kills_lose_no_change_and_double_none(tmp_path: Path, seed: int) -> None:
    endure(tmp_path, seed, kills=100)
