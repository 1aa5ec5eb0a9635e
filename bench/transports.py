"""What reaching a server costs: our transports, the vendors' SDKs, and the least possible.

    make bench-transports                   (or: .venv/bin/python bench/transports.py --help)

The server is a process of its own on loopback and is not measured. Clients take turns, one call at
a time, and each keeps its connection. Times on a shared machine are noisy: what counts is the
column "times", the median of the ratios to the reference within one turn.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clients import BARE, OPENAI, STREAMED, WHOLE, Ask, Client, Fields, ours, robot

HERE = Path(__file__).parent
PACKAGES = (
    "aiohttp", "pydantic", "mistralai", "llama-api-client", "openai", "httpx", "httpx2",
)  # fmt: skip
PEOPLE = 200
QUESTION = "A person says: sit down and tell me what you see. #%d"


@dataclass(frozen=True, slots=True)
class Figure:
    """One client in one table; `times` is relative to the table's reference."""

    table: str
    client: str
    median: float
    p95: float
    unit: str
    times: float | None = None
    note: str = ""

    def __str__(self) -> str:
        times = "" if self.times is None else f"{self.times:.2f}"
        numbers = f"{self.median:9.2f}{self.p95:9.2f} {self.unit:3}{times:>7}"
        return f"  {self.client:34}{numbers}  {self.note}".rstrip()


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds that one call took."""

    cpu: float
    wall: float


@dataclass(frozen=True, slots=True)
class Bench:
    """The server's address, what our own client asks it, and how many turns to take."""

    origin: str
    fields: Fields
    share: float

    def turns(self, usual: int) -> int:
        """How many turns to take where so many are usual."""
        return max(2, round(usual * self.share))

    @asynccontextmanager
    async def opened(
        self, clients: Mapping[str, Client], what: str
    ) -> AsyncGenerator[dict[str, Ask], None]:
        """All clients ready to ask for that kind of answer."""
        async with AsyncExitStack() as stack:
            yield {
                name: await stack.enter_async_context(
                    client(f"{self.origin}/{what}/v1", self.fields)
                )
                for name, client in clients.items()
            }

    async def get(self, path: str) -> Any:
        """What the server has noted down."""
        import aiohttp  # noqa: PLC0415 - loading it is measured

        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.origin}/{path}") as reply,
        ):
            return await reply.json()


async def streamed(bench: Bench) -> AsyncGenerator[Figure, None]:
    """CPU time of a streamed token, everything counted that the call costs."""
    for table, what, usual in (
        ("CPU per token, 3000 tokens that arrive at once", "once-3000", 15),
        ("CPU per token, 250 tokens that arrive one by one", "each-250-1-1", 30),
    ):
        count = int(what.split("-")[1])
        async with bench.opened(STREAMED, what) as asks:
            spent = await take_turns(asks, bench.turns(usual))
        cpu = {name: [each.cpu * 1e6 / count for each, _ in calls] for name, calls in spent.items()}
        for figure in compared(table, cpu, "µs", BARE):
            yield figure


async def whole(bench: Bench) -> AsyncGenerator[Figure, None]:
    """Time of a call whose answer comes in one piece."""
    async with bench.opened(WHOLE, "whole") as asks:
        spent = await take_turns(asks, bench.turns(400))
    wall = {name: [each.wall * 1e3 for each, _ in calls] for name, calls in spent.items()}
    for figure in compared("Wall per call that is not streamed", wall, "ms", OPENAI):
        yield figure


async def short(bench: Bench) -> AsyncGenerator[Figure, None]:
    """CPU time of a call whose answer is streamed and short."""
    async with bench.opened(STREAMED, "once-60") as asks:
        spent = await take_turns(asks, bench.turns(100))
    cpu = {name: [each.cpu * 1e3 for each, _ in calls] for name, calls in spent.items()}
    for figure in compared("CPU per call, 60 tokens that arrive at once", cpu, "ms", BARE):
        yield figure


async def crowded(bench: Bench) -> AsyncGenerator[Figure, None]:
    """What a crowd of streams adds to the moment at which the wire has the first action."""
    clients = {name: client for name, client in STREAMED.items() if "its own" not in name}
    clients[OPENAI] = STREAMED[OPENAI]
    for how, what in (("one after another", PEOPLE), ("in step", 1)):
        table = f"Delay of the first action, {PEOPLE} streams, a token every 20 ms, {how}"
        async with bench.opened(clients, f"each-100-20-{what}") as asks:
            found = await take_turns(asks, bench.turns(4), lambda ask: crowd(bench, ask))
        for name, turns in found.items():
            delays = [delay for _, turn in turns for delay in turn]
            busy = max(spent.cpu / spent.wall for spent, _ in turns)
            note = f"{busy:.0%} of a core"
            yield Figure(table, name, statistics.median(delays), p95(delays), "ms", note=note)


