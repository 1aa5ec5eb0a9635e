"""The line form: what is written is read back, and llama.cpp keeps to the grammar."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.interfaces import INTERFACES
from reflexarc.lines import LONGEST_LINE, LineActions, LineForm
from reflexarc.onboard.engine import Engine
from reflexarc.onboard.models import DEFAULT, ModelStore, default_root
from reflexarc.prompt import Prompt
from reflexarc.providers.onboard import line_messages
from reflexarc.specs import ActionSpec
from reflexarc.types import Action, TextDelta
from reflexarc.vocabulary import Refusal, Vocabulary

SPECS = [ActionSpec(name, values) for name, (_, values) in INTERFACES.items()]
SPOT = [spec for spec in SPECS if spec.type in ("move", "speak", "emotion")]
ODD = {
    "quotes": ActionSpec("say", ('he said "go"', "it's", '"', "''")),
    "backslashes": ActionSpec("path", ("a\\b", "\\", "\\n", "C:\\")),
    "unicode": ActionSpec("geste", ("s'asseoir à gauche", "お座り", "坐下 犬", "🐕 wag", "Ünder")),
    "grammar": ActionSpec("go-to_2", ("[a-z]", "root ::= x", "a | b", "( c )", "{0,9}", "#4", "?")),
    "prefixes": ActionSpec("move", ("walk", "walk back", "walk back fast", "walkie", "back")),
    "long": ActionSpec("x", tuple(f"value number {index}" for index in range(40))),
}


def form(*specs: ActionSpec) -> LineForm:
    """Make the line form of some actions."""
    return LineForm(Vocabulary(specs))


def words(*values: str) -> list[str]:
    """How values are spelled in their lines."""
    lines = form(ActionSpec("do", values))
    return [lines.write([Action(type="do", value=value)])[3:-1] for value in values]


def read(lines: LineForm, text: str) -> list[Action | Refusal]:
    """Decode an answer in the line form."""
    decoder = LineActions(lines.judge)
    return [*decoder.feed(TextDelta(text)), *decoder.close("finished")]


@pytest.mark.parametrize("spec", [*SPECS, *ODD.values()], ids=[*INTERFACES, *ODD])
def test_what_is_written_is_read_back(spec: ActionSpec) -> None:
    """Every value of every interface comes back from its line as it was."""
    lines = form(spec)
    for value in spec.values or ("Hello, it is me.", "2 + 2 = 4", "move sit", "«Ça va ?» 🐕"):
        action = Action(type=spec.type, value=value)
        assert read(lines, lines.write([action])) == [action]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["walk", "walk back"], ["walk", "back walk"]),
        (["walk back", "walk"], ["back walk", "walk"]),
        (["walk", "walk back", "walk back fast"], ["walk", "back walk", "fast walk back"]),
        (["walk", "walk back", "back walk"], ["walk", "walk back", "back walk"]),
        (["walk", "walk back", "Back  Walk"], ["walk", "walk back", "Back  Walk"]),
        (["a", "a a"], ["a", "a a"]),
        (["left", "left turn", "turn"], ["left", "left turn", "turn"]),
        (["a", "a b", "a b a"], ["a", "b a", "b a a"]),
        (["walk", "walks", "walkie talkie"], ["walk", "walks", "walkie talkie"]),
        (["move", "move back"], ["move", "back move"]),
    ],
    ids=" / ".join,
)
def test_a_value_that_begins_with_another_is_turned_round(
    values: list[str], expected: list[str]
) -> None:
    """The rest comes first, unless another value is spelled that way."""
    assert words(*values) == expected


WORDS = st.lists(st.sampled_from(["walk", "back", "fast", "Back"]), min_size=1, max_size=4)


@given(st.lists(WORDS.map(" ".join), min_size=1, max_size=9, unique_by=str.casefold))
def test_no_two_values_are_spelled_alike(values: list[str]) -> None:
    """However values overlap, each is spelled in its own way, letter case aside, and read back."""
    lines = form(ActionSpec("do", tuple(values)))
    spelled = words(*values)
    assert len({word.casefold() for word in spelled}) == len(values)
    for value, word in zip(values, spelled, strict=True):
        assert lines.judge("do", word) == Action(type="do", value=value)
        assert lines.judge("DO", f" {word.upper()} ") == Action(type="do", value=value)


def test_both_spellings_are_understood() -> None:
    """A model that writes a value as in the configuration is understood, too."""
    lines = form(ActionSpec("move", ("walk", "walk back")))
    for spelled in ("back walk", "walk back"):
        assert lines.judge("move", spelled) == Action(type="move", value="walk back")


@pytest.mark.parametrize(
    ("type_", "value", "reason"),
    [
        ("fly", "high", "the robot has no action 'fly'"),
        ("move", "backwards", "'backwards' is not a value of move"),
        ("move", ["sit"], "must be text"),
    ],
)
def test_what_is_not_legal_is_refused(type_: str, value: object, reason: str) -> None:
    """Judging is the vocabulary's; the line form adds spellings and nothing else."""
    verdict = form(*SPOT).judge(type_, value)
    assert isinstance(verdict, Refusal)
    assert reason in verdict.reason


