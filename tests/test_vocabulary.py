"""What the robot may do is decided in one place, and models are told exactly that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reflexarc.config import AgentAction
from reflexarc.errors import ConfigError
from reflexarc.interfaces import INTERFACES
from reflexarc.specs import ActionSpec
from reflexarc.types import Action
from reflexarc.vocabulary import LONGEST_TEXT, MOST_ACTIONS, Refusal, Vocabulary

DOG = Vocabulary(
    [
        ActionSpec("move", ("sit", "shake paw"), "Move the body."),
        ActionSpec("speak", None, "Say a short sentence aloud."),
        ActionSpec("emotion", ("happy",)),
    ]
)
ODD = Vocabulary(
    [
        ActionSpec("say-It_1", ('a "b"', "back\\slash", "é😀", "{x}", "%s", "a' | 'b", "[^]")),
    ]
)


def fits(schema: dict[str, Any], value: Any) -> bool:
    """Whether a value fits a schema of the few keywords that strict servers know."""
    if "anyOf" in schema:
        return any(fits(branch, value) for branch in schema["anyOf"])
    if "enum" in schema:
        return isinstance(value, str) and value in schema["enum"]
    match schema["type"]:
        case "object":
            assert schema["additionalProperties"] is False
            assert schema["required"] == list(schema["properties"])
            return (
                isinstance(value, dict)
                and value.keys() == schema["properties"].keys()
                and all(fits(schema["properties"][key], item) for key, item in value.items())
            )
        case "array":
            return isinstance(value, list) and all(fits(schema["items"], item) for item in value)
        case "string":
            return isinstance(value, str)
        case other:
            raise AssertionError(other)


def wording(value: object) -> Iterator[str]:
    """Every key in a schema or definition that is a keyword, not a property."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from wording(list(inner.values()) if key == "properties" else inner)
    elif isinstance(value, list):
        for inner in value:
            yield from wording(inner)


# --- judging ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "value", "action"),
    [
        ("move", "sit", ("move", "sit")),
        ("MOVE", "Sit", ("move", "sit")),
        (" move ", "\n shake \t PAW ", ("move", "shake paw")),
        ("speak", "  Hello  there! ", ("speak", "Hello  there!")),
        ("speak", "x" * LONGEST_TEXT, ("speak", "x" * LONGEST_TEXT)),
    ],
)
def test_a_legal_action_is_spelled_as_configured(
    type_: str, value: str, action: tuple[str, str]
) -> None:
    """Letter case and white space are forgiven; what comes out is the configuration's spelling."""
    assert DOG.judge(type_, value) == Action(type=action[0], value=action[1])


@pytest.mark.parametrize(
    ("type_", "value", "reason"),
    [
        ("fly", "up", "the robot has no action 'fly', only move, speak, emotion"),
        ("", "sit", "no action ''"),
        ("mov", "sit", "no action 'mov'"),
        ("move", "sit down", "'sit down' is not a value of move; sit, shake paw are"),
        ("move", "sitt", "'sitt' is not a value"),
        ("move", "", "'' is not a value"),
        ("move", "happy", "'happy' is not a value"),
        ("move", 42, "the value of move must be text, not 42"),
        ("move", None, "must be text, not null"),
        ("speak", {"text": "é"}, 'must be text, not {"text": "é"}'),
        ("speak", ["a"], "must be text"),
        ("speak", " \n", "speak has no text"),
        ("speak", "x" * (LONGEST_TEXT + 1), f"{LONGEST_TEXT} are the most"),
    ],
)
def test_anything_else_is_refused_with_a_reason(type_: str, value: object, reason: str) -> None:
    """A value is never guessed: what is not legal is refused, and the reason says what is."""
    refusal = DOG.judge(type_, value)
    assert isinstance(refusal, Refusal)
    assert refusal.type == type_
    assert reason in refusal.reason


def test_a_refusal_is_short() -> None:
    """What a broken model wrote is quoted, not repeated at length."""
    refusal = DOG.judge("x" * 9999, ["y" * 9999])
    assert isinstance(refusal, Refusal)
    assert len(refusal.type + refusal.value + refusal.reason) < 400


names = st.sampled_from(["move", "speak", "emotion", "fly"]) | st.text(max_size=6)
said = st.sampled_from(["sit", "shake paw", "Sit ", "SHAKE  PAW", "happy", "sitting"]) | st.text()


@given(names, said | st.none() | st.integers() | st.lists(said, max_size=2))
def test_the_schema_accepts_what_the_judge_lets_through(type_: str, value: object) -> None:
    """What fits the schema is legal as it stands, and whatever is legal comes out fitting it."""
    answer = {"actions": [{"type": type_, "value": value}]}
    verdict = DOG.judge(type_, value)
    if isinstance(verdict, Action):
        assert fits(DOG.schema(), {"actions": [verdict.model_dump()]})
    elif type_ != "speak":
        assert not fits(DOG.schema(), answer)
    if fits(DOG.schema(), answer) and type_ != "speak":
        assert verdict == Action(type=type_, value=str(value))


