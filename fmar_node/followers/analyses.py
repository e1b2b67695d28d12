"""Has the impact of proposed releases worked out, one after the other, and enters what came out of it.

Rules kept here: what is to be analysed follows from the journal; the work is done in a process of its own, which may end at any time and
is started again where it stopped; no request waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from fmar_node.access.caller import node_itself
from fmar_node.drafting import Submission
from fmar_node.errors import FmarError
from fmar_node.folder import Folder
from fmar_node.identity import new_token
from fmar_node.impact import Impact, impact_at, impact_file
from fmar_node.journal.register import Register, Window
from fmar_node.kinds import KINDS
from fmar_node.process import Child
from fmar_node.record import Version
from fmar_node.representation import LD_JSON, json_bytes
from fmar_node.settings import Settings

log = logging.getLogger("fmar.analysis")
PAUSE = 5.0
"""Seconds before an analysis that did not come to its end is started again."""
LOOK_SECONDS = 60.0


class Analyses:
    """The follower; `run` goes on until it is cancelled."""

    def __init__(self, register: Register, folder: Folder, submit: Callable[[Submission], Awaitable[object]], settings: Settings) -> None:
        self.register, self.folder, self.submit, self.settings = register, folder, submit, settings
        self.woken = asyncio.Event()
        self.child: Child | None = None

    def wake(self) -> None:
        """A release has changed: there may be something to analyse."""
        self.woken.set()

    async def run(self) -> None:
        while True:
            self.woken.clear()
            pause = LOOK_SECONDS
            for version in self._waiting():
                try:
                    await self._analyse(version)
                except (FmarError, OSError, EOFError) as error:
                    log.error("the analysis of release %s did not come to its end; it is taken up again: %s", version.document["releaseNumber"], error)
                    pause = PAUSE
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.woken.wait()

    def _waiting(self) -> list[Version]:
        """The releases whose impact is not known."""
        states = KINDS["releases"].actions["impact"].states
        found = [each for state in sorted(states) for each in self.register.page("releases", Window(everything=True), "", 100, {"releaseStatus": state})]
        return [version for version in found if "impactAt" not in version.document]

    async def _analyse(self, version: Version) -> None:
        impact = impact_at(impact_file(self.folder, version.id))
        if impact is None or impact.of != version.number or not impact.finished:
            await self._work(version.id)
            impact = impact_at(impact_file(self.folder, version.id))
        current = self.register.current("releases", version.id)
        if impact is None or not impact.finished:
            raise EOFError("the process ended")
        if current is not None and current.number == impact.of:
            await self.submit(self._entered(version, impact))

    async def _work(self, id_: str) -> None:
        self.child = child = await Child.start("fmar_node.analysis", str(self.folder.root), id_)
        try:
            await child.send({"settings": self.settings.model_dump()})
            await child.wait()
        finally:
            self.child = None
            child.kill()

    def _entered(self, version: Version, impact: Impact) -> Submission:
        note = {"impactAt": impact.finished, "impactRecords": impact.looked, "impactFailing": impact.failing}
        base_url = self.settings.base_url
        return Submission(node_itself("analysis"), version.kind, "impact", version.id, base_url, LD_JSON, json_bytes(note), digest=new_token())

    async def close(self) -> None:
        """Ends the process at work; it is taken up again by the next start. Cancel `run` before."""
        if self.child is not None:
            self.child.kill()
        self.register.connection.close()
