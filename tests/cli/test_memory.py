"""``reflexarc memory``: what it shows, exports and forgets."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from reflexarc.cli.app import app
from reflexarc.memory import Store
from reflexarc.memory.place import default_memory
from tests.memory.ticks import ACTIONS, FULL, bytes_of, tick

COMMAND = (sys.executable, "-c", "from reflexarc.cli import main; main()")
ROBOT = """{
  name: "%s", hertz: 1, memory: %s,
  cortex_llm: { type: "MistralLLM", api_key: "${NOT_SET_HERE}" },
  agent_actions: [{ name: "move", llm_label: "move" }],
}"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of its own, and lines that are not broken."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "state"


@pytest.fixture
def path(state: Path) -> Path:
    """The memory of spot: five ticks of the last days."""
    path = default_memory({"XDG_STATE_HOME": str(state)}, "spot")
    with Store(path) as store:
        for days, name in ((40, "Ann"), (20, "Bob"), (1, "Cid")):
            store.add(tick(f"Here comes {name}.", days=days), "spot", ACTIONS)
        store.summarise("It met Ann.", 1)
        store.add(FULL, "spot", ACTIONS)
        failed = tick("Nobody?", deeds=(), error_kind="timeout", error="[it] was late")
        store.add(replace(failed, reason="no brain has answered"), "spot", ACTIONS)
    return path


def call(*args: object) -> Any:
    """Run a command in this process, where nobody types."""
    return CliRunner().invoke(app, ["memory", *map(str, args)])


def lines(text: str) -> list[dict[str, Any]]:
    """Objects, one a line."""
    return [json.loads(line) for line in text.splitlines()]


def test_people_see_what_was_sensed_and_done(path: Path) -> None:
    """The newest ticks, with what was refused and what failed, and what was noted before."""
    result = call("show", "--last", 2)
    assert result.exit_code == 0
    assert f"the memory used last: {path}" in result.stderr
    out = result.stdout
    assert "Noted of the ticks up to #1: It met Ann." in out
    assert 'A person says: "Grüß dich" 👋\n| and sits' in out
    assert "  move     sit  123 ms\n" in out
    assert "  refused  move     fly: it cannot fly\n" in out
    assert "  failed  speak    Hello!: the loudspeaker is off\n" in out
    assert "  too late for: A dog barks.\n" in out
    assert "  first action 1.37 s · all 1.75 s · LlamaLLM llama3.2\n" in out
    assert "  timeout: [it] was late\n  idle     no brain has answered\n" in out
    assert "  no action · all <1 ms · nobody\n" in out
    assert "Cid" not in out


@pytest.mark.usefixtures("path")
def test_programs_read_one_object_a_line() -> None:
    """The tick as it is, page by page."""
    result = call("show", "--json", "--last", 2)
    assert [each["id"] for each in lines(result.stdout)] == [4, 5]
    first, _ = lines(result.stdout)
    assert first == {"event": "tick", **replace(FULL, id=4).to_dict(), "at": first["at"]}
    before = call("show", "--json", "--last", 2, "--before", 4)
    assert [each["sensed"] for each in lines(before.stdout)] == [
        "Here comes Bob.",
        "Here comes Cid.",
    ]


@pytest.mark.usefixtures("path")
def test_what_is_searched_is_found() -> None:
    """Or it is said that it is not there, or that there is more."""
    assert "#2 " in (found := call("search", "comes BOB").stdout)
    assert "Ann." not in found.replace("It met Ann.", "")
    assert "no tick holds it" in call("search", "Zoe").stderr
    result = call("search", "comes", "--last", 2, "--json")
    assert [each["id"] for each in lines(result.stdout)] == [2, 3]
    assert "these are the newest 2; --last N shows more" in result.stderr


def test_every_way_to_name_a_memory(path: Path, tmp_path: Path) -> None:
    """By the robot's file, whose brain's key is not needed, by its name, or by the file itself."""
    file = tmp_path / "spot.json5"
    file.write_text(ROBOT % ("spot", "{}"))
    elsewhere = tmp_path / "else.json5"
    elsewhere.write_text(ROBOT % ("bits", json.dumps({"path": str(path)})))
    for named in (
        ("--config", file),
        ("--config", elsewhere),
        ("--robot", "spot"),
        ("--file", path),
    ):
        result = call("show", "--json", *named)
        assert (len(lines(result.stdout)), result.stderr) == (5, "")


def test_a_memory_that_is_not_there_is_a_mistake(path: Path, tmp_path: Path) -> None:
    """Each sentence says what to do; nothing is made by looking."""
    file = tmp_path / "mute.json5"
    file.write_text(ROBOT % ("mute", "false"))
    for named, said in (
        (("--config", file), "mute keeps no memory: its file says memory: false"),
        (("--robot", "nobody"), "nobody.sqlite3 yet; a robot that runs makes one"),
        (("--file", tmp_path / "no"), "there is no memory"),
        (("--file", path, "--robot", "spot"), "by one of --config, --robot and --file"),
    ):
        result = call("show", *named)
        assert (result.exit_code, said in result.stderr) == (2, True)
    assert not (tmp_path / "no").exists()


