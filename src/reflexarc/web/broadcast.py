"""From one source to many watchers, none of whom can slow the source or another one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

MOST_WAITING = 2000
"""Messages that wait for one watcher; who falls further behind starts anew."""

MOST_WATCHERS = 100
"""Watchers at the same time."""


class Broadcast:
    """Messages, and those who watch them.

    Use it from the event loop's thread.

    Parameters
    ----------
    greeting : callable
        Makes what a watcher is told first, and again when it has missed something.
    """

    def __init__(self, greeting: Callable[[], str]) -> None:
        self.greeting = greeting
        self.is_closed = False
        self._watchers: set[Watcher] = set()

    def __len__(self) -> int:
        return len(self._watchers)

    def publish(self, message: str) -> None:
        """Hand a message to all who watch now; costs the same however slow they are.

        Parameters
        ----------
        message : str
            One line.
        """
        frame = _frame(message)
        for watcher in self._watchers:
            watcher.put(frame)

    def watch(self) -> Watcher | None:
        """A new watcher, to be closed when it is done; None if there are too many or this is over.

        Returns
        -------
        Watcher or None
        """
        if self.is_closed or len(self._watchers) >= MOST_WATCHERS:
            return None
        watcher = Watcher(self)
        self._watchers.add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Forget a watcher.

        Parameters
        ----------
        watcher : Watcher
            One of ours, or one that has left already.
        """
        self._watchers.discard(watcher)

    def close(self) -> None:
        """End it for all who watch."""
        self.is_closed = True
        for watcher in self._watchers:
            watcher.wake()


class Watcher:
    """One who watches: what waits for it, in the frames of server-sent events.

    Parameters
    ----------
    broadcast : Broadcast
        What it watches.
    """

    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast
        self._frames: deque[str] = deque()
        self._is_behind = True  # so the greeting comes first
        self._changed = asyncio.Event()
        self._changed.set()

    def put(self, frame: str) -> None:
        """Have a frame wait; all are dropped where there are too many, and the greeting follows.

        Parameters
        ----------
        frame : str
            A whole event.
        """
        if self._is_behind:
            return  # the greeting has it
        if len(self._frames) >= MOST_WAITING:
            self._frames.clear()
            self._is_behind = True
        else:
            self._frames.append(frame)
        self._changed.set()

    def wake(self) -> None:
        """Have it look again."""
        self._changed.set()

    async def next(self, within_s: float) -> str | None:
        """All that waits, as one text.

        Parameters
        ----------
        within_s : float
            Seconds after which nothing is an answer as well.

        Returns
        -------
        str or None
            Frames; empty where nothing came in time; None when it is over.
        """
        try:
            async with asyncio.timeout(within_s):
                await self._changed.wait()
        except TimeoutError:
            return ""
        if self._broadcast.is_closed and not self._frames:
            return None
        if not self._broadcast.is_closed:
            self._changed.clear()
        if self._is_behind:
            self._is_behind = False
            return _frame(self._broadcast.greeting())
        frames = "".join(self._frames)
        self._frames.clear()
        return frames


def _frame(message: str) -> str:
    return f"data: {message}\n\n"
