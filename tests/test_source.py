"""A mistake in a JSON5 text is shown where it stands, and no secret with it."""

from __future__ import annotations

from pathlib import Path

import json5
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reflexarc.errors import ConfigError
from reflexarc.source import Source

SECRET = "sk-4f1c2d3e4b5a6978"

ROBOT = """// A robot
{
  name: 'spot', "hertz": 5, /* { not: a key } */
  cortex_llm: {
    type: "MistralLLM", // "x": 1,
    config: { model: "{\\"a\\": [1]}", extra: [1, { deep: 'er' }, [2, 3]] },
  },
  inputs: [
    { type: "Camera", config: { port: 1 } },
    { type: "Mic" }
  ]
}
"""


def place(error: ConfigError) -> tuple[int | None, int | None]:
    """Line and column of an error."""
    return error.line, error.column


def refused(text: str) -> ConfigError:
    """The error that parsing a text ends in."""
    with pytest.raises(ConfigError) as caught:
        Source(text, "robot.json5").parse()
    return caught.value


@pytest.mark.parametrize(
    ("location", "line", "column"),
    [
        ((), 1, 1),
        (("name",), 3, 3),
        (("hertz",), 3, 17),
        (("not",), 1, 1),
        (("cortex_llm",), 4, 3),
        (("cortex_llm", "type"), 5, 5),
        (("cortex_llm", "model"), 6, 15),
        (("cortex_llm", "config", "model"), 6, 15),
        (("cortex_llm", "extra", 0), 6, 46),
        (("cortex_llm", "extra", 1, "deep"), 6, 51),
        (("cortex_llm", "extra", 2, 1), 6, 69),
        (("cortex_llm", "extra", 2), 6, 65),
        (("cortex_llm", "unknown"), 4, 3),
        (("inputs", 0), 9, 5),
        (("inputs", 0, "config"), 9, 23),
        (("inputs", 0, "config", "port"), 9, 33),
        (("inputs", 1, "type"), 10, 7),
        (("inputs", 7), 8, 3),
    ],
)
def test_every_value_is_found(location: tuple[str | int, ...], line: int, column: int) -> None:
    """The place is that of the key or element, or of the deepest part of the way that exists."""
    error = Source(ROBOT, "robot.json5").error_at(location, "wrong", transparent="config")
    assert place(error) == (line, column)
    assert str(error).startswith(f"robot.json5:{line}:{column}: wrong")


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("{\n  name: 'spot'\n  hertz: 5\n}", 3, 3, '"h"; check whether a comma or a colon is'),
        ("{name 'spot'}", 1, 7, "a colon is missing before it"),
        ("{a: 1, // one.\n b: {} c: 2}", 2, 8, "a comma or a colon is missing before it"),
        ("{\n  # here\n  a: 1}", 2, 4, "; begin a comment with //"),
        ("{a: 'x' #here\n}", 1, 9, "; begin a comment with //"),
        ("{a: drive}", 1, 5, "; put a text in quotes"),
        ("{a: ['x', turn]}", 1, 12, "; put a text in quotes"),
        ("{a: 'x\n}", 1, 7, '"\\n"; close the quote on the same line'),
        ("{1: 2}", 1, 3, 'Unexpected ":"'),
        ("{", 1, 2, "end of input"),
        ("{a: 'x}", 1, 8, "end of input"),
        ("{a: 1}}", 1, 7, 'Unexpected "}"'),
        ("// only this", 1, 13, "end of input"),
        ("{\r\n  a: 1\r\n  b: 2}", 3, 3, 'Unexpected "b"'),
        ("{a: '\u2028\x85\x0c',\n  b c}", 2, 5, 'Unexpected "c"'),
        ("{\n\ta:\tb c}", 2, 5, 'Unexpected "b"'),
    ],
)
def test_what_is_not_json5_is_shown_with_a_caret(
    text: str, line: int, column: int, says: str
) -> None:
    """The error names line and column, shows that line, and puts a caret under the column."""
    error = refused(text)
    assert place(error) == (line, column)
    message, shown, caret = str(error).split("\n    ")
    assert message.startswith(f"robot.json5:{line}:{column}: not JSON5: ")
    assert says in message
    assert shown == text.split("\n")[line - 1].rstrip()
    assert caret.expandtabs() == " " * len(shown[: column - 1].expandtabs()) + "^"


@pytest.mark.parametrize(
    ("text", "line", "column", "key"),
    [
        ("{a: 1, b: {a: 1},\n  a: 2}", 2, 3, "a"),
        ("{'a': 1, \"a\": 2}", 1, 10, "a"),
        ("{x: [{b: 1}, {b: 1,\n b: 2}]}", 2, 2, "b"),
    ],
)
def test_a_key_written_twice_is_shown(text: str, line: int, column: int, key: str) -> None:
    """Of a duplicate key the second is pointed at; equal keys of different objects are none."""
    error = refused(text)
    assert place(error) == (line, column)
    assert f"'{key}' is written twice; keep one" in str(error)


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_is_told_as_such(text: str) -> None:
    """And what to write."""
    assert str(refused(text)) == "robot.json5: nothing stands here; write one object, { … }"


