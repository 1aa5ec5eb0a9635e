"""The values that travel between modules; all frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator

from reflexarc.attempts import Attempt, AttemptFailed

Json = dict[str, Any]
"""A JSON object, of unknown content."""

Role = Literal["system", "user", "assistant", "tool"]


def as_object(value: object) -> Json | None:
    """Narrow parsed JSON to an object.

    Parameters
    ----------
    value : object
        Parsed JSON.

    Returns
    -------
    dict or None
        None if it is something else.
    """
    return cast("Json", value) if isinstance(value, dict) else None


def objects_in(value: object) -> list[Json]:
    """Narrow parsed JSON to the objects in a list.

    Parameters
    ----------
    value : object
        Parsed JSON.

    Returns
    -------
    list of dict
        Empty if it is no list.
    """
    items = cast("list[object]", value) if isinstance(value, list | tuple) else []
    return [found for item in items if (found := as_object(item)) is not None]


def whole_characters(text: str) -> str:
    """Join the halves of characters that were written as two, and replace those that stand alone.

    Parameters
    ----------
    text : str
        May hold surrogates, as escapes in JSON and a cut emoji leave them.

    Returns
    -------
    str
        Text that can be written as UTF-8.
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Action(BaseModel):
    """One thing the robot does.

    Parameters
    ----------
    type : str
        Name of the action, OM1's ``llm_label``: ``"move"``, ``"speak"``, ``"emotion"``, …
    value : str
        What to do: one of the action's legal values, or free text.

    Notes
    -----
    Half a surrogate pair, as models cut an emoji, is replaced, so that every action can be written.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    type: str = Field(description="The kind of action, for example move, speak or emotion.")
    value: str = Field(description="What to do, for example sit, or the sentence to say.")

    @field_validator("type", "value", mode="before")
    @classmethod
    def _whole_characters(cls, text: object) -> object:
        return whole_characters(text) if isinstance(text, str) else text


class CortexOutputModel(BaseModel):
    """What a model answers by default: the actions of one tick, in order.

    Parameters
    ----------
    actions : list of Action
        May be empty: nothing to do.
    """

    model_config = ConfigDict(defer_build=True)

    actions: list[Action] = Field(description="The actions to perform, in order.")


class PlainText(BaseModel):
    """An answer that is only read.

    Parameters
    ----------
    text : str
        All of it, without white space around it.
    """

    model_config = ConfigDict(defer_build=True)

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call in a past answer.

    Parameters
    ----------
    name : str
        The tool.
    arguments : str
        JSON text.
    id : str, default ""
        What its result refers to.
    """

    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation, in the OpenAI chat vocabulary.

    Parameters
    ----------
    role : {"system", "user", "assistant", "tool"}
        Who speaks.
    content : str
        The text.
    tool_calls : tuple of ToolCall, default ()
        What an assistant called.
    tool_call_id : str, default ""
        The call that a tool's turn is the result of.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer's text, as it arrived."""

    text: str

    def to_dict(self) -> dict[str, Any]:
        """The event as one JSON object."""
        return {"event": "text", "text": self.text}


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call, as it arrived; servers leave out what they like.

    Parameters
    ----------
    name : str, default ""
        The tool, or a fragment of its name.
    arguments : str or dict, default ""
        A fragment of the arguments' JSON text, or all of them as an object.
    index : int or None, default None
        Position of the call among the calls of the answer.
    id : str or None, default None
        The server's id of the call.
    """

    name: str = ""
    arguments: str | dict[str, Any] = ""
    index: int | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ActionReady:
    """An action is complete and legal; the robot may start it.

    Parameters
    ----------
    action : Action
        What to do.
    index : int
        Position among the ready actions of this call, from 0.
    at_s : float
        Seconds since the start of the call.
    """

    action: Action
    index: int
    at_s: float

    def to_dict(self) -> dict[str, Any]:
        """The event as one JSON object (DESIGN: ``{"event":"action",…}``)."""
        return {
            "event": "action",
            "index": self.index,
            "type": self.action.type,
            "value": self.action.value,
            "at_s": round(self.at_s, 4),
        }


@dataclass(frozen=True, slots=True)
class ActionRefused:
    """The model asked for what the robot may not do; it is dropped, the others keep their order.

    Parameters
    ----------
    type, value : str
        What was asked for, as text.
    reason : str
        Why it is refused, as a sentence.
    at_s : float
        Seconds since the start of the call.
    """

    type: str
    value: str
    reason: str
    at_s: float

    def to_dict(self) -> dict[str, Any]:
        """The event as one JSON object."""
        return {
            "event": "refused",
            "type": self.type,
            "value": self.value,
            "reason": self.reason,
            "at_s": round(self.at_s, 4),
        }


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counted them.

    Parameters
    ----------
    prompt_tokens, completion_tokens : int
        Tokens read and written.
    cached_tokens : int, default 0
        Part of `prompt_tokens` that the server had in its prefix cache.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The counts as one JSON object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cached_tokens": self.cached_tokens,
        }


@dataclass(frozen=True, slots=True)
class ThoughtDelta:
    """A piece of what a model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class DeclinedDelta:
    """A piece of the sentence by which a model declines to answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ServedBy:
    """Who answers: the model, as the server names it, or the server, as its reply's head does.

    Parameters
    ----------
    model : str, default ""
        It may be another than was asked for.
    server : str, default ""
        Such as ``"llama.cpp"``.
    """

    model: str = ""
    server: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """The server says how the answer ended.

    Parameters
    ----------
    reason : {"stop", "length", "filter", "error", "unmarked"}
        Done; cut by the token limit; held back by a filter; failed; or the stream was closed
        properly without a reason.
    """

    reason: Literal["stop", "length", "filter", "error", "unmarked"]


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete; always the last event of a stream that did not fail.

    Parameters
    ----------
    answer : pydantic.BaseModel
        The whole answer, of the output model asked for.
    provider, model : str
        Who answered; `model` as the server named it.
    first_action_s : float or None
        Seconds to the first complete action; None where there was none.
    total_s : float
        Seconds from the start of the call to its end.
    usage : Usage or None
        Token counts, where the server gave them.
    attempts : tuple of Attempt
        Every provider tried, the successful one last; a request that is sent again on a fresh
        connection, since nothing was answered, is part of its try.
    reason : str, default ""
        Why it is not a model that answers but the robot's idle action.
    """

    answer: BaseModel
    provider: str
    model: str
    first_action_s: float | None
    total_s: float
    usage: Usage | None
    attempts: tuple[Attempt, ...] = ()
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The event as one JSON object (DESIGN: ``{"event":"done",…}``)."""
        return {
            "event": "done",
            "provider": self.provider,
            "model": self.model,
            "first_action_s": None
            if self.first_action_s is None
            else round(self.first_action_s, 4),
            "total_s": round(self.total_s, 4),
            "usage": self.usage.to_dict() if self.usage else None,
            "attempts": [attempt.to_dict() for attempt in self.attempts],
            **({"reason": self.reason} if self.reason else {}),
        }


Wire = TextDelta | ToolCallDelta | ThoughtDelta | DeclinedDelta | Usage | ServedBy | Stop
"""What a transport hands up, in the order of arrival."""

Event = TextDelta | ActionReady | ActionRefused | AttemptFailed | Usage | Finished
"""What `LLM.stream` gives to its caller."""
