"""The three clocks of a call: first action, silence, and the whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Self

from reflexarc.alarm import Alarm, LateError
from reflexarc.config import LLMConfig
from reflexarc.due import Due, due, due_by
from reflexarc.errors import ConnectError, DeadlineError, Phase
from reflexarc.types import Wire


class Clocks:
    """The three clocks of one call, all on the loop's monotonic time; a context manager.

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
        self._has_ended = False
        self._alarm = Alarm()
        self._due = Due(outer=due())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the timer."""
        self._alarm.__exit__()

    async def pause(self, seconds: float) -> bool:
        """Wait between two tries, if that leaves time for another.

        Parameters
        ----------
        seconds : float
            How long.

        Returns
        -------
        bool
            False, at once, if a clock would run out meanwhile.
        """
        now = asyncio.get_running_loop().time()
        if now + seconds >= min(self._total, self._first_action or self._total, due().first_action):
            return False
        await asyncio.sleep(seconds)
        return True

    def again(self) -> None:
        """Begin another try: no piece of it has arrived."""
        self._silent_s = None
        self._has_ended = False

    def progress(self) -> None:
        """Note that something useful has arrived; keep-alives and empty pieces are not."""
        self._silent_s = 0.0

    def acted(self) -> None:
        """Note that the first action is out."""
        self._first_action = None

    def ended(self) -> None:
        """Note that the answer is complete: what is late then is but the count of its tokens."""
        self._has_ended = True

    async def next(self, batches: AsyncGenerator[Sequence[Wire], None]) -> Sequence[Wire] | None:
        """Wait for the next batch, but no longer than the clocks allow.

        Parameters
        ----------
        batches : async generator
            What `Transport.send` returned.

        Returns
        -------
        sequence of Wire or None
            None at the end, and where a clock runs out behind the end of the answer.

        Raises
        ------
        DeadlineError
            With the clock that ran out; the batches are closed by then.
        ConnectError
            Likewise, where there was no connection yet.
        """
        clock = asyncio.get_running_loop().time
        asked = clock()
        until, phase = self._nearest(asked)
        try:
            if self._silent_s is None:  # a connection may still be made
                with due_by(self._due):
                    return await self._alarm.wait(anext(batches, None), until)
            return await self._alarm.wait(anext(batches, None), until)
        except LateError:
            if self._has_ended:
                return None
            raise self._error(phase) from None
        finally:
            if self._silent_s is not None:
                self._silent_s += clock() - asked

    def _nearest(self, now: float) -> tuple[float, Phase]:
        when = self._total
        phase: Phase = "total"
        if self._silent_s is not None:
            stall = now + self._config.stall_timeout - self._silent_s
            if stall < when:
                when, phase = stall, "stall"
        if self._first_action is not None and self._first_action < when:
            when, phase = self._first_action, "first_action"
        return when, phase

    def _error(self, phase: Phase) -> DeadlineError | ConnectError:
        config = self._config
        what, limit = {
            "total": ("the answer was not complete within", f"timeout = {config.timeout:g} s"),
            "stall": ("the answer stopped for", f"stall_timeout = {config.stall_timeout:g} s"),
            "first_action": (
                "no action was complete within",
                f"first_action_timeout = {config.first_action_timeout or 0:g} s",
            ),
        }[phase]
        return self._due.no_connection(limit) or DeadlineError(
            f"{what} {limit}; try a faster model, or raise the limit", phase=phase
        )
