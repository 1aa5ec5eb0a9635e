"""The OpenAI chat dialect: how a request is written, a reply read and a failure understood.

Pure functions over JSON; the http transport, and in part the SDK transports, move the bytes. The
reader takes what any server of the dialect sends, since the reply tells more than the URL does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, cast

from reflexarc.errors import (
    AuthError,
    BadOutputError,
    BadRequestError,
    ContextOverflowError,
    LLMError,
    QuotaError,
    RateLimitedError,
    RefusedError,
    ServerError,
    UnavailableError,
)
from reflexarc.llm import Request
from reflexarc.providers.sse import ServerEvent
from reflexarc.types import Json, ServedBy, Stop, TextDelta, ToolCallDelta, Usage, Wire, as_object

_STOPS: Mapping[str, Literal["stop", "length", "filter", "error"]] = {
    "stop": "stop",
    "tool_calls": "stop",
    "function_call": "stop",
    "length": "length",
    "model_length": "length",
    "content_filter": "filter",
    "error": "error",
    "insufficient_system_resource": "error",
}

# Codes and types that say more than the status does. Sources: OpenAI's error guide, llama.cpp's
# server README, xAI and Mistral replies as publicly recorded; read 2026-11.
_BY_CODE: Mapping[str, type[LLMError]] = {
    "insufficient_quota": QuotaError,
    "context_length_exceeded": ContextOverflowError,
    "exceed_context_size_error": ContextOverflowError,
    "invalid_api_key": AuthError,
    "authentication_error": AuthError,
    "model_not_found": UnavailableError,
    "unavailable_error": UnavailableError,
    "rate_limit_exceeded": RateLimitedError,
    "server_is_overloaded": ServerError,
    "overloaded_error": ServerError,
}

_BY_STATUS: Mapping[int, tuple[type[LLMError], str]] = {
    400: (BadRequestError, "the server does not accept the request"),
    401: (AuthError, "the server refused the key (some answer so when the quota is used up)"),
    402: (QuotaError, "the account's balance is used up"),
    403: (AuthError, "the key may not do this"),
    404: (UnavailableError, "the server does not know this model or address"),
    408: (ServerError, "the server gave up waiting"),
    410: (UnavailableError, "the server no longer has this model or address"),
    413: (ContextOverflowError, "the request is too large"),
    422: (BadRequestError, "the server does not accept a field of the request"),
    429: (RateLimitedError, "too many calls"),
    503: (UnavailableError, "the server is not ready"),
}

_BY_HUNDRED: Mapping[int, tuple[type[LLMError], str]] = {
    3: (UnavailableError, "the server sends us to another address"),
    4: _BY_STATUS[400],
}
_FAILED = (ServerError, "the server failed")

_ADVICE: Mapping[type[LLMError], str] = {
    AuthError: "check api_key, or the variable it comes from",
    QuotaError: "top the account up, or name another provider",
    RateLimitedError: "wait, or call less often (hertz)",
    BadRequestError: "check model, structured and extra_params",
    ContextOverflowError: "shorten the prompt or history_length, or give the server more context",
    UnavailableError: "check model and base_url, and that the server has loaded it",
    ServerError: "try again, or name another provider",
}

_LONGEST_QUOTE = 300


@dataclass(frozen=True, slots=True)
class Dialect:
    """What servers of the OpenAI chat dialect spell differently in a request.

    Parameters
    ----------
    max_tokens : str, default "max_tokens"
        Name of the token limit.
    stream_usage : bool, default True
        Whether ``stream_options`` is understood; Mistral refuses it and sends usage unasked.
    must_call : str, default "required"
        The ``tool_choice`` that forces a call.
    """

    max_tokens: str = "max_tokens"
    stream_usage: bool = True
    must_call: str = "required"

    def body(self, request: Request) -> Json:
        """The request as JSON.

        Parameters
        ----------
        request : Request
            What to ask.

        Returns
        -------
        dict
            Always a streamed request: servers stop generating when a stream is closed, and go on
            when another request is (llama.cpp, measured: 137 s).
        """
        config = request.config
        body: Json = {
            "model": request.model,
            "messages": [
                {"role": message.role, "content": message.content} for message in request.messages
            ],
            "stream": True,
            self.max_tokens: config.max_tokens,
        }
        if self.stream_usage:
            body["stream_options"] = {"include_usage": True}
        if config.temperature is not None:
            body["temperature"] = config.temperature
        if request.grammar is not None:
            body["grammar"] = request.grammar
        elif request.tools is not None:
            body["tools"] = request.tools
            body["tool_choice"] = self.must_call
        elif request.schema is not None:
            schema = {"name": "answer", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif request.json_object:
            body["response_format"] = {"type": "json_object"}
        return body | config.extra_params


def read_reply(reply: object) -> list[Wire]:
    """Read one event of a stream, or one whole reply.

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
        If the reply is an error, or no reply of this dialect.
    """
    body = as_object(reply)
    if body is None:
        raise BadOutputError(f"the server sent no reply but {quote(json.dumps(reply))}")
    if body.get("error") or body.get("object") == "error":
        raise read_error(_status_in(body), {}, body)
    choices = body.get("choices")
    if not isinstance(choices, list):
        if as_object(body.get("usage")):
            return _usage(body)
        raise BadOutputError(
            f"the server's reply has no choices: {quote(json.dumps(body))}; "
            "check that base_url speaks the OpenAI chat dialect"
        )
    pieces: list[Wire] = []
    if isinstance(model := body.get("model"), str) and model:
        pieces.append(ServedBy(model))
    for choice in _objects(cast("object", choices))[:1]:
        pieces += _choice(choice)
    return pieces + _usage(body)


def _status_in(body: Json) -> int:
    """The status that an error inside a reply of status 200 stands for."""
    error = as_object(body.get("error"))
    code = (body if error is None else error).get("code")
    return code if isinstance(code, int) and 400 <= code < 600 else 500


def _choice(choice: Json) -> list[Wire]:
    message = as_object(choice.get("delta")) or as_object(choice.get("message")) or {}
    pieces: list[Wire] = []
    if text := _text(message.get("content")):
        pieces.append(TextDelta(text))
    pieces += [_tool_call(call) for call in _objects(message.get("tool_calls"))]
    if refusal := message.get("refusal"):
        raise RefusedError(f"the model declined: {quote(str(refusal))}")
    if reason := choice.get("finish_reason"):
        pieces.append(Stop(_STOPS.get(str(reason), "stop")))
    return pieces


def _tool_call(call: Json) -> ToolCallDelta:
    function = as_object(call.get("function")) or {}
    name, arguments = function.get("name"), function.get("arguments")
    index, id_ = call.get("index"), call.get("id")
    return ToolCallDelta(
        name=name if isinstance(name, str) else "",
        arguments=arguments if isinstance(arguments, str) else as_object(arguments) or "",
        index=index if isinstance(index, int) else None,
        id=id_ if isinstance(id_, str) else None,
    )


def _objects(value: object) -> list[Json]:
    """The objects in what should be a list of them."""
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [found for item in items if (found := as_object(item)) is not None]


def _text(content: object) -> str:
    """Text of a message: a string, or a list of parts whose thinking is left out."""
    if isinstance(content, str):
        return content
    parts = _objects(content)
    return "".join(str(part.get("text") or "") for part in parts if part.get("type") == "text")


def _usage(body: Json) -> list[Wire]:
    counts = as_object(body.get("usage"))
    if counts is None:
        return []
    details = as_object(counts.get("prompt_tokens_details")) or {}
    timings = as_object(body.get("timings")) or {}
    cached = (
        details.get("cached_tokens") or counts.get("num_cached_tokens") or timings.get("cache_n")
    )
    read, written = counts.get("prompt_tokens"), counts.get("completion_tokens")
    numbers = [number if isinstance(number, int) else 0 for number in (read, written, cached)]
    return [Usage(*numbers)]


def read_error(status: int, headers: Mapping[str, str], body: object) -> LLMError:
    """Understand a failure: by the code in the body, then by the status.

    Parameters
    ----------
    status : int
        HTTP status.
    headers : mapping of str to str
        Of the reply; looked up as spelled here, so hand in a case-insensitive one.
    body : object
        Parsed JSON, text, or None.

    Returns
    -------
    LLMError
        To be raised; its message quotes the server's own words.
    """
    said, codes = _envelope(body)
    kind, what = _BY_STATUS.get(status) or _BY_HUNDRED.get(status // 100, _FAILED)
    for code in codes:
        if code in _BY_CODE:
            kind, what = _BY_CODE[code], f"the server says {code}"
            break
    quoted = f": {quote(said)}" if said else ""
    return kind(
        f"{what} (status {status}{quoted}); {_ADVICE[kind]}",
        status=status,
        request_id=headers.get("x-request-id") or headers.get("mistral-correlation-id"),
        # Below 500, what is not there will not be there later.
        retryable=False if kind is UnavailableError and status < 500 else None,
        retry_after_s=retry_after_s(headers),
    )


def _envelope(body: object) -> tuple[str, list[str]]:
    """The message and the codes in any of the error envelopes servers use."""
    items = cast("list[object]", body) if isinstance(body, list) else [body]  # Gemini sends a list
    outer = as_object(items[0] if items else None)
    if outer is None:
        return (body.strip() if isinstance(body, str) else ""), []
    error = as_object(outer.get("error")) or outer
    said: object = error.get("message") or error.get("detail") or outer.get("error") or ""
    codes = [error.get(name) for name in ("code", "type", "status", "error_type")]
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return text, [code for code in codes if isinstance(code, str)]


def quote(text: str) -> str:
    """A server's words on one line, shortened.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        At most 300 characters; HTML is only named.
    """
    line = " ".join(text.split())
    if line.startswith("<"):
        return "a web page"
    return line if len(line) <= _LONGEST_QUOTE else f"{line[: _LONGEST_QUOTE - 1]}…"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long the server asks us to wait.

    Parameters
    ----------
    headers : mapping of str to str
        Of the reply.

    Returns
    -------
    float or None
        Seconds, never negative; None if it does not say. A date is measured against the server's
        own ``Date``, since a robot's clock may be wrong.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    said = headers.get("retry-after")
    seconds = _number(said)
    if seconds is not None:
        return max(0.0, seconds)
    until, now = _date(said), _date(headers.get("date"))
    return max(0.0, (until - now).total_seconds()) if until and now else None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if abs(number) != float("inf") and number == number else None  # noqa: PLR0124 - nan


def _date(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_event(
    event: ServerEvent, understand: Callable[[object], list[Wire]] = read_reply
) -> list[Wire]:
    """Read one server-sent event.

    Parameters
    ----------
    event : ServerEvent
        As it arrived.
    understand : callable, default read_reply
        Reads its parsed data.

    Returns
    -------
    list of Wire
        The end mark ``[DONE]``, spelled loosely, becomes a `Stop` without a reason.

    Raises
    ------
    LLMError
        If it is an error, or not JSON.
    """
    data = event.data.strip()
    if data.strip('"') == "[DONE]":
        return [Stop("unmarked")]
    if not data:
        return []
    try:
        reply = json.loads(data)
    except (ValueError, RecursionError):
        raise BadOutputError(f"the server sent an event that is not JSON: {quote(data)}") from None
    if event.name == "error":
        raise read_error(500, {}, reply)
    return understand(reply)
