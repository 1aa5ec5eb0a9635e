"""Who is let in to speak HTTP: so many at once, and nobody who says nothing."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

MOST_CONNECTIONS = 200
"""Connections at the same time; a robot needs its file descriptors for other things."""

SAYS_NOTHING_S = 10.0
"""Seconds in which the first request has to be there."""


class Door:
    """Makes the protocol of each new connection.

    Attributes
    ----------
    server : aiohttp.web.Server or None
        Answers those who are let in; until it is set nobody is.
    """

    def __init__(self) -> None:
        self.server: web.Server | None = None
        self._silent: set[asyncio.BaseProtocol] = set()

    def open(self) -> asyncio.Protocol:
        """Let somebody in, or not; for `asyncio.loop.create_server`.

        Returns
        -------
        asyncio.Protocol
        """
        if self.server is None or len(self.server.connections) >= MOST_CONNECTIONS:
            return _Closed()
        handler = self.server()
        self._silent.add(handler)
        asyncio.get_running_loop().call_later(SAYS_NOTHING_S, self._show_out, handler)
        return handler

    def heard(self, request: web.Request) -> None:
        """Note that somebody has asked for something.

        Parameters
        ----------
        request : aiohttp.web.Request
            Whatever it is.
        """
        self._silent.discard(request.protocol)

    def _show_out(self, handler: RequestHandler) -> None:
        if handler in self._silent:
            self._silent.discard(handler)
            if handler.transport is not None:
                handler.transport.abort()


class _Closed(asyncio.Protocol):
    """A connection that is closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()
