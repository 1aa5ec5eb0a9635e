"""The scripted server writes what its script says, to the byte, and notes what it was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from reflexarc.testing import Received, Reply, Server, event
from reflexarc.types import ToolCallDelta, Usage

PATIENCE_S = 30.0
REQUEST = b'POST /v1/x HTTP/1.1\r\nHost: robot\r\nX-Key: A b\r\nContent-Length: 8\r\n\r\n{"a": 1}'


class Client:
    """A client as plain as the server: bytes out, bytes in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, request: bytes = REQUEST) -> None:
        """Send a request."""
        self.writer.write(request)

    async def rest(self) -> bytes:
        """Read until the server closes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    async def until(self, end: bytes) -> bytes:
        """Read until and with some bytes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readuntil(end)

    async def close(self) -> None:
        """Close, however the connection is."""
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Client]:
    """Open a connection to the server."""
    client = Client(*await asyncio.open_connection("127.0.0.1", server.port))
    try:
        yield client
    finally:
        await client.close()


async def exchange(reply: Reply) -> tuple[bytes, Received]:
    """Send one request and read all that comes until the server closes."""
    async with Server(reply) as server, connected(server) as client:
        client.send()
        return await client.rest(), server.requests[0]


HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\n"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param(
            Reply(body=(b"one", b"", b"seventeen letters")),
            HEAD
            + b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n11\r\nseventeen letters\r\n0\r\n\r\n",
            id="chunked",
        ),
        pytest.param(
            Reply(body=(b"one", b"two"), framing="length"),
            HEAD + b"content-length: 6\r\n\r\nonetwo",
            id="length",
        ),
        pytest.param(Reply(body=(b"one",), framing="close"), HEAD + b"\r\none", id="until closed"),
        pytest.param(
            Reply(body=(b"one",), end="cut"),
            HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n",
            id="cut",
        ),
        pytest.param(
            Reply(429, {"Retry-After": "7", "Content-Length": "99"}, (b"x",), "length"),
            b"HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\n"
            b"Retry-After: 7\r\nContent-Length: 99\r\n\r\nx",
            id="own headers are stronger",
        ),
        pytest.param(
            Reply(529, framing="length"),
            b"HTTP/1.1 529 Unknown\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            id="a status without a name",
        ),
        pytest.param(Reply(None, body=(b"rub", b"bish")), b"rubbish", id="no HTTP at all"),
        pytest.param(Reply.nothing(), b"", id="nothing"),
    ],
)
async def test_writes_exactly_what_the_script_says(reply: Reply, expected: bytes) -> None:
    """Every byte of a response follows from its script."""
    assert (await exchange(replace(reply, keep_alive=False)))[0] == expected


@pytest.mark.parametrize("size", [1, 7, 16_384])
async def test_cuts_the_body_anew(size: int) -> None:
    """A body in pieces of some bytes is the same body, one chunk a piece, whatever its steps."""
    reply = Reply(body=(b"0123", b"456789", b"abcdef"), piece=size, keep_alive=False)
    data, _ = await exchange(reply)
    parts = data.partition(b"\r\n\r\n")[2].split(b"\r\n")
    sizes = [int(part, 16) for part in parts[:-3:2]]
    assert b"".join(parts[1:-3:2]) == b"0123456789abcdef"
    assert sizes == {1: [1] * 16, 7: [7, 7, 2], 16_384: [16]}[size]


async def test_pieces_are_not_joined_over_a_pause() -> None:
    """A pause or an event between two steps keeps them apart."""
    reply = Reply(body=(b"ab", 0.001, b"cd"), piece=16_384, keep_alive=False)
    data, _ = await exchange(reply)
    assert b"\r\n2\r\nab\r\n2\r\ncd\r\n" in data


async def test_waits_for_an_event_before_the_head_and_in_the_body() -> None:
    """A script goes on when the test says so, so that no test has to guess a time."""
    head, middle = asyncio.Event(), asyncio.Event()
    reply = Reply(body=(b"one", middle, b"two"), framing="length", wait=head)
    async with Server(reply) as server, connected(server) as client:
        client.send()
        await server.asked()
        early = asyncio.ensure_future(client.reader.read(1))
        assert not (await asyncio.wait({early}, timeout=0.05))[0]
        head.set()
        assert await early + await client.until(b"one")
        late = asyncio.ensure_future(client.reader.read(3))
        assert not (await asyncio.wait({late}, timeout=0.05))[0]
        middle.set()
        assert await late == b"two"


