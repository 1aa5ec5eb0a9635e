"""Play every fault against a robot that must act within 3 s, and print what became of each.

Several are played at the same time, each lane a process of its own on one processor::

    python -m tests.chaos [--only WORD] [--json] [--lanes 4]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, Queue
from threading import Timer

from reflexarc.errors import ReflexarcError

from .faults import FAULTS, Fault
from .judge import TIMEOUT_S
from .play import play, prepare
from .pulse import LONGEST_S
from .row import Row

LANES = 4
LONGEST_FAULT_S = 150.0
REQUIRED = ("late", "wrong", "duplicate", "unhandled", "silent", "leaked", "stalls", "missed")
SHOWN = 4
WIDTH = 100

NAME = 34
HEAD = (
    f"{'':{NAME + 6}}in time by  idle,  broke               dupli-  worst, s\n"
    f"{'fault':{NAME}} ticks front board   why    off   late wrong   cate  first    end"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite; 1 if a requirement is violated."""
    parser = argparse.ArgumentParser("python -m tests.chaos", description="Play faults.")
    parser.add_argument("--only", metavar="WORD", default="", help="those whose name has the word")
    parser.add_argument("--json", action="store_true", help="print one object a fault")
    parser.add_argument("--lanes", type=int, default=LANES, help="how many at the same time")
    parser.add_argument("--lane", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.lane is not None:
        return lane(options.lane)
    chosen = [fault for fault in FAULTS if options.only.casefold() in fault.name.casefold()]
    if not chosen:
        parser.error(f"no fault has {options.only!r} in its name")
    if shutil.which("openssl") is None:  # it makes the certificate
        left_out = [fault.name for fault in chosen if fault.tls]
        print(f"Left out, since there is no openssl: {', '.join(left_out)}", file=sys.stderr)
        chosen = [fault for fault in chosen if not fault.tls]
    began = time.monotonic()
    try:
        asyncio.run(prepare())
    except ReflexarcError as error:
        print(error, file=sys.stderr)
        return 1
    rows = play_all(chosen, options.lanes)
    took_s = time.monotonic() - began
    if options.json:
        print(*(json.dumps(written(row)) for row in rows), sep="\n")
        print(closing(rows, took_s), file=sys.stderr)
    else:
        print(HEAD, *map(line, rows), "", closing(rows, took_s), sep="\n")
    return 1 if any(violations(row) for row in rows) else 0


# --- The lanes -----------------------------------------------------------------------------------


def lane(number: int) -> int:
    """Play the faults that are named on stdin, one a line, on one processor."""
    # llama.cpp then computes with one thread: with two a lane, the lanes would wait for each other.
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[number % len(cores)]})
    faults = {fault.name: fault for fault in FAULTS}
    for name in sys.stdin:
        row = asyncio.run(play(faults[name.strip()]))
        print(json.dumps(row.to_dict()), flush=True)
    return 0


def play_all(faults: Sequence[Fault], lanes: int) -> list[Row]:
    """Play them in as many processes, the longest first."""
    waiting: Queue[Fault] = Queue()
    for fault in sorted(faults, key=lambda each: -each.cost_s):
        waiting.put(fault)
    rows: dict[str, Row] = {}
    with ThreadPoolExecutor(lanes) as threads:
        for each in [threads.submit(_run_lane, number, waiting, rows) for number in range(lanes)]:
            each.result()
    return [rows[fault.name] for fault in faults]


def _run_lane(number: int, waiting: Queue[Fault], rows: dict[str, Row]) -> None:
    """Hand a lane one fault after the other; another one takes its place where it dies."""
    while not waiting.empty():
        command = [sys.executable, "-m", "tests.chaos", "--lane", str(number)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            is_alive = True
            while is_alive:
                try:
                    fault = waiting.get_nowait()
                except Empty:
                    break
                limit = Timer(LONGEST_FAULT_S, process.kill)
                limit.start()
                print(fault.name, file=process.stdin, flush=True)
                answer = process.stdout.readline()
                limit.cancel()
                is_alive = bool(answer)
                rows[fault.name] = read(answer) if answer else died(fault)


def read(answer: str) -> Row:
    """A row as a lane has written it."""
    fields = json.loads(answer)
    return Row(**{**fields, "endings": Counter(fields["endings"])})


def died(fault: Fault) -> Row:
    """The row of a fault that took its lane with it."""
    return Row(fault.name, unhandled=["the process that played it died, or hung"])


# --- What is printed -----------------------------------------------------------------------------


def violations(row: Row) -> list[str]:
    """All that must not be, in words."""
    return [f"{what}: {each}" for what in REQUIRED for each in getattr(row, what)]


def written(row: Row) -> dict[str, object]:
    """A row as plain data."""
    return {**row.to_dict(), "ticks": row.ticks, **{what: getattr(row, what) for what in REQUIRED}}


def line(row: Row) -> str:
    """A row for people; what must not be is told below it."""
    seen = row.endings
    text = (
        f"{row.name:{NAME}}{row.ticks:6}{seen['front']:6}{seen['on board']:6}{seen['idle']:6}"
        f"{seen['broke off']:7}{len(row.late):7}{len(row.wrong):6}{len(row.duplicate):7}"
        f"{row.worst_first_s:7.3f}{row.worst_end_s:7.3f}"
    )
    wrong = violations(row)
    more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
    told = [each[: WIDTH - 4] for each in [*wrong[:SHOWN], *more]]
    return "\n    ".join([text, *told])


def closing(rows: Sequence[Row], took_s: float) -> str:
    """The totals, and what is required of them."""
    seen = sum((row.endings for row in rows), Counter[str]())
    counts = {what: sum(len(getattr(row, what)) for row in rows) for what in REQUIRED}
    stalls = f"stalls over {LONGEST_S * 1000:.0f} ms"
    required = {stalls if what == "stalls" else what: count for what, count in counts.items()}
    own_s, gap_s = (
        max(getattr(row, name) for row in rows) for name in ("worst_own_s", "worst_gap_s")
    )
    worst_end_s = max(row.worst_end_s for row in rows)
    is_excused = worst_end_s > TIMEOUT_S and not counts["late"]
    starved = " (past 3 s, the loop waited for a processor)" if is_excused else ""
    return (
        f"{len(rows)} faults, {seen.total()} ticks: {seen['front']} by the front,"
        f" {seen['on board']} on board, {seen['idle']} idle, {seen['broke off']} broke off;"
        f" {took_s:.0f} s.\n"
        f"Required to be 0: {', '.join(f'{what} {count}' for what, count in required.items())}.\n"
        f"Worst first action {max(row.worst_first_s for row in rows):.3f} s, worst end"
        f" {worst_end_s:.3f} s{starved}; worst stall of the loop's own"
        f" {own_s * 1000:.0f} ms, worst gap {gap_s * 1000:.0f} ms."
    )


if __name__ == "__main__":
    sys.exit(main())
