"""The feed: the journal as events, for one receiver at a time, from any place on.

Rules kept here: the receiver's rights are those that it has now; what is read goes through `reveal`; versions are counted as the
receiver can tell them apart; a look ends after so many entries, found something or not, so that nobody's feed costs anybody
else's; entries that cannot concern the receiver are passed over in the journal's own tables, without their documents being read.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from fmar_node.access.caller import Caller
from fmar_node.access.past import Look, earlier_look, look_of
from fmar_node.checks.material import PERCENT
from fmar_node.errors import Malformed
from fmar_node.event import EVERYTHING, NAMING, Event, Wish, event_of, marks_of
from fmar_node.journal.register import Register
from fmar_node.record import Version, uuid_of
from fmar_node.vocabulary import Document, Tier, Vocabulary

T = TypeVar("T")
STEP_ENTRIES, STEP_RECORDS = 5_000, 200
"""One step of a look passes over so many entries at most, and reads so many documents of them."""
LOOK_SECONDS = 0.25
"""Who waits looks so often whether the journal has moved, even where nothing tells it to."""
BREATH_SECONDS = 0.1
"""Shortest time between two looks of one that waits: entries that come in quick succession are told together."""


@dataclass(frozen=True, slots=True)
class Page:
    """Events in the order of the journal, the entry up to which it was looked through for them, and how many entries there are behind that."""

    events: list[Event]
    seen: int
    behind: int


@dataclass(slots=True)
class Count:
    """The versions of a record that a receiver could tell apart, up to one of them."""

    number: int = 0
    """Of the stored version that was counted last."""
    told: int = 0
    face: Document | None = None


@dataclass(slots=True)
class Memory:
    """What one look into the journal remembers: how records look now, how far it has counted their versions, and who has granted its receiver something."""

    presents: dict[str, Look] = field(default_factory=dict)
    counts: dict[str, Count] = field(default_factory=dict)
    grantors: frozenset[str] | None = None


class Feed:
    """Looks into one register; in one thread."""

    def __init__(self, register: Register, vocabulary: Vocabulary, material_percent: float = PERCENT) -> None:
        self.register, self.vocabulary, self.material_percent = register, vocabulary, material_percent

    def page(self, caller: Caller, after: int, limit: int, wish: Wish = EVERYTHING, most: int = STEP_ENTRIES) -> Page:
        """Up to `limit` events after an entry, of the next `most` entries."""
        events: list[Event] = []
        memory, newest = Memory(), self.register.size() - 1
        last = min(newest, after + most)
        for read, (index, cause) in enumerate(self.register.naming(after, last, marks_of(caller), NAMING, sorted(wish.kinds)), start=1):
            if (event := self._told(index, cause, caller, wish, memory)) is not None:
                events.append(event)
            if len(events) == limit or read == STEP_RECORDS:
                return Page(events, index, newest - index)
        return Page(events, max(after, last), max(0, newest - max(after, last)))

    def event(self, index: int, caller: Caller, wish: Wish = EVERYTHING) -> Event | None:
        """What an entry means to a caller now; None where it means nothing."""
        return self._told(index, self.register.cause_of(index), caller, wish, Memory())

    def _told(self, index: int, cause: int | None, caller: Caller, wish: Wish, memory: Memory) -> Event | None:
        version = self.register.version_at(index)
        if version is None:
            return None
        previous = self.register.previous(version)
        then, now = look_of(version, caller, self.register.version), self._look(version, caller, memory)
        has_gone = not then.sight.tiers
        earlier = previous and (look_of(previous, caller, self.register.version) if has_gone else self._look(previous, caller, memory))
        before, after = earlier.document(self.vocabulary) if earlier else None, now.document(self.vocabulary)
        if before == after:
            return None
        number, grantors = self._number(version, caller, memory), self._grantors(version.kind, caller, memory)
        is_whole = not now.as_of and now.sight.tiers == frozenset(Tier)
        event = event_of(version, before, after, number, caller, cause, grantors, is_whole=is_whole, material_percent=self.material_percent)
        return event if event and wish.grants(event, [face for face in (before, after) if face is not None]) else None

    def _look(self, version: Version, caller: Caller, memory: Memory) -> Look:
        """How the record looks to the caller with a version, as `read.Reader.revealed` has it."""
        if (present := memory.presents.get(version.id)) is None:
            newest = self.register.current(version.kind, version.id) or version
            present = memory.presents[version.id] = look_of(newest, caller, self.register.version)
        return earlier_look(version, present, caller, self.register.version)

    def _number(self, version: Version, caller: Caller, memory: Memory) -> int:
        """The version as the caller counts it: see `read.Reader.versions`."""
        count = memory.counts.setdefault(version.id, Count())
        for earlier in self.register.versions(version.kind, version.id, count.number):
            if earlier.number > version.number:
                break
            face = self._look(earlier, caller, memory).document(self.vocabulary)
            if face is not None and face != count.face:
                count.told, count.face = count.told + 1, face
            count.number = earlier.number
        return count.told

    def _grantors(self, kind: str, caller: Caller, memory: Memory) -> frozenset[str]:
        if kind != "organisations" or not caller.organisation:
            return frozenset()
        if memory.grantors is None:
            held = self.register.belonging("delegations", caller.organisation, ("ACTIVE",))
            memory.grantors = frozenset(uuid_of(each.document["grantor"]) for each in held)
        return memory.grantors


class Pulse:
    """Tells those who wait that the journal has moved."""

    def __init__(self, register: Register) -> None:
        self.register = register
        self.moved = asyncio.Event()
        self.size = 0

    def beat(self) -> None:
        """Looks whether there are more entries than there were."""
        if (size := self.register.size()) != self.size:
            self.size = size
            self.moved.set()
            self.moved = asyncio.Event()

    async def wait(self, seen: int, seconds: float) -> bool:
        """Whether there is an entry after `seen`, at the latest after so many seconds."""
        moved = self.moved
        self.beat()
        if self.size <= seen + 1:
            try:
                async with asyncio.timeout(min(seconds, LOOK_SECONDS)):
                    await moved.wait()
            except TimeoutError:
                self.beat()
        return self.size > seen + 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks the feed for; `caller` says what the register makes of it at the time."""

    caller: Callable[[], Caller]
    limit: int
    wish: Wish
    most: int


