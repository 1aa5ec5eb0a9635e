"""How a tick is judged: from what was given out, when, and what was scripted for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from reflexarc.errors import LLMError, TruncatedError
from reflexarc.types import ActionReady, Event, Finished
from reflexarc.vocabulary import Refusal, Vocabulary

TIMEOUT_S = 3.0

Ending = Literal["front", "on board", "idle", "broke off", "silent"]

MARK = re.compile(r"front (\d+)\.(\d+)\.(\d+) (\w+)")
"""What every scripted action says: round, situation, request, and its place in the answer."""


def mark(round_: int, situation: int, request: int) -> str:
    """What a scripted answer is known by; each of its actions adds a letter."""
    return f"front {round_}.{situation}.{request}"


@dataclass(slots=True)
class Tick:
    """One tick, as it was seen.

    Parameters
    ----------
    round : int
        Of the fault; each has a chain of its own.
    number : int
        Of the tick in its round, from 0.
    situation : int
        Which of the sentences was sensed.
    seen : list of (float, Event), default []
        What was given out, with the seconds since the tick began.
    ended_s : float, default 0.0
        When the stream was over and closed.
    error : BaseException or None, default None
        What it ended with.
    starved_s : float, default 0.0
        For how long the event loop had no processor around the deadline: the machine's doing.
    """

    round: int
    number: int
    situation: int
    seen: list[tuple[float, Event]] = field(default_factory=list[tuple[float, Event]])
    ended_s: float = 0.0
    error: BaseException | None = None
    starved_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a tick was.

    Parameters
    ----------
    ending : {"front", "on board", "idle", "broke off", "silent"}
        Who answered; that the robot idled, and knows why; that the answer broke off after an
        action; or none of these, which must not be.
    first_s : float or None
        When the first action was out.
    ended_s : float
        When all was over.
    why : str, default ""
        The robot idled, or the answer broke off.
    late, wrong, duplicate, unhandled : tuple of str, default ()
        What must not be, in words.
    """

    ending: Ending
    first_s: float | None
    ended_s: float
    why: str = ""
    late: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    duplicate: tuple[str, ...] = ()
    unhandled: tuple[str, ...] = ()


class Judge:
    """Judges the ticks of one fault, in their order.

    Parameters
    ----------
    vocabulary : Vocabulary
        What the robot can do.
    timeout_s : float, default TIMEOUT_S
        By when a tick has to be over.
    repeats : bool, default False
        Whether the scripted text itself has an action twice; then that is the model's will.
    """

    def __init__(
        self, vocabulary: Vocabulary, *, timeout_s: float = TIMEOUT_S, repeats: bool = False
    ) -> None:
        self._vocabulary = vocabulary
        self._timeout_s = timeout_s
        self._repeats = repeats
        self._handed_over: set[str] = set()

    def verdict(self, tick: Tick) -> Verdict:
        """Judge one."""
        ready = [(at_s, event) for at_s, event in tick.seen if isinstance(event, ActionReady)]
        first_s = ready[0][0] if ready else None
        actions = [event for _, event in ready]
        ending = _ending(tick, len(actions))
        return Verdict(
            ending=ending,
            first_s=first_s,
            ended_s=tick.ended_s,
            why=_why(tick),
            late=tuple(self._late(first_s, tick)),
            wrong=(*self._illegal(actions), *_foreign(tick, actions, ending)),
            duplicate=tuple(self._twice(actions)),
            unhandled=() if _is_ours(tick.error) else (f"raised {tick.error!r}",),
        )

    def _late(self, first_s: float | None, tick: Tick) -> list[str]:
        times = {"first action": first_s, "end": tick.ended_s}
        return [
            f"{what} at {seconds:.3f} s"
            for what, seconds in times.items()
            if seconds is not None and seconds - tick.starved_s > self._timeout_s
        ]

    def _illegal(self, actions: Sequence[ActionReady]) -> list[str]:
        verdicts = [self._vocabulary.judge(each.action.type, each.action.value) for each in actions]
        return [f"illegal: {each.reason}" for each in verdicts if isinstance(each, Refusal)]

    def _twice(self, actions: Sequence[ActionReady]) -> list[str]:
        found = [
            f"index {each.index} where {place} is due"
            for place, each in enumerate(actions)
            if each.index != place
        ]
        for each in actions:
            value = each.action.value
            if MARK.fullmatch(value) and value in self._handed_over and not self._repeats:
                found.append(f"{value!r} again")
            self._handed_over.add(value)
        return found


def _ending(tick: Tick, actions: int) -> Ending:
    last = tick.seen[-1][1] if tick.seen else None
    if isinstance(tick.error, TruncatedError) and actions:
        return "broke off"
    if tick.error is not None or not isinstance(last, Finished):
        return "silent"
    if last.provider == "idle":
        return "idle" if last.reason and actions else "silent"
    if not actions:
        return "silent"
    return "on board" if last.provider == "OnboardLLM" else "front"


def _why(tick: Tick) -> str:
    if isinstance(tick.error, LLMError):
        return f"{tick.error.provider}: {tick.error}"
    last = tick.seen[-1][1] if tick.seen else None
    return last.reason if isinstance(last, Finished) else ""


def _foreign(tick: Tick, actions: Sequence[ActionReady], ending: Ending) -> list[str]:
    """What is of another tick, of two answers, or of somebody else than is said."""
    marks = [MARK.fullmatch(each.action.value) for each in actions]
    ours = [found for found in marks if found]
    found = [
        f"{each.group()!r} in tick {tick.round}.{tick.situation}"
        for each in ours
        if (int(each[1]), int(each[2])) != (tick.round, tick.situation)
    ]
    if len({each[3] for each in ours}) > 1 or 0 < len(ours) < len(actions):
        found.append(f"actions of two answers: {[each.action.value for each in actions]}")
    if ours and ending in ("on board", "idle"):
        found.append(f"{ours[0].group()!r} is said to be of {ending}")
    if actions and not ours and ending == "front":
        found.append(f"{actions[0].action.value!r} is said to be of the front")
    return found


def _is_ours(error: BaseException | None) -> bool:
    return error is None or isinstance(error, LLMError)
