"""The past that a model is shown: the last ticks, and a summary of those before them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from reflexarc.alarm import no_strays
from reflexarc.llm import LLM
from reflexarc.memory import Past, Tick
from reflexarc.prompt import Prompt, written
from reflexarc.types import Message

_log = logging.getLogger(__name__)

LONGEST_SUMMARY = 1500
"""Characters of a summary that a model is shown."""

MOST_WAITING = 200
"""Ticks that wait for a summary at the start; of more than that the oldest are left out."""

_MOST_TOLD = 50  # ticks that one summary tells of
_PATIENCE = 3  # times that a summary is begun in vain
_STOPPED_S = 0.2  # for a server to hear that nobody waits for its summary

_SUMMARY = "WHAT HAPPENED BEFORE:\n"
_KEEPER = (
    "You keep the memory of a robot. Write down in at most 100 words, in plain sentences, what it "
    "should still know later: who it met, what they wanted, what was agreed, what it did. "
    "Write nothing else."
)


@dataclass(slots=True, eq=False)
class _Turn:
    tick: Tick


class History:
    """The last ticks, as messages.

    It grows tick by tick, and when it is full its older part goes at once: dropping one tick at
    each tick would move everything and empty the server's prefix cache (measured on the on-board
    model: 812 tokens read again a tick against 150). Where there is somebody to write a summary,
    the part goes when that is written, in the background; until then up to twice as many ticks are
    shown.

    Parameters
    ----------
    length : int
        Ticks that are shown, but for those that wait for their summary; 0 shows none.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._turns: list[_Turn] = []
        self._summary = ""
        self._writing: asyncio.Task[None] | None = None
        self._vain = 0  # summaries that were begun and not written, since the last one

    @property
    def messages(self) -> tuple[Message, ...]:
        """What a model is shown, oldest first; a summary is a system's turn before all others."""
        head = [Message("system", f"{_SUMMARY}{self._summary}")] if self._summary else []
        turns = [
            message
            for tick in (turn.tick for turn in self._turns[-2 * self._length :])
            for message in (
                Message("user", tick.prompt.situation),
                Message("assistant", written(tick.done)),
            )
        ]
        return (*head, *turns)

    @property
    def is_full(self) -> bool:
        """Whether there are more ticks than are to be shown."""
        return len(self._turns) > self._length

    def fill(self, past: Past) -> None:
        """Begin with what the memory has.

        Parameters
        ----------
        past : Past
            Of this robot.
        """
        if self._length:
            self._summary = past.summary[:LONGEST_SUMMARY]
            new = (tick for tick in past.ticks if tick.id is None or tick.id > past.until)
            self._turns = [_Turn(tick) for tick in new]

    def add(self, tick: Tick) -> None:
        """Add a tick that is over.

        Parameters
        ----------
        tick : Tick
            One that is no turn (`Tick.is_turn`) is left out.
        """
        if self._length and tick.is_turn:
            self._turns.append(_Turn(tick))

    def number(self, tick: Tick, remembered: Tick) -> None:
        """Note the number that a tick has in the memory.

        Parameters
        ----------
        tick : Tick
            As it was added.
        remembered : Tick
            The same with its id.
        """
        for turn in self._turns:
            if turn.tick is tick:
                turn.tick = remembered

    def forget(self) -> None:
        """Drop the older half, at least one tick of it."""
        self._turns = self._turns[(len(self._turns) + 1) // 2 :]

    def shorten(self, llm: LLM[Any] | None, keep: Callable[[str, Tick], None]) -> None:
        """Have the older part go, if this is full: after its summary, where one can be written.

        Where that fails again and again, the part goes in the end without; the memory has it.

        Parameters
        ----------
        llm : LLM or None
            Writes it. One on board is not asked: what it writes makes the next tick wait.
        keep : callable
            Is given the summary, and the last tick with a number that it tells of.
        """
        if not self.is_full or (self._writing and not self._writing.done()):
            return
        is_vain = self._vain > _PATIENCE and len(self._turns) > 2 * self._length
        if llm is None or llm.is_on_board or is_vain:
            self._turns, self._vain = self._turns[-self._kept :], 0
            return
        self._writing = asyncio.create_task(self._summarise(llm, keep), name="summary")

    async def pause(self) -> None:
        """Have whoever writes a summary stop, since there is something to answer.

        Its ticks stay, and `shorten` begins again.
        """
        if self._writing is not None and not self._writing.done():
            self._vain += 1
            self._writing.cancel()
            await asyncio.wait({self._writing}, timeout=_STOPPED_S)

    async def aclose(self) -> None:
        """Give up a summary that is being written; its ticks are in the memory all the same."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})

    @property
    def _kept(self) -> int:
        """Ticks that stay when the others go."""
        return (self._length + 1) // 2

    async def _summarise(self, llm: LLM[Any], keep: Callable[[str, Tick], None]) -> None:
        while self.is_full:
            part = self._turns[: min(len(self._turns) - self._kept, _MOST_TOLD)]
            try:
                with no_strays():
                    text = await llm.write(Prompt(system=_KEEPER, situation=self._told(part)))
            except Exception as error:  # noqa: BLE001 - the robot goes on without a summary
                _log.warning("no summary was written (%s): %s", type(error).__name__, error)
                text = ""
            if not text:
                self._vain += 1
                return
            self._vain = 0
            self._turns = [turn for turn in self._turns if turn not in part]
            self._summary = text[:LONGEST_SUMMARY]
            numbered = [turn.tick for turn in part if turn.tick.id is not None]
            if numbered:
                keep(self._summary, numbered[-1])

    def _told(self, turns: Sequence[_Turn]) -> str:
        lines = [f"Until now you have noted:\n{self._summary}\n"] if self._summary else []
        lines.append("Since then:")
        for turn in turns:
            done = ", ".join(f"{action.type} {action.value!r}" for action in turn.tick.done)
            sensed = turn.tick.prompt.situation
            lines.append(f"- It sensed: {sensed}\n  It did: {done or 'nothing'}")
        return "\n".join(lines)
