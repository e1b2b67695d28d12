"""Asks an external source who the organisations are whose identity is pending, and enters what it answers.

Rules kept here: what has to be asked is what the journal's current state says, and nothing is remembered beside it, so that a
restart loses no question; what was answered is entered by the one write path, about the version that was asked about, and
dropped where the record has moved on meanwhile; a source that does not answer is asked again, later and later, and
where it answers nobody, seldom; no request waits for any of this.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from fmar_node.access.caller import node_itself
from fmar_node.clock import Clock
from fmar_node.drafting import Submission
from fmar_node.errors import FmarError, Malformed, Stale
from fmar_node.folder import Folder, is_open, readable
from fmar_node.journal.register import Register, Window
from fmar_node.kinds.identity import NOT_LEFT, VERIFICATION
from fmar_node.record import Version
from fmar_node.representation import LD_JSON, fingerprint, json_bytes
from fmar_node.settings import Settings
from fmar_node.sources.source import ExternalSource, Finding, SourceUnavailable
from fmar_node.vocabulary import Document

log = logging.getLogger("fmar.verification")
LOOK_SECONDS = 30.0
"""The node looks so often for what has to be asked, even where nothing tells it to."""
PAGE = 100
Submit = Callable[[Submission], Awaitable[object]]


@dataclass(slots=True)
class Trouble:
    """How often there was no answer in a row, and when to try again."""

    times: int = 0
    until: float = 0.0

    def grow(self, settings: Settings, now: float, pause: float = 0.0) -> None:
        """One more time without an answer: twice the pause, or as long as the source asks for, and never longer than the longest."""
        grown = settings.source_pause_seconds * 2 ** min(self.times, 30)
        self.times += 1
        self.until = now + min(max(grown, pause), settings.source_pause_seconds_most)


class Verification:
    """The follower; `run` goes on until it is cancelled. It has a register of its own, which it reads in a thread."""

    def __init__(self, register: Register, source: ExternalSource, submit: Submit, settings: Settings) -> None:
        self.register, self.source, self.submit, self.settings = register, source, submit, settings
        self.woken = asyncio.Event()
        self.reading = threading.Lock()
        self.troubles: dict[str, Trouble] = {}
        """By record; those of records that are no longer pending are forgotten."""
        self.silence = Trouble()
        """Of the source: it is left alone after as many questions in a row as may be under way had no answer."""
        self.unanswered = 0

    def wake(self) -> None:
        """An organisation has changed: there may be something to ask."""
        self.woken.set()

    async def run(self) -> None:
        while True:
            self.woken.clear()
            asked = 0
            try:
                asked = await self._round()
            except Exception:
                log.exception("what has to be asked could not be looked for; it is tried again")
            if not asked:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.woken.wait(), self._nap())

    async def close(self) -> None:
        """Ends its connections, to the source and to the journal. Cancel `run` before."""
        await self.source.close()
        await asyncio.to_thread(self._close_register)

    def _close_register(self) -> None:
        with self.reading:  # a look that was cut off may still be at it
            self.register.connection.close()

    async def _round(self) -> int:
        """Asks about as many records as may be asked about at once; how many there were."""
        if self.silence.until > time.monotonic():
            return 0
        due = await asyncio.to_thread(self._due)
        await asyncio.gather(*(self._settle(version) for version in due))
        return len(due)

    def _due(self) -> list[Version]:
        """The pending organisations whose turn has come: first those that were not asked about yet, then those asked about least often."""
        most = self.settings.source_questions
        with self.reading:
            fresh = (version for version in pending(self.register) if version.id not in self.troubles)
            found = list(itertools.islice(fresh, most))
            return [*found, *itertools.islice(self._again(), most - len(found))]

    def _again(self) -> Iterator[Version]:
        now = time.monotonic()
        for id_, trouble in sorted(self.troubles.items(), key=lambda item: item[1].times):
            version = self.register.current("organisations", id_)
            if version is None or not is_pending(version):
                del self.troubles[id_]
            elif trouble.until <= now:
                yield version

    def _nap(self) -> float:
        """Seconds until there may be something to do, if nothing wakes it before."""
        now = time.monotonic()
        turns = [max(trouble.until, self.silence.until) for trouble in self.troubles.values()]
        return min([max(turn - now, 0.01) for turn in turns] + [LOOK_SECONDS])

    async def _settle(self, version: Version) -> None:
        """One question, and the entry that its answer makes."""
        try:
            finding = await self.source.ask(version.document)
        except SourceUnavailable as refusal:
            self._not_answered(version.id, refusal)
            return
        self._answered()
        try:
            await self.submit(submission_of(version, finding))
            self.troubles.pop(version.id, None)
        except Stale:
            log.info("an answer came too late; the record is asked about as it is now")
        except FmarError as refusal:
            log.warning("an answer could not be entered (%s); it is tried again", refusal.code)
            self._later(version.id)

    def _not_answered(self, record: str, refusal: SourceUnavailable) -> None:
        self._later(record, refusal.pause)
        if self.unanswered == 0:
            log.warning("%s gives no answer, and is asked again: %s", self.source.name, refusal)
        self.unanswered += 1
        if self.unanswered >= self.settings.source_questions or refusal.pause:
            self.silence.grow(self.settings, time.monotonic(), refusal.pause)

    def _answered(self) -> None:
        if self.unanswered:
            log.warning("%s answers again", self.source.name)
        self.unanswered, self.silence = 0, Trouble()

    def _later(self, record: str, pause: float = 0.0) -> None:
        self.troubles.setdefault(record, Trouble()).grow(self.settings, time.monotonic(), pause)


def source_of(settings: Settings, folder: Folder, clock: Clock) -> ExternalSource | None:
    """The companies register, where one is configured; Malformed where it cannot be asked as the settings say."""
    if not settings.companies_register_url:
        return None
    from fmar_node.sources.companies_register import CompaniesRegister, key_in

    key = ""
    if settings.companies_register_key_file:
        file = folder.root / settings.companies_register_key_file
        if file.exists() and is_open(file):
            raise Malformed("malformed-request", "{}; {}".format(*readable(file)))
        key = key_in(file)
    return CompaniesRegister(settings, clock, key)


def pending(register: Register) -> Iterator[Version]:
    """The organisations that are waiting for an answer, by id."""
    after = ""
    while page := register.page("organisations", Window(everything=True), after, PAGE, {"identityStatus": "PENDING"}):
        yield from filter(is_pending, page)
        after = page[-1].id


def is_pending(version: Version) -> bool:
    return version.document.get("identityStatus") == "PENDING" and version.state in NOT_LEFT


def submission_of(version: Version, finding: Finding) -> Submission:
    """The node's own submission of what a source has answered about a version of an organisation."""
    base_url = version.iri.removesuffix(f"/{version.kind}/{version.id}")
    note = {"identityStatus": "CONFIRMED" if finding.is_confirmed else "QUERY", "identityEvidence": evidence(finding)}
    caller, asked_about = node_itself(finding.source), fingerprint(version.document)
    return Submission(caller, version.kind, VERIFICATION, version.id, base_url, LD_JSON, json_bytes(note), if_match=(asked_about,))


def evidence(finding: Finding) -> list[Document]:
    """A finding as parts of the record: one for each field that was compared."""
    common = {"evidenceKind": finding.source, "checkedAt": finding.at, "evidenceReference": finding.reference}
    return [
        {**common, "evidenceField": each.field, "evidenceOutcome": each.outcome.value, **({"comparedWith": each.found} if each.found else {})}
        for each in finding.comparisons
    ]
