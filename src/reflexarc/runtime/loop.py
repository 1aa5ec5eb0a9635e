"""The loop: at most `hertz` ticks a second, each inside its deadline, one after the other.

A tick takes what was sensed since the last one, asks the LLM, and hands each action to the
actuators the moment it is ready, in order; reading the answer does not wait for a movement to end.
Where nothing new was sensed there is no tick, and the model is not asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from reflexarc.alarm import no_strays
from reflexarc.errors import ContextOverflowError, LLMError, ReflexarcError
from reflexarc.llm import LLM
from reflexarc.prompt import Prompt, written
from reflexarc.providers.connection import FRESH_S, IDLE_S
from reflexarc.runtime.actuators import Actuator
from reflexarc.runtime.inputs import Board, Input
from reflexarc.types import Action, ActionReady, Event, Finished, Message

_log = logging.getLogger(__name__)

CONNECTED_S = 300.0
"""Seconds after the last question for which connections are kept open: a robot that sleeps leaves
its servers alone."""

_CONNECT_EVERY_S = 0.75 * (IDLE_S - FRESH_S)  # so one falls between the two, which is in time


@dataclass(frozen=True, slots=True)
class TickStarted:
    """A tick begins.

    Parameters
    ----------
    tick : int
        Its number, from 1.
    text : str
        What is sensed.
    missed : tuple of str, default ()
        What was sensed before it and given up for it, since the last tick was still running.
    """

    tick: int
    text: str
    missed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The event as one JSON object."""
        missed = {"missed": list(self.missed)} if self.missed else {}
        return {"event": "sensed", "tick": self.tick, "text": self.text, **missed}


@dataclass(frozen=True, slots=True)
class Failed:
    """The model, an input or an actuator failed; the robot goes on without it.

    Parameters
    ----------
    error : Exception
        Why.
    where : str, default "llm"
        ``"llm"``, ``"input"`` or ``"actuator"``.
    action : Action or None, default None
        The action that an actuator could not perform.
    """

    error: Exception
    where: str = "llm"
    action: Action | None = None

    def to_dict(self) -> dict[str, Any]:
        """The event as one JSON object."""
        if isinstance(self.error, LLMError):
            attempts = [attempt.to_dict() for attempt in self.error.attempts]
            return {"event": "error", **self.error.to_dict(), "attempts": attempts}
        if isinstance(self.error, ReflexarcError):
            return {"event": "error", **self.error.to_dict()}
        message = f"{type(self.error).__name__}: {self.error}"
        action = self.action.model_dump() if self.action else None
        return {"event": "error", "kind": self.where, "message": message, "action": action}


TickEvent = TickStarted | Event | Failed

Observer = Callable[[TickEvent], None]
"""Told everything that happens, at once; must not block."""


