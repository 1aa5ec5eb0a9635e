"""The least that can be done: a socket, bytes that are looked for, one validation an action.

It knows what this server sends, and does nothing for any fault: a limit, not a client.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from bench.peers import Ask, Given
from bench.peers.scan import Actions
from bench.task import MODEL, RESPONSE_FORMAT, Pair, messages

_START, _END = b'"delta":{"content":', b'},"finish_reason"'


class _Connection(asyncio.Protocol):
    """One connection; `body` is what is read, as it comes."""

    def __init__(self) -> None:
        self.found: Actions | None = None
        self.done: asyncio.Future[None] | None = None
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        at = 0
        while (start := data.find(_START, at)) >= 0 and (end := data.find(_END, start)) >= 0:
            text = json.loads(data[start + len(_START) : end])
            at = end
            if text and self.found is not None:
                self.found.feed(text)
        self._rest = data[at:]
        if self._rest.endswith(b"0\r\n\r\n") and self.done is not None:
            self._rest = b""
            self.done.set_result(None)


@asynccontextmanager
async def streamed(servers: Sequence[str]) -> AsyncGenerator[Ask, None]:
    """Connections are kept, as every library keeps them."""
    url = urlsplit(servers[0])
    idle: list[tuple[asyncio.Transport, _Connection]] = []
    loop = asyncio.get_running_loop()
    head = (
        f"POST {url.path}/chat/completions HTTP/1.1\r\nHost: {url.netloc}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    )

    async def ask(question: str, given: Given) -> list[Pair]:
        body = json.dumps(
            {
                "model": MODEL,
                "messages": messages(question),
                "response_format": RESPONSE_FORMAT,
                "stream": True,
            }
        ).encode()
        if idle:
            transport, connection = idle.pop()
        else:
            transport, connection = await loop.create_connection(
                _Connection, url.hostname, url.port
            )
        found = connection.found = Actions(given)
        connection.done = loop.create_future()
        transport.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
        await connection.done
        idle.append((transport, connection))
        return found.answer()

    yield ask
    for transport, _ in idle:
        transport.close()
