"""Actions with several arguments, as OM1's function schemas and MCP servers have them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reflexarc.actions import JsonActions
from reflexarc.errors import ConfigError
from reflexarc.lines import LineActions, LineForm
from reflexarc.messages import Arguments
from reflexarc.parameters import is_strict
from reflexarc.types import Action, TextDelta, ToolCallDelta
from reflexarc.vocabulary import Refusal, Vocabulary


def tool(name: str, *required: str, closed: bool = True, **properties: Any) -> dict[str, Any]:
    """A tool definition of OpenAI's shape."""
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    if closed:
        parameters["additionalProperties"] = False
    function = {"name": name, "description": f"Do\n   {name}.", "parameters": parameters}
    return {"type": "function", "function": function}


TEXT = {"type": "string"}
SIDE = {"type": "string", "enum": ["left", "right"]}
SIT = tool("move", "action", action={"type": "string", "enum": ["sit", "run"]})
SPEAK = tool("speak", "sentence", sentence=TEXT)
TURN = tool("turn", "side", "speed", side=SIDE, speed={"type": "number"}, far={"type": "boolean"})
ROBOT = Vocabulary.from_tools([SIT, SPEAK, TURN, tool("stop"), tool("mcp_time", zone=TEXT)])


def test_tools_with_one_text_are_plain_actions() -> None:
    """What takes one text is an action with that value; its description is on one line."""
    move, speak = ROBOT.specs[:2]
    assert (move.type, move.values, move.parameters) == ("move", ("sit", "run"), None)
    assert (speak.type, speak.values, speak.parameters) == ("speak", None, None)
    assert move.description == "Do move."


@pytest.mark.parametrize(
    ("name", "arguments", "value"),
    [
        ("move", {"action": "Sit"}, "sit"),
        ("move", {"action": "sit", "why": "asked"}, "sit"),
        ("speak", {"sentence": "Hi"}, "Hi"),
        ("turn", {"side": "LEFT", "speed": 2}, '{"side": "left", "speed": 2}'),
        ("turn", {"side": "left", "speed": 0.5, "far": True}, None),
        ("stop", {}, ""),
        ("mcp_time", {"zone": "UTC"}, '{"zone": "UTC"}'),
    ],
)
def test_a_call_is_the_action_om1_makes_of_it(
    name: str, arguments: dict[str, Any], value: str | None
) -> None:
    """One argument is the value; several, and those of an MCP server, are one as JSON."""
    expected = json.dumps(arguments) if value is None else value
    assert ROBOT.judge(name, Arguments(arguments)) == Action(type=name, value=expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"side": "left"}, "lack speed"),
        ({"side": "up", "speed": 1}, 'side is "up", and may be one of: left, right'),
        ({"side": "left", "speed": "fast"}, 'speed is "fast", and may be number'),
        ({"side": "left", "speed": True}, "speed is true"),
        ({"side": "left", "speed": 1, "far": 1}, "far is 1, and may be boolean"),
        ({"side": "left", "speed": 1, "x": 1}, "there is no x, only side, speed, far"),
        ("[1]", "they are no object"),
        (7, "they are no object"),
    ],
)
def test_wrong_arguments_are_refused(arguments: object, words: str) -> None:
    """A call that the robot could not perform as it stands is refused, and the reason says why."""
    verdict = ROBOT.judge("turn", arguments)
    assert isinstance(verdict, Refusal)
    assert words in verdict.reason


def test_a_number_may_stand_for_its_text() -> None:
    """OM1 declares every number to be text; what models then send as a number is taken."""
    om1 = Vocabulary.from_tools([tool("go", "x", "y", x=TEXT, y=TEXT)])
    verdict = om1.judge("go", {"x": 1, "y": "2"})
    assert verdict == Action(type="go", value='{"x": "1", "y": "2"}')


