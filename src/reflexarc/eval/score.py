"""Asking a brain about situations, and the account of it."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from reflexarc.errors import AuthError, ConfigError, ConnectError, LLMError
from reflexarc.eval.situations import Situation
from reflexarc.llm import LLM
from reflexarc.prompt import Prompt
from reflexarc.types import Action, ActionReady, Finished
from reflexarc.vocabulary import Refusal, Vocabulary

_WILSON = 1.96  # standard errors: 95 of 100


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one situation.

    Parameters
    ----------
    situation : Situation
        Which one.
    actions : tuple of Action
        What was done, in order.
    mistake : str
        What is wrong; empty if nothing is.
    illegal : int
        Actions that the robot does not have.
    first_action_s, total_s : float or None
        Seconds; None where there was no action, or no end.
    """

    situation: Situation
    actions: tuple[Action, ...]
    mistake: str
    illegal: int
    first_action_s: float | None
    total_s: float | None

    def to_dict(self) -> dict[str, Any]:
        """The result as one JSON object."""
        return {
            "event": "situation",
            "id": self.situation.id,
            "category": self.situation.category,
            "right": not self.mistake,
            "actions": [{"type": each.type, "value": each.value} for each in self.actions],
            "mistake": self.mistake,
            "first_action_s": _rounded(self.first_action_s),
            "total_s": _rounded(self.total_s),
        }


async def play(
    llm: LLM[Any], prompt: Prompt, vocabulary: Vocabulary, situations: Iterable[Situation]
) -> AsyncGenerator[Result, None]:
    """Ask a brain about one situation after another.

    Parameters
    ----------
    llm : LLM
        Open.
    prompt : Prompt
        The stable part of what it is told.
    vocabulary : Vocabulary
        Of the robot.
    situations : iterable of Situation
        Each is a question of its own, without a past.

    Yields
    ------
    Result

    Raises
    ------
    LLMError
        If nobody can be asked at the first one: no server, or no key that it takes.
    """
    clock = asyncio.get_running_loop().time
    for number, situation in enumerate(situations):
        actions: list[Action] = []
        begun, first_s, total_s, failure = clock(), None, None, ""
        try:
            async with aclosing(llm.stream(prompt.at(situation.text))) as events:
                async for event in events:
                    if isinstance(event, ActionReady):
                        first_s = clock() - begun if first_s is None else first_s
                        actions.append(event.action)
                    elif isinstance(event, Finished):
                        total_s = clock() - begun
        except LLMError as error:
            if number == 0 and isinstance(error, AuthError | ConfigError | ConnectError):
                raise
            failure = f"{error.kind}: {error.message}"
        refused = [vocabulary.judge(each.type, each.value) for each in actions]
        illegal = sum(isinstance(each, Refusal) for each in refused)
        mistake = failure or situation.mistake(actions, vocabulary.speech)
        yield Result(situation, tuple(actions), mistake, illegal, first_s, total_s)


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many.

    Parameters
    ----------
    right, of : int
        At least one of them.
    """

    right: int
    of: int

    @property
    def accuracy(self) -> float:
        """The share, in [0, 1]."""
        return self.right / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true share is in 95 of 100 cases, by Wilson's score."""
        n, z = self.of, _WILSON
        middle = self.accuracy + z * z / (2 * n)
        spread = z * math.sqrt(self.accuracy * (1 - self.accuracy) / n + z * z / (4 * n * n))
        scale = 1 + z * z / n
        return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def shares(results: Sequence[Result]) -> dict[str, Share]:
    """How many are right in each category.

    Parameters
    ----------
    results : sequence of Result
        In any order.

    Returns
    -------
    dict of str to Share
        In the order in which the categories come.
    """
    found: dict[str, Share] = {}
    for result in results:
        before = found.get(result.situation.category, Share(0, 0))
        right = before.right + (not result.mistake)
        found[result.situation.category] = Share(right, before.of + 1)
    return found


def summary(results: Sequence[Result]) -> dict[str, Any]:
    """The last line of ``reflexarc eval --json``.

    Parameters
    ----------
    results : sequence of Result
        At least one.

    Returns
    -------
    dict
        ``accuracy``, ``right``, ``of``, ``interval``, ``illegal``, ``categories``, and the 50th and
        95th percentile of ``first_action_s`` and ``total_s``.
    """
    whole = Share(sum(not result.mistake for result in results), len(results))
    return {
        "event": "summary",
        "accuracy": round(whole.accuracy, 4),
        "right": whole.right,
        "of": whole.of,
        "interval": [round(each, 4) for each in whole.interval],
        "illegal": sum(result.illegal for result in results),
        "categories": {
            name: {"right": share.right, "of": share.of} for name, share in shares(results).items()
        },
        "first_action_s": percentiles([result.first_action_s for result in results]),
        "total_s": percentiles([result.total_s for result in results]),
    }


def percentiles(seconds: Iterable[float | None]) -> dict[str, float | None]:
    """The 50th and the 95th percentile of what is known.

    Parameters
    ----------
    seconds : iterable of (float or None)
        In any order.

    Returns
    -------
    dict of str to (float or None)
        ``p50`` and ``p95``; None where nothing is known.
    """
    known = sorted(each for each in seconds if each is not None)
    if not known:
        return {"p50": None, "p95": None}
    late = known[math.ceil(0.95 * len(known)) - 1]
    return {"p50": _rounded(statistics.median(known)), "p95": _rounded(late)}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
