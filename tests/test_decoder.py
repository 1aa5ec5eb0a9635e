"""Each action comes out once, when it is complete and legal, however the answer is cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from reflexarc.actions import JsonActions
from reflexarc.decoder import Decoder, Ending, judge_any
from reflexarc.errors import BadOutputError, LLMError, TruncatedError
from reflexarc.lines import LineActions
from reflexarc.schema import WholeAnswer
from reflexarc.specs import ActionSpec
from reflexarc.types import Action, CortexOutputModel, TextDelta, ToolCallDelta
from reflexarc.vocabulary import Refusal, Vocabulary

ROBOT = Vocabulary(
    [
        ActionSpec("move", ("sit", "walk back", "wag tail")),
        ActionSpec("emotion", ("happy", "sad")),
        ActionSpec("speak", None),
    ]
)

HAPPY = Action(type="emotion", value="happy")
HELLO = Action(type="speak", value="Hello, I am Spot!")
SIT = Action(type="move", value="sit")
GREETING = [HAPPY, HELLO, SIT]

ANSWER = (
    '{"actions":[{"type":"emotion","value":"happy"},'
    '{"type":"speak","value":"Hello, I am Spot!"},{"type":"move","value":"sit"}]}'
)
SIT_TEXT = '{"actions":[{"type":"move","value":"sit"}]}'
CALL_TEXT = '{"name":"move","arguments":{"action":"sit"}}'
LINES = "emotion happy\nspeak Hello, I am Spot!\nmove sit\n"


class Outcome(NamedTuple):
    """What a decoder made of an answer."""

    verdicts: list[Action | Refusal]
    error: tuple[type[LLMError], str] | None

    @property
    def actions(self) -> list[Action]:
        return [verdict for verdict in self.verdicts if isinstance(verdict, Action)]


def decode(
    decoder: Decoder, pieces: Iterable[str | ToolCallDelta], ending: Ending = "finished"
) -> Outcome:
    """Feed the pieces and close: any error but those the decoder promises fails the test."""
    verdicts: list[Action | Refusal] = []
    for piece in pieces:
        verdicts += decoder.feed(TextDelta(piece) if isinstance(piece, str) else piece)
    try:
        verdicts += decoder.close(ending)
    except BadOutputError as error:
        return Outcome(verdicts, (type(error), error.message))
    return Outcome(verdicts, None)


def json_actions() -> JsonActions:
    """A decoder of JSON that knows the robot's vocabulary."""
    return JsonActions(ROBOT.judge, ROBOT.specs)


def line_actions() -> LineActions:
    """A decoder of lines that knows the robot's vocabulary."""
    return LineActions(ROBOT.judge)