# --- what models are told -----------------------------------------------------------------------


def test_the_description_has_one_line_an_action() -> None:
    """Name, purpose and legal values, in the order of the configuration."""
    assert DOG.describe().splitlines() == [
        "move: Move the body. Value: one of: sit, shake paw",
        "speak: Say a short sentence aloud. Value: a short text",
        "emotion: value: one of: happy",
    ]


@pytest.mark.parametrize("vocabulary", [DOG, ODD])
def test_schema_and_tools_are_strict(vocabulary: Vocabulary) -> None:
    """Every object is closed and complete, and no keyword is used that a strict server refuses."""
    allowed = {"type", "properties", "required", "additionalProperties", "items", "anyOf", "enum"}
    assert set(wording(vocabulary.schema())) <= allowed
    assert fits(vocabulary.schema(), {"actions": []})
    assert not fits(vocabulary.schema(), {})
    for spec, tool in zip(vocabulary.specs, vocabulary.tools(), strict=True):
        function = tool["function"]
        assert (tool["type"], function["name"], function["strict"]) == ("function", spec.type, True)
        assert function["description"]
        assert set(wording(function["parameters"])) <= allowed
        for value in spec.values or ("anything",):
            assert fits(function["parameters"], {"action": value})
        assert fits(function["parameters"], {"action": "other"}) == (spec.values is None)


LITERAL = r'"(?:[^"\\]|\\.)*"'
RULE = re.compile(rf"^(?P<name>[a-z0-9]+) ::= (?P<body>(?:{LITERAL}|\[\^[^\]]*\]|[^\"\[\n])+)$")


def rules_of(grammar: str) -> dict[str, str]:
    """The rules of a GBNF grammar: every line is one, every literal is closed."""
    rules: dict[str, str] = {}
    for line in grammar.removesuffix("\n").split("\n"):
        match = RULE.match(line)
        assert match is not None, line
        assert match["name"] not in rules
        rules[match["name"]] = match["body"]
    return rules


def literals_of(body: str) -> list[str]:
    """The texts of the literals in a rule; GBNF's escapes are read as JSON's."""
    return [json.loads(literal) for literal in re.findall(LITERAL, body)]


@pytest.mark.parametrize("vocabulary", [DOG, ODD])
def test_the_grammar_spells_every_value_as_json(vocabulary: Vocabulary) -> None:
    """Quotes, backslashes and other scripts come out as JSON that reads back as the value."""
    rules = rules_of(vocabulary.grammar())
    for index, spec in enumerate(vocabulary.specs):
        head, *values, tail = literals_of(rules[f"a{index}"])
        if spec.values is None:
            assert " text " in rules[f"a{index}"]
            written = [json.loads("".join([head, *values, "hello", tail]))]
        else:
            written = [json.loads(head + value + tail) for value in values]
            assert [item["value"] for item in written] == list(spec.values)
        for item in written:
            assert vocabulary.judge(item["type"], item["value"]) == Action(**item)


@pytest.mark.parametrize("vocabulary", [DOG, ODD])
def test_the_grammar_is_whole(vocabulary: Vocabulary) -> None:
    """Every rule that is named exists and every one that exists is used; the list is bounded."""
    rules = rules_of(vocabulary.grammar())
    used = {"root"}
    for body in rules.values():
        used |= set(re.findall(r"[a-z][a-z0-9]*", re.sub(rf"{LITERAL}|\[\^.*?\]", "", body)))
    assert used == rules.keys()
    assert rules["action"] == " | ".join(f"a{index}" for index in range(len(vocabulary.specs)))
    opening, comma, closing = literals_of(rules["root"])
    assert json.loads(opening + closing) == {"actions": []}
    assert comma == ","
    assert f"{{0,{MOST_ACTIONS - 1}}}" in rules["root"]


values = st.text(
    st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(' "\\|]'), min_size=1, max_size=8
).filter(lambda value: value == value.strip() and value.isprintable())


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        values, min_size=1, max_size=4, unique_by=lambda value: " ".join(value.casefold().split())
    )
)
def test_any_value_survives_schema_and_grammar(some: list[str]) -> None:
    """No printable value breaks the grammar, the schema or the judge's spelling."""
    vocabulary = Vocabulary([ActionSpec("act", tuple(some))])
    rules = rules_of(vocabulary.grammar())
    head, *literals, tail = literals_of(rules["a0"])
    assert [json.loads(head + one + tail)["value"] for one in literals] == some
    for value in some:
        assert vocabulary.judge("act", value) == Action(type="act", value=value)
        assert fits(vocabulary.schema(), {"actions": [{"type": "act", "value": value}]})


# --- where it comes from ------------------------------------------------------------------------


