"""What those who watch the page cost the robot's event loop."""

from __future__ import annotations

import asyncio
import socket
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from reflexarc.bench.figure import Figure
from reflexarc.runtime.switch import Switch
from reflexarc.specs import ActionSpec
from reflexarc.testing import ScriptedLLM
from reflexarc.types import TextDelta
from reflexarc.vocabulary import Vocabulary
from reflexarc.web import HOST, Page, PageServer

WATCHERS = 20
HERTZ = 50

# Watches in a process of its own, so that its work is not ours, and tells how late each event was.
_WATCH = """
import asyncio, json, sys, time
async def watch(port, late):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /events HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n".encode())
    async for line in reader:
        if line.startswith(b'data: {"event":"text"'):
            late.append(time.time() - float(json.loads(line[6:])["text"]))
async def main():
    late = []
    await asyncio.gather(*(watch(int(sys.argv[1]), late) for _ in range(int(sys.argv[2]))))
    late.sort()
    print(late[len(late) // 2], late[int(len(late) * 0.95)], len(late))
asyncio.run(main())
"""


def bench_page(seconds: float = 5.0) -> Iterator[Figure]:
    """Measure how late the loop is with and without watchers, and with one that does not read.

    Parameters
    ----------
    seconds : float, default 5.0
        For which each is measured.

    Yields
    ------
    Figure
    """
    (alone, _), (watched, told), (stuck, _) = asyncio.run(_rounds(seconds))
    note = f"{WATCHERS} watchers, {HERTZ} events a second; {alone * 1e3:.2f} ms without any"
    yield Figure("page: the loop is late by, p95", watched * 1e3, "ms", note)
    note = "one watcher that never reads beside them"
    yield Figure("page: the loop is late by, p95, one stuck", stuck * 1e3, "ms", note)
    median, late, count = told
    yield Figure("page: from event to watcher, p50", median * 1e3, "ms", f"{count:.0f} events")
    yield Figure("page: from event to watcher, p95", late * 1e3, "ms", "by the same clock")


async def _rounds(seconds: float) -> list[tuple[float, Sequence[float]]]:
    return [
        await _round(watchers, stuck, seconds)
        for watchers, stuck in ((0, 0), (WATCHERS, 0), (WATCHERS, 1))
    ]


async def _round(watchers: int, stuck: int, seconds: float) -> tuple[float, Sequence[float]]:
    """How late the loop is, at the 95th percentile, and what the watchers tell."""
    switch = Switch[Any]({"scripted": ScriptedLLM()})
    page = Page("bench", Vocabulary([ActionSpec("speak", None)]), switch)
    told: Sequence[float] = ()
    async with PageServer(page, lambda _: None, port=0) as server:
        port = int(server.url.rpartition(":")[2])
        async with _watching(port, watchers) as process, _not_reading(port, stuck):
            while len(page.broadcast) < watchers + stuck:  # noqa: ASYNC110 - they are elsewhere
                await asyncio.sleep(0.01)
            publishing = asyncio.create_task(_publish(page, seconds))
            late = sorted(await _late(seconds))
            await publishing
    if process is not None:
        out, _ = await process.communicate()
        told = [float(part) for part in out.split()]
    return statistics.quantiles(late, n=20)[-1], told


async def _publish(page: Page, seconds: float) -> None:
    for _ in range(int(seconds * HERTZ)):
        page.observe(TextDelta(str(time.time())))
        await asyncio.sleep(1 / HERTZ)


async def _late(seconds: float) -> list[float]:
    """By how much the loop wakes a task too late, each 2 ms."""
    clock = asyncio.get_running_loop().time
    end, late = clock() + seconds, list[float]()
    while (begun := clock()) < end:
        await asyncio.sleep(0.002)
        late.append(clock() - begun - 0.002)
    return late


@asynccontextmanager
async def _watching(port: int, count: int) -> AsyncGenerator[asyncio.subprocess.Process | None]:
    if not count:
        yield None
        return
    command = [sys.executable, "-c", _WATCH, str(port), str(count)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        yield process
    except BaseException:
        process.kill()
        await process.wait()
        raise


@asynccontextmanager
async def _not_reading(port: int, count: int) -> AsyncGenerator[None]:
    """Watchers with the smallest of buffers who never read."""
    loop, stuck = asyncio.get_running_loop(), list[socket.socket]()
    try:
        for _ in range(count):
            stuck.append(socket.socket())
            stuck[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            stuck[-1].setblocking(False)
            await loop.sock_connect(stuck[-1], (HOST, port))
            request = f"GET /events HTTP/1.1\r\nHost: {HOST}:{port}"
            await loop.sock_sendall(stuck[-1], f"{request}\r\n\r\n".encode())
        yield
    finally:
        for each in stuck:
            each.close()
