"""A loop that remembers: on disk, across restarts, with summaries, and without a disk."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from reflexarc import Action, Prompt
from reflexarc.errors import ServerError
from reflexarc.memory import Memory
from reflexarc.runtime.events import Failed, Remembered, TickEvent
from reflexarc.runtime.inputs import Input, Script
from reflexarc.runtime.loop import Loop
from reflexarc.testing import ScriptedLLM, Turn
from reflexarc.types import ActionRefused, PlainText, TextDelta

SIT = Action(type="move", value="sit")
SUMMARY = "They met."


class Brain(ScriptedLLM[Any]):
    """A vendor's brain that sits, and writes summaries when it is asked for a text."""

    is_paid = True

    def stream(self, prompt: Any, messages: Any = None) -> Any:
        """Sit, or write."""
        is_plain = isinstance(prompt, Prompt) and prompt.is_plain
        self._turns = (Turn(answer=PlainText(text=SUMMARY)),) if is_plain else (Turn((SIT,)),)
        return super().stream(prompt, messages)

    @property
    def shown(self) -> list[list[str]]:
        """What each question showed of the past: what was sensed, and summaries."""
        return [
            [each.content for each in asked.prompt.history if each.role != "assistant"]
            for asked in self.asked
            if not asked.prompt.is_plain
        ]


async def run(
    path: Path, llm: ScriptedLLM[Any], *texts: str, length: int = 2, inputs: Any = None
) -> list[TickEvent]:
    """A robot's life from start to end; what was observed."""
    seen = list[TickEvent]()
    async with Memory(path, "spot") as memory:
        loop = Loop(
            llm,
            Prompt(system="You are Spot."),
            hertz=200,
            history_length=length,
            inputs=inputs or [Script(texts)],
            observe=seen.append,
            memory=memory,
        )
        await loop.run()
    return seen


async def test_each_tick_is_on_disk_and_told(tmp_path: Path) -> None:
    """With its number, all that happened, and nothing of it lost at the end."""
    refused = ActionRefused("move", "fly", "it has no wings", 0.0)
    llm = ScriptedLLM[Any](Turn((TextDelta("sit"), SIT, refused)))
    seen = await run(tmp_path / "m", llm, "a", "b", "c")
    kept = [event for event in seen if isinstance(event, Remembered)]
    assert [event.tick for event in kept] == [1, 2, 3]
    async with Memory(tmp_path / "m", "spot") as memory:
        ticks = await memory.ticks(10)
    assert [tick.id for tick in ticks] == [event.id for event in kept]
    assert [tick.prompt.situation for tick in ticks] == ["a", "b", "c"]
    assert [deed.outcome for deed in ticks[0].deeds] == ["done", "refused"]
    assert (ticks[0].text, ticks[0].provider) == ("sit", "ScriptedLLM")
    assert [len(tick.prompt.history) for tick in ticks] == [0, 2, 4]


async def test_the_past_goes_on_after_a_restart(tmp_path: Path) -> None:
    """The robot has in mind what it had when it ended; a failure is no part of it."""
    await run(tmp_path / "m", Brain(), "a")
    await run(tmp_path / "m", ScriptedLLM[Any](Turn(failure=ServerError("down"))), "lost")
    llm = Brain()
    await run(tmp_path / "m", llm, "b", "c")
    assert llm.shown == [["a"], ["a", "b"]]


async def test_what_no_longer_fits_is_summarised(tmp_path: Path) -> None:
    """By the same brain; the summary is shown, kept, and there again after a restart."""
    llm = Brain()
    await run(tmp_path / "m", llm, *"abcdef")
    told = f"WHAT HAPPENED BEFORE:\n{SUMMARY}"
    assert any(told in shown for shown in llm.shown)
    for number, shown in enumerate(llm.shown):
        recent = [each for each in shown if each != told]
        assert recent == list("abcdef"[number - len(recent) : number]), "a turn is lost or twice"
        assert len(recent) in (number, 4) or shown[0] == told, "turns went without a summary"
    again = Brain()
    await run(tmp_path / "m", again, "g")
    [[first, *recent]] = again.shown
    assert first == told
    assert recent == list("abcdef"[6 - len(recent) :])
    assert len(recent) >= 1


async def test_a_memory_that_fails_costs_no_tick(tmp_path: Path) -> None:
    """The robot acts, and each failure is told as a sentence."""
    (tmp_path / "m").write_bytes(b"no database" * 1000)
    llm = Brain()
    seen = await run(tmp_path / "m", llm, "a", "b", length=3)
    failed = [event for event in seen if isinstance(event, Failed)]
    assert [event.where for event in failed] == ["memory"] * 3
    assert {event.to_dict()["kind"] for event in failed} == {"storage"}
    assert llm.shown == [[], ["a"]], "what is in mind does not need the disk"


async def test_a_tick_that_is_cut_is_kept(tmp_path: Path) -> None:
    """Who stops the robot in mid-answer finds what it did until then."""

    class Once(Input):
        async def run(self, board: Any) -> None:
            board.put("person", "go")
            await asyncio.sleep(60)

    llm = ScriptedLLM[Any](Turn((SIT, TextDelta("…")), duration_s=60))
    task = asyncio.create_task(run(tmp_path / "m", llm, inputs=[Once()]))
    while not llm.asked:  # noqa: ASYNC110 - that it is asked has no event
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    async with Memory(tmp_path / "m", "spot") as memory:
        [tick] = await memory.ticks(5)
    assert tick.done == (SIT,)
    assert tick.was_stopped
    assert tick.error == "the robot was stopped"
    assert tick.total_s >= 0.1


async def test_a_reader_that_has_left_ends_the_robot(tmp_path: Path) -> None:
    """Also where it leaves between two ticks, when one is told to be on disk."""

    class Endless(Input):
        async def run(self, board: Any) -> None:
            board.put("person", "go")
            await asyncio.sleep(60)

    def leave(event: TickEvent) -> None:
        if isinstance(event, Remembered):
            raise BrokenPipeError

    async with Memory(tmp_path / "m", "spot") as memory:
        loop = Loop(
            Brain(),
            Prompt(),
            hertz=200,
            history_length=0,
            inputs=[Endless()],
            observe=leave,
            memory=memory,
        )
        with pytest.raises(BrokenPipeError):
            await asyncio.wait_for(loop.run(), 5)
