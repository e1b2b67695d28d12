"""Has switches take effect that rest on a consent: on their day its solution is asked again, and only where it says so does anything move.

Rules kept here: what is due follows from the journal, and nothing is remembered beside it, so that a node that was down catches up, in the
order of the days; a consent that holds no longer ends in the register, and its switch with it; a solution that gives no answer delays the
switch, is asked again, later and later, and is named in the log; all of it is entered by the one write path.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

from fmar_node.access.caller import node_itself
from fmar_node.clock import Clock, stamp
from fmar_node.drafting import Submission
from fmar_node.errors import Conflict, FmarError, Stale
from fmar_node.journal.register import Register, Window
from fmar_node.kinds.switch import EFFECT, IN_NOTICE
from fmar_node.record import Version, uuid_of
from fmar_node.representation import LD_JSON, fingerprint, json_bytes
from fmar_node.settings import Settings
from fmar_node.sources.consent import ENDED, Consents, ConsentVerdict

log = logging.getLogger("fmar.switch")
LOOK_SECONDS = 1.0
PAGE = 100
Submit = Callable[[Submission], Awaitable[object]]


class SwitchWatch:
    """The follower; `run` goes on until it is cancelled. It has a register of its own, which it reads in a thread."""

    def __init__(self, register: Register, consents: Consents, submit: Submit, settings: Settings, clock: Clock) -> None:
        self.register, self.consents, self.submit, self.settings, self.clock = register, consents, submit, settings, clock
        self.reading = threading.Lock()
        self.seen: int | None = None
        """The newest entry of the journal that was looked at; None: every switch is to be looked at."""
        self.waiting: dict[str, str] = {}
        """When each switch takes effect that rests on a consent."""
        self.pauses: dict[str, tuple[int, float]] = {}
        """How often a switch has waited for an answer in vain, and until when it is left alone."""

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("switches could not be looked for; it is tried again")
                self.seen = None
            await asyncio.sleep(LOOK_SECONDS)

    async def close(self) -> None:
        """Ends its connection to the journal. Cancel `run` before."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self.reading:  # a look that was cut off may still be at it
            self.register.connection.close()

    async def look(self) -> None:
        """Settles every switch that is due and may be asked about now."""
        for switch, consent in await asyncio.to_thread(self._due):
            await self._settle(switch, consent)

    # -- what is due

    def _due(self) -> list[tuple[Version, Version]]:
        """The switches that are due, in the order of their days, each with its consent."""
        with self.reading:
            for version in self._moved():
                self._note(version)
            now, found = stamp(self.clock.now()), list[tuple[Version, Version]]()
            for at, id_ in sorted((at, id_) for id_, at in self.waiting.items()):
                if at > now:
                    break
                if self.pauses.get(id_, (0, 0.0))[1] > time.monotonic():
                    continue
                switch = self.register.current("switches", id_)
                consent = self.register.current("consents", uuid_of(switch.document["consent"])) if switch else None
                if switch is not None and consent is not None and switch.state == IN_NOTICE:
                    found.append((switch, consent))
            return found

    def _moved(self) -> Iterator[Version]:
        size = self.register.size()
        if self.seen is None:
            self.waiting.clear()
            after = ""
            while page := self.register.page("switches", Window(everything=True), after, PAGE, {"switchStatus": IN_NOTICE}):
                yield from page
                after = page[-1].id
        else:
            index = self.seen
            while entries := self.register.of_kind_since("switches", index, PAGE):
                yield from entries
                index = entries[-1].index
        self.seen = size - 1

    def _note(self, switch: Version) -> None:
        self.pauses.pop(switch.id, None)
        if switch.state == IN_NOTICE and "consent" in switch.document:
            self.waiting[switch.id] = switch.document["effectiveAt"]
        else:
            self.waiting.pop(switch.id, None)

    # -- what is said of it

    async def _settle(self, switch: Version, consent: Version) -> None:
        verdict = await self._verdict(consent)
        base_url = switch.iri.removesuffix(f"/switches/{switch.id}")
        if verdict is ConsentVerdict.VALID:
            asked_about = (fingerprint(switch.document),)
            await self._enter(switch, Submission(node_itself("consent"), "switches", EFFECT, switch.id, base_url, LD_JSON, b"{}", if_match=asked_about))
        elif verdict in ENDED:
            note = json_bytes({"revokedAt": stamp(self.clock.now())})
            await self._enter(switch, Submission(node_itself("consent"), "consents", "revocation", consent.id, base_url, LD_JSON, note))
        else:
            self._put_off(switch, f"its consent solution says {verdict}")

    async def _verdict(self, consent: Version) -> ConsentVerdict:
        """What its solution says of a consent now; nothing can be asked of one that was erased."""
        solution, reference = consent.document["consentSolution"], consent.document.get("solutionReference", "")
        if not reference:
            return ConsentVerdict.UNKNOWN
        said = await self.consents.recheck(solution, {reference: consent.document.get("statusPlace", "")})
        return said.get(reference, ConsentVerdict.UNAVAILABLE)

    async def _enter(self, switch: Version, submission: Submission) -> None:
        try:
            with suppress(Conflict, Stale):  # it has moved on meanwhile, and is looked at again if it is due
                await self.submit(submission)
        except FmarError as refusal:
            self._put_off(switch, refusal.code)

    def _put_off(self, switch: Version, why: str) -> None:
        times, _ = self.pauses.get(switch.id, (0, 0.0))
        pause = min(self.settings.source_pause_seconds * 2 ** min(times, 30), self.settings.source_pause_seconds_most)
        self.pauses[switch.id] = times + 1, time.monotonic() + pause
        if times == 0:
            log.warning("the switch %s is due and waits: %s; it is tried again", switch.id, why)
