"""What a server asks of a request, as data, and the search for the first rule that one breaks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

from reflexarc.testing.template import fill
from reflexarc.types import Json, as_object

BAD_KEY = "bad-key"
"""The one key that is taken for a wrong one; any other is taken for a good one."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a broken rule is answered.

    Parameters
    ----------
    status : int
        HTTP status.
    body : object
        JSON; in `Rules`, ``{name}`` in a text stands for what was found in the request.
    """

    status: int
    body: object


@dataclass(frozen=True, slots=True)
class Order:
    """Which roles may follow each other in a conversation.

    Parameters
    ----------
    alone, last : frozenset of str
        Roles of an only message, and of the last of several.
    after : mapping of str to frozenset of str
        Roles that may come after each role.
    """

    alone: frozenset[str]
    last: frozenset[str]
    after: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Rules:
    """What one server asks of a request. Every one asks for a model, and messages with known roles.

    Parameters
    ----------
    refusals : mapping of str to Refusal
        By rule; ``"other"`` for those without words of their own. Only with ``"bad_key"`` a key is
        needed.
    roles : frozenset of str, default frozenset({"system", "user", "assistant", "tool"})
        Roles of messages.
    fields : frozenset of str or None, default None
        The fields that are known, where others are refused; None ignores others.
    refused : frozenset of str, default frozenset()
        Fields that are refused by name.
    fixed : re.Pattern or None, default None
        Models that refuse ``max_tokens``, and any ``temperature`` but 1.
    order : Order or None, default None
        Order of messages; None takes any.
    call_id : re.Pattern or None, default None
        Ids of tool calls, whose answers are then counted, too.
    tool_choices : frozenset of str or None, default frozenset({"none", "auto", "required"})
        Words for ``tool_choice``; None takes any.
    named_tool : bool, default True
        Whether ``tool_choice`` may be an object that names a tool.
    formats : frozenset of str or None, default frozenset({"text", "json_object", "json_schema"})
        Types of ``response_format``; None takes any.
    says_json : bool, default False
        Whether ``json_object`` needs the word in the messages.
    closed_schemas : bool, default False
        Whether a strict schema must close its objects and require every property.
    grammar : bool, default False
        Whether ``grammar`` is read.
    """

    refusals: Mapping[str, Refusal]
    roles: frozenset[str] = frozenset({"system", "user", "assistant", "tool"})
    fields: frozenset[str] | None = None
    refused: frozenset[str] = frozenset()
    fixed: re.Pattern[str] | None = None
    order: Order | None = None
    call_id: re.Pattern[str] | None = None
    tool_choices: frozenset[str] | None = frozenset({"none", "auto", "required"})
    named_tool: bool = True
    formats: frozenset[str] | None = frozenset({"text", "json_object", "json_schema"})
    says_json: bool = False
    closed_schemas: bool = False
    grammar: bool = False


_Found = tuple[str, Json]  # the rule that is broken, and what its refusal tells

_PLAIN_WORDS = {
    "body": "The request body is not a JSON object.",
    "missing": "Missing required parameter: '{field}'.",
    "role": "Invalid role: {role}.",
    "field": "Unknown parameter: '{field}'.",
    "tool_choice": "Invalid tool_choice: {value}.",
    "named_tool": "Invalid tool_choice.",
    "format": "Unsupported response_format type: {value}.",
}


def refuse(rules: Rules, headers: Mapping[str, str], body: bytes) -> Refusal | None:
    """Find the first rule that a request breaks.

    Parameters
    ----------
    rules : Rules
        The server's.
    headers : mapping of str to str
        Names in lower case.
    body : bytes
        Anything.

    Returns
    -------
    Refusal or None
        None if all is well.

    Raises
    ------
    RecursionError
        If the body is nested deeper than Python reads.
    """
    broken = next(_broken(rules, headers, body), None)
    return None if broken is None else _worded(rules, *broken)


def _worded(rules: Rules, rule: str, found: Json) -> Refusal:
    found = found | {"message": fill(_PLAIN_WORDS.get(rule, ""), found)}
    refusal = rules.refusals.get(rule) or rules.refusals["other"]
    return Refusal(refusal.status, fill(refusal.body, found))


def _broken(rules: Rules, headers: Mapping[str, str], body: bytes) -> Iterator[_Found]:
    """Every rule that is broken; those after the first may be broken because of it."""
    yield from _key(rules, headers)
    try:
        request = as_object(json.loads(body))
    except ValueError:
        request = None
    if request is None:
        yield "body", {}
        return
    for check in _CHECKS:
        yield from check(rules, request)


def _key(rules: Rules, headers: Mapping[str, str]) -> Iterator[_Found]:
    if "bad_key" not in rules.refusals:
        return
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        key = ""
        rule = "no_key" if "no_key" in rules.refusals else "bad_key"
    elif key == BAD_KEY:
        rule = "bad_key"
    else:
        return
    yield rule, {"start": key[:2], "end": key[-2:], "tail": key[-4:]}


def _essentials(rules: Rules, request: Json) -> Iterator[_Found]:
    if not (isinstance(model := request.get("model"), str) and model):
        yield "missing", {"field": "model", "value": request}
    messages = request.get("messages")
    if not (isinstance(messages, list) and messages):
        yield "missing", {"field": "messages", "value": request}
    for message in cast("list[object]", messages):
        role = (as_object(message) or {}).get("role")
        if not (isinstance(role, str) and role in rules.roles):
            yield "role", {"role": role}


def _fields(rules: Rules, request: Json) -> Iterator[_Found]:
    for field, value in request.items():
        if field in rules.refused or (rules.fields is not None and field not in rules.fields):
            yield "field", {"field": field, "value": value}
    if rules.fixed is not None and rules.fixed.match(request["model"]):
        if "max_tokens" in request:
            yield "max_tokens", {}
        if (value := request.get("temperature")) not in (None, 1):
            yield "temperature", {"value": value}


def _order(rules: Rules, request: Json) -> Iterator[_Found]:
    if rules.order is None:
        return
    messages: list[Json] = request["messages"]
    *others, last = messages
    if not others and last["role"] not in rules.order.alone:
        yield "alone", {"role": last["role"]}
    is_prefix = last["role"] == "assistant" and last.get("prefix") is True
    if others and last["role"] not in rules.order.last and not is_prefix:
        yield "last", {"role": last["role"]}
    for before, message in pairwise(messages):
        if message["role"] not in rules.order.after[before["role"]]:
            yield "order", {"role": message["role"], "before": before["role"]}


def _calls(rules: Rules, request: Json) -> Iterator[_Found]:
    if rules.call_id is None:
        return
    owed = 0  # answers to calls that have not come yet
    messages: list[Json] = request["messages"]
    for message in messages:
        if message["role"] == "tool":
            owed -= 1
            ids = [message.get("tool_call_id")]
        else:
            if owed:
                yield "count", {}
            ids = [call.get("id") for call in _objects(message.get("tool_calls"))]
            owed = len(ids)
            if message["role"] == "assistant" and not ids and not message.get("content"):
                yield "empty", {}
        for id_ in ids:
            if not (isinstance(id_, str) and rules.call_id.fullmatch(id_)):
                yield "call_id", {"id": id_}
    if owed:
        yield "count", {}


def _objects(value: object) -> list[Json]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [found for item in items if (found := as_object(item)) is not None]


def _tool_choice(rules: Rules, request: Json) -> Iterator[_Found]:
    choice = request.get("tool_choice")
    if isinstance(choice, str):
        if rules.tool_choices is not None and choice not in rules.tool_choices:
            yield "tool_choice", {"value": choice}
    elif choice is not None and not (rules.named_tool and isinstance(choice, dict)):
        yield "named_tool", {}


def _format(rules: Rules, request: Json) -> Iterator[_Found]:
    if request.get("response_format") is None:
        return
    kind = (as_object(request["response_format"]) or {}).get("type")
    if rules.formats is not None and not (isinstance(kind, str) and kind in rules.formats):
        yield "format", {"value": kind}
    said = json.dumps(request["messages"]).lower()
    if rules.says_json and kind == "json_object" and "json" not in said:
        yield "json_word", {}


def _schemas(rules: Rules, request: Json) -> Iterator[_Found]:
    if not rules.closed_schemas:
        return
    wanted = as_object((as_object(request.get("response_format")) or {}).get("json_schema")) or {}
    if wanted.get("strict") is True:
        for flaw in _flaws(wanted.get("schema")):
            yield "schema", {"name": wanted.get("name"), "flaw": flaw}
    for number, tool in enumerate(_objects(request.get("tools"))):
        function = as_object(tool.get("function")) or {}
        if function.get("strict") is True:
            for flaw in _flaws(function.get("parameters")):
                yield "parameters", {"name": function.get("name"), "flaw": flaw, "number": number}


def _flaws(schema: object) -> Iterator[str]:
    """What strict mode finds wrong in a schema."""
    rest: list[tuple[tuple[str, ...], object]] = [((), schema)]
    while rest:
        path, node = rest.pop()
        if isinstance(node, list):
            items = cast("list[object]", node)
            rest += [((*path, str(number)), item) for number, item in enumerate(items)]
            continue
        if not isinstance(node, dict):
            continue
        fields = cast("Json", node)
        is_schema = not path or path[-1] not in {"properties", "$defs"}
        if is_schema and (fields.get("type") == "object" or "properties" in fields):
            required = fields.get("required")
            known = cast("list[object]", required) if isinstance(required, list) else []
            if fields.get("additionalProperties") is not False:
                yield (
                    f"In context={path}, 'additionalProperties' is required to be supplied and to "
                    "be false."
                )
            for name in as_object(fields.get("properties")) or {}:
                if name not in known:
                    yield (
                        f"In context={path}, 'required' is required to be supplied and to be an "
                        f"array including every key in properties. Missing '{name}'."
                    )
        rest += [((*path, key), value) for key, value in fields.items()]


_CLOSED = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|#.*')
_ROOT = re.compile(r"^\s*root\s*::=", re.MULTILINE)


def _grammar(rules: Rules, request: Json) -> Iterator[_Found]:
    grammar = request.get("grammar")
    if not (rules.grammar and isinstance(grammar, str) and grammar):
        return
    if request.get("tools") and request.get("tool_choice") != "none":
        yield "grammar_tools", {}
    bare = _CLOSED.sub("", grammar)
    if not _ROOT.search(grammar) or set('"[') & set(bare) or bare.count("(") != bare.count(")"):
        yield "grammar", {}


_CHECKS: tuple[Callable[[Rules, Json], Iterator[_Found]], ...] = (
    _essentials,
    _fields,
    _order,
    _calls,
    _tool_choice,
    _format,
    _schemas,
    _grammar,
)
