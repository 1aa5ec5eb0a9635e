"""One llama.cpp child process, seen from the parent: started, listened to, ended."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# By path and not by -m: nothing else of this package is then imported in the child.
_SERVER = Path(__file__).with_name("server.py")
_LOG_BYTES = 600  # of the child's log, kept for the sentence about its death
_LAST_WORDS_S = 0.2  # the pipe of a dead process ends at once, unless someone else holds it


@dataclass(frozen=True, slots=True)
class Order:
    """What a child shall serve.

    Parameters
    ----------
    model : str
        Path of the GGUF file.
    alias : str
        The model's name in replies.
    context_tokens : int
        Tokens of prompt and answer together.
    threads : int or None
        Threads to compute with; None takes every core the process may use.
    prefixes : str or None
        Directory of kept prefixes; None keeps none.
    """

    model: str
    alias: str
    context_tokens: int
    threads: int | None
    prefixes: str | None


@dataclass(frozen=True, slots=True)
class Ready:
    """The child serves.

    Parameters
    ----------
    port : int
        On 127.0.0.1.
    load_s : float
        Seconds it took to load the library and the model.
    """

    port: int
    load_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The child cannot serve.

    Parameters
    ----------
    message : str
        Why, as a sentence.
    lasting : bool
        Whether another start would fail the same way.
    """

    message: str
    lasting: bool


class Child:
    """A running child; made by `running`.

    Parameters
    ----------
    process : asyncio.subprocess.Process
        Just started.
    stdin : asyncio.StreamWriter
        Its standard input.
    stdout, stderr : asyncio.StreamReader
        Its output: our lines, and its log.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        stdin: asyncio.StreamWriter,
        stdout: asyncio.StreamReader,
        stderr: asyncio.StreamReader,
    ) -> None:
        self.pid = process.pid
        self.api_key = secrets.token_urlsafe(32)
        self._process = process
        self._stdin = stdin
        self._stdout = stdout
        self._log = b""
        self._logging = asyncio.create_task(self._keep_log(stderr), name=f"log of {self.pid}")

    async def report(self, order: Order) -> Ready | Failed:
        """Hand the order over and wait for the child's one line.

        Parameters
        ----------
        order : Order
            What to serve.

        Returns
        -------
        Ready or Failed
            Also ``Failed`` where the child died without a line.
        """
        # A line of a few hundred bytes fits any pipe, so there is nothing to wait for; a child that
        # is dead already shows in the answer.
        line = json.dumps({**asdict(order), "api_key": self.api_key})
        self._stdin.write(line.encode() + b"\n")
        answer = await self._stdout.readline()
        if not answer.endswith(b"\n"):
            death = await self.death()
            return Failed(f"The on-board engine {death} while starting.", lasting=False)
        word: dict[str, Any] = json.loads(answer)
        if word["event"] == "ready":
            return Ready(port=word["port"], load_s=word["load_s"])
        if word["lasting"]:  # then the sentence says it all
            return Failed(word["message"], lasting=True)
        await self.death()
        return Failed(word["message"] + self._last_words(), lasting=False)

    async def exit(self) -> None:
        """Wait until the child is dead."""
        await self._process.wait()

    async def death(self) -> str:
        """Wait until the child is dead; how it died and what it said last, as a predicate."""
        code = await self._process.wait()
        await asyncio.wait({self._logging}, timeout=_LAST_WORDS_S)
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return how + self._last_words()

    async def end(self, grace_s: float) -> None:
        """End the child: its stdin, then SIGTERM, then SIGKILL.

        Cancelling this kills the child at once. It is reaped in any case.

        Parameters
        ----------
        grace_s : float
            Seconds between one and the next.
        """
        try:
            self._stdin.close()
            if not await self._dies_within(grace_s):
                self._process.terminate()
                await self._dies_within(grace_s)
        finally:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
            await self._logging

    async def _dies_within(self, limit_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._process.wait()
        return self._process.returncode is not None

    async def _keep_log(self, stderr: asyncio.StreamReader) -> None:
        """Read the log to its end, so that llama.cpp never waits; keep the last of it."""
        while piece := await stderr.read(1 << 16):
            self._log = (self._log + piece)[-_LOG_BYTES:]

    def _last_words(self) -> str:
        words = " ".join(self._log.decode(errors="replace").split())
        return f" (it said last: {words})" if words else ""


@asynccontextmanager
async def running(grace_s: float) -> AsyncGenerator[Child]:
    """A child process for the time of the block.

    Parameters
    ----------
    grace_s : float
        Seconds to wait for it to leave by itself at the end, and again after SIGTERM.

    Yields
    ------
    Child
        Waiting for its order.

    Raises
    ------
    OSError
        If no process can be started.
    """
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", str(_SERVER), stdin=pipe, stdout=pipe, stderr=pipe
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    child = Child(process, process.stdin, process.stdout, process.stderr)
    try:
        yield child
    finally:
        await child.end(grace_s)
