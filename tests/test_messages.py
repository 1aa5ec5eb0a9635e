"""Past turns of any kind are put in an order and form that the strictest server accepts."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.errors import ConfigError
from reflexarc.messages import argument_of, as_calls, as_text, merged, read_message
from reflexarc.prompt import Prompt, build_messages
from reflexarc.types import Message, ToolCall

# Mistral's open validator in mistral-common and its live errors, read 2026-11.
MAY_FOLLOW = {
    "system": {"user", "assistant", "system"},
    "user": {"assistant", "system", "user"},
    "assistant": {"assistant", "user", "tool"},
    "tool": {"assistant", "tool"},
}
NINE = re.compile(r"[a-zA-Z0-9]{9}")

SIT = ToolCall("move", '{"action":"sit"}', "call_1")
HI = ToolCall("speak", '{"sentence":"Hi"}', "call_2")
GO, STOP = Message("user", "Go!"), Message("user", "Stop!")


def called(*calls: ToolCall) -> Message:
    """An assistant's turn that calls."""
    return Message("assistant", "", calls)


def result(content: str, id_: str = "") -> Message:
    """A tool's turn."""
    return Message("tool", content, tool_call_id=id_)


def said(turns: Sequence[Message]) -> list[tuple[str, str]]:
    """Role and content of each turn; a call is shown by its name."""
    return [
        (turn.role, turn.content or " ".join(call.name for call in turn.tool_calls))
        for turn in turns
    ]


# --- what callers hand in -----------------------------------------------------------------------

FUNCTION = {"name": "move", "arguments": '{"action":"sit"}'}
PART = {"type": "text", "text": "a"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:"}}


@pytest.mark.parametrize(
    ("given_in", "read"),
    [
        (Message("user", "a"), Message("user", "a")),
        ({"role": "user", "content": "a", "name": "x"}, Message("user", "a")),
        ({"role": "developer", "content": "a"}, Message("system", "a")),
        ({"role": "assistant", "content": ""}, Message("assistant", "")),
        (
            {"role": "user", "content": [PART, {"type": "text", "text": "b"}]},
            Message("user", "ab"),
        ),
        ({"role": "user", "content": (PART,)}, Message("user", "a")),
        (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "x", "function": FUNCTION}],
            },
            Message("assistant", "", (ToolCall("move", '{"action":"sit"}', "x"),)),
        ),
        (
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "stop"}}]},
            Message("assistant", "", (ToolCall("stop", "{}"),)),
        ),
        (
            {
                "role": "assistant",
                "tool_calls": [{"id": None, "function": {"name": "a", "arguments": {"b": "é"}}}],
            },
            Message("assistant", "", (ToolCall("a", '{"b": "é"}'),)),
        ),
        (
            {"role": "assistant", "content": "a", "tool_calls": None},
            Message("assistant", "a"),
        ),
        (
            {"role": "tool", "tool_call_id": "x", "content": "done"},
            Message("tool", "done", tool_call_id="x"),
        ),
    ],
)  # fmt: skip
def test_a_turn_is_read_as_openai_writes_it(given_in: Any, read: Message) -> None:
    """Roles, text in parts, calls and their results are taken; other keys do not matter."""
    assert read_message(given_in) == read


