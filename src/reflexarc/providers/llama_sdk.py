"""Meta's own SDK, ``llama-api-client``, as a transport.

Its native dialect answers with ``event`` objects; servers that run Llama models today answer in the
OpenAI dialect, which the SDK does not know: it hands out empty chunks and ends in a JSONDecodeError
(0.6.0, measured 2026-11). The reply says which one it is, the address does not.
"""

from __future__ import annotations

import inspect
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from reflexarc.errors import LLMError
from reflexarc.providers.chat import read_reply
from reflexarc.providers.connection import IDLE_S, connect_error
from reflexarc.providers.dialect import Dialect
from reflexarc.providers.failure import read_error
from reflexarc.providers.sdk import AnsweredError, Response, SdkTransport, StaleConnectionError
from reflexarc.types import Json, Stop, TextDelta, ToolCallDelta, Usage, Wire, as_object

if TYPE_CHECKING:
    import httpx
    from llama_api_client import AsyncLlamaAPIClient, AsyncStream


def read_native(reply: object) -> list[Wire]:
    """Read one event of a stream, or one whole reply, of the native or the OpenAI dialect.

    Parameters
    ----------
    reply : object
        Parsed JSON.

    Returns
    -------
    list of Wire

    Raises
    ------
    LLMError
        If the reply is an error, or of neither dialect.

    Notes
    -----
    Shapes from the types of llama_api_client 0.6.0 (read 2026-11). Meta retired its own servers on
    2026-07-06.
    """
    body = as_object(reply) or {}
    if event := as_object(body.get("event")):
        return _event(event)
    if message := as_object(body.get("completion_message")):
        return _message(message) + _usage(body.get("metrics"))
    status = body.get("status")
    if "detail" in body and isinstance(status, int):  # {"title", "detail", "status"}
        raise read_error(status, {}, body)
    return read_reply(reply)


def _event(event: Json) -> list[Wire]:
    delta: Json = event.get("delta") or {}
    pieces: list[Wire] = []
    if delta.get("type") == "tool_call":
        pieces.append(_tool_call(delta))
    elif text := delta.get("text"):
        pieces.append(TextDelta(text))
    if event.get("event_type") == "complete":
        pieces.append(_stop(event))
    return pieces + _usage(event.get("metrics"))


def _message(message: Json) -> list[Wire]:
    content = message.get("content")
    text = content if isinstance(content, str) else (as_object(content) or {}).get("text")
    pieces: list[Wire] = [TextDelta(text)] if text else []
    pieces += [_tool_call(call) for call in cast("list[Json]", message.get("tool_calls") or [])]
    return [*pieces, _stop(message)]


def _tool_call(call: Json) -> ToolCallDelta:
    """A call, or a piece of one: only the first piece has the id and the name, none an index."""
    function: Json = call.get("function") or {}
    return ToolCallDelta(
        name=function.get("name") or "",
        arguments=function.get("arguments") or "",
        id=call.get("id"),
    )


def _stop(said: Json) -> Stop:
    reason = said.get("stop_reason")
    if not reason:
        return Stop("unmarked")
    return Stop("length" if reason == "length" else "stop")


def _usage(metrics: object) -> list[Wire]:
    if not isinstance(metrics, list):
        return []
    counts = {item.get("metric"): item.get("value") for item in cast("list[Json]", metrics)}
    return [
        Usage(
            prompt_tokens=int(counts.get("num_prompt_tokens") or 0),
            completion_tokens=int(counts.get("num_completion_tokens") or 0),
        )
    ]


@dataclass(frozen=True, slots=True)
class _Client:
    """The SDK's client, and the fields it knows by name."""

    sdk: AsyncLlamaAPIClient
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
    dialect = Dialect(max_tokens="max_completion_tokens")
    understand = read_native

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        client, self._client = self._client, None
        if client is not None:
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
            event_hooks={"response": [self._arrive]},
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
        return _Client(sdk, frozenset(named.keys() - extras))

    async def _arrive(self, response: httpx.Response) -> None:
        """See a failure before the SDK does, which would read all of it, however long."""
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
