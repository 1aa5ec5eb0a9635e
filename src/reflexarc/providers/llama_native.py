"""Meta's native dialect of the chat API, read beside the OpenAI dialect.

Its replies have ``event`` or ``completion_message`` where those of the other have ``choices``: the
reply says which one a server speaks, the address does not.
"""

from __future__ import annotations

from reflexarc.providers.chat import read_count, read_reply, read_tool_call
from reflexarc.providers.failure import read_error
from reflexarc.types import Json, Stop, TextDelta, Usage, Wire, as_object, objects_in


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
    if "choices" in body:
        return read_reply(reply)
    if event := as_object(body.get("event")):
        return _event(event)
    if message := as_object(body.get("completion_message")):
        return _message(message) + _usage(body.get("metrics"))
    status = body.get("status")
    if "detail" in body and isinstance(status, int):  # {"title", "detail", "status"}
        raise read_error(status, {}, body)
    return read_reply(reply)


def _event(event: Json) -> list[Wire]:
    delta = as_object(event.get("delta")) or {}
    pieces: list[Wire] = []
    if delta.get("type") == "tool_call":
        pieces.append(read_tool_call(delta))
    else:
        pieces += _text(delta.get("text"))
    if event.get("event_type") == "complete":
        pieces.append(_stop(event))
    return pieces + _usage(event.get("metrics"))


def _message(message: Json) -> list[Wire]:
    content = message.get("content")
    part = as_object(content)
    pieces = _text(content if part is None else part.get("text"))
    pieces += map(read_tool_call, objects_in(message.get("tool_calls")))
    return [*pieces, _stop(message)]


def _text(text: object) -> list[Wire]:
    return [TextDelta(text)] if isinstance(text, str) and text else []


def _stop(said: Json) -> Stop:
    reason = said.get("stop_reason")
    if not reason:
        return Stop("unmarked")
    return Stop("length" if reason == "length" else "stop")


def _usage(metrics: object) -> list[Wire]:
    counts = {str(item.get("metric")): item.get("value") for item in objects_in(metrics)}
    read, written = counts.get("num_prompt_tokens"), counts.get("num_completion_tokens")
    if not counts:
        return []
    return [Usage(read_count(read), read_count(written))]