@pytest.mark.parametrize(
    ("given_in", "says"),
    [
        ({}, "the role None; it needs one of system, developer, user, assistant, tool"),
        ({"content": "a"}, "the role None; "),
        ({"role": "robot", "content": "a"}, "the role 'robot'; "),
        ({"role": ["user"], "content": "a"}, r"the role \['user'\]; "),
        ({"role": "user"}, "of role 'user' must be text, not NoneType; put what was seen into"),
        ({"role": "assistant", "content": None}, "'assistant' must be text, not NoneType"),
        ({"role": "user", "content": 7}, "must be text, not int"),
        ({"role": "user", "content": []}, "must be text, not list"),
        ({"role": "user", "content": [PICTURE]}, "must be text, not image_url;"),
        (
            {"role": "user", "content": [PART, PICTURE, {"type": "audio"}]},
            "must be text, not audio, image_url;",
        ),
        ({"role": "user", "content": [PART, "b"]}, "not str;"),
        ({"role": "user", "content": [{"type": "text"}]}, "not text of NoneType;"),
        ({"role": "user", "content": [{"text": "a"}]}, "not None;"),
        (
            {"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]},
            "has no name; write function: {name, arguments}",
        ),
        ({"role": "assistant", "tool_calls": [{}]}, "has no name"),
    ],
)  # fmt: skip
def test_a_turn_that_cannot_be_sent_is_named(given_in: Any, says: str) -> None:
    """One sentence says what is wrong with it, and what to write instead; nothing of it is lost."""
    with pytest.raises(ConfigError, match=says):
        read_message(given_in)


# --- calls, for servers that take them ----------------------------------------------------------


TOO_MANY = [("done", "call_1"), ("again", "call_1"), ("?", "x")]


@pytest.mark.parametrize(
    ("history", "strict"),
    [
        pytest.param(
            [GO, called(SIT), result("done", "call_1"), STOP],
            [("user", "Go!"), ("assistant", "move"), ("tool", "done"), ("assistant", "Done."),
             ("user", "Stop!")],
            id="a user never speaks right after a tool",
        ),
        pytest.param(
            [GO, called(SIT), result("done", "call_1"), Message("assistant", "I sit.")],
            [("user", "Go!"), ("assistant", "move"), ("tool", "done"), ("assistant", "I sit.")],
            id="an assistant may",
        ),
        pytest.param(
            [GO, called(SIT), result("done", "call_1"), called(HI), result("said", "call_2")],
            [("user", "Go!"), ("assistant", "move"), ("tool", "done"), ("assistant", "speak"),
             ("tool", "said"), ("assistant", "Done.")],
            id="calls after calls",
        ),
        pytest.param(
            [GO, called(SIT, HI)],
            [("user", "Go!"), ("assistant", "move speak"), ("tool", "ok"), ("tool", "ok"),
             ("assistant", "Done.")],
            id="results that are missing",
        ),
        pytest.param(
            [GO, called(SIT, HI), result("said", "call_2"), result("", "call_1")],
            [("user", "Go!"), ("assistant", "move speak"), ("tool", "ok"), ("tool", "said"),
             ("assistant", "Done.")],
            id="results in another order, one of them empty",
        ),
        pytest.param(
            [GO, called(SIT), *(result(said, id_) for said, id_ in TOO_MANY)],
            [("user", "Go!"), ("assistant", "move"), ("tool", "done"), ("assistant", "Done."),
             ("user", "Result: again"), ("user", "Result: ?")],
            id="results too many",
        ),
        pytest.param(
            [called(ToolCall("a", "{}"), ToolCall("b", "{}")), result("1"), result("2")],
            [("assistant", "a b"), ("tool", "1"), ("tool", "2"), ("assistant", "Done.")],
            id="results without ids, in order",
        ),
        pytest.param(
            [GO, called(SIT), STOP, result("done", "call_1")],
            [("user", "Go!"), ("assistant", "move"), ("tool", "ok"), ("assistant", "Done."),
             ("user", "Stop!"), ("user", "Result of move: done")],
            id="a result that comes late",
        ),
        pytest.param([result("")], [("user", "Result: ok")], id="a result of nothing"),
        pytest.param(
            [Message("user", "Go!", (SIT,)), result("done", "call_1")],
            [("assistant", "move"), ("tool", "done"), ("assistant", "Done.")],
            id="only an assistant calls",
        ),
        pytest.param(
            [Message("assistant", "I sit now.", (SIT,))],
            [("assistant", "move"), ("tool", "ok"), ("assistant", "Done.")],
            id="who calls says nothing else",
        ),
        pytest.param([], [], id="nothing"),
    ],
)  # fmt: skip
def test_each_call_has_its_result(history: list[Message], strict: list[tuple[str, str]]) -> None:
    """One result behind each call, by its id; what belongs to none becomes the user's words."""
    assert said(as_calls(history)) == strict


def ids_in(turns: Sequence[Message]) -> list[str]:
    """The ids of all calls, in order."""
    return [call.id for turn in turns for call in turn.tool_calls]


@pytest.mark.parametrize(
    "id_",
    ["", "call_1", "x" * 32, "chatcmpl-tool-0a1b2c", "functions.move:0", "a b", "ü23456789",
     "12345678\n"],
)  # fmt: skip
def test_an_id_of_another_server_becomes_nine_characters(id_: str) -> None:
    """Mistral accepts exactly nine letters and digits; the result is remapped with its call."""
    turns = as_calls([GO, called(ToolCall("move", "{}", id_)), result("done", id_)])
    (nine,) = ids_in(turns)
    assert NINE.fullmatch(nine)
    assert turns[2] == result("done", nine)


def test_an_id_that_is_accepted_stays() -> None:
    """Mistral's own ids go back to it as they came."""
    assert ids_in(as_calls([called(ToolCall("move", "{}", "a1B2c3D4e"))])) == ["a1B2c3D4e"]


def test_ids_differ_where_a_server_gave_the_same_twice() -> None:
    """Every call of a conversation has an id of its own, also beside one that is kept."""
    same = called(SIT, SIT)
    turns = as_calls([same, same])
    ids = ids_in(turns)
    assert len(set(ids)) == len(ids) == 4
    kept = as_calls([called(ToolCall("move", "{}", ids[0])), same])
    assert len(set(ids_in(kept))) == 3


def test_ids_are_the_same_in_every_request() -> None:
    """A history that grows keeps its beginning, so that the server's prefix cache holds."""
    history = [GO, called(SIT, ToolCall("stop", "{}")), result("done", "call_1"), GO, called(HI)]
    whole = ids_in(as_calls(history))
    for end in range(len(history)):
        before = ids_in(as_calls(history[:end]))
        assert before == whole[: len(before)]


# --- the same in words --------------------------------------------------------------------------

MOVED = '{"type":"move","value":"sit"}'


@pytest.mark.parametrize(
    ("history", "plain"),
    [
        pytest.param(
            [GO, called(SIT, HI), result("done", "call_1"), result("", "call_2"), STOP],
            [
                ("user", "Go!"),
                ("assistant", f'{{"actions":[{MOVED},{{"type":"speak","value":"Hi"}}]}}'),
                ("user", "Result of move: done"),
                ("user", "Result of speak: ok"),
                ("user", "Stop!"),
            ],
            id="calls as the JSON that is asked for",
        ),
        pytest.param(
            [called(ToolCall("a", "{}"), ToolCall("b", '"x"')), result("1")],
            [
                ("assistant", '{"actions":[{"type":"a","value":""},{"type":"b","value":"x"}]}'),
                ("user", "Result of a: 1"),
            ],
            id="results that are missing are not made up",
        ),
        pytest.param(
            [called(SIT), GO, result("done", "call_1"), result("?", "x")],
            [
                ("assistant", f'{{"actions":[{MOVED}]}}'),
                ("user", "Go!"),
                ("user", "Result of move: done"),
                ("user", "Result: ?"),
            ],
            id="results that come late, or belong to nothing",
        ),
        pytest.param(
            [Message("system", "Be brief."), GO, Message("assistant", "No.")],
            [("system", "Be brief."), ("user", "Go!"), ("assistant", "No.")],
            id="other turns as they are",
        ),
    ],
)  # fmt: skip
def test_calls_are_told_in_words(history: list[Message], plain: list[tuple[str, str]]) -> None:
    """Where no tools are sent, a call is the answer it stands for, its result the user's words."""
    assert said(as_text(history)) == plain


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ('{"action":"sit"}', "sit"),
        ('{"action":"sit","speed":2}', "sit"),
        ('{"a":"x","b":1}', '{"a": "x", "b": 1}'),
        ('{"n":3}', 3),
        ("{}", ""),
        ('"sit"', "sit"),
        ("sit", "sit"),
        ("[1]", "[1]"),
        ("null", "null"),
        ("", ""),
        ('{"a":1,"a":2}', '{"a":1,"a":2}'),
        ("[" * 99_999, "[" * 99_999),
    ],
)
def test_the_value_of_a_past_call_is_that_of_its_action(arguments: str, value: object) -> None:
    """Arguments are read as those of an answer are, and kept as text where they are no JSON."""
    (turn,) = as_text([called(ToolCall("move", arguments))])
    assert json.loads(turn.content) == {"actions": [{"type": "move", "value": value}]}


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ({"action": "sit", "speed": 2}, "sit"),
        ({"sentence": ["a"]}, ["a"]),
        ({"a": "é", "b": 1}, '{"a": "é", "b": 1}'),
        ({}, ""),
    ],
)
def test_arguments_stand_for_one_value(arguments: dict[str, Any], value: object) -> None:
    """`action`, else the only one, else all of them as JSON."""
    assert argument_of(arguments) == value


