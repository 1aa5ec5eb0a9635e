"""Several brains behind one face: where one fails, the next one answers, inside one deadline.

A robot that waits is a robot that has stopped, so no brain may use up the time of those behind it:
its first action must be out within its share of what remains. Once an action is out the robot
moves, and nothing starts again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel

from reflexarc.config import LLMConfig
from reflexarc.errors import (
    ConfigError,
    DeadlineError,
    LLMError,
    ReflexarcError,
    UnavailableError,
)
from reflexarc.llm import LLM, Messages, R
from reflexarc.messages import recent
from reflexarc.prompt import Prompt, read_prompt
from reflexarc.registry import find_llm
from reflexarc.types import ActionReady, ActionRefused, Attempt, Event, Finished
from reflexarc.vocabulary import Vocabulary

T = TypeVar("T")

_log = logging.getLogger(__name__)

# What is the robot's, and may stand beside ``llms``; the rest is each brain's own.
_OF_THE_ROBOT = {
    "type",
    "llms",
    "timeout",
    "first_action_timeout",
    "history_length",
    "agent_name",
    "examples",
}


class Failover(LLM[R]):
    """Brains in order: the first that answers is the one.

    Parameters
    ----------
    llms : sequence of LLM
        Best first; at least one.
    timeout : float
        Seconds that the whole answer may take, whoever gives it.
    first_action_timeout : float or None, default None
        Seconds until the first complete action; None leaves it to `timeout`.
    history_lengths : sequence of int or None, default ()
        Past ticks that each of them is shown at most; None, and what is left out, shows all.
    """

    name = "FailoverLLM"

    def __init__(
        self,
        llms: Sequence[LLM[Any]],
        *,
        timeout: float,
        first_action_timeout: float | None = None,
        history_lengths: Sequence[int | None] = (),
    ) -> None:
        self.llms = tuple(llms)
        self.is_on_board = all(llm.is_on_board for llm in self.llms)
        self._history_lengths = dict(zip(self.llms, history_lengths, strict=False))
        self._timeout = timeout
        self._first_action_timeout = first_action_timeout

    def __repr__(self) -> str:
        return f"Failover({', '.join(map(repr, self.llms))})"

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Ask, and give out everything that happens as it happens; see `LLM.stream`."""
        whole = read_prompt(prompt, messages)
        turn = _Turn(self.llms, self._timeout, self._first_action_timeout)
        for llm in self.llms:
            turn.begin(llm)
            try:
                async with aclosing(llm.stream(self._shown(llm, whole))) as events:
                    while (event := await turn.within(lambda: anext(events, None))) is not None:
                        yield turn.placed(event)
                        if isinstance(event, Finished):
                            return
            except ReflexarcError as error:
                turn.failed(_of(llm, error))
        raise turn.all_failed()

    async def write(self, prompt: str | Prompt, messages: Messages = None) -> str:
        """Ask for plain text; see `LLM.write`.

        Where there is another brain, one on board is not asked: it may have to act meanwhile.
        """
        whole = read_prompt(prompt, messages)
        llms = [llm for llm in self.llms if not llm.is_on_board] or self.llms
        turn = _Turn(llms, self._timeout, None)
        for llm in llms:
            turn.begin(llm)
            try:
                shown = self._shown(llm, whole)
                return await turn.within(lambda: llm.write(shown))  # noqa: B023 - called at once
            except ReflexarcError as error:
                turn.failed(_of(llm, error))
        raise turn.all_failed()

    async def open(self) -> None:
        """Open all of them, so that the next one is ready before it is needed.

        Raises
        ------
        ConfigError
            If one of them is configured wrongly: at the start there is somebody to mend it.
        UnavailableError
            If none can be opened; one that can is enough.
        """
        failures = await self._each(lambda llm: llm.open())
        for error in failures:
            if isinstance(error.__cause__, ConfigError):
                raise error.__cause__
        if len(failures) == len(self.llms):
            raise _all_failed(self.llms, failures)

    async def warm(self, prompt: Prompt) -> None:
        """Have the stable part of a prompt read ahead by each of them; see `LLM.warm`."""
        await self._each(lambda llm: llm.warm(prompt))

    async def aclose(self) -> None:
        """Close all of them, even where closing one fails; may be called twice."""
        async with AsyncExitStack() as closing:
            for llm in self.llms:
                closing.push_async_callback(llm.aclose)

    def _shown(self, llm: LLM[Any], whole: Prompt) -> Prompt:
        """The prompt with as much of the past as a brain is shown."""
        ticks = self._history_lengths.get(llm)
        if ticks is None:
            return whole
        return replace(whole, history=recent(whole.history, 2 * ticks))

    async def _each(self, do: Callable[[LLM[Any]], Awaitable[None]]) -> list[LLMError]:
        """Do something with each of them at once, and tell which ones fail."""

        async def one(llm: LLM[Any]) -> LLMError | None:
            try:
                await do(llm)
            except ReflexarcError as error:
                _log.warning("%s is not ready (%s): %s", llm.name, error.kind, error.message)
                return _of(llm, error)
            return None

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(llm)) for llm in self.llms]
        return [error for task in tasks if (error := task.result()) is not None]


