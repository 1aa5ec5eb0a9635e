"""A line for each tick: whole, small in number, and without what was said."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reflexarc.telemetry import (
    Entry,
    Journal,
    Summary,
    Tail,
    newest_traces,
    read_traces,
    reading,
    traces_of,
)
from reflexarc.telemetry.place import every_part, part, parts_of
from reflexarc.telemetry.reading import failures_of
from reflexarc.testing import ScriptedLLM, Turn
from tests.telemetry.conftest import SAY, SIT, run, tick

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
DAY = NOON.date()


def written(folder: Path, *entries: Entry, **given: Any) -> Journal:
    """These, on disk."""
    journal = Journal(folder, ["move"], **given)

    async def write() -> None:
        async with journal:
            for entry in entries:
                journal.write(entry)

    asyncio.run(write())
    return journal


def lines(folder: Path) -> list[dict[str, Any]]:
    """All that is there."""
    return [each for path in parts_of(folder) for each in read_traces(path)]


def test_a_tick_is_a_line(tmp_path: Path) -> None:
    """Who was asked, how it went, and what was done, of the right day by UTC."""
    evening = NOON.replace(hour=23, minute=30).astimezone()
    written(tmp_path, Entry(3, tick(evening), 0.75, overran=True, trace_id="ab" * 16))
    path = tmp_path / f"{DAY}.jsonl"
    assert path.read_bytes().count(b"\n") == 1
    [line] = read_traces(path)
    assert line == {
        "at": f"{DAY}T23:30:00.000+00:00",
        "tick": 3,
        "outcome": "ok",
        "error_type": None,
        "provider": "LlamaLLM",
        "model": "llama3.2",
        "first_action_s": 0.1,
        "total_s": 0.5,
        "took_s": 0.75,
        "overran": True,
        "missed": 1,
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "cached_tokens": 80},
        "actions": [
            {"type": "move", "at_s": 0.1, "outcome": "done", "value": "sit"},
            {"type": "speak", "at_s": 0.4, "outcome": "done"},
            {"at_s": 0.5, "outcome": "refused"},
        ],
        "attempts": [
            {
                "provider": "MistralLLM",
                "model": "small",
                "outcome": "timeout",
                "elapsed_s": 0.05,
            },
            {"provider": "LlamaLLM", "model": "llama3.2", "outcome": "ok", "elapsed_s": 0.45},
        ],
        "trace_id": "ab" * 16,
    }


def test_a_robot_that_is_stopped_has_not_failed(tmp_path: Path) -> None:
    """The tick that was cut is told as such."""
    written(tmp_path, Entry(1, tick(error_kind="stopped", error="the robot was stopped"), 1))
    [line] = lines(tmp_path)
    assert (line["outcome"], line["error_type"]) == ("stopped", None)


@pytest.mark.parametrize("content", [False, True])
def test_what_was_said_is_there_only_on_request(tmp_path: Path, *, content: bool) -> None:
    """Of every field that can hold a person's or a model's words."""
    failed = tick(error_kind="timeout", error="Ann was too much", reason="Ann")
    written(tmp_path, Entry(1, tick(), 1), Entry(2, failed, 1), content=content)
    [path] = parts_of(tmp_path)
    text = path.read_text()
    for word in ("Ann is here.", "Ann came.", "I greet Ann.", "Hello, Ann.", "You are Dot.",
                 "Ann waves.", "fly to Ann", "Ann was too much"):  # fmt: skip
        assert (word in text) is content, word
    assert ("Ann" in text) is content
    assert lines(tmp_path)[1]["error_type"] == "timeout"


def test_a_robot_writes_as_it_runs(tmp_path: Path) -> None:
    """One line a tick, in order, from its loop."""

    async def live() -> None:
        async with Journal(tmp_path, ["move"]) as journal:
            await run(ScriptedLLM[Any](Turn((SIT, SAY))), "a", "b", "c", journal=journal)

    asyncio.run(live())
    assert [each["tick"] for each in lines(tmp_path)] == [1, 2, 3]
    assert [each["type"] for each in lines(tmp_path)[0]["actions"]] == ["move", "speak"]
    assert SAY.value not in next(iter(parts_of(tmp_path))).read_text()


def test_only_this_user_can_read_it(tmp_path: Path) -> None:
    """The folder and the file are made for one user."""
    folder = tmp_path / "traces" / "dot"
    written(folder, Entry(1, tick(), 1))
    [path] = parts_of(folder)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_half_a_line_is_skipped_and_not_glued_to_the_next(tmp_path: Path) -> None:
    """What a robot that was killed has left costs that line alone, and so does what is damaged."""
    path = tmp_path / f"{DAY}.jsonl"
    written(tmp_path, Entry(1, tick(NOON), 1))
    with path.open("ab") as file:
        file.write(b'not json\n[1]\n{"at": 3}\n\xff\xfe\n{"at":"2026-11-28T12:0')
    written(tmp_path, Entry(2, tick(NOON), 1))
    assert [each["tick"] for each in read_traces(path)] == [1, 2]


KILLED = """
import asyncio, sys
from pathlib import Path
from reflexarc.telemetry import reading
from reflexarc.telemetry import Entry, Journal
from datetime import UTC, datetime
from reflexarc.memory import Tick
from reflexarc.prompt import Prompt
async def main():
    async with Journal(Path(sys.argv[1])) as journal:
        number = 0
        while True:
            number += 1
            journal.write(Entry(number, Tick(datetime.now(UTC), Prompt()), 1))
            await asyncio.sleep(0.0005)
            if number == 100:
                print("go", flush=True)
