"""The past that a model is shown: the last ticks, and a summary of those before."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from reflexarc import Prompt
from reflexarc.errors import ServerError
from reflexarc.memory import Deed, Past, Tick
from reflexarc.runtime.history import LONGEST_SUMMARY, History
from reflexarc.testing import ScriptedLLM, Turn
from reflexarc.types import PlainText

GIVES_UP_S = 5.0


def tick(number: int, *, done: str = "sit", error: str = "", reason: str = "") -> Tick:
    """A tick in which this was done."""
    deeds = (Deed("move", done, 0.1),) if done else ()
    prompt = Prompt(situation=f"s{number}")
    return Tick(datetime.now(UTC), prompt, deeds, error_kind=error, reason=reason, id=number)


def writing(*texts: str, duration_s: float = 0.0) -> ScriptedLLM[Any]:
    """An LLM that writes this."""
    return ScriptedLLM(
        *[Turn(answer=PlainText(text=text), duration_s=duration_s) for text in texts]
    )


def told(history: History) -> list[str]:
    """What a model is shown of it."""
    return [message.content for message in history.messages if message.role != "assistant"]


class Kept(list[tuple[str, int | None]]):
    """What was kept of summaries."""

    def keep(self, text: str, last: Tick) -> None:
        """Keep one."""
        self.append((text, last.id))


async def settled(history: History) -> None:
    """Until nothing is written any more."""
    async with asyncio.timeout(GIVES_UP_S):
        while history.is_full:  # noqa: ASYNC110 - that it is written has no event
            await asyncio.sleep(0)


def test_the_last_ticks_are_shown_as_turns() -> None:
    """What was sensed, and what was done about it; a failure is no example of doing nothing."""
    history = History(5)
    for each in (
        tick(1),
        tick(2, done=""),
        tick(3, done="", error="timeout"),
        tick(4, error="truncated"),
        tick(5, reason="nobody has answered"),
    ):
        history.add(each)
    assert [message.content for message in history.messages] == [
        "s1", '{"actions":[{"type":"move","value":"sit"}]}',
        "s2", '{"actions":[]}',
        "s4", '{"actions":[{"type":"move","value":"sit"}]}',
    ]  # fmt: skip


def test_a_robot_without_history_keeps_none() -> None:
    """A length of 0 shows nothing, whatever the memory has."""
    history = History(0)
    history.fill(Past("we met", 1, (tick(2),)))
    history.add(tick(3))
    assert history.messages == ()
    assert not history.is_full


@pytest.mark.parametrize("is_on_board", [True, False])
async def test_without_a_writer_the_older_half_goes(is_on_board: bool) -> None:
    """On board nothing is written that a tick would have to wait for."""
    history, kept = History(4), Kept()
    llm = writing("never")
    llm.is_on_board = is_on_board
    for number in range(1, 6):
        history.add(tick(number))
    history.shorten(llm if is_on_board else None, kept.keep)
    assert told(history) == ["s4", "s5"]
    assert (kept, llm.asked) == ([], [])


async def test_the_older_half_goes_once_it_is_summarised() -> None:
    """Until then it is shown; the next summary is told of the one before."""
    history, kept = History(2), Kept()
    llm = writing("They met.", "They met and sat.", duration_s=0.02)
    for number in range(1, 4):
        history.add(tick(number))
    history.shorten(llm, kept.keep)
    await asyncio.sleep(0)  # it has begun
    history.add(tick(4))
    history.shorten(llm, kept.keep)  # one is being written already
    assert told(history) == ["s1", "s2", "s3", "s4"], "no turn is lost while it is written"
    await settled(history)
    assert told(history) == ["WHAT HAPPENED BEFORE:\nThey met.", "s3", "s4"]
    assert history.messages[0].role == "system"
    history.add(tick(5))
    history.shorten(llm, kept.keep)
    await settled(history)
    assert told(history) == ["WHAT HAPPENED BEFORE:\nThey met and sat.", "s5"]
    assert kept == [("They met.", 2), ("They met and sat.", 4)]
    first, second = (asked.prompt.situation for asked in llm.asked)
    assert "s1" in first
    assert "s2" in first
    assert "They met." in second
    assert "move 'sit'" in second
    await history.aclose()


async def test_a_summary_that_fails_is_tried_again() -> None:
    """Its ticks stay; in the end they go, and what was told before stays."""
    history, kept = History(1), Kept()
    history.fill(Past("They met.", 7, (tick(6), tick(8))))
    history.add(tick(9))
    down = ScriptedLLM[Any](Turn(failure=ServerError("down")), Turn(answer=PlainText(text="")))
    for number in range(10, 14):
        history.shorten(down, kept.keep)
        await asyncio.sleep(0.01)
        assert told(history)[0] == "WHAT HAPPENED BEFORE:\nThey met."
        assert len(told(history)) == 1 + min(2, number - 8), "no more than twice as many"
        history.add(tick(number))
    history.shorten(down, kept.keep)
    assert told(history) == ["WHAT HAPPENED BEFORE:\nThey met.", "s13"]
    assert kept == []
    assert [len(asked.prompt.situation.split("It sensed")) - 1 for asked in down.asked] == [
        1,
        2,
        3,
        4,
    ]


async def test_a_long_past_is_told_piece_by_piece() -> None:
    """What had no summary when the robot ended is summarised at its next start."""
    history, kept = History(4), Kept()
    history.fill(Past("", 0, tuple(tick(number) for number in range(1, 121))))
    assert told(history) == [f"s{number}" for number in range(113, 121)]
    llm = writing("first", "second", "third")
    history.shorten(llm, kept.keep)
    await settled(history)
    assert [last for _, last in kept] == [50, 100, 118]
    assert told(history) == ["WHAT HAPPENED BEFORE:\nthird", "s119", "s120"]


async def test_a_summary_gives_way_to_a_question() -> None:
    """A server with one slot answers the tick; the writing begins again after it."""
    history, kept = History(1), Kept()
    for number in (1, 2):
        history.add(tick(number))
    llm = writing("They met.", duration_s=0.02)
    history.shorten(llm, kept.keep)
    await asyncio.sleep(0)
    await history.pause()
    assert llm.asked[0].ended == "closed"
    assert told(history) == ["s1", "s2"]
    history.shorten(llm, kept.keep)
    await settled(history)
    assert told(history) == ["WHAT HAPPENED BEFORE:\nThey met.", "s2"]


async def test_a_tick_that_is_not_on_disk_does_not_hide_a_summary() -> None:
    """It is kept as telling of the last one that is."""
    history, kept = History(1), Kept()
    for each in (tick(1), replace(tick(2), id=None), tick(3)):
        history.add(each)
    history.shorten(writing("They met."), kept.keep)
    await settled(history)
    assert kept == [("They met.", 1)]


async def test_a_long_summary_is_cut() -> None:
    """A model that does not keep to 100 words does not fill the prompt."""
    history, kept = History(1), Kept()
    for number in (1, 2):
        history.add(tick(number))
    history.shorten(writing("a" * 9999), kept.keep)
    await settled(history)
    assert len(kept[0][0]) == LONGEST_SUMMARY


async def test_closing_gives_a_summary_up() -> None:
    """The end of the robot does not wait for it."""
    history, kept = History(1), Kept()
    for number in (1, 2):
        history.add(tick(number))
    history.shorten(writing("late", duration_s=60), kept.keep)
    await asyncio.sleep(0)
    await history.aclose()
    assert kept == []
    assert told(history) == ["s1", "s2"]


def test_a_tick_gets_its_number_later() -> None:
    """The memory gives it once it is on disk."""
    history = History(3)
    added = tick(1)
    history.add(added)
    history.number(added, tick(77))
    history.number(tick(5), tick(78))
    assert [turn.tick.id for turn in history._turns] == [77]


def test_what_a_summary_tells_is_not_shown_again() -> None:
    """The memory's ticks up to it are left out."""
    history = History(3)
    history.fill(Past("They met.", 2, (tick(1), tick(2), tick(3))))
    assert told(history) == ["WHAT HAPPENED BEFORE:\nThey met.", "s3"]


def test_the_older_half_can_be_dropped() -> None:
    """At least one tick goes, and an empty past stays empty."""
    history = History(3)
    for number in (1, 2, 3):
        history.add(tick(number))
    history.forget()
    assert told(history) == ["s3"]
    history.forget()
    history.forget()
    assert told(history) == []
