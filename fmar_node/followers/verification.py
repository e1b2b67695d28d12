"""Asks external sources about the records that wait for their answers, and enters what they answer.

Rules kept here: what has to be asked follows from the journal, and nothing is remembered beside it, so that a restart loses no
question; all sources of a record are asked at once, and what they have answered is entered by the one write path, about the version
that was asked about, and dropped where the record has moved on meanwhile; what one source has answered is kept while another is
silent; a source that does not answer is asked again, later and later, and where it answers nobody, seldom; no request waits
for any of this.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from fmar_node.access.caller import node_itself
from fmar_node.clock import Clock, stamp
from fmar_node.drafting import Submission
from fmar_node.errors import FmarError, Malformed, Stale
from fmar_node.folder import Folder, is_open, readable
from fmar_node.imports.published import ConnectionFile
from fmar_node.journal.register import Register, Window
from fmar_node.kinds import KINDS
from fmar_node.kinds.inquiry import VERIFICATION
from fmar_node.kinds.validation import OVERDUE, PENDING, QUERY
from fmar_node.record import Version
from fmar_node.representation import LD_JSON, fingerprint, json_bytes
from fmar_node.settings import CONNECTION, Settings
from fmar_node.sources.asker import key_in
from fmar_node.sources.companies_register import CompaniesRegister
from fmar_node.sources.connection import ConnectionNode
from fmar_node.sources.mcs import CertificateRegister
from fmar_node.sources.meter_point import MeterPointService
from fmar_node.sources.oem import SerialRegister
from fmar_node.sources.source import ExternalSource, Finding, SourceUnavailable
from fmar_node.vocabulary import Document

log = logging.getLogger("fmar.verification")
LOOK_SECONDS = 30.0
"""The node looks so often for what has to be asked, even where nothing tells it to."""
COUNT_SECONDS = 600.0
"""The assets that are overdue are counted so often."""
PAGE = 100
NONE_OVERDUE = {PENDING: 0, QUERY: 0}
CLIENTS = (CompaniesRegister, MeterPointService, CertificateRegister, SerialRegister, ConnectionNode)
INQUIRIES = {kind.plural: kind.inquiry for kind in KINDS.values() if kind.inquiry}
Submit = Callable[[Submission], Awaitable[object]]
Key = tuple[str, str]
"""A kind and the id of a record."""


@dataclass(slots=True)
class Trouble:
    """How often there was no answer in a row, when to try again, and since when it is waited for (xsd:dateTime)."""

    times: int = 0
    until: float = 0.0
    since: str = ""

    def grow(self, settings: Settings, now: float, pause: float = 0.0) -> None:
        """One more time without an answer: twice the pause, or as long as the source asks for, and never longer than the longest."""
        grown = settings.source_pause_seconds * 2 ** min(self.times, 30)
        self.times += 1
        self.until = now + min(max(grown, pause), settings.source_pause_seconds_most)


@dataclass(slots=True)
class Line:
    """A source, and its silence: it is left alone after as many questions in a row as may be under way had no answer."""

    source: ExternalSource
    unanswered: int = 0
    silence: Trouble = field(default_factory=Trouble)

    def answered(self) -> None:
        if self.unanswered:
            log.warning("%s answers again", self.source.name)
        self.unanswered, self.silence = 0, Trouble()

    def not_answered(self, refusal: SourceUnavailable, settings: Settings) -> None:
        if self.unanswered == 0:
            log.warning("%s gives no answer, and is asked again: %s", self.source.name, str(refusal))
        self.unanswered += 1
        if self.unanswered >= settings.source_questions or refusal.pause:
            self.silence.grow(settings, time.monotonic(), refusal.pause)


@dataclass(frozen=True, slots=True)
class Question:
    """A version of a record, and who is asked about it now; nobody, where all have answered and that is to be entered."""

    version: Version
    lines: tuple[Line, ...]

    @property
    def key(self) -> Key:
        return self.version.kind, self.version.id


class Queue:
    """The records that wait, each once, in the order in which their turns come: first those that were not asked about yet."""

    def __init__(self) -> None:
        self.heap: list[tuple[float, int, Key]] = []
        self.keys: set[Key] = set()
        self.number = itertools.count()

    def put(self, key: Key, turn: float) -> None:
        if key not in self.keys:
            self.keys.add(key)
            heapq.heappush(self.heap, (turn, next(self.number), key))

    def due(self, now: float) -> Iterator[Key]:
        """Takes those out whose turn has come."""
        while self.heap and self.heap[0][0] <= now:
            key = heapq.heappop(self.heap)[2]
            self.keys.remove(key)
            yield key

    @property
    def turn(self) -> float:
        """When the next one's turn comes."""
        return self.heap[0][0] if self.heap else float("inf")