def cut(text: str, positions: Iterable[int]) -> list[str]:
    """Cut a text at the positions."""
    edges = [0, *sorted(positions), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


# What the models of reference answered, or what the catalogue of faults says they answer; each with
# the actions that come of it and the error it ends with.
JSON_SAMPLES: dict[str, tuple[str, list[Action], type[LLMError] | None]] = {
    "plain": (ANSWER, GREETING, None),
    "pretty": (json.dumps(json.loads(ANSWER), indent=2), GREETING, None),
    "bare-list": (
        ANSWER.removeprefix('{"actions":').removesuffix("}"),
        GREETING,
        None,
    ),
    "fences": (f"```json\n{ANSWER}\n```", GREETING, None),
    "prose": (f"Sure! Here {{it}} is [1]:\n{ANSWER}\nLet me know.", GREETING, None),
    "thought": (f"<think>\nGreet {SIT_TEXT} {{not json}}.\n</think>\n{ANSWER}", GREETING, None),
    "two-objects": (f"{ANSWER}\n{ANSWER}", GREETING, None),
    "empty-then-full": (f'{{"actions":[]}} or rather {SIT_TEXT}', [SIT], None),
    "refused-then-legal": (f"{SIT_TEXT.replace('sit', 'fly')} no: {SIT_TEXT}", [SIT], None),
    "nothing-to-do": ('{"actions":[]}', [], None),
    "nothing-to-do-bare": ("[]", [], None),
    "single-action": ('{"type":"move","value":"sit"}', [SIT], None),
    "two-single-actions": (
        '{"type":"move","value":"sit"}\n{"type":"emotion","value":"happy"}',
        [SIT],
        None,
    ),
    "raw-newline": (
        '{"actions":[{"type":"speak","value":"line one\nline two"}]}',
        [Action(type="speak", value="line one\nline two")],
        None,
    ),
    "escapes": (
        r'{"actions":[{"type":"speak","value":"\"\\\/\n\u00e9\ud83d\ude00 } ] {"}]}',
        [Action(type="speak", value='"\\/\né😀 } ] {')],
        None,
    ),
    "trailing-comma": ('{"actions":[{"type":"move","value":"sit"},]}', [SIT], None),
    "keys-around": (
        (
            '{"thought":"actions: [{","n":{"a":[1,{}]},"actions":['
            '{"why":{"deep":[{}]},"value":"sit","type":"move"}],"after":[{"type":"move"}]}'
        ),
        [SIT],
        None,
    ),
    "tool-call-as-text": (
        '<tool_call>\n{"name": "speak", "arguments": {"sentence": "Hi"}}\n</tool_call>',
        [Action(type="speak", value="Hi")],
        None,
    ),
    "tool-call-as-llama-writes-it": (
        '{"name": "speak", "parameters": {"sentence": "Hi"}}',
        [Action(type="speak", value="Hi")],
        None,
    ),
    "tool-calls-as-mistral-writes-them": (
        (
            '[TOOL_CALLS] [{"name": "speak", "arguments": {"a": "Hi"}}, '
            '{"name": "move", "arguments": {"action": "sit"}}]'
        ),
        [Action(type="speak", value="Hi"), SIT],
        None,
    ),
    "two-tool-calls-as-text": (
        (
            '<tool_call>{"name": "move", "arguments": {"action": "sit"}}</tool_call>\nand\n'
            '<tool_call>{"name": "speak", "arguments": {"sentence": "Hi"}}</tool_call>'
        ),
        [SIT, Action(type="speak", value="Hi")],
        None,
    ),
    "tool-calls-as-mistral-writes-them-by-name": (
        (
            '[TOOL_CALLS]move[ARGS]{"action": "sit"}[TOOL_CALLS]speak[ARGS]{"sentence": "Hi"}'
            '[TOOL_CALLS]fly[ARGS]{"action": "up"}[TOOL_CALLS]emotion[ARGS]{"action": "happy"}'
        ),
        [SIT, Action(type="speak", value="Hi"), HAPPY],
        None,
    ),
    "whole-answer-as-a-mistral-call": (f"[TOOL_CALLS]answer[ARGS]{ANSWER}", GREETING, None),
    "arguments-that-are-no-json": ('[TOOL_CALLS]speak[ARGS]{"a": b}', [], BadOutputError),
    "list-after-a-tool-call": (
        f'<tool_call>{{"name":"speak","arguments":{{"a":"Hi"}}}}</tool_call>{SIT_TEXT}{SIT_TEXT}',
        [Action(type="speak", value="Hi"), SIT],
        None,
    ),
    "wrapper-never-closed": (ANSWER[:-1], GREETING, None),
    "nothing-to-do-never-closed": ('{"actions":[]\n\n', [], None),
    "some-refused": (
        (
            '{"actions":[{"type":"fly","value":"up"},{"type":"move","value":"Sit "},'
            '{"type":"move","value":42},7]}'
        ),
        [SIT],
        None,
    ),
    "all-refused": (
        (
            '{"actions":[{"type":"speak","value":42},{"type":"move","value":null},'
            '{"type":"move","value":NaN},{"type":"move"},{"type":"move","type":"speak","value":"a"}]}'
        ),
        [],
        BadOutputError,
    ),
    "schema-echo": (
        '{"type":"object","properties":{"actions":{"type":"array"}}}',
        [],
        BadOutputError,
    ),
    "single-quotes": ("{'actions':[{'type':'move','value':'sit'}]}", [], BadOutputError),
    "prose-only": ("I would sit down now.", [], BadOutputError),
    "empty": ("", [], BadOutputError),
    "white-space": (" \n\t", [], BadOutputError),
    "unclosed": (ANSWER[:-2], GREETING, TruncatedError),
    "unclosed-thought": (f"<think>{ANSWER}", [], TruncatedError),
    "white-space-run": ('{"actions":[' + " \n\t" * 50, [], TruncatedError),
}

LINE_SAMPLES: dict[str, tuple[str, list[Action], type[LLMError] | None]] = {
    "plain": (LINES, GREETING, None),
    "no-last-break": (LINES.rstrip(), GREETING, None),
    "crlf": (LINES.replace("\n", "\r\n"), GREETING, None),
    "blank-lines": ("\n\n  move   SIT \n\n", [SIT], None),
    "nothing-to-do": ("", [], None),
    "only-breaks": ("\n \n", [], None),
    "some-refused": ("Sure!\nmove sit\nmove fly\n", [SIT], None),
    "all-refused": ("move\nfly up\nspeak", [], BadOutputError),
}

CASES = [
    *(pytest.param(json_actions, *case, id=f"json-{name}") for name, case in JSON_SAMPLES.items()),
    *(pytest.param(line_actions, *case, id=f"lines-{name}") for name, case in LINE_SAMPLES.items()),
]


@pytest.mark.parametrize(("make", "text", "actions", "error"), CASES)
def test_a_sample_gives_its_actions_however_it_is_cut(
    make: Callable[[], Decoder], text: str, actions: list[Action], error: type[LLMError] | None
) -> None:
    """Whole, one character at a time and cut at every position: same verdicts, same end."""
    whole = decode(make(), [text])
    assert whole.actions == actions
    assert (whole.error and whole.error[0]) == error
    assert decode(make(), text) == whole
    for position in range(len(text)):
        assert decode(make(), cut(text, [position])) == whole


@pytest.mark.parametrize(("make", "text", "actions", "error"), CASES)
def test_an_action_leaves_with_the_character_that_completes_it(
    make: Callable[[], Decoder], text: str, actions: object, error: object
) -> None:
    """Nothing is given out before its closing brace, or the break that ends its line."""
    decoder = make()
    completes = "\n" if isinstance(decoder, LineActions) else "}"
    for character in text:
        assert len(decoder.feed(TextDelta(character))) <= (character == completes)


@pytest.mark.parametrize("ending", ["length", "unmarked", "cut"])
@pytest.mark.parametrize(
    ("make", "text", "ends"),
    [
        pytest.param(json_actions, ANSWER, "}", id="json"),
        pytest.param(json_actions, f"<think>Hm.</think>```json\n{ANSWER}", "}", id="json-wrapped"),
        pytest.param(line_actions, LINES, "\n", id="lines"),
    ],
)
def test_an_answer_cut_anywhere_is_truncated(
    make: Callable[[], Decoder], text: str, ends: str, ending: Ending
) -> None:
    """Cut before its list is closed: the actions that are complete, and then TruncatedError."""
    for position in range(len(text)):
        head = text[:position]
        outcome = decode(make(), [head], ending)
        assert outcome.actions == GREETING[: head.count(ends)]
        if "]" in head and ending != "cut":
            assert outcome.error is None
            continue
        assert outcome.error is not None
        assert outcome.error[0] is TruncatedError
        told = outcome.error[1]
        assert f"after {len(outcome.actions)} complete actions" in told or "before any" in told


@pytest.mark.parametrize(
    ("text", "ending", "error"),
    [
        (ANSWER, "length", None),
        (ANSWER, "unmarked", None),
        (ANSWER, "cut", TruncatedError),
        (f"{ANSWER} and {{", "finished", None),
        ('{"actions":[]}', "unmarked", None),
        ('{"actions":[]}', "cut", TruncatedError),
        (SIT_TEXT[:-2], "finished", TruncatedError),
        (SIT_TEXT[:-1], "length", None),
        (SIT_TEXT[:-1], "cut", TruncatedError),
        ('{"actions":[]', "length", None),
        ('{"actions":[]', "cut", TruncatedError),
        ('{"actions":[]} {"actions":[', "finished", TruncatedError),
        (f"[TOOL_CALLS] [{CALL_TEXT}]", "unmarked", None),
        (f"<tool_call>{CALL_TEXT}</tool_call>", "unmarked", TruncatedError),
        ("I would sit", "length", TruncatedError),
    ],
)
def test_an_ending_is_good_where_the_answer_is_known_to_be_whole(
    text: str, ending: Ending, error: type[LLMError] | None
) -> None:
    """The answer's own last brace is as good as the server's word, but not for a broken line."""
    outcome = decode(json_actions(), [text], ending)
    assert (outcome.error and outcome.error[0]) == error


@pytest.mark.parametrize("sample", ["two-objects", "refused-then-legal", "some-refused"])
def test_verdicts_keep_the_model_s_order(sample: str) -> None:
    """Refusals stand among the actions where the model put them, and say what was asked for."""
    text, actions, _ = JSON_SAMPLES[sample]
    verdicts = decode(json_actions(), [text]).verdicts
    assert [verdict for verdict in verdicts if isinstance(verdict, Action)] == actions
    for verdict in verdicts:
        if isinstance(verdict, Refusal):
            assert verdict.reason
            assert verdict.value in text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("I would sit down.", "it begins: I would sit down."),
        ("  ", "it is empty"),
        ('{"actions":[{"type":"fly","value":"up"}]}', "no action 'fly', only move, emotion, speak"),
        ('{"actions":[{"type":"move","value":"fly"}]}', "'fly' is not a value of move; sit, walk"),
        ('{"actions":[{"type":"move","value":[1]}]}', "the value of move must be text, not [1]"),
        ('{"actions":[{"verb":"sit"}]}', "this is not an action"),
    ],
)
def test_a_bad_answer_is_quoted_in_the_error(text: str, says: str) -> None:
    """The error says what the model wrote instead, shortened."""
    error = decode(json_actions(), [text]).error
    assert error is not None
    assert says in error[1]
    assert len(decode(json_actions(), [text + "x" * 9999]).error[1]) < 500  # type: ignore[index]


