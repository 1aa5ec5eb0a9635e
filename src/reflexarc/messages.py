"""Past turns as servers accept them: read from what callers hand in, and put in order.

The strictest rules are Mistral's (its open validator in mistral-common, and its live errors, read
2026-11) and those of chat templates that demand alternating roles: what they accept, all do.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from reflexarc.errors import ConfigError
from reflexarc.types import Json, Message, Role, ToolCall, as_object

_ROLES: Mapping[object, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}

_ID = re.compile(r"[a-zA-Z0-9]{9}")
_NO_RESULT = "ok"


def read_message(given: Message | Mapping[str, Any]) -> Message:
    """Read one turn, as OpenAI writes them.

    Parameters
    ----------
    given : Message or mapping
        A mapping has ``role`` and ``content``; also ``tool_calls`` and ``tool_call_id``.

    Returns
    -------
    Message

    Raises
    ------
    ConfigError
        If it has no known role, or content that is not text.
    """
    if isinstance(given, Message):
        return given
    role = _ROLES.get(given.get("role"))
    if role is None:
        raise ConfigError(
            f"a message has the role {given.get('role')!r}; "
            f"it needs one of {', '.join(map(str, _ROLES))}"
        )
    calls = tuple(_call(call) for call in _objects(given.get("tool_calls")))
    content = given.get("content")
    if content is None and calls:
        content = ""
    return Message(role, _text(role, content), calls, str(given.get("tool_call_id") or ""))


def _text(role: str, content: object) -> str:
    """Text as a string, or as a list of parts that are text."""
    if isinstance(content, str):
        return content
    parts = _objects(content)
    texts = [part.get("text") for part in parts if part.get("type") == "text"]
    if not parts or len(texts) < len(parts) or not all(isinstance(text, str) for text in texts):
        kinds = sorted({str(part.get("type")) for part in parts}) or [type(content).__name__]
        raise ConfigError(
            f"the content of a message of role '{role}' must be text, not {', '.join(kinds)}; "
            "put what was seen into words"
        )
    return "".join(cast("list[str]", texts))


def _call(call: Json) -> ToolCall:
    function = as_object(call.get("function")) or {}
    name, arguments = function.get("name"), function.get("arguments") or "{}"
    if not isinstance(name, str) or not name:
        raise ConfigError("a tool call in messages has no name; write function: {name, arguments}")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(name, text, str(call.get("id") or ""))


def _objects(value: object) -> list[Json]:
    items = cast("list[object]", value) if isinstance(value, list | tuple) else []
    return [found for item in items if (found := as_object(item)) is not None]


def merged(turns: Iterable[Message]) -> list[Message]:
    """Make one turn of neighbours of the same role; results of tools stay apart.

    Parameters
    ----------
    turns : iterable of Message
        Oldest first.

    Returns
    -------
    list of Message
    """
    joined: list[Message] = []
    for turn in turns:
        last = joined[-1] if joined else None
        plain = not turn.tool_calls and turn.role != "tool"
        if last and plain and last.role == turn.role and not last.tool_calls:
            joined[-1] = replace(last, content=f"{last.content}\n{turn.content}")
        else:
            joined.append(turn)
    return joined


def as_text(turns: Sequence[Message]) -> list[Message]:
    """Write tool calls as the JSON answer they stand for, and their results as the user's words.

    Parameters
    ----------
    turns : sequence of Message
        Oldest first.

    Returns
    -------
    list of Message
        Without role ``tool``; any server and template takes them.
    """
    names = {call.id: call.name for turn in turns for call in turn.tool_calls}
    plain: list[Message] = []
    for turn in turns:
        if turn.tool_calls:
            actions = [{"type": call.name, "value": _value(call)} for call in turn.tool_calls]
            answer = json.dumps({"actions": actions}, ensure_ascii=False, separators=(",", ":"))
            plain.append(Message("assistant", answer))
        elif turn.role == "tool":
            name = names.get(turn.tool_call_id, "tool")
            plain.append(Message("user", f"Result of {name}: {turn.content or _NO_RESULT}"))
        else:
            plain.append(turn)
    return plain


def _value(call: ToolCall) -> object:
    """The value of the action that a call stands for; see `JsonActions`."""
    try:
        arguments: object = json.loads(call.arguments)
    except ValueError:
        return call.arguments
    fields = as_object(arguments)
    if fields is None:
        return arguments
    return next(iter(fields.values())) if len(fields) == 1 else call.arguments


def as_calls(turns: Sequence[Message]) -> list[Message]:
    """Put tool calls and their results in the order and form that Mistral demands.

    Parameters
    ----------
    turns : sequence of Message
        Oldest first.

    Returns
    -------
    list of Message
        Each call has an id of nine letters and digits and exactly one result behind it; a result of
        no call is the user's words; no user speaks right after a tool; a turn that calls says
        nothing else.
    """
    strict: list[Message] = []
    used: set[str] = set()
    waiting = list(turns)
    while waiting:
        turn = waiting.pop(0)
        results: dict[str, str] = {}
        while turn.tool_calls and waiting and waiting[0].role == "tool":
            result = waiting.pop(0)
            results[result.tool_call_id] = result.content
        if turn.role == "tool":
            strict.append(Message("user", f"Result: {turn.content or _NO_RESULT}"))
            continue
        calls = [replace(call, id=_nine(call.id, used)) for call in turn.tool_calls]
        strict.append(replace(turn, content="", tool_calls=tuple(calls)) if calls else turn)
        for given, call in zip(turn.tool_calls, calls, strict=True):
            said = results.get(given.id) or _NO_RESULT
            strict.append(Message("tool", said, tool_call_id=call.id))
        if calls and not (waiting and waiting[0].role == "assistant"):
            strict.append(Message("assistant", "Done."))
    return strict


def _nine(id_: str, used: set[str]) -> str:
    """An id that Mistral accepts, and no other call has; mostly the same in every request."""
    nine = id_ if _ID.fullmatch(id_) else _digest(id_)
    while nine in used:
        nine = _digest(nine)
    used.add(nine)
    return nine


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:9]
