"""What a server says when it fails: every error envelope in use, as one of our errors.

By the code in the body, else by the status. A few servers give no code and a status that others use
for something else; for those the server's own phrase decides, listed below with its source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple, cast

from reflexarc.errors import (
    AuthError,
    BadRequestError,
    ContextOverflowError,
    LLMError,
    LoadingError,
    QuotaError,
    RateLimitedError,
    RefusedError,
    ServerError,
    UnavailableError,
    quote,
)
from reflexarc.types import Json, as_object, objects_in

# Codes and types that say more than the status does. Sources: OpenAI's error guide, llama.cpp's
# server README, xAI, Gemini and Mistral replies as publicly recorded; read 2026-11.
_BY_CODE: Mapping[str, type[LLMError]] = {
    "insufficient_quota": QuotaError,
    "context_length_exceeded": ContextOverflowError,
    "exceed_context_size_error": ContextOverflowError,
    "invalid_api_key": AuthError,
    "API_KEY_INVALID": AuthError,
    "authentication_error": AuthError,
    "invalid_model": UnavailableError,
    "model_not_found": UnavailableError,
    "unavailable_error": LoadingError,
    "rate_limit_exceeded": RateLimitedError,
    "server_is_overloaded": ServerError,
    "overloaded_error": ServerError,
    "service_tier_capacity_exceeded": ServerError,
    "service_unavailable_error": ServerError,
    "content_policy_violation": RefusedError,
    "content_filter": RefusedError,
}

# Phrases of servers that say it in words alone, and where each was read (2026-11).
_TOO_LONG = (ContextOverflowError, "the prompt is longer than the model's context")
_DECLINED = (RefusedError, "the provider's filter declined")
_BY_PHRASE: Mapping[tuple[int, str], tuple[type[LLMError], str]] = {
    # xAI: any mistake is a 400, and 403 is a key's lack of rights as well.
    (400, "Incorrect API key provided"): (AuthError, "the server refused the key"),
    (400, "Invalid Authorization header"): (AuthError, "the server refused the key"),  # Gemini
    (400, "Content violates usage guidelines"): _DECLINED,
    (403, "Content violates usage guidelines"): _DECLINED,
    (400, "maximum context length"): _TOO_LONG,  # vLLM, all versions
    (422, "`inputs` must have less than"): _TOO_LONG,  # TGI
    (422, "`inputs` tokens + `max_new_tokens` must be"): _TOO_LONG,  # TGI
}

_BY_STATUS: Mapping[int, tuple[type[LLMError], str]] = {
    400: (BadRequestError, "the server does not accept the request"),
    401: (
        AuthError,
        "the server refused the key, or wants one (some answer so when the quota is used up)",
    ),
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
    AuthError: "check api_key, or the variable it comes from (for the vendor's own host only)",
    QuotaError: "top the account up, or name another provider",
    RateLimitedError: "wait, or call less often (hertz)",
    BadRequestError: "check model, structured and extra_params",
    ContextOverflowError: "shorten the prompt or history_length, or give the server more context",
    UnavailableError: "check model and base_url, and that the server has loaded it",
    LoadingError: "wait until it has, or raise timeout",
    RefusedError: "say it in other words",
    ServerError: "try again, or name another provider",
}

# Fields of a request that a server may name only in a sentence. A plain word counts if it is
# quoted: a sentence may repeat what a person has said, about tools or the temperature.
_FIELDS = frozenset(
    {
        *("frequency_penalty", "grammar", "json_object", "json_schema", "max_completion_tokens"),
        *("max_tokens", "parallel_tool_calls", "presence_penalty", "prompt_cache_key"),
        *("random_seed", "reasoning_effort", "response_format", "safe_prompt", "seed", "stop"),
        *("stream_options", "temperature", "thinking", "tool_choice", "tools", "top_k", "top_p"),
    }
)
_WORD = re.compile(r"""[a-z]+(?:_[a-z]+)+|(?<=['"`])[a-z]+|\bgrammar\b""")


class _Said(NamedTuple):
    """What an error envelope says."""

    message: str
    codes: list[str]
    fields: tuple[str, ...]
    wait_s: float | None


def read_error(status: int, headers: Mapping[str, str], body: object) -> LLMError:
    """Understand a failure.

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
    said = _read(body)
    kind, what = _classify(status, said)
    quoted = f": {quote(said.message)}" if said.message else ""
    asked_s = retry_after_s(headers)
    error = kind(
        f"{what} (status {status}{quoted}); {_ADVICE[kind]}",
        status=status,
        request_id=headers.get("x-request-id") or headers.get("mistral-correlation-id"),
        # Below 500, what is not there will not be there later.
        retryable=False if kind is UnavailableError and status < 500 else None,
        retry_after_s=said.wait_s if asked_s is None else asked_s,
    )
    if isinstance(error, BadRequestError):
        error.fields = said.fields
    return error


def _classify(status: int, said: _Said) -> tuple[type[LLMError], str]:
    for code in said.codes:
        if code in _BY_CODE:
            return _BY_CODE[code], f"the server says {code}"
    for (of, phrase), found in _BY_PHRASE.items():
        if status == of and phrase in said.message:
            return found
    return _BY_STATUS.get(status) or _BY_HUNDRED.get(status // 100, _FAILED)


def _read(body: object) -> _Said:
    """Read any of the error envelopes that servers use."""
    items = cast("list[object]", body) if isinstance(body, list) else [body]  # Gemini sends a list
    outer = as_object(items[0] if items else None)
    if outer is None:
        plain = body.strip() if isinstance(body, str) else ""
        return _Said(plain, [], tuple(_in_words(quote(plain))), None)  # a web page names none
    error = as_object(outer.get("error")) or outer
    said: object = error.get("message") or error.get("detail") or outer.get("error") or ""
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    details = objects_in(error.get("details"))
    codes = [error.get(name) for name in ("code", "type", "status", "error_type")]
    codes += [detail.get("reason") for detail in details]
    waits = (_seconds(detail.get("retryDelay")) for detail in details)
    return _Said(
        text,
        [code for code in codes if isinstance(code, str)],
        tuple(_structured(error, said) or _in_words(text)),
        next((wait for wait in waits if wait is not None), None),
    )


def _structured(error: Json, said: object) -> list[str]:
    """Fields that an envelope names as data: OpenAI's ``param``, FastAPI's ``loc``."""
    param = error.get("param")
    if isinstance(param, str) and param:
        return [re.split(r"[.\[]", param)[0]]
    problems = objects_in((as_object(said) or {}).get("detail")) or objects_in(said)
    places = (problem.get("loc") for problem in problems)
    paths = [cast("list[object]", place) for place in places if isinstance(place, list)]
    return [str(path[1]) for path in paths if len(path) > 1]


def _in_words(text: str) -> Iterator[str]:
    return (word for word in dict.fromkeys(_WORD.findall(text)) if word in _FIELDS)


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


def _seconds(delay: object) -> float | None:
    """Gemini's ``"27s"``."""
    seconds = _number(delay.removesuffix("s")) if isinstance(delay, str) else None
    return None if seconds is None else max(0.0, seconds)


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
