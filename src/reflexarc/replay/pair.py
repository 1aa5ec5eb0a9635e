"""A recorded tick, beside the same tick as another brain answers it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from reflexarc.errors import LLMError
from reflexarc.llm import LLM
from reflexarc.memory import Deed, Tick
from reflexarc.prompt import Prompt
from reflexarc.runtime.events import Failed
from reflexarc.runtime.recorder import Recorder
from reflexarc.types import Action
from reflexarc.vocabulary import Vocabulary

_SHOWN = ("actions", "first_action_s", "total_s", "usage", "reason", "error")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A tick, and what the robot could do in it.

    Parameters
    ----------
    tick : Tick
        As it was remembered.
    vocabulary : Vocabulary
        The robot's at that time.
    """

    tick: Tick
    vocabulary: Vocabulary


@dataclass(frozen=True, slots=True)
class Pair:
    """One tick twice.

    Parameters
    ----------
    before : Tick
        As it was remembered.
    now : Tick
        The same prompt, answered by another brain; nothing of it was acted on.
    vocabulary : Vocabulary
        What the robot could do.
    """

    before: Tick
    now: Tick
    vocabulary: Vocabulary

    @property
    def same(self) -> bool | None:
        """Whether both do the same, but for what is said; None where one of them has failed.

        Order counts. What only a rule of the robot's refused counts as done: no rules are between
        the brain that is asked now and its answer.
        """
        if has_failed(self.before) or has_failed(self.now):
            return None
        return self._moves(self.before) == self._moves(self.now)

    def _moves(self, tick: Tick) -> list[tuple[str, str]]:
        speech = self.vocabulary.speech
        return [
            (deed.type, deed.value)
            for deed in tick.deeds
            if deed.type != speech and not is_illegal(deed, self.vocabulary)
        ]

    def to_dict(self) -> dict[str, Any]:
        """The pair as one JSON object."""
        return {
            "event": "tick",
            "id": self.before.id,
            "at": self.before.at.isoformat(timespec="milliseconds"),
            "sensed": self.before.prompt.situation,
            "before": _side(self.before),
            "now": _side(self.now),
            "same": self.same,
        }


def has_failed(tick: Tick) -> bool:
    """Whether no brain has answered to the end.

    Parameters
    ----------
    tick : Tick
        One that the robot idled in has failed as well.

    Returns
    -------
    bool
    """
    return bool(tick.error_kind or tick.reason)


def asked(tick: Tick) -> tuple[str, str]:
    """Who has answered or, where nobody has, who was asked last.

    Parameters
    ----------
    tick : Tick
        Any.

    Returns
    -------
    tuple of str
        Provider and model; empty where nobody was asked.
    """
    if has_failed(tick) and tick.attempts:
        return tick.attempts[-1].provider, tick.attempts[-1].model
    return tick.provider, tick.model


def is_illegal(deed: Deed, vocabulary: Vocabulary) -> bool:
    """Whether it was refused since the robot has no such action; a rule may refuse others.

    Parameters
    ----------
    deed : Deed
        What was asked for.
    vocabulary : Vocabulary
        What the robot could do.

    Returns
    -------
    bool
    """
    if deed.outcome != "refused":
        return False
    return not isinstance(vocabulary.judge(deed.type, deed.value), Action)


async def play(
    recorded: Iterable[Recorded], make: Callable[[Vocabulary], LLM[Any]]
) -> AsyncGenerator[Pair, None]:
    """Ask a brain what was asked before, one tick after the other.

    Its stable part is read ahead where that of the last tick was another one. No rules are applied,
    and nothing is remembered.

    Parameters
    ----------
    recorded : iterable of Recorded
        In this order.
    make : callable
        Makes the brain for a vocabulary; it is opened and closed here. There is one at a time, and
        a new one where the vocabulary changes.

    Yields
    ------
    Pair

    Raises
    ------
    LLMError
        If the brain cannot be opened; a question that fails is part of its pair.
    """
    for vocabulary, run in groupby(recorded, key=lambda each: each.vocabulary):
        async with make(vocabulary) as brain:
            warm: Prompt | None = None
            for each in run:
                stable = each.tick.prompt.at("")
                if stable != warm:
                    with suppress(LLMError):  # the question will meet the same
                        await brain.warm(stable)
                    warm = stable
                yield Pair(each.tick, await _again(brain, each.tick), vocabulary)


async def _again(brain: LLM[Any], tick: Tick) -> Tick:
    """The tick as this brain answers it."""
    recorder = Recorder(tick.prompt)
    try:
        async with aclosing(brain.stream(tick.prompt)) as events:
            async for event in events:
                recorder.take(event)
    except LLMError as error:
        recorder.take(Failed(error))
    return replace(recorder.tick(), id=tick.id)


def _side(tick: Tick) -> dict[str, Any]:
    provider, model = asked(tick)
    whole = tick.to_dict()
    return {"provider": provider, "model": model, **{name: whole[name] for name in _SHOWN}}
