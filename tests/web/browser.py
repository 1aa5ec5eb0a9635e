"""A robot in a process of its own, and a server that answers it, for a browser to look at."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reflexarc.memory import Memory, Tick
from reflexarc.prompt import Prompt
from reflexarc.testing import Reply, Server

ROOT = Path(__file__).parent.parent.parent
STARTS_WITHIN_S = 30


@contextmanager
def running(robot: Path, state: Path, port: int = 0) -> Iterator[str]:
    """Run a robot with its page; gives the address. It ends by Ctrl-C, as a person ends it."""
    command = "from reflexarc.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "run", robot, "--json", "--web", f"127.0.0.1:{port}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "XDG_STATE_HOME": str(state)},
        text=True,
    )
    assert process.stderr is not None
    watchdog = threading.Timer(STARTS_WITHIN_S, process.kill)
    watchdog.start()
    drain = threading.Thread(target=process.stderr.read)
    try:
        told = ""
        while "http://" not in told:
            told = process.stderr.readline()
            assert told, "it has not come up"
        watchdog.cancel()
        drain.start()
        yield told[told.index("http://") :].strip()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 128 + signal.SIGINT
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        if drain.ident:
            drain.join(5)
        process.stderr.close()


@contextmanager
def serving(reply: Callable[[int], Reply]) -> Iterator[str]:
    """A server in a thread of its own that gives the n-th question, from 0, this reply."""
    ready, stop = threading.Event(), threading.Event()
    where: list[str] = []

    async def serve() -> None:
        async with Server(*map(reply, range(100))) as server:
            where.append(server.base_url)
            ready.set()
            while not stop.is_set():  # noqa: ASYNC110 - set by another thread
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield where[0]
    finally:
        stop.set()
        thread.join(10)


def remember(path: Path, ticks: int) -> None:
    """Write a memory of so many ticks; in a thread, since the browser has a loop in this one."""

    async def write() -> None:
        async with Memory(path, "dot") as memory:
            for at in range(ticks):
                await memory.remember(Tick(datetime.now(UTC), Prompt(situation=f"{at}")))

    thread = threading.Thread(target=lambda: asyncio.run(write()))
    thread.start()
    thread.join(10)


def written(folder: Path, **changed: Any) -> Path:
    """A robot's file."""
    path = folder / "robot.json5"
    robot = {
        "name": "dot",
        "hertz": 10,
        "cortex_llm": {"type": "OnboardLLM"},
        "agent_actions": [
            {"name": "move", "llm_label": "move", "values": ["sit", "walk", "polish the brass"]},
            {"name": "emotion", "llm_label": "emotion", "values": ["happy", "sad"]},
            {"name": "speak", "llm_label": "speak"},
        ],
        **changed,
    }
    path.write_text(json.dumps(robot))
    return path


def does(*actions: tuple[str, str]) -> Reply:
    """An answer with these actions, in pieces."""
    listed = [{"type": type_, "value": value} for type_, value in actions]
    text = json.dumps({"actions": listed})
    return Reply.stream(*(text[at : at + 12] for at in range(0, len(text), 12)))
