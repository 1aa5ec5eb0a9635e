"""The server of the comparison: bytes made beforehand, a process of its own, so it is not measured.

    python -m bench.server          prints its port; ends when its standard input does

What to answer is written in the address before ``/v1``: ``A-P-F-S`` is an answer of A actions, a
token every P milliseconds, the first after F; streams take S turns within P, so that with 1 they
are in step, as where one machine computes them all. With P = 0 everything is written at once. A
request that is not streamed gets the same answer in one piece when its last token is due. Requests
with tools are answered by a call of the first one. ``GET /stamps`` gives, by the number after ``#``
in the question, when the first action and the answer were complete on the wire (monotonic clock,
ns), and forgets them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from bench.task import MODEL, actions, written

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n"
_NUMBER = re.compile(rb"\(#(\d+)\)")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_TOKEN = re.compile(r' ?\w+|[{}\[\]":,]+|.')
# Told with every piece: langchain-mistralai takes a piece without it for another call.
_CALL = "call00001"
_SCENARIO = re.compile(r"/(\d+)-([\d.]+)-([\d.]+)-(\d+)/")


@cache
def tokens(count: int, field: str = "actions") -> tuple[str, ...]:
    """An answer of so many actions, cut as a model would cut it."""
    return tuple(_TOKEN.findall(written(actions(count), field)))


@cache
def first_action(count: int, field: str = "actions") -> int:
    """How many tokens complete the first action."""
    return next(at for at, text in enumerate(tokens(count, field), 1) if "}" in text)


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer is to be written: as text, or as arguments of a tool; in pieces, or whole."""

    tool: str | None
    field: str
    streams: bool
    usage: bool

    @classmethod
    def of(cls, request: dict[str, Any]) -> Form:
        """What a request asks for."""
        streams = bool(request.get("stream"))
        usage = bool((request.get("stream_options") or {}).get("include_usage"))
        if not request.get("tools"):
            return cls(None, "actions", streams, usage)
        tool = request["tools"][0]["function"]
        # Some libraries wrap a list in an object, by a name of their own.
        field = next(iter(tool.get("parameters", {}).get("properties", {})), "actions")
        return cls(tool["name"], field, streams, usage)


def _reply(form: Form, message: dict[str, Any], finish: str | None) -> bytes:
    reply: dict[str, Any] = {
        "id": "chatcmpl-3f1c9a7be2d84b5c",
        "object": "chat.completion" + (".chunk" if form.streams else ""),
        "created": 1_790_000_000,
        "model": MODEL,
        "choices": [
            {"index": 0, "delta" if form.streams else "message": message, "finish_reason": finish}
        ],
    }
    if finish and not form.streams:
        reply["usage"] = {"prompt_tokens": 157, "completion_tokens": 120, "total_tokens": 277}
    return json.dumps(reply, separators=(",", ":")).encode()


_USAGE = json.dumps(
    {
        "id": "chatcmpl-3f1c9a7be2d84b5c",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": MODEL,
        "choices": [],
        "usage": {"prompt_tokens": 157, "completion_tokens": 120, "total_tokens": 277},
    },
    separators=(",", ":"),
).encode()


def _chunk(data: bytes) -> bytes:
    """One event as one chunk of the body, as servers send it."""
    event = b"data: " + data + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


@cache
def events(count: int, form: Form) -> tuple[bytes, ...]:
    """The head with the first event, an event for each token, the end."""
    call = {"index": 0, "id": _CALL, "type": "function"}
    if form.tool is None:
        pieces = [{"content": text} for text in tokens(count)]
        begin: dict[str, Any] = {"role": "assistant", "content": ""}
        end: dict[str, Any] = {"content": ""}
    else:
        pieces = [
            {"tool_calls": [{"index": 0, "id": _CALL, "function": {"arguments": text}}]}
            for text in tokens(count, form.field)
        ]
        named = call | {"function": {"name": form.tool, "arguments": ""}}
        begin, end = {"role": "assistant", "content": None, "tool_calls": [named]}, {}
    head = _HEAD % b"text/event-stream" + b"Transfer-Encoding: chunked\r\n\r\n"
    finish = "stop" if form.tool is None else "tool_calls"
    usage = _chunk(_USAGE) if form.usage else b""
    return (
        head + _chunk(_reply(form, begin, None)),
        *(_chunk(_reply(form, piece, None)) for piece in pieces),
        _chunk(_reply(form, end, finish)) + usage + _chunk(b"[DONE]") + b"0\r\n\r\n",
    )


