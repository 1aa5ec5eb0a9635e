"""Inputs and brains that misbehave around a tick, and a loop that goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reflexarc import Action, Prompt
from reflexarc.runtime.events import Failed, TickEvent, TickStarted
from reflexarc.runtime.inputs import Board, Input, Script
from reflexarc.runtime.loop import Loop
from reflexarc.testing import ScriptedLLM, Turn

SIT = Action(type="move", value="sit")


def make(llm: ScriptedLLM[Any], *inputs: Input, seen: list[TickEvent]) -> Loop:
    """A loop of ticks that follow each other at once."""
    return Loop(
        llm,
        Prompt(),
        hertz=1000,
        history_length=0,
        inputs=inputs,
        observe=seen.append,
    )


class Cross(Script):
    """An input that fails when it hears that a tick is over."""

    async def ticked(self) -> None:
        """Go on, and fail."""
        await super().ticked()
        raise ValueError("no")


class Deaf(Script):
    """An input that never hears the end of a tick."""

    async def ticked(self) -> None:
        """Go on, and hang."""
        await super().ticked()
        await asyncio.sleep(60)


@pytest.mark.parametrize("kind", [Cross, Deaf])
async def test_an_input_that_is_told_does_not_end_the_robot(
    kind: type[Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported, and the next tick comes."""
    monkeypatch.setattr("reflexarc.runtime.loop.TOLD_S", 0.05)
    seen = list[TickEvent]()
    await make(ScriptedLLM(Turn((SIT,))), kind(["a", "b"]), seen=seen).run()
    assert [event.text for event in seen if isinstance(event, TickStarted)] == ["a", "b"]
    assert [event.where for event in seen if isinstance(event, Failed)] == ["input"] * 2


async def test_a_brain_that_is_never_ready_is_asked_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Getting ready has its time, and no more."""
    monkeypatch.setattr("reflexarc.runtime.loop.WARMED_S", 0.05)

    class Slow(ScriptedLLM[Any]):
        async def warm(self, prompt: Prompt) -> None:
            await asyncio.sleep(60)

    llm = Slow(Turn((SIT,)))
    await make(llm, Script(["a"]), seen=[]).run()
    assert len(llm.asked) == 1


async def test_one_input_may_end_all() -> None:
    """As the end of what is typed does, whatever others there still are."""

    class Last(Input):
        ends_all = True

        async def run(self, board: Board) -> None:
            board.put("last", "bye")

    class Endless(Input):
        async def run(self, board: Board) -> None:
            await asyncio.sleep(60)

    llm = ScriptedLLM[Any](Turn((SIT,)))
    await make(llm, Endless(), Last(), seen=[]).run()
    assert [asked.prompt.situation for asked in llm.asked] == ["bye"]


async def test_a_reader_that_leaves_is_no_example_of_doing_nothing() -> None:
    """What a tick is cut by, is in its record."""
    seen = list[TickEvent]()

    def leave(event: TickEvent) -> None:
        seen.append(event)
        if len(seen) == 2:
            raise BrokenPipeError

    loop = make(ScriptedLLM(Turn((SIT,))), Script(["a"]), seen=seen)
    loop._observe = leave
    with pytest.raises(ExceptionGroup):
        await loop.run()
    assert seen[-1].record.was_stopped
