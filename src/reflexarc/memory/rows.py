"""Between a tick and its row."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from reflexarc.attempts import Attempt
from reflexarc.config import AgentAction, Sensed
from reflexarc.errors import StorageError
from reflexarc.memory.tick import Deed, Tick
from reflexarc.prompt import Prompt
from reflexarc.types import Message, ToolCall, Usage, whole_characters

NOT_KEPT = frozenset({"config"})
"""Fields of an action that are not stored: a connector's settings may hold a key."""


@dataclass(frozen=True, slots=True)
class Stable:
    """What is the same at every tick of a robot, as it is stored.

    Parameters
    ----------
    robot : str
        Its name.
    system : str
        Persona and laws.
    examples, actions : str
        As JSON.
    """

    robot: str
    system: str
    examples: str
    actions: str

    @classmethod
    def of(cls, prompt: Prompt, robot: str, actions: Sequence[AgentAction]) -> Self:
        """The stable part of a tick.

        Parameters
        ----------
        prompt : Prompt
            Its examples and system are meant.
        robot : str
            The robot's name.
        actions : sequence of AgentAction
            What it can do.

        Returns
        -------
        Stable
        """
        examples = [each.model_dump(mode="json") for each in prompt.examples]
        known = [
            each.model_dump(mode="json", exclude=set(NOT_KEPT), exclude_defaults=True)
            for each in actions
        ]
        return cls(
            whole_characters(robot), whole_characters(prompt.system), _json(examples), _json(known)
        )

    @property
    def hash(self) -> str:
        """What it is found by: SHA-256 of all of it."""
        return hashlib.sha256(_json(asdict(self)).encode()).hexdigest()


def values_of(tick: Tick) -> dict[str, Any]:
    """A tick as a row, without its id and the stable part of its prompt.

    Parameters
    ----------
    tick : Tick
        Its id is not looked at.

    Returns
    -------
    dict
        Column names and values.
    """
    return {
        "at": moment(tick.at),
        "sensed": whole_characters(tick.prompt.situation),
        "missed": _json(tick.missed),
        "history": _json([_message(each) for each in tick.prompt.history]),
        "text": whole_characters(tick.text),
        "actions": _json([asdict(deed) for deed in tick.deeds]),
        "is_turn": int(tick.is_turn),
        "provider": tick.provider,
        "model": whole_characters(tick.model),
        "attempts": _json([asdict(attempt) for attempt in tick.attempts]),
        "first_action_s": tick.first_action_s,
        "total_s": tick.total_s,
        "usage": _json(asdict(tick.usage)) if tick.usage else None,
        "reason": whole_characters(tick.reason),
        "error_kind": tick.error_kind,
        "error": whole_characters(tick.error),
    }


def tick_of(row: sqlite3.Row, path: Path) -> Tick:
    """A tick from its row, joined with that of its prompt.

    Parameters
    ----------
    row : sqlite3.Row
        Columns of ``ticks``, and ``system`` and ``examples`` of ``prompts``.
    path : Path
        The file, for messages.

    Returns
    -------
    Tick
        Its prompt's actions are those the LLM was made with; see `Store.actions_of`.

    Raises
    ------
    StorageError
        If somebody has written into the row what is no tick.
    """
    try:
        usage = row["usage"]
        return Tick(
            at=datetime.fromisoformat(row["at"]),
            prompt=Prompt(
                system=row["system"],
                history=tuple(map(_message_of, json.loads(row["history"]))),
                situation=row["sensed"],
                examples=_examples_of(row["examples"]),
            ),
            deeds=tuple(Deed(**each) for each in json.loads(row["actions"])),
            text=row["text"],
            missed=tuple(json.loads(row["missed"])),
            provider=row["provider"],
            model=row["model"],
            attempts=tuple(Attempt(**each) for each in json.loads(row["attempts"])),
            first_action_s=None if row["first_action_s"] is None else float(row["first_action_s"]),
            total_s=float(row["total_s"]),
            usage=Usage(**json.loads(usage)) if usage else None,
            reason=row["reason"],
            error_kind=row["error_kind"],
            error=row["error"],
            id=row["id"],
        )
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise StorageError(
            f"tick {row['id']} of the memory {path} is not as it was written ({error}); mend or "
            f"delete it with sqlite3"
        ) from error


def actions_from(text: str) -> tuple[AgentAction, ...]:
    """What a robot could do.

    Parameters
    ----------
    text : str
        The column ``actions`` of ``prompts``.

    Returns
    -------
    tuple of AgentAction

    Raises
    ------
    StorageError
        If somebody has written into the row what are none.
    """
    try:
        return tuple(map(AgentAction.model_validate, json.loads(text)))
    except (TypeError, ValueError) as error:
        raise StorageError(
            f"the actions of a prompt in the memory are not as they were written ({error}); mend "
            "or delete that row of prompts with sqlite3"
        ) from error


def moment(at: datetime) -> str:
    """A time as it is stored: UTC, so that texts sort as times do.

    Parameters
    ----------
    at : datetime
        With its time zone.

    Returns
    -------
    str
    """
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def folded(text: str) -> str:
    """A text as it is compared: letter case does not count.

    Parameters
    ----------
    text : str
        Any.

    Returns
    -------
    str
    """
    return whole_characters(text).casefold()


def words_of(tick: Tick) -> Iterator[str]:
    """What a tick tells of itself; its history tells of other ticks.

    Parameters
    ----------
    tick : Tick
        The tick.

    Yields
    ------
    str
    """
    yield tick.prompt.situation
    yield from tick.missed
    yield tick.text
    for deed in tick.deeds:
        yield from (f"{deed.type} {deed.value}", deed.reason)
    for attempt in tick.attempts:
        yield attempt.message
    yield from (tick.reason, tick.error)


def tells_of(texts: Iterable[str], needle: str) -> bool:
    """Whether one of some texts holds another, as it is or as JSON writes it.

    Parameters
    ----------
    texts : iterable of str
        Where to look.
    needle : str
        What to look for.

    Returns
    -------
    bool
    """
    sought = folded(needle)
    escaped = json.dumps(sought, ensure_ascii=False)[1:-1]
    return any(sought in text or escaped in text for text in map(folded, texts))


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return whole_characters(text)


def _message(message: Message) -> dict[str, Any]:
    return {key: value for key, value in asdict(message).items() if value or key == "content"}


def _message_of(fields: dict[str, Any]) -> Message:
    calls = tuple(ToolCall(**each) for each in fields.pop("tool_calls", ()))
    return Message(**fields, tool_calls=calls)


@lru_cache(maxsize=8)  # the same in most rows
def _examples_of(text: str) -> tuple[Sensed, ...]:
    return tuple(map(Sensed.model_validate, json.loads(text)))
