"""The body of a reply, whoever moves its bytes: our own client or a vendor's SDK."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from reflexarc.errors import BadOutputError, ConnectError, LLMError, UnavailableError, quote
from reflexarc.providers.chat import read_event, read_reply
from reflexarc.providers.failure import read_error
from reflexarc.providers.sse import EventParser, ServerEvent
from reflexarc.redaction import hidden
from reflexarc.types import Stop, Wire

_log = logging.getLogger(__name__)

Explain = Callable[[int, Mapping[str, str], object], LLMError]
"""What makes an error of a failure; `read_error` knows the envelopes in use."""

LARGEST_REPLY = 8 << 20
"""Bytes one reply may have in all."""

LARGEST_ERROR = 64 << 10
"""Bytes that are read of a failure."""

_GRACE_S = 0.25
"""After the end of the answer, how long the rest of the body (usage, a last chunk) may take."""


class Retirement:
    """The header by which Mistral says that a model is about to be retired."""

    HEADER = "x-model-deprecation-timestamp"

    def __init__(self) -> None:
        self._told = False

    def note(self, headers: Mapping[str, str]) -> None:
        """Log it, the first time.

        Parameters
        ----------
        headers : mapping of str to str
            Of a reply; case-insensitive.
        """
        date = headers.get(self.HEADER)
        if date is not None and not self._told:
            self._told = True
            _log.warning("The server will retire this model on %s; name another one.", quote(date))


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a reply of status 200, still to be read.

    Parameters
    ----------
    base_url : str
        Who answers, for messages.
    media : str
        Its content type, without parameters.
    read : callable
        Some bytes when awaited, ``b""`` at the end.
    broken : tuple of type
        What `read` raises when the connection breaks.
    understand : callable, default read_reply
        Reads one parsed event, or one whole reply.
    """

    base_url: str
    media: str
    read: Callable[[], Awaitable[bytes]]
    broken: tuple[type[Exception], ...]
    understand: Callable[[object], list[Wire]] = read_reply


async def read_body(body: Body) -> AsyncGenerator[Sequence[Wire], None]:
    """Give out the pieces of a reply as they are read.

    Parameters
    ----------
    body : Body
        What to read.

    Yields
    ------
    sequence of Wire
        A stream that ends without a `Stop` was cut.

    Raises
    ------
    LLMError
        If the reply is an error, or no answer at all.
    """
    if body.media == "application/json":
        yield await _read_whole(body)
        return
    if body.media == "text/html":
        raise UnavailableError(
            f"{body.base_url} answered with a web page; check base_url, and whether the network "
            "asks you to log in"
        )
    parser = EventParser()
    size = 0
    until: float | None = None  # the loop's time to stop reading at, once the answer is over
    try:
        while chunk := await (body.read() if until is None else _read_until(body, until)):
            size += len(chunk)
            if size > LARGEST_REPLY:
                raise _too_large()
            batch, failure = _pieces(body, parser.feed(chunk))
            if batch:
                yield batch
            if until is None and Stop in map(type, batch):
                until = asyncio.get_running_loop().time() + _GRACE_S
            if failure and until is None:
                raise failure
            if failure:  # the answer is complete; what goes wrong behind it changes nothing
                return
    except body.broken as error:  # the end is missing, which who reads the pieces will see
        if size == 0:
            raise ConnectError(
                f"the connection broke before the answer began ({type(error).__name__}); try again"
            ) from error
    batch, failure = _pieces(body, parser.close())
    if batch:
        yield batch
    if failure and until is None:
        raise failure


async def read_at_most(body: Body, most: int) -> bytes:
    """Read up to `most` bytes, and the piece that goes beyond it.

    Parameters
    ----------
    body : Body
        What to read.
    most : int
        Bytes after which no more is read.

    Returns
    -------
    bytes

    Raises
    ------
    ConnectError
        If the connection breaks.
    """
    parts: list[bytes] = []
    size = 0
    try:
        while size <= most and (chunk := await body.read()):
            parts.append(chunk)
            size += len(chunk)
    except body.broken as error:
        raise broken_error(error) from error
    return b"".join(parts)


def broken_error(error: Exception) -> ConnectError:
    """Say that a reply broke off before it could be understood.

    Parameters
    ----------
    error : Exception
        What an HTTP client raised.

    Returns
    -------
    ConnectError
        To be raised.
    """
    return ConnectError(
        f"the connection broke in the middle of the reply ({type(error).__name__}); try again"
    )


def read_failure(
    status: int,
    headers: Mapping[str, str],
    text: str,
    api_key: str | None,
    explain: Explain = read_error,
) -> LLMError:
    """Understand the text of a failure; see `read_error`.

    Parameters
    ----------
    status : int
        HTTP status.
    headers : mapping of str to str
        Of the reply; case-insensitive.
    text : str
        Its body.
    api_key : str or None
        Blotted out, since some servers quote the key they refuse.
    explain : callable, default read_error
        Makes an error of the status, the headers and the body, which is parsed if it is JSON.

    Returns
    -------
    LLMError
        To be raised.
    """
    try:  # as parsed and written again, no escape hides the key
        body: object = json.loads(text)
        text = json.dumps(body, ensure_ascii=False)
        body = json.loads(hidden(text, api_key or ""))
    except (ValueError, RecursionError):
        body = hidden(text, api_key or "")
    return explain(status, headers, body)


async def _read_until(body: Body, until: float) -> bytes:
    """Read what is there behind the end of the answer; not for long, whatever still comes."""
    if asyncio.get_running_loop().time() >= until:
        return b""
    limit = asyncio.timeout_at(until)
    try:
        async with limit:
            return await body.read()
    except TimeoutError:
        if not limit.expired():
            raise
        return b""


def _pieces(body: Body, events: list[ServerEvent]) -> tuple[list[Wire], LLMError | None]:
    """The pieces up to the first failure, and that failure: what came before it stands."""
    batch: list[Wire] = []
    for event in events:
        try:
            batch += read_event(event, body.understand)
        except LLMError as error:
            return batch, error
    return batch, None


async def _read_whole(body: Body) -> list[Wire]:
    """Read a reply that is not streamed, though a stream was asked for."""
    data = await read_at_most(body, LARGEST_REPLY)
    if len(data) > LARGEST_REPLY:
        raise _too_large()
    text = data.decode("utf-8", "replace").strip()
    try:
        reply = json.loads(text)
    except (ValueError, RecursionError):
        raise BadOutputError(
            f"the server's reply is not JSON: {quote(text)}; check base_url, or try again"
        ) from None
    pieces = body.understand(reply)
    return pieces if Stop in map(type, pieces) else [*pieces, Stop("unmarked")]


def _too_large() -> BadOutputError:
    return BadOutputError(
        f"the server's reply is larger than {LARGEST_REPLY >> 20} MB; check that base_url names a "
        "language model"
    )
