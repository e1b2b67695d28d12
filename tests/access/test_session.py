"""Sessions: how they begin, what ends them, what of them is on disk."""

from __future__ import annotations

import re
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fmar_node.access.session import Sessions
from fmar_node.clock import SetClock
from fmar_node.errors import OutOfRoom
from fmar_node.settings import Settings

from .conftest import NOON

SETTINGS = Settings(session_idle_seconds=600, session_seconds=3_600, sessions_per_user=3)
ADA, BOB, FSP, OTHER = "u-ada", "u-bob", "o-fsp", "o-other"


class Shelf:
    """A store that can be closed and opened again."""

    def __init__(self, folder: Path, clock: SetClock) -> None:
        self.file, self.clock = folder / "state" / "sessions.db", clock
        self.open()

    def open(self, settings: Settings = SETTINGS) -> None:
        self.sessions = Sessions(self.file, settings, self.clock)

    def again(self, settings: Settings = SETTINGS) -> None:
        self.sessions.close()
        self.open(settings)

    def begin(self, user: str = ADA, organisation: str = FSP) -> str:
        return self.sessions.begin(user, organisation, "central")[0]

    def is_in(self, token: str) -> bool:
        return self.sessions.find(token) is not None

    def rows(self) -> int:
        with sqlite3.connect(self.file) as connection:
            return int(connection.execute("SELECT count(*) FROM session").fetchone()[0])


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path, SetClock(NOON))
    yield made
    made.sessions.close()


def test_a_session_is_found_by_its_token_alone(shelf: Shelf) -> None:
    token, session = shelf.sessions.begin(ADA, FSP, "central")

    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert shelf.sessions.find(token) == session
    assert (session.user, session.organisation, session.provider) == (ADA, FSP, "central")
    assert ((session.ends - NOON).seconds, (session.idle_ends - NOON).seconds) == (3_600, 600)
    for other in ("", session.id, token[:-1], token + "A", token.swapcase(), "é" * 43, "' OR 1=1 --"):
        assert not shelf.is_in(other)


def test_what_is_on_disk_lets_nobody_in(shelf: Shelf) -> None:
    token = shelf.begin()
    shelf.sessions.close()

    files = list(shelf.file.parent.iterdir())
    assert not any(token.encode() in file.read_bytes() for file in files)
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (shelf.file.parent, *files)} == {0}
    shelf.open()


def test_sessions_outlive_the_process(shelf: Shelf) -> None:
    token = shelf.begin()

    shelf.again()

    assert shelf.is_in(token)


def test_a_session_that_is_not_used_ends(shelf: Shelf) -> None:
    token = shelf.begin()
    shelf.clock.forward(seconds=599)
    assert shelf.is_in(token)
    shelf.clock.forward(seconds=599)
    assert shelf.is_in(token)

    shelf.clock.forward(seconds=600)

    assert not shelf.is_in(token)
    assert shelf.rows() == 0


def test_a_session_that_is_used_ends_all_the_same(shelf: Shelf) -> None:
    token = shelf.begin()
    for _ in range(6):
        shelf.clock.forward(seconds=599)
        assert shelf.is_in(token)

    shelf.clock.forward(seconds=6)

    assert not shelf.is_in(token)


def test_use_is_noted_once_a_minute(shelf: Shelf) -> None:
    token = shelf.begin()
    shelf.clock.forward(seconds=59)
    changes = shelf.sessions._connection.total_changes
    for _ in range(5):
        shelf.is_in(token)
    assert shelf.sessions._connection.total_changes == changes

    shelf.clock.forward(seconds=1)
    for _ in range(5):
        shelf.is_in(token)

    assert shelf.sessions._connection.total_changes == changes + 1


def test_one_session_more_than_a_person_may_have_ends_the_oldest(shelf: Shelf) -> None:
    others = shelf.begin(BOB)
    tokens = []
    for _ in range(5):
        tokens.append(shelf.begin())
        shelf.clock.forward(seconds=1)

    assert [shelf.is_in(token) for token in tokens] == [False, False, True, True, True]
    assert shelf.is_in(others)


def test_a_session_that_is_ended_is_gone_at_once_and_for_good(shelf: Shelf) -> None:
    token, session = shelf.sessions.begin(ADA, FSP, "central")
    other = shelf.begin()

    shelf.sessions.end(session.id)

    assert not shelf.is_in(token)
    shelf.again()
    assert (shelf.is_in(token), shelf.is_in(other)) == (False, True)


def test_sessions_are_listed_by_person_and_by_organisation(shelf: Shelf) -> None:
    for user, organisation in ((ADA, FSP), (ADA, FSP), (BOB, FSP), (ADA, OTHER)):
        shelf.begin(user, organisation)
        shelf.clock.forward(seconds=1)

    assert [each.organisation for each in shelf.sessions.of_user(ADA)] == [OTHER, FSP, FSP]
    assert [each.user for each in shelf.sessions.of_organisation(FSP)] == [BOB, ADA, ADA]
    shelf.clock.forward(seconds=600)
    assert shelf.sessions.of_organisation(FSP) == []


def test_what_has_ended_is_removed_when_the_next_one_begins(shelf: Shelf) -> None:
    for _ in range(3):
        shelf.begin()
    shelf.clock.forward(seconds=601)
    assert shelf.rows() == 3

    shelf.begin(BOB)

    assert shelf.rows() == 1


def test_shorter_limits_hold_for_sessions_that_there_are(shelf: Shelf) -> None:
    token = shelf.begin()
    shelf.clock.forward(seconds=200)

    shelf.again(SETTINGS.model_copy(update={"session_idle_seconds": 120}))

    assert not shelf.is_in(token)


@pytest.mark.parametrize("damage", [b"x" * 4096, b"SQLite format 3\0" + b"\xff" * 4080, b"short"])
def test_a_damaged_file_is_made_anew(shelf: Shelf, damage: bytes) -> None:
    token = shelf.begin()
    shelf.sessions.close()
    shelf.file.write_bytes(damage)

    shelf.open()

    assert not shelf.is_in(token)
    assert shelf.is_in(shelf.begin())


def test_a_file_of_another_format_is_made_anew(shelf: Shelf) -> None:
    shelf.sessions.close()
    with sqlite3.connect(shelf.file) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    shelf.open()

    assert shelf.is_in(shelf.begin())


@pytest.mark.parametrize("which", ["file", "folder"])
def test_a_file_that_others_may_read_is_not_used(shelf: Shelf, which: str) -> None:
    shelf.sessions.close()
    path = shelf.file if which == "file" else shelf.file.parent
    path.chmod(path.stat().st_mode | 0o044)

    with pytest.raises(PermissionError, match="chmod"):
        shelf.open()

    path.chmod(path.stat().st_mode & ~0o077)
    shelf.open()


def test_what_cannot_be_written_is_refused_and_what_can_be_read_is_read(shelf: Shelf) -> None:
    token, session = shelf.sessions.begin(ADA, FSP, "central")
    shelf.sessions._connection.execute("PRAGMA query_only = ON")
    shelf.clock.forward(seconds=120)

    assert shelf.is_in(token)
    for work in (shelf.begin, lambda: shelf.sessions.end(session.id)):
        with pytest.raises(OutOfRoom):
            work()


@pytest.mark.parametrize("wrong", [{"session_idle_seconds": 119}, {"session_seconds": 599}, {"session_seconds": 604_801}, {"sessions_per_user": 0}, {"sign_in_seconds": 59}])
def test_limits_have_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)
