"""What the transports over a vendor's SDK share: when it loads, and what of it we use.

The SDK makes the request: fields and their types, headers, authentication, tracing, connections.
Its reply we read ourselves, from the response the SDK's stream hands out; docs/decisions/0010 says
what that mends.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import ClassVar, Generic, Protocol, TypeVar

from reflexarc.errors import UnavailableError
from reflexarc.llm import Request, Transport
from reflexarc.providers.chat import Dialect, read_reply
from reflexarc.providers.connection import Address, connect_error
from reflexarc.providers.reply import Body, read_body
from reflexarc.types import Json, Wire

C = TypeVar("C")


class Response(Protocol):
    """What httpx and httpx2 call a response, as far as we need it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers, by any spelling of their names."""
        ...

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Its body, unpacked, as it arrives."""
        ...

    async def aclose(self) -> None:
        """Close it, and the connection if the body is not at its end."""
        ...


class StaleConnectionError(Exception):
    """A kept connection turned out to be closed before anything was answered."""


class SdkTransport(Transport, Generic[C]):
    """Sends requests by a vendor's SDK.

    Parameters
    ----------
    address : Address
        The server, and the key to send with a request.
    """

    package: ClassVar[str]
    extra: ClassVar[str]
    dialect: ClassVar[Dialect]
    understand: ClassVar[Callable[[object], list[Wire]]] = read_reply

    def __init__(self, address: Address) -> None:
        self._address = address
        self._client: C | None = None
        self._making = asyncio.Lock()

    async def open(self) -> None:
        """Import the SDK and make its client, in a thread: that takes up to a second.

        Raises
        ------
        UnavailableError
            If the SDK is not installed.
        """
        await self._opened()

    async def send(self, request: Request) -> AsyncGenerator[Sequence[Wire], None]:
        """Send a request and give out what comes back; see `Transport.send`."""
        client = await self._opened()
        response = await self._respond(client, self._fields(request))
        try:
            chunks = aiter(response.aiter_bytes())
            media = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            body = Body(
                self._address.base_url,
                media,
                lambda: anext(chunks, b""),
                self._broken(),
                type(self).understand,
            )
            async with aclosing(read_body(body)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            await response.aclose()

    async def _opened(self) -> C:
        async with self._making:
            if self._client is None:
                self._client = await asyncio.to_thread(self._made)
            return self._client

    def _made(self) -> C:
        try:
            return self._make()
        except ImportError as error:
            raise UnavailableError(
                f"the package {self.package} cannot be imported ({error}); run: pip install "
                f"'reflexarc[{self.extra}]', or write transport: 'http'",
                retryable=False,
            ) from error

    async def _respond(self, client: C, fields: Json) -> Response:
        """Ask; once more if a kept connection turns out to be closed."""
        try:
            return await self._ask(client, fields)
        except StaleConnectionError:
            # Nothing was answered, so asking again is safe; a fresh connection tells why.
            try:
                return await self._ask(client, fields)
            except StaleConnectionError as error:
                raise connect_error(self._address, error.__cause__ or error) from error.__cause__

    def _fields(self, request: Request) -> Json:
        return self.dialect.body(request)

    @abstractmethod
    def _make(self) -> C:
        """Import the SDK and make its client; called in a thread."""

    @abstractmethod
    async def _ask(self, client: C, fields: Json) -> Response:
        """Send the request and return a response of status 200, or raise our error."""

    @abstractmethod
    def _broken(self) -> tuple[type[Exception], ...]:
        """What reading a response raises when the connection breaks."""
