"""What is still to be delivered: order, secrets, dead letters, and what is on disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fmar_node.errors import Broken
from fmar_node.followers.courier import Courier
from fmar_node.followers.deliveries import Deliveries

S = "a-subscription"


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Deliveries]:
    made = Deliveries(tmp_path / "state" / "webhooks.db")
    yield made
    made.close()


def put(kept: Deliveries, *found: tuple[int, str]) -> None:
    with kept.writing():
        kept.advance(S, max(entry for entry, _ in found), found)


def due(kept: Deliveries, now: float = 1.0, flying: tuple[str, ...] = ()) -> list[int]:
    return [each.entry for each in kept.due(S, now, flying, 10)]


def test_of_each_record_the_oldest_is_due(kept: Deliveries) -> None:
    put(kept, (1, "a"), (2, "b"), (3, "a"), (4, "c"))

    assert (due(kept), due(kept, flying=("a",)), kept.seen(S)) == ([1, 2, 4], [2, 4], 4)


def test_one_that_waits_for_its_time_holds_its_record_and_a_dead_one_lets_it_go(kept: Deliveries) -> None:
    put(kept, (1, "a"), (2, "a"), (3, "b"))
    (first,) = [each for each in kept.due(S, 1.0, (), 10) if each.entry == 1]

    with kept.writing():
        kept.postponed(S, replace(first, due=9.0, attempts=1, since=1.0, problem="the answer was 503"))
    held, waits = due(kept), kept.next_due(S, 1.0, ())
    with kept.writing():
        kept.postponed(S, replace(first, is_dead=True, attempts=2))

    assert (held, waits, due(kept)) == ([3], 9.0, [2, 3])
    assert [each.entry for each in kept.page(S, True, -1, 10)] == [1]


def test_a_replayed_letter_goes_before_the_later_ones_of_its_record(kept: Deliveries) -> None:
    put(kept, (1, "a"), (2, "a"))
    with kept.writing():
        kept.postponed(S, replace(kept.due(S, 1.0, (), 10)[0], is_dead=True))

    assert (kept.replay(S, [1, 7], 1.0), due(kept), kept.replay(S, None, 1.0)) == (1, [1], 0)


def test_the_newest_dead_letters_are_kept(kept: Deliveries) -> None:
    put(kept, *((entry, f"r{entry}") for entry in range(5)))
    with kept.writing():
        for each in kept.due(S, 1.0, (), 10):
            kept.postponed(S, replace(each, is_dead=True))
        kept.bury(S, 2)

    assert [each.entry for each in kept.page(S, True, -1, 10)] == [3, 4]


def test_an_entry_is_put_down_once(kept: Deliveries) -> None:
    put(kept, (1, "a"))
    put(kept, (1, "a"), (2, "a"))

    assert kept.waiting(S) == 2


def test_two_secrets_count_until_the_older_ends(kept: Deliveries) -> None:
    for number, secret in enumerate(("one", "two", "three")):
        kept.use_secret(S, kept.add_secret(S, secret, number), 100.0)

    assert (kept.secrets(S, 50.0), kept.secrets(S, 100.0)) == (["three", "two"], ["three"])


def test_what_was_put_down_is_there_after_the_process(kept: Deliveries) -> None:
    put(kept, (1, "a"))
    kept.add_secret(S, "one", 0.0)

    again = Deliveries(kept.file)

    assert (again.seen(S), [each.entry for each in again.due(S, 1.0, (), 1)], again.secrets(S, 0.0)) == (1, [1], ["one"])
    again.forget(S)
    assert again.known() == set()
    again.close()


def test_the_file_is_its_owners_alone(kept: Deliveries) -> None:
    kept.file.chmod(0o640)

    with pytest.raises(PermissionError, match="chmod 600"):
        Deliveries(kept.file)


@pytest.mark.parametrize("damage", ["bytes", "format"])
def test_a_damaged_file_is_not_taken_for_an_empty_one(kept: Deliveries, damage: str) -> None:
    kept.close()
    if damage == "bytes":
        kept.file.write_bytes(b"no database at all" * 100)
    else:
        with sqlite3.connect(kept.file) as connection:
            connection.execute("PRAGMA user_version = 9")
        connection.close()

    with pytest.raises(Broken, match="move it away"):
        Deliveries(kept.file)


def test_a_courier_goes_on_whatever_has_become_of_a_plan() -> None:
    plans: list[Any] = ["what nobody can follow", None]

    async def do(_: object) -> Any:
        return plans.pop(0)

    asyncio.run(Courier(S, cast("Any", SimpleNamespace(do=do))).run())

    assert plans == []
