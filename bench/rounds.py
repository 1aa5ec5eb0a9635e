"""The measurements: in rounds, in which the peers take turns, so that noise meets all of them."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.crew import Crew, WorkerError, output
from bench.figures import p95, ratios, summary
from bench.peers import HAND, LIMIT, OURS, PEERS
from bench.server import Pace, tokens

FIRST = "4-20-200-1"
"""Four actions, a token every 20 ms, the first after 200 ms."""
SHORT, LONG = "1-0-0-1", "14-0-0-1"
"""One action, and fourteen, written at once: what is between them is the cost of tokens."""
STEADY = "4-20-20-%d"
"""Four actions, a token every 20 ms; so many streams take turns within these."""

_AT_ONCE = 5  # peers in the waiting rounds, which leave the processor idle
_ALWAYS = (LIMIT, HAND, OURS)

Rows = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each is measured."""

    first: int = 4
    call: int = 6
    calls: int = 10
    token: int = 4
    tokens: int = 2
    crowds: Mapping[int, int] = field(default_factory=lambda: {50: 1, 200: 3})
    """For each size, how often for those that the targets are about; once for all the others."""
    load: int = 3


QUICK = Counts(first=1, call=3, calls=5, token=2, tokens=1, crowds={50: 1}, load=1)


@dataclass(slots=True)
class Bench:
    """A comparison under way."""

    crew: Crew
    origin: str
    peers: Sequence[str]
    counts: Counts
    say: Callable[[str], None] = print
    failures: dict[str, dict[str, str]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def warm(self) -> None:
        """Start every worker and let it ask twice: what happens once is not timed."""
        for some in _batched(self.peers, 2):
            await asyncio.gather(*(self.ask("start", name, "ask", SHORT, 2) for name in some))
        self.peers = [name for name in self.peers if name not in self.failures.get("start", ())]

    async def ask(
        self, column: str, name: str, do: str, scenario: str, count: int
    ) -> dict[str, Any] | None:
        """Have a worker ask; None, and a note, where any of its answers is not the right one."""
        numbers = list(itertools.islice(self._numbers, count))
        try:
            result = await self.crew.ask(name, do, scenario, numbers)
        except WorkerError as error:
            return self._failed(column, name, str(error))
        wrong = [each for each in result["answers"] if not each.get("right")]
        if wrong:
            why = wrong[0].get("error", "another answer than the server's")
            return self._failed(column, name, f"{len(wrong)} of {count} answers failed: {why}")
        return result

    def _failed(self, column: str, name: str, why: str) -> None:
        self.failures.setdefault(column, {}).setdefault(name, why)
        self.say(f"  {PEERS[name].label}: {why}")

    def turn(self, only: Callable[[str], bool] = lambda _: True) -> list[str]:
        """Everybody once, in another order each time: who comes before leaves caches behind."""
        names = [name for name in self.peers if only(name)]
        return random.sample(names, len(names))

    async def first(self) -> Rows:
        """(a) and (g): when the first action is there, and what was given out that is none."""
        over, after, early = _lists(), _lists(), _lists()

        async def once(name: str) -> None:
            result = await self.ask("first", name, "ask", FIRST, 1)
            if result is not None:
                [answer] = result["answers"]
                answers[answer["number"]] = (name, answer)

        for _ in range(self.counts.first):
            names, answers = self.turn(), dict[int, tuple[str, dict[str, Any]]]()
            for some in _batched(names, _AT_ONCE):
                await asyncio.gather(*map(once, some))
            stamps = await self.stamps()
            for number, (name, answer) in answers.items():
                over[name].append((answer["first_ns"] - stamps[number][0]) / 1e6)
                after[name].append((answer["first_ns"] - answer["begun_ns"]) / 1e6)
                early[name].append(answer["early"])
        return {
            name: {
                "over_ms": summary(over[name]),
                "after_ms": summary(after[name]),
                "early": statistics.median(early[name]),
            }
            for name in self.peers
            if over[name]
        }

    async def call(self) -> Rows:
        """(b): wall and CPU of a call with a short answer that is there at once."""
        walls, cpus, all_walls = _lists(), _lists(), _lists()
        for _ in range(self.counts.call):
            for name in self.turn(_is_own_row):
                result = await self.ask("call", name, "ask", SHORT, self.counts.calls)
                if result is None:
                    walls[name].append(None)
                    cpus[name].append(None)
                    continue
                each = [(one["ended_ns"] - one["begun_ns"]) / 1e6 for one in result["answers"]]
                all_walls[name] += each
                walls[name].append(statistics.median(each))
                cpus[name].append(result["cpu_s"] * 1e3 / self.counts.calls)
        return self._compared({"wall_ms": walls, "cpu_ms": cpus}, {"wall_ms": all_walls})

    async def token(self) -> Rows:
        """(c): CPU of one more token, when they arrive at once."""
        more = len(tokens(14)) - len(tokens(1))
        cost = _lists()
        for _ in range(self.counts.token):
            for name in self.turn(lambda name: _is_own_row(name) and PEERS[name].streams):
                cpu_s: list[float] = []
                for scenario in (SHORT, LONG):
                    result = await self.ask("token", name, "ask", scenario, self.counts.tokens)
                    if result is not None:
                        cpu_s.append(result["cpu_s"] / self.counts.tokens)
                both = len(cpu_s) == 2
                cost[name].append((cpu_s[1] - cpu_s[0]) * 1e6 / more if both else None)
        return self._compared({"cpu_us": cost}, {})

    async def crowd(self, size: int) -> Rows:
        """(d): by how much many streams at once delay the answer, from its question on.

        The first round is that of the table, the same for all; the other rounds are for those that
        the target is about.
        """
        took, cost = _lists(), dict[str, float]()
        least: dict[str, float] = {}  # p95 of the round that the machine disturbed least
        column, scenario = f"crowd {size}", STEADY % size
        for turn in range(self.counts.crowds[size]):
            wanted = _ALWAYS if turn else self.peers
            for name in self.turn(lambda name: _is_own_row(name) and name in wanted):  # noqa: B023
                result = await self.ask(column, name, "crowd", scenario, size)
                if result is None:
                    continue
                over = [_over_ms(one, scenario) for one in result["answers"]]
                least[name] = min(least.get(name, p95(over)), p95(over))
                if not turn:
                    took[name] = over
                    cost[name] = result["cpu_s"] * 1e6 / size / len(tokens(4))
        return {
            name: {
                "whole_ms": summary(took[name]) | {"least_p95": round(least[name], 4)},
                "cpu_us": round(cost[name], 2),
            }
            for name in self.peers
            if took[name]
        }

    async def load(self, pythons: Mapping[str, Path]) -> Rows:
        """(e): import, first answer and memory, each time in a fresh process."""
        found: dict[str, dict[str, list[float]]] = defaultdict(_lists)
        # What one library loads does not depend on how it is asked then.
        same = {(PEERS[name].package, PEERS[name].imports): name for name in reversed(self.peers)}
        for _ in range(self.counts.load):
            for name in self.turn(lambda name: name in same.values()):
                peer = PEERS[name]
                command = [str(pythons[peer.environment]), "-m", "bench.load", name]
                url = f"{self.origin}/{SHORT}/v1"
                try:
                    out = await output(*command, url, *peer.imports.split(), within_s=60)
                    result = json.loads(out.splitlines()[-1])
                except (WorkerError, ValueError, IndexError) as error:
                    self._failed("load", name, str(error))
                    continue
                if not result["right"]:
                    self._failed("load", name, "another answer than the server's")
                    continue
                for what in ("import_ms", "answer_ms", "memory_mb"):
                    found[name][what].append(result[what])
        rows = {
            name: {what: summary(values) for what, values in each.items()}
            for name, each in found.items()
        }
        loaded = {name: same[PEERS[name].package, PEERS[name].imports] for name in self.peers}
        return {
            name: rows[its] for name, its in loaded.items() if its in rows and _is_own_row(name)
        }

    def _compared(
        self,
        rounds: Mapping[str, Mapping[str, list[float | None]]],
        every: Mapping[str, Mapping[str, list[float]]],
    ) -> Rows:
        """Medians and p95 of each, and its ratio to aiohttp within the rounds."""
        rows: Rows = defaultdict(dict)
        for what, of in rounds.items():
            times = ratios(of, HAND)
            for name, values in of.items():
                measured = every.get(what, {}).get(name) or [v for v in values if v is not None]
                if measured:
                    rows[name][what] = summary(measured) | {"times": times.get(name)}
        return {name: rows[name] for name in self.peers if name in rows}

    async def stamps(self) -> dict[int, list[int]]:
        """What the server has noted since it was last asked."""
        host, port = self.origin.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /stamps HTTP/1.1\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        body = await reader.readexactly(length)
        writer.close()
        return {int(number): stamp for number, stamp in json.loads(body).items()}


def _lists() -> dict[str, list[Any]]:
    return defaultdict(list)


def _batched(names: Sequence[str], size: int) -> list[Sequence[str]]:
    return [names[at : at + size] for at in range(0, len(names), size)]


def _over_ms(answer: Mapping[str, Any], scenario: str) -> float:
    """From the question to the answer, over what the schedule takes: a wait for a free connection
    of the client's own counts, as a robot meets it.
    """
    pace = Pace.of(f"/{scenario}/")
    assert pace is not None
    took_s = (answer["ended_ns"] - answer["begun_ns"]) / 1e9
    return (took_s - pace.whole_s(answer["number"])) * 1e3


def _is_own_row(name: str) -> bool:
    return not PEERS[name].varies
