"""What the scripted server answers, as values: bytes, pauses, and how the connection ends."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from reflexarc.types import Json, ToolCallDelta, Usage

Step = bytes | float | asyncio.Event
"""Bytes are written, a number is a pause in seconds, an event is waited for."""

Framing = Literal["chunked", "length", "close"]
End = Literal["whole", "cut", "reset", "stall"]

_EVENT = re.compile(rb".*?\n\r?\n|.+", re.DOTALL)  # up to its blank line, or what is left
_MEDIA = {".sse": "text/event-stream", ".json": "application/json", ".html": "text/html"}


@dataclass(frozen=True, slots=True)
class Reply:
    """One response, down to its bytes; make variants with `dataclasses.replace`.

    Parameters
    ----------
    status : int or None, default 200
        HTTP status. None writes no head at all: `body` is every byte that is sent, without framing.
    headers : mapping of str to str, default {}
        Added to those that the framing needs, and stronger than they are.
    body : tuple of bytes, float or asyncio.Event, default ()
        Steps in order: bytes to write, seconds to pause, an event to wait for.
    framing : {"chunked", "length", "close"}, default "chunked"
        How the client learns where the body ends.
    end : {"whole", "cut", "reset", "stall"}, default "whole"
        After the last step: end the body as the framing asks; close without ending it (FIN); break
        the connection (RST); or keep it open and send nothing more until the client closes.
    keep_alive : bool, default True
        Whether the connection takes another request afterwards.
    piece : int or None, default None
        Bytes that are written at once: neighbouring steps of bytes are joined and cut anew. None
        writes each step as it is.
    wait : float or asyncio.Event, default 0.0
        What comes before the first byte: a pause in seconds, or an event.
    """

    status: int | None = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: tuple[Step, ...] = ()
    framing: Framing = "chunked"
    end: End = "whole"
    keep_alive: bool = True
    piece: int | None = None
    wait: float | asyncio.Event = 0.0

    @classmethod
    def stream(
        cls,
        *pieces: str | ToolCallDelta | Step,
        finish: str | None = "stop",
        usage: Usage | None = None,
        done: bool = True,
        model: str = "scripted",
    ) -> Self:
        """An answer in the OpenAI chat dialect, streamed.

        Parameters
        ----------
        *pieces : str, ToolCallDelta, bytes, float or asyncio.Event
            Text and pieces of tool calls become one event each; the rest are steps as in `body`.
        finish : str or None, default "stop"
            ``finish_reason`` of the last chunk; None leaves that chunk out.
        usage : Usage or None, default None
            Counts in a chunk of their own after it, as OpenAI and llama.cpp send them.
        done : bool, default True
            Whether ``[DONE]`` follows.
        model : str, default "scripted"
            Who the server says is answering.

        Returns
        -------
        Reply
        """
        body = [_piece(piece, model) for piece in pieces]
        if finish is not None:
            body.append(_chunk(model, {}, finish))
        if usage is not None:
            body.append(event({"model": model, "choices": [], "usage": _counts(usage)}))
        if done:
            body.append(b"data: [DONE]\n\n")
        return cls(headers={"Content-Type": "text/event-stream"}, body=tuple(body))

    @classmethod
    def json(cls, value: object, status: int = 200) -> Self:
        """A JSON body of known length.

        Parameters
        ----------
        value : object
            Anything `json.dumps` takes.
        status : int, default 200
            HTTP status.

        Returns
        -------
        Reply
        """
        return cls.text(json.dumps(value), status, "application/json")

    @classmethod
    def text(cls, text: str, status: int = 200, media: str = "text/plain") -> Self:
        """A text body of known length.

        Parameters
        ----------
        text : str
            The body.
        status : int, default 200
            HTTP status.
        media : str, default "text/plain"
            Its ``Content-Type``.

        Returns
        -------
        Reply
        """
        return cls(status, {"Content-Type": media}, (text.encode(),), "length")

    @classmethod
    def sample(cls, path: Path, status: int = 200) -> Self:
        """A recorded body. Reads the file, so call it before the event loop runs.

        Parameters
        ----------
        path : Path
            ``.sse`` is streamed an event at a time; ``.json``, ``.html`` and others are sent whole.
        status : int, default 200
            HTTP status.

        Returns
        -------
        Reply
        """
        data = path.read_bytes()
        media = _MEDIA.get(path.suffix, "text/plain")
        if path.suffix != ".sse":
            return cls(status, {"Content-Type": media}, (data,), "length")
        return cls(status, {"Content-Type": media}, tuple(_EVENT.findall(data)))

    @classmethod
    def nothing(cls, end: End = "cut") -> Self:
        """No answer, not even a status line.

        Parameters
        ----------
        end : {"whole", "cut", "reset", "stall"}, default "cut"
            What becomes of the connection.

        Returns
        -------
        Reply
        """
        return cls(status=None, end=end)


def event(data: object, name: str | None = None) -> bytes:
    """One server-sent event.

    Parameters
    ----------
    data : object
        Anything `json.dumps` takes.
    name : str or None, default None
        Its ``event`` field.

    Returns
    -------
    bytes
    """
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _piece(piece: str | ToolCallDelta | Step, model: str) -> Step:
    if isinstance(piece, str):
        return _chunk(model, {"content": piece})
    return _chunk(model, _tool_call(piece)) if isinstance(piece, ToolCallDelta) else piece


def _chunk(model: str, delta: Json, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event({"object": "chat.completion.chunk", "model": model, "choices": [choice]})


def _tool_call(call: ToolCallDelta) -> Json:
    """A delta with those keys alone that the call has, as servers do."""
    function = {"name": call.name, "arguments": call.arguments}
    fields = {
        "index": call.index,
        "id": call.id,
        "function": {name: value for name, value in function.items() if value},
    }
    return {"tool_calls": [{name: value for name, value in fields.items() if value is not None}]}


def _counts(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
