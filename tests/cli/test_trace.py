"""``reflexarc run`` with telemetry, and ``reflexarc trace``."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from reflexarc.attempts import Attempt
from reflexarc.cli.app import app
from reflexarc.telemetry import Entry, Journal, traces_of
from reflexarc.telemetry.place import parts_of
from tests.telemetry.conftest import tick
from tests.telemetry.receiver import Receiver, receiving

COMMAND = (sys.executable, "-c", "from reflexarc.cli import main; main()")
ROBOT = """{
  name: "dot", hertz: 1, memory: false, %s
  cortex_llm: {
    type: "LlamaLLM", model: "m", base_url: "http://127.0.0.1:9/v1", api_key: "sk-secret-of-dot",
    timeout: 2, idle_action: { type: "move", value: "sit" },
  },
  agent_actions: [{ name: "move", llm_label: "move", values: ["sit"] }],
}"""
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
DAY = NOON.date()
BEFORE = DAY - timedelta(days=1)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of its own, lines that are not broken, and no receiver of anybody's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "state"


@pytest.fixture
def folder(state: Path) -> Path:
    """Traces of spot: a tick two days ago, and yesterday three: good, slow, and failed."""
    folder = traces_of({"XDG_STATE_HOME": str(state)}, "spot")
    failed = tick(NOON + timedelta(minutes=2), error_kind="timeout", first_action_s=None)
    slow = tick(NOON + timedelta(minutes=1), first_action_s=1.5, total_s=2, attempts=(), missed=())
    good = tick(NOON, attempts=(), missed=())
    write(
        folder,
        Entry(1, tick(NOON - timedelta(days=1)), 0.5),
        Entry(1, good, 0.5),
        Entry(2, slow, 2.0, overran=True),
        Entry(3, failed, 0.5),
    )
    return folder


def write(folder: Path, *entries: Entry) -> None:
    """Ticks, on disk."""

    async def run() -> None:
        async with Journal(folder, ["move"]) as journal:
            for each in entries:
                journal.write(each)

    asyncio.run(run())


def call(*args: object) -> Any:
    """Run a command in this process."""
    return CliRunner().invoke(app, [*map(str, args)])


def traced(*args: object) -> list[dict[str, Any]]:
    """What it tells programs."""
    result = call("trace", *args, "--json")
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_people_see_the_newest_day_and_its_sum(folder: Path) -> None:
    """A row a tick, who answers named where it changes, and what it all comes to."""
    result = call("trace")
    assert result.exit_code == 0
    assert f"the traces written last: {folder}" in result.stderr
    assert f"the newest day with traces: {DAY}" in result.stderr
    out = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "12:00:00 1 0.100 s 0.500 s 100/20 LlamaLLM llama3.2: move sit, speak, refused" in out
    assert "12:01:00 2 1.500 s 2.000 s 100/20 LlamaLLM: move sit, speak, refused overran" in out
    who = "MistralLLM timeout → timeout: move sit, speak, refused missed 1"
    assert f"12:02:00 3 - 0.500 s 100/20 {who}" in out
    assert "ticks 2 ok, 1 error" in out
    assert "first action, p50 · p95 0.800 s · 1.500 s" in out
    assert "errors 1 timeout" in out
    assert "failovers 1" in out


def test_programs_have_the_lines_and_the_sum(folder: Path) -> None:
    """One object a line, the last one is the sum of all, whichever are shown."""
    *ticks, summary = traced()
    assert [each["tick"] for each in ticks] == [1, 2, 3]
    assert {each["event"] for each in ticks} == {"trace"}
    assert summary["event"] == "summary"
    assert summary["first_action_s"] == {"p50": 0.8, "p95": 1.5}
    assert (summary["ticks"], summary["overran"], summary["missed"]) == (3, 1, 1)
    assert summary["errors"] == {"timeout": 1}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--slow", "1"], [2]),
        (["--slow", "0.4"], [2, 3]),
        (["--failed"], [3]),
        (["--last", "2"], [2, 3]),
        (["--day", str(BEFORE)], [1]),
        (["--robot", "spot", "--slow", "9"], []),
    ],
)
def test_some_of_them(folder: Path, args: list[str], expected: list[int]) -> None:
    """Slow ones, failed ones, the last ones, another day's."""
    assert [each["tick"] for each in traced(*args)[:-1]] == expected


def test_a_failure_is_written_once(folder: Path) -> None:
    """It is not handed on to a brain of the error's name."""
    tries = (Attempt("LlamaLLM", "m", "timeout", 1), Attempt("MistralLLM", "m", "auth", 1))
    failed = tick(NOON, error_kind="auth", attempts=tries, deeds=(), missed=(), first_action_s=None)
    write(folder, Entry(4, failed, 0.5))
    out = [" ".join(line.split()) for line in call("trace").stdout.splitlines()]
    assert "12:00:00 4 - 0.500 s 100/20 LlamaLLM timeout → MistralLLM auth" in out


