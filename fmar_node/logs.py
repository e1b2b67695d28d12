"""What the node's processes tell their operator: one JSON object per line, on standard error.

Rules kept here:
- no line holds a personal value. What an exception says of itself may quote a document, so it stays out: its type and
  the places in the code where it came through are logged; only the node's own troubles (no room, cannot start) are quoted;
- other libraries' messages may quote anything: where they were said is logged, and of a server's the template alone;
- what native code writes to standard error when it dies goes nowhere in a child that reads documents.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from fmar_node.clock import stamp
from fmar_node.errors import Broken, BrokenOff, FmarError, OutOfRoom, Unavailable

OWN = "fmar"
SERVERS = ("uvicorn", "asyncio")
"""Loggers whose templates, unlike their arguments, quote nobody."""
QUIET = ("httpx", "httpcore", "uvicorn.error")
QUOTABLE = (Broken, OutOfRoom, Unavailable)
MOST_FRAMES = 30


class Lines(logging.Formatter):
    """A record as a line of JSON; `process` is the role of this process in the node."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "timestamp": stamp(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "process": self.process,
            "pid": record.process,
            "logger": record.name,
            "event": event_of(record),
            **getattr(record, "said", {}),
        }
        if record.exc_info and record.exc_info[1]:
            line |= fault_of(record.exc_info[1])
        return json.dumps(line)


def said(**fields: object) -> dict[str, object]:
    """`extra=` of a log call: further members of the line. None of them may be personal."""
    return {"said": fields}


def tell(log: logging.Logger, event: str, **fields: object) -> None:
    """A line of information with these members, none of them personal; for what is said at every request: nobody looks for who says it."""
    if log.isEnabledFor(logging.INFO):
        record = logging.LogRecord(log.name, logging.INFO, "", 0, event, None, None)
        record.__dict__["said"] = fields
        log.handle(record)


def event_of(record: logging.LogRecord) -> str:
    """What happened, in words that this package or its server wrote."""
    name = record.name.partition(".")[0]
    if name in SERVERS:
        return record.msg.partition("\n")[0] if isinstance(record.msg, str) else quoted(record.msg)
    if name != OWN:
        return f"{record.name} said something at {_place(record.pathname, record.lineno, record.funcName)}"
    if isinstance(record.args, tuple):
        return str(record.msg) % tuple(quoted(each) for each in record.args)
    return str(record.msg)


def quoted(value: Any) -> Any:
    """A value as it may stand in a line: of an exception its type, and what it says where that is about the node."""
    if isinstance(value, QUOTABLE):
        return f"{value.code}: {value.detail}"
    if isinstance(value, FmarError):
        return value.code
    if isinstance(value, OSError):
        return f"{type(value).__name__}: {value.strerror}" if value.strerror else type(value).__name__
    return type(value).__name__ if isinstance(value, BaseException) else value


def fault_of(error: BaseException) -> dict[str, Any]:
    """An exception without its words: type, the places it came through, the types of what caused it."""
    frames = traceback.extract_tb(error.__traceback__)[-MOST_FRAMES:]
    told: dict[str, Any] = {
        "exception": type(error).__name__,
        "frames": [_place(frame.filename, frame.lineno, frame.name) for frame in frames],
    }
    causes: list[str] = []
    seen = {id(error)}
    while (cause := error.__cause__ or error.__context__) and id(cause) not in seen:
        causes.append(type(cause).__name__)
        seen.add(id(cause))
        error = cause
    return {**told, "causes": causes} if causes else told


def _place(file: str, line: int | None, function: str | None) -> str:
    return f"{'/'.join(Path(file).parts[-2:])}:{line}:{function}"


def set_up(process: str, level: str = "info", stream: TextIO | None = None) -> None:
    """Everything that this process says, from here on, goes out as lines: records, warnings, uncaught exceptions."""
    lines = logging.StreamHandler(stream or sys.stderr)
    lines.setFormatter(Lines(process))
    logging.root.handlers[:] = [lines]
    logging.raiseExceptions = logging.logThreads = logging.logMultiprocessing = False
    logging.captureWarnings(True)
    set_level(level)
    log = logging.getLogger(f"{OWN}.{process}")
    sys.excepthook = lambda _, error, __: log.critical("this process ends", exc_info=error)
    sys.unraisablehook = lambda told: log.error("an exception came too late", exc_info=told.exc_value)
    threading.excepthook = lambda told: log.critical("a thread ended", exc_info=told.exc_value)


def set_up_child(process: str) -> None:
    """The same for a child that reads documents: lines alone reach standard error, nothing that native code writes there."""
    stream = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    set_up(process, stream=stream)


def is_news(record: logging.LogRecord) -> bool:
    """Whether a server tells something that has not been told: an answer that was broken off has been."""
    return not (record.exc_info and isinstance(record.exc_info[1], BrokenOff))


class OncePerSecond(logging.Filter):
    """Of what a server says of bytes that are no request of HTTP, each message once a second: whoever sends them does not fill the log."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        now, text = time.monotonic(), str(record.msg)
        if now - self.said.get(text, -1.0) < 1.0:
            return False
        self.said[text] = now
        return True


ONCE_PER_SECOND = OncePerSecond()


def set_level(level: str) -> None:
    """Lines of this level and above; what other libraries have to say in passing is left out."""
    logging.root.setLevel(level.upper())
    for each in (is_news, ONCE_PER_SECOND):
        logging.getLogger("uvicorn.error").addFilter(each)
    for noisy in QUIET:
        logging.getLogger(noisy).setLevel(logging.WARNING)