class Feeds:
    """The feed for all who ask: its steps run one after the other in a thread of their own, and in turns for those who ask at once."""

    def __init__(self, register: Register, vocabulary: Vocabulary, pulse: Pulse, material_percent: float) -> None:
        self.feed, self.pulse = Feed(register, vocabulary, material_percent), pulse
        self.thread = ThreadPoolExecutor(1, "feed")
        self.waiting: Counter[str] = Counter()
        """Who waits for an event now, and how many times."""

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.thread, work)

    async def page(self, caller: Caller, after: int, limit: int, wish: Wish, most: int) -> Page:
        """Events after an entry; it ends where there are `limit` of them, the journal ends, or `most` entries were looked through."""
        events: list[Event] = []
        seen, end = after, after + most
        while True:
            found = await self._do(partial(self.feed.page, caller, seen, limit - len(events), wish, min(STEP_ENTRIES, end - seen)))
            events, seen = events + found.events, found.seen
            if len(events) == limit or seen >= end or not found.behind:
                return Page(events, seen, found.behind)

    async def next(self, wanted: Wanted, after: int, seconds: float, is_over: Callable[[], Awaitable[bool]]) -> Page:
        """As `page`, and where the journal ends before there is an event, waits for one; `is_over` says when nobody waits any more."""
        deadline = time.monotonic() + seconds
        while True:
            page = await self.page(wanted.caller(), after, wanted.limit, wanted.wish, wanted.most)
            if page.events or page.behind:
                return page
            after = page.seen
            while not await self.pulse.wait(after, max(0.0, deadline - time.monotonic())):
                if time.monotonic() >= deadline or await is_over():
                    return page
            await asyncio.sleep(BREATH_SECONDS)

    async def before(self, time: str) -> int:
        """The newest entry that was recorded before a time; -1 where there is none."""
        return await self._do(partial(self.feed.register.index_before, time))

    async def close(self) -> None:
        await self._do(self.feed.register.connection.close)
        self.thread.shutdown()


def cursor_of(index: int) -> str:
    """What a receiver keeps to go on after an entry."""
    return base64.urlsafe_b64encode(json.dumps({"after": index}, separators=(",", ":")).encode()).decode().rstrip("=")


def index_of(cursor: str) -> int:
    """The entry after which a cursor goes on. Malformed where this node has issued no such one."""
    try:
        index = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))["after"]
    except (ValueError, TypeError, KeyError, RecursionError):
        index = None
    if type(index) is not int or not -1 <= index < 10**15 or cursor_of(index) != cursor:
        raise Malformed("malformed-request", "this cursor was not issued by this node")
    return index