class Loop:
    """One robot, running.

    Parameters
    ----------
    llm : LLM
        Its brain, open.
    prompt : Prompt
        The stable part of what it is told.
    hertz : float
        Most ticks a second, above 0.
    history_length : int
        Past ticks shown to the model.
    inputs : sequence of Input
        The loop ends when all of them have ended and nothing is left on the board.
    observe : callable
        Told everything.
    actuator : Actuator or None, default None
        Performs each action; None leaves that to who observes.

    Attributes
    ----------
    failures : int
        Failures so far, of whatever kind.
    """

    def __init__(
        self,
        llm: LLM[Any],
        prompt: Prompt,
        *,
        hertz: float,
        history_length: int,
        inputs: Sequence[Input],
        observe: Observer,
        actuator: Actuator | None = None,
    ) -> None:
        self._llm = llm
        self._prompt = prompt
        self._period_s = 1 / hertz
        self._history_length = history_length
        self._history: list[Message] = []
        self._inputs = inputs
        self._actuator = actuator
        self._observe = observe
        self._board = Board()
        self._ticks = 0
        self._is_asking = False
        self._asked_at = 0.0
        self.failures = 0

    async def run(self) -> None:
        """Run until the inputs end, or until cancelled; either way nothing is left behind."""
        clock = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as tasks:
            senses = [tasks.create_task(self._sense(each)) for each in self._inputs]
            ended = tasks.create_task(_all_ended(senses))
            warming = tasks.create_task(self._warm())
            connecting = tasks.create_task(self._stay_connected())
            due = clock()
            while await self._something_sensed(ended):
                await warming
                await asyncio.sleep(max(0.0, due - clock()))
                due = clock() + self._period_s
                missed = self._board.missed
                await self._tick(self._board.take(), missed)
                for each in self._inputs:
                    await each.ticked()
            warming.cancel()
            connecting.cancel()

    async def _stay_connected(self) -> None:
        """Have connections open for the next question, while none is asked: also in a movement.

        A question waits for none of it.
        """
        clock = asyncio.get_running_loop().time
        self._asked_at = clock()
        while True:
            await asyncio.sleep(_CONNECT_EVERY_S)
            if self._is_asking or clock() - self._asked_at > CONNECTED_S:
                continue
            try:
                with no_strays():
                    await self._llm.connect()
            except Exception as error:  # noqa: BLE001 - the next tick will meet the same, and tell
                _log.debug("connecting failed: %s: %s", type(error).__name__, error)

    async def _warm(self) -> None:
        try:
            with no_strays():
                await self._llm.warm(self._prompt)
        except Exception as error:  # noqa: BLE001 - the first tick will meet the same, and tell
            _log.info("warming failed: %s: %s", type(error).__name__, error)

    async def _sense(self, input_: Input) -> None:
        try:
            with no_strays():
                await input_.run(self._board)
        except Exception as error:  # noqa: BLE001 - one broken sensor must not end the robot
            self._report(Failed(error, "input"))

    async def _something_sensed(self, ended: asyncio.Task[None]) -> bool:
        """Wait for the next thing sensed; False once there will be none."""
        changed = asyncio.create_task(self._board.wait())
        try:
            await asyncio.wait({changed, ended}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)  # an input that has just ended may have put its last text
            return self._board.filled
        finally:
            changed.cancel()

    async def _tick(self, sensed: str, missed: tuple[str, ...]) -> None:
        self._ticks += 1
        self._observe(TickStarted(self._ticks, sensed, missed))
        prompt = self._prompt.at(sensed, self._history)
        ready: asyncio.Queue[Action | None] = asyncio.Queue()
        done: list[Action] = []
        failed = idled = False
        async with asyncio.TaskGroup() as tasks, aclosing(self._events(prompt)) as events:
            tasks.create_task(self._perform(ready))
            async for event in events:
                if isinstance(event, Failed):
                    failed = True
                    self._report(event)
                    if _has_overflowed(event.error):
                        self._forget()
                    continue
                if isinstance(event, ActionReady):
                    done.append(event.action)
                    ready.put_nowait(event.action)
                elif isinstance(event, Finished):
                    idled = bool(event.reason)
                    if idled and _has_overflowed(event):
                        self._forget()
                self._observe(event)
            ready.put_nowait(None)
        if not idled and (done or not failed):  # a failure is no example of doing nothing
            self._remember(sensed, done)

    async def _events(self, prompt: Prompt) -> AsyncGenerator[Event | Failed, None]:
        """What the LLM gives out, and its failure as the last of it."""
        self._is_asking = True
        try:
            with no_strays():
                async with aclosing(self._llm.stream(prompt)) as events:
                    async for event in events:
                        yield event
        except Exception as error:  # noqa: BLE001 - one broken call must not end the robot
            yield Failed(error)
        finally:
            self._is_asking = False
            self._asked_at = asyncio.get_running_loop().time()

    async def _perform(self, ready: asyncio.Queue[Action | None]) -> None:
        while (action := await ready.get()) is not None:
            if self._actuator is None:
                continue
            limit_s = self._actuator.timeout_s
            limit = asyncio.timeout(limit_s)
            try:
                async with limit:
                    with no_strays():
                        await self._actuator.perform(action)
            except Exception as error:  # noqa: BLE001 - one broken motor must not end the robot
                late = TimeoutError(f"it was not done within {limit_s:g} s, and was given up")
                self._report(Failed(late if limit.expired() else error, "actuator", action))

    def _report(self, failed: Failed) -> None:
        self.failures += 1
        if not isinstance(
            failed.error, ReflexarcError | OSError
        ):  # else it may be a bug: show where
            _log.error("the %s failed", failed.where, exc_info=failed.error)
        self._observe(failed)

    def _remember(self, sensed: str, done: Sequence[Action]) -> None:
        """Append the tick; when the history is full, drop its older half at once.

        Dropping one tick at each tick would move everything and empty the server's prefix cache:
        measured on the on-board model, 812 tokens read again a tick against 150.
        """
        if not self._history_length:
            return
        self._history += [Message("user", sensed), Message("assistant", written(done))]
        if len(self._history) > 2 * self._history_length:
            self._forget()

    def _forget(self) -> None:
        """Drop the older half of the past, at least one tick of it."""
        ticks = len(self._history) // 2
        self._history = self._history[2 * ((ticks + 1) // 2) :]


def _has_overflowed(end: Exception | Finished) -> bool:
    """Whether the past was too long for one of those that were asked, where nobody has answered."""
    if isinstance(end, ContextOverflowError):
        return True
    return isinstance(end, LLMError | Finished) and any(
        attempt.outcome == ContextOverflowError.kind for attempt in end.attempts
    )


async def _all_ended(senses: Sequence[asyncio.Task[None]]) -> None:
    if senses:
        await asyncio.wait(senses)
