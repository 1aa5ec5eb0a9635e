"""From the events of a tick to the record of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from reflexarc.attempts import Attempt
from reflexarc.errors import LLMError
from reflexarc.memory import STOPPED, Deed, Tick
from reflexarc.prompt import Prompt
from reflexarc.runtime.events import Failed, TickEvent
from reflexarc.types import Action, ActionReady, ActionRefused, Finished, TextDelta

LONGEST_TEXT = 100_000
"""Characters of an answer that are kept; a model that writes more has lost its way."""


class Recorder:
    """Puts one tick together.

    Parameters
    ----------
    prompt : Prompt
        What the model is told.
    missed : tuple of str, default ()
        What was sensed before and given up for it.
    """

    def __init__(self, prompt: Prompt, missed: tuple[str, ...] = ()) -> None:
        self._clock = asyncio.get_running_loop().time
        self._started = self._clock()
        self._pieces: list[str] = []
        self._length = 0
        self._deeds: list[Deed] = []
        self._tick = Tick(datetime.now(UTC), prompt, missed=missed)

    @property
    def at(self) -> datetime:
        """When the tick began."""
        return self._tick.at

    def take(self, event: TickEvent) -> None:
        """Note what has happened.

        Parameters
        ----------
        event : TickEvent
            Of this tick.
        """
        match event:
            case TextDelta(text=text) if self._length < LONGEST_TEXT:
                self._pieces.append(text)
                self._length += len(text)
            case ActionReady(action=action, at_s=at_s):
                self._deeds.append(Deed(action.type, action.value, at_s))
            case ActionRefused():
                refused = Deed(event.type, event.value, event.at_s, "refused", event.reason)
                self._deeds.append(refused)
            case Finished():
                self._tick = replace(
                    self._tick,
                    provider=event.provider,
                    model=event.model,
                    attempts=event.attempts,
                    first_action_s=event.first_action_s,
                    total_s=event.total_s,
                    usage=event.usage,
                    reason=event.reason,
                )
            case Failed(where="llm"):
                self._fail(event.error)
            case Failed(where="actuator", action=Action() as action):
                self._not_done(action, str(event.error))
            case _:
                pass

    def cut(self) -> None:
        """Note that the robot was stopped while it answered."""
        if not (self._tick.provider or self._tick.error_kind):
            self._end_with(STOPPED, "the robot was stopped")

    def tick(self) -> Tick:
        """The tick as far as it is known.

        Returns
        -------
        Tick
            Without an id.
        """
        text = "".join(self._pieces)[:LONGEST_TEXT]
        return replace(self._tick, deeds=tuple(self._deeds), text=text)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, LLMError):
            self._end_with(error.kind, error.message, error.attempts)
        else:
            self._end_with(type(error).__name__, str(error))

    def _end_with(self, kind: str, message: str, attempts: tuple[Attempt, ...] = ()) -> None:
        done = [deed.at_s for deed in self._deeds if deed.outcome == "done"]
        self._tick = replace(
            self._tick,
            error_kind=kind,
            error=message,
            attempts=attempts,
            first_action_s=done[0] if done else None,
            total_s=self._clock() - self._started,
        )

    def _not_done(self, action: Action, reason: str) -> None:
        """Note that an actuator has failed at an action: the first such that is not noted yet."""
        for index, deed in enumerate(self._deeds):
            if (deed.type, deed.value, deed.outcome) == (action.type, action.value, "done"):
                self._deeds[index] = replace(deed, outcome="failed", reason=reason)
                return
