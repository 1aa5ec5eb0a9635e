"""One tick as it is remembered: what was sensed and told, what was answered and done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from reflexarc.attempts import Attempt
from reflexarc.prompt import Prompt
from reflexarc.types import Action, Usage

STOPPED = "stopped"
"""Kind of the "error" of a tick in which the robot was stopped."""


@dataclass(frozen=True, slots=True)
class Deed:
    """One action that was asked for, and what became of it.

    Parameters
    ----------
    type, value : str
        The action.
    at_s : float
        Seconds since the start of the call.
    outcome : {"done", "refused", "failed"}, default "done"
        Handed over; not legal or against a rule; or an actuator could not perform it.
    reason : str, default ""
        Why it was refused or failed.
    """

    type: str
    value: str
    at_s: float
    outcome: Literal["done", "refused", "failed"] = "done"
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The deed as one JSON object."""
        reason = {"reason": self.reason} if self.reason else {}
        return {
            "type": self.type,
            "value": self.value,
            "at_s": round(self.at_s, 4),
            "outcome": self.outcome,
            **reason,
        }


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick.

    Parameters
    ----------
    at : datetime
        When it began, with its time zone.
    prompt : Prompt
        What the model was told; its situation is what was sensed.
    deeds : tuple of Deed, default ()
        In order of arrival.
    text : str, default ""
        The answer as the model wrote it.
    missed : tuple of str, default ()
        What was sensed before and given up for it.
    provider, model : str, default ""
        Who answered; empty where nobody did.
    attempts : tuple of Attempt, default ()
        Everyone who was asked.
    first_action_s : float or None, default None
        Seconds to the first action; None where there was none.
    total_s : float, default 0
        Seconds from the start of the call to its end.
    usage : Usage or None, default None
        Token counts, where the server gave them.
    reason : str, default ""
        Why the robot idled, where it did.
    error_kind, error : str, default ""
        How the call failed, where it did; kind ``"stopped"`` where the robot was stopped meanwhile.
    id : int or None, default None
        Its number in the memory, which grows from tick to tick; None before it is remembered.
    """

    at: datetime
    prompt: Prompt
    deeds: tuple[Deed, ...] = ()
    text: str = ""
    missed: tuple[str, ...] = ()
    provider: str = ""
    model: str = ""
    attempts: tuple[Attempt, ...] = ()
    first_action_s: float | None = None
    total_s: float = 0.0
    usage: Usage | None = None
    reason: str = ""
    error_kind: str = ""
    error: str = ""
    id: int | None = None

    @property
    def done(self) -> tuple[Action, ...]:
        """What was handed over to the robot."""
        return tuple(
            Action(type=deed.type, value=deed.value)
            for deed in self.deeds
            if deed.outcome != "refused"
        )

    @property
    def was_stopped(self) -> bool:
        """Whether the robot was stopped in it, so that nobody has failed."""
        return self.error_kind == STOPPED

    @property
    def is_turn(self) -> bool:
        """Whether it is shown to a model as past: a failure is no example of doing nothing."""
        return not self.reason and bool(self.done or not self.error_kind)

    def to_dict(self) -> dict[str, Any]:
        """The tick as one JSON object, without the stable part of its prompt."""
        first_s = self.first_action_s
        return {
            "id": self.id,
            "at": self.at.isoformat(timespec="milliseconds"),
            "sensed": self.prompt.situation,
            "missed": list(self.missed),
            "history": [
                {"role": each.role, "content": each.content} for each in self.prompt.history
            ],
            "text": self.text,
            "actions": [deed.to_dict() for deed in self.deeds],
            "provider": self.provider,
            "model": self.model,
            "attempts": [attempt.to_dict() for attempt in self.attempts],
            "first_action_s": None if first_s is None else round(first_s, 4),
            "total_s": round(self.total_s, 4),
            "usage": self.usage.to_dict() if self.usage else None,
            "reason": self.reason,
            "error": {"kind": self.error_kind, "message": self.error} if self.error_kind else None,
        }
