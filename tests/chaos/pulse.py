"""Whether the event loop is held up: by its own work, or by a machine that has none to spare.

A task beats every 5 ms. Where a beat is late, the kernel tells how long this thread was ready to
run but had no processor (``/proc/PID/task/TID/schedstat``, second number, nanoseconds). That is
the machine's doing, with llama.cpp on every core. What is left of the gap is the loop's own: it
computed, or sat in a call that blocks.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from types import TracebackType
from typing import Self

BEAT_S = 0.005
LONGEST_S = 0.05


class Pulse:
    """Beats inside ``async with``.

    Attributes
    ----------
    worst_gap_s : float
        Longest time by which a beat was late.
    worst_own_s : float
        Longest part of such a time in which the thread had a processor or asked for none.
    """

    def __init__(self) -> None:
        self.worst_gap_s = 0.0
        self.worst_own_s = 0.0
        self._beats: deque[tuple[float, float]] = deque(maxlen=2000)

    async def __aenter__(self) -> Self:
        self._waits = Waits()
        self._task = asyncio.create_task(self._beat(), name="pulse")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.sleep(2 * BEAT_S)  # what was going on until now is seen
        self._task.cancel()
        await asyncio.wait({self._task})
        self._waits.close()

    def starved_s(self, since: float) -> float:
        """Seconds for which this thread has waited for a processor since a monotonic moment.

        Counted from the last beat before it: one that is late itself has seen the wait already.
        """
        before = [waited_s for moment, waited_s in self._beats if moment <= since]
        return self._waits.seconds() - before[-1] if before else 0.0

    async def _beat(self) -> None:
        while True:
            began, waited_s = time.monotonic(), self._waits.seconds()
            self._beats.append((began, waited_s))
            await asyncio.sleep(BEAT_S)
            gap_s = time.monotonic() - began - BEAT_S
            own_s = gap_s - (self._waits.seconds() - waited_s)
            self.worst_gap_s = max(self.worst_gap_s, gap_s)
            self.worst_own_s = max(self.worst_own_s, own_s)


class Waits:
    """How long this thread has waited for a processor; where no kernel tells, all but its work."""

    def __init__(self) -> None:
        path = f"/proc/self/task/{threading.get_native_id()}/schedstat"
        try:
            self._file = os.open(path, os.O_RDONLY)
        except OSError:
            self._file = -1

    def seconds(self) -> float:
        """So far."""
        if self._file < 0:
            return time.monotonic() - time.thread_time()
        return int(os.pread(self._file, 100, 0).split()[1]) / 1e9

    def close(self) -> None:
        """Close the kernel's file."""
        if self._file >= 0:
            os.close(self._file)
