"""Brains that fail, act, hang or leave, and how a tick with them is kept."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from reflexarc.errors import LLMError, ServerError
from reflexarc.llm import LLM
from reflexarc.resilience import Deadline, Failover
from reflexarc.testing import ScriptedLLM, Turn
from reflexarc.types import Action, CortexOutputModel, Event, Finished

SIT = Action(type="move", value="sit")
RUN = Action(type="move", value="run")

Scripted = ScriptedLLM[CortexOutputModel]


def fails(error: LLMError | None = None, **turn: Any) -> Scripted:
    """A brain that fails."""
    return ScriptedLLM(Turn(failure=error or ServerError("down"), **turn), name="First")


def acts(*actions: Action, **turn: Any) -> Scripted:
    """A brain that acts."""
    return ScriptedLLM(Turn(actions or (SIT,), **turn), name="Second")


def hangs() -> Scripted:
    """A brain that says nothing for a long time."""
    return ScriptedLLM(Turn(first_s=1e4), name="First")


def plays(*turns: Turn) -> Scripted:
    """A brain that does one thing after another, and the last one for ever."""
    return ScriptedLLM(*turns, name="First")


def chain(*llms: LLM[Any], timeout: float = 5.0, **limits: Any) -> LLM[CortexOutputModel]:
    """These in order, under one deadline."""
    return Deadline(Failover(llms), timeout=timeout, **limits)


async def keep(llm: LLM[Any], done: list[Action]) -> None:
    """Act once, and keep what was done though it ends in an error."""
    async for action in llm.act("go"):
        done.append(action)  # noqa: PERF401


async def tick(llm: LLM[Any]) -> tuple[list[Event], LLMError | None]:
    """One question: all that came, and the error in which it ended."""
    events: list[Event] = []
    try:
        async with aclosing(llm.stream("go")) as stream:
            async for event in stream:
                events.append(event)  # noqa: PERF401
    except LLMError as error:
        return events, error
    return events, None


def finished(events: list[Event]) -> Finished:
    """The end of an answer."""
    last = events[-1]
    assert isinstance(last, Finished)
    return last


def outcomes(of: Finished | LLMError) -> list[tuple[str, str]]:
    """Who was asked, and what became of it."""
    return [(attempt.provider, attempt.outcome) for attempt in of.attempts]
