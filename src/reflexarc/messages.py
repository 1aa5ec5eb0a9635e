"""Past turns as servers accept them: read from what callers hand in, and put in order.

The strictest rules are Mistral's (its open validator in mistral-common, and its live errors, read
2026-11) and those of chat templates that demand alternating roles: what they accept, all do.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from reflexarc.errors import ConfigError, check_type
from reflexarc.scanner import parse
from reflexarc.types import Json, Message, Role, ToolCall, as_object, objects_in, whole_characters

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}

# What ends a turn, or begins one, in the templates of Llama, Mistral, Qwen, SmolLM, Gemma and
# DeepSeek. Servers of one's own read a message's text as they read the template, marks and all.
_MARK = re.compile(
    r"<(?=[|\uff5c][^<>\n]{1,40}>|[a-z_]{1,40}\|>|/?s>|<?/?SYS>|(?:bos|eos|unk|pad)>"
    r"|(?:start|end)_of_(?:turn|utterance)>|/?(?:tool_call|tool_response|think)>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|MODEL_SETTINGS|AVAILABLE_TOOLS|TOOL_(?:CALLS|RESULTS|CONTENT)"
    r"|ARGS|CALL_ID|THINK|PREFIX|MIDDLE|SUFFIX|IMG(?:_BREAK|_END)?|(?:BEGIN_)?AUDIO)\])"
)

_ID = re.compile(r"[a-zA-Z0-9]{9}")
_NO_RESULT = "ok"


def unmarked(text: str) -> str:
    """A text in which nothing begins or ends a turn.

    Parameters
    ----------
    text : str
        What was said or sensed; who said it may know how the model's turns are marked.

    Returns
    -------
    str
        With a space in each mark, as in ``< |im_end|>``, which is then no mark.
    """
    return _MARK.sub(r"\g<0> ", text)


def disarmed(turn: Message) -> Message:
    """A turn that ends where it ends; see `unmarked`.

    Parameters
    ----------
    turn : Message
        Of anybody.

    Returns
    -------
    Message
    """
    content = unmarked(turn.content)
    if content == turn.content and not turn.tool_calls:
        return turn
    calls = tuple(
        replace(call, name=unmarked(call.name), arguments=_unmarked_json(call.arguments))
        for call in turn.tool_calls
    )
    return replace(turn, content=content, tool_calls=calls)


def _unmarked_json(text: str) -> str:
    """JSON without marks, also where its escapes hide them: servers parse it for a template."""
    told = unmarked(text)
    if "\\" not in told:
        return told
    plain = whole_characters(json.dumps(parse(told), ensure_ascii=False))
    broken = unmarked(plain)
    return told if broken == plain else broken


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
    check_type(
        given,
        Mapping,
        "a message must be a Message or a mapping",
        'write [{"role": "user", "content": "…"}, …]',
    )
    named = given.get("role")
    role = _ROLES.get(named) if isinstance(named, str) else None
    if role is None:
        raise ConfigError(f"a message has the role {named!r}; it needs one of {', '.join(_ROLES)}")
    calls = tuple(_call(call) for call in objects_in(given.get("tool_calls")))
    content = given.get("content")
    if content is None and calls:
        content = ""
    return Message(role, _text(role, content), calls, str(given.get("tool_call_id") or ""))


def _text(role: str, content: object) -> str:
    """Text as a string, or as parts that are text."""
    if isinstance(content, str):
        return content
    parts = cast("list[object]", content) if isinstance(content, list | tuple) else []
    read = [_part(part) for part in parts or [content]]
    others = sorted({kind for kind, text in read if text is None})
    if others:
        raise ConfigError(
            f"the content of a message of role '{role}' must be text, not {', '.join(others)}; "
            "put what was seen into words"
        )
    return "".join(text for _, text in read if text)


def _part(part: object) -> tuple[str, str | None]:
    """What a part is, and its text if it is text."""
    fields = as_object(part)
    if fields is None:
        return type(part).__name__, None
    kind, text = str(fields.get("type")), fields.get("text")
    if kind != "text":
        return kind, None
    return ("text", text) if isinstance(text, str) else (f"text of {type(text).__name__}", None)


def _call(call: Json) -> ToolCall:
    function = as_object(call.get("function")) or {}
    name, arguments = function.get("name"), function.get("arguments") or "{}"
    if not isinstance(name, str) or not name:
        raise ConfigError("a tool call in messages has no name; write function: {name, arguments}")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(name, text, str(call.get("id") or ""))


def recent(turns: tuple[Message, ...], most: int | None) -> tuple[Message, ...]:
    """The last turns of a conversation, from a user's on.

    The beginning moves by half of `most` at once, so that the server's prefix cache holds between.
    A summary of what was before, which is a system's turn at the beginning, stays.

    Parameters
    ----------
    turns : tuple of Message
        Oldest first.
    most : int or None
        As many as are wanted, beside the summary; None keeps all, 0 none and no summary.

    Returns
    -------
    tuple of Message
    """
    if not most:
        return turns if most is None else ()
    told = 1 if turns and turns[0].role == "system" else 0
    if len(turns) - told <= most:
        return turns
    step = most // 2 or 1
    start = told + -(-(len(turns) - told - most) // step) * step
    while start < len(turns) and turns[start].role != "user":
        start += 1
    return (*turns[:told], *turns[start:])


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
    plain: list[Message] = []
    for turn, results in _paired(turns):
        if not turn.tool_calls:
            plain.append(turn)
            continue
        actions = [{"type": call.name, "value": _value(call)} for call in turn.tool_calls]
        answer = json.dumps({"actions": actions}, ensure_ascii=False, separators=(",", ":"))
        plain.append(Message("assistant", answer))
        plain += [
            _told(result, call.name)
            for call, result in zip(turn.tool_calls, results, strict=True)
            if result is not None
        ]
    return plain


def _value(call: ToolCall) -> object:
    """The value of the action that a call stands for."""
    arguments = parse(call.arguments)
    fields = as_object(arguments)
    if fields is not None:
        return argument_of(fields)
    return arguments if isinstance(arguments, str) else call.arguments


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of a tool call, as a judge of actions is given them.

    Parameters
    ----------
    fields : dict
        By name.
    """

    fields: Json

    @property
    def value(self) -> object:
        """Their value where the action takes one; see `argument_of`."""
        return argument_of(self.fields)