asyncio.run(main())
"""


def test_a_robot_that_is_killed_leaves_whole_lines(tmp_path: Path) -> None:
    """By SIGKILL, in the middle of writing: nothing between the first and the last is missing."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE
    ) as robot:
        assert robot.stdout is not None
        robot.stdout.readline()
        robot.send_signal(signal.SIGKILL)
    numbers = [each["tick"] for each in lines(tmp_path)]
    assert len(numbers) >= 90
    assert numbers == list(range(1, len(numbers) + 1))


def test_each_day_has_its_file(tmp_path: Path) -> None:
    """By UTC, which has no hour twice."""
    night = NOON.replace(hour=23, minute=59, second=59)
    written(tmp_path, Entry(1, tick(night), 1), Entry(2, tick(night + timedelta(seconds=2)), 1))
    assert [path.name for path in parts_of(tmp_path)] == [
        f"{DAY}.jsonl",
        f"{DAY + timedelta(days=1)}.jsonl",
    ]


def test_what_is_old_or_too_much_goes(tmp_path: Path) -> None:
    """Whole files, the oldest first; the newest lines are there, and others' files stay."""
    today = datetime.now(UTC)
    for days in (40, 20, 1):
        written(tmp_path, Entry(days, tick(today - timedelta(days=days)), 1), max_days=99)
    (tmp_path / "notes.jsonl").write_text("mine")
    written(tmp_path, *(Entry(n, tick(today), 1) for n in range(100)), max_days=30)
    assert {each["tick"] for each in lines(tmp_path)} == {20, 1, *range(100)}
    many = [Entry(n, tick(today), 1) for n in range(100, 200)]
    written(tmp_path, *many, max_mb=0.04)
    assert sum(path.stat().st_size for path in parts_of(tmp_path)) <= 40_000
    kept = [each["tick"] for each in lines(tmp_path)]
    assert kept == list(range(kept[0], 200))
    assert len(parts_of(tmp_path)) > 1
    assert (tmp_path / "notes.jsonl").read_text() == "mine"


