"""What a piece of work leaves behind: tasks, sockets and processes that were not there before."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path

PATIENCE_S = 0.5


class Leftovers:
    """What is new since it was made; make it, and ask it, inside the running loop."""

    def __init__(self) -> None:
        self._tasks = tasks()
        self._handles = handles()

    async def wait(self, patience_s: float = PATIENCE_S) -> list[str]:
        """Name what is left once it had a moment to go; cancel the tasks among it."""
        deadline = asyncio.get_running_loop().time() + patience_s
        while True:
            left_tasks = tasks() - self._tasks
            left_handles = {
                key: name for key, name in handles().items() if key not in self._handles
            }
            left = [*sorted(map(label, left_tasks)), *left_handles.values()]
            if not left:
                return []
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.01)
        for task in left_tasks:
            task.cancel()
        return left


def tasks() -> set[asyncio.Task[object]]:
    """Name the tasks of this loop, without those in which anyio runs the tests themselves."""
    return {
        task
        for task in asyncio.all_tasks()
        if not getattr(task.get_coro(), "__qualname__", "").startswith("TestRunner.")
    }


def label(task: asyncio.Task[object]) -> str:
    """Name a task for people."""
    return f"task {task.get_name()} in {getattr(task.get_coro(), '__qualname__', task.get_coro())}"


def handles() -> dict[str, str]:
    """Map open sockets and child processes to names for people; empty where there is no /proc."""
    found: dict[str, str] = {}
    for descriptor in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):  # closed meanwhile, as glob's own descriptor is
            target = str(descriptor.readlink())
            if target.startswith("socket:"):
                found[target] = f"socket {_address(int(descriptor.name))}"
    found.update((str(pid), f"process {pid}") for pid in children())
    return found


def children() -> list[int]:
    """The child processes of this one, whichever thread has started them."""
    found: list[int] = []
    for thread in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended meanwhile
            found.extend(map(int, thread.read_text().split()))
    return found


def _address(descriptor: int) -> str:
    with socket.socket(fileno=os.dup(descriptor)) as duplicate:
        return f"{duplicate.family.name} {duplicate.getsockname()}"
