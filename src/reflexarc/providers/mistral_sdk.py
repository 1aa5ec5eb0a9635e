"""Mistral's own SDK, ``mistralai``, as a transport.

What it would do otherwise, in 3.7.0 (measured 2026-11): send MISTRAL_API_KEY to any server where no
key is given; follow a redirect, which turns the request into a GET; crash on every stream whose
model is about to be retired, and on every failure without a body; fail on the OpenAI way of
streaming tool calls; leave the connection open when it is cancelled between the reply's head and
its body; leave its second, synchronous client to the garbage collector.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from reflexarc.errors import ConfigError
from reflexarc.providers.connection import IDLE_S, Address, connect_error
from reflexarc.providers.dialect import Dialect
from reflexarc.providers.reply import Retirement
from reflexarc.providers.sdk import (
    AnsweredError,
    Response,
    SdkTransport,
    StaleConnectionError,
    media_of,
    trace,
)
from reflexarc.types import Json

if TYPE_CHECKING:
    import httpx2
    from mistralai.client import Mistral

# Mistral answers a field that it does not know, such as stream_options, with 422 extra_forbidden;
# usage comes unasked. safe_prompt stays out: it changes what the model is told.
DIALECT = Dialect(seed="random_seed", stream_usage=False, cache_key=True)
"""How Mistral's own servers spell a request."""

# The clocks of a call are ours; this only keeps the SDK's default of 300 s out of the way.
_NO_TIMEOUT_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class _Client:
    """The SDK's client, the HTTP clients it uses, and the fields it can send."""

    sdk: Mistral
    http: httpx2.AsyncClient
    unused: httpx2.Client
    fields: frozenset[str]


class MistralSdkTransport(SdkTransport[_Client]):
    """Sends requests by ``mistralai``.

    Parameters
    ----------
    address : Address
        The server, and the key to send with a request.

    Raises
    ------
    ConfigError
        If the address does not end in ``/v1``: the SDK always adds it.
    """

    package = "mistralai"
    extra = "mistral"
    logger = "httpcore2.http11"
    dialect = DIALECT
    sends_any_field = False

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._server, version, _ = address.base_url.rpartition("/v1")
        if not version or not address.base_url.endswith("/v1"):
            raise ConfigError(
                f"Mistral's SDK reaches only addresses that end in /v1, not {address.base_url}; "
                "write transport: 'http'"
            )
        # Replies whose stream the SDK has not handed over yet, by the task that waits for it.
        self._arrived: dict[object, httpx2.Response] = {}

    async def _close(self, client: _Client) -> None:
        client.unused.close()
        await client.http.aclose()

    def _make(self) -> _Client:
        import httpx2
        from mistralai.client import Mistral, models

        # The system's authorities, as our own client has them, not a list that came with a package.
        context = ssl.create_default_context()
        http = httpx2.AsyncClient(
            verify=context,
            trust_env=False,
            limits=httpx2.Limits(keepalive_expiry=IDLE_S),
            event_hooks={"request": [trace], "response": [self._arrive]},
        )
        unused = httpx2.Client(verify=context, trust_env=False)
        key = self._address.api_key
        sdk = Mistral(
            api_key=lambda: key,  # with plain None it would take MISTRAL_API_KEY, for any server
            server_url=self._server,
            async_client=http,
            client=unused,
            timeout_ms=_NO_TIMEOUT_MS,
        )
        assert sdk.chat  # imports what the first question would otherwise wait for
        fields = models.ChatCompletionStreamRequest.model_fields.keys() - {"stream"}
        return _Client(sdk, http, unused, frozenset(fields))

    async def _arrive(self, response: httpx2.Response) -> None:
        """See a reply before the SDK does, which reads all of what is no stream, however long."""
        if response.request.method == "HEAD":  # a greeting of ours, which the SDK never sees
            return
        self._retirement.note(response.headers)
        response.headers.pop(Retirement.HEADER, None)  # or its hook reads the stream, and fails
        status, headers = response.status_code, response.headers
        if status != 200 or media_of(headers) != "text/event-stream":
            raise await self._answered(status, headers, response.aiter_bytes())
        self._arrived[asyncio.current_task()] = response

    async def _ask(self, client: _Client, fields: Json) -> Response:
        import httpx2

        fields = {name: value for name, value in fields.items() if name != "stream"}
        self._check(client, fields)
        task = asyncio.current_task()
        try:
            stream = await client.sdk.chat.stream_async(**fields)
            del self._arrived[task]
            return stream.response
        except AnsweredError as answered:
            if answered.status == 200:
                kept = ("content-type", "server")
                headers = {name: answered.headers.get(name, "") for name in kept}
                return httpx2.Response(200, headers=headers, content=answered.data)
            raise answered.failure(self._address.api_key) from None
        except httpx2.RequestError as error:
            if isinstance(error, httpx2.ConnectError):
                raise connect_error(self._address, error) from error
            raise StaleConnectionError from error
        except ValidationError as error:
            mistake = error.errors(include_url=False)[0]
            name = ".".join(map(str, mistake["loc"]))
            raise ConfigError(
                f"Mistral's SDK does not send '{name}': {mistake['msg']}; check extra_params"
            ) from error
        finally:
            left = self._arrived.pop(task, None)
            if left is not None:
                await left.aclose()

    @staticmethod
    def _check(client: _Client, fields: Json) -> None:
        strange = sorted(fields.keys() - client.fields)
        if strange:
            raise ConfigError(
                f"Mistral's SDK cannot send {', '.join(strange)} of extra_params; "
                "leave it out, or write transport: 'http'"
            )

    def _broken(self) -> tuple[type[Exception], ...]:
        import httpx2

        return (httpx2.RequestError, httpx2.StreamError)
