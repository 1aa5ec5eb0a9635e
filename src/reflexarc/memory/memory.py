"""The robot's memory as its loop uses it: nothing of it blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from reflexarc.config import AgentAction
from reflexarc.errors import StorageError
from reflexarc.memory.past import Past
from reflexarc.memory.store import Store
from reflexarc.memory.tick import Tick
from reflexarc.memory.writer import Writer
from reflexarc.remembering import MAX_DAYS, MAX_MB

T = TypeVar("T")

_NOT_OPEN = "the memory is not open; open it with `async with`"


class Memory:
    """What one robot has lived through, on disk.

    Constructing it opens nothing. Use it inside ``async with``; one thread writes, and each who
    reads has a connection of its own. A memory that fails does not stop the robot: each method
    raises, and may succeed again later.

    Parameters
    ----------
    path : Path
        The file; made with the first tick.
    robot : str
        Whose memory it is.
    actions : tuple of AgentAction, default ()
        What the robot can do, kept beside its ticks.
    max_mb : float, default 100.0
        Megabytes (a million bytes) it may hold; the oldest ticks go first.
    max_days : float, default 90.0
        Days that a tick is kept.
    """

    def __init__(
        self,
        path: Path,
        robot: str,
        actions: tuple[AgentAction, ...] = (),
        *,
        max_mb: float = MAX_MB,
        max_days: float = MAX_DAYS,
    ) -> None:
        self.path = path
        self.robot = robot
        self._actions = actions
        self._open_store = partial(Store, path, max_mb=max_mb, max_days=max_days)
        self._writer: Writer | None = None
        self._reads: ThreadPoolExecutor | None = None

    def __repr__(self) -> str:
        return f"Memory({str(self.path)!r}, {self.robot!r})"

    async def __aenter__(self) -> Self:
        self._writer = Writer(self._open_store)
        # One of its own: many who look must not keep others from the threads that all share.
        self._reads = ThreadPoolExecutor(1, "memory reads")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Wait until all that was given is on disk, and close the file; twice does no harm."""
        if self._writer is not None:
            self._writer.close()
            await asyncio.to_thread(self._writer.join)
        if self._reads is not None:
            self._reads.shutdown(wait=False, cancel_futures=True)
            self._reads = None

    async def remember(self, tick: Tick) -> Tick:
        """Keep a tick. Who is cancelled while waiting has it kept all the same.

        Parameters
        ----------
        tick : Tick
            What to keep.

        Returns
        -------
        Tick
            The same with its number, once it is on disk.

        Raises
        ------
        StorageError
            If it could not be written, with what to do.
        """
        number = await self._write(lambda store: store.add(tick, self.robot, self._actions))
        return replace(tick, id=number)

    async def summarise(self, text: str, until: int) -> None:
        """Keep a summary; of a tick that is forgotten by now it is not kept.

        Parameters
        ----------
        text : str
            Tells of everything up to and with tick `until`.
        until : int
            The number of a tick.

        Raises
        ------
        StorageError
            If it could not be written, with what to do.
        """
        await self._write(lambda store: store.summarise(text, until))

    async def past(self, turns: int) -> Past:
        """What the robot has in mind when it starts.

        Parameters
        ----------
        turns : int
            Ticks at most, of those that are turns (`Tick.is_turn`).

        Returns
        -------
        Past
            Empty where nothing was kept yet.

        Raises
        ------
        StorageError
            If it could not be read, with what to do.
        """
        return await self._read(lambda store: store.past(turns, robot=self.robot), Past())

    async def ticks(self, last: int, before: int | None = None) -> list[Tick]:
        """The newest ticks of this robot, oldest first.

        Parameters
        ----------
        last : int
            So many at most.
        before : int or None, default None
            Only those with a smaller number.

        Returns
        -------
        list of Tick
            Empty where nothing was kept yet.

        Raises
        ------
        StorageError
            If they could not be read, with what to do.
        """
        return await self._read(
            lambda store: store.ticks(last=last, before=before, robot=self.robot), list[Tick]()
        )

    async def _write(self, write: Callable[[Store], Any]) -> Any:
        if self._writer is None:
            raise StorageError(_NOT_OPEN)
        return await asyncio.wrap_future(self._writer.submit(write))

    async def _read(self, read: Callable[[Store], T], nothing: T) -> T:
        def ask() -> T:
            if not self.path.exists():
                return nothing
            with Store(self.path, readonly=True) as store:
                return read(store)

        if self._reads is None:
            raise StorageError(_NOT_OPEN)
        return await asyncio.get_running_loop().run_in_executor(self._reads, ask)
