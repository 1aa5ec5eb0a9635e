"""A model is told what the robot is and can do first, and what it senses last."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.config import RobotConfig, Sensed
from reflexarc.errors import ConfigError
from reflexarc.prompt import (
    AnswerForm,
    Prompt,
    build_messages,
    instructions,
    read_prompt,
    written,
)
from reflexarc.specs import ActionSpec
from reflexarc.testing import ScriptedLLM
from reflexarc.types import Action, CortexOutputModel, Message, ToolCall
from reflexarc.vocabulary import Vocabulary

SIT = Action(type="move", value="sit")
DOG = Vocabulary([ActionSpec("move", ("sit",), "Move."), ActionSpec("speak", None, "Say it.")])


def robot(**fields: Any) -> RobotConfig:
    """A robot with some texts."""
    needed = {
        "name": "spot",
        "hertz": 1,
        "cortex_llm": {"type": "MistralLLM"},
        "agent_actions": [{"name": "move", "llm_label": "move"}],
    }
    return RobotConfig.model_validate(needed | fields)


@pytest.mark.parametrize(
    ("fields", "system"),
    [
        ({}, ""),
        ({"system_prompt_base": " You are a dog.\n"}, "You are a dog."),
        (
            {
                "system_prompt_base": "You are a dog.",
                "system_governance": "\nDo not bite.",
                "system_prompt_examples": "Told to sit, sit.",
            },
            "You are a dog.\n\nLAWS:\nDo not bite.\n\nEXAMPLES:\nTold to sit, sit.",
        ),
        (
            {"system_governance": "Do not bite.", "system_prompt_examples": " "},
            "LAWS:\nDo not bite.",
        ),
    ],
)
def test_a_robot_s_texts_are_its_system_prompt(fields: dict[str, str], system: str) -> None:
    """Persona, laws and examples in this order; what is empty has no heading."""
    assert Prompt.for_robot(robot(**fields)).system == system


def test_examples_as_data_are_shown_as_answers() -> None:
    """An example is shown as the very JSON that the model is to write."""
    examples = [{"sensed": "Sit!", "actions": [SIT.model_dump()]}, {"sensed": "", "actions": []}]
    prompt = Prompt.for_robot(robot(examples=examples)).at("now")
    system = build_messages(prompt)[0].content
    assert system == (
        'EXAMPLES:\nInput: Sit!\nAnswer: {"actions":[{"type":"move","value":"sit"}]}\n\n'
        'Input: \nAnswer: {"actions":[]}'
    )


def test_the_beginning_is_the_same_at_every_tick() -> None:
    """What a server may keep in its cache does not change with what is sensed."""
    stable = Prompt("You are a dog.", examples=(Sensed(sensed="Sit!", actions=(SIT,)),))
    closing = instructions(DOG, "json")
    first, second = (build_messages(stable.at(text), closing) for text in ("It rains.", "Sun."))
    assert first[:-1] == second[:-1]
    assert (first[-1], second[-1]) == (Message("user", "It rains."), Message("user", "Sun."))
    assert [message.role for message in first] == ["system", "user"]
    assert first[0].content.endswith(closing)


def test_a_tick_leaves_the_prompt_as_it_was() -> None:
    """`at` makes a new prompt."""
    stable = Prompt("You are a dog.")
    assert stable.at("now", [Message("user", "then")]).history == (Message("user", "then"),)
    assert stable == Prompt("You are a dog.")


@pytest.mark.parametrize(
    ("history", "turns"),
    [
        ([], [("user", "now")]),
        ([("user", "a"), ("assistant", "b")], [("user", "a"), ("assistant", "b"), ("user", "now")]),
        ([("user", "a")], [("user", "a\nnow")]),
        (
            [("user", "a"), ("assistant", "b"), ("assistant", "c")],
            [("user", "a"), ("assistant", "b\nc"), ("user", "now")],
        ),
    ],
)
def test_neighbours_of_one_role_are_one_turn(
    history: list[Any], turns: list[tuple[str, str]]
) -> None:
    """Roles alternate, and the user has the last word."""
    messages = build_messages(
        Prompt(history=tuple(Message(*turn) for turn in history)).at(
            "now", [Message(*turn) for turn in history]
        )
    )
    assert messages == tuple(Message(*turn) for turn in turns)  # type: ignore[arg-type]


def test_what_comes_before_any_user_joins_the_system_message() -> None:
    """OM1's summary, an assistant's first turn, and system messages anywhere become part of it."""
    history = (
        Message("assistant", "So far: a walk."),
        Message("user", "a"),
        Message("system", "Be brief. "),
        Message("assistant", "b"),
    )
    assert build_messages(Prompt("You are a dog.", history, "now"), "Answer.") == (
        Message("system", "You are a dog.\n\nAnswer.\n\nSo far: a walk.\n\nBe brief."),
        Message("user", "a"),
        Message("assistant", "b"),
        Message("user", "now"),
    )


CALLED = Message("assistant", "", (ToolCall("move", '{"action":"sit"}', "call_1"),))
DONE = Message("tool", "done", tool_call_id="call_1")
MOVED = '{"actions":[{"type":"move","value":"sit"}]}'


def test_past_calls_are_shown_in_the_form_that_is_asked_for() -> None:
    """Where tools are sent past calls stay calls; elsewhere they are the JSON that is asked for."""
    prompt = Prompt("You are a dog.", (Message("user", "Sit!"), CALLED, DONE), "now")
    _, _, call, result, *others = build_messages(prompt, form="tools")
    assert (call.role, [one.name for one in call.tool_calls]) == ("assistant", ["move"])
    assert (result.role, result.content, result.tool_call_id) == (
        "tool",
        "done",
        call.tool_calls[0].id,
    )
    assert others == [Message("assistant", "Done."), Message("user", "now")]
    assert build_messages(prompt)[1:] == (
        Message("user", "Sit!"),
        Message("assistant", MOVED),
        Message("user", "Result of move: done\nnow"),
    )


@pytest.mark.parametrize("form", ["json", "tools"])
def test_calls_before_any_user_are_told_in_words(form: AnswerForm) -> None:
    """No server takes a tool's result without the call that it is of, and no call before a user."""
    assert build_messages(Prompt("", (CALLED, DONE), "now"), form=form) == (
        Message("system", MOVED),
        Message("user", "Result of move: done\nnow"),
    )


