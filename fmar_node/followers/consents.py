"""Sees to it that what a consent solution has taken back is taken back here: at once when it notifies, and by asking again where it has not.

Rules kept here: what is to be revoked follows from the inbox, from the solutions and from the journal, and nothing is remembered beside them, so
that a restart loses nothing; a consent of which the notification came before its record is revoked as soon as there is one; a solution that
does not answer, or does not know a consent, says nothing of it; all of it is entered by the one write path.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress

from fmar_node.access.caller import node_itself
from fmar_node.clock import Clock, stamp
from fmar_node.drafting import Submission
from fmar_node.errors import Conflict, FmarError
from fmar_node.journal.register import Register, Window
from fmar_node.kinds.consent import VALID, handle
from fmar_node.record import Version
from fmar_node.representation import LD_JSON, json_bytes
from fmar_node.settings import Settings
from fmar_node.sources.consent import ENDED, Consents, ConsentVerdict
from fmar_node.sources.inbox import Inbox
from fmar_node.sources.notification import REVOKED, Notification

log = logging.getLogger("fmar.consent")
LOOK_SECONDS = 30.0
PAGE = 100
Submit = Callable[[Submission], Awaitable[object]]


class ConsentWatch:
    """The follower; `run` goes on until it is cancelled. It has a register of its own, which it reads in a thread."""

    def __init__(self, register: Register, consents: Consents, inbox: Inbox, submit: Submit, settings: Settings, clock: Clock) -> None:
        self.register, self.consents, self.inbox, self.submit, self.settings, self.clock = register, consents, inbox, submit, settings, clock
        self.woken = asyncio.Event()
        self.reading = threading.Lock()
        self.seen: int | None = None
        """The newest entry of the journal that was looked at; None: every consent that holds is to be looked at."""

    def wake(self) -> None:
        """There may be a new consent."""
        self.woken.set()

    async def run(self) -> None:
        await asyncio.gather(self._follow(), self._check())

    async def close(self) -> None:
        """Ends its connection to the journal. Cancel `run` before."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self.reading:  # a look that was cut off may still be at it
            self.register.connection.close()

    # -- what was notified

    async def take(self, notification: Notification) -> None:
        """Puts a notification down, and does what it says; what cannot be done now is done later. OutOfRoom where it cannot be put down."""
        if not self.inbox.take(notification) or notification.type != REVOKED:
            return
        try:
            for version in await asyncio.to_thread(self._named, notification):
                await self._revoke(version, notification.since)
        except FmarError as refusal:
            log.warning("a revocation could not be entered (%s); it is tried again", refusal.code)
            self.seen = None
            self.wake()

    def _named(self, notification: Notification) -> list[Version]:
        """The consents that a notification is about and that hold here."""
        with self.reading:
            ids = self.register.found(*handle(notification.solution, notification.reference))
            found = [self.register.current("consents", id_) for id_ in ids]
            return [version for version in found if version is not None and version.state == VALID]

    async def _follow(self) -> None:
        """Looks for consents that were revoked before they were recorded, or while the writer was away."""
        while True:
            self.woken.clear()
            try:
                for version in await asyncio.to_thread(self._new):
                    if since := self.inbox.since(*_name(version)):
                        await self._revoke(version, since)
            except Exception:
                log.exception("consents could not be looked through; it is tried again")
                self.seen = None
                await asyncio.sleep(1)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self.woken.wait()

    def _new(self) -> list[Version]:
        with self.reading:
            size = self.register.size()
            if self.seen is None:
                found = [version for page in self._holding() for version in page]
            else:
                found = self._made_since(self.seen)
            self.seen = size - 1
            return found

    def _made_since(self, index: int) -> list[Version]:
        found = list[Version]()
        while entries := self.register.of_kind_since("consents", found[-1].index if found else index, PAGE):
            found += entries
        return [version for version in found if version.state == VALID]

    def _holding(self) -> Iterator[list[Version]]:
        """The consents that hold, by id, page by page."""
        after = ""
        while page := self.register.page("consents", Window(everything=True), after, PAGE, {"consentStatus": VALID}):
            yield page
            after = page[-1].id

    async def _revoke(self, version: Version, since: str) -> None:
        """Enters a revocation with all that follows from it; nothing where the consent holds no longer."""
        base_url = version.iri.removesuffix(f"/consents/{version.id}")
        caller, note = node_itself("consent"), json_bytes({"revokedAt": since})
        with suppress(Conflict):
            await self.submit(Submission(caller, "consents", "revocation", version.id, base_url, LD_JSON, note))

    # -- what was not notified

    async def _check(self) -> None:
        """Asks the solutions about every consent that holds, again and again; sooner where one gives no answer."""
        silent = 0
        while True:
            whole = self.settings.consent_check_seconds
            await asyncio.sleep(min(whole, self.settings.source_pause_seconds * 2 ** min(silent - 1, 30)) if silent else whole)
            try:
                is_whole = await self.check()
            except Exception:
                log.exception("consents could not be checked; it is tried again")
                is_whole = False
            silent = 0 if is_whole else silent + 1

    async def check(self) -> bool:
        """One check of every consent that holds; whether all solutions have answered."""
        is_whole, after = True, ""
        while page := await asyncio.to_thread(self._page, after):
            is_whole &= await self._check_page(page)
            after = page[-1].id
        return is_whole

    def _page(self, after: str) -> Sequence[Version]:
        with self.reading:
            return self.register.page("consents", Window(everything=True), after, PAGE, {"consentStatus": VALID})

    async def _check_page(self, page: Sequence[Version]) -> bool:
        by_solution: dict[str, dict[str, Version]] = defaultdict(dict)
        for version in page:
            solution, reference = _name(version)
            if reference:
                by_solution[solution][reference] = version
        is_whole = True
        for solution, versions in by_solution.items():
            places = {reference: version.document.get("statusPlace", "") for reference, version in versions.items()}
            verdicts = await self.consents.recheck(solution, places)
            for reference, verdict in verdicts.items():
                if verdict in ENDED:
                    await self._revoke_all(page, solution, reference)
            is_whole &= ConsentVerdict.UNAVAILABLE not in verdicts.values()
        if not is_whole:
            log.warning("a consent solution gives no answer about consents that hold, and is asked again")
        return is_whole

    async def _revoke_all(self, page: Sequence[Version], solution: str, reference: str) -> None:
        """Several records may rest on one consent."""
        for version in page:
            if _name(version) == (solution, reference):
                await self._revoke(version, stamp(self.clock.now()))


def _name(version: Version) -> tuple[str, str]:
    """What a solution knows a consent by; of an erased one nothing is left."""
    return version.document["consentSolution"], version.document.get("solutionReference", "")