async def test_pauses_for_as_long_as_it_is_told() -> None:
    """A number in the body is a pause in seconds."""
    started = asyncio.get_running_loop().time()
    await exchange(Reply(body=(b"one", 0.1, b"two"), keep_alive=False))
    assert asyncio.get_running_loop().time() - started >= 0.1


async def test_breaks_the_connection() -> None:
    """A reset reaches the client as such, after the bytes before it."""
    async with (
        Server(Reply(body=(b"one", 0.05), end="reset")) as server,
        connected(server) as client,
    ):
        client.send()
        assert (await client.until(b"one")).endswith(b"one")
        with pytest.raises(ConnectionResetError):
            await client.rest()


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(body=(b"one",), end="stall"), id="stall at the end"),
        pytest.param(Reply(body=(b"one", 3600.0)), id="pause"),
        pytest.param(Reply(body=(b"one", *(b": ping\n\n", 0.01) * 100_000)), id="while writing"),
    ],
)
async def test_notes_that_the_client_left(reply: Reply) -> None:
    """A client that closes before its reply is over is seen at once, with the time."""
    loop = asyncio.get_running_loop()
    async with Server(reply) as server:
        async with connected(server) as client:
            client.send()
            await client.until(b"one")
            before = loop.time()
        request = server.requests[0]
        async with asyncio.timeout(PATIENCE_S):
            await request.left.wait()
        assert request.left_at_s is not None
        assert before <= request.left_at_s < before + 5


@pytest.mark.parametrize("end", ["whole", "cut", "reset"])
async def test_a_client_that_has_its_reply_did_not_leave_early(end: Any) -> None:
    """What the server ends itself is not held against the client."""
    async with Server(Reply(body=(b"one",), end=end)) as server:
        async with connected(server) as client:
            client.send()
            await client.until(b"one")
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.05)
        assert server.requests[0].left_at_s is None


async def test_records_the_request() -> None:
    """A request is kept as it arrived: line, headers, body and time."""
    started = asyncio.get_running_loop().time()
    _, request = await exchange(Reply(keep_alive=False))
    assert (request.method, request.path, request.json) == ("POST", "/v1/x", {"a": 1})
    assert request.headers == {"host": "robot", "x-key": "A b", "content-length": "8"}
    assert started <= request.at_s <= asyncio.get_running_loop().time()


async def test_keeps_a_connection_for_the_next_request() -> None:
    """Requests follow each other on one connection until a reply says that it closes."""
    replies = (
        Reply.text("a"),
        Reply.json({}),
        Reply(body=(b"c",)),
        replace(Reply.text("d"), keep_alive=False),
    )
    async with Server(*replies) as server, aiohttp.ClientSession() as session:
        for path in ("/0", "/1?q=1", "/2", "/3", "/4"):
            async with session.get(f"http://127.0.0.1:{server.port}{path}") as response:
                await response.read()
        assert [request.connection for request in server.requests] == [0, 0, 0, 0, 1]
        assert [request.path for request in server.requests] == ["/0", "/1?q=1", "/2", "/3", "/4"]
        assert server.connections == 2


async def test_serves_connections_side_by_side() -> None:
    """A client that waits holds nobody else up."""
    gate = asyncio.Event()
    async with (
        Server(Reply(wait=gate), Reply.text("second")) as server,
        connected(server) as first,
        connected(server) as second,
    ):
        first.send()
        await server.asked()
        second.send()
        await second.until(b"second")
        gate.set()
        await first.until(b"0\r\n\r\n")


async def test_says_when_the_script_is_over() -> None:
    """A request too many gets status 501 and a sentence, until more replies are added."""
    async with Server() as server, aiohttp.ClientSession() as session:
        async with session.get(server.base_url) as response:
            assert response.status == 501
            assert await response.text() == "No reply is scripted for GET /v1."
        server.add(Reply.json({"a": 1}))
        async with session.get(server.base_url) as response:
            assert await response.json() == {"a": 1}


async def test_computes_replies() -> None:
    """A route makes each reply of its request, so that a path or a body can misbehave."""

    def route(request: Received) -> Reply:
        return Reply.text(f"{request.path} {request.json['a']}")

    async with Server(route=route) as server, connected(server) as client:
        client.send()
        assert await client.until(b"/v1/x 1")