@pytest.mark.parametrize("text", ["[" * 5000, '{"a":' * 5000, "", "1" * 5000])
def test_a_text_that_cannot_be_parsed_at_all_is_refused(text: str) -> None:
    """What has no place to point at is a ConfigError too."""
    assert str(refused(text)).startswith("robot.json5: ")


@pytest.mark.parametrize(
    "text",
    [
        f"{{api_key: '{SECRET}' x}}",
        f"{{\n  'API_KEY':\n    '{SECRET}' x}}",
        f"{{\n  token: // from the mail\n\n    '{SECRET}' x}}",
        f"{{a: 1, password: '{SECRET}', a: 2}}",
        f"{{Authorization: 'Bearer {SECRET}",
    ],
)
def test_a_line_with_a_secret_is_not_shown(text: str) -> None:
    """Where the mistake stands is told, but not what else stands there."""
    error = refused(text)
    assert error.line is not None
    assert error.column is not None
    assert SECRET not in f"{error} {error!r} {error.to_dict()}"


def test_a_line_beside_a_secret_is_shown() -> None:
    """A finished entry with a secret does not hide the one after it."""
    error = refused(f"{{api_key: '{SECRET}',\n  name 'spot'}}")
    assert "name 'spot'" in str(error)
    assert SECRET not in str(error)


def test_a_file_is_read_as_utf_8(tmp_path: Path) -> None:
    """A byte order mark is skipped, and the file's name goes into errors."""
    path = tmp_path / "robot.json5"
    path.write_bytes("\ufeff{name: 'Spöt'}".encode())
    source = Source.read(path)
    assert source.parse() == {"name": "Spöt"}
    assert str(source.error("wrong", 1, 2)).startswith(f"{path}:1:2: wrong")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, a folder, or not UTF-8: the error says which, and the path."""
    latin = tmp_path / "latin.json5"
    latin.write_bytes("{name: 'Spöt'}".encode("latin-1"))
    for path, says in (
        (tmp_path / "missing.json5", "there is no such file"),
        (tmp_path, "the file cannot be read"),
        (latin, "the file is no UTF-8"),
    ):
        with pytest.raises(ConfigError, match=says) as caught:
            Source.read(path)
        assert caught.value.path == str(path)


@pytest.mark.parametrize(
    ("escaped", "text"),
    [("\\ud83d\\ude00", "😀"), ("a\\ud83d b", "a\ufffd b"), ("\\ude00\\ud83d", "\ufffd\ufffd")],
)
def test_an_emoji_in_two_escapes_is_one_character(escaped: str, text: str) -> None:
    """What json.dumps writes is read as it was; half a character is replaced."""
    source = Source(f'{{"{escaped}": ["{escaped}", 1]}}', "any")
    assert source.parse() == {text: [text, 1]}


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.text(max_size=30),
        st.lists(
            st.sampled_from([*"{}[]:,\"'\\/\n\t", "a", "0x", "1e9", "//", "/*", "\\u00", "null"]),
            max_size=15,
        ).map("".join),
    )
)
@example('"\\ud800"')
@example("{a:'\\u12'}")
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Nothing but ConfigError comes of a text that json5 refuses, and nothing else is refused."""
    try:
        expected = json5.loads(text, allow_duplicate_keys=False)
    except ValueError:
        assert refused(text).path == "robot.json5"
    else:
        if "\\u" not in text:
            assert repr(Source(text, "robot.json5").parse()) == repr(expected)


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text("abc:{", max_size=3), inner)
        ),
        max_leaves=10,
    ),
    st.integers(1, 3),
)
def test_every_place_of_any_value_is_found(value: object, indent: int) -> None:
    """For each way into a value, the place it is given holds that key or element."""
    text = json5.dumps(value, indent=indent, quote_keys=True, ensure_ascii=False)
    source = Source(text, "any")

    def check(part: object, way: tuple[str | int, ...]) -> None:
        if way:
            error = source.error_at(way, "")
            assert error.line is not None
            assert error.column is not None
            rest = "\n".join(text.split("\n")[error.line - 1 :])[error.column - 1 :]
            if isinstance(way[-1], str):
                assert rest.startswith(f'"{way[-1]}":')
            else:
                assert rest.startswith(json5.dumps(part, ensure_ascii=False)[:1])
        children = part.items() if isinstance(part, dict) else []
        children = enumerate(part) if isinstance(part, list) else children
        for key, child in children:
            check(child, (*way, key))

    check(value, ())
