"""Answers that are an object of a pydantic model: the schema asked for, and the reading of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

from pydantic import AliasChoices, AliasPath, BaseModel, ValidationError

from reflexarc.calls import ToolCalls
from reflexarc.decoder import Decoder, Ending, mistake_in
from reflexarc.errors import BadOutputError, TruncatedError
from reflexarc.scanner import Found, Scanner, parse
from reflexarc.types import Action, ToolCallDelta, as_object
from reflexarc.vocabulary import Refusal


def strict_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a model in the form that strict mode asks for.

    Parameters
    ----------
    model : type
        A pydantic model.

    Returns
    -------
    dict
        Every object closed and all of its properties required, also those with defaults; titles
        and defaults left out, and of a class's docstring all but its first paragraph.
    """
    return cast("dict[str, Any]", _strict(model.model_json_schema()))


def _strict(node: object, *, names_properties: bool = False) -> object:
    if isinstance(node, list):
        return [_strict(item) for item in cast("list[object]", node)]
    if not isinstance(node, dict):
        return node
    fields = cast("dict[str, object]", node)
    strict = {
        ("anyOf" if key == "oneOf" and not names_properties else key): _strict(
            value, names_properties=key in {"properties", "$defs"} and not names_properties
        )
        for key, value in fields.items()
        if names_properties or key not in {"title", "default", "discriminator"}
    }
    properties = strict.get("properties")
    if not names_properties and isinstance(properties, dict):
        strict["required"] = list(cast("dict[str, object]", properties))
        strict["additionalProperties"] = False
        # A docstring's lists of parameters are for people; a model pays for them at every tick.
        if isinstance(about := strict.get("description"), str):
            strict["description"] = " ".join(about.partition("\n\n")[0].split())
    return strict


def answer_tool(schema: dict[str, Any]) -> dict[str, Any]:
    """A tool whose arguments are the answer, for servers that hold to tools only.

    Parameters
    ----------
    schema : dict
        JSON Schema of the answer.

    Returns
    -------
    dict
        An OpenAI-style tool definition.
    """
    function = {
        "name": "answer",
        "description": "Give the answer.",
        "parameters": schema,
        "strict": True,
    }
    return {"type": "function", "function": function}


def model_instructions(schema: dict[str, Any], form: Literal["json", "tools"] = "json") -> str:
    """What a model is told where its answer is an object of a schema.

    Parameters
    ----------
    schema : dict
        JSON Schema of the answer.
    form : {"json", "tools"}, default "json"
        Whether it writes the object, or calls `answer_tool` with it.

    Returns
    -------
    str
    """
    if form == "tools":
        return "Answer by calling the tool answer, once."
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    return f"Answer with one JSON object and nothing else. It fits this JSON Schema:\n{text}"


class WholeAnswer(Decoder):
    """One object of a pydantic model: the first complete one that fits.

    Parameters
    ----------
    output_model : type
        A pydantic model.
    """

    def __init__(self, output_model: type[BaseModel]) -> None:
        super().__init__()
        self._output_model = output_model
        fields = output_model.model_fields
        self._names = fields.keys() | {
            name for field in fields.values() for name in _aliases(field.validation_alias)
        }
        self._scanner = Scanner(items=False)
        self._tool_calls = ToolCalls((), lambda _: False)
        self._answer: BaseModel | None = None
        self._mistake = ""
        self._is_echo = False

    @property
    def is_complete(self) -> bool:
        """Whether an object that fits has been found."""
        return self._answer is not None

    @property
    def is_formless(self) -> bool:
        """Whether the answer has no object, or is the schema, which small models repeat."""
        return bool(self._beginning.strip()) and (not self._scanner.roots or self._is_echo)

    @property
    def thinks_aloud(self) -> bool:
        """Whether a thought ends that has not begun."""
        return self._scanner.is_thought_out

    def _text(self, text: str) -> list[Action | Refusal]:
        return self._look_at(self._scanner.feed(text))

    def _tool_call(self, delta: ToolCallDelta) -> list[Action | Refusal]:
        return self._look_at(self._tool_calls.take(delta)[1])

    def _look_at(self, found: Sequence[Found]) -> list[Action | Refusal]:
        for kind, root in found:
            if kind == "root" and self._answer is None:
                self._try(parse(root))
        return []

    def _try(self, root: object) -> None:
        """Take an object for the answer if it fits, and has any of the fields asked for."""
        fields = as_object(root) or {}
        self._is_echo = "properties" in fields
        if fields and not fields.keys() & self._names:
            self._mistake = f"it has none of the fields {', '.join(sorted(self._names))}"
            return
        try:
            self._answer = self._output_model.model_validate(root)
        except ValidationError as error:
            self._mistake = mistake_in(error)

    def close(self, ending: Ending) -> list[Action | Refusal]:
        """End the answer; see `Decoder.close`."""
        calls = self._tool_calls.calls
        is_open = self._scanner.is_open or any(call.scanner.is_open for call in calls)
        if ending in {"finished", "unmarked"}:
            for call in calls:
                self._look_at(call.end() or ())
        if ending == "cut" or (self._answer is None and (ending == "length" or is_open)):
            raise TruncatedError(
                f"the answer ended early; {self._shown()}. Ask again, or raise max_tokens"
            )
        if self._answer is None:
            why = self._mistake or "no JSON object"
            raise BadOutputError(
                f"the answer does not fit {self._output_model.__name__} ({why}); {self._shown()}"
            )
        return []

    def answer(self, output_model: type[BaseModel]) -> BaseModel:
        """The object that was found; see `Decoder.answer`."""
        assert self._answer is not None, "close() has raised if there is no answer"
        return self._answer


def _aliases(alias: str | AliasPath | AliasChoices | None) -> Iterator[str]:
    """The names in an object by which a field is found, beside its own."""
    for choice in alias.choices if isinstance(alias, AliasChoices) else (alias,):
        name = choice.path[0] if isinstance(choice, AliasPath) else choice
        if isinstance(name, str):
            yield name