async def crowd(bench: Bench, ask: Ask) -> list[float]:
    """The delays of one crowd, in milliseconds."""
    seen = await asyncio.gather(*(ask(QUESTION % number) for number in range(PEOPLE)))
    written = await bench.get("stamps")
    return [(at - written[str(number)]) / 1e6 for number, at in enumerate(seen) if at is not None]


async def loading(bench: Bench) -> AsyncGenerator[Figure, None]:
    """What a client adds to a process that has imported reflexarc, until it can ask."""
    found: dict[str, list[list[float]]] = {name: [] for name in STREAMED}
    for _ in range(bench.turns(7)):
        for name in STREAMED:
            found[name].append([float(part) for part in output(__file__, "--load", name).split()])
    for name, runs in found.items():
        times, memory = zip(*runs, strict=True)
        note = f"{statistics.median(memory):.0f} MB"
        table = "Load, in a process that has imported reflexarc"
        yield Figure(table, name, statistics.median(times), p95(times), "ms", note=note)


def output(*arguments: str) -> str:
    """What a fresh interpreter prints."""
    command = (sys.executable, *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def load(name: str) -> None:
    """Print the milliseconds and megabytes of one client; runs in a process of its own."""
    robot()
    memory, began = resident_mb(), time.perf_counter()
    async with STREAMED[name]("http://127.0.0.1:9/v1", {}):
        print((time.perf_counter() - began) * 1e3, resident_mb() - memory)


def resident_mb() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def once(ask: Ask) -> Awaitable[Any]:
    """Ask once."""
    return ask(QUESTION % 0)


async def take_turns(
    asks: Mapping[str, Ask], turns: int, act: Callable[[Ask], Awaitable[Any]] = once
) -> dict[str, list[tuple[Spent, Any]]]:
    """Let every client act in turn; the first turn connects and is not counted."""
    found: dict[str, list[tuple[Spent, Any]]] = {name: [] for name in asks}
    for turn in range(turns + 1):
        # Another order each time: who comes before leaves caches, and the clock of a core, behind.
        for name, ask in random.sample(list(asks.items()), len(asks)):
            cpu, wall = time.process_time(), time.perf_counter()
            result = await act(ask)
            spent = Spent(time.process_time() - cpu, time.perf_counter() - wall)
            if turn:
                found[name].append((spent, result))
        if not turn:  # what the others have loaded is nobody's garbage to look through
            gc.collect()
            gc.freeze()
    return found


def compared(
    table: str, found: Mapping[str, Sequence[float]], unit: str, reference: str
) -> Iterator[Figure]:
    """A table; ratios are taken turn by turn."""
    for name, values in found.items():
        ratios = [mine / its for mine, its in zip(values, found[reference], strict=True)]
        times = statistics.median(ratios)
        yield Figure(table, name, statistics.median(values), p95(values), unit, times)


def p95(values: Sequence[float]) -> float:
    """The value that one in twenty goes beyond."""
    return sorted(values)[min(len(values) - 1, round(0.95 * len(values)))]


def machine() -> dict[str, str]:
    """On what all this was measured."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    git = ("git", "-C", str(HERE), "describe", "--always", "--dirty", "--exclude=*")
    commit = subprocess.run(git, check=False, capture_output=True, text=True).stdout.strip()
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "commit": commit or "unknown",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


BENCHES: Mapping[str, Callable[[Bench], AsyncGenerator[Figure, None]]] = {
    "streamed": streamed,
    "whole": whole,
    "crowded": crowded,
    "short": short,
    "loading": loading,
}


def arguments() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", nargs="*", metavar="what", help=", ".join(BENCHES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--share", type=float, default=1, help="take that share of the usual turns")
    parser.add_argument("--load", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if strange := set(given.what) - set(BENCHES):
        parser.error(f"there is no {', '.join(sorted(strange))}, only {', '.join(BENCHES)}")
    return given


async def measure(given: argparse.Namespace, origin: str) -> list[Figure]:
    """Print each figure when it is known."""
    bench = Bench(origin, {}, given.share)
    async with ours("MistralLLM", "http", f"{origin}/whole/v1") as ask:
        await ask(QUESTION % 0)
    bench = Bench(origin, await bench.get("asked"), given.share)
    figures: list[Figure] = []
    for name in given.what or BENCHES:
        async for figure in BENCHES[name](bench):
            if not figures or figures[-1].table != figure.table:
                print(f"\n{figure.table}\n  {'':34}{'median':>9}{'p95':>9}{'times':>11}")
            print(figure, flush=True)
            figures.append(figure)
    return figures


def main() -> None:
    """Start the server, measure, print."""
    given = arguments()
    if given.load:
        asyncio.run(load(given.load))
        return
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # every client keeps its crowd
    facts = machine()
    print("\n".join(f"{name}: {fact}" for name, fact in facts.items()))
    command = (sys.executable, str(HERE / "wire.py"))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        port = int(server.stdout.readline())
        figures = asyncio.run(measure(given, f"http://127.0.0.1:{port}"))
        server.stdin.close()
    if given.json:
        report = {"machine": facts, "figures": [asdict(figure) for figure in figures]}
        given.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
