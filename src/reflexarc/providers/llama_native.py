"""Meta's native dialect of the chat API, read beside the OpenAI dialect.

Its replies have ``event`` or ``completion_message`` where those of the other have ``choices``: the
reply says which one a server speaks, the address does not.
"""

from __future__ import annotations

from typing import cast

from reflexarc.providers.chat import read_reply
from reflexarc.providers.failure import read_error
from reflexarc.types import Json, Stop, TextDelta, ToolCallDelta, Usage, Wire, as_object


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