def test_an_assistant_s_empty_turn_is_left_out() -> None:
    """Mistral refuses it; what is around it stays in order."""
    history = (Message("user", "a"), Message("assistant", " "), Message("user", "b"))
    assert build_messages(Prompt("", history, "now")) == (Message("user", "a\nb\nnow"),)


roles = st.sampled_from(["system", "user", "assistant"])


@given(st.lists(st.builds(Message, roles, st.text(max_size=5))), st.text(max_size=5), st.text())
def test_any_history_is_in_the_order_of_the_strictest_server(
    history: list[Message], situation: str, system: str
) -> None:
    """At most one system message, first; then user and assistant in turn, the last a user's."""
    messages = build_messages(Prompt(system, tuple(history), situation))
    told = [message.role for message in messages]
    turns = told[1:] if told[0] == "system" else told
    assert turns[0] == turns[-1] == "user"
    assert all(a != b for a, b in pairwise(turns))
    assert set(turns) <= {"user", "assistant"}
    assert messages[-1].content.endswith(situation)
    said = "\n".join(message.content for message in messages)
    assert all(message.content.strip() in said for message in history)


def test_a_text_is_what_is_sensed() -> None:
    """`ask` takes a plain text, a whole prompt, and past turns in two spellings."""
    prompt = Prompt("You are a dog.", (Message("user", "b"),), "now")
    assert read_prompt("now", None) == Prompt(situation="now")
    assert read_prompt(prompt, []) is prompt
    past = [{"role": "user", "content": "a", "name": "x"}, Message("assistant", "c")]
    assert read_prompt(prompt, past).history == (
        Message("user", "a"),
        Message("assistant", "c"),
        Message("user", "b"),
    )


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"role": "robot", "content": "a"}, "'robot'; it needs one of system, "),
        ({"role": "user"}, "must be text, not NoneType"),
    ],
)
def test_a_past_turn_that_cannot_be_sent_is_refused(message: dict[str, Any], says: str) -> None:
    """Past turns are read as `read_message` reads them, mistakes included."""
    with pytest.raises(ConfigError, match=says):
        read_prompt("now", [message])


def test_the_model_is_told_every_action_and_the_form_of_its_answer() -> None:
    """JSON or tools, both with the vocabulary."""
    as_json, as_tools = (instructions(DOG, form) for form in ("json", "tools"))
    for text in (as_json, as_tools):
        assert text.startswith(f"AVAILABLE ACTIONS:\n{DOG.describe()}\n\n")
    assert "JSON" in as_json
    assert "JSON" not in as_tools
    assert "calling the tools" in as_tools


@pytest.mark.parametrize(
    "spec",
    [
        ActionSpec("move", ("sit", "run")),
        ActionSpec("speak", None),
        ActionSpec("say", ('a "quoted" \\ %s {word}', "b")),
    ],
)
def test_the_answer_shown_is_one_the_robot_would_take(spec: ActionSpec) -> None:
    """The example in the instructions is JSON, and legal in this vocabulary."""
    vocabulary = Vocabulary([spec])
    shown = instructions(vocabulary, "json").split("for example ")[1]
    answer, _ = json.JSONDecoder().raw_decode(shown)
    (action,) = CortexOutputModel.model_validate(answer).actions
    assert vocabulary.judge(action.type, action.value) == action
    assert 'answer {"actions":[]}' in shown


def test_actions_are_written_compactly() -> None:
    """As few tokens as JSON allows, and other scripts as they are."""
    assert written([Action(type="speak", value='é "x"')]) == (
        '{"actions":[{"type":"speak","value":"é \\"x\\""}]}'
    )
    assert written([]) == '{"actions":[]}'


@pytest.mark.parametrize(
    ("prompt", "messages", "words"),
    [
        (None, None, r"a text or a Prompt, not of type NoneType; write .* ask\(text, messages\)"),
        ([{"role": "user", "content": "sit"}], None, "not of type list"),
        (Prompt, None, "not Prompt; write"),
        ("sit!", ["a"], 'mapping, not of type str; write \\[{"role"'),
        ("sit!", {"role": "user", "content": "a"}, "mapping, not of type str"),
        ("sit!", 5, "sequence, not of type int"),
    ],
)
async def test_what_is_no_prompt_is_told(prompt: Any, messages: Any, words: str) -> None:
    """Whatever is handed to a question in the place of a prompt is refused with what to write."""
    for asking in (ScriptedLLM[Any]().ask, ScriptedLLM[Any]().write):
        with pytest.raises(ConfigError, match=words):
            await asking(prompt, messages)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"situation": None}, "must be text, not of type NoneType"),
        ({"system": 5}, "must be text, not of type int"),
        ({"history": [{"role": "user"}]}, r"Message, not of type dict; write .* messages\)"),
        ({"actions": ("move",)}, "a Vocabulary, not of type tuple; write Vocabulary.load"),
    ],
)
def test_a_prompt_is_made_of_the_right_things(given: dict[str, Any], words: str) -> None:
    """A slip in a prompt is told where it is made."""
    with pytest.raises(ConfigError, match=words):
        Prompt(**given)
