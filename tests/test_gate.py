"""Nothing that an LLM is asked outlasts its closing; on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from reflexarc.errors import ClosedError
from reflexarc.gate import Gate
from reflexarc.testing import run_virtual
from reflexarc.types import Event, TextDelta

HM = TextDelta("hm")
CLOSED = "Dog was closed; open it again, or ask inside `async with`"


async def told(count: int, pause_s: float, ends: list[str]) -> AsyncGenerator[Event, None]:
    """So many events, each after a pause."""
    try:
        for _ in range(count):
            await asyncio.sleep(pause_s)
            yield HM
    finally:
        ends.append("ended")


async def read(gate: Gate, events: AsyncGenerator[Event, None]) -> list[Event]:
    """Everything that is let through."""
    async with aclosing(gate.through(events)) as through:
        return [event async for event in through]


def test_a_question_passes_while_it_is_open() -> None:
    """It need not be opened first."""

    async def ask() -> None:
        ends: list[str] = []
        assert await read(Gate("Dog"), told(3, 1.0, ends)) == [HM] * 3
        assert ends == ["ended"]

    run_virtual(ask())


def test_closing_ends_every_question_at_once() -> None:
    """Those that wait, and that of a reader who is elsewhere; each is ended when this returns."""

    async def ask() -> None:
        loop, gate, ends = asyncio.get_running_loop(), Gate("Dog"), list[str]()
        waiting = [asyncio.create_task(read(gate, told(3, 60.0, ends))) for _ in range(2)]
        slow = gate.through(told(3, 0.1, ends))
        assert await anext(slow) == HM
        began = loop.time()
        await gate.close()
        assert loop.time() == began
        assert ends == ["ended"] * 2
        for task in waiting:
            with pytest.raises(ClosedError, match=CLOSED):
                await task
        gate.open()  # which is for new questions
        with pytest.raises(ClosedError, match=CLOSED):
            await anext(slow)
        assert ends == ["ended"] * 3

    run_virtual(ask())


def test_what_will_not_end_is_not_waited_for() -> None:
    """A question that swallows its cancellation holds the closing up for a second."""

    async def stubborn() -> AsyncGenerator[Event, None]:
        try:
            await asyncio.sleep(5.0)
        finally:
            await asyncio.sleep(60.0)
        yield HM

    async def ask() -> None:
        loop, gate = asyncio.get_running_loop(), Gate("Dog")
        task = asyncio.create_task(read(gate, stubborn()))
        await asyncio.sleep(1.0)
        began = loop.time()
        await gate.close()
        await gate.close()
        assert loop.time() - began == pytest.approx(1.0)
        with pytest.raises(ClosedError):
            await task

    run_virtual(ask())


def test_once_closed_nothing_begins() -> None:
    """Neither a question nor anything else, until it is opened again."""

    async def ask() -> None:
        gate, ends = Gate("Dog"), list[str]()
        await gate.close()
        with pytest.raises(ClosedError, match=CLOSED) as caught:
            await read(gate, told(1, 0.0, ends))
        assert (caught.value.provider, caught.value.retryable) == ("Dog", False)
        with pytest.raises(ClosedError, match=CLOSED):
            await gate.during(lambda: pytest.fail("it must not begin"))
        assert ends == []
        gate.open()
        assert await read(gate, told(1, 0.0, ends)) == [HM]

    run_virtual(ask())


def test_closing_ends_what_else_is_done() -> None:
    """Such as making a connection; and whoever is cancelled meanwhile is cancelled."""

    async def ask() -> None:
        gate = Gate("Dog")
        tasks = [asyncio.create_task(gate.during(lambda: asyncio.sleep(60.0))) for _ in range(2)]
        await asyncio.sleep(1.0)
        tasks[0].cancel()
        await gate.close()
        await asyncio.wait(tasks)
        assert tasks[0].cancelled()
        assert isinstance(tasks[1].exception(), ClosedError)
        assert tasks[1].cancelling() == 0

    run_virtual(ask())


def test_it_belongs_to_one_event_loop() -> None:
    """In another one it says so, until it is closed; what is closed may be opened anywhere."""
    gate = Gate("Dog")
    elsewhere = "Dog was used in another event loop and not closed there"

    async def opened() -> None:
        gate.open()

    asyncio.run(read_one(gate))
    with pytest.raises(ClosedError, match=elsewhere):
        asyncio.run(read_one(gate))
    with pytest.raises(ClosedError, match=elsewhere):
        asyncio.run(opened())
    asyncio.run(gate.close())
    asyncio.run(opened())


async def read_one(gate: Gate) -> None:
    """One question."""
    assert await read(gate, told(1, 0.0, [])) == [HM]
