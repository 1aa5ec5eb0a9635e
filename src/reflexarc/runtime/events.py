"""What a loop tells those who observe it, beside what the LLM gives out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reflexarc.errors import LLMError, ReflexarcError
from reflexarc.memory import Tick
from reflexarc.prompt import Prompt
from reflexarc.types import Action, Event


@dataclass(frozen=True, slots=True)
class TickStarted:
    """A tick begins.

    Parameters
    ----------
    tick : int
        Its number, from 1.
    text : str
        What is sensed.
    missed : tuple of str, default ()
        What was sensed before it and given up for it, since the last tick was still running.
    prompt : Prompt or None, default None
        All that the model is told.
    at : datetime or None, default None
        When, with its time zone.
    """

    tick: int
    text: str
    missed: tuple[str, ...] = ()
    prompt: Prompt | None = None
    at: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """The event as one JSON object, without the prompt."""
        missed = {"missed": list(self.missed)} if self.missed else {}
        return {"event": "sensed", "tick": self.tick, "text": self.text, **missed}


@dataclass(frozen=True, slots=True)
class Failed:
    """The model, an input, an actuator or the memory failed; the robot goes on without it.

    Parameters
    ----------
    error : Exception
        Why.
    where : str, default "llm"
        ``"llm"``, ``"input"``, ``"actuator"`` or ``"memory"``.
    action : Action or None, default None
        The action that an actuator could not perform.
    """

    error: Exception
    where: str = "llm"
    action: Action | None = None

    def to_dict(self) -> dict[str, Any]:
        """The event as one JSON object."""
        if isinstance(self.error, LLMError) and not self.action:
            attempts = [attempt.to_dict() for attempt in self.error.attempts]
            return {"event": "error", **self.error.to_dict(), "attempts": attempts}
        if isinstance(self.error, ReflexarcError) and not self.action:
            kind = {"kind": self.where} if self.where == "input" else {}
            return {"event": "error", **self.error.to_dict(), **kind}
        message = f"{type(self.error).__name__}: {self.error}"
        if isinstance(self.error, ReflexarcError):
            message = self.error.message
        action = self.action.model_dump() if self.action else None
        return {"event": "error", "kind": self.where, "message": message, "action": action}


@dataclass(frozen=True, slots=True)
class TickEnded:
    """A tick is over.

    Parameters
    ----------
    tick : int
        Its number, as in `TickStarted`.
    record : Tick
        All of it; it has no id yet.
    """

    tick: int
    record: Tick


@dataclass(frozen=True, slots=True)
class Remembered:
    """A tick that has ended is on disk.

    Parameters
    ----------
    tick : int
        Its number, as in `TickStarted`.
    id : int
        Its number in the memory.
    """

    tick: int
    id: int

    def to_dict(self) -> dict[str, Any]:
        """The event as one JSON object."""
        return {"event": "remembered", "tick": self.tick, "id": self.id}


TickEvent = TickStarted | Event | Failed | TickEnded | Remembered

Observer = Callable[[TickEvent], None]
"""Told everything that happens, at once; must not block."""
