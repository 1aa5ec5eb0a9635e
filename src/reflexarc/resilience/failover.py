"""Several brains behind one face: where one fails or is late, the next one answers.

A robot that waits is a robot that has stopped, so no brain may use up the time of those behind it.
Once an action is out the robot moves, and nothing starts again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from typing import Any, Literal

from reflexarc.alarm import no_strays
from reflexarc.errors import ConfigError, LLMError
from reflexarc.gate import Gate
from reflexarc.llm import LLM, Messages, R, Standing
from reflexarc.prompt import Prompt, read_prompt
from reflexarc.providers.greeting import WAITED_S
from reflexarc.resilience.asking import Member, failure_of
from reflexarc.resilience.race import Race, all_failed
from reflexarc.types import Event

_log = logging.getLogger(__name__)

_INSISTING_S = 1.0
"""Seconds for which one that will not end is waited for when all is closed."""

HedgeAfter = float | Literal["auto", "p95"] | None


class Failover(LLM[R]):
    """Brains in order: the first that acts, or answers that there is nothing to do, is the one.

    Inside a `Deadline`, each one's first action must be out within its share of the time that is
    left: equal shares, but for those behind that are known to be quick, which are left what they
    need. One that has failed is left alone for 5 s, and for twice as long at each further failure,
    up to a minute: it is asked only if all others fail as well.

    Parameters
    ----------
    llms : sequence of LLM
        Best first; at least one.
    hedge_after : float, {"auto", "p95"} or None, default None
        When the next one is started beside one that has not acted yet: after so many seconds;
        ``"p95"``, when it is later than in 19 of 20 of its last answers; ``"auto"``, the same
        unless both are paid for. The first that acts is the one, the other is closed. None never
        does.
    history_lengths : sequence of int or None, default ()
        Past ticks that each of them is shown at most; None, and what is left out, shows all.
    """

    name = "FailoverLLM"

    def __init__(
        self,
        llms: Sequence[LLM[Any]],
        *,
        hedge_after: HedgeAfter = None,
        history_lengths: Sequence[int | None] = (),
    ) -> None:
        if not llms:
            raise ConfigError(f"{type(self).__name__} needs at least one LLM")
        self.llms = tuple(llms)
        self.is_on_board = all(llm.is_on_board for llm in self.llms)
        self.is_paid = any(llm.is_paid for llm in self.llms)
        lengths = [*history_lengths, *[None] * len(self.llms)]
        self._members = [Member(llm, ticks) for llm, ticks in zip(self.llms, lengths, strict=False)]
        self._hedge_after: HedgeAfter = hedge_after
        self._left: set[asyncio.Task[None]] = set()  # those that were cancelled, and go on
        self._races: set[Race] = set()
        self._gate = Gate(self.name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.llms))})"

    def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Ask, and give out everything that happens as it happens; see `LLM.stream`.

        Plain text is not asked of one on board where there is another: it may have to act.
        """
        return self._gate.through(self._run(read_prompt(prompt, messages)))

    async def _run(self, whole: Prompt) -> AsyncGenerator[Event, None]:
        race = Race(self._in_order(whole), whole, self._hedge_after, self._left)
        self._races.add(race)
        try:
            async with aclosing(race.events()) as events:
                async for event in events:
                    yield event
        finally:
            self._races.discard(race)
            await race.aclose()

    def _in_order(self, whole: Prompt) -> list[Member]:
        """Who is asked: those that are well, and then those that have failed lately."""
        now = asyncio.get_running_loop().time()
        members = self._members
        if whole.is_plain:
            members = [each for each in members if not each.llm.is_on_board] or members
        return sorted(members, key=lambda each: each.rest.left_s(now) > 0)

    def standings(self) -> tuple[Standing, ...]:
        """Each of them; one that has failed lately and is left alone counts as open."""
        now = asyncio.get_running_loop().time()
        return tuple(
            replace(each, state="open") if member.rest.left_s(now) else each
            for member in self._members
            for each in member.llm.standings()
        )

    async def open(self) -> None:
        """Open all of them, so that the next one is ready before it is needed.

        Raises
        ------
        ConfigError
            If one of them is configured wrongly: at the start there is somebody to mend it.
        UnavailableError
            If none can be opened; one that can is enough.
        ClosedError
            If they are open in another event loop.
        """
        self._gate.open()
        failures = await self._each(lambda llm: llm.open())
        for error in failures:
            if isinstance(error.__cause__, ConfigError):
                raise error.__cause__
        if len(failures) == len(self.llms):
            raise all_failed(failures)

    async def warm(self, prompt: Prompt) -> None:
        """Have the stable part of a prompt read ahead by each of them; see `LLM.warm`.

        A server that is out of reach holds nobody up for long: the others are ready.
        """

        async def warm(llm: LLM[Any]) -> None:
            task = asyncio.create_task(llm.warm(prompt), name=f"warming {llm.name}")
            try:
                await asyncio.wait({task}, timeout=None if llm.is_on_board else WAITED_S)
            finally:
                if not task.done():
                    self._leave(task)
            if task.done():
                await task

        await self._each(warm)

    async def connect(self) -> None:
        """Have a connection open to each of their servers; see `LLM.connect`."""
        await self._each(lambda llm: llm.connect())

    async def aclose(self) -> None:
        """End all questions, and close all of them, even where one fails; may be called twice."""
        async with AsyncExitStack() as closing:
            for llm in self.llms:
                closing.push_async_callback(_close, llm)
            closing.push_async_callback(self._insist)
            closing.push_async_callback(self._end)

    def _leave(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        self._left.add(task)
        task.add_done_callback(self._left.discard)

    async def _end(self) -> None:
        """End every question, also one whose events nobody waits for just now."""
        await self._gate.close()
        for race in [*self._races]:
            await race.aclose()

    async def _insist(self) -> None:
        """Cancel once more those that go on, now that there is time to wait for them."""
        for task in self._left:
            task.cancel()
        if self._left:
            await asyncio.wait(self._left, timeout=_INSISTING_S)

    async def _each(self, do: Callable[[LLM[Any]], Awaitable[None]]) -> list[LLMError]:
        """Do something with each of them at once, and tell which ones fail."""

        async def one(llm: LLM[Any]) -> LLMError | None:
            try:
                with no_strays():
                    await do(llm)
            except Exception as error:  # noqa: BLE001 - a mistake in one is no reason for none
                failure = failure_of(llm, error)
                _log.warning("%s is not ready (%s): %s", llm.name, failure.kind, failure.message)
                return failure
            return None

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(llm)) for llm in self.llms]
        return [error for task in tasks if (error := task.result()) is not None]


async def _close(llm: LLM[Any]) -> None:
    with no_strays():
        await llm.aclose()


class Hedge(Failover[R]):
    """Two brains: the second is started beside the first where that is late, or fails.

    Parameters
    ----------
    llm : LLM
        Asked first.
    second : LLM
        Started where the first is late.
    after_s : float or None, default None
        Seconds to wait for the first one's first action; None waits as long as it takes in 19 of 20
        of its last answers.
    """

    def __init__(self, llm: LLM[Any], second: LLM[Any], *, after_s: float | None = None) -> None:
        super().__init__((llm, second), hedge_after="p95" if after_s is None else after_s)