@pytest.mark.parametrize("make", [json_actions, lambda: WholeAnswer(Action)])
def test_a_quote_is_the_same_however_the_answer_is_cut(make: Callable[[], Decoder]) -> None:
    """What an error shows of an answer does not tell in which pieces it came."""
    text = "a  b " * 99
    assert decode(make(), text) == decode(make(), [text]) == decode(make(), cut(text, [1, 150]))


# --- against json.loads -------------------------------------------------------------------------

NASTY = [
    "{",
    "}",
    "[",
    "]",
    '"',
    "\\",
    "\n",
    "\t",
    "/",
    "<think>",
    "</think>",
    '"actions":[',
    "é😀",
]
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.lists(st.sampled_from(NASTY), max_size=8).map("".join),
)
plain_json = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
items = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["move", "Emotion", "speak", "fly"]) | texts,
        "value": st.sampled_from(["sit", "Walk  Back", "happy"]) | texts | plain_json,
    },
    optional={"why": plain_json},
)
around = st.sampled_from(
    ["", "Sure! ", "```json\n", "\n```\n", '<think>{["</think>', "<b>", "{x} "]
)


def write(value: object, random: Random) -> str:
    """Write JSON as any writer may: white space, escapes and raw line breaks at random."""

    def space() -> str:
        return random.choice(["", "", "", " ", "\n", "\t \r\n"])

    if isinstance(value, str):
        return f'"{"".join(write_character(character, random) for character in value)}"'
    if isinstance(value, list):
        inner = ",".join(space() + write(item, random) + space() for item in value)
        return f"[{inner or space()}]"
    if isinstance(value, dict):
        pairs = [
            f"{space()}{write_key(key, random)}{space()}:{space()}{write(item, random)}{space()}"
            for key, item in random.sample(list(value.items()), len(value))
        ]
        return f"{{{','.join(pairs) or space()}}}"
    return json.dumps(value)


def write_key(key: str, random: Random) -> str:
    """Write a key; no model escapes the letters of `actions`, and the scanner reads them plain."""
    return f'"{key}"' if key == "actions" else write(key, random)


def write_character(character: str, random: Random) -> str:
    """Write one character of a string, escaped where it must be or where it pleases."""
    if random.random() < 0.2:
        return json.dumps(character)[1:-1]
    if random.random() < 0.1:
        units = character.encode("utf-16-be")
        return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
    return f"\\{character}" if character in '"\\' else character