def test_neighbours_are_merged_but_for_calls_and_results() -> None:
    """Texts of one role become one turn; what must be told apart by ids stays apart."""
    turns = [GO, STOP, Message("assistant", "a"), called(SIT), Message("assistant", "b"),
             Message("assistant", "c"), result("1", "x"), result("2", "y")]  # fmt: skip
    assert said(merged(turns)) == [
        ("user", "Go!\nStop!"),
        ("assistant", "a"),
        ("assistant", "move"),
        ("assistant", "b\nc"),
        ("tool", "1"),
        ("tool", "2"),
    ]


# --- whatever history ---------------------------------------------------------------------------

names = st.sampled_from(["move", "speak"])
ids = st.sampled_from(["", "call_1", "call_2", "a1B2c3D4e", "x" * 32])
texts = st.text(max_size=4)
calls = st.builds(ToolCall, names, st.sampled_from(["", "{}", '{"a":"b"}', "["]), ids)
histories = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), texts)
    | st.builds(Message, st.just("assistant"), texts, st.lists(calls, max_size=2).map(tuple))
    | st.builds(Message, st.just("tool"), texts, tool_call_id=ids),
    max_size=8,
)


def broken_rules(turns: Sequence[Message]) -> list[str]:
    """What Mistral would refuse in these turns, in its words."""
    broken = [
        f"Unexpected role '{after.role}' after role '{before.role}'"
        for before, after in pairwise(turns)
        if after.role not in MAY_FOLLOW[before.role]
    ]
    if turns[0].role not in {"system", "user"} or turns[-1].role not in {"user", "tool"}:
        broken.append("Expected last role User or Tool")
    owed: list[str] = []
    for turn in turns:
        if turn.role == "tool":
            if turn.tool_call_id not in owed or not turn.content:
                broken.append("Not the same number of function calls and responses")
            owed = [id_ for id_ in owed if id_ != turn.tool_call_id]
            continue
        if owed:
            broken.append("Not the same number of function calls and responses")
        owed = ids_in([turn])
        if turn.role == "assistant" and bool(turn.content) == bool(turn.tool_calls):
            broken.append("Assistant message must have either content or tool_calls")
    broken += [f"Tool call id was {id_}" for id_ in ids_in(turns) if not NINE.fullmatch(id_)]
    return broken + ["ids are not unique"] * (len(set(ids_in(turns))) < len(ids_in(turns)))