class _Turn:
    """One question: its deadline, who is asked, and what has become of it."""

    def __init__(
        self, llms: Sequence[LLM[Any]], timeout: float, first_action_timeout: float | None
    ) -> None:
        self._llms = llms
        self._clock = asyncio.get_running_loop().time
        self._started = self._clock()
        self._end = self._started + timeout
        self._first_end = self._end
        if first_action_timeout is not None:
            self._first_end = min(self._end, self._started + first_action_timeout)
        self._asked = 0
        self._began = self._until = self._started
        self._acted = False
        self._errors: list[LLMError] = []
        self._attempts: tuple[Attempt, ...] = ()

    def begin(self, llm: LLM[Any]) -> None:
        """Ask the next one, which has its share of the time until its first action."""
        self._name = llm.name
        self._began = self._clock()
        left = len(self._llms) - self._asked
        self._until = self._began + max(0.0, self._first_end - self._began) / left
        self._asked += 1

    async def within(self, do: Callable[[], Awaitable[T]]) -> T:
        """Wait for something, but no longer than the clocks allow."""
        until = self._end if self._acted else self._until
        limit = asyncio.timeout_at(until)
        try:
            async with limit:
                return await do()
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._late(until) from None

    def placed(self, event: Event) -> Event:
        """An event with its times counted from the start of the whole question."""
        offset_s = self._began - self._started
        if isinstance(event, ActionReady):
            self._acted = True
        if isinstance(event, ActionReady | ActionRefused):
            return replace(event, at_s=event.at_s + offset_s)
        if isinstance(event, Finished):
            first_s = event.first_action_s
            return replace(
                event,
                first_action_s=None if first_s is None else first_s + offset_s,
                total_s=event.total_s + offset_s,
                attempts=(*self._attempts, *event.attempts),
            )
        return event

    def failed(self, error: LLMError) -> None:
        """Note a failure; it is the whole question's where an action is out."""
        elapsed_s = self._clock() - self._began
        own = error.attempts or (Attempt(self._name, error.model or "", error.kind, elapsed_s),)
        self._attempts = (*self._attempts, *own)
        self._errors.append(error)
        if self._acted:
            error.attempts = self._attempts
            error.elapsed_s = self._clock() - self._started
            raise error
        if self._asked < len(self._llms):
            _log.warning(
                "%s failed (%s), so %s is asked: %s",
                self._name,
                error.kind,
                self._llms[self._asked].name,
                error.message,
            )

    def all_failed(self) -> LLMError:
        """What is raised where none has answered."""
        error = _all_failed(self._llms, self._errors)
        error.attempts = self._attempts
        error.elapsed_s = self._clock() - self._started
        return error

    def _late(self, until: float) -> DeadlineError:
        limit_s = until - self._began
        is_whole = self._acted or until >= self._end
        what = "the answer was not complete" if is_whole else "no action was complete"
        return DeadlineError(
            f"{what} within the {limit_s:.2g} s that it was given",
            phase="total" if is_whole else "first_action",
            elapsed_s=limit_s,
        )


def _of(llm: LLM[Any], error: ReflexarcError) -> LLMError:
    """An error as this brain's failure: what is configured wrongly stops no other."""
    if isinstance(error, LLMError):
        error.provider = error.provider or llm.name
        return error
    failure = UnavailableError(error.message, provider=llm.name)
    failure.__cause__ = error
    return failure


def _all_failed(llms: Sequence[LLM[Any]], errors: Sequence[LLMError]) -> LLMError:
    """One error of all; the one itself where there is no other."""
    if len(errors) == 1:
        return errors[0]
    reasons = "; ".join(
        f"{llm.name} ({error.kind}): {error.message}"
        for llm, error in zip(llms, errors, strict=True)
    )
    whole = UnavailableError(
        f"none of {len(errors)} brains answered: {reasons}",
        provider=Failover.name,
        retryable=any(error.retryable for error in errors),
    )
    whole.__cause__ = ExceptionGroup("every brain failed", errors)
    return whole


class FailoverLLM(Failover[R]):
    """A failover of a configuration's ``llms``.

    Parameters
    ----------
    config : LLMConfig
        With ``llms``, and of its own the limits alone.
    vocabulary : Vocabulary or None, default None
        What the robot can do; None accepts any action.
    output_model : type or None, default None
        What `ask` returns; None is `CortexOutputModel`.
    environ : mapping of str to str
        Where the providers' keys are looked up.

    Raises
    ------
    ConfigError
        If there is no brain, one of them is wrong, or a setting stands beside ``llms`` that is a
        brain's own.
    """

    def __init__(
        self,
        config: LLMConfig,
        *,
        vocabulary: Vocabulary | None = None,
        output_model: type[BaseModel] | None = None,
        environ: Mapping[str, str],
    ) -> None:
        if not config.llms:
            raise ConfigError(
                "FailoverLLM needs llms, best first, such as "
                '[{type: "MistralLLM"}, {type: "OnboardLLM"}]'
            )
        strays = sorted(config.model_fields_set - _OF_THE_ROBOT)
        if strays:
            raise ConfigError(
                f"FailoverLLM has no {', '.join(strays)} of its own; "
                "write it into the entries of llms"
            )
        made = {"vocabulary": vocabulary, "output_model": output_model, "environ": environ}
        llms: list[LLM[Any]] = [find_llm(child.type)(child, **made) for child in config.llms]
        super().__init__(
            llms,
            timeout=config.timeout,
            first_action_timeout=config.first_action_timeout,
            history_lengths=[*map(_history_length, llms, config.llms)],
        )


def _history_length(llm: LLM[Any], config: LLMConfig) -> int | None:
    """As configured; none on board, where it costs time and does not help (decision 20)."""
    if "history_length" in config.model_fields_set:
        return config.history_length
    return 0 if llm.is_on_board else None
