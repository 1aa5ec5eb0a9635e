"""The server of the comparison: what it writes, and when."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from bench.server import Connection, Pace, first_action, tokens
from bench.task import QUESTION, SCHEMA, actions, written

COUNT = 2


@asynccontextmanager
async def server() -> AsyncGenerator[int, None]:
    """Its port."""
    loop = asyncio.get_running_loop()
    async with await loop.create_server(Connection, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1]


async def exchange(port: int, path: str, request: dict[str, Any] | None) -> bytes:
    """The body of a reply, without the frames of its chunks."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        body = b"" if request is None else json.dumps(request).encode()
        method = b"GET" if request is None else b"POST"
        head = b"%b %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (method, path.encode(), len(body))
        writer.write(head + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if b"chunked" not in answer:
            length = int(answer.partition(b"Content-Length: ")[2].split()[0])
            return await reader.readexactly(length)
        pieces: list[bytes] = []
        while size := int(await reader.readline(), 16):
            pieces.append(await reader.readexactly(size))
            await reader.readexactly(2)
        return b"".join(pieces)
    finally:
        writer.close()
        await writer.wait_closed()


def asking(number: int, **more: Any) -> dict[str, Any]:
    """A request."""
    return {"messages": [{"role": "user", "content": QUESTION % number}], **more}


def deltas(body: bytes) -> list[dict[str, Any]]:
    """What is in each event of a stream that ends as streams end."""
    *events, done, rest = body.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    parsed = [json.loads(event.removeprefix(b"data: ")) for event in events]
    return [each["choices"][0]["delta"] for each in parsed if each["choices"]]


def test_an_answer_is_some_120_tokens_and_begins_with_a_sentence() -> None:
    """The tokens are the answer, and the first action is complete after a few of them."""
    assert "".join(tokens(4)) == written(actions(4))
    assert 110 <= len(tokens(4)) <= 125
    assert '"}' in "".join(tokens(4)[: first_action(4)])
    assert '"}' not in "".join(tokens(4)[: first_action(4) - 1])


async def test_a_stream_comes_in_pieces_and_is_the_answer() -> None:
    """Every token is an event of its own."""
    async with server() as port:
        body = await exchange(port, f"/{COUNT}-0-0-1/v1/chat/completions", asking(1, stream=True))
    texts = [delta["content"] for delta in deltas(body) if delta.get("content")]
    assert texts == list(tokens(COUNT))


async def test_the_whole_answer_is_the_same() -> None:
    """Who does not ask for a stream gets one JSON object."""
    async with server() as port:
        body = await exchange(port, f"/{COUNT}-0-0-1/v1/chat/completions", asking(1))
    assert json.loads(body)["choices"][0]["message"]["content"] == written(actions(COUNT))


@pytest.mark.parametrize("field", ["actions", "tasks"])
async def test_a_tool_is_called_with_its_own_field(field: str) -> None:
    """The name of the list is that of the request's schema."""
    parameters = {"properties": {field: SCHEMA["properties"]["actions"]}}
    tools = [{"type": "function", "function": {"name": "plan", "parameters": parameters}}]
    async with server() as port:
        path = f"/{COUNT}-0-0-1/v1/chat/completions"
        streamed = deltas(await exchange(port, path, asking(1, stream=True, tools=tools)))
        whole = json.loads(await exchange(port, path, asking(1, tools=tools)))
    calls = [call["function"] for delta in streamed for call in delta.get("tool_calls", ())]
    assert calls[0]["name"] == "plan"
    assert "".join(call["arguments"] for call in calls) == written(actions(COUNT), field)
    [call] = whole["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": "plan", "arguments": written(actions(COUNT), field)}


@pytest.mark.parametrize("stream", [True, False])
async def test_tokens_are_written_when_they_are_due(stream: bool) -> None:
    """The first action and the end are stamped by the schedule, never before it."""
    pause_ms, first_ms = 4, 40
    async with server() as port:
        begun = time.monotonic_ns()
        path = f"/{COUNT}-{pause_ms}-{first_ms}-1/v1/chat/completions"
        await exchange(port, path, asking(7, stream=stream))
        ended = time.monotonic_ns()
        stamps = json.loads(await exchange(port, "/stamps", None))
        assert json.loads(await exchange(port, "/stamps", None)) == {}, "they are told once"
    first, last = stamps["7"]
    due_first = first_ms + (first_action(COUNT) - 1) * pause_ms
    due_last = first_ms + (len(tokens(COUNT)) - 1) * pause_ms
    assert first - begun >= (due_first - 1) * 1e6
    assert last - begun >= (due_last - 1) * 1e6
    assert first < last <= ended


def test_the_schedule_says_when_an_answer_is_complete() -> None:
    """The wait, the tokens, and a stream's turn."""
    pace = Pace.of("/4-20-200-50/v1/chat/completions")
    assert pace is not None
    steps = len(tokens(4)) - 1
    assert pace.whole_s(0) == pytest.approx(0.2 + steps * 0.02)
    assert pace.whole_s(25) - pace.whole_s(0) == pytest.approx(0.01)


async def test_what_is_no_question_is_not_found() -> None:
    """A greeting is answered, so that a client that sends one is measured with it."""
    async with server() as port:
        assert await exchange(port, "/1-0-0-1/v1/models", None) == b""
