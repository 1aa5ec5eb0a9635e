"""What is sensed reaches the board: the newest of each source, or one text a tick."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reflexarc.runtime.inputs import Board, Lines, Script


def test_the_newest_of_each_source_wins() -> None:
    """What a source senses takes the place of what it sensed before, and of nothing else."""
    board = Board()
    board.put("camera", "A person.")
    board.put("console", "Sit!")
    board.put("camera", "No one.")
    assert board.take() == "No one.\nSit!"


def test_what_is_taken_is_gone() -> None:
    """Nothing is sensed twice."""
    board = Board()
    board.put("console", "Sit!")
    board.take()
    assert not board.filled
    assert board.take() == ""


def test_silence_is_sensed() -> None:
    """An input may say that there is nothing, and that is news."""
    board = Board()
    board.put("console", "")
    assert board.filled


async def test_who_waits_is_woken() -> None:
    """Waiting ends when something is put on the board, and does not begin when it is there."""
    board = Board()
    waiting = asyncio.create_task(board.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    board.put("console", "Sit!")
    await waiting
    await board.wait()


async def test_a_script_gives_one_text_a_tick() -> None:
    """The next text waits for the tick, however long that takes, and the last one is waited for."""
    board, script = Board(), Script(["a", "b"])
    running = asyncio.create_task(script.run(board))
    for text in ("a", "b"):
        await board.wait()
        await asyncio.sleep(0.01)
        assert board.take() == text
        assert not running.done()
        await script.ticked()
    await running
    assert not board.filled


class Heard(Board):
    """A board that remembers everything that was put on it."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []

    def put(self, source: str, text: str) -> None:
        """Remember, and put."""
        self.all.append(text.removeprefix("A person says: "))
        super().put(source, text)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"sit!\njump!\n", ["sit!", "jump!"]),
        (b"sit!\njump!", ["sit!", "jump!"]),
        (b"sit!\r\n\n  \n\tjump! \n", ["sit!", "jump!"]),
        (b"\xff sit\n\xc3\xa9t\xc3\xa9\n", ["� sit", "été"]),
        ("sit 🐕\n".encode() * 9000, ["sit 🐕"] * 9000),
        (b"\x1b[A\x1b[A\n\x1b[D\n\x1bOP\n\x1b[1;5C\n\x1b\x1b[A\n\x00\x7f\n\x1b", []),
        (b"si\x1b[Ct!\x1b[1;2H\n\x1b]0;a title\x07jump\tup\x08\n", ["sit!", "jump up"]),
        (b"", []),
    ],
    ids=[
        "lines",
        "no last break",
        "white space",
        "not UTF-8",
        "more than one read",
        "keys",
        "keys between",
        "empty",
    ],
)
@pytest.mark.parametrize("kind", ["file", "pipe"])
async def test_lines_are_heard(kind: str, data: bytes, expected: list[str], tmp_path: Path) -> None:
    """Every line that is not empty is heard, from a file as from a pipe, the last one as well.

    Keys that write nothing are no part of it.
    """
    board = Heard()
    with opened(kind, data, tmp_path) as fd:
        await Lines(fd).run(board)
    assert board.all == expected


class opened:  # noqa: N801 - used as a function
    """A descriptor to read some data from, until the end of the block."""

    def __init__(self, kind: str, data: bytes, folder: Path) -> None:
        if kind == "file":
            (folder / "lines").write_bytes(data)
            self._fd = os.open(folder / "lines", os.O_RDONLY)
            return
        self._fd, write = os.pipe()
        threading.Thread(target=_fill, args=(write, data), daemon=True).start()

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _fill(fd: int, data: bytes) -> None:
    with open(fd, "wb") as file:
        file.write(data)


@pytest.fixture
def pipe() -> Iterator[tuple[int, Callable[[bytes], int]]]:
    """A pipe that stays open."""
    read, write = os.pipe()
    yield read, lambda data: os.write(write, data)
    os.close(write)
    time.sleep(0.01)  # until whoever reads has seen it
    os.close(read)


async def test_a_line_is_heard_at_its_break(pipe: tuple[int, Callable[[bytes], int]]) -> None:
    """A line is heard as soon as it is complete, while the next ones are still to come."""
    fd, write = pipe
    board = Heard()
    running = asyncio.create_task(Lines(fd).run(board))
    write(b"si")
    await asyncio.sleep(0.02)
    assert not board.filled
    write(b"t!\njum")
    await asyncio.wait_for(board.wait(), 5)
    assert board.all == ["sit!"]
    running.cancel()


async def test_a_reader_that_waits_can_be_left(pipe: tuple[int, Callable[[bytes], int]]) -> None:
    """Cancelling does not wait for the next line."""
    running = asyncio.create_task(Lines(pipe[0]).run(Board()))
    await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait({running}, timeout=1)
    assert running.cancelled()


async def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """Where the system refuses to read, the input ends with what it said, and does not hang."""
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(IsADirectoryError):
            await asyncio.wait_for(Lines(fd).run(Board()), 5)
    finally:
        os.close(fd)
