"""What the robot senses, as text.

An input puts text on the board and the loop takes it off once a tick. Of what one source senses
between two ticks the newest wins, as a robot should act on what is so now. `Script` is the
exception: it hands over one text a tick, none is lost.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from reflexarc.types import whole_characters

MOST_MISSED = 20
"""Texts that are told as missed; of a flood the newest."""

# What a terminal sends for a key, or to tell of itself: ECMA-48, and xterm's F1 to F4.
_KEY = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[OPN].|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -~]?"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Board:
    """Where inputs put what they sense; the newest of each source stays.

    Use it from the event loop's thread.
    """

    def __init__(self) -> None:
        self._newest: dict[str, str] = {}
        self._missed: deque[str] = deque(maxlen=MOST_MISSED)
        self._changed = asyncio.Event()
        self._listeners: list[Callable[[str], None]] = []

    @property
    def filled(self) -> bool:
        """Whether something new has been sensed, be it silence."""
        return self._changed.is_set()

    @property
    def missed(self) -> tuple[str, ...]:
        """What has been replaced since the last `take`, oldest first; `MOST_MISSED` at most."""
        return tuple(self._missed)

    def put(self, source: str, text: str) -> None:
        """Put what a source senses now in place of what it sensed before.

        Parameters
        ----------
        source : str
            Name of the input.
        text : str
            What it senses, as a sentence.
        """
        if source in self._newest:
            self._missed.append(self._newest[source])
        self._newest[source] = text
        self._changed.set()
        for hear in self._listeners:
            hear(text)

    def listen(self, hear: Callable[[str], None]) -> None:
        """Have each text told at once, also one that is given up later.

        Parameters
        ----------
        hear : callable
            Told the text; must not block.
        """
        self._listeners.append(hear)

    def take(self) -> str:
        """Take everything off.

        Returns
        -------
        str
            One line a source; empty if nothing new was sensed.
        """
        sensed = "\n".join(self._newest.values())
        self._newest.clear()
        self._missed.clear()
        self._changed.clear()
        return sensed

    async def wait(self) -> None:
        """Wait until something is on the board."""
        await self._changed.wait()


class Input(ABC):
    """Something the robot senses with.

    Attributes
    ----------
    ends_all : bool
        Whether the robot ends when this has ended, whatever other inputs there still are.
    """

    ends_all: bool = False

    @abstractmethod
    async def run(self, board: Board) -> None:
        """Put on the board what is sensed, until there is nothing more to come.

        Parameters
        ----------
        board : Board
            Where to.
        """

    async def ticked(self) -> None:
        """Hear that a tick is over; optional."""
        return


class Script(Input):
    """Texts that are sensed one a tick.

    Parameters
    ----------
    texts : iterable of str
        In order.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = deque(texts)
        self._next = asyncio.Event()

    async def run(self, board: Board) -> None:
        """Put the next text on the board after each tick."""
        while self._texts:
            self._next.clear()
            board.put("script", self._texts.popleft())
            await self._next.wait()

    async def ticked(self) -> None:
        """Go on to the next text."""
        self._next.set()


class Inbox(Input):
    """What a person says elsewhere in this program, such as on the page.

    Parameters
    ----------
    source : str, default "page"
        Name on the board.
    """

    def __init__(self, source: str = "page") -> None:
        self._source = source
        self._waiting: list[str] = []
        self._board: Board | None = None

    def say(self, text: str) -> None:
        """Let the robot hear a sentence; call it in the event loop's thread.

        Parameters
        ----------
        text : str
            What a person says; line breaks become spaces, and nothing is heard of an empty one.
            Before `run` it is kept until then.
        """
        # In one line: with two of them a person could write what other inputs sense.
        if not (sentence := " ".join(whole_characters(text).split())):
            return
        heard = f"A person says: {sentence}"
        if self._board is None:
            self._waiting.append(heard)
        else:
            self._board.put(self._source, heard)

    async def run(self, board: Board) -> None:
        """Put on the board what is said, until cancelled."""
        self._board = board
        try:
            for heard in self._waiting:
                board.put(self._source, heard)
            self._waiting.clear()
            await asyncio.Event().wait()
        finally:
            self._board = None


class Lines(Input):
    """Lines that a person types, or that another program writes to our standard input.

    Parameters
    ----------
    fd : int, default 0
        File descriptor to read.

    Attributes
    ----------
    count : int
        Lines so far, but for empty ones; one of arrow keys and the like is empty.
    """

    def __init__(self, fd: int = 0) -> None:
        self._fd = fd
        self.count = 0

    async def run(self, board: Board) -> None:
        """Put each line on the board; ends with the file, or with its OSError."""
        loop = asyncio.get_running_loop()
        lines: asyncio.Queue[bytes | OSError | None] = asyncio.Queue()

        def read() -> None:
            # A thread and os.read: a terminal, a pipe and a file can all be read this way, and a
            # read that is still waiting when the program ends holds no lock of the interpreter.
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                for line in _read_lines(self._fd):
                    loop.call_soon_threadsafe(lines.put_nowait, line)

        threading.Thread(target=read, name="stdin", daemon=True).start()
        while (line := await lines.get()) is not None:
            if isinstance(line, OSError):
                raise line
            if text := _typed(line.decode("utf-8", "replace")):
                self.count += 1
                board.put("console", f"A person says: {text}")


def _typed(line: str) -> str:
    """A line without what keys send that write nothing: arrows, F1, backspaces in a pipe."""
    return " ".join(_CONTROL.sub(" ", _KEY.sub("", line)).split())


def _read_lines(fd: int) -> Iterator[bytes | OSError | None]:
    """Each line, also a last one without a line break; then None, or why no more can be read."""
    rest = b""
    try:
        while chunk := os.read(fd, 1 << 16):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole
    except OSError as error:
        yield error
        return
    yield rest
    yield None