@given(histories, texts)
def test_any_history_obeys_mistrals_rules(history: list[Message], system: str) -> None:
    """Roles in Mistral's order, nine-character ids, one result a call, nothing empty."""
    for situation in ("now", ""):
        turns = build_messages(Prompt(system, tuple(history), situation), form="tools")
        assert broken_rules(turns) == []


@given(histories)
def test_any_history_can_be_told_in_words(history: list[Message]) -> None:
    """Without tools there are no calls, no results, and roles that alternate, the user's last."""
    assert {turn.role for turn in as_text(history)} <= {"system", "user", "assistant"}
    turns = build_messages(Prompt("", tuple(history), "now"), form="json")
    assert not ids_in(turns)
    spoken = [turn.role for turn in turns if turn.role != "system"]
    assert spoken == (["user", "assistant"] * len(spoken))[: len(spoken)]
    assert broken_rules(turns) == []


@given(histories)
def test_nothing_that_was_said_is_lost(history: list[Message]) -> None:
    """Every word of users and tools reaches the model as often as it was said, in both forms."""
    marked = [replace(turn, content=f"<{at}>") for at, turn in enumerate(history)]
    heard = [turn.content for turn in marked if turn.role in {"user", "tool"}]
    for form in ("tools", "json"):
        turns = build_messages(Prompt("", tuple(marked), "now"), form=form)
        told = "\n".join(turn.content for turn in turns)
        assert [told.count(text) for text in heard] == [1] * len(heard)
