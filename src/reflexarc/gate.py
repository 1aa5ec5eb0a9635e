"""What an LLM is asked, from its opening to its closing: nothing goes on behind that."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing, contextmanager

from reflexarc.alarm import Alarm, LateError
from reflexarc.errors import ClosedError
from reflexarc.types import Event

_ENDING_S = 1.0
"""Most seconds that what is under way is waited for while it ends."""


class Gate:
    """Lets questions through while it is open, as it is at first, and ends them as it closes.

    It belongs to the event loop of its first question until it closes.

    Parameters
    ----------
    name : str
        Whose it is, for its errors.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inside: dict[Alarm, asyncio.Future[None]] = {}

    def open(self) -> None:
        """Let questions through, in the running event loop.

        Raises
        ------
        ClosedError
            If it was opened in another one and not closed there.
        """
        self._is_closed = False
        self.check()

    def check(self) -> None:
        """Do nothing where it is open.

        Raises
        ------
        ClosedError
            If it is not, or belongs to another event loop.
        """
        if self._is_closed:
            raise self._closed()
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise ClosedError(
                f"{self._name} was used in another event loop and not closed there; use it inside "
                "`async with`, or call asyncio.run once",
                provider=self._name,
            )

    async def through(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """Let a question through.

        Parameters
        ----------
        events : async generator
            What happens; not begun where this is closed.

        Yields
        ------
        Event
            The same.

        Raises
        ------
        ClosedError
            If it is closed, or closes meanwhile; the events are closed by then.
        """
        with self._passing() as alarm:
            async with aclosing(events), aclosing(alarm.each(events)) as each:
                async for event in each:
                    yield event
                    if alarm not in self._inside:  # though it may have been opened again since
                        raise self._closed()

    async def during(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something else that must not outlast the closing.

        Parameters
        ----------
        work : callable
            Called only if this is open.

        Raises
        ------
        ClosedError
            If it is closed, or closes meanwhile; the work is cancelled then.
        """
        with self._passing() as alarm:
            await alarm.wait(work(), math.inf)

    async def close(self) -> None:
        """Let none through, and end those that are: once this returns, nobody waits for them."""
        self._is_closed, self._loop = True, None
        inside, self._inside = self._inside, {}
        if ending := [ended for alarm, ended in inside.items() if alarm.ring()]:
            await asyncio.wait(ending, timeout=_ENDING_S)

    @contextmanager
    def _passing(self) -> Generator[Alarm]:
        self.check()
        alarm, ended = Alarm(), asyncio.get_running_loop().create_future()
        self._inside[alarm] = ended
        try:
            yield alarm
        except LateError:
            raise self._closed() from None
        finally:
            self._inside.pop(alarm, None)
            ended.set_result(None)

    def _closed(self) -> ClosedError:
        return ClosedError(
            f"{self._name} was closed; open it again, or ask inside `async with`",
            provider=self._name,
        )
