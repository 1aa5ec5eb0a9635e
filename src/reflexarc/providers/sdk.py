"""What the transports over a vendor's SDK share: when it loads, and what of it we use.

The SDK makes the request: fields and their types, headers, authentication, tracing, connections.
Its reply we read ourselves, from the response the SDK's stream hands out; docs/decisions/0010 says
what that mends.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Mapping,
    MutableMapping,
    Sequence,
)
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from reflexarc.due import due
from reflexarc.errors import LLMError, UnavailableError
from reflexarc.llm import Request, Transport
from reflexarc.providers.chat import read_reply
from reflexarc.providers.connection import Address, connect_error, greeting_url
from reflexarc.providers.dialect import Dialect
from reflexarc.providers.greeting import Greeter
from reflexarc.providers.reply import (
    LARGEST_ERROR,
    LARGEST_REPLY,
    Body,
    Retirement,
    read_at_most,
    read_body,
    read_failure,
)
from reflexarc.redaction import hidden
from reflexarc.types import Json, ServedBy, Wire


class Reply(Protocol):
    """What httpx and httpx2 call a response, as far as a greeting needs it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers, by any spelling of their names."""
        ...


class HttpClient(Protocol):
    """What httpx and httpx2 call an asynchronous client, as far as we need it."""

    async def head(self, url: str, *, headers: Mapping[str, str]) -> Reply:
        """Send a HEAD request and read the reply, which leaves the connection open.

        Parameters
        ----------
        url : str
            Where to.
        headers : mapping of str to str
            Beside those that the client sends with every request.

        Returns
        -------
        Reply
            Of whatever status.
        """
        ...


class Client(Protocol):
    """A vendor's client, as each transport keeps it."""

    @property
    def http(self) -> HttpClient:
        """The HTTP client that it was given, and so its connections."""
        ...


C = TypeVar("C", bound=Client)