@settings(max_examples=100, deadline=None)
@given(
    st.lists(items, max_size=4),
    st.dictionaries(texts.filter(lambda key: key != "actions"), st.integers(), max_size=2),
    st.tuples(around, around),
    st.randoms(use_true_random=False),
)
def test_well_formed_answers_give_what_json_loads_gives(
    actions: list[dict[str, Any]],
    others: dict[str, int],
    wrapping: tuple[str, str],
    random: Random,
) -> None:
    """Any writing of a list of actions gives the verdicts on what json.loads reads in it."""
    root = write({**others, "actions": actions}, random)
    read = json.loads(root, strict=False)["actions"]
    expected = [ROBOT.judge(item["type"], item["value"]) for item in read]
    text = wrapping[0] + root + wrapping[1]
    positions = [random.randint(0, len(text)) for _ in range(random.randint(0, 5))]
    for pieces in ([text], text, cut(text, positions)):
        outcome = decode(json_actions(), pieces)
        assert outcome.verdicts == expected
        assert (outcome.error is None) == (bool(outcome.actions) or not expected)


SOUP = [
    *'{}[]",:\\ \n<',
    *(
        '{"actions":[',
        '"actions":',
        "]}",
        '"type":"move"',
        '"value":"sit"',
        '"value":',
        '"\\ud83d"',
    ),
    *('{"type":"move","value":"sit"}', '{"type":"speak","value":"hi"}', '{"type":"fly","value":1}'),
    *('{"name":"speak","arguments":{"a":"b"}}', "<think>", "</think>", "null", "move sit\n"),
    *("[TOOL_CALLS]", "[TOOL_CALLS]move[ARGS]", "[TOOL_CALLS]speak[ARGS]", '{"a":"sit"}'),
]
soups = st.lists(st.sampled_from(SOUP), max_size=25).map("".join)
endings = st.sampled_from(["finished", "unmarked", "length", "cut"])


@settings(max_examples=300, deadline=None)
@given(
    soups,
    endings,
    st.sampled_from([json_actions, line_actions, lambda: WholeAnswer(Action)]),
    st.data(),
)
def test_any_text_cut_anywhere_ends_the_same(
    text: str, ending: Ending, make: Callable[[], Decoder], data: st.DataObject
) -> None:
    """Broken text too gives the same verdicts and the same promised error for every cutting."""
    whole = decode(make(), [text], ending)
    positions = data.draw(st.lists(st.integers(0, len(text)), max_size=5))
    assert decode(make(), text, ending) == whole
    assert decode(make(), cut(text, positions), ending) == whole


@pytest.mark.parametrize(
    ("pieces", "is_complete"),
    [
        ([], False),
        ([ANSWER[:-2]], False),
        ([ANSWER[:-1]], True),
        ([ANSWER], True),
        (['{"actions":[]'], True),
        (['{"type":"move","value":"sit"}'], True),
        (['{"type":"fly","value":"up"}'], False),
        ([f"<tool_call>{CALL_TEXT}</tool_call>"], False),
        ([ToolCallDelta("move", '{"action":"sit"}')], False),
        (["Sure."], False),
    ],
)
def test_an_answer_that_nothing_can_change_is_known(
    pieces: list[str | ToolCallDelta], is_complete: bool
) -> None:
    """A closed list or a single action is all; after a call another may come."""
    decoder = json_actions()
    for piece in pieces:
        decoder.feed(TextDelta(piece) if isinstance(piece, str) else piece)
    assert decoder.is_complete is is_complete


@pytest.mark.parametrize(
    ("pieces", "is_empty", "is_formless"),
    [
        ([], True, False),
        ([""], True, False),
        ([" \n"], False, False),
        (["I would sit."], False, True),
        ([f"<think>{ANSWER}</think>"], False, True),
        (['{"type":"object","properties":{}}'], False, True),
        (["[1]"], False, True),
        ([ANSWER], False, False),
        (['Sure: {"actions":[]}'], False, False),
        (['{"type":"fly","value":"up"}'], False, False),
        (["I sit.", ToolCallDelta("fly", "{}")], False, False),
        ([ToolCallDelta("", "")], False, False),
    ],
)
def test_an_answer_of_another_form_is_known(
    pieces: list[str | ToolCallDelta], is_empty: bool, is_formless: bool
) -> None:
    """Text that has neither an action, legal or not, nor an empty list was asked for in vain."""
    decoder = json_actions()
    for piece in pieces:
        decoder.feed(TextDelta(piece) if isinstance(piece, str) else piece)
    assert (decoder.is_empty, decoder.is_formless) == (is_empty, is_formless)


# --- tool calls ---------------------------------------------------------------------------------

Style = Callable[[int, str, list[str]], list[ToolCallDelta]]


def openai(index: int, name: str, pieces: list[str]) -> list[ToolCallDelta]:
    """Id and name first, then the index alone."""
    first = ToolCallDelta(name, "", index, f"call_{index}")
    return [first, *(ToolCallDelta("", piece, index) for piece in pieces)]


def relay(index: int, name: str, pieces: list[str]) -> list[ToolCallDelta]:
    """Continued under the id "null", as Mistral relays other models."""
    first = ToolCallDelta(name, "", index, f"chatcmpl-tool-{index}")
    return [first, *(ToolCallDelta("", piece, index, "null") for piece in pieces)]


def empty_ids(index: int, name: str, pieces: list[str]) -> list[ToolCallDelta]:
    """Continued under an empty id."""
    first = ToolCallDelta(name, "", index, f"id{index}")
    return [first, *(ToolCallDelta("", piece, index, "") for piece in pieces)]


