"""The server of the page: static files, events as they happen, and what a person says."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from reflexarc.errors import ConfigError, StorageError
from reflexarc.memory import Memory
from reflexarc.telemetry import Metrics
from reflexarc.types import as_object, whole_characters
from reflexarc.web.door import Door
from reflexarc.web.fence import HEADERS, Fence, Handler, refusal
from reflexarc.web.page import MOST_TICKS, Page

_http_log = logging.getLogger(f"{__name__}.http")
_http_log.addFilter(lambda record: not _is_bad_request(record))

HOST = "127.0.0.1"
"""Where the page is, unless another address is asked for: this machine alone can see it."""

PORT = 8000
"""The page's port, unless another one is asked for, or this one is taken."""

LONGEST_SAID = 2000
"""Characters of one sentence that a person may say."""

# Not by the system's own table: on some it has no JavaScript, and browsers insist.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_LARGEST = 16 * 1024  # bytes of a request
_ALIVE_S = 15.0  # silence after which a watcher is told that we are here
_STUCK_S = 30.0  # for which a watcher may not read before it is let go
_HEARD_S = 10.0  # for which a request may take to arrive
_EVERYWHERE = ("0.0.0.0", "::")
_CLOSING_S = 1.0
_NO_METRICS = (
    "this robot counts nothing; install reflexarc[metrics], and leave telemetry on in its file"
)
_LINGERING_S = 0.2  # for which the rest of a request that is refused is read, so that it hears why


class PageServer:
    """Serves one robot's page, for as long as it is entered.

    Parameters
    ----------
    page : Page
        What is shown.
    say : callable
        Is given what a person says.
    memory : Memory or None, default None
        Where older ticks are looked up.
    host : str, default HOST
        Address to serve on; with another than a loopback one, a token is needed to see the page.
    port : int or None, default None
        None is `PORT`, or any other that is free where that one is taken; 0 is any.
    token : str or None, default None
        What one needs to see the page; None makes one where it is needed.
    metrics : Metrics or None, default None
        What ``/metrics`` tells.

    Attributes
    ----------
    url : str
        Where the page is, with its token; once this is entered.
    """

    def __init__(
        self,
        page: Page,
        say: Callable[[str], None],
        memory: Memory | None = None,
        *,
        host: str = HOST,
        port: int | None = None,
        token: str | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._page = page
        self._say = say
        self._memory = memory
        self._metrics = metrics
        self._host = host
        self._port = port
        self._fence = Fence(host, token)
        self._files: Mapping[str, _File] = {}
        self._runner: web.AppRunner | None = None
        self._door = Door()
        self._listening: asyncio.Server | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        """Serve from now on.

        Raises
        ------
        ConfigError
            If the address cannot be had.
        """
        self._files = await asyncio.to_thread(_read_files)
        self._runner = web.AppRunner(
            self._app(),
            logger=_http_log,
            access_log=None,
            auto_decompress=False,  # a few bytes may become many
            handle_signals=False,
            handler_cancellation=True,  # a watcher that leaves is gone at once
            keepalive_timeout=_ALIVE_S,
            shutdown_timeout=_CLOSING_S,
            lingering_time=_LINGERING_S,
        )
        await self._runner.setup()
        try:
            self._door.server = self._runner.server
            self._listening = await self._listen()
        except BaseException:
            await self._runner.cleanup()
            raise
        port = self._listening.sockets[0].getsockname()[1]
        host = socket.gethostname() if self._host in _EVERYWHERE else self._host
        shown = f"[{host}]" if ":" in host else host
        token = f"/?token={self._fence.token}" if self._fence.token else ""
        self.url = f"http://{shown}:{port}{token}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Tell all who watch that it is over, and close."""
        self._page.broadcast.close()
        if self._listening is not None:
            self._listening.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def _app(self) -> web.Application:
        @web.middleware
        async def fenced(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._door.heard(request)
            return await self._fence.check(request, handler)

        async def mark(_: web.Request, response: web.StreamResponse) -> None:
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)

        app = web.Application(middlewares=[fenced], client_max_size=_LARGEST)
        app.on_response_prepare.append(mark)
        app.router.add_get("/events", self._events, allow_head=False)
        app.router.add_get("/ticks", self._ticks)
        app.router.add_get("/metrics", self._measured)
        app.router.add_post("/say", self._said)
        app.router.add_post("/brain", self._chosen)
        app.router.add_get("/{name:.*}", self._file)
        return app

    async def _listen(self) -> asyncio.Server:
        create_server = asyncio.get_running_loop().create_server
        wanted = PORT if self._port is None else self._port
        try:
            return await create_server(self._door.open, self._host, wanted)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and self._port is None:
                return await create_server(self._door.open, self._host, 0)
            remedy = "take another by --web HOST:PORT, or do without the page by --no-web"
            reason = str(error)
            if error.errno and not isinstance(error, socket.gaierror):
                reason = os.strerror(error.errno)
            raise ConfigError(
                f"the page cannot be at {self._host}, port {wanted} ({reason}); {remedy}"
            ) from error

    async def _file(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info["name"] or "index.html")
        if file is None:
            return refusal(404, "there is no such page")
        headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == file.tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.body, headers={**headers, "Content-Type": file.type})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        watcher = self._page.broadcast.watch()
        if watcher is None:
            return refusal(503, "too many watch already; close another page")
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        try:
            await response.prepare(request)
            await response.write(b"retry: 1000\n\n")
            while (frames := await watcher.next(_ALIVE_S)) is not None:
                if not frames:
                    self._page.look()  # a breaker's state changes by time alone
                async with asyncio.timeout(_STUCK_S):
                    await response.write(frames.encode() if frames else b": still here\n\n")
        except (ConnectionResetError, TimeoutError):
            pass  # the watcher has left, or reads no more
        finally:
            self._page.broadcast.leave(watcher)
        return response

    async def _ticks(self, request: web.Request) -> web.Response:
        before = request.query.get("before", "")
        if not (before.isascii() and before.isdigit() and len(before) < 18):
            return refusal(400, "before is the number of a tick, as in /ticks?before=120")
        if self._memory is None:
            return _ok({"ticks": []})
        try:
            ticks = await self._memory.ticks(MOST_TICKS, int(before))
        except StorageError as error:
            return refusal(503, error.message)
        return _ok({"ticks": [tick.to_dict() for tick in ticks]})

    async def _measured(self, request: web.Request) -> web.Response:
        if self._metrics is None:
            return refusal(404, _NO_METRICS)
        self._metrics.look()
        accept = request.headers.get("Accept", "")
        body, content_type = await asyncio.to_thread(self._metrics.render, accept)
        return web.Response(
            body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"}
        )

    async def _said(self, request: web.Request) -> web.Response:
        text = await _field(request, "text")
        if isinstance(text, web.Response):
            return text
        if len(text) > LONGEST_SAID:
            return refusal(413, f"that is {len(text)} characters; say at most {LONGEST_SAID}")
        if not (said := " ".join(text.split())):
            return refusal(400, "text is empty; say something")
        self._say(said)
        return _ok({"said": said})

    async def _chosen(self, request: web.Request) -> web.Response:
        name = await _field(request, "brain")
        if isinstance(name, web.Response):
            return name
        try:
            self._page.choose(name)
        except ConfigError as error:
            return refusal(404, error.message)
        return _ok({"brain": name})