class Response(Reply, Protocol):
    """What httpx and httpx2 call a response, as far as we need it."""

    @property
    def is_closed(self) -> bool:
        """Whether it was read to its end, which leaves the connection open, or closed."""
        ...

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Its body, unpacked, as it arrives."""
        ...

    async def aclose(self) -> None:
        """Close it, and the connection if the body is not at its end."""
        ...


class StaleConnectionError(Exception):
    """A connection, as a rule a kept one, was closed before anything was answered."""


class AnsweredError(Exception):
    """A server has answered by no stream; raised past an SDK that would read all of it.

    Parameters
    ----------
    status : int
        HTTP status.
    headers : mapping of str to str
        Of the reply; case-insensitive.
    data : bytes
        The body, as far as it was read.
    """

    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.data = data

    def failure(self, api_key: str | None) -> LLMError:
        """The failure that was answered.

        Parameters
        ----------
        api_key : str or None
            To be blotted out.

        Returns
        -------
        LLMError
            To be raised.
        """
        text = self.data.decode("utf-8", "replace")
        return read_failure(self.status, self.headers, text, api_key)


def media_of(headers: Mapping[str, str]) -> str:
    """The content type of a reply, without parameters.

    Parameters
    ----------
    headers : mapping of str to str
        Of the reply; case-insensitive.

    Returns
    -------
    str
        In lower case; empty if there is none.
    """
    return headers.get("content-type", "").partition(";")[0].strip().lower()


class _Blot(logging.Filter):
    """Blots a key out of what an HTTP library logs: at DEBUG, every header of every reply."""

    def __init__(self, secret: str) -> None:
        super().__init__()
        self._secret = secret

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = hidden(record.getMessage(), self._secret), None
        return True


class Sending(Protocol):
    """What httpx and httpx2 call a request, as far as we need it."""

    @property
    def extensions(self) -> MutableMapping[str, Any]:
        """What is no part of HTTP, such as who is told of its progress."""
        ...


async def trace(request: Sending) -> None:
    """Have it noted when a request has a connection, and whether that is a new one; a hook.

    Parameters
    ----------
    request : httpx.Request or httpx2.Request
        Before it is sent.
    """
    request.extensions["trace"] = _Progress().note


_is_new: ContextVar[bool] = ContextVar("is_new", default=False)
"""Whether the connection of the request that is sent was made for it."""


class _Progress:
    """What httpcore tells of one request."""

    def __init__(self) -> None:
        self._stream: Any = None

    async def note(self, name: str, info: Mapping[str, Any]) -> None:
        """Take note of one step."""
        if name == "connection.connect_tcp.complete":
            _is_new.set(True)
            self._stream = info["return_value"]
        elif name == "connection.start_tls.failed":
            await self._stream.aclose()  # left open where it is cancelled (1.0.9, 2.16.0, measured)
        elif name == "http11.send_request_headers.started":
            due().seek(None)


class SdkTransport(Transport, Generic[C]):
    """Sends requests by a vendor's SDK.

    Parameters
    ----------
    address : Address
        The server, and the key to send with a request.
    """

    package: ClassVar[str]
    logger: ClassVar[str]
    extra: ClassVar[str]
    dialect: ClassVar[Dialect]
    understand: ClassVar[Callable[[object], list[Wire]]] = read_reply

    def __init__(self, address: Address) -> None:
        self._address = address
        self._blot = _Blot(address.api_key or "")
        self._making: asyncio.Task[C] | None = None
        self._retirement = Retirement()
        self._greeter = Greeter()

    async def open(self) -> None:
        """Import the SDK and make its client, in a thread: that takes up to a second.

        Raises
        ------
        UnavailableError
            If the SDK is not installed.
        """
        await self._opened()

    async def connect(self) -> None:
        """Have a connection open to the server, by a HEAD request of the SDK's HTTP client."""
        await self._greeter.greet(self._head)

    async def send(self, request: Request) -> AsyncGenerator[Sequence[Wire], None]:
        """Send a request and give out what comes back; see `Transport.send`."""
        with self._greeter.asking():
            client = await self._opened()
            response = await self._respond(client, self._fields(request))
            try:
                if server := response.headers.get("server"):
                    yield [ServedBy(server=server)]
                chunks = aiter(response.aiter_bytes())
                body = Body(
                    self._address.base_url,
                    media_of(response.headers),
                    lambda: anext(chunks, b""),
                    self._broken(),
                    type(self).understand,
                )
                async with aclosing(read_body(body)) as batches:
                    async for batch in batches:
                        yield batch
            finally:
                if response.is_closed:  # it was read to its end
                    self._greeter.kept()
                await response.aclose()

    async def _opened(self) -> C:
        if self._making is None or _failed(self._making):
            self._making = asyncio.create_task(asyncio.to_thread(self._made), name="loading an SDK")
        # Whoever is cancelled meanwhile leaves it to `aclose`: a thread cannot be stopped.
        return await asyncio.shield(self._making)

    def _made(self) -> C:
        logging.getLogger(type(self).logger).addFilter(self._blot)
        try:
            return self._make()
        except ImportError as error:
            raise UnavailableError(
                f"the package {self.package} cannot be imported ({error}); run: pip install "
                f"'reflexarc[{self.extra}]', or write transport: 'http'",
                retryable=False,
            ) from error

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        making, self._making = self._making, None
        self._greeter.lost()
        if making is None:
            return
        await asyncio.wait([making])
        is_gone = making.get_loop().is_closed()  # and its connections with it
        if not (is_gone or _failed(making)):
            await self._close(making.result())
        logging.getLogger(type(self).logger).removeFilter(self._blot)

    async def _head(self) -> Mapping[str, str]:
        client = await self._opened()
        address = self._address
        due().seek(address.base_url)
        try:
            reply = await client.http.head(greeting_url(address), headers=address.authorization())
        except self._broken() as error:
            raise connect_error(address, error) from error
        return reply.headers

    async def _respond(self, client: C, fields: Json) -> Response:
        """Ask; once more if a kept connection turns out to be closed."""
        due().seek(self._address.base_url)
        is_again = False
        while True:
            _is_new.set(False)
            try:
                return await self._ask(client, fields)
            except StaleConnectionError as error:
                if is_again or _is_new.get():  # a new one was not stale: it has had the request
                    cause = error.__cause__
                    raise connect_error(self._address, cause or error) from cause
                is_again = True

    async def _answered(
        self, status: int, headers: Mapping[str, str], chunks: AsyncIterator[bytes]
    ) -> AnsweredError:
        """A reply that is no stream, read as far as we care to."""
        most = LARGEST_REPLY if status == 200 else LARGEST_ERROR
        base_url, media = self._address.base_url, media_of(headers)
        body = Body(base_url, media, lambda: anext(chunks, b""), self._broken())
        return AnsweredError(status, headers, await read_at_most(body, most))

    def _fields(self, request: Request) -> Json:
        return self.dialect.body(request)

    @abstractmethod
    def _make(self) -> C:
        """Import the SDK and make its client; called in a thread."""

    @abstractmethod
    async def _close(self, client: C) -> None:
        """Close the connections of a client."""

    @abstractmethod
    async def _ask(self, client: C, fields: Json) -> Response:
        """Send the request and return a response of status 200, or raise our error."""

    @abstractmethod
    def _broken(self) -> tuple[type[Exception], ...]:
        """What reading a response raises when the connection breaks."""


def _failed(task: asyncio.Task[C]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
