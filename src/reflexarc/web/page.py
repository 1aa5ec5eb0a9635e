"""What the page shows: a robot, its brains, and every tick as it happens."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from reflexarc.memory import Tick
from reflexarc.prompt import Prompt
from reflexarc.runtime.events import Failed, Remembered, TickEnded, TickEvent, TickStarted
from reflexarc.runtime.switch import Switch
from reflexarc.types import AttemptFailed, Finished, Json, TextDelta, Usage, whole_characters
from reflexarc.vocabulary import Vocabulary
from reflexarc.web.broadcast import Broadcast

MOST_TICKS = 50
"""Past ticks that somebody who opens the page is shown at once."""

_MOST_NOW = 4000  # after so many events of a tick, who opens the page is spared further text


class Page:
    """A robot, as the page has it.

    Parameters
    ----------
    name : str
        What the robot is called.
    vocabulary : Vocabulary
        What it can do.
    switch : Switch
        Its brains.
    past : sequence of Tick, default ()
        Ticks before this one was started, oldest first.
    """

    def __init__(
        self, name: str, vocabulary: Vocabulary, switch: Switch[Any], past: Sequence[Tick] = ()
    ) -> None:
        self._robot = _robot(name, vocabulary)
        self._switch = switch
        self._clock = asyncio.get_running_loop().time
        self._started = 0.0
        self._past: deque[Json] = deque((tick.to_dict() for tick in past), maxlen=MOST_TICKS)
        self._now: list[Json] = []
        self._brains = self._state()
        self.broadcast = Broadcast(self.hello)

    def observe(self, event: TickEvent) -> None:
        """Show what happens; an `Observer`.

        Parameters
        ----------
        event : TickEvent
            As the loop tells it.
        """
        match event:
            case Usage():
                return
            case TickEnded(tick=number, record=record):
                self._past.append({"tick": number, **record.to_dict()})
                return
            case TickStarted():
                self._started = self._clock()
                self._now = []
                shown = {**_started(event), "brain": self._switch.chosen}
            case Remembered(tick=number, id=id_):
                for past in self._past:
                    if past.get("tick") == number:
                        past["id"] = id_
                shown = event.to_dict()
            case TextDelta() | Failed():
                shown = {**event.to_dict(), "at_s": self._at_s()}
            case _:
                shown = event.to_dict()
        if _is_of_a_tick(event) and not (isinstance(event, TextDelta) and self._is_long):
            self._now.append(shown)
        self._publish(shown)
        if isinstance(event, TickStarted | AttemptFailed | Finished | Failed):
            self.look()

    def choose(self, brain: str) -> None:
        """Have another brain asked from the next tick on.

        Parameters
        ----------
        brain : str
            One of those shown.

        Raises
        ------
        ConfigError
            If there is none of that name.
        """
        self._switch.choose(brain)
        self.look()

    def look(self) -> None:
        """Show the brains, if their state is another than what is shown."""
        state = self._state()
        if state != self._brains:
            self._brains = state
            self._publish({"event": "brains", **state})

    def hello(self) -> str:
        """Everything that somebody who opens the page needs, as one JSON text.

        Returns
        -------
        str
        """
        return _json(
            {
                "event": "hello",
                "robot": self._robot,
                **self._brains,
                "ticks": list(self._past),
                "now": self._now,
            }
        )

    @property
    def _is_long(self) -> bool:
        return len(self._now) >= _MOST_NOW

    def _at_s(self) -> float:
        return round(self._clock() - self._started, 4) if self._started else 0.0

    def _publish(self, shown: Json) -> None:
        if len(self.broadcast):  # else nobody reads what costs time at every token
            self.broadcast.publish(_json(shown))

    def _state(self) -> Json:
        brains = self._switch.brains()
        return {
            "brain": self._switch.chosen,
            "brains": [
                {"name": name, "members": [each.to_dict() for each in members]}
                for name, members in brains.items()
            ],
        }


def _is_of_a_tick(event: TickEvent) -> bool:
    """Whether an event is part of the tick under way, or of the last one."""
    if isinstance(event, Failed):
        return event.where in ("llm", "actuator")
    return not isinstance(event, Remembered)


def _robot(name: str, vocabulary: Vocabulary) -> Json:
    return {
        "name": name,
        "speech": vocabulary.speech,
        "actions": [
            {
                "type": spec.type,
                "values": None if spec.values is None else list(spec.values),
                "description": spec.description,
            }
            for spec in vocabulary.specs
        ],
    }


def _started(event: TickStarted) -> Json:
    return {
        **event.to_dict(),
        "missed": list(event.missed),
        "at": event.at.isoformat(timespec="milliseconds") if event.at else None,
        "prompt": _parts(event.prompt) if event.prompt else None,
    }


def _parts(prompt: Prompt) -> Json:
    return {
        "system": prompt.system,
        "examples": [example.model_dump() for example in prompt.examples],
        "history": [{"role": each.role, "content": each.content} for each in prompt.history],
        "situation": prompt.situation,
    }


def _json(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return whole_characters(text)  # a model may cut an emoji in half