async def test_waits_for_requests() -> None:
    """`asked` gives the request that a test waits for."""
    async with Server(Reply.text("a"), Reply.text("b")) as server, connected(server) as client:
        client.send()
        assert await server.asked() is server.requests[0]
        waiting = asyncio.ensure_future(server.asked(2))
        await client.until(b"a")
        assert not waiting.done()
        client.send(b"GET /next HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            assert (await waiting).path == "/next"


async def test_closing_it_breaks_what_is_open() -> None:
    """The end of the server is the end of its connections, also of those with bytes unread."""
    size = 64 << 20
    async with Server(Reply(body=(bytes(size),))) as server:
        client = Client(*await asyncio.open_connection("127.0.0.1", server.port))
        client.send()
        await server.asked()
    with suppress(ConnectionError):
        assert len(await client.rest()) < size
    await client.close()


def events_in(reply: Reply) -> list[Any]:
    """Parse the events of a streamed reply; the end mark stays text."""
    body = b"".join(step for step in reply.body if isinstance(step, bytes)).decode()
    data = [part.removeprefix("data: ") for part in body.split("\n\n") if part]
    return [text if text == "[DONE]" else json.loads(text) for text in data]


def test_streams_texts() -> None:
    """Texts become the chunks of the chat dialect, with a reason, counts and an end mark."""
    *chunks, last, usage, done = events_in(Reply.stream("a", "é\n", usage=Usage(3, 2, 1)))
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"content": "a"},
        {"content": "é\n"},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None]
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert usage["choices"] == []
    assert usage["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1},
    }
    assert done == "[DONE]"


def test_streams_tool_calls_and_steps() -> None:
    """Pieces of tool calls keep only what they have, and other steps stay where they are."""
    gate = asyncio.Event()
    reply = Reply.stream(
        ToolCallDelta("move", "", 0, "call1"),
        gate,
        0.5,
        b": ping\n\n",
        ToolCallDelta(arguments='{"', index=0),
        finish=None,
        done=False,
    )
    assert reply.body[1:4] == (gate, 0.5, b": ping\n\n")
    first, second = events_in(replace(reply, body=(reply.body[0], reply.body[4])))
    assert first["choices"][0]["delta"]["tool_calls"] == [
        {"index": 0, "id": "call1", "function": {"name": "move"}}
    ]
    assert second["choices"][0]["delta"]["tool_calls"] == [
        {"index": 0, "function": {"arguments": '{"'}}
    ]


def test_writes_an_event() -> None:
    """An event is its name and its data as JSON on one line."""
    assert event({"a": "é"}) == 'data: {"a": "é"}\n\n'.encode()
    assert event([1], "error") == b"event: error\ndata: [1]\n\n"


@pytest.mark.parametrize(
    ("name", "data", "media", "steps"),
    [
        ("a.sse", b"data: 1\n\ndata: 2\n\n", "text/event-stream", 2),
        ("cut.sse", b"data: 1\n\ndata: {", "text/event-stream", 2),
        ("crlf.sse", b"data: 1\r\n\r\ndata: 2\r\n\r\n", "text/event-stream", 2),
        ("a.json", b"{}\n", "application/json", 1),
        ("a.html", b"<html>", "text/html", 1),
        ("a.txt", b"\n\n{}", "text/plain", 1),
    ],
)
def test_serves_samples(name: str, data: bytes, media: str, steps: int, tmp_path: Path) -> None:
    """A recorded body is served byte for byte, a stream one event at a time."""
    (tmp_path / name).write_bytes(data)
    reply = Reply.sample(tmp_path / name, 418)
    assert b"".join(step for step in reply.body if isinstance(step, bytes)) == data
    assert len(reply.body) == steps
    assert (reply.status, reply.headers) == (418, {"Content-Type": media})


async def test_greetings_are_no_part_of_the_script() -> None:
    """HEAD is answered without using up a reply, is kept apart, and keeps its connection."""
    async with Server(Reply.text("first")) as server, connected(server) as client:
        client.send(b"HEAD /v1 HTTP/1.1\r\nHost: robot\r\n\r\n")
        head = await client.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n")
        assert server.requests == []
        assert server.connections == 0
        client.send()
        assert await client.until(b"first")
        (greeting,), (request,) = server.greetings, server.requests
        assert (greeting.method, greeting.path, greeting.connection) == ("HEAD", "/v1", 0)
        assert (request.method, request.connection) == ("POST", 0)


async def test_a_route_makes_no_reply_to_greetings() -> None:
    """Where replies are computed, HEAD is answered by the server itself as well."""

    def route(request: Received) -> Reply:
        raise AssertionError(request)

    async with Server(route=route) as server, aiohttp.ClientSession() as session:
        async with session.head(server.base_url) as response:
            assert response.status == 200
        assert len(server.greetings) == 1
