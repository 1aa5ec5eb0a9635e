"""How a reply in the OpenAI chat dialect is read, and an error inside one.

Pure functions over JSON; transports move the bytes. The reader takes what any server of the dialect
sends, since the reply tells more than the URL does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal, cast

from pydantic_core import from_json

from reflexarc.errors import BadOutputError, quote
from reflexarc.providers.failure import read_error
from reflexarc.providers.sse import ServerEvent
from reflexarc.types import (
    DeclinedDelta,
    Json,
    ServedBy,
    Stop,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
    Usage,
    Wire,
    as_object,
    objects_in,
)

_MANY = 1 << 40  # more tokens than that are none

_STOPS: Mapping[str, Literal["stop", "length", "filter", "error"]] = {
    "stop": "stop",
    "tool_calls": "stop",
    "function_call": "stop",
    "length": "length",
    "model_length": "length",
    "content_filter": "filter",
    "error": "error",
    "insufficient_system_resource": "error",
}


def read_reply(reply: object) -> list[Wire]:
    """Read one event of a stream, or one whole reply.

    Parameters
    ----------
    reply : object
        Parsed JSON.

    Returns
    -------
    list of Wire

    Raises
    ------
    LLMError
        If the reply is an error, or no reply of this dialect.
    """
    body = as_object(reply)
    if body is None:
        raise BadOutputError(
            f"the server sent no reply but {quote(json.dumps(reply))}; "
            "check that base_url speaks the OpenAI chat dialect"
        )
    if body.get("error") or body.get("object") == "error":
        raise read_error(_status_in(body), {}, body)
    choices = body.get("choices")
    if not isinstance(choices, list):
        if as_object(body.get("usage")):
            return _usage(body)
        raise BadOutputError(
            f"the server's reply has no choices: {quote(json.dumps(body))}; "
            "check that base_url speaks the OpenAI chat dialect"
        )
    pieces: list[Wire] = []
    if isinstance(model := body.get("model"), str) and model:
        pieces.append(_served_by(model))
    for choice in objects_in(cast("object", choices))[:1]:
        pieces += _choice(choice)
    if body.get("usage"):
        pieces += _usage(body)
    return pieces


_served_by = lru_cache(ServedBy)  # the same in every event of a stream


def _status_in(body: Json) -> int:
    """The status that an error inside a reply of status 200 stands for."""
    error = as_object(body.get("error"))
    code = (body if error is None else error).get("code")
    return code if isinstance(code, int) and 400 <= code < 600 else 500


def _choice(choice: Json) -> list[Wire]:
    delta = as_object(choice.get("delta"))  # beside which some repeat the whole message at the end
    message = (as_object(choice.get("message")) or {}) if delta is None else delta
    pieces: list[Wire] = []
    if thought := message.get("reasoning_content") or message.get("reasoning"):
        pieces.append(ThoughtDelta(str(thought)))
    if content := message.get("content"):
        pieces += _content(content)
    if calls := message.get("tool_calls"):
        pieces += [read_tool_call(call) for call in objects_in(calls)]
    if refusal := message.get("refusal"):
        pieces.append(DeclinedDelta(str(refusal)))
    if reason := choice.get("finish_reason"):
        pieces.append(Stop(_STOPS.get(str(reason), "stop")))
    return pieces


def _content(content: object) -> list[Wire]:
    """The text of a message: a string, or a list of parts, of thinking too."""
    if isinstance(content, str):
        return [TextDelta(content)] if content else []
    pieces: list[Wire] = []
    for part in objects_in(content):
        if part.get("type") == "thinking":
            thoughts = objects_in(part.get("thinking"))
            pieces += [ThoughtDelta(text) for text in map(_text, thoughts) if text]
        elif text := _text(part):
            pieces.append(TextDelta(text))
    return pieces


def _text(part: Json) -> str:
    text = part.get("text")
    return text if isinstance(text, str) and part.get("type") == "text" else ""


def read_tool_call(call: Json) -> ToolCallDelta:
    """Read a tool call, or a piece of one.

    Parameters
    ----------
    call : dict
        As servers write it; anything may be missing.

    Returns
    -------
    ToolCallDelta
    """
    function = as_object(call.get("function")) or {}
    name, arguments = function.get("name"), function.get("arguments")
    index, id_ = call.get("index"), call.get("id")
    return ToolCallDelta(
        name=name if isinstance(name, str) else "",
        arguments=arguments if isinstance(arguments, str) else as_object(arguments) or "",
        index=index if isinstance(index, int) else None,
        id=id_ if isinstance(id_, str) else None,
    )


def _usage(body: Json) -> list[Wire]:
    counts = as_object(body.get("usage"))
    if counts is None:
        return []
    details = as_object(counts.get("prompt_tokens_details")) or {}
    timings = as_object(body.get("timings")) or {}
    cached = (
        details.get("cached_tokens") or counts.get("num_cached_tokens") or timings.get("cache_n")
    )
    read, written = counts.get("prompt_tokens"), counts.get("completion_tokens")
    return [Usage(*map(read_count, (read, written, cached)))]


def read_count(number: object) -> int:
    """Read a number of tokens.

    Parameters
    ----------
    number : object
        As a server wrote it.

    Returns
    -------
    int
        0 where it is no number that tokens can have.
    """
    return int(number) if isinstance(number, int | float) and 0 <= number < _MANY else 0


def read_event(
    event: ServerEvent, understand: Callable[[object], list[Wire]] = read_reply
) -> list[Wire]:
    """Read one server-sent event.

    Parameters
    ----------
    event : ServerEvent
        As it arrived.
    understand : callable, default read_reply
        Reads its parsed data.

    Returns
    -------
    list of Wire
        The end mark ``[DONE]``, spelled loosely, becomes a `Stop` without a reason.

    Raises
    ------
    LLMError
        If it is an error, or not JSON.
    """
    data = event.data.strip()
    if not data.startswith("{"):
        if data.strip('"') == "[DONE]":
            return [Stop("unmarked")]
        if not data:
            return []
    try:
        reply = _parsed(data)
    except (ValueError, RecursionError):
        raise BadOutputError(
            f"the server sent an event that is not JSON: {quote(data)}; "
            "check base_url, or try again"
        ) from None
    if event.name == "error":
        raise read_error(500, {}, reply)
    return understand(reply)


def _parsed(data: str) -> object:
    """Parse JSON, in a third of the time that `json` takes, which forgives more: half an emoji."""
    try:
        return from_json(data)
    except ValueError:
        return json.loads(data)
