"""A server for benches: bytes made beforehand, a process of its own, so that it is not measured.

What to answer is written in the address, before ``/v1``: ``whole`` (one JSON reply), ``once-N`` (N
tokens in one write) or ``each-N-MS-S`` (N tokens, one a write, MS milliseconds apart; streams take
S turns within those, so with 1 they are in step, as where one server computes them all). ``GET
/asked`` gives the last request's body; ``GET /stamps`` gives when first actions were written, by
the number after ``#`` in the question, and forgets them.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import re
import sys
import time
from functools import cache

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: "
_NUMBER = re.compile(rb"#(\d+)")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_TOKEN = re.compile(r' ?\w+|[{}\[\]":,]+|.')
_SENTENCE = (
    "Hello there, I can see you next to the door. It is a sunny day, so let us walk to the park "
    "together, and I will carry the ball for you."
)


@cache
def tokens(count: int) -> tuple[str, ...]:
    """An answer of about that many tokens, as a model would cut it; the first action is speech."""
    actions: list[dict[str, str]] = []
    todo = itertools.cycle((("speak", _SENTENCE), ("move", "wag tail"), ("emotion", "happy")))
    while len(pieces := _cut(actions)) < count:
        type_, value = next(todo)
        actions.append({"type": type_, "value": value})
    return pieces


def _cut(actions: list[dict[str, str]]) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(json.dumps({"actions": actions}, separators=(",", ":"))))


FIRST_ACTION = next(at for at, text in enumerate(tokens(9), 1) if "}" in text)
"""How many tokens complete the first action."""


def _choice(message: str, content: dict[str, str], finish: str | None) -> bytes:
    reply = {
        "id": "chatcmpl-3f1c9a7be2d84b5c",
        "object": "chat.completion" + (".chunk" if message == "delta" else ""),
        "created": 1_790_000_000,
        "model": "mistral-small-latest",
        "choices": [{"index": 0, message: content, "finish_reason": finish}],
    }
    if finish:
        reply["usage"] = {"prompt_tokens": 1057, "completion_tokens": 60, "total_tokens": 1117}
    return json.dumps(reply, separators=(",", ":")).encode()


def _chunk(data: bytes) -> bytes:
    """One event as one chunk of the body, as servers send it."""
    event = b"data: " + data + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


@cache
def _stream(count: int) -> tuple[bytes, ...]:
    """The head with the first event, an event for each token, the end."""
    head = _HEAD + b"text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    begin = _chunk(_choice("delta", {"role": "assistant", "content": ""}, None))
    middle = (_chunk(_choice("delta", {"content": text}, None)) for text in tokens(count))
    end = _chunk(_choice("delta", {"content": ""}, "stop")) + _chunk(b"[DONE]") + b"0\r\n\r\n"
    return (head + begin, *middle, end)


@cache
def _stream_at_once(count: int) -> bytes:
    return b"".join(_stream(count))


def _json(body: bytes) -> bytes:
    return b"%bapplication/json\r\nContent-Length: %d\r\n\r\n%b" % (_HEAD, len(body), body)


_WHOLE = _json(_choice("message", {"role": "assistant", "content": "".join(tokens(60))}, "stop"))


class Peer(asyncio.Protocol):
    """One connection; the next request begins when the last answer has ended."""

    asked = b"{}"
    stamps: dict[int, int] = {}  # noqa: RUF012 - of all connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        """Take bytes, and answer when they are a request."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if end and len(body) >= (int(length[1]) if length else 0):
            self._received = b""
            self._answer(head.split(b" ", 2)[1].decode().split("/")[1], body)

    def _answer(self, what: str, body: bytes) -> None:
        how, *numbers = what.split("-")
        if how in ("asked", "stamps"):
            stamps = json.dumps(Peer.stamps).encode()
            self._transport.write(_json(Peer.asked if how == "asked" else stamps))
            Peer.stamps.clear()
            return
        Peer.asked = body
        if how == "whole":
            self._transport.write(_WHOLE)
        elif how == "once":
            self._transport.write(_stream_at_once(int(numbers[0])))
        else:
            count, pause_ms, turns = map(int, numbers)
            number, pause_s = int(_NUMBER.findall(body)[-1]), pause_ms / 1e3
            due = (time.monotonic() // pause_s + 1 + number % turns / turns) * pause_s
            asyncio.get_running_loop().call_at(
                due, self._pace, number, _stream(count), 0, pause_s, due
            )

    def _pace(
        self, number: int, events: tuple[bytes, ...], at: int, pause_s: float, due: float
    ) -> None:
        if self._transport.is_closing():
            return
        if at == FIRST_ACTION:  # event 0 is the one before the first token
            Peer.stamps[number] = time.monotonic_ns()
        self._transport.write(events[at])
        at += 1
        if at < len(events):
            # On time again after a delay, but never two at once.
            due = max(due + pause_s, time.monotonic() + pause_s / 2)
            loop = asyncio.get_running_loop()
            loop.call_at(due, self._pace, number, events, at, pause_s, due)


async def main() -> None:
    """Serve until standard input ends, which it does when whoever started this is gone."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Peer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