def _is_bad_request(record: logging.LogRecord) -> bool:
    """Whether what is logged is only that somebody does not speak HTTP."""
    return bool(record.exc_info) and isinstance(record.exc_info[1], HttpProcessingError)


async def _field(request: web.Request, name: str) -> str | web.Response:
    """One text of a request's JSON object, or what is wrong with the request."""
    if request.content_type != "application/json":
        return refusal(415, "send JSON, with the header Content-Type: application/json")
    try:
        async with asyncio.timeout(_HEARD_S):
            body = as_object(json.loads(await request.text()))
    except TimeoutError:
        return refusal(408, f"the rest of that has not come within {_HEARD_S:g} s")
    except web.HTTPRequestEntityTooLarge:
        return refusal(413, f"that is more than {_LARGEST} bytes")
    except (ValueError, RecursionError, LookupError) as error:
        return refusal(400, f"that is no JSON: {error}"[:200])
    value = body.get(name) if body else None
    if not isinstance(value, str):
        return refusal(400, f'send one JSON object, as {{"{name}": "..."}}')
    return whole_characters(value)


def _ok(value: Mapping[str, object]) -> web.Response:
    return web.json_response(value, headers={"Cache-Control": "no-store"})


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    type: str
    tag: str


def _read_files() -> dict[str, _File]:
    """The static files, by name."""
    found: dict[str, _File] = {}
    for entry in files("reflexarc.web").joinpath("static").iterdir():
        if entry.is_file():
            body = entry.read_bytes()
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            found[entry.name] = _File(body, _TYPES[Path(entry.name).suffix], tag)
    return found