class Verification:
    """The follower; `run` goes on until it is cancelled. It has a register of its own, which it reads in a thread."""

    def __init__(self, register: Register, sources: Sequence[ExternalSource], submit: Submit, settings: Settings, clock: Clock) -> None:
        self.register, self.submit, self.settings, self.clock = register, submit, settings, clock
        self.lines = {source.name: Line(source) for source in sources}
        self.woken = asyncio.Event()
        self.reading = threading.Lock()
        self.seen: int | None = None
        """The newest entry of the journal that was looked at."""
        self.queue = Queue()
        self.troubles: dict[Key, Trouble] = {}
        self.overdue = NONE_OVERDUE
        """How many assets have waited, or been queried, for longer than they should: by state."""
        self.count_at = 0.0

    def wake(self) -> None:
        """A record has changed: there may be something to ask."""
        self.woken.set()

    async def run(self) -> None:
        while True:
            self.woken.clear()
            asked = 0
            try:
                asked = await self._round()
            except Exception:
                log.exception("what has to be asked could not be looked for; it is tried again")
                self.seen = None  # what was under way is found again
            if not asked:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._nap()):
                        await self.woken.wait()

    async def close(self) -> None:
        """Ends its connections, to the sources and to the journal. Cancel `run` before."""
        await asyncio.gather(*(line.source.close() for line in self.lines.values()))
        await asyncio.to_thread(self._close_register)

    def _close_register(self) -> None:
        with self.reading:  # a look that was cut off may still be at it
            self.register.connection.close()

    async def _round(self) -> int:
        """Asks about as many records as may be asked about at once; how many there were."""
        questions = await asyncio.to_thread(self._look)
        await asyncio.gather(*map(self._settle, questions))
        return len(questions)

    # -- what has to be asked

    def _look(self) -> list[Question]:
        with self.reading:
            for version in self._changed():
                self._note(version)
            if time.monotonic() >= self.count_at:
                self._count_overdue()
            return self._due()

    def _changed(self) -> Iterator[Version]:
        """The records that wait, when the node has started; then what is new in the journal."""
        if self.seen is None:
            seen = self.register.size() - 1
            for kind, inquiry in INQUIRIES.items():
                if inquiry.sources & self.lines.keys():
                    yield from waiting(self.register, kind)
            self.seen = seen
        while entries := self.register.since(self.seen, PAGE):
            yield from entries
            self.seen = entries[-1].index

    def _note(self, version: Version) -> None:
        key = version.kind, version.id
        if self._wanted(version) is None:
            self.troubles.pop(key, None)
        else:
            self.queue.put(key, self.troubles[key].until if key in self.troubles else 0.0)

    def _wanted(self, version: Version) -> frozenset[str] | None:
        inquiry = INQUIRIES.get(version.kind)
        return inquiry.wanted(version.document, frozenset(self.lines)) if inquiry else None

    def _due(self) -> list[Question]:
        """The records whose turn has come, and that somebody who is not silent can be asked about."""
        now, found = time.monotonic(), list[Question]()
        if all(line.silence.until > now for line in self.lines.values()):
            return found
        for key in self.queue.due(now):
            version = self.register.current(*key)
            wanted = self._wanted(version) if version else None
            if version is None or wanted is None:
                self.troubles.pop(key, None)
                continue
            lines = [self.lines[name] for name in sorted(wanted)]
            speaking = tuple(line for line in lines if line.silence.until <= now)
            if lines and not speaking:
                self.troubles.setdefault(key, Trouble(since=version.recorded_at))
                self.queue.put(key, min(line.silence.until for line in lines))
                continue
            found.append(Question(version, speaking))
            if len(found) == self.settings.source_questions:
                break
        return found

    def _nap(self) -> float:
        """Seconds until there may be something to do, if nothing wakes it before."""
        now = time.monotonic()
        turn = max(self.queue.turn, min(line.silence.until for line in self.lines.values()))
        return min(max(turn - now, 0.01), LOOK_SECONDS)

    # -- what was answered

    async def _settle(self, question: Question) -> None:
        """The questions about one record, and the entry that their answers make."""
        answers = await asyncio.gather(*(self._answer(line, question.version.document) for line in question.lines))
        findings = [answer for answer in answers if isinstance(answer, Finding)]
        pauses = [answer.pause for answer in answers if isinstance(answer, SourceUnavailable)]
        if pauses:
            self._trouble(question).grow(self.settings, time.monotonic(), max(pauses))
        if findings or not pauses:
            await self._enter(question, findings)
        else:
            self.queue.put(question.key, self._trouble(question).until)

    async def _answer(self, line: Line, document: Document) -> Finding | SourceUnavailable:
        try:
            finding = await line.source.ask(document)
        except SourceUnavailable as refusal:
            line.not_answered(refusal, self.settings)
            return refusal
        line.answered()
        return finding

    async def _enter(self, question: Question, findings: list[Finding]) -> None:
        try:
            await self.submit(submission_of(question.version, findings))
        except Stale:
            log.info("an answer came too late; the record is asked about as it is now")
            self.queue.put(question.key, 0.0)
        except FmarError as refusal:
            log.warning("an answer could not be entered (%s); it is tried again", refusal.code)
            trouble = self._trouble(question)
            trouble.grow(self.settings, time.monotonic())
            self.queue.put(question.key, trouble.until)

    def _trouble(self, question: Question) -> Trouble:
        return self.troubles.setdefault(question.key, Trouble(since=question.version.recorded_at))

    # -- what has been waited for too long

    def _count_overdue(self) -> None:
        """By the clock of each asset; and what has waited since before assets had one."""
        limit, answered = (stamp(self.clock.now() - timedelta(seconds=each)) for each in (self.settings.validation_seconds, self.settings.asset_query_seconds))
        pending = {id_ for (kind, id_), trouble in self.troubles.items() if kind == "assets" and trouble.since < limit}
        pending.update(self.register.found(OVERDUE, PENDING))
        found = {PENDING: len(pending), QUERY: self.register.unchanged_since("assets", QUERY, answered, OVERDUE)}
        if found != self.overdue and any(found.values()):
            log.warning("assets have waited for their validation for too long: %s unanswered, %s queried", *found.values())
        self.overdue, self.count_at = found, time.monotonic() + COUNT_SECONDS


