"""An LLM without a model: what it answers, when, and how it fails is written beforehand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import BaseModel

from reflexarc.errors import LLMError
from reflexarc.gate import Gate
from reflexarc.llm import LLM, Messages, R
from reflexarc.prompt import Prompt, read_prompt
from reflexarc.types import (
    Action,
    ActionReady,
    ActionRefused,
    Attempt,
    CortexOutputModel,
    Event,
    Finished,
    TextDelta,
    Usage,
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What happens in one call.

    Parameters
    ----------
    events : tuple of Action, ActionRefused, TextDelta or Usage, default ()
        What is given out, in order; an `Action` becomes an `ActionReady`.
    first_s : float, default 0.0
        Seconds from the start of the call to the first event.
    duration_s : float, default 0.0
        Seconds from the start of the call to its end; the other events are spread evenly up to it.
        Below `first_s` it counts as equal to it.
    failure : LLMError or None, default None
        What the call ends with instead of `Finished`; each call raises a copy of its own.
    answer : pydantic.BaseModel or None, default None
        What `ask` returns; None is the output model with the actions.
    """

    events: tuple[Action | ActionRefused | TextDelta | Usage, ...] = ()
    first_s: float = 0.0
    duration_s: float = 0.0
    failure: LLMError | None = None
    answer: BaseModel | None = None


@dataclass(slots=True)
class Asked:
    """One call, as it arrived, and what became of it.

    Parameters
    ----------
    prompt : Prompt
        What was asked, past messages included.
    at_s : float
        The loop's time at the start.
    ended : {"running", "finished", "failed", "closed"}, default "running"
        Came to its end; raised its failure; or was cancelled or closed by the caller before that.
    ended_at_s : float or None, default None
        The loop's time at the end.
    """

    prompt: Prompt
    at_s: float
    ended: Literal["running", "finished", "failed", "closed"] = "running"
    ended_at_s: float | None = None


class ScriptedLLM(LLM[R]):
    """A brain that does as it was told.

    Parameters
    ----------
    *turns : Turn
        One for each call; the last one is repeated for ever. Without any, every answer is empty.
    name : str, default "ScriptedLLM"
        The provider it claims to be.
    model : str, default "scripted"
        The model it claims to be.
    output_model : type or None, default None
        What `ask` returns; None is `CortexOutputModel`.

    Attributes
    ----------
    asked : list of Asked
        Every call so far, in order.
    is_open : bool
        Whether it is inside ``async with``.
    """

    def __init__(
        self,
        *turns: Turn,
        name: str = "ScriptedLLM",
        model: str = "scripted",
        output_model: type[BaseModel] | None = None,
    ) -> None:
        self.name = name
        self.model = model
        self.asked: list[Asked] = []
        self.is_open = False
        self._gate = Gate(name)
        self._turns = turns or (Turn(),)
        self._output_model = output_model or CortexOutputModel

    def __repr__(self) -> str:
        return f"ScriptedLLM(name={self.name!r}, model={self.model!r})"

    async def open(self) -> None:
        """Note that it is open."""
        self._gate.open()
        self.is_open = True

    async def aclose(self) -> None:
        """Note that it is closed, and end what is asked."""
        self.is_open = False
        await self._gate.close()

    def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Play the next turn; see `LLM.stream`."""
        return self._gate.through(self._asked(read_prompt(prompt, messages)))

    async def _asked(self, prompt: Prompt) -> AsyncGenerator[Event, None]:
        clock = asyncio.get_running_loop().time
        turn = self._turns[min(len(self.asked), len(self._turns) - 1)]
        asked = Asked(prompt, clock())
        self.asked.append(asked)
        try:
            async with aclosing(self._play(turn, asked.at_s)) as events:
                async for event in events:
                    if isinstance(event, Finished):  # after it, nobody has to ask for more
                        asked.ended = "finished"
                    yield event
        except LLMError:
            asked.ended = "failed"
            raise
        finally:
            asked.ended_at_s = clock()
            if asked.ended == "running":
                asked.ended = "closed"

    async def _play(self, turn: Turn, started: float) -> AsyncGenerator[Event, None]:
        clock = asyncio.get_running_loop().time
        end_s = max(turn.first_s, turn.duration_s)
        step_s = (end_s - turn.first_s) / max(1, len(turn.events) - 1)
        ready: list[ActionReady] = []
        for index, event in enumerate(turn.events):
            await _sleep_until(started + turn.first_s + index * step_s)
            if isinstance(event, Action):
                ready.append(ActionReady(event, len(ready), clock() - started))
                yield ready[-1]
            elif isinstance(event, ActionRefused):
                yield replace(event, at_s=clock() - started)
            else:
                yield event
        await _sleep_until(started + end_s)
        elapsed_s = clock() - started
        if turn.failure is not None:
            raise self._failed(turn.failure, elapsed_s)
        actions = [event.action for event in ready]
        usages = [event for event in turn.events if isinstance(event, Usage)]
        yield Finished(
            answer=turn.answer or self._output_model.model_validate({"actions": actions}),
            provider=self.name,
            model=self.model,
            first_action_s=ready[0].at_s if ready else None,
            total_s=elapsed_s,
            usage=usages[-1] if usages else None,
            attempts=(Attempt(self.name, self.model, "ok", elapsed_s),),
        )

    def _failed(self, failure: LLMError, elapsed_s: float) -> LLMError:
        """The failure as a provider would raise it; not the same object twice."""
        error = failure.copy()
        error.provider = error.provider or self.name
        error.model = error.model or self.model
        error.elapsed_s = elapsed_s if error.elapsed_s is None else error.elapsed_s
        error.attempts = error.attempts or (
            Attempt(self.name, self.model, error.kind, elapsed_s, error.message),
        )
        return error


async def _sleep_until(when: float) -> None:
    """Sleep until the loop's time is `when`; give way to others at any rate."""
    await asyncio.sleep(max(0.0, when - asyncio.get_running_loop().time()))
