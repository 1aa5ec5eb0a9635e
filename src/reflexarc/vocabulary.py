"""What the robot can do: the one place that knows which actions are legal.

A `Vocabulary` is made from OM1's ``agent_actions``. From it come everything a model is told (a
description, a JSON Schema, tool definitions, a grammar) and the judgement on everything it answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from reflexarc.config import AgentAction, RobotConfig
from reflexarc.errors import ConfigError, check_type, in_line
from reflexarc.messages import Arguments
from reflexarc.parameters import (
    describe,
    grammar_of,
    is_strict,
    legal_arguments,
    literal,
    rules_for,
)
from reflexarc.specs import ActionSpec, check_spec, folded, spec_of_action, spec_of_tool
from reflexarc.types import Action, Json

T = TypeVar("T")

LONGEST_TEXT = 2000
"""Characters a free-text value may have; a robot that speaks longer has a broken model."""

HOW = (
    "write Vocabulary.load(file), Vocabulary.from_actions(robot.agent_actions), or "
    'Vocabulary([ActionSpec("move", ("sit", "walk")), …])'
)
"""How a vocabulary is made, for a message."""

MOST_ACTIONS = 8
"""Actions one answer may have under a grammar; bounds the answer where a schema cannot."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something that a model asked for is not done.

    Parameters
    ----------
    type, value : str
        What was asked for, as text, shortened where it is long.
    reason : str
        Why not, as a sentence; on one line, since it is logged, and quotes the model.
    """

    type: str
    value: str
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", in_line(self.reason))


class Vocabulary:
    """The actions of one robot, in the order of its configuration.

    Parameters
    ----------
    specs : iterable of ActionSpec
        At least one; no type twice.

    Raises
    ------
    ConfigError
        If there is none, one twice, one of another type, or a name or value no model could be told.
    """

    def __init__(self, specs: Iterable[ActionSpec]) -> None:
        self.specs = _each(ActionSpec, specs)
        self._by_type = {spec.type.casefold(): spec for spec in self.specs}
        self._values = {
            spec.type: {folded(value): value for value in spec.values}
            for spec in self.specs
            if spec.values is not None
        }
        if not self.specs:
            raise ConfigError("a vocabulary needs at least one action the model may use")
        if len(self._by_type) < len(self.specs):
            twice = next(
                each.type for each in self.specs if self._by_type[each.type.casefold()] is not each
            )
            raise ConfigError(
                f"two actions have the same llm_label '{twice}'; give each a name of its own"
            )
        for spec in self.specs:
            check_spec(spec)

    def __repr__(self) -> str:
        return f"Vocabulary({', '.join(spec.type for spec in self.specs)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.specs == other.specs

    def __hash__(self) -> int:
        return hash(self.specs)

    @property
    def speech(self) -> str | None:
        """Name of the action that takes a free text, such as a sentence; None without one."""
        texts = (each for each in self.specs if each.values is None and each.parameters is None)
        return next((each.type for each in texts), None)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read the vocabulary of a robot's configuration file.

        Parameters
        ----------
        path : str or Path
            A robot in OM1's JSON5 format.

        Returns
        -------
        Vocabulary

        Raises
        ------
        ConfigError
            With file, line and column, and what to write instead.
        """
        return cls.from_actions(RobotConfig.load(path).agent_actions)

    @classmethod
    def from_actions(cls, actions: Iterable[AgentAction]) -> Self:
        """Make a vocabulary of OM1's ``agent_actions``.

        Parameters
        ----------
        actions : iterable of AgentAction
            Those with ``exclude_from_prompt`` are left out.

        Returns
        -------
        Vocabulary

        Raises
        ------
        ConfigError
            If one is no `AgentAction`, or an interface is unknown and the entry has no ``values``
            or ``description``.
        """
        entries = _each(AgentAction, actions)
        return cls(spec_of_action(action) for action in entries if not action.exclude_from_prompt)

    @classmethod
    def from_tools(cls, tools: Iterable[Json]) -> Self:
        """Make a vocabulary of OpenAI-style tool definitions, such as OM1's function schemas.

        Parameters
        ----------
        tools : iterable of dict
            As `spec_of_tool` reads them.

        Returns
        -------
        Vocabulary

        Raises
        ------
        ConfigError
            If there is none, one twice, one that is no dict, or a name or value no model could be
            told.
        """
        return cls(map(spec_of_tool, _each(dict, tools)))

    def judge(self, type_: str, value: object) -> Action | Refusal:
        """Decide whether the robot may do what a model asked for.

        Letter case and white space around and inside are forgiven, nothing else is: a value is
        never guessed.

        Parameters
        ----------
        type_ : str
            Name of the action.
        value : object
            Anything JSON can hold, or the `Arguments` of a tool call; only a text can be legal, or
            an object where the action has parameters.

        Returns
        -------
        Action or Refusal
            The action spelled as in the configuration, or the reason against it.
        """
        spec = self._by_type.get(folded(type_))
        if isinstance(value, Arguments):
            value = value.value if spec is None or spec.parameters is None else value.fields
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

        def refuse(reason: str) -> Refusal:
            return Refusal(_short(type_), _short(shown), reason)

        if spec is None:
            return refuse(f"the robot has no action '{_short(type_)}', only {self._types()}")
        if spec.parameters is not None:
            arguments = legal_arguments(value, spec.parameters)
            if isinstance(arguments, str):
                return refuse(f"the arguments of {spec.type} are wrong: {arguments}")
            text = json.dumps(arguments, ensure_ascii=False) if arguments else ""
            return Action(type=spec.type, value=text)
        if not isinstance(value, str):
            return refuse(f"the value of {spec.type} must be text, not {_short(shown)}")
        if spec.values is not None:
            legal = self._values[spec.type].get(folded(value))
            if legal is None:
                return refuse(
                    f"'{_short(value)}' is not a value of {spec.type}; {', '.join(spec.values)} are"
                )
            return Action(type=spec.type, value=legal)
        text = value.strip()
        if not text:
            return refuse(f"{spec.type} has no text")
        if len(text) > LONGEST_TEXT:
            return refuse(
                f"the text of {spec.type} has {len(text)} characters; {LONGEST_TEXT} are the most"
            )
        return Action(type=spec.type, value=text)

    def describe(self) -> str:
        """The actions as text for a model, one a line.

        Returns
        -------
        str
        """
        return "\n".join(_described(spec) for spec in self.specs)

    def schema(self) -> dict[str, Any]:
        """A strict JSON Schema of the answer: one closed branch for each action.

        Returns
        -------
        dict
            Only keywords that every server of 2026 accepts in strict mode, but for what an action
            with parameters of its own brings along.
        """
        branches = [
            _closed_object(
                {"type": {"type": "string", "enum": [spec.type]}, "value": _value_schema(spec)}
            )
            for spec in self.specs
        ]
        return _closed_object({"actions": {"type": "array", "items": {"anyOf": branches}}})

    def tools(self) -> list[dict[str, Any]]:
        """OpenAI-style tool definitions, one for each action, as OM1's later plugins have them.

        Returns
        -------
        list of dict
            Each takes one argument, ``action``, or its own. Strict are those whose objects are
            closed and need all that they name, which is what strict servers ask for.
        """
        return [
            {
                "type": "function",
                "function": {
                    "name": spec.type,
                    "description": spec.description or f"Perform {spec.type}.",
                    "parameters": _closed_object({"action": _value_schema(spec)})
                    if spec.parameters is None
                    else spec.parameters,
                    "strict": spec.parameters is None or is_strict(spec.parameters),
                },
            }
            for spec in self.specs
        ]

    def grammar(self) -> str:
        """A GBNF grammar of the JSON answer without optional white space, for llama.cpp.

        Returns
        -------
        str
            At most `MOST_ACTIONS` actions.
        """
        rules = [
            'root ::= "{\\"actions\\":[" ( action ( "," action ){0,'
            + str(MOST_ACTIONS - 1)
            + '} )? "]}"',
            f"action ::= {' | '.join(f'a{index}' for index in range(len(self.specs)))}",
        ]
        for index, spec in enumerate(self.specs):
            head = literal(f'{{"type":{json.dumps(spec.type)},"value":')
            if spec.parameters is not None:
                rules.append(f'a{index} ::= {head} {grammar_of(spec.parameters)} "}}"')
            elif spec.values is None:
                rules.append(f'a{index} ::= {head} "\\"" text "\\"}}"')
            else:
                values = " | ".join(
                    literal(json.dumps(value, ensure_ascii=False)) for value in spec.values
                )
                rules.append(f'a{index} ::= {head} ( {values} ) "}}"')
        rules += rules_for(rules)
        if any(spec.values is None and spec.parameters is None for spec in self.specs):
            rules.append('text ::= [^"\\\\\\x00-\\x1f]{1,200}')
        return "\n".join(rules) + "\n"

    def _types(self) -> str:
        return ", ".join(spec.type for spec in self.specs)


def _each(kind: type[T], given: Iterable[T]) -> tuple[T, ...]:
    """What was handed in, all of it of one type."""
    if not hasattr(given, "__iter__"):
        given = (cast("T", given),)
    items = tuple(given)
    for item in items:
        check_type(item, kind, f"here each action must be of type {kind.__name__}", HOW)
    return items


def _short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _described(spec: ActionSpec) -> str:
    if spec.parameters is not None:
        values = describe(spec.parameters)
    else:
        values = "a short text" if spec.values is None else "one of: " + ", ".join(spec.values)
    return f"{spec.type}: {spec.description} Value: {values}".replace(":  Value", ": value")


def _value_schema(spec: ActionSpec) -> dict[str, Any]:
    if spec.parameters is not None:
        return spec.parameters
    return (
        {"type": "string"} if spec.values is None else {"type": "string", "enum": list(spec.values)}
    )


def _closed_object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
