"""Who was let do what, and who was not: lines of JSON in `log/security.jsonl` of the data folder.

Rules kept here:
- no request waits for a line: it is queued, and a thread of its own writes what has come, every fifth of a second;
- what cannot be written is kept while the queue has room, tried again, and beyond that dropped and counted; a full disk
  neither stops the node nor leaves half a line;
- files are readable by their owner only, are put aside at a size, and removed by number and age;
- a line is one line, whatever its values hold; lines are in the order of their ids, which are UUIDs of version 7, so that
  a time or a cursor is found by halving.

What a line may say is decided where it is made (`fmar_node.web.noted`).
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fmar_node.clock import Clock, stamp
from fmar_node.identity import new_record_id
from fmar_node.settings import Settings

NAME = "security.jsonl"
ASIDE = "security-*.jsonl"
EVERY = 0.2
"""Seconds between two looks at what has come."""
TIDY_EVERY = 3_600.0
"""Seconds between two looks at files that have become too old."""
AT_ONCE = 2_000
"""Lines of one write."""
BLOCK = 65_536
SCANNED = 16 * 1_048_576
"""Most bytes that are looked through for one page."""
MOST_NAMED = 50
"""Organisations and codes that one line names; the rest are counted."""
EVENTS = ("read", "write", "query", "token", "sign-in", "log-read", "refused")
Line = dict[str, Any]
log = logging.getLogger("fmar.security")


class SecurityLog:
    """The log of one node. `add` from any thread; `start` and `close` once each."""

    def __init__(self, folder: Path, settings: Settings, clock: Clock) -> None:
        self.folder, self.settings, self.clock = folder, settings, clock
        self.file = folder / NAME
        self.waiting: deque[str] = deque()
        self.dropped = 0
        """Lines that were lost since the start."""
        self.written = 0
        self.trouble = ""
        """What keeps lines from being written; empty when all is well."""
        self.out = -1
        self.lock = threading.Lock()
        """Held by whoever writes."""
        self.ending = threading.Event()
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run, name="security-log", daemon=True)
        self.thread.start()

    def add(self, event: str, said: Line) -> None:
        """Another line: when it happened, and what. Never waits, never fails."""
        if len(self.waiting) >= self.settings.security_log_waiting:
            self.dropped += 1
            return
        line = {"id": new_record_id(), "time": stamp(self.clock.now()), "event": event, **said}
        self.waiting.append(f"{json.dumps(line)}\n")  # a text: the garbage collector does not look at what waits

    def flush(self) -> None:
        """Writes what has come so far; waits for the disk."""
        with self.lock:
            try:
                while self.waiting:
                    self._write([self.waiting.popleft() for _ in range(min(AT_ONCE, len(self.waiting)))])
                self.trouble = ""
            except OSError as error:
                self._troubled(error)

    def close(self) -> None:
        """Writes what is left, onto the disk; what cannot be written then is lost."""
        self.ending.set()
        if self.thread:
            self.thread.join()
        self.flush()
        self.dropped += len(self.waiting)
        if self.out >= 0:
            with suppress(OSError):
                os.fsync(self.out)
            os.close(self.out)
            self.out = -1

    def _run(self) -> None:
        tidied = time.monotonic()
        while not self.ending.wait(EVERY):
            if self.waiting:
                self.flush()
            if time.monotonic() - tidied > TIDY_EVERY:
                tidied = time.monotonic()
                with suppress(OSError):
                    self._tidy()

    def _write(self, lines: list[str]) -> None:
        """All of these lines or, raising OSError, none: they are the first of the queue again then."""
        try:
            self._open()
            begun = os.fstat(self.out).st_size
            data = memoryview("".join(lines).encode("ascii"))
            try:
                while data:
                    data = data[os.write(self.out, data) :]
            except OSError:
                os.ftruncate(self.out, begun)
                raise
        except OSError:
            self.waiting.extendleft(reversed(lines))
            raise
        self.written += len(lines)

    def _open(self) -> None:
        """The file to write to: the one that is there, as long as it is not too large and nobody has taken it away."""
        if self.out >= 0:
            held = os.fstat(self.out)
            is_there = held.st_nlink > 0 and _inode(self.file) == held.st_ino
            if is_there and held.st_size < self.settings.security_log_bytes:
                return
            if is_there:
                os.fsync(self.out)
                self.file.rename(self.folder / f"security-{new_record_id()}.jsonl")
            os.close(self.out)
            self.out = -1
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.out = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._tidy()

    def _tidy(self) -> None:
        """Removes the files that are too many or too old."""
        aside = sorted(self.folder.glob(ASIDE), reverse=True)
        days = self.settings.security_log_days
        oldest = (self.clock.now() - timedelta(days=days)).timestamp() if days else 0.0
        for place, file in enumerate(aside):
            if place >= self.settings.security_log_files - 1 or file.stat().st_mtime < oldest:
                file.unlink(missing_ok=True)

    def _troubled(self, error: OSError) -> None:
        if not self.trouble:
            log.error("the security log cannot be written: %s", error)
        self.trouble = error.strerror or type(error).__name__


def note(folder: Path, settings: Settings, clock: Clock, event: str, said: Line) -> str:
    """One line of a command that reads or writes a data folder itself, beside a node or without one; why it cannot be written, or nothing."""
    log = SecurityLog(folder, settings, clock)
    log.add(event, said)
    log.close()
    return log.trouble


def _inode(file: Path) -> int:
    try:
        return file.stat().st_ino
    except OSError:
        return 0


@dataclass(frozen=True, slots=True)
class Wish:
    """Which lines: from and before an instant, of one event, before the line that a cursor names, about an organisation."""

    since: datetime | None = None
    until: datetime | None = None
    event: str = ""
    cursor: str = ""
    organisation: str = ""
    """Bare UUID of who did it, or for whom it was done; empty: everybody's."""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Lines, newest first, and the cursor of the next page; none where nothing older can be there."""

    lines: list[Line]
    cursor: str


