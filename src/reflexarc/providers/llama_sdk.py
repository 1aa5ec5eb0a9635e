"""Meta's own SDK, ``llama-api-client``, as a transport.

It knows Meta's native dialect only. Servers that run Llama models today answer in the OpenAI
dialect, of which it hands out empty chunks and ends in a JSONDecodeError (0.6.0, measured 2026-11).
"""

from __future__ import annotations

import inspect
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from reflexarc.errors import LLMError
from reflexarc.providers.connection import IDLE_S, connect_error
from reflexarc.providers.dialect import Dialect
from reflexarc.providers.llama_native import read_native
from reflexarc.providers.sdk import (
    AnsweredError,
    Response,
    SdkTransport,
    StaleConnectionError,
    trace,
)
from reflexarc.types import Json

if TYPE_CHECKING:
    import httpx
    from llama_api_client import AsyncLlamaAPIClient, AsyncStream


@dataclass(frozen=True, slots=True)
class _Client:
    """The SDK's client, the HTTP client it uses, and the fields it knows by name."""

    sdk: AsyncLlamaAPIClient
    http: httpx.AsyncClient
    fields: frozenset[str]


class LlamaSdkTransport(SdkTransport[_Client]):
    """Sends requests by ``llama-api-client``.

    Parameters
    ----------
    address : Address
        The server, and the key to send with a request.
    """

    package = "llama-api-client"
    extra = "llama"
    logger = "httpcore.http11"
    dialect = Dialect(max_tokens="max_completion_tokens")
    understand = read_native

    async def _close(self, client: _Client) -> None:
        await client.sdk.close()

    def _make(self) -> _Client:
        import httpx
        from llama_api_client import AsyncLlamaAPIClient

        http = httpx.AsyncClient(
            # The system's authorities, as our own client has them, not a package's list.
            verify=ssl.create_default_context(),
            timeout=None,  # the clocks of a call are ours
            trust_env=False,
            limits=httpx.Limits(keepalive_expiry=IDLE_S),
            event_hooks={"request": [trace], "response": [self._arrive]},
        )
        sdk = AsyncLlamaAPIClient(
            # Without one it would take LLAMA_API_KEY, for any server.
            api_key=self._address.api_key or "none",
            base_url=self._address.base_url,
            timeout=None,
            max_retries=0,
            http_client=http,
        )
        named = inspect.signature(sdk.chat.completions.create).parameters
        extras = {"extra_headers", "extra_query", "extra_body", "timeout"}
        return _Client(sdk, http, frozenset(named.keys() - extras))

    async def _arrive(self, response: httpx.Response) -> None:
        """See a failure before the SDK does, which would read all of it, however long."""
        if response.request.method == "HEAD":  # a greeting of ours, which the SDK never sees
            return
        self._retirement.note(response.headers)
        if response.status_code != 200:
            raise await self._answered(
                response.status_code, response.headers, response.aiter_bytes()
            )

    async def _ask(self, client: _Client, fields: Json) -> Response:
        import httpx
        from llama_api_client import APIConnectionError

        known: dict[str, Any] = {
            name: value for name, value in fields.items() if name in client.fields
        }
        others = {name: value for name, value in fields.items() if name not in client.fields}
        try:
            create = cast("Any", client.sdk.chat.completions.create)  # overloads, fields as data
            stream: AsyncStream[Any] = await create(**known, extra_body=others)
            return stream.response
        except APIConnectionError as error:
            cause = error.__cause__
            if isinstance(cause, AnsweredError):
                raise cause.failure(self._address.api_key) from None
            if isinstance(cause, LLMError):
                raise cause from cause.__cause__
            if isinstance(cause, httpx.ConnectError):
                raise connect_error(self._address, error) from error
            raise StaleConnectionError from cause

    def _broken(self) -> tuple[type[Exception], ...]:
        import httpx

        return (httpx.RequestError, httpx.StreamError)
