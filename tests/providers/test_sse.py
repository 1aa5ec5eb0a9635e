"""Server-sent events by every rule of the standard, however the network cuts them."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.errors import BadOutputError
from reflexarc.providers import sse
from reflexarc.providers.sse import EventParser, ServerEvent

WIRE = Path(__file__).parents[1] / "data" / "wire"
SAMPLES = {str(path.relative_to(WIRE)): path.read_bytes() for path in sorted(WIRE.rglob("*.sse"))}


def parse(*chunks: bytes) -> list[ServerEvent]:
    """Parse a body that arrives in these chunks."""
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)] + parser.close()


def by_the_book(body: bytes) -> list[ServerEvent]:
    """Parse a whole body as the standard says it, one line after the other."""
    events: list[ServerEvent] = []
    data: list[str] = []
    name = ""
    for line in re.split("\r\n|\n|\r", body.decode("utf-8-sig", "replace")):
        field, _, value = line.partition(":")
        if line.startswith("{"):
            events.append(ServerEvent("message", line))
        elif field == "data":
            data.append(value.removeprefix(" "))
        elif field == "event":
            name = value.removeprefix(" ")
        elif not line and data:
            events.append(ServerEvent(name or "message", "\n".join(data)))
        if not line:
            data, name = [], ""
    return events


def said(*data: str) -> list[ServerEvent]:
    """Events without a name."""
    return [ServerEvent("message", text) for text in data]


RULES = [
    pytest.param(b"data: a\n\ndata: b\n\n", said("a", "b"), id="LF"),
    pytest.param(b"data: a\r\n\r\ndata: b\r\n\r\n", said("a", "b"), id="CRLF"),
    pytest.param(b"data: a\r\rdata: b\r\r", said("a", "b"), id="CR"),
    pytest.param(b"data: a\r\n\ndata: b\n\r\r\ndata: c\r\n\r", said("a", "b", "c"), id="mixed"),
    pytest.param(b"\xef\xbb\xbfdata: a\n\n", said("a"), id="BOM"),
    pytest.param(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", said("b"), id="only one BOM"),
    pytest.param(b"data: a\n\n\xef\xbb\xbfdata: b\n\n", said("a"), id="BOM only at the start"),
    pytest.param(b":\n\n: keep-alive\n\n:data: a\n\ndata: b\n: c\n\n", said("b"), id="comments"),
    pytest.param(b"id: 7\nretry: 3000\ndata: a\nid\n\n", said("a"), id="id and retry"),
    pytest.param(b"id: 7\n\nretry: 3000\n\n", [], id="no data, no event"),
    pytest.param(b"data:a\n\ndata:  b \n\ndata:\tc\n\n", said("a", " b ", "\tc"), id="one space"),
    pytest.param(b"data: a\ndata:\ndata: b\n\n", said("a\n\nb"), id="lines of data"),
    pytest.param(b"data\n\ndata:\n\n", said("", ""), id="empty data"),
    pytest.param(b"\n\n\r\n\ndata: a\n\n\n\n", said("a"), id="blank lines"),
    pytest.param(b" data: a\nDATA: b\ndatax: c\n\n", [], id="unknown fields"),
    pytest.param(b"data: a: b\n\n", said("a: b"), id="colons in data"),
    pytest.param(b"data: a\0b\n\n", said("a\0b"), id="NUL"),
    pytest.param(
        b"event: error\ndata: a\n\ndata: b\n\nevent:\ndata: c\n\nevent: x\n\ndata: d\n\n",
        [ServerEvent("error", "a"), *said("b", "c", "d")],
        id="name for one event",
    ),
    pytest.param(b"data: a\nevent: x\nevent: y\n\n", [ServerEvent("y", "a")], id="last name"),
    pytest.param("data: 🐕é\n\n".encode(), said("🐕é"), id="UTF-8"),
    pytest.param(b"data: a\xff\xc3\n\ndata: b\n\n", said("a��", "b"), id="not UTF-8"),
    pytest.param("data: a\u2028b\u0085c\n\n".encode(), said("a\u2028b\u0085c"), id="U+2028"),
    pytest.param(b'{"error": 1}\n', said('{"error": 1}'), id="bare JSON"),
    pytest.param(b'data: a\n\n{"error": 1}\n\n', said("a", '{"error": 1}'), id="bare JSON later"),
    pytest.param(b'{"error": 1}', said('{"error": 1}'), id="bare JSON without end"),
    pytest.param(b'data: {"a": 1}\n', said('{"a": 1}'), id="no blank line"),
    pytest.param(b'data: {"a": 1}', said('{"a": 1}'), id="no line end"),
    pytest.param(b"data: [DONE]", said("[DONE]"), id="no line end after [DONE]"),
    pytest.param(b'data: {"a":\ndata: 1}', said('{"a":\n1}'), id="no line end, two lines"),
    pytest.param(b"data: a\n\ndata: b\n", said("a"), id="cut in an event"),
    pytest.param(b'data: a\n\ndata: {"b": "', said("a"), id="cut in a line"),
    pytest.param(b'data: {"b": {}', [], id="cut behind a brace"),
    pytest.param(b'data: {"b": [1]', [], id="cut behind a bracket"),
    pytest.param(b"", [], id="empty"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "events"), RULES)
def test_reads_by_the_rules(body: bytes, events: list[ServerEvent]) -> None:
    """Every rule holds for a body read whole, byte by byte, and cut in two anywhere."""
    assert parse(body) == events
    assert parse(*(body[at : at + 1] for at in range(len(body)))) == events
    for at in range(len(body) + 1):
        assert parse(body[:at], b"", body[at:]) == events


def shortened(body: bytes) -> bytes:
    """A long body without its middle, where one event is like the other: cutting is quadratic."""
    return body if len(body) < 4096 else body[:1024] + body[-1024:]


@pytest.mark.parametrize("name", SAMPLES)
def test_reads_every_sample_however_it_is_cut(name: str) -> None:
    """What servers send gives the same events whole, in small pieces, and cut in two anywhere."""
    body = SAMPLES[name]
    events = parse(body)
    assert events
    assert events == by_the_book(body)
    for size in (1, 7, 16_384):
        assert parse(*(body[at : at + size] for at in range(0, len(body), size))) == events
    body = shortened(body)
    events = parse(body)
    assert all(parse(body[:at], body[at:]) == events for at in range(len(body)))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_cut_body_gives_a_part_of_its_events(name: str) -> None:
    """Wherever a body ends early, the events are those that were whole, and no half one."""
    body = shortened(SAMPLES[name])
    events = parse(body)
    for at in range(len(body)):
        part = parse(body[:at])
        assert part == events[: len(part)]


@given(
    st.lists(
        st.sampled_from([b"data: ", b"a", b"\r", b"\n", b":", b"\xc3\xa9", b"{}", b"event: x"])
    ),
    st.lists(st.integers(0, 40)),
)
def test_cuts_never_matter(parts: list[bytes], cuts: list[int]) -> None:
    """Any body gives the same events whole as in any pieces."""
    body = b"".join(parts)
    edges = [0, *sorted(cuts), len(body)]
    chunks = [body[low:high] for low, high in pairwise(edges)]
    assert parse(*chunks) == parse(body)


def test_keeps_nothing_of_what_was_read() -> None:
    """An event is there as soon as its blank line is, and each event starts afresh."""
    parser = EventParser()
    assert parser.feed(b"event: x\ndata: a\n") == []
    assert parser.feed(b"\n") == [ServerEvent("x", "a")]
    assert parser.feed(b"data: b\r") == []
    assert parser.feed(b"\r") == said("b")
    assert parser.feed(b"\ndata: c\n\n") == said("c")
    assert parser.close() == []


MOST = 1 << 16
BIG = b"x" * (MOST // 2)


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([b"data: ", *[BIG] * 3], id="one line"),
        pytest.param([b"data: " + BIG + b"\n"] * 3, id="lines of one event"),
        pytest.param([b": ", *[BIG] * 3], id="a comment"),
        pytest.param([b"data: " + BIG * 3 + b"\n\n"], id="at once"),
        pytest.param([b"\xff" * 4096] * 20, id="no event at all"),
        pytest.param([b"data:\n" * 4096] * 20, id="empty lines of one event"),
    ],
)
def test_bounds_an_event(chunks: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that grows without end is an error long before it fills the memory."""
    monkeypatch.setattr(sse, "LARGEST_EVENT", MOST)
    with pytest.raises(BadOutputError, match="check that base_url"):
        parse(*chunks)


def test_takes_a_large_event_in_small_pieces() -> None:
    """A large event is read, also byte by byte, in time that grows with its size."""
    text = json.dumps("é" * (1 << 15), ensure_ascii=False)
    body = f"data: {text}\n\n".encode()
    assert parse(body) == said(text)
    assert parse(*(body[at : at + 1] for at in range(len(body)))) == said(text)


def test_many_events_are_no_large_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is on one event, not on the body."""
    monkeypatch.setattr(sse, "LARGEST_EVENT", MOST)
    body = b"data: " + BIG + b"\n\n"
    assert len(parse(*[body] * 5)) == 5
