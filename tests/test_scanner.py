"""Complete values are found in any text, once, however it is cut, at a cost that grows with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import SupportsIndex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reflexarc.scanner import DEEPEST, Found, Scanner

SIT = '{"type":"move","value":"sit"}'
HI = '{"type":"speak","value":"hi"}'
END = Found("end", "")
NAMED = Found("tool", "go_2-x")

# What models write, in pieces that mean something to the scanner.
FRAGMENTS = [
    *'{}[]",:\\ \n<>',
    *("<think>", "</think>", "<thinking>", "</thinking>", "<thi", "nk>"),
    *('"actions"', '"actions":[', "actions", '{"actions":[', "]}", '{"', '"}', '\\"', "null"),
    *(SIT, HI, '{"type":"move"', '"value":"sit"}', "Sure! ", "```json\n", "{}", "[]", "é😀"),
    *("[TOOL_CALLS]", "[ARGS]", "[TOOL_CALLS]move[ARGS]"),
]
soups = st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join)


def found_in(pieces: Iterable[str], *, items: bool = True) -> tuple[list[Found], Scanner]:
    """Everything that a scanner finds in the pieces, and the scanner."""
    scanner = Scanner(items=items)
    return [found for piece in pieces for found in scanner.feed(piece)], scanner


def held(scanner: Scanner) -> int:
    """Count the characters that a scanner keeps, whatever it calls them."""
    values = list(vars(scanner).values())
    for value in values:
        if isinstance(value, list):
            values += value
    return sum(len(value) for value in values if isinstance(value, str))


class Counted(str):
    """A text that counts the characters copied out of it."""

    __slots__ = ()
    copied = 0

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        part = super().__getitem__(key)
        Counted.copied += len(part)
        return part


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            f'{{"actions":[{SIT},{HI}]}}', [("item", SIT), ("item", HI), END, END], id="actions"
        ),
        pytest.param(f"[{SIT},{HI}]", [("item", SIT), ("item", HI), END], id="bare-list"),
        pytest.param(f"[ ] [{SIT}]", [END, ("item", SIT), END], id="empty-list-first"),
        pytest.param(f"Sure: {SIT} Bye", [("root", SIT), END], id="single-action"),
        pytest.param("{}", [("root", "{}"), END], id="empty-object"),
        pytest.param(f'{{"plan":{{"actions":[{SIT}]}}}}', [("item", SIT), END, END], id="nested"),
        pytest.param(f"[[{SIT}]]", [("item", SIT), END], id="list-in-list"),
        pytest.param(f"{{not json}} [1] {SIT}", [("root", SIT), END], id="braces-in-prose"),
        pytest.param(f"a < b <b> <<think>{SIT}</think>{HI}", [("root", HI), END], id="thought"),
        pytest.param(f"<thinking>{SIT}</thinking>{HI}", [("root", HI), END], id="long-thought"),
        pytest.param(f"<think></think><think>{SIT}</think>", [], id="only-thoughts"),
        pytest.param(
            '{"a":"}{][\\"\\\\"}', [("root", '{"a":"}{][\\"\\\\"}'), END], id="marks-in-string"
        ),
        pytest.param(f'{{"actions":[{SIT}; {HI}', [("item", SIT), ("root", HI), END], id="comment"),
        pytest.param(
            f'[{{"actions":[{SIT}]}}]', [("item", f'{{"actions":[{SIT}]}}'), END], id="list-in-item"
        ),
        pytest.param('{"a":[1}', [], id="wrong-bracket"),
        pytest.param(f"[TOOL_CALLS]go_2-x[ARGS]{SIT}", [NAMED, ("root", SIT), END], id="call"),
        pytest.param(
            f"Sure [1]! [TOOL_CALLS]go_2-x[ARGS] \n{SIT}[TOOL_CALLS]b[ARGS]{HI}{SIT}",
            [NAMED, ("root", SIT), END, ("tool", "b"), ("root", HI), END, ("root", SIT), END],
            id="calls-in-a-row",
        ),
        pytest.param(
            f'[TOOL_CALLS]go[ARGS]{{"actions":[{SIT}]}}',
            [("item", SIT), END, END],
            id="call-of-list",
        ),
        pytest.param(f"[TOOL_CALLS]go{SIT}", [("root", SIT), END], id="call-without-mark"),
        pytest.param(f"[TOOL_CALLS]go[ARGS]: {SIT}", [("root", SIT), END], id="call-then-prose"),
        pytest.param(f"[TOOL_CALLS]go[ARGS]<i>{SIT}", [("root", SIT), END], id="call-then-tag"),
        pytest.param(f"[TOOL_CALLS][ARGS]{SIT}", [("root", SIT), END], id="call-of-nothing"),
        pytest.param(
            f"[TOOL_CALLS]{'a' * 64}[ARGS]{SIT}[TOOL_CALLS]{'a' * 65}[ARGS]{SIT}",
            [("tool", "a" * 64), ("root", SIT), END, ("root", SIT), END],
            id="call-of-long-names",
        ),
        pytest.param(f'{{"actions":[{SIT[:-1]}]}}', [], id="item-never-closed"),
        pytest.param(
            f'{{"actions":"no","x":[{SIT}]}}',
            [("root", f'{{"actions":"no","x":[{SIT}]}}'), END],
            id="actions-as-value",
        ),
    ],
)
def test_values_are_found_in_what_surrounds_them(
    text: str, expected: list[tuple[str, str]]
) -> None:
    """Items of a list of actions and outermost objects are found; prose and thoughts are not."""
    assert found_in([text])[0] == expected
    assert found_in(text)[0] == expected


@pytest.mark.parametrize("key", ["a\\\\ctions", "\\nactions", "actions\\t", "\\u0061ctions"])
def test_a_key_with_an_escape_is_not_actions(key: str) -> None:
    """Only the plain key `actions` opens a list of actions."""
    text = f'{{"{key}":[{SIT}]}}'
    assert found_in([text])[0] == [("root", text), END]


def test_without_items_every_outermost_object_is_a_root() -> None:
    """Where a whole answer is wanted, lists of actions stay in their object."""
    text = f'{{"actions":[{SIT}]}}'
    assert found_in([f"[1, {text}]"], items=False)[0] == [("root", text), END]


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ("", False),
        ("prose <b> [1] {x}", False),
        ("<think", False),
        ("<think>", True),
        ("<think>a</think>", False),
        ("{", True),
        ('{"a', True),
        ('{"a":"\\', True),
        ("[", True),
        (f"[{SIT}", True),
        (f"[{SIT}]", False),
        ('{"a":1]', False),
    ],
)
def test_an_open_value_or_thought_is_known(text: str, is_open: bool) -> None:
    """`is_open` says whether the text stops in the middle of a value or a thought."""
    assert found_in(text)[1].is_open is is_open


@pytest.mark.parametrize(
    ("text", "is_past"),
    [
        ('{"actions":[]', True),
        (f'{{"a":{{"actions":[{SIT}]', True),
        (f'{{"actions":[{SIT}],"more', True),
        ('{"actions":[', False),
        ('{"actions":[],"actions":[', False),
        ('{"actions":[]}', False),
        ('{"actions":[]} {', False),
        ("[", False),
        ("[]", False),
        ("[] [", False),
        ("", False),
    ],
)
def test_what_follows_a_list_in_its_value_is_known(text: str, is_past: bool) -> None:
    """`is_past_list` says whether all that may still come is the end of what held the list."""
    assert found_in([text])[1].is_past_list is is_past
    assert found_in(text)[1].is_past_list is is_past


def test_lists_and_roots_are_counted() -> None:
    """Empty lists of actions count too, so that "nothing to do" can be told from nothing."""
    scanner = found_in(f'{{"actions":[]}} [{SIT}] {HI} [')[1]
    assert (scanner.lists, scanner.roots) == (2, 3)


def test_what_is_nested_too_deeply_is_noise() -> None:
    """A value beyond the deepest level is dropped, and what follows it is found."""
    deep = '{"a":' * (DEEPEST + 1)
    fits = '{"a":' * DEEPEST + "1" + "}" * DEEPEST
    assert found_in([fits])[0] == [("root", fits), END]
    found, scanner = found_in([deep, "1", "}" * (DEEPEST + 1), SIT])
    assert found == [("root", SIT), END]
    assert not scanner.is_open


@settings(max_examples=300, deadline=None)
@given(soups, st.data(), st.booleans())
def test_any_way_of_cutting_gives_the_same(text: str, data: st.DataObject, items: bool) -> None:
    """Whole, one character at a time or cut anywhere: the same values, counts and end."""
    whole, scanner = found_in([text], items=items)
    end = (scanner.is_open, scanner.lists, scanner.roots)
    cut = data.draw(st.lists(st.integers(0, len(text)), max_size=5).map(sorted))
    pieces = [text[a:b] for a, b in zip([0, *cut], [*cut, len(text)], strict=True)]
    for way in (text, pieces):
        found, scanner = found_in(way, items=items)
        assert found == whole
        assert (scanner.is_open, scanner.lists, scanner.roots) == end


@settings(max_examples=200, deadline=None)
@given(soups)
def test_a_value_is_found_at_its_closing_brace_and_once(text: str) -> None:
    """Each value stands in the text as found, ends where it is reported, and overlaps no other."""
    named = ""
    scanner, free_from = Scanner(), 0
    for end, character in enumerate(text, start=1):
        for kind, value in scanner.feed(character):
            assert character in "}]"
            if kind == "tool":
                named = f"[TOOL_CALLS]{value}[ARGS]"
            elif kind != "end":
                start = end - len(value)
                assert text[:end].endswith(value)
                assert text[free_from:start].rstrip().endswith(named)
                free_from, named = end, ""


def four_by_four(text: str) -> Iterator[str]:
    """Cut a text into pieces of four characters."""
    return (text[at : at + 4] for at in range(0, len(text), 4))


def test_a_long_answer_is_not_kept() -> None:
    """Many items in pieces of four characters leave only the open one in memory."""
    item = json.dumps({"type": "speak", "value": "The floor is wet, I walk around it. " * 4})
    text = '{"actions":[' + ",".join([item] * (2**18 // len(item))) + "]}"
    scanner, seen, most = Scanner(), 0, 0
    for piece in four_by_four(text):
        seen += len(scanner.feed(piece))
        most = max(most, held(scanner))
    assert seen == text.count(item) + 2
    assert most < len(item) + 50


@pytest.mark.parametrize(
    ("before", "unit", "after", "values", "limit"),
    [
        pytest.param('{"a":"', "aaaa", '"}', 2, 2**18, id="one-long-value"),
        pytest.param("", "Sure. ", "", 0, 120, id="prose"),
        pytest.param("<think>", "Hm. ", f"</think>{SIT}", 2, 100, id="one-long-thought"),
        pytest.param("", "<think>", "", 0, 100, id="thoughts-that-never-end"),
        pytest.param("", "<th", "", 0, 120, id="tags-that-are-none"),
        pytest.param("", "[TOOL_CALLS]a[ARGS]", "", 0, 200, id="calls-that-never-begin"),
        pytest.param('{"a":"', "\\n", '"}', 2, 2**18, id="escapes"),
    ],
)
def test_what_repeats_in_small_pieces_is_no_burden(
    before: str, unit: str, after: str, values: int, limit: int
) -> None:
    """Whatever the text repeats, the scanner ends, and keeps nothing but an open value."""
    scanner = Scanner()
    text = before + unit * (2**17 // len(unit)) + after
    found, most = 0, 0
    for count, piece in enumerate(four_by_four(text)):
        found += len(scanner.feed(piece))
        if count % 512 == 0:
            most = max(most, held(scanner))
    assert found == values
    assert most <= limit


@pytest.mark.parametrize(
    "unit",
    [
        *("<think>a</think>", "{x", "[", "{}", f"[{SIT}]", '{"a":"\\\\', '{"actions":['),
        *("</think><", "[TOOL_CALLS]a[ARGS]", "[TOOL_CALLS]a[ARGS]{}"),
    ],
)
def test_each_character_is_copied_about_once(unit: str) -> None:
    """The characters copied out of one long piece grow with its length, not with its square."""
    text = Counted(unit * 3000)
    Counted.copied = 0
    Scanner().feed(text)
    assert Counted.copied <= 3 * len(text)
