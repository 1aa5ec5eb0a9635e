"""The faults: what the first of two servers does, as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from bench.server import Form
from bench.task import MODEL, Pair, actions, written
from reflexarc.testing import Reply, event

_FIRST_S, _PAUSE_S, _PIECE = 0.1, 0.01, 32
"""Healthy: the first characters after 0.1 s, 32 more every 10 ms, all of them after some 0.3 s."""

_ID = b"chatcmpl-3f1c9a7be2d84b5c"
_HEAD = {"id": _ID.decode(), "created": 1_790_000_000, "model": MODEL}
_USAGE = {"prompt_tokens": 157, "completion_tokens": 120, "total_tokens": 277}
_STREAM = Reply(headers={"Content-Type": "text/event-stream"})
_DONE = b"data: [DONE]\n\n"

_UNKNOWN: Sequence[Pair] = [("fly", "to the moon")]
_LIMITED = {"error": {"message": "Too many requests", "type": "rate_limit_exceeded", "code": 429}}
_BROKEN = {"error": {"message": "Internal server error", "type": "server_error", "code": 500}}


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail.

    `reply` makes the answer to a request of some form; None refuses connections. `times` is how
    often the server fails before it is healthy; None is for ever.
    """

    name: str
    why: str
    reply: Callable[[Form], Reply] | None
    times: int | None = None


def healthy(form: Form, pairs: Sequence[Pair] | None = None) -> Reply:
    """An answer in the form that is asked for: text or a call, streamed or whole."""
    text = written(actions() if pairs is None else pairs, form.field)
    pieces = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
    if not form.streams:
        return replace(_whole(form, text), wait=_FIRST_S + _PAUSE_S * len(pieces))
    steps: list[bytes | float] = [_FIRST_S]
    for at, piece in enumerate(pieces):
        steps += [_chunk(_message(form, piece, named=at == 0)), _PAUSE_S]
    steps += [_chunk({}, _finish(form)), _DONE]
    return replace(_STREAM, body=tuple(steps))


def numbered(reply: Reply, number: int) -> Reply:
    """The same reply by an id of its own, as every server's replies have."""
    own = b"chatcmpl-%016x" % number
    parts = (part.replace(_ID, own) if isinstance(part, bytes) else part for part in reply.body)
    return replace(reply, body=tuple(parts))


def _message(form: Form, text: str, *, named: bool = True) -> dict[str, Any]:
    """A message, or the first or another piece of one."""
    if form.tool is None:
        return {"role": "assistant", "content": text}
    # Some clients take a piece without these for another call.
    call: dict[str, Any] = {"id": "call00001"} | ({"index": 0} if form.streams else {})
    function = {"name": form.tool} if named else {}
    call |= {"type": "function", "function": function | {"arguments": text}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _finish(form: Form) -> str:
    return "tool_calls" if form.tool else "stop"


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event(_HEAD | {"object": "chat.completion.chunk", "choices": [choice]})


def _whole(form: Form, text: str) -> Reply:
    choice = {
        "index": 0,
        "message": _message(form, text),
        "finish_reason": _finish(form),
    }
    return Reply.json(_HEAD | {"object": "chat.completion", "choices": [choice], "usage": _USAGE})


def _part(form: Form, of_first: float, **changes: Any) -> Reply:
    """An answer up to so much of its first action, and then what `changes` say."""
    reply = healthy(form)
    if form.streams:
        length = (written(actions(), form.field).index("}") + 1) * of_first
        return replace(reply, body=reply.body[: 1 + 2 * ceil(length / _PIECE)], **changes)
    [data] = reply.body
    assert isinstance(data, bytes)
    return replace(reply, body=(data[: len(data) // 2],), framing="chunked", **changes)


def _cut_clean(form: Form) -> Reply:
    """Half of the first action, and a proper end that gives no reason, or the usual one."""
    if not form.streams:
        text = written(actions(), form.field)
        return replace(_whole(form, text[: text.index("}") // 2]), wait=_FIRST_S)
    part = _part(form, 0.5)
    return replace(part, body=(*part.body, _DONE))


def _drip(form: Form) -> Reply:
    """What proxies send so that nobody hangs up: comments in a stream, blanks before JSON."""
    media = "text/event-stream" if form.streams else "application/json"
    alive = b": keep-alive\n\n" if form.streams else b" "
    return Reply(headers={"Content-Type": media}, body=(alive, 0.25) * 60, end="stall")


def _told(form: Form) -> Reply:
    """Status 200, and then an error where an answer is expected."""
    if not form.streams:
        return replace(Reply.json(_BROKEN), wait=_FIRST_S)
    return replace(_STREAM, body=(_FIRST_S, event(_BROKEN), _DONE))


def _empty(form: Form) -> Reply:
    """Well-formed, and nothing in it."""
    if not form.streams:
        whole = {"object": "chat.completion", "choices": [], "usage": _USAGE}
        return Reply.json(_HEAD | whole)
    chunk = event(_HEAD | {"object": "chat.completion.chunk", "choices": []})
    return replace(_STREAM, body=(chunk, _DONE))


def _limited(_: Form) -> Reply:
    reply = Reply.json(_LIMITED, 429)
    return replace(reply, headers={**reply.headers, "Retry-After": "1"})


def _failed(_: Form) -> Reply:
    return Reply.json(_BROKEN, 500)


FAULTS = (
    Fault("429, once", "a burst met the vendor's limit; it says to come back in 1 s", _limited, 1),
    Fault("500, once", "one of the vendor's machines failed", _failed, 1),
    Fault("reset, once", "the connection is dropped before the reply",
          lambda _: Reply.nothing("reset"), 1),
    Fault("429 for ever", "the quota is used up", _limited),
    Fault("500 for ever", "an outage", _failed),
    Fault("refused", "the server's process is gone", None),
    Fault("10 s late", "a queue, or a model that loads", lambda f: replace(healthy(f), wait=10.0)),
    Fault("stalls", "the link is lost within an answer", lambda f: _part(f, 0.5, end="stall")),
    Fault("keep-alives for ever", "a proxy is alive and its model is not", _drip),
    Fault("cut off", "the server dies within an answer", lambda f: _part(f, 0.5, end="cut")),
    Fault("ends early", "a proxy closes the stream properly, and too early", _cut_clean),
    Fault("error with status 200", "a failure once the head is sent", _told),
    Fault("no choices", "a filter has removed the answer", _empty),
    Fault("unknown action", "the server ignores the schema, and the model invents something",
          lambda f: healthy(f, _UNKNOWN)),
)  # fmt: skip
"""Each as the robot meets it. They strike before an action is complete, so that any client can
still begin again without doing something twice; left out is what a strict schema prevents (fences,
prose, broken JSON)."""

LATER = (
    Fault("stalls after an action", "", lambda f: _part(f, 1.3, end="stall")),
    Fault("reset after an action", "", lambda f: _part(f, 1.3, end="reset")),
)
"""Told apart from the others: who has handed over an action can do it twice, or not finish."""
