"""Senses that other programs send: a WebSocket server, as OM1's input of the same name is one."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress
from typing import Annotated

import aiohttp
from aiohttp import web
from pydantic import Field

from reflexarc.checks import Frozen, NoBool
from reflexarc.errors import ConfigError
from reflexarc.hosts import host_in, is_here
from reflexarc.runtime.inputs import Board, Input
from reflexarc.runtime.settings import checked

LARGEST_FRAME = 65_536
"""Bytes that a frame has at most."""

_HEARTBEAT_S = 30.0
_GOODBYE_S = 0.5  # for a client to say that it closes as well

_ADVICE = {
    errno.EADDRINUSE: "another program has it; end that program, or choose another port",
    errno.EACCES: "it may not be used without rights; choose a port above 1023",
    errno.EADDRNOTAVAIL: "this machine does not have that address; choose another host",
}


class _Settings(Frozen):
    input_name: str = Field(min_length=1)
    host: str = Field(min_length=1)
    port: Annotated[int, NoBool] = Field(ge=0, le=65_535)


class MockInput(Input):
    """A WebSocket server: each text frame is what the robot senses, as it is.

    A binary frame of UTF-8 is taken as well. Each is answered: ``Received: …``, or ``Error: …``.
    Anyone who reaches the port can tell the robot anything; with the default `host` that is this
    machine only. Pages of other sites are refused in any case.

    Parameters
    ----------
    input_name : str, default "Mock Input"
        Source of what is sensed; the newest of each source stays on the board.
    host : str, default "localhost"
        Where to listen; ``"localhost"`` is 127.0.0.1.
    port : int, default 8765
        Likewise; 0 takes any that is free.

    Attributes
    ----------
    port : int
        Where it listens, once it runs.

    Raises
    ------
    ConfigError
        If one of them cannot be.
    """

    def __init__(
        self, input_name: str = "Mock Input", host: str = "localhost", port: int = 8765
    ) -> None:
        settings = checked(_Settings, input_name=input_name, host=host, port=port)
        self._name = settings.input_name
        self._host = "127.0.0.1" if settings.host == "localhost" else settings.host
        self._is_for_here = is_here(self._host)
        self._clients: dict[web.WebSocketResponse, asyncio.Transport] = {}
        self.port = settings.port

    async def run(self, board: Board) -> None:
        """Listen until cancelled.

        Raises
        ------
        ConfigError
            If it cannot listen there.
        """

        async def serve(request: web.BaseRequest) -> web.StreamResponse:
            return await self._serve(request, board)

        server = web.Server(serve, access_log=None)
        runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=_GOODBYE_S)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self.port)
            try:
                await site.start()
            except OSError as error:
                raise self._cannot_listen(error) from error
            self.port = runner.addresses[0][1]
            await asyncio.Event().wait()
        finally:
            clients = dict(self._clients)
            await asyncio.gather(*map(_say_goodbye, clients))
            await runner.cleanup()
            for transport in clients.values():
                transport.abort()  # else one that never reads its answers keeps it open

    def _cannot_listen(self, error: OSError) -> ConfigError:
        if isinstance(error, socket.gaierror):
            why = "its name cannot be found; choose another host"
        else:
            # asyncio drops the number where no address of the host is this machine's.
            number = error.errno or errno.EADDRNOTAVAIL
            why = _ADVICE.get(number, f"{error.strerror or error}; choose another")
        return ConfigError(f"{self._name} cannot listen at {self._host} port {self.port}: {why}")

    async def _serve(self, request: web.BaseRequest, board: Board) -> web.StreamResponse:
        if why := self._refusal(request):
            return web.Response(status=403, text=f"{why}\n")
        client = web.WebSocketResponse(
            timeout=_GOODBYE_S,
            heartbeat=_HEARTBEAT_S,
            compress=False,
            max_msg_size=LARGEST_FRAME + 1,
        )
        if not client.can_prepare(request):
            return web.Response(status=426, text="This is a WebSocket; connect by ws://.\n")
        await client.prepare(request)
        if (transport := request.transport) is None:
            return client  # it is gone already
        self._clients[client] = transport
        try:
            with suppress(ConnectionResetError):  # it went before its answer
                async for message in client:
                    await self._hear(message, client, board)
        finally:
            del self._clients[client]
        return client

    async def _hear(
        self, message: aiohttp.WSMessage, client: web.WebSocketResponse, board: Board
    ) -> None:
        text: object = message.data
        if isinstance(text, bytes):
            try:
                text = text.decode()
            except UnicodeDecodeError:
                await client.send_str("Error: the frame is not UTF-8; send text")
                return
        if isinstance(text, str) and text.strip():
            board.put(self._name, text)
            await client.send_str(f"Received: {text}")

    def _refusal(self, request: web.BaseRequest) -> str:
        """Why this caller may not tell the robot anything; empty if it may.

        A browser sends a page's own address along. Where that page has given its name another
        address meanwhile, the name still shows among ours.
        """
        host = host_in(request.headers.get("Host", ""))
        if self._is_for_here and not is_here(host):
            return "Only names of this machine are served: connect to 127.0.0.1 or localhost."
        origin = request.headers.get("Origin")
        if origin is None:
            return ""
        scheme, _, address = origin.partition("://")
        name = host_in(address) if scheme in {"http", "https"} else ""
        if name and (name == host or (self._is_for_here and is_here(name))):
            return ""
        return "Pages of other sites may not speak to the robot."


async def _say_goodbye(client: web.WebSocketResponse) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_GOODBYE_S):
            await client.close(code=aiohttp.WSCloseCode.GOING_AWAY)