def native(index: int, name: str, pieces: list[str]) -> list[ToolCallDelta]:
    """Id and name first, then neither, and never an index: Llama's own dialect."""
    first = ToolCallDelta(name, "", None, f"8a2c-{index}")
    return [first, *(ToolCallDelta("", piece) for piece in pieces)]


def nameless_places(index: int, name: str, pieces: list[str]) -> list[ToolCallDelta]:
    """Neither id nor index, as Gemini may send: only a new name tells a new call."""
    return [ToolCallDelta(name, pieces[0]), *(ToolCallDelta("", piece) for piece in pieces[1:])]


def one_index(index: int, name: str, pieces: list[str]) -> list[ToolCallDelta]:
    """Every call under index 0, told apart by its id."""
    return [ToolCallDelta(name, piece, 0, f"toolu_{index}") for piece in pieces]


def repeated(index: int, name: str, pieces: list[str]) -> list[ToolCallDelta]:
    """Everything again with every piece."""
    return [ToolCallDelta(name, piece, index, f"id{index}") for piece in pieces]


def name_in_fragments(index: int, name: str, pieces: list[str]) -> list[ToolCallDelta]:
    """The name in two pieces, before the arguments."""
    head = [ToolCallDelta(name[:2], "", index, f"id{index}"), ToolCallDelta(name[2:], "", index)]
    return [*head, *(ToolCallDelta("", piece, index) for piece in pieces)]


def no_ids(index: int, name: str, pieces: list[str]) -> list[ToolCallDelta]:
    """Only an index, from the first piece on."""
    return [ToolCallDelta(name if n == 0 else "", piece, index) for n, piece in enumerate(pieces)]


STYLES: list[Style] = [
    openai,
    relay,
    empty_ids,
    native,
    nameless_places,
    one_index,
    repeated,
    name_in_fragments,
    no_ids,
]
CALLS = [
    ("speak", '{"sentence": "Hello, {you}!\\n"}', Action(type="speak", value="Hello, {you}!")),
    ("move", '{"action":"sit"}', SIT),
]


def calls_in(style: Style, slices: Callable[[str], list[str]]) -> list[ToolCallDelta]:
    """Both calls in a style, their arguments cut."""
    return [
        delta
        for index, (name, arguments, _) in enumerate(CALLS)
        for delta in style(index, name, slices(arguments))
    ]


@pytest.mark.parametrize("style", STYLES)
def test_tool_calls_are_put_together_in_every_style(style: Style) -> None:
    """Two calls give two actions, whatever marks the server leaves out and wherever it cuts."""
    expected = Outcome([action for _, _, action in CALLS], None)
    assert decode(json_actions(), calls_in(style, lambda text: [text])) == expected
    assert decode(json_actions(), calls_in(style, list)) == expected
    for position in range(1, len(CALLS[0][1])):
        deltas = calls_in(style, lambda text, at=position: cut(text, [min(at, len(text) - 1)]))
        assert decode(json_actions(), deltas) == expected


@pytest.mark.parametrize("style", STYLES)
def test_tool_calls_cut_anywhere_are_truncated(style: Style) -> None:
    """After the calls that are complete, a broken stream is TruncatedError."""
    deltas = calls_in(style, list)
    for ending in ("length", "cut", "unmarked"):
        for count in range(len(deltas)):
            outcome = decode(json_actions(), deltas[:count], ending)
            assert outcome.actions == [action for _, _, action in CALLS][: len(outcome.actions)]
            assert outcome.error is not None
            assert outcome.error[0] is TruncatedError


def test_calls_that_arrive_side_by_side_are_kept_apart() -> None:
    """Pieces of two calls may alternate; each action leaves when its own call is complete."""
    first, second = (openai(index, name, list(text)) for index, (name, text, _) in enumerate(CALLS))
    mixed = [delta for pair in zip(first, second, strict=False) for delta in pair]
    rest = first[len(second) :]
    assert decode(json_actions(), [*mixed, *rest]).actions == [CALLS[1][2], CALLS[0][2]]


MOVE = '{"action":"sit"}'


@pytest.mark.parametrize(
    "pieces",
    [
        [*openai(0, "move", ['{"action":', '"sit"}']), ToolCallDelta("move", MOVE, 0, "call_0")],
        [*openai(0, "move", [MOVE]), *[ToolCallDelta("", MOVE, 0)] * 2],
        [*no_ids(0, "move", [MOVE]), ToolCallDelta("move", '{ "action": "sit" }', 0)],
        [*openai(0, "answer", [SIT_TEXT]), ToolCallDelta("", SIT_TEXT, 0)],
        [*openai(0, "answer", [SIT_TEXT]), ToolCallDelta("", SIT_TEXT.replace(" ", "\n"), 0)],
    ],
    ids=["at-the-end", "with-each-piece", "in-other-spaces", "a-list", "a-list-in-other-spaces"],
)
def test_arguments_that_are_sent_again_are_one_action(pieces: list[ToolCallDelta]) -> None:
    """A server that repeats a call's arguments does not have the robot do them twice."""
    assert decode(json_actions(), pieces) == Outcome([SIT], None)


def test_a_list_that_grows_in_one_call_gives_each_action_once() -> None:
    """All so far, sent again with one more."""
    both = SIT_TEXT.replace("]", ',{"type":"emotion","value":"happy"}]')
    pieces = [*openai(0, "answer", [SIT_TEXT]), ToolCallDelta("", both, 0)]
    assert decode(json_actions(), pieces) == Outcome([SIT, HAPPY], None)