def clients(settings: Settings, folder: Folder, clock: Clock) -> list[ExternalSource]:
    """Of the sources that are configured; Malformed where one cannot be asked as the settings say."""
    asked = [client for client in CLIENTS if client.name in settings.sources]
    is_file = bool(settings.connection_file) and not settings.connection_url
    made: list[ExternalSource] = [client(settings, clock, _key(client.name, settings, folder)) for client in asked if not (is_file and client.name == CONNECTION)]
    return [*made, ConnectionFile(folder.root / settings.connection_file, settings.connection_area, clock)] if is_file else made


def _key(source: str, settings: Settings, folder: Folder) -> str:
    if not (given := settings.source_key_file(source)):
        return ""
    file = folder.root / given
    if file.exists() and is_open(file):
        raise Malformed("malformed-request", "{}; {}".format(*readable(file)))
    return key_in(file, f"{source.lower()}_key_file")


def waiting(register: Register, kind: str) -> Iterator[Version]:
    """The records of a kind that wait for answers, by id."""
    term, *values = INQUIRIES[kind].waiting
    for value in values:
        after = ""
        while page := register.page(kind, Window(everything=True), after, PAGE, {term: value}):
            yield from page
            after = page[-1].id


def submission_of(version: Version, findings: list[Finding]) -> Submission:
    """The node's own submission of what sources have answered about a version of a record."""
    base_url, note = version.iri.removesuffix(f"/{version.kind}/{version.id}"), INQUIRIES[version.kind].note(findings)
    caller = node_itself(" ".join(finding.source for finding in findings) or "node")
    asked_about = fingerprint(version.document)
    return Submission(caller, version.kind, VERIFICATION, version.id, base_url, LD_JSON, json_bytes(note), if_match=(asked_about,))
