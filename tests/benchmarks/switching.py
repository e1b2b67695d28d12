"""What a switch of provider costs: switches made effective by the clock, beside plain updates of as many assets in the same register.

Rules kept here: rounds take turns and medians are compared; both go through the one write path, in this process, one commit each; an update is
judged by shapes on its way, as every submission is, and a switch was judged when it was requested; what is
made effective was requested before the clock starts.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from fmar_node.kinds import House
from tests.benchmarks.reach import medians
from tests.benchmarks.trust import Finding
from tests.market import BASE, Market, battery

ASSETS = 200
SWITCH_ROWS = ("switches",)


class Switching:
    """The table's rows; `rows` names them."""

    def __init__(self, scratch: Path) -> None:
        self.scratch, self.serials = scratch, count()
        self.rows: dict[str, Callable[[], Iterator[Finding]]] = {"switches": self.switches}

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