def test_two_objects_in_one_call_are_two_actions() -> None:
    """Only what is sent again is left out."""
    pieces = openai(0, "speak", ['{"action":"Hi."}{"action":"Ho."}{"action":"Hi."}'])
    said = [action.value for action in decode(json_actions(), pieces).actions]
    assert said == ["Hi.", "Ho.", "Hi."]


GAMES = Vocabulary(
    [
        ActionSpec("stop", None, parameters={"type": "object", "properties": {}}),
        ActionSpec("move", ("sit",)),
        ActionSpec(
            "plan",
            None,
            parameters={
                "type": "object",
                "properties": {"actions": {"type": "array", "items": {"type": "object"}}},
                "required": ["actions"],
            },
        ),
    ]
)


@pytest.mark.parametrize("index", [None, 0])
@pytest.mark.parametrize("id_", [None, ""])
def test_a_call_without_arguments_does_not_swallow_the_next(
    index: int | None, id_: str | None
) -> None:
    """Where neither id nor index tells calls apart, the name of a tool begins another one."""
    pieces = [
        ToolCallDelta(name, arguments, index, id_)
        for name, arguments in (
            ("stop", ""),
            ("move", ""),
            ("", MOVE),
            ("stop", "{}"),
            ("move", MOVE),
        )
    ]
    done = decode(JsonActions(GAMES.judge, GAMES.specs), pieces).actions
    assert sorted(action.type for action in done) == ["move", "move", "stop", "stop"]


def test_a_tools_own_list_of_actions_is_its_argument() -> None:
    """A parameter that happens to be named so is not taken for the robot's actions."""
    arguments = '{"actions": [{"type": "move", "value": "sit"}]}'
    pieces = openai(0, "plan", list(arguments))
    done = decode(JsonActions(GAMES.judge, GAMES.specs), pieces).actions
    assert done == [Action(type="plan", value=arguments)]


HELLO_CALL = Action(type="speak", value="Hello!")


@pytest.mark.parametrize(
    ("arguments", "verdicts"),
    [
        pytest.param({"sentence": "Hello!"}, [HELLO_CALL], id="object"),
        pytest.param('"{\\"sentence\\": \\"Hello!\\"}"', [HELLO_CALL], id="encoded-twice"),
        pytest.param(
            json.dumps(json.dumps({"a": "{} [] <think>"})),
            [Action(type="speak", value="{} [] <think>")],
            id="encoded-twice-with-braces",
        ),
        pytest.param(
            '{"a":"one"}{"a":"two"}',
            [Action(type="speak", value="one"), Action(type="speak", value="two")],
            id="two-objects",
        ),
        pytest.param('{"volume":3,"action":"Hello!"}', [HELLO_CALL], id="action-among-others"),
        pytest.param(
            '{"a":"x","b":1}', [Action(type="speak", value='{"a": "x", "b": 1}')], id="all-as-json"
        ),
        pytest.param('{"actions":[{"type":"move","value":"sit"}]}', [SIT], id="whole-answer"),
    ],
)
def test_arguments_are_read_in_every_form(
    arguments: str | dict[str, Any], verdicts: list[Action]
) -> None:
    """Arguments as an object, encoded twice, or two under one index, all give their actions."""
    outcome = decode(json_actions(), [ToolCallDelta("speak", arguments, 0, "a")])
    assert outcome == Outcome(list(verdicts), None)
    if isinstance(arguments, str):
        deltas = [ToolCallDelta("speak", piece, 0, "a") for piece in arguments]
        assert decode(json_actions(), deltas) == outcome


@pytest.mark.parametrize(
    "arguments", ["", "{}", '"sit"', "sit", "42", "null", '["sit"]', "[[" * 9999 + "x"]
)
def test_a_call_without_usable_arguments_is_refused(arguments: str) -> None:
    """A call the robot cannot perform is told, not lost in silence."""
    deltas = [ToolCallDelta("speak", '{"a":"Hello!"}', 0), ToolCallDelta("move", arguments, 1)]
    outcome = decode(json_actions(), deltas)
    assert outcome.actions == [HELLO_CALL]
    refusals = [verdict for verdict in outcome.verdicts if isinstance(verdict, Refusal)]
    assert [refusal.type for refusal in refusals] == ["move"]
    assert outcome.error is None


def test_arguments_with_a_key_twice_are_refused() -> None:
    """Of two values under one key none is taken."""
    verdicts = decode(json_actions(), [ToolCallDelta("speak", '{"a":"x","a":"y"}')]).verdicts
    assert verdicts == [
        Refusal("speak", '{"a":"x","a":"y"}', "the arguments of speak are not JSON")
    ]


@pytest.mark.parametrize(
    "pieces",
    [
        [ANSWER, *openai(0, "emotion", ['{"action":"happy"}'])],
        [*openai(0, "emotion", ['{"action":"happy"}']), ANSWER],
        [*openai(0, "emotion", ['{"action":"happy"}']), ANSWER[:20]],
    ],
    ids=["text-first", "call-first", "call-first-then-half"],
)
def test_text_and_tool_calls_do_not_say_the_same_twice(pieces: list[str | ToolCallDelta]) -> None:
    """Of an answer given both as text and as calls, the first to give an action counts."""
    outcome = decode(json_actions(), pieces)
    expected = GREETING if pieces[0] == ANSWER else [HAPPY]
    assert outcome == Outcome(list(expected), None)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["move", "speak", ""]), soups), max_size=3), endings)
def test_any_arguments_cut_anywhere_end_the_same(
    calls: list[tuple[str, str]], ending: Ending
) -> None:
    """Broken arguments too give the same verdicts and the same promised error for every cutting."""

    def deltas(slices: Callable[[str], list[str]]) -> list[ToolCallDelta]:
        return [
            delta
            for index, (name, arguments) in enumerate(calls)
            for delta in openai(index, name, slices(arguments))
        ]

    whole = decode(json_actions(), deltas(lambda text: [text]), ending)
    assert decode(json_actions(), deltas(list), ending) == whole


