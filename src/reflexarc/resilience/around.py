"""What every LLM around another one has in common."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from reflexarc.attempts import Attempt, AttemptFailed
from reflexarc.errors import LLMError, TruncatedError
from reflexarc.llm import LLM, R, Standing
from reflexarc.prompt import Prompt
from reflexarc.types import ActionReady, ActionRefused, Event, Finished, TextDelta


def is_useful(event: Event) -> bool:
    """Whether an event ends a silence; empty text, and that somebody has failed, do not.

    Parameters
    ----------
    event : Event
        Of any kind.

    Returns
    -------
    bool
    """
    if isinstance(event, TextDelta):
        return bool(event.text)
    return isinstance(event, ActionReady | ActionRefused)


class Around(LLM[R]):
    """An LLM around another one: the same to everybody but for how it is asked.

    Parameters
    ----------
    llm : LLM
        The one that is asked.
    """

    def __init__(self, llm: LLM[R]) -> None:
        self._llm = llm
        self.name = llm.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._llm!r})"

    @property
    def is_on_board(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - read only
        """Whether the one inside computes on the robot; it may change."""
        return self._llm.is_on_board

    @property
    def is_paid(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the one inside is paid for."""
        return self._llm.is_paid

    def standings(self) -> tuple[Standing, ...]:
        """Those of the one inside; see `LLM.standings`."""
        return self._llm.standings()

    async def open(self) -> None:
        """Open the one inside."""
        await self._llm.open()

    async def warm(self, prompt: Prompt) -> None:
        """Have the one inside read the stable part of a prompt ahead; see `LLM.warm`."""
        await self._llm.warm(prompt)

    async def connect(self) -> None:
        """Have a connection open; see `LLM.connect`."""
        await self._llm.connect()

    async def aclose(self) -> None:
        """Close the one inside; may be called twice."""
        await self._llm.aclose()


class Account:
    """What became of one question so far: who was asked before, and how long ago it was asked."""

    def __init__(self) -> None:
        self.clock = asyncio.get_running_loop().time
        self.started = self.clock()
        self.attempts: tuple[Attempt, ...] = ()
        self.actions = 0

    def placed(self, event: Event, began: float) -> Event:
        """An event of a try as one of the whole question.

        Parameters
        ----------
        event : Event
            With its times counted from the start of the try.
        began : float
            When the try began; the loop's time.

        Returns
        -------
        Event
        """
        offset_s = began - self.started
        if isinstance(event, ActionReady):
            self.actions += 1
        if isinstance(event, ActionReady | ActionRefused | AttemptFailed):
            return replace(event, at_s=event.at_s + offset_s)
        if isinstance(event, Finished):
            first_s = event.first_action_s
            return replace(
                event,
                first_action_s=None if first_s is None else first_s + offset_s,
                total_s=event.total_s + offset_s,
                attempts=(*self.attempts, *event.attempts),
            )
        return event

    def note(self, error: LLMError, name: str, began: float, told: Sequence[Attempt] = ()) -> None:
        """Note that a try has failed.

        Parameters
        ----------
        error : LLMError
            How.
        name : str
            Who was asked.
        began : float
            When; the loop's time.
        told : sequence of Attempt, default ()
            Tries of its own that it has told of before; they are in an error that it raises, but
            not in one that cuts it.
        """
        took_s = self.clock() - began
        own = error.attempts or (
            *told,
            Attempt(name, error.model or "", error.kind, took_s, error.message),
        )
        self.attempts = (*self.attempts, *own)

    def failed(self, next_name: str) -> AttemptFailed:
        """The event that tells of the last try.

        Parameters
        ----------
        next_name : str
            Who is asked now.

        Returns
        -------
        AttemptFailed
        """
        return AttemptFailed(self.attempts[-1], next_name, self.clock() - self.started)

    def closed_by(self, error: LLMError) -> LLMError:
        """The error that the whole question ends with.

        Parameters
        ----------
        error : LLMError
            Of the last try.

        Returns
        -------
        LLMError
            That it broke off, where actions are out; they stand.
        """
        if self.actions and not isinstance(error, TruncatedError):
            actions = "an action" if self.actions == 1 else f"{self.actions} actions"
            cut = TruncatedError(
                f"the answer broke off after {actions} ({error.kind}): {error.message}",
                provider=error.provider,
                model=error.model,
                status=error.status,
                request_id=error.request_id,
            )
            cut.__cause__ = error
            error = cut
        return self.whole(error)

    def whole(self, error: LLMError) -> LLMError:
        """An error as the whole question's, with every try and all of the time.

        Parameters
        ----------
        error : LLMError
            Of the last try.

        Returns
        -------
        LLMError
            Another object.
        """
        whole = error.copy()
        whole.attempts = self.attempts
        whole.elapsed_s = self.clock() - self.started
        return whole
