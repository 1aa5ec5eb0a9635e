"""One try at one model: the account of what came back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel

from reflexarc.clocks import Clocks
from reflexarc.decoder import Decoder, Ending
from reflexarc.errors import (
    BadOutputError,
    LLMError,
    RefusedError,
    ServerError,
    TruncatedError,
    quote,
)
from reflexarc.types import (
    Action,
    ActionReady,
    ActionRefused,
    Attempt,
    DeclinedDelta,
    Event,
    Finished,
    ServedBy,
    Stop,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
    Usage,
    Wire,
)
from reflexarc.vocabulary import Refusal

MOST_BLANK = 200
"""White space in a row, in characters, after which a model is taken to be stuck."""

_BLANK = re.compile(rf"\s{{{MOST_BLANK + 1}}}")

_ENDINGS: Mapping[str, Ending] = {"stop": "finished", "length": "length", "unmarked": "unmarked"}


class Call:
    """The account of one try at one model: pieces in, events out.

    Parameters
    ----------
    provider, model : str
        Who is asked.
    decoder : Decoder
        Makes actions of the pieces.
    clocks : Clocks
        Told about progress.
    started : float
        The loop's time at the start of the call.
    tries : tuple of Attempt, default ()
        Those before, of the same call.

    Attributes
    ----------
    clocks : Clocks
        Of the whole call.
    model : str
        Who answers, as far as is known.
    acted : bool
        Whether an action is out: nothing may be tried again then.
    over : bool
        Whether the answer is complete and what still comes is not worth waiting for.
    has_told : bool
        Whether any text is out.
    server : str
        What the server calls itself, where it does.
    usage : Usage or None
        Token counts so far.
    """

    def __init__(
        self,
        provider: str,
        model: str,
        decoder: Decoder,
        clocks: Clocks,
        started: float,
        tries: tuple[Attempt, ...] = (),
    ) -> None:
        self._provider = provider
        self._asked_model = model
        self._decoder = decoder
        self.clocks = clocks
        self._started = started
        self._tries = tries
        self.model = model
        self._stop: Stop | None = None
        self._first_action_s: float | None = None
        self._ready = 0
        self._blank = 0  # white space at the end of what has arrived
        self._is_stuck = False
        self._has_thought = False
        self._declined = ""
        self.over = False
        self.has_told = False
        self.server = ""
        self.usage: Usage | None = None

    @property
    def acted(self) -> bool:
        """Whether an action is out."""
        return self._ready > 0

    @property
    def thinks_aloud(self) -> bool:
        """Whether a thought ends in the answer that has not begun; see `Decoder`."""
        return self._decoder.thinks_aloud

    @property
    def is_formless(self) -> bool:
        """Whether the answer, over by itself, had nothing in it of what was asked for."""
        ended = self._stop is not None and self._stop.reason == "stop"
        return self._is_stuck or (ended and self._decoder.is_formless)

    def take(self, batch: Sequence[Wire], now: float) -> Iterator[Event]:
        """Take a batch from the transport.

        Parameters
        ----------
        batch : sequence of Wire
            As it was read.
        now : float
            The loop's time.

        Yields
        ------
        Event
            As the pieces give them.

        Raises
        ------
        BadOutputError
            If the model writes nothing but white space any more.
        """
        for piece in batch:
            if isinstance(piece, TextDelta):
                yield piece
                if piece.text:
                    self.has_told = True
                    self.clocks.progress()
                if verdicts := self._decoder.feed(piece):
                    yield from self._announce(verdicts, now)
                self._watch(piece.text)
            elif isinstance(piece, ToolCallDelta):
                if piece.name or piece.arguments:
                    self.clocks.progress()
                yield from self._announce(self._decoder.feed(piece), now)
                if isinstance(piece.arguments, str):
                    self._watch(piece.arguments)
            elif isinstance(piece, Usage):
                self.usage = piece
                yield piece
            elif isinstance(piece, ServedBy):
                self.model = piece.model or self.model
                self.server = piece.server or self.server
            elif isinstance(piece, ThoughtDelta):
                self.clocks.progress()
                self._has_thought = True
            elif isinstance(piece, DeclinedDelta):
                self._declined += piece.text
            else:
                self._stop = self._stop or piece
                self.clocks.ended()

    def _watch(self, text: str) -> None:
        """Stop a model that has begun to write white space and will not end."""
        if not self._blank and len(text) <= MOST_BLANK and not text[-1:].isspace():
            return  # almost always
        is_stuck = _BLANK.search(" " * self._blank + text)
        kept = text.rstrip()
        self._blank = len(text) - len(kept) + (0 if kept else self._blank)
        if is_stuck is None:
            return
        self._is_stuck = True
        if self._decoder.is_complete:
            self.over = True
            self._stop = self._stop or Stop("stop")
            return
        raise BadOutputError(
            f"the model has written more than {MOST_BLANK} characters of white space in a row; "
            "try another value of 'structured'"
        )

    def finish(self, output_model: type[BaseModel], now: float) -> list[Event]:
        """End the try.

        Parameters
        ----------
        output_model : type
            What the answer becomes.
        now : float
            The loop's time.

        Returns
        -------
        list of Event
            The last one is `Finished`.

        Raises
        ------
        LLMError
            If the answer ended badly or holds nothing the robot may do.
        """
        reason = self._stop.reason if self._stop else None
        if self._declined:
            raise RefusedError(
                f"the model declined: {quote(self._declined)}; say it in other words"
            )
        if reason == "filter":
            raise RefusedError("the provider's filter held the answer back; say it in other words")
        if reason == "error":
            raise ServerError("the server stopped the answer with an error; try again")
        if self._has_thought and reason == "length" and self._decoder.is_empty:
            raise TruncatedError(
                "the model spent all its tokens on thinking; raise max_tokens, or switch its "
                "thinking off (extra_params)"
            )
        verdicts = self._decoder.close(_ENDINGS[reason] if reason else "cut")
        total_s = now - self._started
        events = list(self._announce(verdicts, now))
        finished = Finished(
            answer=self._decoder.answer(output_model),
            provider=self._provider,
            model=self.model,
            first_action_s=self._first_action_s,
            total_s=total_s,
            usage=self.usage,
            attempts=(*self._tries, self._attempt("ok", "", now)),
        )
        return [*events, finished]

    def complete(self, error: LLMError, now: float) -> None:
        """Write into an error what only the call knows.

        Parameters
        ----------
        error : LLMError
            What the call fails with; fields that are set stay.
        now : float
            The loop's time.
        """
        elapsed_s = now - self._started
        error.provider = error.provider or self._provider
        error.model = error.model or self._asked_model
        error.elapsed_s = elapsed_s if error.elapsed_s is None else error.elapsed_s
        error.attempts = error.attempts or (
            *self._tries,
            self._attempt(error.kind, error.message, now),
        )

    def _announce(self, verdicts: Sequence[Action | Refusal], now: float) -> Iterator[Event]:
        at_s = now - self._started
        for verdict in verdicts:
            if isinstance(verdict, Action):
                if self._first_action_s is None:
                    self._first_action_s = at_s
                    self.clocks.acted()
                self._ready += 1
                yield ActionReady(verdict, self._ready - 1, at_s)
            else:
                yield ActionRefused(verdict.type, verdict.value, verdict.reason, at_s)

    def _attempt(self, outcome: str, message: str, now: float) -> Attempt:
        before_s = sum(attempt.elapsed_s for attempt in self._tries)
        elapsed_s = now - self._started - before_s
        return Attempt(self._provider, self.model, outcome, elapsed_s, message)