def test_what_is_open_or_deep_is_handed_on() -> None:
    """Unknown names where the schema allows them, and types it does not name, are not judged."""
    deep = {"anyOf": [{"type": "null"}, {"type": "array"}]}
    mcp = Vocabulary.from_tools([tool("mcp_find", closed=False, where=deep)])
    arguments = {"where": [1, {"a": None}], "limit": 3}
    assert mcp.judge("mcp_find", Arguments(arguments)) == Action(
        type="mcp_find", value=json.dumps(arguments)
    )


def test_a_model_is_told_the_parameters() -> None:
    """Tools keep their parameters; the description and the schema have them as well."""
    assert ROBOT.tools()[2]["function"]["parameters"] == TURN["function"]["parameters"]
    assert "turn: Do turn. Value: an object of side (one of: left, right), speed (number), far" in (
        ROBOT.describe()
    )
    branches = ROBOT.schema()["properties"]["actions"]["items"]["anyOf"]
    assert branches[2]["properties"]["value"] == TURN["function"]["parameters"]


@pytest.mark.parametrize(
    "value", ['{"side":"left","speed":2}', '"{\\"side\\":\\"left\\",\\"speed\\":2}"']
)
def test_json_text_may_hold_the_arguments(value: str) -> None:
    """In a JSON answer the value is the object, or its text."""
    text = f'{{"actions":[{{"type":"turn","value":{value}}}]}}'
    verdicts = JsonActions(ROBOT.judge).feed(TextDelta(text))
    assert verdicts == [Action(type="turn", value='{"side": "left", "speed": 2}')]


def test_a_streamed_call_is_decoded_once_it_is_complete() -> None:
    """The arguments may come in any pieces."""
    decoder = JsonActions(ROBOT.judge)
    pieces = ['{"side":', '"left","sp', 'eed":2', "}"]
    verdicts = [decoder.feed(ToolCallDelta("turn" if not at else "", piece, 0))
                for at, piece in enumerate(pieces)]  # fmt: skip
    assert verdicts == [[], [], [], [Action(type="turn", value='{"side": "left", "speed": 2}')]]


def test_a_line_holds_them_as_json() -> None:
    """The line form writes and reads the arguments after the action's name."""
    decoder = LineActions(LineForm(ROBOT).judge)
    verdicts = decoder.feed(TextDelta('turn {"side":"left","speed":2}\nstop {}\n'))
    assert verdicts == [
        Action(type="turn", value='{"side": "left", "speed": 2}'),
        Action(type="stop", value=""),
    ]


def test_tools_that_cannot_be_told_apart_are_refused() -> None:
    """A name twice, none at all, or no tools are the caller's mistake."""
    for tools in ([SIT, SIT], [{"type": "function"}], []):
        with pytest.raises(ConfigError):
            Vocabulary.from_tools(tools)


CLOSED = {
    "type": "object",
    "properties": {"default": TEXT},
    "required": ["default"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (CLOSED, True),
        ({**CLOSED, "properties": {"default": {"type": "array", "items": CLOSED}}}, True),
        ({**CLOSED, "properties": {}, "required": []}, True),
        ({**CLOSED, "required": []}, False),
        ({**CLOSED, "additionalProperties": True}, False),
        ({"type": "object", "properties": {}}, False),
        ({**CLOSED, "properties": {"default": {**TEXT, "default": "a"}}}, False),
        ({**CLOSED, "properties": {"default": {"items": {"type": "object"}}}}, False),
        ({**CLOSED, "properties": {"default": {"anyOf": [TEXT, {"type": "object"}]}}}, False),
    ],
)  # fmt: skip
def test_what_is_strict(schema: dict[str, Any], expected: bool) -> None:
    """A foreign tool is called strict only where a strict server would take it."""
    assert is_strict(schema) is expected
    made = {"type": "function", "function": {"name": "mcp_a", "parameters": schema}}
    assert Vocabulary.from_tools([made]).tools()[0]["function"]["strict"] is expected
