"""The scripted server as one vendor's: it refuses what that one refuses, and answers in its way.

`EMULATORS` has them by name. What they enforce is in `reflexarc.testing.refusals`, how they write
in `reflexarc.testing.dialects`; both say where each fact comes from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from reflexarc.testing.dialects import DIALECTS, UNTHINKING
from reflexarc.testing.refusals import RULES
from reflexarc.testing.reply import Reply, Step
from reflexarc.testing.rules import Rules, refuse
from reflexarc.testing.server import Received, Server
from reflexarc.testing.style import Piece, Style
from reflexarc.types import Usage, as_object

COUNTS = Usage(210, 41, 128)
"""What an answer costs unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Emulator:
    r"""One vendor's server, or one kind of server, without its model.

    Parameters
    ----------
    name : str
        What `EMULATORS` knows it by.
    counts_unasked : bool, default False
        Whether its streams tell the counts without ``stream_options``.
    headers : mapping of str to str, default {}
        What every reply has.
    stream_type : str, default "text/event-stream; charset=utf-8"
        ``Content-Type`` of a stream.
    json_type : str, default "application/json"
        ``Content-Type`` of the rest.
    style : Style or None, default None
        How it writes an answer; None is as the server of this name in `EMULATORS` does.
    rules : Rules or None, default None
        What it refuses; None, likewise.

    Notes
    -----
    What is known from memory alone is marked (M) in those modules. Above all: the fields that
    OpenAI's API knows and Gemini's does not, Gemini's answer to a wrong key, xAI's to none, what
    Meta's own API refused, and nearly all of LM Studio's and vLLM's words.

    Examples
    --------
    >>> deepseek = EMULATORS["deepseek"]
    >>> reply = deepseek.answer('{"actions":[]}')
    >>> reply.body[0]
    b': keep-alive\n\n: keep-alive\n\n'
    """

    name: str
    counts_unasked: bool = False
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    stream_type: str = "text/event-stream; charset=utf-8"
    json_type: str = "application/json"
    style: Style | None = None
    rules: Rules | None = None

    def refusal(self, request: Received) -> Reply | None:
        """What it answers to a request that breaks its rules.

        Parameters
        ----------
        request : Received
            Any, also one that is no JSON.

        Returns
        -------
        Reply or None
            None if the request is accepted. Where a key is needed, every one is taken for a good
            one but ``bad-key``.
        """
        try:
            return self._refusal(request, request.body)
        except RecursionError:  # too deep to be read, or to be quoted
            return self._refusal(request, b"")

    def answer(
        self, *pieces: Piece | Step, finish: str = "stop", usage: Usage | None = COUNTS
    ) -> Reply:
        """A streamed answer.

        Parameters
        ----------
        *pieces : str, ToolCallDelta, bytes, float or asyncio.Event
            Texts, and whole tool calls, which are cut as the server cuts them; the rest are steps
            as in `Reply.body`.
        finish : str, default "stop"
            Why it ends; after tool calls, ``"stop"`` is told as the server tells it.
        usage : Usage or None, default COUNTS
            Counts; None is what a server sends that was not asked for them.

        Returns
        -------
        Reply
        """
        return self._stream(self._usual(), pieces, finish, usage)

    def whole(self, *pieces: Piece, finish: str = "stop", usage: Usage | None = COUNTS) -> Reply:
        """The same answer, not streamed.

        Parameters
        ----------
        *pieces : str or ToolCallDelta
            Texts and whole tool calls.
        finish : str, default "stop"
            Why it ends.
        usage : Usage or None, default COUNTS
            Counts.

        Returns
        -------
        Reply
        """
        return self._whole(self._usual(), pieces, finish, usage)

    def reply(
        self,
        request: Received,
        *pieces: Piece,
        finish: str = "stop",
        usage: Usage | None = COUNTS,
    ) -> Reply:
        """What it answers to one request, as a `Server`'s route: refused, streamed or whole.

        Parameters
        ----------
        request : Received
            Says whether to stream, to think, and to tell the counts of a stream.
        *pieces : str or ToolCallDelta
            The answer, if the request is accepted.
        finish : str, default "stop"
            Why it ends.
        usage : Usage or None, default COUNTS
            Counts.

        Returns
        -------
        Reply
        """
        if refusal := self.refusal(request):
            return refusal
        asked = as_object(request.json) or {}
        thinking = (as_object(asked.get("thinking")) or {}).get("type")
        style = self._usual()
        if thinking == "disabled":
            style = UNTHINKING.get(self.name, style)
        if asked.get("stream") is not True:
            return self._whole(style, pieces, finish, usage)
        options = as_object(asked.get("stream_options")) or {}
        told = self.counts_unasked or options.get("include_usage") is True
        return self._stream(style, pieces, finish, usage if told else None)

    def serve(self, *replies: Reply) -> Server:
        """A server that checks every request before it takes the next of its replies.

        Parameters
        ----------
        *replies : Reply
            For the requests that are accepted, in order; one that is refused uses none up.

        Returns
        -------
        Server
            An async context manager.
        """
        return _Checked(self, *replies)

    def _refusal(self, request: Received, body: bytes) -> Reply | None:
        refusal = refuse(self.rules or RULES[self.name], request.headers, body)
        return None if refusal is None else self._json(refusal.body, refusal.status)

    def _usual(self) -> Style:
        return self.style or DIALECTS[self.name]

    def _stream(
        self, style: Style, pieces: tuple[Piece | Step, ...], finish: str, usage: Usage | None
    ) -> Reply:
        headers = {"Content-Type": self.stream_type, **self.headers}
        return Reply(headers=headers, body=tuple(style.write(pieces, finish, usage)))

    def _whole(
        self, style: Style, pieces: tuple[Piece, ...], finish: str, usage: Usage | None
    ) -> Reply:
        return self._json(style.tell(pieces, finish, usage), before=style.before_whole)

    def _json(self, value: object, status: int = 200, before: bytes = b"") -> Reply:
        headers = {"Content-Type": self.json_type, **self.headers}
        return Reply(status, headers, (before + json.dumps(value).encode(),), "length")


class _Checked(Server):
    def __init__(self, emulator: Emulator, *replies: Reply) -> None:
        super().__init__(*replies)
        self._emulator = emulator

    def _reply_to(self, request: Received) -> Reply:
        return self._emulator.refusal(request) or super()._reply_to(request)


EMULATORS: Mapping[str, Emulator] = {
    emulator.name: emulator
    for emulator in (
        Emulator(
            "mistral",
            counts_unasked=True,
            headers={"mistral-correlation-id": "019f0000-0000-7000-8000-000000000001"},
        ),
        Emulator("openai"),
        Emulator("gemini"),
        Emulator("deepseek", counts_unasked=True),
        Emulator("xai", counts_unasked=True),
        Emulator(
            "llamacpp",
            headers={"Server": "llama.cpp", "Access-Control-Allow-Origin": ""},
            stream_type="text/event-stream",
            json_type="application/json; charset=utf-8",
        ),
        Emulator("vllm"),
        Emulator("ollama", stream_type="text/event-stream"),
        Emulator("lmstudio"),
        Emulator("tgi"),
        Emulator("llama_native", counts_unasked=True),
    )
}
"""By name: vendors, self-hosted servers, and Meta's own API, which was switched off in 2026-07."""
