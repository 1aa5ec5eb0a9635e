"""Compare reflexarc with what else asks models for actions; see docs/performance.md.

make bench                                  everything, into bench/results/<date>.json
make bench ARGS="--quick"                   a glance at it, in under a minute
make bench ARGS="--only ours,aiohttp"       some of the peers
make bench ARGS="--what first,call"         some of the measurements
make bench ARGS="--pages"                   into the pages that show it, too
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench.crew import Crew, WorkerError, output, serving
from bench.environments import BUILT, UnmadeError, python_of
from bench.machine import ROOT, is_busy, machine
from bench.peers import HAND, LIMIT, OURS, PEERS
from bench.report import publish, write
from bench.rounds import QUICK, Bench, Counts

WHAT = ("first", "call", "token", "crowd", "load", "faults", "own")
"""Measurements, in their order: (a) and (g), (b), (c), (d), (e), (f), and ``reflexarc bench``."""

RESULTS = ROOT / "bench/results"

Make = Callable[[str], Path]
"""Gives the interpreter of an environment, which is made if need be."""


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(
        "python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = {"peers": PEERS, "measurements": WHAT}
    parser.add_argument("--only", metavar="PEERS", help=f"some of {', '.join(PEERS)}")
    parser.add_argument("--what", metavar="WHAT", help=f"some of {', '.join(WHAT)}")
    parser.add_argument("--quick", action="store_true", help="few rounds, and not all of it")
    parser.add_argument(
        "--to", type=Path, metavar="FOLDER",
        help="where results go (default bench/results, or build/bench/results for a part of it)",
    )  # fmt: skip
    parser.add_argument(
        "--pages", action="store_true",
        help="show a whole run in the pages even where the machine was busy or a peer is missing",
    )  # fmt: skip
    given = parser.parse_args(argv)
    quick = [name for name in WHAT if name not in ("faults", "own")]
    given.only = given.only.split(",") if given.only else list(PEERS)
    given.what = given.what.split(",") if given.what else quick if given.quick else list(WHAT)
    for what, asked in (("peers", given.only), ("measurements", given.what)):
        if strange := [name for name in asked if name not in known[what]]:
            parser.error(f"no such {what}: {', '.join(strange)}; there is {', '.join(known[what])}")
    given.only = list(dict.fromkeys([LIMIT, HAND, OURS, *given.only]))  # none can be left out
    if given.what == ["own"]:
        given.only = []
    return given


async def environments(names: Sequence[str], make: Make) -> tuple[dict[str, Path], dict[str, str]]:
    """The interpreters of some peers, and why others have none; Ctrl-C ends it after one."""
    pythons: dict[str, Path] = {}
    failures: dict[str, str] = {}
    for name in names:
        environment = PEERS[name].environment
        if environment not in pythons and environment not in failures:
            try:
                pythons[environment] = await asyncio.to_thread(make, environment)
            except (UnmadeError, OSError) as error:
                failures[environment] = str(error)
                print(f"Left out: {error}", file=sys.stderr)
    return pythons, failures


def versions(pythons: Mapping[str, Path]) -> dict[str, str]:
    """The versions of what is measured, asked in each environment."""
    script = "import importlib.metadata as m,sys;print(*map(m.version,sys.argv[1:]))"
    found: dict[str, str] = {}
    for environment, python in pythons.items():
        packages = {p.package for p in PEERS.values() if p.environment == environment}
        packages -= {"reflexarc"}
        command = [str(python), "-c", script, *sorted(packages)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        found |= dict(zip(sorted(packages), done.stdout.split(), strict=False))
    return found


async def compare(given: argparse.Namespace, result: dict[str, Any], make: Make) -> None:
    """Measure; what is known stands in `result` whatever happens then."""
    pythons, left_out = await environments(given.only, make)
    names = [name for name in given.only if PEERS[name].environment in pythons]
    packages = await asyncio.to_thread(versions, pythons)
    result["peers"] = {
        name: {
            "label": PEERS[name].label,
            "package": PEERS[name].package,
            "version": packages.get(PEERS[name].package, ""),
            "streams": PEERS[name].streams,
            "left_out": left_out.get(PEERS[name].environment),
        }
        for name in given.only
    }
    async with (
        serving(sys.executable) as origin,
        Crew(pythons, origin) as crew,
    ):
        bench = Bench(crew, origin, names, QUICK if given.quick else Counts(), say=_aside)
        result["failures"] = bench.failures
        steps: dict[str, Callable[[], Awaitable[Any]]] = {
            "first": bench.first,
            "call": bench.call,
            "token": bench.token,
        }
        steps |= {f"crowd {size}": partial(bench.crowd, size) for size in bench.counts.crowds}
        steps["load"] = lambda: bench.load(pythons)
        async with _told("start"):
            await bench.warm()
        for name, step in steps.items():
            if name.split()[0] in given.what:
                async with _told(name):
                    result[name] = await step()
        if "faults" in given.what:
            async with _told("faults"):
                result["faults"] = await faults(names, quick=given.quick)
    if "own" in given.what:
        async with _told("reflexarc bench"):
            result["figures"] = await own(result, quick=given.quick)


async def faults(names: Sequence[str], *, quick: bool) -> list[dict[str, Any]]:
    """(f): what happens when the first of two servers fails."""
    from bench.faults import measure  # noqa: PLC0415 - it is heavy

    return await measure(names, quick)


async def own(result: dict[str, Any], *, quick: bool) -> list[dict[str, Any]]:
    """What ``reflexarc bench`` prints of our own code and the model on board."""
    program = Path(sys.executable).with_name("reflexarc")
    what = ["import", "decoder", "chain", "memory"] if quick else []
    command = [str(program), "bench", *what, "--config", "config/spot_onboard.json5", "--json"]
    try:
        out = await output(*command, within_s=600, interrupt=True)
    except WorkerError as error:
        result.setdefault("failures", {})["own"] = {"reflexarc bench": str(error)}
        out = error.out  # what it has measured stands
    return [figure for line in out.splitlines() if "name" in (figure := json.loads(line))]


@asynccontextmanager
async def _told(what: str) -> AsyncGenerator[None, None]:
    began = time.perf_counter()
    _aside(f"{what} …")
    yield
    _aside(f"{what}: {time.perf_counter() - began:.0f} s")


def _aside(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _left_out(result: Mapping[str, Any]) -> str:
    names = [peer["label"] for peer in result["peers"].values() if peer["left_out"]]
    return f"{', '.join(names)} could not be measured" if names else ""


def main(argv: Sequence[str] | None = None, make: Make = python_of) -> int:
    """Measure, write, print."""
    given = arguments(argv)
    result: dict[str, Any] = {"machine": machine(), "quick": given.quick}
    for name, fact in result["machine"].items():
        _aside(f"{name}: {fact}")
    is_whole = given.only == list(PEERS) and given.what == list(WHAT) and not given.quick
    began, code = time.perf_counter(), 1
    try:
        asyncio.run(compare(given, result, make))
        code = 0
    except KeyboardInterrupt:
        code = 130
    finally:  # what is known is kept, whatever has happened
        result["seconds"] = round(time.perf_counter() - began, 1)
        result["machine"]["load after"] = [round(load, 2) for load in os.getloadavg()]
        is_whole = is_whole and not code
        path = write(result, given.to or (RESULTS if is_whole else BUILT / "results"))
        print(path.with_suffix(".md").read_text())
        _aside(f"Written: {path} and what is beside it, after {result['seconds']:.0f} s.")
    if is_whole and not given.to:
        why = "the machine was busy" if is_busy(result["machine"]) else _left_out(result)
        if why and not given.pages:
            _aside(f"No page shows this, since {why}; with --pages they do all the same.")
        else:
            publish(result, path)
    return code


if __name__ == "__main__":
    sys.exit(main())
