"""Asks through one library while a server fails: ``python -m bench.faults.worker CLIENT``.

Reads one command a line from standard input, ``{"servers":[…],"limit_s":…}``, opens a client, asks
once, closes it, and prints what happened as one JSON object.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.faults.clients import CLIENTS
from bench.peers import Adapter
from bench.task import QUESTION, Pair
from bench.worker import read

_CLOSES_WITHIN_S = 1.0


async def one(adapter: Adapter, servers: Sequence[str], limit_s: float) -> dict[str, Any]:
    """Ask once: what was handed over and when, and how it ended.

    The client is opened before the clock runs. `pairs` is the answer, None where there was none;
    `error` is what was raised, and "late" where the limit came first.
    """
    given: list[tuple[float, Pair]] = []
    pairs, error = None, ""
    client = adapter(servers)
    ask = await client.__aenter__()
    begun = time.perf_counter()
    try:
        async with asyncio.timeout(limit_s) as limit:
            pairs = await ask(
                QUESTION % 1, lambda pair: given.append((time.perf_counter() - begun, pair))
            )
    except BaseException as raised:  # noqa: BLE001 - whatever a library raises is a result
        error = "late" if limit.expired() else f"{type(raised).__name__}: {raised}"[:200]
    took_s = time.perf_counter() - begun
    # Some libraries cannot close what has failed; what happened stands.
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_CLOSES_WITHIN_S):
            await client.__aexit__(None, None, None)
    return {"given": given, "pairs": pairs, "error": error, "took_s": took_s}


async def main(adapter: Adapter) -> None:
    """Do what is asked for."""
    # Whatever a library prints goes to standard error; what is left of ours is for results.
    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    stream = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), sys.stdin
    )
    async for command in read(stream):
        print(json.dumps(await one(adapter, command["servers"], command["limit_s"])), file=results)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(CLIENTS[sys.argv[1]].load()))