def test_prose_before_a_tool_call_is_no_answer() -> None:
    """Text without an action leaves the answer to the calls."""
    pieces = ["I will [] sit {now}. ", *openai(0, "move", ['{"action":"sit"}'])]
    assert decode(json_actions(), pieces) == Outcome([SIT], None)


@pytest.mark.parametrize(
    "text",
    [
        "Plan:\n- [ ] sit down\n- [ ] say hello",
        "I see [] so I sit.",
        "[] nothing to do",
        "{} []",
        "[[]]",
        "```json\n[]\n``` That is all.",
    ],
)
def test_a_bracket_in_prose_is_not_nothing_to_do(text: str) -> None:
    """An empty list without a name is an answer only where it is all of it."""
    for pieces in ([text], text):
        decoder = json_actions()
        outcome = decode(decoder, pieces)
        assert outcome.error is not None
        assert outcome.error[0] is BadOutputError
        assert decoder.is_formless


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        " [ ]\n",
        "```json\n[]\n```",
        "```\n[ ]\n```",
        "<think>a [ ] b</think>[]",
        "a</think>[]",
    ],
)
def test_an_empty_list_alone_is_nothing_to_do(text: str) -> None:
    """Whatever fences and thoughts are around it."""
    for pieces in ([text], text):
        assert decode(json_actions(), pieces) == Outcome([], None)


@pytest.mark.parametrize("make", [json_actions, lambda: WholeAnswer(Plan)])
@pytest.mark.parametrize(
    ("text", "is_out"),
    [
        (f"The {SIT_TEXT} would hurt.\n</think>\n{SIT_TEXT}", True),
        (f"Well.</thinking>{SIT_TEXT}", True),
        (f"<think>Well.</think>{SIT_TEXT}", False),
        ('{"actions":[{"type":"speak","value":"</think>"}]}', False),
        ("", False),
    ],
)
def test_a_thought_without_its_beginning_is_noticed(
    make: Callable[[], Decoder], text: str, *, is_out: bool
) -> None:
    """Some templates begin it in the prompt, and then its end alone is in the answer."""
    for pieces in ([text], text):
        decoder = make()
        decode(decoder, pieces)
        assert decoder.thinks_aloud is is_out


# --- the answer ---------------------------------------------------------------------------------


class Tick(BaseModel):
    """An output model of a caller's own, with a field we cannot fill."""

    actions: list[Action] = Field(max_length=2)


@pytest.mark.parametrize(
    ("make", "text"), [(json_actions, ANSWER), (line_actions, LINES)], ids=["json", "lines"]
)
def test_the_answer_holds_the_actions_that_were_given_out(
    make: Callable[[], Decoder], text: str
) -> None:
    """`answer` is the model asked for, or says what does not fit it."""
    decoder = make()
    given_out = decode(decoder, [text]).actions
    assert decoder.answer(CortexOutputModel) == CortexOutputModel(actions=given_out)
    with pytest.raises(BadOutputError, match="does not fit Tick: actions: "):
        decoder.answer(Tick)


def test_lines_take_no_tool_calls() -> None:
    """The line form has no tools; a call in it is not performed."""
    assert decode(line_actions(), [ToolCallDelta("move", '{"a":"sit"}'), "move sit\n"]).actions == [
        SIT
    ]


@pytest.mark.parametrize("value", ["sit", "", "ü"])
def test_without_a_vocabulary_any_text_is_legal(value: str) -> None:
    """`judge_any` takes every action whose value is text."""
    assert judge_any("anything", value) == Action(type="anything", value=value)


@pytest.mark.parametrize("value", [None, 1, ["sit"], {"a": "é"}])
def test_without_a_vocabulary_a_value_is_still_text(value: object) -> None:
    """`judge_any` refuses what is no text, and shows it."""
    refusal = judge_any("move", value)
    assert isinstance(refusal, Refusal)
    assert refusal.value == json.dumps(value, ensure_ascii=False)
    assert refusal.value in refusal.reason


@pytest.mark.parametrize(
    ("pieces", "value"),
    [
        (['{"type":"speak","value":"a\\ud83d b"}'], "a\ufffd b"),
        (['{"type":"speak","value":"\\ud83d\\ude00"}'], "😀"),
        (['{"type":"speak","value":"', "\ud83d", "\ude00", '"}'], "😀"),
        (['{"type":"speak","value":"', "\ude00", '"}'], "\ufffd"),
    ],
)
@pytest.mark.parametrize("judge", [ROBOT.judge, judge_any])
def test_half_a_character_is_mended(
    pieces: Sequence[str], value: str, judge: Callable[..., Action | Refusal]
) -> None:
    """A surrogate pair in two pieces is joined, and a lone half replaced: every action is UTF-8."""
    (action,) = decode(JsonActions(judge), pieces).actions
    assert action.value == value
    assert action.model_dump_json().encode()


# --- whole answers ------------------------------------------------------------------------------


class Point(BaseModel):
    """Where to go."""

    x: float
    y: float


class Plan(BaseModel):
    """A nested output model."""

    goal: Point
    steps: list[Action]
    note: str = ""


PLAN = '{"goal":{"x":1,"y":-2.5},"steps":[{"type":"move","value":"sit"}],"note":"a } \\" {"}'
THE_PLAN = Plan(goal=Point(x=1, y=-2.5), steps=[SIT], note='a } " {')