def test_a_disk_that_fails_costs_lines_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The robot goes on, and what it lost is known."""
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    journal = written(blocked / "dot", Entry(1, tick(), 1), Entry(2, tick(), 1))
    assert journal.lost == 2
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warnings) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
def test_a_full_disk_loses_a_line_and_comes_back(tmp_path: Path) -> None:
    """Once there is space again, the next line is written."""
    path = tmp_path / f"{DAY}.jsonl"
    path.symlink_to("/dev/full")
    assert written(tmp_path, Entry(1, tick(NOON), 1)).lost == 1
    path.unlink()
    assert written(tmp_path, Entry(2, tick(NOON), 1)).lost == 0
    assert [each["tick"] for each in read_traces(path)] == [2]


def test_a_file_that_is_moved_away_is_begun_anew(tmp_path: Path) -> None:
    """As those who rotate logs do."""
    path = tmp_path / f"{DAY}.jsonl"

    def move() -> None:
        until = time.monotonic() + 10
        while not lines(tmp_path) and time.monotonic() < until:
            time.sleep(0.002)
        path.rename(tmp_path / "moved")

    async def live() -> None:
        async with Journal(tmp_path) as journal:
            journal.write(Entry(1, tick(NOON), 1))
            await asyncio.to_thread(move)
            journal.write(Entry(2, tick(NOON), 1))

    asyncio.run(live())
    assert [each["tick"] for each in lines(tmp_path)] == [2]


def test_a_tail_shows_what_comes(tmp_path: Path) -> None:
    """From the present end on, half lines when they are whole, and over midnight."""
    written(tmp_path, Entry(1, tick(NOON), 1))
    with Tail(tmp_path) as tail:
        assert list(tail.read()) == []
        written(tmp_path, Entry(2, tick(NOON), 1))
        assert [each["tick"] for each in tail.read()] == [2]
        with (tmp_path / f"{DAY}.jsonl").open("a") as file:
            file.write('{"at":"x",')
            file.flush()
            assert list(tail.read()) == []
            file.write('"tick":3}\n')
        written(tmp_path, Entry(4, tick(NOON + timedelta(days=1)), 1))
        assert [each["tick"] for each in tail.read()] == [3, 4]
        assert list(tail.read()) == []


def test_a_tail_loses_nothing_at_midnight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is written while the folder is listed is shown, and in its place."""
    written(tmp_path, Entry(1, tick(NOON), 1))
    with Tail(tmp_path) as tail:
        with monkeypatch.context() as patch:
            patch.setattr(reading, "every_part", late := Late(tmp_path))
            shown = [each["tick"] for each in tail.read()]
        assert late.parts
        assert shown + [each["tick"] for each in tail.read()] == [2, 3]


class Late:
    """A robot that passes midnight just before the files are listed."""

    def __init__(self, folder: Path) -> None:
        self.parts: list[Path] = []
        self._midnight = NOON + timedelta(days=1)
        self._folder = folder

    def __call__(self, folder: Path) -> list[Path]:
        """List them."""
        written(folder, Entry(2, tick(NOON), 1), Entry(3, tick(self._midnight), 1))
        self.parts = every_part(folder)
        return self.parts


def test_a_tail_shows_no_old_days_when_a_file_goes(tmp_path: Path) -> None:
    """Nor loses what is written to one that is begun anew."""
    days = [NOON - timedelta(days=n) for n in (2, 1, 0)]
    written(tmp_path, *(Entry(n, tick(day), 1) for n, day in enumerate(days)))
    written(tmp_path, Entry(3, tick(NOON), 1))
    with Tail(tmp_path) as tail:
        (tmp_path / f"{DAY}.jsonl").unlink()
        assert list(tail.read()) == []
        written(tmp_path, Entry(4, tick(NOON), 1))
        assert [each["tick"] for each in tail.read()] == [4]


