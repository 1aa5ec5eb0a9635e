"""The loop: at most `hertz` ticks a second, each inside its deadline, one after the other.

A tick takes what was sensed since the last one, asks the LLM, and hands each action to the
actuators the moment it is ready, in order; reading the answer does not wait for a movement to end.
Where nothing new was sensed there is no tick, and the model is not asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any

from reflexarc.alarm import no_strays
from reflexarc.errors import ContextOverflowError, LLMError, ReflexarcError, StorageError
from reflexarc.llm import LLM
from reflexarc.memory import Memory, Tick
from reflexarc.prompt import Prompt
from reflexarc.providers.connection import FRESH_S, IDLE_S
from reflexarc.runtime.actuators import Actuator
from reflexarc.runtime.events import (
    Failed,
    Observer,
    Remembered,
    TickEnded,
    TickStarted,
)
from reflexarc.runtime.history import MOST_WAITING, History
from reflexarc.runtime.inputs import Board, Input
from reflexarc.runtime.recorder import Recorder
from reflexarc.types import Action, ActionReady, Event, Finished

_log = logging.getLogger(__name__)

CONNECTED_S = 300.0
"""Seconds after the last question for which connections are kept open: a robot that sleeps leaves
its servers alone."""

WARMED_S = 15.0
"""Seconds after which the first tick begins, ready or not."""

TOLD_S = 1.0
"""Seconds that an input has to hear that a tick is over."""

WAITED_S = 1.0
"""Seconds after which it is told that what is sensed waits for an action to be performed."""

_CONNECT_EVERY_S = 0.75 * (IDLE_S - FRESH_S)  # so one falls between the two, which is in time


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
    memory : Memory or None, default None
        Where each tick is kept, and where the past comes from at the start; it is open. None: the
        past ends with the loop.

    Attributes
    ----------
    board : Board
        Where the inputs put what they sense.
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
        memory: Memory | None = None,
    ) -> None:
        self._llm = llm
        self._prompt = prompt
        self._period_s = 1 / hertz
        self._history_length = history_length
        self._history = History(history_length)
        self._memory = memory
        self._keeping: set[asyncio.Task[None]] = set()
        self._may_summarise = False
        self._broken: BaseException | None = None  # why an observer could not be told
        self._inputs = inputs
        self._actuator = actuator
        self._observe = observe
        self.board = Board()
        self._ticks = 0
        self._stop = asyncio.Event()
        self._is_asking = False
        self._asked_at = 0.0
        self._slow: set[str] = set()
        self.failures = 0

    async def run(self) -> None:
        """Run until the inputs end, or until cancelled; either way nothing is left behind."""
        clock = asyncio.get_running_loop().time
        await self._recall()
        try:
            await self._run(clock)
        finally:
            await self._history.aclose()
            if self._keeping:
                await asyncio.wait(self._keeping)
        if self._broken is not None:
            raise self._broken

    async def _run(self, clock: Callable[[], float]) -> None:
        async with asyncio.TaskGroup() as tasks:
            senses = [tasks.create_task(self._sense(each)) for each in self._inputs]
            ended = tasks.create_task(self._ended(senses))
            warming = tasks.create_task(self._warm())
            connecting = tasks.create_task(self._stay_connected())
            due = clock()
            while await self._something_sensed(ended):
                await asyncio.wait({warming}, timeout=WARMED_S)
                await asyncio.sleep(max(0.0, due - clock()))
                due = clock() + self._period_s
                missed = self.board.missed
                await self._tick(self.board.take(), missed)
                for each in self._inputs:
                    await self._tell(each)
            for task in (*senses, warming, connecting):
                task.cancel()

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
                await input_.run(self.board)
            if input_.ends_all:
                self._stop.set()
        except Exception as error:  # noqa: BLE001 - one broken sensor must not end the robot
            self._report(Failed(error, "input"))

    async def _ended(self, senses: Sequence[asyncio.Task[None]]) -> None:
        """Wait until all inputs have ended, or one with which all is over."""
        async with asyncio.TaskGroup() as tasks:
            stopped = tasks.create_task(self._stop.wait())
            if senses:
                every = tasks.create_task(_all(senses))
                await asyncio.wait({stopped, every}, return_when=asyncio.FIRST_COMPLETED)
                every.cancel()
            stopped.cancel()

    async def _tell(self, input_: Input) -> None:
        """Tell an input that a tick is over; it may not hold the robot up."""
        try:
            async with asyncio.timeout(TOLD_S):
                with no_strays():
                    await input_.ticked()
        except Exception as error:  # noqa: BLE001 - one broken sensor must not end the robot
            self._report(Failed(error, "input"))

    async def _something_sensed(self, ended: asyncio.Task[None]) -> bool:
        """Wait for the next thing sensed; False once there will be none."""
        changed = asyncio.create_task(self.board.wait())
        try:
            await asyncio.wait({changed, ended}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)  # an input that has just ended may have put its last text
            return self.board.filled
        finally:
            changed.cancel()

    async def _tick(self, sensed: str, missed: tuple[str, ...]) -> None:
        self._ticks += 1
        if not self._llm.is_paid:  # a vendor takes several questions at once, others may not
            await self._history.pause()
        prompt = self._prompt.at(sensed, self._history.messages)
        record = Recorder(prompt, missed)
        self._observe(TickStarted(self._ticks, sensed, missed, prompt, record.at))
        try:
            await self._answer(prompt, record)
        except BaseException:
            record.cut()
            raise
        finally:
            self._end(record.tick())

    async def _answer(self, prompt: Prompt, record: Recorder) -> None:
        ready: asyncio.Queue[Action | None] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks, aclosing(self._events(prompt)) as events:
            tasks.create_task(self._perform(ready, record))
            async for event in events:
                record.take(event)
                if isinstance(event, Failed):
                    self._report(event)
                    if _has_overflowed(event.error):
                        self._history.forget()
                    continue
                if isinstance(event, ActionReady):
                    ready.put_nowait(event.action)
                elif isinstance(event, Finished) and event.reason and _has_overflowed(event):
                    self._history.forget()
                self._observe(event)
            ready.put_nowait(None)

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

    async def _perform(self, ready: asyncio.Queue[Action | None], record: Recorder) -> None:
        while (action := await ready.get()) is not None:
            if self._actuator is None:
                continue
            limit_s = self._actuator.timeout_s
            limit = asyncio.timeout(limit_s)
            waiting = asyncio.create_task(self._tell_of_waiting(action.type))
            try:
                async with limit:
                    with no_strays():
                        await self._actuator.perform(action)
            except Exception as error:  # noqa: BLE001 - one broken motor must not end the robot
                late = TimeoutError(f"it was not done within {limit_s:g} s, and was given up")
                failed = Failed(late if limit.expired() else error, "actuator", action)
                record.take(failed)
                self._report(failed)
            finally:
                waiting.cancel()

    async def _tell_of_waiting(self, type_: str) -> None:
        """Tell once of each type of action that what is sensed waits for it."""
        await asyncio.sleep(WAITED_S)
        await self.board.wait()
        if type_ not in self._slow:
            self._slow.add(type_)
            _log.warning(
                "What is sensed waits until '%s' has been performed, be it a 'stop'; have its "
                "actuator return once the action is under way.",
                type_,
            )

    def _report(self, failed: Failed) -> None:
        self.failures += 1
        if not isinstance(
            failed.error, ReflexarcError | OSError
        ):  # else it may be a bug: show where
            _log.error("the %s failed", failed.where, exc_info=failed.error)
        self._observe(failed)

    async def _recall(self) -> None:
        """Begin with the past that the memory has."""
        if self._memory is None or not self._history_length:
            return
        try:
            past = await self._memory.past(max(MOST_WAITING, self._history_length))
        except StorageError as error:
            self._report(Failed(error, "memory"))
            return
        self._history.fill(past)
        self._may_summarise = True
        self._shorten()

    def _end(self, tick: Tick) -> None:
        """Keep a tick: for the next prompt at once, on disk in the background."""
        self._observe(TickEnded(self._ticks, tick))
        self._history.add(tick)
        if self._memory is not None:
            self._keep(self._store(self._memory, tick, self._ticks))
        self._shorten()

    def _shorten(self) -> None:
        """Have a history that is full go on with less.

        Where the memory could not be read, no summary is written: it would take the place of one
        that tells more.
        """
        self._history.shorten(self._llm if self._may_summarise else None, self._keep_summary)

    def _keep_summary(self, text: str, last: Tick) -> None:
        if self._memory is not None and last.id is not None:
            self._keep(self._memory.summarise(text, last.id))

    async def _store(self, memory: Memory, tick: Tick, number: int) -> None:
        remembered = await memory.remember(tick)
        self._history.number(tick, remembered)
        assert remembered.id is not None
        self._observe(Remembered(number, remembered.id))

    def _keep(self, storing: Coroutine[Any, Any, None]) -> None:
        """Have something written in the background; a failure is told, and costs nothing else."""

        async def keep() -> None:
            try:
                await storing
            except StorageError as error:
                self._report(Failed(error, "memory"))

        def kept(task: asyncio.Task[None]) -> None:
            self._keeping.discard(task)
            if not task.cancelled() and task.exception() is not None:
                self._broken = task.exception()
                self._stop.set()

        task = asyncio.create_task(keep(), name="remembering")
        self._keeping.add(task)
        task.add_done_callback(kept)


def _has_overflowed(end: Exception | Finished) -> bool:
    """Whether the past was too long for one of those that were asked, where nobody has answered."""
    if isinstance(end, ContextOverflowError):
        return True
    return isinstance(end, LLMError | Finished) and any(
        attempt.outcome == ContextOverflowError.kind for attempt in end.attempts
    )


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)
