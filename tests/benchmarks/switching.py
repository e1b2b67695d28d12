"""What a switch of provider costs: the request beside a registration, its effect by the clock beside plain updates of as many assets.

Rules kept here: rounds take turns and medians are compared; an update is judged by shapes on its way, as every submission is, and a switch was
judged when it was requested; what is made effective was requested before the clock starts. The first row is of the one write path in this
process, one commit each; the others are of a node in processes of its own, whose register is put forward to the day of the switches.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import TypeVar

from fmar_node.clock import AheadClock, SystemClock, parse_stamp
from fmar_node.folder import Folder
from fmar_node.kinds import House
from fmar_node.vocabulary import Document
from tests.benchmarks.reach import medians
from tests.benchmarks.trust import UNLIMITED, Finding
from tests.live import LD_JSON, Live
from tests.market import BASE, Market, battery

T = TypeVar("T")
ASSETS, AT_ONCE, ROUNDS = 200, 8, 3
SWITCH_ROWS = ("switches", "day")


class Switching:
    """The table's rows; `rows` names them."""

    def __init__(self, scratch: Path) -> None:
        self.scratch, self.serials = scratch, count()
        self.rows: dict[str, Callable[[], Iterator[Finding]]] = {"switches": self.switches, "day": self.day}

    def switches(self) -> Iterator[Finding]:
        """Each makes three entries: the switch, the end of the notice to the losing provider, the asset."""
        folder = self.scratch / "switches"
        shutil.rmtree(folder, ignore_errors=True)
        market = Market(folder, house=House(switch_notice_days=0))
        market.join("operator", "FMAR_OPERATOR")
        for name in ("fsp-a", "fsp-b"):
            market.join(name, "FSP")

        def registered() -> list[str]:
            owner = f"organisations/{market.callers['fsp-b'].organisation}"
            given = {"owner": owner, "ownerName": None, "justification": None, "importMPAN": None}
            return [market.submit(market.callers["fsp-a"], "assets", battery(f"SW-{next(self.serials)}", **given)).id for _ in range(ASSETS)]

        def switched() -> float:
            for id_ in registered():
                market.submit(market.callers["fsp-b"], "switches", {"type": "Switch", "switchAsset": f"{BASE}/assets/{id_}"})
            started = time.perf_counter()
            while market.tick():
                pass
            return ASSETS / (time.perf_counter() - started)

        def updated() -> float:
            ids = registered()
            started = time.perf_counter()
            for id_ in ids:
                market.update(market.callers["fsp-a"], "assets", id_, assetName="Renamed")
            return ASSETS / (time.perf_counter() - started)

        node, beside = medians(switched, updated, 3)
        market.close()
        yield Finding("switches made effective by the clock", f"{node:.0f}/s", f"plain updates of as many assets {beside:.0f}/s", node / beside)

    def day(self) -> Iterator[Finding]:
        """Of a node in service: assets are registered, switched by request, moved on one day, and changed by their new provider."""
        who = {name: {"roles": ["FSP"]} for name in ("fsp-a", "fsp-b")}
        with Live(self.scratch / "day", who, **UNLIMITED, FMAR_CLOCK_MAY_BE_SET="true") as node, ThreadPoolExecutor(AT_ONCE) as pool:
            calendar, gaining = AheadClock(SystemClock(), Folder(node.folder).clock), node.client("fsp-b")
            given = {"owner": node.profiles["fsp-b"].organisation, "ownerName": None, "justification": None, "importMPAN": None}

            rates: dict[str, list[float]] = {"registered": [], "requested": [], "moved": [], "changed": []}

            def timed(name: str, work: Callable[[T], str], each: Iterable[T]) -> list[str]:
                started = time.perf_counter()
                found = list(pool.map(work, each))
                rates[name].append(ASSETS / (time.perf_counter() - started))
                return found

            def registered(document: Document) -> str:
                return str(node.client("fsp-a").post("/assets", json=document, headers=LD_JSON).raise_for_status().json()["id"])

            def requested(iri: str) -> str:
                made = gaining.post("/switches", json={"type": "Switch", "switchAsset": iri}, headers=LD_JSON)
                return str(made.raise_for_status().json()["switchDate"])

            def moved(day: str) -> str:
                calendar.go_to(parse_stamp(day))
                while gaining.get("/switches?switchStatus=IN_NOTICE&limit=1").json()["items"]:
                    time.sleep(0.02)
                return day

            def changed(iri: str) -> str:
                headers = {"Content-Type": "application/merge-patch+json", "If-Match": "*"}
                return gaining.patch(iri, json={"assetName": "Renamed"}, headers=headers).raise_for_status().text

            for _ in range(ROUNDS):
                iris = timed("registered", registered, [node.battery(**given) for _ in range(ASSETS)])
                days = timed("requested", requested, iris)
                timed("moved", moved, [max(days)])
                timed("changed", changed, iris)
        median = {name: statistics.median(found) for name, found in rates.items()}
        ratio = median["requested"] / median["registered"]
        yield Finding(f"switches requested over HTTP, {AT_ONCE} at once", f"{median['requested']:.0f}/s", f"registrations the same way {median['registered']:.0f}/s", ratio)
        ratio = median["moved"] / median["changed"]
        yield Finding(f"{ASSETS} switches that fall due at one midnight", f"{median['moved']:.0f}/s", f"updates over HTTP, {AT_ONCE} at once {median['changed']:.0f}/s", ratio)
