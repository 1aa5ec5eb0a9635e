"""An event loop whose clock jumps, so that hours of scenario are tried in seconds.

Sleeps, timeouts and deadlines take no real time. What comes from outside takes what it takes: to
this clock, bytes on loopback arrive at once, and while a thread works it goes with the real one.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from functools import partial
from itertools import count
from typing import Any, Self, TypeVar

T = TypeVar("T")

_Events = list[tuple[selectors.SelectorKey, int]]

_TOLD = 5  # so many of the tasks that wait are named


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that advances its clock to the next timer instead of waiting for it.

    Before it does so it gives bytes that are on their way between sockets of this loop a moment to
    arrive. Its clock goes with the real one while a call of `run_in_executor` is awaited, which
    `asyncio.to_thread` and look-ups of names are as well, and where it waits for a socket without
    any timer. Timers of one moment ring in the order in which they were set.

    Parameters
    ----------
    start_s : float, default 1000.0
        What its clock shows at first, in seconds; not negative.
    grace_s : float, default 0.001
        Real seconds it watches its sockets before its clock jumps, or goes with the real one.

    Raises
    ------
    ValueError
        If `start_s` or `grace_s` is negative, infinite or not a number.
    RuntimeError
        From ``run_until_complete`` and its kin, if nothing can ever wake what still waits: there
        is no timer, no socket and no call in an executor.

    Notes
    -----
    It knows nothing of other threads, processes and signals: give them a real loop. A call in an
    executor whose future was cancelled holds the clock no longer, though its thread goes on.

    Where a socket is open, be it one that listens, waiting without a timer is no error, as it may
    be for another process. An `asyncio.timeout` around the whole costs nothing and ends that.

    Callbacks take no time, however long they compute: only waiting moves the clock.
    """

    def __init__(self, start_s: float = 1000.0, grace_s: float = 0.001) -> None:
        self._virtual_s = 0.0
        self._grace_s = grace_s
        self._real_s = 0.0  # up to when the clock has gone with the real one
        self._awaited_calls = 0
        self._numbers = count()
        self._files = _Selector(self._wait)
        super().__init__(self._files)
        if not 0 <= start_s < math.inf or not 0 <= grace_s < math.inf:
            self.close()  # what is no whole loop cannot be thrown away in silence
            raise ValueError("start_s and grace_s are seconds: finite, and not negative")
        self._set_clock(start_s)

    def time(self) -> float:
        """The virtual time in seconds; it never goes back."""
        return self._virtual_s

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer; after those that were set for the same moment.

        Parameters
        ----------
        when : float
            The virtual time in seconds.
        callback : callable
            What to call then.
        *args : object
            What to call it with.
        context : contextvars.Context or None, default None
            What to call it in; None is a copy of this one.

        Returns
        -------
        asyncio.TimerHandle
            To cancel it.
        """
        moment = _Moment(when, next(self._numbers))
        return super().call_at(moment, callback, *args, context=context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[..., T], *args: object
    ) -> asyncio.Future[T]:
        """Call a function in a thread or process, and let the clock go with the real one meanwhile.

        Parameters
        ----------
        executor : concurrent.futures.Executor or None
            Where; None is the loop's own threads.
        func : callable
            What to call.
        *args : object
            What to call it with.

        Returns
        -------
        asyncio.Future
            What it gives; `asyncio.AbstractEventLoop.run_in_executor` has more.
        """
        asked = time.monotonic()  # the thread may be done before the next line is
        future = super().run_in_executor(executor, func, *args)
        self._hold(asked)
        future.add_done_callback(self._release)
        return future

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncio's name for it
    ) -> None:
        """Wait, really, for the threads of the default executor.

        Parameters
        ----------
        timeout : float or None, default None
            Seconds after which it warns and leaves them; None waits for ever. Python 3.12 has it.
        """
        # It waits for a thread that is no executor's, and would be a deadlock or time out at once.
        self._hold(time.monotonic())
        try:
            if timeout is None:
                await super().shutdown_default_executor()
            else:
                await super().shutdown_default_executor(timeout)  # pyright: ignore[reportCallIssue] - 3.12 has it
        finally:
            self._release()

    def _hold(self, since_s: float) -> None:
        """Let the clock go with the real one, from that real time on."""
        if not self._awaited_calls:
            self._real_s = since_s
        self._awaited_calls += 1

    def _release(self, _: object = None) -> None:
        self._awaited_calls -= 1

    def _wait(self, timeout: float | None) -> _Events:
        """What `selectors.BaseSelector.select` does, on this clock."""
        if self._awaited_calls:
            return self._wait_really(timeout)
        if timeout is not None and timeout <= 0:
            return self._files.select_really(0)
        # The loop's own end of a pipe is always there. Where no other file is, no bytes are on
        # their way, and an hour of short sleeps need not take a grace each.
        is_alone = len(self._files.get_map()) <= 1
        is_quick = is_alone and timeout is not None
        if events := self._files.select_really(0 if is_quick else self._grace_s):
            return events
        if timeout is not None:
            # By a float's rounding this may be just short of the timer; then the loop asks again.
            self._set_clock(self._virtual_s + timeout)
            return []
        if is_alone:
            raise RuntimeError(self._deadlock())
        self._real_s = time.monotonic()
        return self._wait_really(None)

    def _wait_really(self, timeout: float | None) -> _Events:
        events = self._files.select_really(timeout)
        now = time.monotonic()
        self._set_clock(self._virtual_s + now - self._real_s)
        self._real_s = now
        return events

    def _set_clock(self, now: float) -> None:
        self._virtual_s = max(self._virtual_s, now)
        # asyncio runs what is due within the resolution of its clock; with this one, what is due
        # and nothing else. Its own, 1 ns, is too early for some, and lost in the float after some
        # months, so that a timer of now would never be due.
        self._clock_resolution = math.ulp(self._virtual_s)

    def _deadlock(self) -> str:
        tasks = sorted(task.get_name() for task in asyncio.all_tasks(self))
        more = f" and {len(tasks) - _TOLD} more" if len(tasks) > _TOLD else ""
        return (
            "This is a deadlock: no timer is set, no socket is open and no call in an executor is"
            f" awaited, so nothing can wake {', '.join(tasks[:_TOLD]) or 'the loop'}{more}."
            " Put asyncio.timeout around a wait to see where it stands."
        )


class _Moment(float):
    """A time of which there are several, in order.

    Real clocks give no time twice, so asyncio's heap of timers keeps no order among equals.
    """

    __slots__ = ("_number",)
    _number: int

    def __new__(cls, when: float, number: int) -> Self:
        moment = super().__new__(cls, when)
        moment._number = number
        return moment

    def __lt__(self, other: float) -> bool:
        if isinstance(other, _Moment) and self == other:
            return self._number < other._number
        return super().__lt__(other)


class _Selector(selectors.DefaultSelector):
    """Waits as the loop has it, which has the system's way as `select_really`."""

    def __init__(self, wait: Callable[[float | None], _Events]) -> None:
        super().__init__()
        self._wait = wait

    def select(self, timeout: float | None = None) -> _Events:
        return self._wait(timeout)

    def select_really(self, timeout: float | None) -> _Events:
        return super().select(timeout)


def run_virtual(
    main: Coroutine[Any, Any, T], *, start_s: float = 1000.0, grace_s: float = 0.001
) -> T:
    """Run a coroutine as `asyncio.run` does, on the clock of a `VirtualLoop`.

    Parameters
    ----------
    main : coroutine
        What to run.
    start_s : float, default 1000.0
        What the clock shows at first, in seconds; not negative.
    grace_s : float, default 0.001
        Real seconds in which bytes on their way between sockets of the loop arrive.

    Returns
    -------
    object
        What it returned.

    Raises
    ------
    ValueError
        If `start_s` or `grace_s` is negative, infinite or not a number.
    RuntimeError
        If it waits for what can never come, or an event loop runs already.

    Examples
    --------
    >>> async def nap() -> float:
    ...     await asyncio.sleep(3600)
    ...     return asyncio.get_running_loop().time()
    >>> run_virtual(nap())
    4600.0
    """
    loop = partial(VirtualLoop, start_s, grace_s)
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main)
