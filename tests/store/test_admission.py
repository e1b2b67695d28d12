"""Whose query is next: bounded, fair between organisations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import wraps

import pytest

from fmar_node.errors import TooMany
from fmar_node.settings import Settings
from fmar_node.store.admission import Admission


def in_loop(test: Callable[..., None]) -> Callable[..., None]:
    @wraps(test)
    def run(*arguments, **named):
        async def body():
            test(*arguments, **named)

        asyncio.run(body())

    return run


def admission(**limits: int) -> Admission[str]:
    return Admission(Settings(**limits))


@in_loop
def test_an_organisation_runs_one_query_at_once():
    queue = admission(query_workers=4)
    first, _ = queue.join("a"), queue.join("a")

    assert queue.next() is first
    assert queue.next() is None


@in_loop
def test_no_more_run_than_there_are_workers():
    queue = admission(query_workers=2)
    for name in "abc":
        queue.join(name)

    assert [turn.party for turn in (queue.next(), queue.next())] == ["a", "b"]
    assert queue.next() is None


@in_loop
def test_a_heavy_query_makes_room_as_long_as_there_is_a_place_for_it():
    queue = admission(query_workers=1, query_heavy=1)
    for name in "abcd":
        queue.join(name)

    first = queue.next()
    assert queue.next() is None
    first.is_heavy = True
    second = queue.next()
    assert second.party == "b"
    second.is_heavy = True
    assert queue.next() is None  # the one place of the heavy is taken: this one keeps the worker of the light
    queue.leave(first)
    assert queue.next().party == "c"


@in_loop
def test_of_those_without_a_name_one_place_stays_free():
    queue = admission(query_workers=2, query_heavy=0)
    for name in ("address 1", "address 2"):
        queue.join(name, is_nameless=True)

    assert queue.next().party == "address 1"
    assert queue.next() is None
    queue.join("a")
    assert queue.next().party == "a"


@in_loop
def test_who_was_served_longest_ago_goes_first():
    queue = admission(query_workers=1)
    for name in ("a", "a", "a", "b", "c"):
        queue.join(name)

    order = []
    while turn := queue.next():
        order.append(turn.party)
        queue.leave(turn)

    assert order == ["a", "b", "c", "a", "a"]


@in_loop
def test_full_queue_refuses_with_a_time():
    queue = admission(query_queue=2, query_queue_seconds=5)
    queue.join("a")
    queue.join("b")

    with pytest.raises(TooMany) as refused:
        queue.join("c")

    assert (refused.value.code, refused.value.headers["Retry-After"]) == ("too-many-requests", "5")


@in_loop
def test_one_organisation_cannot_fill_the_queue():
    queue = admission(query_queue=10, query_queue_per_organisation=2)
    queue.join("a")
    queue.join("a")

    with pytest.raises(TooMany, match="this organisation"):
        queue.join("a")

    assert queue.join("b") in queue.waiting


@in_loop
def test_who_gave_up_is_passed_over():
    queue = admission(query_workers=1)
    gone, left, stays = queue.join("a"), queue.join("b"), queue.join("c")
    gone.granted.cancel()
    queue.leave(left)

    assert queue.next() is stays


@in_loop
def test_nothing_is_remembered_of_those_who_left():
    queue = admission()
    for name in "abc":
        queue.leave(queue.join(name))

    assert (queue.served, queue.waiting, queue.running) == ({}, [], set())
