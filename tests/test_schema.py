"""The schema of any pydantic model is one that strict servers take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, Field, create_model

from reflexarc.errors import BadOutputError
from reflexarc.schema import WholeAnswer, model_instructions, strict_schema
from reflexarc.types import CortexOutputModel, TextDelta


class Point(BaseModel):
    """Where to go."""

    x: float = Field(default=0, title="East", description="Metres to the east.")
    y: float | None = None


class Plan(BaseModel):
    """A model with what pydantic puts in schemas: definitions, unions, lists, defaults, titles."""

    goal: Point
    stops: list[Point] = []
    speeds: dict[str, int] = {}
    notes: tuple[str, ...] = ("none",)


class Nothing(BaseModel):
    """A model without fields."""


def objects_in(node: object) -> Iterator[dict[str, Any]]:
    """Every object in a schema that names its properties."""
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict) and node.get("type") == "object":
            yield node
        for inner in node.values():
            yield from objects_in(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from objects_in(inner)


def test_every_object_is_closed_and_complete() -> None:
    """Strict mode asks for every property, also those with defaults, and for no others."""
    for model, count in ((CortexOutputModel, 2), (Plan, 2), (Nothing, 1)):
        found = list(objects_in(strict_schema(model)))
        assert len(found) == count
        for node in found:
            assert node["required"] == list(node["properties"])
            assert node["additionalProperties"] is False


def test_titles_and_defaults_are_left_out_and_descriptions_kept() -> None:
    """What costs tokens or is refused goes; what tells the model something stays."""
    schema = strict_schema(Plan)
    assert '"title"' not in json.dumps(schema)
    assert '"default"' not in json.dumps(schema)
    assert schema["$defs"]["Point"]["properties"]["x"] == {
        "type": "number",
        "description": "Metres to the east.",
    }
    assert schema["properties"]["speeds"]["additionalProperties"] == {"type": "integer"}


def test_fields_may_be_named_like_keywords() -> None:
    """A field called title, default or properties is a field."""
    names = ["title", "default", "properties", "type", "required", "items"]
    model = create_model("Odd", **dict.fromkeys(names, (int, 1)))  # type: ignore[call-overload]
    schema = strict_schema(model)
    assert schema["required"] == names
    assert schema["properties"] == {name: {"type": "integer"} for name in names}


def test_the_model_is_shown_the_schema() -> None:
    """The instructions hold the schema as compact JSON that reads back as it was."""
    schema = strict_schema(Plan)
    told, _, shown = model_instructions(schema).partition("\n")
    assert "one JSON object" in told
    assert json.loads(shown) == schema
    assert '": ' not in shown


def test_of_a_docstring_a_model_is_told_the_first_paragraph() -> None:
    """What a class's docstring tells of its parameters is not sent with every question."""

    class Documented(BaseModel):
        """One thing,
        in two lines.

        Parameters
        ----------
        x : int
            A number.
        """

        x: int

    assert strict_schema(Documented)["description"] == "One thing, in two lines."


class Cat(BaseModel):
    """One kind of animal."""

    kind: Literal["cat"]


class Dog(BaseModel):
    """Another kind."""

    kind: Literal["dog"]


class Owner(BaseModel):
    """Somebody who has either."""

    pet: Cat | Dog = Field(discriminator="kind")


def test_a_tagged_union_is_written_as_servers_take_it() -> None:
    """Strict servers know ``anyOf``, and nothing of ``oneOf`` and ``discriminator``."""
    text = json.dumps(strict_schema(Owner))
    assert '"anyOf"' in text
    assert "oneOf" not in text
    assert "discriminator" not in text


@pytest.mark.parametrize("text", ['{"error":"I cannot"}', '{"type":"object","properties":{}}'])
def test_an_object_without_any_field_asked_for_is_no_answer(text: str) -> None:
    """A model whose fields all have defaults is not answered by whatever object comes."""

    class Mood(BaseModel):
        mood: str = "calm"

    decoder = WholeAnswer(Mood)
    decoder.feed(TextDelta(text))
    with pytest.raises(BadOutputError, match="none of the fields mood"):
        decoder.close("finished")
    empty = WholeAnswer(Mood)
    empty.feed(TextDelta("{}"))
    empty.close("finished")
    assert empty.answer(Mood) == Mood()


def test_a_tool_is_asked_for_in_words() -> None:
    """Who is to call a tool is not told to write an object and nothing else."""
    assert "calling the tool answer" in model_instructions(strict_schema(Owner), "tools")


class Aliased(BaseModel):
    """Fields by other names."""

    x: int = Field(0, validation_alias="speed")
    y: int = Field(0, validation_alias=AliasChoices("turn", AliasPath("turns", 0)))
    z: int = Field(0, alias="height")


class Tree(BaseModel):
    """A model whose schema is a reference to itself."""

    kids: list[Tree] = Field(validation_alias="children")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"speed":3}', Aliased(speed=3)),
        ('{"turn":3}', Aliased(turn=3)),
        ('{"turns":[3]}', Aliased(turns=[3])),
        ('{"height":3}', Aliased(height=3)),
        ('{"children":[{"children":[]}]}', Tree(children=[Tree(children=[])])),
    ],
)
def test_a_field_is_found_by_its_alias(text: str, answer: BaseModel) -> None:
    """The schema asks for the alias, so that is what the model writes."""
    decoder = WholeAnswer(type(answer))
    decoder.feed(TextDelta(text))
    decoder.close("finished")
    assert decoder.answer(type(answer)) == answer
