"""Waiting for the journal to move: whoever is told to stop waiting stops, also in the very turn in which it moves."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from fmar_node.feed import Pulse
from fmar_node.journal.register import Register


class Growing:
    """A register of which only the size is asked."""

    entries = 1

    def size(self) -> int:
        return self.entries


@pytest.mark.parametrize("turns", range(8))
def test_a_wait_that_is_cancelled_around_a_beat_ends(turns: int) -> None:
    async def cancelled() -> bool:
        register = Growing()
        pulse = Pulse(cast(Register, register))
        pulse.beat()
        waiting = asyncio.create_task(pulse.wait(0, 60))
        await asyncio.sleep(0.01)
        register.entries = 2
        pulse.beat()
        for _ in range(turns):
            await asyncio.sleep(0)
        was_over = waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting], timeout=10)
        return was_over or waiting.cancelled()

    assert asyncio.run(cancelled())
