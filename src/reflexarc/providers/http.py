"""Our own client for the OpenAI chat dialect, over aiohttp.

It serves every server that speaks the dialect, self-hosted or not. aiohttp costs a quarter of httpx
per call and half per streamed token, and does not stall at many streams (measured, 2026-11).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from types import SimpleNamespace

import aiohttp

from reflexarc.due import due
from reflexarc.llm import Request, Transport
from reflexarc.providers.chat import read_reply
from reflexarc.providers.connection import IDLE_S, Address, connect_error, greeting_url
from reflexarc.providers.dialect import Dialect
from reflexarc.providers.failure import read_error
from reflexarc.providers.greeting import Greeter
from reflexarc.providers.reply import (
    LARGEST_ERROR,
    Body,
    Explain,
    Retirement,
    read_at_most,
    read_body,
    read_failure,
)
from reflexarc.types import Json, ServedBy, Wire

_BROKEN = (aiohttp.ClientError, OSError)


class HttpTransport(Transport):
    """Sends requests to one server.

    Parameters
    ----------
    locate : callable
        Returns the server's `Address` when awaited; asked again for every request, since an
        on-board server may have been restarted elsewhere. Given an address that refuses
        connections it may return another, or the same if there is none.
    dialect : Dialect
        How the server spells a request.
    understand : callable, default read_reply
        Reads one parsed event, or one whole reply.
    explain : callable, default read_error
        Reads a failure.
    """

    def __init__(
        self,
        locate: Callable[[Address | None], Awaitable[Address]],
        dialect: Dialect,
        understand: Callable[[object], list[Wire]] = read_reply,
        explain: Explain = read_error,
    ) -> None:
        self._locate = locate
        self._dialect = dialect
        self._understand = understand
        self._explain = explain
        self._session: aiohttp.ClientSession | None = None
        self._retirement = Retirement()
        self._greeter = Greeter()

    async def connect(self) -> None:
        """Have a connection open to the server, by a request that asks nothing: HEAD."""
        await self._greeter.greet(self._head)

    async def send(self, request: Request) -> AsyncGenerator[Sequence[Wire], None]:
        """Send a request and give out what comes back; see `Transport.send`."""
        with self._greeter.asking():
            address, response = await self._respond(self._dialect.body(request))
            try:
                body = Body(
                    address.base_url,
                    response.content_type,
                    response.content.readany,
                    _BROKEN,
                    self._understand,
                )
                self._retirement.note(response.headers)
                if response.status != 200:
                    text = (await read_at_most(body, LARGEST_ERROR)).decode("utf-8", "replace")
                    raise read_failure(
                        response.status, response.headers, text, address.api_key, self._explain
                    )
                if server := response.headers.get("server"):
                    yield [ServedBy(server=server)]
                async with aclosing(read_body(body)) as batches:
                    async for batch in batches:
                        yield batch
            finally:
                if response.closed:  # it was read to its end
                    self._greeter.kept()
                response.close()

    async def _respond(self, body: Json) -> tuple[Address, aiohttp.ClientResponse]:
        """Send the request; once more where no answer had begun and it may go better.

        A server that has just died breaks a kept connection, and then refuses a new one: each may
        pass once.
        """
        address = await self._locate(None)
        met: set[bool] = set()
        while True:
            reused: list[bool] = []
            try:
                return address, await self._post(address, body, reused)
            except (aiohttp.ClientError, OSError) as error:
                failure = connect_error(address, error)
                # This one shows the request it was about, and so the key.
                cause = None if isinstance(error, aiohttp.ClientResponseError) else error
                # A kept connection that broke: a fresh one may do. llama.cpp closes after a stream
                # what it has promised to keep alive (measured). One that was refused helps only if
                # the server has moved. One that was made, and broke, has had the request.
                refused = isinstance(error, aiohttp.ClientConnectorError)
                if refused in met or not (refused or reused):
                    raise failure from cause
                met.add(refused)
                found = await self._locate(address if refused else None)
                if refused and found == address:
                    raise failure from cause
                address = found

    async def _post(
        self, address: Address, body: Json, reused: list[bool]
    ) -> aiohttp.ClientResponse:
        """Send the request; a kept connection that it goes by is noted among those `reused`."""
        url = f"{address.base_url}/chat/completions"
        # Unpacked, since a proxy that packs a stream holds it back.
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        headers |= address.authorization()
        due().seek(address.base_url)
        return await self._opened().post(
            url, json=body, headers=headers, allow_redirects=False, trace_request_ctx=reused
        )

    async def _head(self) -> Mapping[str, str]:
        """Send a greeting; whatever is answered, its connection goes back to the others."""
        address = await self._locate(None)
        due().seek(address.base_url)
        greeting = self._opened().head(
            greeting_url(address), headers=address.authorization(), allow_redirects=False
        )
        try:
            async with greeting as response:
                return response.headers
        except _BROKEN as error:
            raise connect_error(address, error) from None  # the cause may show the key

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            traces = aiohttp.TraceConfig()
            traces.on_connection_reuseconn.append(_note_reused)
            traces.on_connection_create_end.append(_note_made)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[traces],
            )
        return self._session

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        session, self._session = self._session, None
        self._greeter.lost()
        if session is not None:
            await session.close()


async def _note_reused(_: object, context: SimpleNamespace, __: object) -> None:
    if context.trace_request_ctx is not None:  # a greeting does not mind
        context.trace_request_ctx.append(True)
    due().seek(None)


async def _note_made(*_: object) -> None:
    due().seek(None)
