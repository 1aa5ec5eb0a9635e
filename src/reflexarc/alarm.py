"""Waits that end at a moment, all of them by one timer; and cancellations that nobody asked for.

`asyncio.timeout` sets and cancels a timer for every wait; where a wait is one for each token, that
is half of what a token costs (measured, 2026-11).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Generator
from contextlib import contextmanager
from typing import Self, TypeVar

T = TypeVar("T")


class LateError(Exception):
    """The moment came before what was waited for."""


class StrayError(RuntimeError):
    """Somebody's code has raised `asyncio.CancelledError` where nobody had cancelled it."""


@contextmanager
def no_strays() -> Generator[None]:
    """Turn a `CancelledError` of which the running task knows nothing into an error like others.

    Else a mistake in somebody's code would end whoever has called it, without a word.

    Yields
    ------
    None

    Raises
    ------
    StrayError
        Where the running task has not been cancelled.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise StrayError("it raised CancelledError, and nobody had cancelled it") from error


class Alarm:
    """Ends waits at their moments; a context manager, for one task at a time."""

    def __init__(self) -> None:
        # It may ring too early for the wait that is on, and is set again then.
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0
        self._waiting: asyncio.Task[object] | None = None
        self._cancelled = 0  # how often that task had been cancelled before
        self._rang = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def ring(self) -> bool:
        """End the wait that is on, if there is one.

        Returns
        -------
        bool
            Whether there is one.
        """
        if self._waiting is None:
            return False
        if not self._rang:
            self._rang = True
            self._waiting.cancel()
        return True

    async def wait(self, awaitable: Awaitable[T], until: float) -> T:
        """Wait for something, but no longer than until a moment.

        Parameters
        ----------
        awaitable : awaitable
            What to wait for; it is cancelled at the moment. What is there already is taken, however
            late it is.
        until : float
            The loop's time, in seconds; may be infinite.

        Returns
        -------
        object
            What it gave.

        Raises
        ------
        LateError
            If the moment, or `ring`, came first.
        """
        self._until = until
        task = self._begin()
        if until < math.inf and (self._timer is None or until < self._timer.when()):
            self._set_timer(asyncio.get_running_loop())
        try:
            return await awaitable
        except asyncio.CancelledError:
            if self._is_cancelled(task):
                raise
            raise LateError from None
        finally:
            self._end(task)

    async def each(self, events: AsyncIterable[T]) -> AsyncGenerator[T, None]:
        """Hand on what comes; a wait for the next has no moment, but `ring` ends it.

        As `wait` for each without one, and cheaper.

        Parameters
        ----------
        events : async iterable
            What to wait for.

        Yields
        ------
        object
            What it gave.

        Raises
        ------
        LateError
            If `ring` came first.
        """
        self._until = math.inf
        task = self._begin()
        try:
            async for event in events:
                self._waiting = None
                yield event
                task = self._begin()
        except asyncio.CancelledError:
            if self._is_cancelled(task):
                raise
            raise LateError from None
        finally:
            self._end(task)

    def _begin(self) -> asyncio.Task[object]:
        task = asyncio.current_task()
        assert task is not None, "only a task can wait"
        self._cancelled = task.cancelling()
        self._waiting = task
        return task

    def _is_cancelled(self, task: asyncio.Task[object]) -> bool:
        """Whether somebody else has cancelled the wait, or has as well."""
        return not self._rang or task.cancelling() > self._cancelled + 1

    def _end(self, task: asyncio.Task[object]) -> None:
        self._waiting = None
        if self._rang:
            self._rang = False
            task.uncancel()

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(self._until, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._waiting is None or self._until == math.inf:
            return
        if loop.time() < self._until:  # it was set for an earlier wait, which ended in time
            self._set_timer(loop)
            return
        self.ring()
