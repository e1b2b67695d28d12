"""Who goes first: a caller's first request before what others have much of, and nobody waits for long."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from fmar_node.web.lanes import PATIENCE, Lanes

T = TypeVar("T")


class Unhurried(asyncio.SelectorEventLoop):
    """A loop whose time goes on only when there is nothing to do: no test here depends on how busy the machine is."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(Idle(self))

    def time(self) -> float:
        return self.now


class Idle(selectors.SelectSelector):
    def __init__(self, loop: Unhurried) -> None:
        super().__init__()
        self.loop = loop

    def select(self, timeout: float | None = None) -> Any:
        self.loop.now += timeout or 0.0
        return super().select(0)


def carried_out(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=Unhurried) as runner:
        return runner.run(main)


async def request(lanes: Lanes, done: list[str], caller: str, work: Callable[[], Awaitable[None]], is_first: bool = True) -> None:
    number = await lanes.enter(caller, is_first)
    try:
        await work()
        done.append(caller)
    finally:
        lanes.leave(caller, number)


async def nothing() -> None:
    return


def test_one_of_many_goes_on_in_a_turn_and_who_comes_meanwhile_goes_first() -> None:
    async def run() -> list[str]:
        lanes, done = Lanes(), list[str]()
        tasks = [asyncio.create_task(request(lanes, done, "loud", nothing)) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(request(lanes, done, "quiet", nothing)))
        await asyncio.gather(*tasks)
        return done

    done = carried_out(run())

    assert len(done) == 21
    assert done.index("quiet") < 6


def test_what_lets_others_go_first_waits_while_they_are_under_way_and_not_for_long() -> None:
    async def run(seconds: float) -> tuple[list[str], float]:
        lanes, done = Lanes(), list[str]()
        first = asyncio.create_task(request(lanes, done, "quiet", lambda: asyncio.sleep(seconds)))
        await asyncio.sleep(0)
        started = asyncio.get_running_loop().time()
        await request(lanes, done, "loud", nothing, is_first=False)
        waited = asyncio.get_running_loop().time() - started
        await first
        return done, waited

    assert carried_out(run(PATIENCE / 3))[0] == ["quiet", "loud"]
    done, waited = carried_out(run(0.5))
    assert done == ["loud", "quiet"] and PATIENCE / 2 < waited < 2 * PATIENCE


def test_who_gives_up_leaves_no_trace() -> None:
    async def run() -> Lanes:
        lanes, done = Lanes(), list[str]()
        first = asyncio.create_task(request(lanes, done, "quiet", lambda: asyncio.sleep(PATIENCE / 2)))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(request(lanes, done, "loud", nothing, is_first=False)) for _ in range(3)]
        await asyncio.sleep(0)
        [task.cancel() for task in waiting[:2]]
        await asyncio.gather(first, *waiting, return_exceptions=True)
        await asyncio.sleep(2 * PATIENCE)
        assert done == ["quiet", "loud"]
        return lanes

    lanes = carried_out(run())

    assert (dict(lanes.under_way), lanes.first, list(lanes.waiting), lanes.timer) == ({}, {}, [], None)
