"""One call to one model: its three clocks, and the account of what came back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import cast

from pydantic import BaseModel

from reflexarc.config import LLMConfig
from reflexarc.decoder import Decoder, Ending
from reflexarc.errors import DeadlineError, LLMError, Phase, RefusedError, ServerError
from reflexarc.types import (
    Action,
    ActionReady,
    ActionRefused,
    Attempt,
    Event,
    Finished,
    ServedBy,
    Stop,
    TextDelta,
    ToolCallDelta,
    Usage,
    Wire,
)
from reflexarc.vocabulary import Refusal


class Clocks:
    """The three clocks of one call, all on the loop's monotonic time.

    Parameters
    ----------
    config : LLMConfig
        ``timeout``, ``first_action_timeout`` and ``stall_timeout``, in seconds.
    started : float
        The loop's time at the start of the call.
    """

    def __init__(self, config: LLMConfig, started: float) -> None:
        self._config = config
        self._total = started + config.timeout
        first = config.first_action_timeout
        self._first_action = None if first is None else started + first
        # Seconds waited since the last useful piece, and None before the first: what the caller
        # does with the pieces meanwhile, such as walking, is no silence of the server's.
        self._silent_s: float | None = None

    def progress(self) -> None:
        """Note that something useful has arrived; keep-alives and empty pieces are not."""
        self._silent_s = 0.0

    def acted(self) -> None:
        """Note that the first action is out."""
        self._first_action = None

    async def next(self, batches: AsyncGenerator[Sequence[Wire], None]) -> Sequence[Wire] | None:
        """Wait for the next batch, but no longer than the clocks allow.

        Parameters
        ----------
        batches : async generator
            What `Transport.send` returned.

        Returns
        -------
        sequence of Wire or None
            None at the end.

        Raises
        ------
        DeadlineError
            With the clock that ran out; the batches are closed by then.
        """
        clock = asyncio.get_running_loop().time
        asked = clock()
        when, phase = self._nearest(asked)
        limit = asyncio.timeout_at(when)
        try:
            async with limit:
                return await anext(batches, None)
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._error(phase) from None
        finally:
            if self._silent_s is not None:
                self._silent_s += clock() - asked

    def _nearest(self, now: float) -> tuple[float, Phase]:
        when, phase = self._total, cast("Phase", "total")
        if self._silent_s is not None:
            stall = now + self._config.stall_timeout - self._silent_s
            if stall < when:
                when, phase = stall, "stall"
        if self._first_action is not None and self._first_action < when:
            when, phase = self._first_action, "first_action"
        return when, phase

    def _error(self, phase: Phase) -> DeadlineError:
        config = self._config
        message = {
            "total": f"the answer was not complete within timeout = {config.timeout:g} s",
            "stall": f"the answer stopped for stall_timeout = {config.stall_timeout:g} s",
            "first_action": (
                f"no action was complete within first_action_timeout = "
                f"{config.first_action_timeout or 0:g} s"
            ),
        }[phase]
        return DeadlineError(f"{message}; try a faster model, or raise the limit", phase=phase)


_ENDINGS: Mapping[str, Ending] = {"stop": "finished", "length": "length", "unmarked": "unmarked"}


class Call:
    """The account of one call: pieces in, events out.

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
    """

    def __init__(
        self, provider: str, model: str, decoder: Decoder, clocks: Clocks, started: float
    ) -> None:
        self._provider = provider
        self._asked_model = model
        self._decoder = decoder
        self._clocks = clocks
        self._started = started
        self._model = model
        self._usage: Usage | None = None
        self._stop: Stop | None = None
        self._first_action_s: float | None = None
        self._ready = 0

    def take(self, batch: Sequence[Wire], now: float) -> list[Event]:
        """Take a batch from the transport.

        Parameters
        ----------
        batch : sequence of Wire
            As it was read.
        now : float
            The loop's time.

        Returns
        -------
        list of Event
        """
        events: list[Event] = []
        for piece in batch:
            if isinstance(piece, TextDelta | ToolCallDelta):
                is_text = isinstance(piece, TextDelta)
                if piece.text if is_text else piece.name or piece.arguments:
                    self._clocks.progress()
                if is_text:
                    events.append(piece)
                verdicts = self._decoder.feed(piece)
                if verdicts:
                    events += self._announce(verdicts, now)
            elif isinstance(piece, Usage):
                self._usage = piece
                events.append(piece)
            elif isinstance(piece, ServedBy):
                self._model = piece.model
            else:
                self._stop = self._stop or piece
        return events

    def finish(self, output_model: type[BaseModel], now: float) -> list[Event]:
        """End the call.

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
        if reason == "filter":
            raise RefusedError("the provider's filter held the answer back; say it in other words")
        if reason == "error":
            raise ServerError("the server stopped the answer with an error; try again")
        verdicts = self._decoder.close(_ENDINGS[reason] if reason else "cut")
        total_s = now - self._started
        events = self._announce(verdicts, now)
        finished = Finished(
            answer=self._decoder.answer(output_model),
            provider=self._provider,
            model=self._model,
            first_action_s=self._first_action_s,
            total_s=total_s,
            usage=self._usage,
            attempts=(self._attempt("ok", total_s),),
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
        error.attempts = error.attempts or (self._attempt(error.kind, elapsed_s),)

    def _announce(self, verdicts: Sequence[Action | Refusal], now: float) -> list[Event]:
        at_s = now - self._started
        events: list[Event] = []
        for verdict in verdicts:
            if isinstance(verdict, Action):
                if self._first_action_s is None:
                    self._first_action_s = at_s
                    self._clocks.acted()
                events.append(ActionReady(verdict, self._ready, at_s))
                self._ready += 1
            else:
                events.append(ActionRefused(verdict.type, verdict.value, verdict.reason, at_s))
        return events

    def _attempt(self, outcome: str, elapsed_s: float) -> Attempt:
        return Attempt(self._provider, self._model, outcome, elapsed_s)
