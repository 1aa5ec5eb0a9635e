"""The record of a call: who was asked, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one provider.

    Parameters
    ----------
    provider, model : str
        Who was asked.
    outcome : str
        ``"ok"``, an error kind, or ``"overtaken"`` where another one acted first.
    elapsed_s : float
        Seconds the try took.
    message : str, default ""
        Why it failed, and what to do about it.
    """

    provider: str
    model: str
    outcome: str
    elapsed_s: float
    message: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The attempt as one JSON object."""
        message = {"message": self.message} if self.message else {}
        return {
            "provider": self.provider,
            "model": self.model,
            "outcome": self.outcome,
            "elapsed_s": round(self.elapsed_s, 4),
            **message,
        }


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """A try has failed before an action was out, and the question goes on.

    Parameters
    ----------
    attempt : Attempt
        Who failed, and how.
    next : str
        Who is asked now: the same provider, another one, or ``"idle"`` for none.
    at_s : float
        Seconds since the start of the call.
    """

    attempt: Attempt
    next: str
    at_s: float

    def to_dict(self) -> dict[str, Any]:
        """The event as one JSON object."""
        attempt = self.attempt.to_dict()
        return {"event": "attempt", **attempt, "next": self.next, "at_s": round(self.at_s, 4)}