def test_without_any_memory_it_says_where_they_would_be(state: Path) -> None:
    """As on a new machine."""
    result = call("show")
    assert result.exit_code == 2
    assert f"there is no memory in {state / 'reflexarc' / 'memory'} yet" in result.stderr


def test_a_damaged_memory_is_told(path: Path) -> None:
    """With the command that moves it away; it is not touched."""
    path.write_bytes(b"x" * 5000)
    result = call("show")
    assert result.exit_code != 0
    assert "storage: the memory" in result.stderr
    assert f"mv {path} {path}.damaged" in result.stderr
    assert path.read_bytes() == b"x" * 5000


def test_all_of_it_is_exported(path: Path, tmp_path: Path) -> None:
    """Ticks with what the robot was told at each, in a file for this user only."""
    target = tmp_path / "spot.jsonl"
    target.write_text("old")
    result = call("export", target, "--robot", "spot")
    assert (result.exit_code, "exported: 5 ticks" in result.stderr) == (0, True)
    found = lines(target.read_text())
    assert [each["id"] for each in found] == [1, 2, 3, 4, 5]
    assert found[0]["system"] == FULL.prompt.system
    assert found[0]["examples"] == [
        {"sensed": "sit!", "actions": [{"type": "move", "value": "sit"}]}
    ]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir() if each.suffix != ".jsonl"] == ["state"]
    assert call("export", "-", "--file", path).stdout == target.read_text()


@pytest.mark.usefixtures("path")
def test_an_export_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Neither half a file nor a broken one in place of the old."""
    (tmp_path / "folder").mkdir()
    for target, said in (
        (tmp_path / "folder", "is no file"),
        (tmp_path / "none" / "a.jsonl", "cannot be written: No such file"),
        ("/dev/null", "is no file; name one, or - for the output"),
    ):
        result = call("export", target)
        assert (result.exit_code, said in result.stderr) == (2, True)
    target = tmp_path / "a.jsonl"
    target.write_text("old")
    with Store(default_memory(os.environ, "spot")) as store:
        store._db.execute("UPDATE ticks SET history = 'x' WHERE id = 4")
    result = call("export", target)
    assert (result.exit_code != 0, target.read_text()) == (True, "old")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.jsonl", "folder", "state"]


@pytest.mark.parametrize(
    ("which", "left"),
    [
        (("--older", "30d"), [2, 3, 4, 5]),
        (("--older", "2w"), [3, 4, 5]),
        (("--older", "36 h", "--containing", "ann"), [2, 3, 4, 5]),
        (("--containing", "comes"), [4, 5]),
        (("--before", "2020-01-01"), [1, 2, 3, 4, 5]),
        (("--before", "2999-01-01T12:00"), []),
        (("--all",), []),
    ],
)
def test_what_is_to_be_forgotten_is(path: Path, which: tuple[str, ...], left: list[int]) -> None:
    """By age, by date, by a text, or all of it."""
    with Store(path) as store:
        store._db.execute("UPDATE ticks SET at = (SELECT at FROM ticks WHERE id = 5) WHERE id = 4")
    result = call("forget", *which, "--yes", "--json")
    count = 5 - len(left)
    assert lines(result.stdout) == [{"event": "forgotten", "ticks": count, "path": str(path)}]
    plural = "tick" if count == 1 else "ticks"
    assert f"Forgotten: {count} {plural} of {path}" in result.stderr
    assert "start it again" in result.stderr
    with Store(path) as store:
        assert [each.id for each in store] == left
    if 1 not in left:
        assert b"Ann" not in bytes_of(path)


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ((), "say what to forget"),
        (("--all", "--older", "3d"), "--all is everything"),
        (("--before", "2026-01-01", "--older", "3d"), "not both"),
        (("--before", "yesterday"), "--before is a date as 2026-11-01"),
        (("--before", "0001-01-01"), "--before is a date"),
        (("--older", "3 years"), "--older is an age as 90m"),
        (("--older", "99999999999999w"), "before there were dates"),
        (("--containing", " "), "--containing needs a text"),
    ],
)
def test_a_wrong_wish_forgets_nothing(path: Path, which: tuple[str, ...], said: str) -> None:
    """The sentence says what to write."""
    result = call("forget", "--yes", *which)
    assert (result.exit_code, said in result.stderr) == (2, True)
    with Store(path) as store:
        assert len([*store]) == 5


def test_nothing_is_forgotten_where_nobody_can_be_asked(path: Path) -> None:
    """A script has to say that it means it."""
    result = call("forget", "--all")
    assert (result.exit_code, "add --yes" in result.stderr) == (2, True)
    with Store(path) as store:
        assert len([*store]) == 5


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of one."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    for each in (ours, theirs):
        with suppress(OSError):
            os.close(each)


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 5), ("y", 0, 2)])
def test_a_person_is_asked(
    path: Path, terminal: tuple[int, int], answer: str, code: int, left: int
) -> None:
    """With how much it is, and of what; the answer counts."""
    ours, theirs = terminal
    os.write(ours, f"{answer}\n".encode())
    result = subprocess.run(
        (*COMMAND, "memory", "forget", "--containing", "comes"),
        stdin=theirs,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == code, result.stderr
    assert f"Forget 3 ticks of {path}, for good? [y/N]" in result.stderr
    with Store(path) as store:
        assert len([*store]) == left