def test_a_clock_that_was_ahead_is_not_the_newest(tmp_path: Path) -> None:
    """Days to come are followed past, shown only by their name, and are the first to go."""
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    spot, dot = traces_of(environ, "spot"), traces_of(environ, "dot")
    ahead = datetime.now(UTC) + timedelta(days=3650)
    for folder in (spot, dot):
        written(folder, Entry(1, tick(ahead), 1))
    with Tail(spot) as tail:
        written(spot, Entry(2, tick(NOON), 1))
        assert [each["tick"] for each in tail.read()] == [2]
    os.utime(part(dot, ahead.date(), 1), (ahead.timestamp(), ahead.timestamp()))
    assert newest_traces(environ) == spot
    assert parts_of(spot) == [part(spot, DAY, 1)]
    assert parts_of(spot, ahead.date()) == [part(spot, ahead.date(), 1)]
    room = sum(path.stat().st_size for path in every_part(spot)) * 1.5e-6  # of two, and one new
    written(spot, Entry(3, tick(NOON + timedelta(days=1)), 1), max_mb=room)
    assert part(spot, ahead.date(), 1).exists()
    written(spot, Entry(4, tick(NOON + timedelta(days=1)), 1), max_mb=room)
    assert not part(spot, ahead.date(), 1).exists()
    assert [each["tick"] for each in lines(spot)] == [2, 3, 4]


def test_a_name_that_is_no_day_is_another_file(tmp_path: Path) -> None:
    """It is neither read nor removed, and nothing stops at it."""
    mine = tmp_path / "2026-13-45.jsonl"
    mine.write_text("mine")
    assert written(tmp_path, Entry(1, tick(NOON), 1)).lost == 0
    assert parts_of(tmp_path) == every_part(tmp_path) == [tmp_path / f"{DAY}.jsonl"]
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "9" * 400])
def test_what_is_not_finite_is_no_number(tmp_path: Path, number: str) -> None:
    """It counts for nothing, and the line for as much as is in it."""
    path = tmp_path / f"{DAY}.jsonl"
    path.write_text(f'{{"at":"x","missed":{number},"total_s":{number},"first_action_s":2}}\n')
    summary = Summary()
    for each in read_traces(path):
        summary.add(each)
    assert (summary.ticks, summary.missed) == (1, 0)
    assert (summary.first_action_s, summary.total_s) == ([2.0], [])


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["A bad_request", "A context_overflow", "A ok"], []),
        (["A bad_request", "A timeout"], ["timeout"]),
        (["A bad_request", "B ok"], ["bad_request"]),
        (["A rate_limited", "A ok"], ["rate_limited"]),
        (["A overtaken", "B ok"], []),
        (["A bad_request"], ["bad_request"]),
    ],
)
def test_a_lesson_is_no_failure(outcomes: list[str], expected: list[str]) -> None:
    """A request that the same server takes in another form, that is; not a retry."""
    tries = [dict(zip(("provider", "outcome"), each.split(), strict=True)) for each in outcomes]
    trace = {"attempts": tries}
    summary = Summary()
    summary.add(trace)
    assert failures_of(trace) == list(summary.errors.elements()) == expected


def test_each_robot_has_a_folder(tmp_path: Path) -> None:
    """Called as its memory is; the newest is the one that was written to last."""
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    assert newest_traces(environ) is None
    folder = traces_of(environ, "spot")
    assert folder == tmp_path / "reflexarc" / "traces" / "spot"
    assert traces_of(environ, "../spot").parent == folder.parent
    for name, at in (("spot", 2e9), ("dot", 1e9)):
        path = traces_of(environ, name) / f"{DAY}.jsonl"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (at, at))
    assert newest_traces(environ) == folder


def test_a_summary_counts_what_was_read() -> None:
    """Failovers, errors by kind, who answered; what is missing in a line counts for nothing."""
    summary = Summary()
    for entry in (
        Entry(1, tick(), 1, overran=True),
        Entry(2, tick(error_kind="timeout", first_action_s=None), 1),
        Entry(3, tick(reason="nobody", provider="idle", attempts=()), 1),
    ):
        summary.add(json.loads(json.dumps(entry.to_dict())))
    summary.add({"at": "x", "attempts": "damaged", "first_action_s": True})
    assert summary.ticks == 4
    assert summary.outcomes == {"ok": 1, "error": 1, "idle": 1, "None": 1}
    assert summary.answered == {"LlamaLLM": 1}
    assert summary.errors == {"timeout": 2}
    assert (summary.failovers, summary.overran, summary.missed) == (2, 1, 3)
    assert summary.first_action_s == [0.1, 0.1]
