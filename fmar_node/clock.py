"""Time comes from here and nowhere else: UTC, and the market's day in London."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")


class Clock(Protocol):
    """A port: the machine's clock in service, a clock that tests set."""

    def now(self) -> datetime:
        """The present instant, timezone-aware, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class SetClock:
    """A clock that stands until it is moved."""

    instant: datetime

    def now(self) -> datetime:
        return self.instant

    def forward(self, **step: float) -> None:
        self.instant += timedelta(**step)


@dataclass(frozen=True, slots=True)
class AheadClock:
    """Another clock, and as many seconds more as a file says; none more where there is no file. ValueError where it says something else.

    It is looked at each time, so that all processes of a node go by it from one second to the next.
    """

    clock: Clock
    file: Path

    def now(self) -> datetime:
        return self.clock.now() + timedelta(seconds=self.seconds)

    @property
    def seconds(self) -> float:
        return float(self.file.read_text("ascii")) if self.file.exists() else 0.0

    def go_to(self, instant: datetime) -> None:
        """Goes on from there. ValueError for what has passed: entries never become older."""
        if instant < self.now():
            raise ValueError("this time has passed")
        self.file.parent.mkdir(exist_ok=True)
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{(instant - self.clock.now()).total_seconds()}\n", "ascii")
        fresh.replace(self.file)


def today(clock: Clock) -> date:
    """The market's day: days start at Europe/London midnight (domain C4)."""
    return clock.now().astimezone(LONDON).date()


def stamp(instant: datetime) -> str:
    """An instant as xsd:dateTime with milliseconds in UTC, e.g. `2026-11-22T09:30:00.000Z`."""
    utc = instant if instant.tzinfo is UTC else instant.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def stamp_of(seconds: float) -> str:
    """Seconds since 1970 as `stamp` writes an instant."""
    return stamp(datetime.fromtimestamp(seconds, UTC))


def parse_stamp(text: str) -> datetime:
    """An xsd:dateTime with a zone, or an xsd:date (London midnight). ValueError otherwise."""
    if len(text) == 10:
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), LONDON)
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("a time needs a zone, e.g. 2026-11-22T09:30:00Z")
    try:
        instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC this time is not of the years 1 to 9999") from None
    return instant


def day_of(instant: str) -> str:
    """The market's day, as xsd:date, of an instant as `stamp` writes it."""
    return parse_stamp(instant).astimezone(LONDON).date().isoformat()


def later(time: str, seconds: float) -> str:
    """So many seconds after a time, both as `stamp` writes them."""
    return stamp(parse_stamp(time) + timedelta(seconds=seconds))


def midnight(day: str) -> str:
    """When a day of the market begins, as `stamp` writes it: Europe/London midnight in UTC."""
    return stamp(parse_stamp(day))