def read(folder: Path, wish: Wish) -> Page:
    """The newest lines that are wished for. A page may have fewer than `limit` and still a cursor: so much was looked through."""
    first, last = _id_at(wish.since), min(filter(None, (wish.cursor, _id_at(wish.until))), default="~")
    found: list[Line] = []
    seen, scanned = "", 0
    for file in files(folder):
        for raw in _backwards(file, last):
            line = _parsed(raw)
            if line is None or (id_ := line["id"]) >= last:
                continue
            if id_ < first:
                return Page(found, "")
            if len(found) == wish.limit:
                return Page(found, found[-1]["id"])
            if scanned > SCANNED:
                return Page(found, seen)
            seen, scanned = id_, scanned + len(raw)
            if _is_wished(line, wish):
                found.append(line)
    return Page(found, "")


def files(folder: Path) -> list[Path]:
    """The files of the log, newest first."""
    current = folder / NAME
    return [*([current] if current.exists() else []), *sorted(folder.glob(ASIDE), reverse=True)]


def _is_wished(line: Line, wish: Wish) -> bool:
    is_whose = not wish.organisation or wish.organisation in (line.get("organisation"), line.get("actor"))
    return is_whose and wish.event in ("", line["event"])


def _id_at(instant: datetime | None) -> str:
    """What ids of lines from an instant on do not come before."""
    if instant is None:
        return ""
    digits = f"{max(0, int(instant.timestamp() * 1000)):012x}"
    return f"{digits[:8]}-{digits[8:]}"


def _parsed(raw: bytes) -> Line | None:
    """A line; None for what a broken disk has left of one."""
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("id"), str) and isinstance(line.get("event"), str) else None


def _backwards(file: Path, last: str) -> Iterator[bytes]:
    """The lines of a file from the last one whose id comes before `last`, newest first."""
    with suppress(FileNotFoundError), file.open("rb") as source:
        end = _place(source.seek(0, os.SEEK_END), last, lambda at: _line_from(source, at))
        kept = b""
        while end > 0:
            start = max(0, end - BLOCK)
            source.seek(start)
            kept, *whole = (source.read(end - start) + kept).split(b"\n")
            yield from (line for line in reversed(whole) if line)
            end = start
        if kept:
            yield kept


def _line_from(source: Any, at: int) -> tuple[str, int]:
    """The id of the first whole line from a place in the file on, and where that line ends; no id where none follows."""
    source.seek(at)
    if at:
        source.readline()
    while raw := source.readline():
        if line := _parsed(raw):
            return str(line["id"]), source.tell()
    return "", source.tell()


def _place(size: int, last: str, line_from: Callable[[int], tuple[str, int]]) -> int:
    """A place in a file of that size behind every line that comes before `last`, and not far behind."""
    low, high = 0, size
    while high - low > BLOCK:
        middle = (low + high) // 2
        id_, end = line_from(middle)
        if id_ and id_ < last:
            low = max(end, middle + 1)
        else:
            high = middle
    id_, end = line_from(high)
    return min(size, end)
