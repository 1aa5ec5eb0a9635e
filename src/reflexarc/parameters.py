"""Actions that take several arguments: which ones are legal, and how a model is held to them.

Their parameters are a JSON Schema, as in a tool definition. What is checked is what a robot's
tools have: names, types, enumerations and what is required. Deeper schemas (an MCP server's, say)
are handed to the model as they are, and checked by their owner.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import cast

from reflexarc.scanner import parse
from reflexarc.types import Json, as_object

LONGEST_ARGUMENT = 200
"""Characters of a text among the arguments under a grammar."""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}

_UNFIT = object()

_RULES: Mapping[str, str] = {
    "argument": f'argument ::= [^"\\\\\\x00-\\x1f]{{0,{LONGEST_ARGUMENT}}}',
    "integer": 'integer ::= "-"? [0-9]{1,9}',
    "number": 'number ::= "-"? [0-9]{1,9} ( "." [0-9]{1,6} )?',
    "boolean": 'boolean ::= "true" | "false"',
    "json": (
        'json ::= "\\"" argument "\\"" | number | boolean | "null"'
        ' | "[" ( json ( "," json )* )? "]"'
        ' | "{" ( "\\"" argument "\\":" json ( "," "\\"" argument "\\":" json )* )? "}"'
    ),
}
"""Rules of GBNF that `grammar_of` refers to, by name."""


def legal_arguments(given: object, parameters: Json) -> Json | str:
    """Check arguments.

    Parameters
    ----------
    given : object
        What a model gave: an object by name, or the text of one.
    parameters : dict
        JSON Schema of an object.

    Returns
    -------
    dict or str
        The arguments with the spelling of the schema's enumerations, or the reason against them.
    """
    arguments = as_object(parse(given or "{}") if isinstance(given, str) else given)
    if arguments is None:
        return "they are no object"
    properties = properties_of(parameters)
    if missing := [name for name in _required(parameters) if name not in arguments]:
        return f"they lack {', '.join(missing)}"
    unknown = [name for name in arguments if name not in properties]
    if unknown and parameters.get("additionalProperties") is False:
        return f"there is no {', '.join(unknown)}, only {', '.join(properties)}"
    checked: Json = {}
    for name, value in arguments.items():
        schema = properties.get(name, {})
        checked[name] = fitted = _fitted(value, schema)
        if fitted is _UNFIT:
            return f"{name} is {_shown(value)}, and may be {_kind(schema)}"
    return checked


def is_strict(schema: object) -> bool:
    """Whether a schema is one that servers take in strict mode.

    Parameters
    ----------
    schema : object
        JSON Schema, or a part of one.

    Returns
    -------
    bool
        False where an object is open, or a property may be left out or has a default.
    """
    if isinstance(schema, list):
        return all(map(is_strict, cast("list[object]", schema)))
    if (fields := as_object(schema)) is None:
        return True
    properties = as_object(fields.get("properties")) or {}
    if fields.get("type") == "object" or properties:
        is_closed = fields.get("additionalProperties") is False
        if not is_closed or {*_required(fields)} != properties.keys():
            return False
    parts = (value for name, value in fields.items() if name not in ("properties", "enum"))
    return "default" not in fields and all(map(is_strict, (*properties.values(), *parts)))


def describe(parameters: Json) -> str:
    """The arguments as text for a model.

    Parameters
    ----------
    parameters : dict
        JSON Schema of an object.

    Returns
    -------
    str
        Such as ``"an object of direction (one of: left, right), speed (number)"``.
    """
    named = [f"{name} ({_kind(schema)})" for name, schema in properties_of(parameters).items()]
    return f"an object of {', '.join(named)}" if named else "an empty object"


def grammar_of(parameters: Json) -> str:
    """The arguments as an expression of GBNF, as one JSON object without white space.

    Parameters
    ----------
    parameters : dict
        JSON Schema of an object.

    Returns
    -------
    str
        It may refer to rules that `rules_for` gives.
    """
    properties = properties_of(parameters)
    required = [name for name in properties if name in _required(parameters)] or list(properties)
    pairs = {
        name: f"{literal(f'{json.dumps(name)}:')} {_expression(schema)}"
        for name, schema in properties.items()
    }
    first = ' "," '.join(pairs[name] for name in required)
    rest = "".join(f' ( "," {pair} )?' for name, pair in pairs.items() if name not in required)
    return f'"{{" {first}{rest} "}}"'


def rules_for(expressions: Iterable[str]) -> list[str]:
    """The rules that expressions of `grammar_of` need.

    Parameters
    ----------
    expressions : iterable of str
        As `grammar_of` made them.

    Returns
    -------
    list of str
        One rule each; all of them if any is referred to.
    """
    words = {word for expression in expressions for word in expression.split()}
    return list(_RULES.values()) if words & _RULES.keys() else []


def literal(text: str) -> str:
    """A literal of GBNF; its escapes are those of C, and JSON's cover what we need.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
    """
    return json.dumps(text, ensure_ascii=False)


def properties_of(parameters: Json) -> dict[str, Json]:
    """The schemas of an object's properties.

    Parameters
    ----------
    parameters : dict
        JSON Schema of an object.

    Returns
    -------
    dict of str to dict
        By name, in order.
    """
    given = as_object(parameters.get("properties")) or {}
    return {name: as_object(schema) or {} for name, schema in given.items()}


def _required(parameters: Json) -> list[str]:
    given = parameters.get("required")
    return [str(name) for name in cast("list[object]", given)] if isinstance(given, list) else []


def _values(schema: Json) -> list[object] | None:
    values = schema.get("enum")
    return cast("list[object]", values) if isinstance(values, list) else None


def _fitted(value: object, schema: Json) -> object:
    """An argument as its schema spells it, or `_UNFIT`."""
    values = _values(schema)
    if values is not None:
        return {_folded(each): each for each in values}.get(_folded(value), _UNFIT)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if schema.get("type") == "string" and is_number:
        return json.dumps(value)  # OM1 declares every number to be text
    types = _TYPES.get(str(schema.get("type")))
    fits = types is None or (
        isinstance(value, types) and (bool in types or not isinstance(value, bool))
    )
    return value if fits else _UNFIT


def _folded(value: object) -> str:
    return " ".join(value.casefold().split()) if isinstance(value, str) else json.dumps(value)


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)[:80]


def _kind(schema: Json) -> str:
    values = _values(schema)
    if values is not None:
        return f"one of: {', '.join(map(str, values))}"
    kind = str(schema.get("type") or "any")
    return "text" if kind == "string" else kind


def _expression(schema: Json) -> str:
    values = _values(schema)
    if values is not None:
        literals = (literal(json.dumps(value, ensure_ascii=False)) for value in values)
        return f"( {' | '.join(literals)} )"
    kind = schema.get("type")
    if kind == "string":
        return '"\\"" argument "\\""'
    return str(kind) if kind in ("integer", "number", "boolean") else "json"
