"""Our own client for the OpenAI chat dialect, over aiohttp.

It serves every server that speaks the dialect, self-hosted or not. aiohttp costs a quarter of httpx
per call and half per streamed token, and does not stall at many streams (measured, 2026-11).
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from reflexarc.errors import BadOutputError, ConnectError, LLMError, UnavailableError
from reflexarc.llm import Request, Transport
from reflexarc.providers.chat import Dialect, quote, read_error, read_event, read_reply
from reflexarc.providers.sse import EventParser, ServerEvent
from reflexarc.types import Stop, Wire

LARGEST_REPLY = 8 << 20
"""Bytes one reply may have in all."""

_LARGEST_ERROR = 64 << 10
_GRACE_S = 0.25
"""After the end of the answer, how long the rest of the body (usage, a last chunk) may take."""

# Below the 5 s after which llama.cpp closes an idle connection (measured).
_IDLE_S = 4.0

# OpenSSL's verify codes for certificates outside their time, as a robot's clock may be.
_CLOCK_CODES = {9, 10}


@dataclass(frozen=True, slots=True)
class Address:
    """Where to send a request, and the key to send with it.

    Parameters
    ----------
    base_url : str
        Up to and with ``/v1``.
    api_key : str or None
        Sent as a bearer token.
    """

    base_url: str
    api_key: str | None

    def __repr__(self) -> str:
        return f"Address({self.base_url})"


class HttpTransport(Transport):
    """Sends requests to one server.

    Parameters
    ----------
    locate : callable
        Returns the server's `Address` when awaited; asked again for every request, since an
        on-board server may have been restarted elsewhere.
    dialect : Dialect
        How the server spells a request.
    """

    def __init__(self, locate: Callable[[], Awaitable[Address]], dialect: Dialect) -> None:
        self._locate = locate
        self._dialect = dialect
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request) -> AsyncGenerator[Sequence[Wire], None]:
        """Send a request and give out what comes back; see `Transport.send`."""
        address = await self._locate()
        response = await self._post(address, self._dialect.body(request))
        try:
            if response.status != 200:
                raise await _read_failure(response, address)
            media = response.content_type
            if media == "application/json":
                yield await _read_whole(response)
                return
            if media == "text/html":
                raise UnavailableError(
                    f"{address.base_url} answered with a web page; check base_url, and whether the "
                    "network asks you to log in"
                )
            async for batch in _read_stream(response):
                yield batch
        finally:
            response.close()

    async def _post(self, address: Address, body: dict[str, Any]) -> aiohttp.ClientResponse:
        """Send the request; once more if a kept connection turns out to be closed."""
        session = self._opened()
        url = f"{address.base_url}/chat/completions"
        headers = {"Accept": "text/event-stream"}
        if address.api_key is not None:
            headers["Authorization"] = f"Bearer {address.api_key}"
        for last in (False, True):
            try:
                return await session.post(url, json=body, headers=headers, allow_redirects=False)
            except (aiohttp.ServerDisconnectedError, ConnectionResetError) as error:
                # Nothing was answered, so asking again is safe; a fresh connection tells why.
                if last:
                    raise _connect_error(address, error) from error
            except (aiohttp.ClientError, OSError) as error:
                raise _connect_error(address, error) from error
        raise AssertionError("unreachable")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_S),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


async def _read_stream(response: aiohttp.ClientResponse) -> AsyncGenerator[Sequence[Wire], None]:
    """Give out the pieces of each read; a broken connection just ends them."""
    parser = EventParser()
    size = 0
    stopped = False
    try:
        while chunk := await _read_some(response, hurry=stopped):
            size += len(chunk)
            if size > LARGEST_REPLY:
                raise _too_large()
            batch, failure = _pieces(parser.feed(chunk))
            if batch:
                yield batch
            if failure:
                raise failure
            stopped = stopped or any(isinstance(piece, Stop) for piece in batch)
    except (aiohttp.ClientError, OSError) as error:
        if size == 0:
            raise ConnectError(f"the connection broke before the answer began: {error}") from error
    batch, failure = _pieces(parser.close())
    if batch:
        yield batch
    if failure and not stopped:
        raise failure


async def _read_some(response: aiohttp.ClientResponse, *, hurry: bool) -> bytes:
    """Read what is there; after the end of the answer, do not wait long for more."""
    if not hurry:
        return await response.content.readany()
    limit = asyncio.timeout(_GRACE_S)
    try:
        async with limit:
            return await response.content.readany()
    except TimeoutError:
        if not limit.expired():
            raise
        return b""


def _pieces(events: list[ServerEvent]) -> tuple[list[Wire], LLMError | None]:
    """The pieces up to the first failure, and that failure: what came before it stands."""
    batch: list[Wire] = []
    for event in events:
        try:
            batch += read_event(event)
        except LLMError as error:
            return batch, error
    return batch, None


async def _read_whole(response: aiohttp.ClientResponse) -> list[Wire]:
    """Read a reply that is not streamed, though a stream was asked for."""
    data = await _read_body(response, LARGEST_REPLY)
    if len(data) > LARGEST_REPLY:
        raise _too_large()
    text = data.decode("utf-8", "replace").strip()
    try:
        reply = json.loads(text)
    except ValueError:
        raise BadOutputError(f"the server's reply is not JSON: {quote(text)}") from None
    pieces = read_reply(reply)
    return (
        pieces if any(isinstance(piece, Stop) for piece in pieces) else [*pieces, Stop("unmarked")]
    )


async def _read_failure(response: aiohttp.ClientResponse, address: Address) -> LLMError:
    text = (await _read_body(response, _LARGEST_ERROR)).decode("utf-8", "replace")
    if address.api_key:
        text = text.replace(address.api_key, "***")  # some servers quote the key they refuse
    try:
        body: object = json.loads(text)
    except ValueError:
        body = text
    return read_error(response.status, response.headers, body)


async def _read_body(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Read up to `most` bytes and the piece that goes beyond it."""
    parts: list[bytes] = []
    size = 0
    try:
        while size <= most and (chunk := await response.content.readany()):
            parts.append(chunk)
            size += len(chunk)
    except (aiohttp.ClientError, OSError) as error:
        raise ConnectError(f"the connection broke in the middle of the reply: {error}") from error
    return b"".join(parts)


def _too_large() -> BadOutputError:
    return BadOutputError(
        f"the server's reply is larger than {LARGEST_REPLY >> 20} MB; check that base_url names a "
        "language model"
    )


def _connect_error(address: Address, error: Exception) -> ConnectError:
    """Say why there is no connection; certificates first, since their errors are OSErrors too."""
    host = address.base_url
    lasting = False
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        lasting = True
        reason = error.certificate_error
        code = reason.verify_code if isinstance(reason, ssl.SSLCertVerificationError) else 0
        advice = (
            "check this machine's clock"
            if code in _CLOCK_CODES
            else "check base_url, or install the certificate authority that signed it"
        )
        said = f"{host} shows a certificate that is not valid ({reason}); {advice}"
    elif isinstance(error, aiohttp.ClientSSLError):
        lasting = True
        said = f"{host} does not speak TLS ({error}); try http:// instead of https://"
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        said = f"the name in {host} cannot be found; check base_url and the network"
    elif isinstance(error, aiohttp.ClientConnectorError):
        said = (
            f"{host} cannot be reached ({error.os_error.strerror}); "
            "check base_url, and that the server runs"
        )
    else:
        said = f"{host} closed the connection without an answer ({type(error).__name__}); try again"
    return ConnectError(said, retryable=not lasting)
