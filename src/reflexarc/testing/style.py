"""How a server writes an answer: its chunks and its whole replies, as templates that are filled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from string import ascii_letters, digits
from typing import cast

from reflexarc.testing.reply import Step, event
from reflexarc.testing.template import OMIT, fill
from reflexarc.types import Json, ToolCallDelta, Usage

Piece = str | ToolCallDelta
"""Some text of an answer, or a whole tool call."""

REASONING_TOKENS = 9
"""What those that think write before their answer."""

_PADDING = "aB3xK9qLmN"
_PLACES = digits + ascii_letters


def _role() -> tuple[Json, ...]:
    return ({"role": "assistant", "content": ""},)


def _text() -> Json:
    return {"content": "{text}"}


def _calls() -> Json:
    return {"tool_calls": "{calls}"}


@dataclass(frozen=True, slots=True)
class Style:
    """One server's dialect, in templates (see `reflexarc.testing.template`).

    Parameters
    ----------
    chunk, end : dict
        A chunk of a stream, and the one that says why it ends: ``{delta}``, ``{finish}``,
        ``{counts}`` (left out if there are none), ``{counted}`` (null then), ``{null}`` (null if
        there are counts, else left out), ``{padding}`` and ``{maybe}`` (text of any length, the
        second in some chunks only).
    whole : dict
        A reply that is not streamed: ``{content}``, ``{calls}`` (null if there are none),
        ``{called}`` (left out then), ``{listed}`` (empty then), ``{finish}``, ``{counts}``.
    counts : dict or list
        The counts: ``{read}``, ``{written}``, ``{total}``, ``{cached}``, ``{fresh}`` (not cached),
        ``{thought}`` (the total with reasoning, where it is counted apart).
    call : dict
        A call in a stream: ``{index}``, ``{id}``, ``{name}``, ``{arguments}``.
    more : dict or None
        A delta with more arguments of a call; None writes a call in one.
    whole_call : dict
        A call of a reply that is not streamed.
    call_id : str
        Its id, where none is given; ``{index}`` is its position, in one character.
    start : dict or None, default None
        The chunks before the answer; None is `chunk`.
    first : tuple of dict, default ({"role": "assistant", "content": ""},)
        Their deltas.
    first_call : dict or None, default None
        What stands beside the first piece of a call that begins an answer, in place of `first`.
    text : dict, default {"content": "{text}"}
        A delta with text.
    calls : dict or str, default {"tool_calls": "{calls}"}
        A delta with calls; ``{call}`` is the first of them.
    together : bool, default False
        Whether all calls are written at once, after the text.
    begun : int, default 0
        How many characters of the arguments come with the beginning of a call.
    last, last_call : dict or None, default {}
        Delta of `end` after text and after calls; None makes an end of the chunk before it.
    usage : dict or None, default None
        A chunk of its own for the counts.
    latest : dict, default {}
        What the last chunk of all has beside the rest.
    finish_call, finish_whole_call : str, default "tool_calls"
        Why an answer with calls ends, streamed and not.
    empty : str or None, default ""
        Content of a whole reply that is all calls.
    before, before_whole : bytes, default b""
        What is sent while there is nothing to say yet.
    prefix : bytes, default b"data: "
        What an event begins with.
    done : bool, default True
        Whether ``[DONE]`` ends a stream.
    """

    chunk: Json
    end: Json
    whole: Json
    counts: Json | list[Json]
    call: Json
    more: Json | None
    whole_call: Json
    call_id: str
    start: Json | None = None
    first: tuple[Json, ...] = field(default_factory=_role)
    first_call: Json | None = None
    text: Json = field(default_factory=_text)
    calls: Json | str = field(default_factory=_calls)
    together: bool = False
    begun: int = 0
    last: Json | None = field(default_factory=dict[str, object])
    last_call: Json | None = field(default_factory=dict[str, object])
    usage: Json | None = None
    latest: Json = field(default_factory=dict[str, object])
    finish_call: str = "tool_calls"
    finish_whole_call: str = "tool_calls"
    empty: str | None = ""
    before: bytes = b""
    before_whole: bytes = b""
    prefix: bytes = b"data: "
    done: bool = True

    def write(
        self, pieces: Sequence[Piece | Step], finish: str, usage: Usage | None
    ) -> Iterator[Step]:
        """Write an answer as a stream.

        Parameters
        ----------
        pieces : sequence of str, ToolCallDelta, bytes, float or asyncio.Event
            Text, whole tool calls, and steps that stay as they are.
        finish : str
            Why it ends; ``"stop"`` after calls is told as the server tells it.
        usage : Usage or None
            Counts; None leaves them out.

        Yields
        ------
        bytes, float or asyncio.Event
        """
        values = _counted(self.counts, usage) | {
            "finish": _finish(pieces, finish, self.finish_call)
        }
        ahead, deltas = self._deltas(pieces)
        end = max(place for place, delta in enumerate(deltas) if isinstance(delta, dict))
        if self.before:
            yield self.before
        number = count()
        for place, delta in enumerate(deltas):
            if not isinstance(delta, dict):
                yield delta
                continue
            template = self.start or self.chunk if place < ahead else self.chunk
            if place == end:
                template = self.end
                if usage is None or self.usage is None:
                    template = template | self.latest
            yield self._event(template, values | {"delta": delta} | _padding(next(number)))
        if usage is not None and self.usage is not None:
            yield self._event(self.usage | self.latest, values)
        if self.done:
            yield self.prefix + b"[DONE]\n\n"

    def tell(self, pieces: Sequence[Piece], finish: str, usage: Usage | None) -> Json:
        """Write the same answer as one JSON object.

        Parameters
        ----------
        pieces : sequence of str or ToolCallDelta
            Text and whole tool calls.
        finish : str
            Why it ends.
        usage : Usage or None
            Counts; None leaves them out.

        Returns
        -------
        dict
        """
        calls = [fill(self.whole_call, told) for told in self._told(pieces)]
        text = "".join(piece for piece in pieces if isinstance(piece, str))
        values = _counted(self.counts, usage) | {
            "finish": _finish(pieces, finish, self.finish_whole_call),
            "content": text or (self.empty if calls else ""),
            "calls": calls or None,
            "called": calls or OMIT,
            "listed": calls,
        }
        return cast("Json", fill(self.whole, values))

    def _told(self, pieces: Sequence[Piece | Step]) -> Iterator[Json]:
        """What there is to tell of each call."""
        calls = [piece for piece in pieces if isinstance(piece, ToolCallDelta)]
        for index, call in enumerate(calls):
            said = call.arguments
            yield {
                "index": index,
                "id": call.id or fill(self.call_id, {"index": _PLACES[index % len(_PLACES)]}),
                "name": call.name,
                "arguments": said if isinstance(said, str) else json.dumps(said),
            }

    def _deltas(self, pieces: Sequence[Piece | Step]) -> tuple[int, list[Json | Step]]:
        """The deltas of a stream, and how many of them come ahead of the answer."""
        said = [piece for piece in pieces if isinstance(piece, Piece)]
        calls = list(self._told(pieces))
        begins = isinstance(next(iter(said), ""), ToolCallDelta)
        ahead = () if begins and self.first_call else self.first
        beside = (begins and self.first_call) or {}
        deltas: list[Json | Step] = [*ahead]
        rest = iter(calls)
        for piece in pieces:
            if isinstance(piece, str):
                deltas.append(cast("Json", fill(self.text, {"text": piece})))
            elif not isinstance(piece, ToolCallDelta):
                deltas.append(piece)
            elif not self.together:
                beginning, *more = self._pieces_of([next(rest)])
                deltas += [beside | beginning, *more]
                beside = {}
        if self.together and calls:
            deltas += self._pieces_of(calls)
        last = self.last_call if calls else self.last
        if last is not None or not any(isinstance(delta, dict) for delta in deltas):
            deltas.append(last or {})
        return len(ahead), deltas

    def _pieces_of(self, calls: list[Json]) -> list[Json]:
        """The deltas that calls are written in."""
        heads: list[object] = []
        tails: list[object] = []
        for call in calls:
            arguments: str = call["arguments"]
            if self.more is None:
                heads.append(fill(self.call, call))
                continue
            head, tail = arguments[: self.begun], arguments[self.begun :]
            middle = len(tail) // 2  # cut where it hurts
            heads.append(fill(self.call, call | {"arguments": head}))
            tails += [
                fill(self.more, call | {"arguments": part})
                for part in (tail[:middle], tail[middle:])
            ]
        beginning = fill(self.calls, {"calls": heads, "call": heads[0]})
        return cast("list[Json]", [beginning, *tails])

    def _event(self, template: Json, values: Json) -> bytes:
        written = event(fill(template, values))
        return self.prefix + written.removeprefix(b"data: ")


def _finish(pieces: Sequence[Piece | Step], finish: str, finish_call: str) -> str:
    is_call = any(isinstance(piece, ToolCallDelta) for piece in pieces)
    return finish_call if is_call and finish == "stop" else finish


def _counted(template: object, usage: Usage | None) -> Json:
    """What there is to tell of the counts."""
    read, written, cached = (
        (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) if usage else (0, 0, 0)
    )
    total = read + written
    numbers = {
        "read": read,
        "written": written,
        "total": total,
        "cached": cached,
        "fresh": read - cached,
        "thought": total + REASONING_TOKENS,
    }
    counts = None if usage is None else fill(template, numbers)
    return numbers | {
        "counts": OMIT if counts is None else counts,
        "counted": counts,
        "null": OMIT if counts is None else None,
    }


def _padding(number: int) -> Json:
    padding = _PADDING[: 1 + number % len(_PADDING)]
    return {"padding": padding, "maybe": padding if number % 3 == 2 else OMIT}
