"""What it takes to load a library, and to have a first answer through it, in a fresh process.

python -m bench.load PEER URL MODULE …
"""

import sys
import time

BEGUN = time.perf_counter()
for _module in sys.argv[3:]:
    __import__(_module)
IMPORTED = time.perf_counter()

import asyncio  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
from pathlib import Path  # noqa: E402

from bench.peers import PEERS  # noqa: E402
from bench.task import QUESTION, actions  # noqa: E402


async def main(name: str, url: str) -> None:
    """Ask once, and tell what all that took."""
    async with PEERS[name].load()([url]) as ask:
        pairs = await ask(QUESTION % 0, lambda _: None)
        answered = time.perf_counter()
        status = Path("/proc/self/status").read_text()  # noqa: ASYNC240 - nothing else runs
        memory_kb = int(status.partition("VmHWM:")[2].split()[0])
        result = {
            "import_ms": (IMPORTED - BEGUN) * 1e3,
            "answer_ms": (answered - BEGUN) * 1e3,
            "memory_mb": memory_kb / 1024,
            "right": pairs == actions(1),
        }
        print("\n" + json.dumps(result), flush=True)
    os._exit(0)  # what a library does when it is left is not measured


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
