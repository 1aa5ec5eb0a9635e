"""Play the faults: a client in its own environment, a server that fails, a healthy one behind."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

from bench.crew import WorkerError, end, line_of, start
from bench.environments import BUILT, UnmadeError, python_of
from bench.faults import clients
from bench.faults.fault import FAULTS, LATER, Fault, healthy, numbered
from bench.faults.outcome import outcome
from bench.peers import Peer
from bench.server import Form
from bench.task import actions
from reflexarc.testing import Received, Reply, Server

LIMIT_S = 3.0
_HANGS_S = 5.0
"""Longer than the limit and closing take; a process that has not answered by then is ended."""
_STARTS_S = 60.0
_AT_ONCE = 8
"""Clients: they mostly wait."""


async def measure(peers: Sequence[str], quick: bool = False) -> list[dict[str, Any]]:
    """Play all faults to all clients of some peers; see `bench.faults.measure`."""
    few = asyncio.Semaphore(_AT_ONCE)
    faults = [*FAULTS[::4], LATER[0]] if quick else [*FAULTS, *LATER]

    found = clients.of(peers)
    pythons: dict[str, Path | str] = {}
    for environment in dict.fromkeys(client.environment for client in found.values()):
        try:
            pythons[environment] = await asyncio.to_thread(python_of, environment)
        except UnmadeError as error:
            pythons[environment] = str(error)

    async def one(name: str, client: Peer) -> dict[str, Any]:
        python = pythons[client.environment]
        if isinstance(python, str):
            return _row(name, client) | {"faults": {}, "left_out": python}
        async with few:
            return await row(name, client, faults, python)

    return await asyncio.gather(*(one(*each) for each in found.items()))


def _row(name: str, client: Peer) -> dict[str, Any]:
    return {"client": name, "label": client.label, "told": name in clients.TUNED}


async def row(name: str, client: Peer, faults: Sequence[Fault], python: Path) -> dict[str, Any]:
    """Play faults to a client, one after the other; why it is left out where it cannot work."""
    played: dict[str, dict[str, Any]] = {}
    found = _row(name, client)
    async with _Player(name, python) as player:
        for fault in faults:
            try:
                async with servers(fault) as urls:
                    played[fault.name] = outcome(await player.ask(urls, LIMIT_S), actions())
            except WorkerError as error:
                return found | {"faults": {}, "left_out": str(error)}
    return found | {"faults": played}


@asynccontextmanager
async def servers(fault: Fault) -> AsyncGenerator[list[str], None]:
    """The addresses of one that fails and one that does not."""
    failures = 0
    numbers = itertools.count(1)

    def second(request: Received) -> Reply:
        return numbered(healthy(Form.of(request.json)), next(numbers))

    def first(request: Received) -> Reply:
        nonlocal failures
        form = Form.of(request.json)
        failures += 1
        if fault.reply is None or (fault.times is not None and failures > fault.times):
            return numbered(healthy(form), next(numbers))
        return numbered(fault.reply(form), next(numbers))

    async with AsyncExitStack() as stack:
        behind = await stack.enter_async_context(Server(route=second))
        if fault.reply is None:
            # Taken, so that nobody else gets it, and refusing, since nobody listens.
            taken = stack.enter_context(closing(socket.socket()))
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        else:
            url = (await stack.enter_async_context(Server(route=first))).base_url
        yield [url, behind.base_url]


class _Player:
    """A client in a process of its own."""

    def __init__(self, name: str, python: Path) -> None:
        self._name = name
        self._python = python
        self._process: Process | None = None

    async def __aenter__(self) -> _Player:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            await end(self._process)

    async def ask(self, urls: Sequence[str], limit_s: float) -> Mapping[str, Any]:
        """What happened; "late" where the process hangs, and an error where it ends."""
        if self._process is None:
            log = BUILT / f"{self._name}.faults.log"
            self._process = await start(self._python, "bench.faults.worker", self._name, log=log)
            await self._warmed()
        try:
            return await self._told(urls, limit_s, limit_s + _HANGS_S)
        except TimeoutError:
            why = "late"
        except OSError:
            why = "its process ended"
        await self._drop()
        return {"given": [], "pairs": None, "error": why, "took_s": limit_s}

    async def _warmed(self) -> None:
        """Once without a fault: imports are not timed, and who fails now is no row."""
        async with servers(Fault("none", "", healthy)) as urls:
            try:
                happened = await self._told(urls, _STARTS_S / 2, _STARTS_S)
            except TimeoutError:
                raise WorkerError("does not answer without a fault") from None
            except OSError:
                log = BUILT / f"{self._name}.faults.log"
                raise WorkerError(f"its process ended; {log.name} says why") from None
        if outcome(happened, actions())["outcome"] != "valid":
            raise WorkerError(f"fails without a fault: {happened['error'] or 'another answer'}")

    async def _told(self, urls: Sequence[str], limit_s: float, within_s: float) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        command = {"servers": list(urls), "limit_s": limit_s}
        process.stdin.write(json.dumps(command).encode() + b"\n")
        await process.stdin.drain()
        async with asyncio.timeout(within_s):
            line = await line_of(process)
        if not line:
            raise ConnectionError(self._name)
        return json.loads(line)

    async def _drop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
