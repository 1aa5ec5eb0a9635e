"""The clocks of a call ring in time, disturb nobody else, and leave nothing behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from reflexarc.clocks import Clocks
from reflexarc.config import LLMConfig
from reflexarc.errors import DeadlineError, ServerError
from reflexarc.types import TextDelta, Wire

BATCH = [TextDelta("a")]


def clocks(**settings: Any) -> Clocks:
    """Clocks that have just started."""
    config = LLMConfig.model_validate({"type": "LlamaLLM"} | settings)
    return Clocks(config, asyncio.get_running_loop().time())


async def batches(*waits: float) -> AsyncGenerator[Sequence[Wire], None]:
    """One batch after each wait, in seconds."""
    for wait in waits:
        await asyncio.sleep(wait)
        yield BATCH


async def test_rings_in_time_and_leaves_the_task_as_it_was() -> None:
    """The deadline ends a wait, and the task that waited can go on and wait for other things."""
    with clocks(timeout=0.05) as ringing:
        source = batches(0.0, 0.0, 9.0)
        assert await ringing.next(source) == BATCH
        assert await ringing.next(source) == BATCH
        with pytest.raises(DeadlineError):
            await ringing.next(source)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_an_earlier_clock_is_heard() -> None:
    """A stall is found by a timer that was set for the whole call."""
    with clocks(timeout=9, stall_timeout=0.05) as ringing:
        source = batches(0.0, 9.0)
        assert await ringing.next(source) == BATCH
        ringing.progress()
        with pytest.raises(DeadlineError) as caught:
            await ringing.next(source)
    assert caught.value.phase == "stall"


async def test_a_timer_that_rings_too_early_is_set_again() -> None:
    """What ends a wait is its own clock, not that of a wait before it; and it does end it."""
    with clocks(timeout=9, stall_timeout=0.1) as ringing:
        source = batches(*[0.03] * 8, 9.0)
        for _ in range(8):
            assert await ringing.next(source) == BATCH
            ringing.progress()
        async with asyncio.timeout(3):
            with pytest.raises(DeadlineError):
                await ringing.next(source)


async def test_nobody_is_disturbed_between_two_waits() -> None:
    """What the caller does meanwhile is not cut, however long it takes."""
    with clocks(timeout=0.05) as ringing:
        source = batches(0.0, 0.0)
        assert await ringing.next(source) == BATCH
        await asyncio.sleep(0.1)


async def test_cancelling_from_outside_is_no_deadline() -> None:
    """A task that is cancelled is cancelled, whatever the clocks say."""

    async def wait() -> None:
        with clocks(timeout=9) as ringing:
            await ringing.next(batches(9.0))

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_timeout_around_it_is_the_callers() -> None:
    """A caller's own `asyncio.timeout` ends the wait as a TimeoutError."""
    with clocks(timeout=9) as ringing, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await ringing.next(batches(9.0))


async def test_both_at_once_is_a_cancellation() -> None:
    """Where a deadline and a cancellation fall together, the cancellation is not lost."""

    async def wait() -> None:
        with clocks(timeout=0.05) as ringing:
            await ringing.next(batches(9.0))

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    loop.call_later(0.01, time.sleep, 0.1)  # then both are due in the same turn of the loop
    loop.call_later(0.06, waiting.cancel)
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_what_goes_wrong_while_it_rings_is_told() -> None:
    """A source that answers its cancellation by an error of its own has the last word."""

    async def stubborn() -> AsyncGenerator[Sequence[Wire], None]:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            raise ServerError("It broke; mend it.") from None
        yield BATCH

    with clocks(timeout=0.02) as ringing, pytest.raises(ServerError):
        await ringing.next(stubborn())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_no_timer_is_left() -> None:
    """The end of a call stops its timer."""
    loop: Any = asyncio.get_running_loop()
    with clocks(timeout=99) as ringing:
        await ringing.next(batches(0.0))
        assert [timer for timer in loop._scheduled if not timer.cancelled()]
    assert not [timer for timer in loop._scheduled if not timer.cancelled()]
