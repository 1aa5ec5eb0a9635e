"""Remembers until it is killed, and prints the number of each tick once it is acknowledged.

For each line it reads, a new child of it does so; it tells the child's number first, and ``end``
when the child is gone. Forking spares a child the time that importing takes.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from reflexarc.memory import Memory
from tests.memory.ticks import ACTIONS, tick


async def remember(path: Path, max_mb: float) -> None:
    """Remember long and short ticks, some of them together."""
    async with Memory(path, "spot", ACTIONS, max_mb=max_mb) as memory:

        async def one() -> None:
            length = random.choice((10, 1000, 20_000))
            kept = await memory.remember(tick("x" * length))
            os.write(1, f"{kept.id}\n".encode())

        while True:
            await asyncio.gather(*(one() for _ in range(random.choice((1, 1, 5)))))


def main() -> None:
    """Start a child for each line."""
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            random.seed(os.getpid())
            asyncio.run(remember(Path(sys.argv[1]), float(sys.argv[2])))
        os.write(1, f"pid {pid}\n".encode())
        os.waitpid(pid, 0)
        os.write(1, b"end\n")


if __name__ == "__main__":
    main()
