"""Asks through one library, in that library's environment: ``python -m bench.worker PEER``.

Reads one command a line from standard input, a JSON object, and prints one JSON object for each.
It stays up, so that rounds of several libraries can take turns, and ends with its input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from bench.peers import PEERS, Adapter, Ask
from bench.task import QUESTION, Pair, actions

TAKES_AT_MOST_S = 25.0
"""For one question; an answer of 120 tokens that takes longer is of no use to a robot."""

BEGUN_WITHIN_S = 1.0
"""In which all of a crowd are asked: what asking costs is measured by itself."""


class Worker:
    """The commands. Each has the scenario, the server's origin, and answers with a JSON object."""

    def __init__(self, adapter: Adapter, origin: str) -> None:
        self._adapter = adapter
        self._origin = origin
        self._asks: dict[str, Ask] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Worker:
        return self

    async def __aexit__(self, *_: object) -> None:
        # Some libraries fail to close what they have opened; what they measured stands.
        with contextlib.suppress(Exception):
            await self._stack.aclose()

    async def ask(self, scenario: str, numbers: Sequence[int]) -> dict[str, Any]:
        """Ask once a number, one after the other; when the actions were given, and what it took."""
        ask = await self._ask(scenario)
        cpu, wall = time.process_time(), time.perf_counter()
        answers = [await one(ask, scenario, number) for number in numbers]
        return {
            "answers": answers,
            "cpu_s": time.process_time() - cpu,
            "wall_s": time.perf_counter() - wall,
        }

    async def crowd(self, scenario: str, numbers: Sequence[int]) -> dict[str, Any]:
        """Ask one after the other within a second; all answers then come at once."""
        ask = await self._ask(scenario)

        async def later(place: int, number: int) -> dict[str, Any]:
            await asyncio.sleep(BEGUN_WITHIN_S * place / len(numbers))
            return await one(ask, scenario, number)

        cpu, wall = time.process_time(), time.perf_counter()
        answers = await asyncio.gather(*(later(*each) for each in enumerate(numbers)))
        return {
            "answers": answers,
            "cpu_s": time.process_time() - cpu,
            "wall_s": time.perf_counter() - wall,
        }

    async def _ask(self, scenario: str) -> Ask:
        """The function to ask with; a client is kept for each scenario."""
        if scenario not in self._asks:
            opened = self._adapter([f"{self._origin}/{scenario}/v1"])
            self._asks[scenario] = await self._stack.enter_async_context(opened)
        return self._asks[scenario]


async def one(ask: Ask, scenario: str, number: int) -> dict[str, Any]:
    """Ask once: when each action was given, and what was wrong with it.

    `first_ns` is when the answer's first action was given, and `early` counts what was given and
    is none of the answer's actions: half a sentence, acted on.
    """
    wanted = actions(int(scenario.partition("-")[0]))
    given: list[tuple[int, Pair]] = []
    begun = time.monotonic_ns()
    try:
        async with asyncio.timeout(TAKES_AT_MOST_S):
            pairs = await ask(QUESTION % number, lambda pair: given.append((_now(), pair)))
    except TimeoutError:
        return {"number": number, "error": f"not within {TAKES_AT_MOST_S:.0f} s"}
    except Exception as error:  # noqa: BLE001 - whatever a library raises is a result
        return {"number": number, "error": f"{type(error).__name__}: {error}"[:200]}
    ended = time.monotonic_ns()
    return {
        "number": number,
        "begun_ns": begun,
        "first_ns": next((at for at, pair in given if pair == wanted[0]), None),
        "ended_ns": ended,
        "early": sum(pair not in wanted for _, pair in given),
        "right": pairs == wanted,
    }


_now = time.monotonic_ns


async def read(stream: asyncio.StreamReader) -> AsyncGenerator[Mapping[str, Any], None]:
    """The commands, one a line."""
    while line := await stream.readline():
        yield json.loads(line)


async def main(name: str, origin: str) -> None:
    """Do what is asked for."""
    # Whatever a library prints goes to standard error; what is left of ours is for results.
    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # every client keeps its crowd
    stream = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), sys.stdin
    )
    async with Worker(PEERS[name].load(), origin) as worker:
        print(json.dumps({"pid": os.getpid()}), file=results)
        async for command in read(stream):
            do = {"ask": worker.ask, "crowd": worker.crowd}[command["do"]]
            print(json.dumps(await do(command["scenario"], command["numbers"])), file=results)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