@cache
def whole(count: int, form: Form) -> bytes:
    """The same answer in one piece."""
    text = written(actions(count), form.field)
    if form.tool is None:
        message: dict[str, Any] = {"role": "assistant", "content": text}
    else:
        function = {"name": form.tool, "arguments": text}
        call = {"id": _CALL, "type": "function", "function": function}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return _json(_reply(form, message, "stop" if form.tool is None else "tool_calls"))


def _json(body: bytes) -> bytes:
    return _HEAD % b"application/json" + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


@dataclass(frozen=True, slots=True)
class Pace:
    """When the pieces of one answer are due, in seconds after the request."""

    count: int
    pause_s: float
    first_s: float
    turns: int

    @classmethod
    def of(cls, path: str) -> Pace | None:
        """Read the address of a request."""
        found = _SCENARIO.match(path)
        if found is None:
            return None
        count, pause_ms, first_ms, turns = found.groups()
        return cls(int(count), float(pause_ms) / 1e3, float(first_ms) / 1e3, int(turns))

    def due_s(self, number: int) -> float:
        """When the first token of a stream is due: its turn within the pause is added."""
        return self.first_s + number % self.turns / self.turns * self.pause_s

    def whole_s(self, number: int) -> float:
        """When the last token of a stream is due."""
        return self.due_s(number) + (len(tokens(self.count)) - 1) * self.pause_s


class Connection(asyncio.Protocol):
    """One connection; the next request begins when the last answer has ended."""

    stamps: dict[int, list[int]] = {}  # noqa: RUF012 - of all connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._received = b""

    def data_received(self, data: bytes) -> None:
        """Take bytes, and answer when they are a request."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if end and len(body) >= (int(length[1]) if length else 0):
            self._received = b""
            method, path, _ = head.split(b" ", 2)
            self._answer(method, path.decode(), body)

    def _answer(self, method: bytes, path: str, body: bytes) -> None:
        pace = Pace.of(path)
        if path == "/stamps":
            self._transport.write(_json(json.dumps(Connection.stamps).encode()))
            Connection.stamps.clear()
            return
        if pace is None or method != b"POST":
            self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        form = Form.of(json.loads(body))
        found = _NUMBER.search(body)
        number = int(found[1]) if found else 0
        due_s, first = pace.due_s(number), first_action(pace.count, form.field) - 1
        if form.streams:
            # The head leaves at once, as that of a server which has taken the request.
            head, *pieces = events(pace.count, form)
        else:
            head, pieces = b"", [whole(pace.count, form)]
            due_first = self._loop.time() + due_s + first * pace.pause_s
            Connection.stamps[number] = [round(due_first * 1e9)] * 2
            due_s += (len(tokens(pace.count, form.field)) - 1) * pace.pause_s
        if due_s:
            if head:
                self._transport.write(head)
            due = self._loop.time() + due_s
            answer = _Answer(number, pieces, first, pace.pause_s)
            self._loop.call_at(due, self._pace, answer, 0, due)
        else:
            self._transport.write(head + b"".join(pieces))

    def _pace(self, answer: _Answer, at: int, due: float) -> None:
        if self._transport.is_closing():
            return
        last = len(answer.pieces) - 1
        self._stamp(answer, at, max(0, last - 1))
        self._transport.write(answer.pieces[at])
        if at < last - 1:
            # On time again after a delay, but never two at once.
            due = max(due + answer.pause_s, self._loop.time() + answer.pause_s / 2)
            self._loop.call_at(due, self._pace, answer, at + 1, due)
        elif at == last - 1:  # the last token; behind it only the end is left
            self._transport.write(answer.pieces[last])

    def _stamp(self, answer: _Answer, at: int, last_token: int) -> None:
        """Note when the first action and the whole answer are on the wire.

        A whole answer's first action is stamped by when its stream would have had it.
        """
        if at not in (answer.first, last_token):
            return
        now = time.monotonic_ns()
        stamp = Connection.stamps.setdefault(answer.number, [now, now])
        stamp[1] = now


@dataclass(frozen=True, slots=True)
class _Answer:
    """One answer under way: its pieces, and which of them completes the first action."""

    number: int
    pieces: Sequence[bytes]
    first: int
    pause_s: float


async def main() -> None:
    """Serve until standard input ends, which it does when whoever started this is gone."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