@pytest.mark.parametrize(
    "text",
    [
        PLAN,
        f"```json\n{PLAN}\n```",
        f"<think>{PLAN.replace('1', '7')}</think>Here {{it}} is: {PLAN}. Bye {{",
        f'{{"goal":1}} no: {PLAN} {PLAN.replace("1", "7")}',
        f"[{PLAN}]",
    ],
    ids=["plain", "fences", "thought", "second-fits", "in-a-list"],
)
def test_a_whole_answer_is_the_first_object_that_fits(text: str) -> None:
    """A nested model is found in what surrounds it, for any way of cutting; it is no action."""
    for pieces in ([text], text, *(cut(text, [position]) for position in range(len(text)))):
        decoder = WholeAnswer(Plan)
        assert decode(decoder, pieces) == Outcome([], None)
        assert decoder.answer(Plan) == THE_PLAN


@pytest.mark.parametrize(
    ("text", "is_complete", "is_formless"),
    [
        ("", False, False),
        (" ", False, False),
        ("Sure.", False, True),
        (PLAN[:-1], False, True),
        (PLAN, True, False),
        (f"{PLAN} {{", True, False),
        ('{"goal":1}', False, False),
        ('{"type":"object","properties":{"goal":{}}}', False, True),
    ],
)
def test_a_whole_answer_knows_its_form(text: str, is_complete: bool, is_formless: bool) -> None:
    """An object that fits is all; prose, or the schema repeated, was asked for in vain."""
    decoder = WholeAnswer(Plan)
    decode(decoder, [text])
    assert (decoder.is_complete, decoder.is_formless) == (is_complete, is_formless)


@pytest.mark.parametrize("arguments", [PLAN, json.loads(PLAN)], ids=["text", "object"])
def test_a_whole_answer_may_come_as_a_tool_call(arguments: str | dict[str, Any]) -> None:
    """The arguments of a call are an answer too."""
    decoder = WholeAnswer(Plan)
    assert decode(decoder, ["Sure. ", ToolCallDelta("answer", arguments)]).error is None
    assert decoder.answer(Plan) == THE_PLAN


@pytest.mark.parametrize(
    "deltas",
    [
        [ToolCallDelta("answer", json.dumps(PLAN), 0, "a")],
        [
            *(ToolCallDelta("answer", PLAN[:9], index, f"id{index}") for index in (0, 1)),
            *(ToolCallDelta("", PLAN[9:], index) for index in (0, 1)),
        ],
    ],
    ids=["encoded-twice", "side-by-side"],
)
def test_a_whole_answer_is_read_like_any_tool_call(deltas: list[ToolCallDelta]) -> None:
    """Arguments may be encoded twice, and two calls may alternate."""
    decoder = WholeAnswer(Plan)
    assert decode(decoder, deltas).error is None
    assert decoder.answer(Plan) == THE_PLAN


def test_a_whole_answer_that_calls_in_vain_is_not_called_empty() -> None:
    """The error does not say that nothing came."""
    outcome = decode(WholeAnswer(Plan), [ToolCallDelta("answer", "[1]")])
    assert outcome.error == (
        BadOutputError,
        "the answer does not fit Plan (no JSON object); it has no text",
    )


@pytest.mark.parametrize("as_call", [False, True], ids=["text", "call"])
@pytest.mark.parametrize("ending", ["finished", "length", "unmarked", "cut"])
def test_a_whole_answer_cut_anywhere_is_truncated(ending: Ending, as_call: bool) -> None:
    """No half of a model is ever an answer."""
    for position in range(1, len(PLAN)):
        head = PLAN[:position]
        outcome = decode(
            WholeAnswer(Plan), [ToolCallDelta("answer", head) if as_call else head], ending
        )
        assert outcome.error is not None
        assert outcome.error[0] is TruncatedError


@pytest.mark.parametrize(
    ("text", "ending", "error", "says"),
    [
        ("", "finished", BadOutputError, "does not fit Plan (no JSON object); it is empty"),
        ("No.", "finished", BadOutputError, "(no JSON object); it begins: No."),
        ('{"goal":{"x":"here"}}', "finished", BadOutputError, "goal.x: Input should be a valid"),
        ("[1]", "unmarked", BadOutputError, "no JSON object"),
        ("No.", "length", TruncatedError, "ended early; it begins: No."),
        (PLAN, "cut", TruncatedError, "raise max_tokens"),
        (PLAN, "length", None, ""),
        (PLAN, "unmarked", None, ""),
    ],
)
def test_a_whole_answer_says_why_it_does_not_fit(
    text: str, ending: Ending, error: type[LLMError] | None, says: str
) -> None:
    """The error names the model, its field and how the answer begins."""
    outcome = decode(WholeAnswer(Plan), [text], ending)
    assert (outcome.error and outcome.error[0]) == error
    assert says in (outcome.error or (None, ""))[1]


@pytest.mark.parametrize(
    "text",
    [
        '{"actions":[{"type":"speak","value":"' + "a" * 2**17 + '"}]}',
        '{"actions":[{"type":"speak","value":"hi"}]}' + " and so on" * 2**14,
        "[" + '{"type":"move","value":"fly"},' * 2**11 + '{"type":"move","value":"sit"}]',
    ],
    ids=["one-long-value", "long-after-the-end", "many-refusals"],
)
def test_a_long_answer_in_small_pieces_is_no_burden(text: str) -> None:
    """Half a megabyte in pieces of four characters comes to its end."""
    outcome = decode(json_actions(), (text[at : at + 4] for at in range(0, len(text), 4)))
    assert len(outcome.verdicts) == text.count('"type"')
