"""The account of a replay: how often both do the same, how fast and how dear each is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from reflexarc.errors import ConfigError, ReflexarcError
from reflexarc.eval.score import percentiles
from reflexarc.memory import Tick
from reflexarc.registry import find_llm
from reflexarc.replay.pair import Pair, asked, has_failed, is_illegal
from reflexarc.types import Usage
from reflexarc.vocabulary import Vocabulary

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """What a vendor takes, in dollars for a million tokens.

    Parameters
    ----------
    prompt, completion : float
        For those that are read, and those that are written.
    cached : float or None, default None
        For those read that are in the server's cache; None is the same as `prompt`.
    """

    prompt: float
    completion: float
    cached: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a price as it is typed.

        Parameters
        ----------
        text : str
            ``"0.1,0.3"`` or, with a price for cached tokens, ``"0.1,0.3,0.01"``.

        Returns
        -------
        Price

        Raises
        ------
        ConfigError
            If it is something else, or below zero.
        """
        try:
            numbers = [float(each) for each in text.split(",")]
        except ValueError:
            numbers = []
        is_sound = all(math.isfinite(each) and each >= 0 for each in numbers)
        if len(numbers) not in (2, 3) or not is_sound:
            raise ConfigError(
                f"'{text}' is no price; write dollars for a million tokens read and written, such "
                "as 0.1,0.3, and a third number for cached ones if they have a price of their own"
            )
        return cls(*numbers)

    def of(self, usage: Usage) -> float:
        """What an answer costs.

        Parameters
        ----------
        usage : Usage
            Its tokens.

        Returns
        -------
        float
            Dollars.
        """
        cached = self.prompt if self.cached is None else self.cached
        fresh = usage.prompt_tokens - usage.cached_tokens
        read = fresh * self.prompt + usage.cached_tokens * cached
        return (read + usage.completion_tokens * self.completion) / MILLION


@dataclass(frozen=True, slots=True)
class Account:
    """What one side did in all ticks.

    Parameters
    ----------
    brains : tuple of str
        Who answered, provider and model, the most frequent first.
    failed : int
        Ticks that no brain answered to the end.
    illegal : int
        Actions that the robot does not have.
    ruled_out : int
        Actions that a rule of the robot's refused.
    first_action_s, total_s : tuple of float
        Seconds, of those ticks that were answered, shortest first.
    usage : Usage
        All tokens that were counted.
    counted : int
        Ticks whose tokens were counted by the server.
    cost : float or None
        Dollars; None where there is no price, or nothing was counted.
    """

    brains: tuple[str, ...]
    failed: int
    illegal: int
    ruled_out: int
    first_action_s: tuple[float, ...]
    total_s: tuple[float, ...]
    usage: Usage
    counted: int
    cost: float | None

    @classmethod
    def of(cls, ticks: Sequence[tuple[Tick, Vocabulary]], price: Price | None = None) -> Self:
        """Count.

        Parameters
        ----------
        ticks : sequence of (Tick, Vocabulary)
            Each with what the robot could do in it.
        price : Price or None, default None
            Of all that was not answered on board.

        Returns
        -------
        Account
        """
        answered = [tick for tick, _ in ticks if not has_failed(tick)]
        refused = [
            is_illegal(deed, vocabulary)
            for tick, vocabulary in ticks
            for deed in tick.deeds
            if deed.outcome == "refused"
        ]
        known = [(tick.provider, tick.usage) for tick, _ in ticks if tick.usage is not None]
        costs = [
            0.0 if _is_on_board(provider) else price.of(usage)
            for provider, usage in known
            if price is not None
        ]
        return cls(
            brains=_brains(answered) or _brains(tick for tick, _ in ticks),
            failed=len(ticks) - len(answered),
            illegal=sum(refused),
            ruled_out=len(refused) - sum(refused),
            first_action_s=tuple(
                sorted(each.first_action_s for each in answered if each.first_action_s is not None)
            ),
            total_s=tuple(sorted(each.total_s for each in answered)),
            usage=Usage(
                sum(usage.prompt_tokens for _, usage in known),
                sum(usage.completion_tokens for _, usage in known),
                sum(usage.cached_tokens for _, usage in known),
            ),
            counted=len(known),
            cost=sum(costs) if costs else None,
        )

    @property
    def name(self) -> str:
        """Who answered, as a short text."""
        first, *others = self.brains or ("nobody",)
        return f"{first}, and {len(others)} more" if others else first

    def to_dict(self) -> dict[str, Any]:
        """The account as one JSON object."""
        return {
            "brains": list(self.brains),
            "failed": self.failed,
            "illegal": self.illegal,
            "ruled_out": self.ruled_out,
            "first_action_s": percentiles(self.first_action_s),
            "total_s": percentiles(self.total_s),
            "usage": {**self.usage.to_dict(), "ticks": self.counted},
            "cost_usd": None if self.cost is None else round(self.cost, 6),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both accounts.

    Parameters
    ----------
    ticks : int
        How many.
    compared : int
        Those of them that both have answered.
    same : int
        Those of them in which both did the same, but for what was said.
    before, now : Account
        Of what is remembered, and of the brain that is asked now.
    """

    ticks: int
    compared: int
    same: int
    before: Account
    now: Account

    @classmethod
    def of(
        cls, pairs: Sequence[Pair], *, price_before: Price | None = None, price: Price | None = None
    ) -> Self:
        """Count.

        Parameters
        ----------
        pairs : sequence of Pair
            In any order.
        price_before, price : Price or None, default None
            Of the brain that is remembered, and of the one that is asked now.

        Returns
        -------
        Comparison
        """
        found = [pair.same for pair in pairs]
        return cls(
            ticks=len(pairs),
            compared=sum(each is not None for each in found),
            same=found.count(True),
            before=Account.of([(each.before, each.vocabulary) for each in pairs], price_before),
            now=Account.of([(each.now, each.vocabulary) for each in pairs], price),
        )

    def to_dict(self) -> dict[str, Any]:
        """The last line of ``reflexarc replay --json``."""
        return {
            "event": "summary",
            "ticks": self.ticks,
            "compared": self.compared,
            "same": self.same,
            "before": self.before.to_dict(),
            "now": self.now.to_dict(),
        }


def _brains(ticks: Iterable[Tick]) -> tuple[str, ...]:
    names = Counter(" ".join(asked(each)).strip() for each in ticks)
    return tuple(name for name, _ in names.most_common() if name)


def _is_on_board(provider: str) -> bool:
    try:
        return getattr(find_llm(provider), "is_on_board", False)
    except ReflexarcError:  # of a package that is not here
        return False
