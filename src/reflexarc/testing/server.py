"""An HTTP server on loopback that does exactly what a script says, faults included.

No web framework and no HTTP library: every byte, every pause and every way to end a connection is
written here, because these are what a client is tested against.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from types import TracebackType
from typing import Any, Self

from reflexarc.testing.reply import Reply, Step

_GREETED = Reply(framing="length")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 s


@dataclass(slots=True)
class Received:
    """One request, as it arrived, and what became of its reply.

    Parameters
    ----------
    method, path : str
        As in the request line.
    headers : mapping of str to str
        Names in lower case.
    body : bytes
        As it was sent.
    connection : int
        Which of the server's connections it came by, from 0.
    at_s : float
        The loop's time when it was complete.
    left_at_s : float or None, default None
        The loop's time when the client closed the connection before the reply was over, if it did.
    left : asyncio.Event, default asyncio.Event()
        Set at that moment; put a timeout around its ``wait``.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int
    at_s: float
    left_at_s: float | None = None
    left: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def json(self) -> Any:
        """The body as parsed JSON."""
        return json.loads(self.body)


class Server:
    """A scripted HTTP/1.1 server on a free loopback port; an async context manager.

    HEAD, by which clients have a connection opened before they need it, is no part of the script:
    it is answered with status 200, and the connection is kept.

    Parameters
    ----------
    *replies : Reply
        What it answers, one a request; when there is none left, status 501.
    route : callable or None, default None
        Makes the reply of each request instead.
    tls : ssl.SSLContext or None, default None
        With a certificate loaded, to serve https.

    Raises
    ------
    ValueError
        If both `replies` and `route` are given.

    Attributes
    ----------
    requests : list of Received
        Every request so far but HEAD, in order.
    greetings : list of Received
        Every HEAD so far, in order.
    """

    def __init__(
        self,
        *replies: Reply,
        route: Callable[[Received], Reply] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if replies and route is not None:
            raise ValueError("a server takes its replies or a route, not both")
        self.requests: list[Received] = []
        self.greetings: list[Received] = []
        self._replies = deque(replies)
        self._route = route
        self._tls = tls
        self._numbers = count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Condition()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens; only inside ``async with``."""
        assert self._server is not None, "the server listens only inside `async with`"
        return self._server.sockets[0].getsockname()[1]

    @property
    def base_url(self) -> str:
        """``http://127.0.0.1:PORT/v1``."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/v1"

    @property
    def connections(self) -> int:
        """How many connections brought a request; those that brought a greeting alone are none."""
        return len({request.connection for request in self.requests})

    def add(self, *replies: Reply) -> None:
        """Queue more replies.

        Parameters
        ----------
        *replies : Reply
            After those that are queued already.
        """
        self._replies.extend(replies)

    async def asked(self, times: int = 1) -> Received:
        """Wait for a request; put a timeout around it.

        Parameters
        ----------
        times : int, default 1
            How many requests there have to be.

        Returns
        -------
        Received
            The last of them.
        """
        async with self._news:
            await self._news.wait_for(lambda: len(self.requests) >= times)
        return self.requests[times - 1]

    async def __aenter__(self) -> Self:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Break what is open and close."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self) -> _Connection:
        return _Connection(self._start)

    def _start(self, connection: _Connection, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(connection, writer), name="scripted server")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: _Connection, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        number = next(self._numbers)
        # Then drain waits until all is sent. asyncio's TLS pauses where as much as the limit is
        # buffered, not more: with 0 it would wait for ever with nothing left to send.
        writer.transport.set_write_buffer_limits(high=1 if self._tls else 0, low=0)
        try:
            while request := await _read_request(connection.reader, number):
                if request.method == "HEAD":
                    self.greetings.append(request)
                    reply = _GREETED
                else:
                    async with self._news:
                        self.requests.append(request)
                        self._news.notify_all()
                    reply = self._reply_to(request)
                if not await connection.unless_lost(_play(reply, writer)):
                    request.left_at_s = asyncio.get_running_loop().time()
                    request.left.set()
                if writer.is_closing():
                    break
        except asyncio.CancelledError:
            writer.transport.abort()  # also what nobody has read yet
            raise
        finally:
            writer.close()

    def _reply_to(self, request: Received) -> Reply:
        if self._route is not None:
            return self._route(request)
        if self._replies:
            return self._replies.popleft()
        return Reply.text(f"No reply is scripted for {request.method} {request.path}.", 501)


class _Connection(asyncio.StreamReaderProtocol):
    """A stream that knows when its client has gone, also while nobody reads or writes."""

    def __init__(self, serve: Callable[[_Connection, asyncio.StreamWriter], None]) -> None:
        self.reader = asyncio.StreamReader()
        self._lost = asyncio.Event()
        super().__init__(self.reader, lambda _, writer: serve(self, writer))

    def eof_received(self) -> bool:
        """Take a client that sends nothing more as gone: closes the transport."""
        super().eof_received()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake who waits in `unless_lost`."""
        super().connection_lost(exc)
        self._lost.set()

    async def unless_lost(self, play: Coroutine[Any, Any, None]) -> bool:
        """Run a reply to its end, or until the client has gone; whether it reached its end."""
        playing, lost = asyncio.create_task(play), asyncio.create_task(self._lost.wait())
        try:
            await asyncio.wait({playing, lost}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            playing.cancel()
            lost.cancel()
            await asyncio.wait({playing, lost})
        try:
            await playing
        except (asyncio.CancelledError, ConnectionError):
            return False
        return True


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Received | None:
    """The next request of a connection; None when it is closed."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        method, path, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    now = asyncio.get_running_loop().time()
    return Received(method, path, headers, body, connection, now)


async def _play(reply: Reply, writer: asyncio.StreamWriter) -> None:
    """Write a reply, step by step."""
    await _pass(reply.wait)
    chunked = reply.framing == "chunked" and reply.status is not None
    if reply.status is not None:
        writer.write(_head(reply.status, reply))
    for step in _steps(reply):
        if isinstance(step, bytes):
            writer.write(b"%x\r\n%b\r\n" % (len(step), step) if chunked else step)
            await writer.drain()
            await asyncio.sleep(0)  # a client in the same loop can read it on its own
        else:
            await _pass(step)
    if reply.end == "whole" and chunked:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    if reply.end == "stall":
        await asyncio.Event().wait()
    if reply.end == "reset":
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        writer.transport.abort()
    elif reply.end == "cut" or not reply.keep_alive or reply.framing == "close":
        writer.close()


async def _pass(wait: float | asyncio.Event) -> None:
    if isinstance(wait, asyncio.Event):
        await wait.wait()
    elif wait:
        await asyncio.sleep(wait)


def _head(status: int, reply: Reply) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    headers = {"connection": "keep-alive" if reply.keep_alive else "close"}
    if reply.framing == "chunked":
        headers["transfer-encoding"] = "chunked"
    elif reply.framing == "length":
        size = sum(len(step) for step in reply.body if isinstance(step, bytes))
        headers["content-length"] = str(size)
    else:
        headers["connection"] = "close"
    given = {name.lower() for name in reply.headers}
    lines = [
        f"HTTP/1.1 {status} {phrase}",
        *(f"{name}: {value}" for name, value in headers.items() if name not in given),
        *(f"{name}: {value}" for name, value in reply.headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _steps(reply: Reply) -> Iterator[Step]:
    """The steps, those of bytes joined and cut anew where `piece` says so; none of them empty."""
    if reply.piece is None:
        yield from (step for step in reply.body if step != b"")
        return
    run = bytearray()
    for step in reply.body:
        if isinstance(step, bytes):
            run += step
            continue
        yield from _cut(bytes(run), reply.piece)
        run.clear()
        yield step
    yield from _cut(bytes(run), reply.piece)


def _cut(data: bytes, size: int) -> Iterable[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))