def test_an_action_stays_on_its_line() -> None:
    """Line breaks in what the robot said are spaces in its line, so it cannot pass for two acts."""
    said = Action(type="speak", value="Hello.\nmove jump\r\n\tBye.")
    assert form(*SPOT).write([said]) == "speak Hello. move jump Bye.\n"


def test_actions_of_others_are_written_as_they_are() -> None:
    """History may hold actions that the robot no longer has."""
    assert form(*SPOT).write([Action(type="fly", value="high")]) == "fly high\n"


def test_the_description_spells_values_as_in_their_lines() -> None:
    """A model is told the spelling it has to write."""
    lines = form(ActionSpec("move", ("walk", "walk back")), ActionSpec("speak", None))
    assert lines.describe() == "move: walk, back walk\nspeak: a short sentence"


def test_the_grammar_holds_each_action_once() -> None:
    """Actions come in the order of the configuration, each on a line, free text bounded."""
    lines = form(ActionSpec("move", ("walk", "walk back")), ActionSpec("speak", None))
    assert lines.grammar().splitlines() == [
        "root ::= a0? a1?",
        'a0 ::= "move " ( "walk" | "back walk" ) "\\n"',
        f'a1 ::= "speak " [^\\x00-\\x20] [^\\x00-\\x1f]{{0,{LONGEST_LINE - 1}}} "\\n"',
    ]


def test_the_grammar_escapes_what_it_must() -> None:
    """Quotes and backslashes of a value are literal in the grammar."""
    lines = form(ActionSpec("do", ('"', "\\", "é")))
    assert 'a0 ::= "do " ( "\\"" | "\\\\" | "é" ) "\\n"' in lines.grammar()


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[Engine]:
    """The real llama.cpp, once for all tests here."""
    path = ModelStore(default_root(os.environ)).path(DEFAULT)
    async with Engine(path, alias="smollm2", context_tokens=4096) as running:
        await running.ready()
        yield running


async def write(engine: Engine, lines: LineForm, prompt: Prompt) -> str:
    """Have the model write in the line form; whole lines of it."""
    endpoint = await engine.ready()
    messages = line_messages(prompt, lines)
    request: dict[str, Any] = {
        "messages": [asdict(message) for message in messages],
        "grammar": lines.grammar(),
        "temperature": 1.0,
        "seed": 7,
        "max_tokens": 40,
    }
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
        http.post(
            f"{endpoint.base_url}/chat/completions",
            json=request,
            headers={"Authorization": f"Bearer {endpoint.api_key}"},
        ) as reply,
    ):
        answer = await reply.json()
    assert reply.status == 200, answer
    [choice] = answer["choices"]
    text = choice["message"]["content"].removeprefix(messages[-1].content)
    return text if choice["finish_reason"] == "stop" else text[: text.rfind("\n") + 1]


@pytest.mark.parametrize(
    "specs",
    [SPECS, SPOT, *([spec] for spec in ODD.values())],
    ids=["all of OM1", "spot", *ODD],
)
async def test_llama_cpp_keeps_to_the_grammar(engine: Engine, specs: list[ActionSpec]) -> None:
    """The real server takes the grammar of any vocabulary, and whatever it writes is legal."""
    lines = form(*specs)
    prompt = Prompt(situation="Write a poem with a title in bold.")
    text = await write(engine, lines, prompt)
    assert text == lines.write(each for each in read(lines, text) if isinstance(each, Action))
    assert text