def test_a_robot_that_is_stopped_has_not_failed(folder: Path) -> None:
    """The tick that was cut is shown, and is not one of those that failed."""
    cut = tick(NOON, error_kind="stopped", attempts=(), deeds=(), missed=(), first_action_s=None)
    write(folder, Entry(4, cut, 0.5))
    out = [" ".join(line.split()) for line in call("trace").stdout.splitlines()]
    assert "12:00:00 4 - 0.500 s 100/20 stopped" in out
    assert "ticks 2 ok, 1 error, 1 stopped" in out
    assert [each["tick"] for each in traced("--failed")[:-1]] == [3]


def test_a_lesson_and_odd_files_are_no_failure(folder: Path) -> None:
    """Of a clock that was ahead, of no day, and with numbers that JSON does not have."""
    tries = (Attempt("A", "m", "bad_request", 1), Attempt("A", "m-2", "ok", 1))
    write(
        folder,
        Entry(4, tick(NOON, attempts=tries, missed=()), 0.5),
        Entry(9, tick(NOON + timedelta(days=3650)), 0.5),
    )
    (folder / "2026-13-45.jsonl").write_text("{}")
    with (folder / f"{DAY}.jsonl").open("a") as file:
        file.write(
            f'{{"at":"x","tick":5,"outcome":"ok","missed":Infinity,"total_s":{"9" * 400}}}\n'
        )
        file.write('{"at":"x","tick":6,"outcome":"ok","first_action_s":NaN}\n')
    assert [each["tick"] for each in traced("--failed")[:-1]] == [3]
    assert call("trace").exit_code == 0
    result = call("trace", "--json")
    assert [json.loads(each, parse_constant=pytest.fail) for each in result.stdout.splitlines()]
    assert traced()[-1]["errors"] == {"timeout": 1}
    assert [each["tick"] for each in traced("--day", DAY + timedelta(days=3650))[:-1]] == [9]


def test_what_is_not_there_is_told(state: Path, folder: Path) -> None:
    """A sentence that says what there is."""
    for args, said in (
        (["--day", "2020-11-01"], f"there are of {BEFORE} to {DAY}"),
        (["--day", "monday"], "write it as 2026-11-01"),
        (["--robot", "nobody"], "they are written by: reflexarc run"),
        (["--follow", "--day", str(DAY)], "leave --day out"),
        (["--robot", "spot", "--config", "x"], "by one of --config and --robot"),
    ):
        result = call("trace", *args)
        assert result.exit_code == 2
        assert said in " ".join(result.stderr.split())
    for path in parts_of(folder):
        path.unlink()
    assert "there are no traces yet" in call("trace").stderr


def test_it_follows_a_robot(folder: Path) -> None:
    """Each tick is shown when it ends; Ctrl-C ends it."""
    with subprocess.Popen(
        [*COMMAND, "trace", "--follow", "--robot", "spot", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        # It shows what comes once it has begun; until then there is more to come.
        number, until = 10, time.monotonic() + 20
        while not select.select([following.stdout], [], [], 0.05)[0]:
            assert time.monotonic() < until
            write(folder, Entry(number := number + 1, tick(), 0.5))
        line = following.stdout.readline()
        following.send_signal(signal.SIGINT)
        assert following.wait(10) == 130
    assert json.loads(line)["tick"] > 10


def said(tmp_path: Path, line: str = "", receiver: Receiver | None = None) -> Any:
    """A robot whose server is not there runs for a tick."""
    path = tmp_path / "dot.json5"
    path.write_text(ROBOT % line)
    if receiver is not None:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.url
    try:
        return call("run", path, "--say", "Ann says: sit!")
    finally:
        os.environ.pop("OTEL_EXPORTER_OTLP_ENDPOINT", None)


def test_a_robot_leaves_traces_and_spans(tmp_path: Path) -> None:
    """With nothing but the standard variable: a line, and a trace of the same id; no secrets."""
    with receiving() as receiver:
        result = said(tmp_path, receiver=receiver)
    assert result.exit_code == 0, result.stderr
    names = [span.name for span in receiver.spans()]
    assert {"tick", "chat m", "attempt LlamaLLM"} <= set(names)
    line, _ = traced("--config", tmp_path / "dot.json5")
    assert (line["outcome"], line["actions"][0]["value"]) == ("idle", "sit")
    assert line["trace_id"] == receiver.spans()[0].trace_id.hex()
    assert [each["outcome"] for each in line["attempts"]] == ["connection"] * len(line["attempts"])
    for sent in (*receiver.bodies, json.dumps(line).encode()):
        assert b"sk-secret-of-dot" not in sent
        assert b"Ann" not in sent


def test_a_robot_that_is_to_tell_nothing_does_not(tmp_path: Path, state: Path) -> None:
    """Whatever the environment asks for."""
    with receiving() as receiver:
        assert said(tmp_path, "telemetry: false,", receiver).exit_code == 0
    assert receiver.bodies == []
    assert not (state / "reflexarc" / "traces").exists()


def test_without_the_extra_a_robot_says_so_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spans were asked for; the robot does not need them."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    result = said(tmp_path, 'telemetry: { otlp: "http://127.0.0.1:9" },')
    assert result.exit_code == 0
    assert "spans are asked for, and OpenTelemetry is not installed" in result.stderr
    assert "otel" in result.stderr
    assert "OpenTelemetry" not in said(tmp_path).stderr