@pytest.mark.parametrize("name", INTERFACES)
def test_om1_s_interfaces_are_known(name: str) -> None:
    """Each interface of OM1 has its description and values, under the label the robot gives it."""
    (spec,) = Vocabulary.from_actions([AgentAction(name=name, llm_label="do")]).specs
    assert (spec.type, spec.description, spec.values) == ("do", *INTERFACES[name])
    assert spec.description.endswith(".")


@pytest.mark.parametrize(
    ("fields", "spec"),
    [
        (
            {"name": "move", "values": ("hop",)},
            ActionSpec("do", ("hop",), "Move the body."),
        ),
        (
            {"name": "move", "description": "Trot."},
            ActionSpec("do", INTERFACES["move"][1], "Trot."),
        ),
        ({"name": "blink", "values": ("once",)}, ActionSpec("do", ("once",))),
        ({"name": "sing", "description": "Sing."}, ActionSpec("do", None, "Sing.")),
    ],
)
def test_a_robot_may_have_its_own_values(fields: dict[str, Any], spec: ActionSpec) -> None:
    """What the configuration writes stands above what is built in."""
    assert Vocabulary.from_actions([AgentAction(llm_label="do", **fields)]).specs == (spec,)


def test_an_unknown_interface_is_refused() -> None:
    """Without values or description nobody knows what it may do; the error says what to add."""
    with pytest.raises(ConfigError, match=r"'mvoe'.*add \"values\".*did you mean 'move'\?"):
        Vocabulary.from_actions([AgentAction(name="mvoe", llm_label="move")])


def test_what_is_excluded_from_the_prompt_is_not_legal() -> None:
    """The model may not use what it is not told about."""
    actions = [
        AgentAction(name="speak", llm_label="speak"),
        AgentAction(name="unknown", llm_label="secret", exclude_from_prompt=True),
    ]
    vocabulary = Vocabulary.from_actions(actions)
    assert [spec.type for spec in vocabulary.specs] == ["speak"]
    with pytest.raises(ConfigError, match="at least one action"):
        Vocabulary.from_actions(actions[1:])


def test_a_vocabulary_is_read_from_a_robot_s_file(tmp_path: Path) -> None:
    """`Vocabulary.load` takes the file that the robot runs on."""
    path = tmp_path / "robot.json5"
    path.write_text(
        "{hertz: 1, name: 'x', cortex_llm: {type: 'MistralLLM'},"
        " agent_actions: [{name: 'face', llm_label: 'emotion'}]}"
    )
    vocabulary = Vocabulary.load(path)
    assert vocabulary.judge("emotion", "Joy") == Action(type="emotion", value="joy")
    assert repr(vocabulary) == "Vocabulary(emotion)"


@pytest.mark.parametrize(
    ("specs", "says"),
    [
        ([], "at least one action"),
        ([ActionSpec("a", None), ActionSpec("A", None)], "the same llm_label 'a'"),
        ([ActionSpec("", None)], "cannot name a tool"),
        ([ActionSpec("turn left", None)], "cannot name a tool"),
        ([ActionSpec("über", None)], "cannot name a tool"),
        ([ActionSpec("x" * 65, None)], "cannot name a tool"),
        ([ActionSpec("a\n", None)], "cannot name a tool"),
        ([ActionSpec("a", ())], "empty list of values"),
        ([ActionSpec("a", ("",))], "plain text on one line"),
        ([ActionSpec("a", (" x",))], "plain text on one line"),
        ([ActionSpec("a", ("x\ny",))], "plain text on one line"),
        ([ActionSpec("a", ("x\x00",))], "plain text on one line"),
        ([ActionSpec("a", ("\ud83d",))], "plain text on one line"),
        ([ActionSpec("a", ("x", "X"))], "the same value twice"),
        ([ActionSpec("a", ("x y", "x  y"))], "the same value twice"),
    ],
)
def test_what_no_model_could_be_told_is_refused(specs: list[ActionSpec], says: str) -> None:
    """Names that no tool may have and values that no line can hold are the caller's mistake."""
    with pytest.raises(ConfigError, match=says):
        Vocabulary(specs)


def test_equal_vocabularies_are_one() -> None:
    """A vocabulary is a value: equal by its actions and their order."""
    twin = Vocabulary(DOG.specs)
    assert twin == DOG
    assert len({twin, DOG, Vocabulary(reversed(DOG.specs))}) == 2
    assert DOG.specs != DOG


@pytest.mark.parametrize(
    "make", [Vocabulary, Vocabulary.from_actions, Vocabulary.from_tools], ids=lambda m: m.__name__
)
@pytest.mark.parametrize("given", [["move"], [None], 5, [("move", ("sit",))]], ids=str)
def test_what_is_no_action_is_told(make: Any, given: Any) -> None:
    """Anything else in the place of an action is refused with how a vocabulary is made."""
    with pytest.raises(ConfigError, match=r"must be of type .*; write Vocabulary.load\(file\)"):
        make(given)
