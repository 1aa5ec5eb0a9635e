"""The processes of a comparison: the server, and a worker for each peer."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from bench.environments import BUILT, ROOT
from bench.peers import PEERS

_LINE = 1 << 24
_ANSWERS_WITHIN_S = 120.0


class WorkerError(Exception):
    """A program cannot go on, in one sentence; `out` is what it has printed until then."""

    def __init__(self, message: str, out: str = "") -> None:
        super().__init__(message)
        self.out = out


def environ() -> dict[str, str]:
    """What children see: this checkout's source, no proxy, no telemetry; they keep byte code."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and name != "PYTHONDONTWRITEBYTECODE"
    }
    return kept | {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
        "LANGSMITH_TRACING": "false",
        "INSTRUCTOR_TELEMETRY": "false",
    }


@asynccontextmanager
async def serving(python: str) -> AsyncGenerator[str, None]:
    """The server's origin, such as ``http://127.0.0.1:40000``."""
    process = await start(python, "bench.server")
    try:
        line = await line_of(process)
        yield f"http://127.0.0.1:{int(line)}"
    finally:
        await end(process)


async def start(python: str | Path, *arguments: str, log: Path | None = None) -> Process:
    """A child in a session of its own: Ctrl-C ends the parent, whose end ends the children."""
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
    stderr = log.open("w") if log else asyncio.subprocess.DEVNULL
    try:
        return await asyncio.create_subprocess_exec(
            str(python), "-m", *arguments, cwd=ROOT, env=environ(), stdin=PIPE, stdout=PIPE,
            stderr=stderr, limit=_LINE, start_new_session=True,
        )  # fmt: skip
    finally:
        if not isinstance(stderr, int):
            stderr.close()


async def line_of(process: Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(_ANSWERS_WITHIN_S):
        return await process.stdout.readline()


async def end(process: Process) -> None:
    if process.returncode is not None:
        return
    assert process.stdin is not None
    process.stdin.close()
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(3):
                await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def output(*command: str, within_s: float, interrupt: bool = False) -> str:
    """What a program prints; it is ended with us, by an interrupt where it has children to end.

    Raises
    ------
    WorkerError
        If it fails, or takes too long.
    """
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environ(), stdin=asyncio.subprocess.DEVNULL, stdout=PIPE,
        stderr=PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(within_s):
            out, err = await process.communicate()
    except TimeoutError:
        raise WorkerError(f"took more than {within_s:.0f} s") from None
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT if interrupt else signal.SIGKILL)
            await process.wait()
    text, last = (each.decode("utf-8", "replace") for each in (out, err))
    if process.returncode:
        last = last.strip().rpartition("\n")[2]
        raise WorkerError(last or f"ended with {process.returncode}", text)
    return text


class Crew:
    """A worker for each peer, started when it is first asked for; one that has failed stays out."""

    def __init__(self, pythons: Mapping[str, Path], origin: str) -> None:
        self._pythons = pythons
        self._origin = origin
        self._processes: dict[str, Process] = {}
        self.failures: dict[str, str] = {}

    async def __aenter__(self) -> Crew:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(end(process) for process in self._processes.values()))

    async def ask(
        self, name: str, do: str, scenario: str, numbers: Sequence[int]
    ) -> dict[str, Any]:
        """Have one worker do something; see `bench.worker`.

        Raises
        ------
        WorkerError
            If the peer's process ends, hangs, or its library fails; it is started anew next time.
        """
        command = {"do": do, "scenario": scenario, "numbers": list(numbers)}
        try:
            process = await self._process(name)
            assert process.stdin is not None
            process.stdin.write(json.dumps(command).encode() + b"\n")
            await process.stdin.drain()
            line = await line_of(process)
        except (TimeoutError, OSError) as error:
            await self._drop(name)
            raise WorkerError(f"no answer to {do} {scenario} ({type(error).__name__})") from None
        if not line:
            await self._drop(name)
            raise WorkerError(f"its process ended; {self._log(name).relative_to(ROOT)} says why")
        return json.loads(line)

    async def _process(self, name: str) -> Process:
        if name not in self._processes:
            python = self._pythons[PEERS[name].environment]
            process = await start(python, "bench.worker", name, self._origin, log=self._log(name))
            self._processes[name] = process
            await line_of(process)  # it is ready
        return self._processes[name]

    async def _drop(self, name: str) -> None:
        if process := self._processes.pop(name, None):
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _log(self, name: str) -> Path:
        return BUILT / f"{name}.worker.log"