def argument_of(arguments: Json) -> object:
    """The value of an action from a tool's arguments: ``action``, the only one, or all as JSON.

    Parameters
    ----------
    arguments : dict
        By name.

    Returns
    -------
    object
        An empty text where there are none.
    """
    if "action" in arguments:
        return arguments["action"]
    if len(arguments) == 1:
        return next(iter(arguments.values()))
    return json.dumps(arguments, ensure_ascii=False) if arguments else ""


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
    for turn, results in _paired(turns):
        if turn.role != "assistant":
            strict += _ended(strict)
        calls = tuple(replace(call, id=_nine(call.id, used)) for call in turn.tool_calls)
        strict.append(Message("assistant", "", calls) if calls else turn)
        strict += [
            Message("tool", (result and result.content) or _NO_RESULT, tool_call_id=call.id)
            for call, result in zip(calls, results, strict=True)
        ]
    return strict + _ended(strict)


def _ended(turns: Sequence[Message]) -> list[Message]:
    """What the assistant says where nobody but it may speak: after a tool."""
    return [Message("assistant", "Done.")] if turns and turns[-1].role == "tool" else []


def _paired(turns: Sequence[Message]) -> Iterator[tuple[Message, list[Message | None]]]:
    """Each turn, with one result or none for each of its calls.

    Results belong to the calls right before them, by id and where ids are the same in order; those
    that belong to none become the user's words.
    """
    names = {call.id: call.name for turn in turns for call in turn.tool_calls if call.id}
    waiting = deque(turns)
    while waiting:
        turn = waiting.popleft()
        if turn.role == "tool":
            yield _told(turn, names.get(turn.tool_call_id, "")), []
            continue
        given: list[Message] = []
        while turn.tool_calls and waiting and waiting[0].role == "tool":
            given.append(waiting.popleft())
        results: list[Message | None] = []
        for call in turn.tool_calls:
            result = next((each for each in given if each.tool_call_id == call.id), None)
            results.append(result)
            if result is not None:
                given.remove(result)
        yield turn, results
        for result in given:
            yield _told(result, ""), []


def _told(result: Message, name: str) -> Message:
    """A tool's result as the user's words."""
    of = f" of {name}" if name else ""
    return Message("user", f"Result{of}: {result.content or _NO_RESULT}")


def _nine(id_: str, used: set[str]) -> str:
    """An id that Mistral accepts, and no other call has; mostly the same in every request."""
    nine = id_ if _ID.fullmatch(id_) else _digest(id_)
    while nine in used:
        nine = _digest(nine)
    used.add(nine)
    return nine


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:9]
