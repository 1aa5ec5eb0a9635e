"""The commands for a checkout of OM1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from reflexarc.cli.app import app
from tests.om1.stand_ins import contents, git, stand_in, write


def call(*args: object) -> Any:
    """Run a command in this process."""
    return CliRunner().invoke(app, ["om1", *map(str, args)])


def lines(result: Any) -> list[dict[str, Any]]:
    """What a command told a program."""
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout."""
    return stand_in(tmp_path / "om1", git=True)


def test_install_tells_what_it_did_and_what_is_next(root: Path) -> None:
    """A person reads which files there are now, and what to type."""
    result = call("install", root)
    assert result.exit_code == 0
    assert "created  src/llm/plugins/mistral_llm.py\n" in result.stdout
    assert "inserted pyproject.toml\n" in result.stdout
    assert f"  cd {root}\n" in result.stdout
    assert "git does not know" not in result.stdout


def test_install_tells_what_will_not_run(tmp_path: Path) -> None:
    """Where OM1's own code does not run with ours, nobody finds out by a traceback."""
    write(tmp_path / "src/zenoh_msgs/a.py", 'class A:\n    mode: String = String("")\n')
    result = call("install", stand_in(tmp_path, git=True))
    assert result.exit_code == 0
    assert "problem OM1's own src/zenoh_msgs/a.py can be imported by Python 3.10" in result.stdout


def test_install_again_says_that_nothing_changed(root: Path) -> None:
    """Nobody has to wonder whether a second time did harm."""
    call("install", root)
    result = call("install", root)
    assert (result.exit_code, "nothing changed" in result.stdout) == (0, True)


def test_install_as_json(root: Path) -> None:
    """A program reads an object for each edit, and what is next."""
    *edits, last = lines(call("install", root, "--json"))
    assert {"event": "edit", "path": "pyproject.toml", "change": "inserted"} in edits
    assert {each["event"] for each in edits} == {"edit"}
    assert {each["change"] for each in edits} == {"created", "inserted"}
    assert (last["event"], last["do"][0]) == ("next", f"cd {root}")
    assert lines(call("install", root, "--json")) == []


def test_remove_restores(root: Path) -> None:
    """After both commands the checkout is as it was."""
    before = contents(root)
    call("install", root)
    result = call("remove", root)
    assert result.exit_code == 0
    assert "deleted  src/llm/plugins/mistral_llm.py\n" in result.stdout
    assert "restored pyproject.toml\n" in result.stdout
    assert contents(root) == before


@pytest.mark.parametrize("command", ["install", "remove"])
def test_a_dry_run_is_a_patch(root: Path, command: str, tmp_path: Path) -> None:
    """What is shown changes nothing, and is what git would apply to the same end."""
    if command == "remove":
        call("install", root)
    before = contents(root)
    result = call(command, root, "--dry-run")
    assert (result.exit_code, contents(root)) == (0, before)
    patch = write(tmp_path / "patch", result.stdout)
    git(root, "apply", str(patch))
    applied = contents(root)
    git(root, "apply", "--reverse", str(patch))
    call(command, root)
    assert contents(root) == applied


def test_a_dry_run_as_json_has_the_diffs(root: Path) -> None:
    """A program gets the patch file by file."""
    for each in lines(call("install", root, "--dry-run", "--json")):
        assert each["diff"].startswith(("--- /dev/null\n", f"--- a/{each['path']}\n"))


def test_a_folder_that_git_does_not_know_is_noted(tmp_path: Path) -> None:
    """Without git the plugins are put in, and what could not be checked is told."""
    root = stand_in(tmp_path)
    result = call("install", root, "--json")
    assert result.exit_code == 0
    first = lines(result)[0]
    assert (first["event"], first["level"]) == ("finding", "note")
    assert "git does not know this folder" in first["what"]


@pytest.mark.parametrize("command", ["install", "check", "remove"])
def test_no_checkout_is_the_callers_mistake(tmp_path: Path, command: str) -> None:
    """A folder that is something else ends with 2, and one sentence."""
    result = call(command, tmp_path, "--json")
    assert result.exit_code == 2
    assert [each["event"] for each in lines(result)] == ["error"]
    assert result.stderr.startswith(f"config: {tmp_path}: ")


def test_check_ends_with_1_where_there_is_a_problem(root: Path) -> None:
    """A script can tell whether the plugins will work."""
    result = call("check", root)
    assert result.exit_code == 1
    assert "problem the plugins are not installed\n" in result.stdout
    assert f"        reflexarc om1 install {root}\n" in result.stdout


def test_check_ends_with_0_where_there_is_none(root: Path) -> None:
    """Notes are no problems."""
    call("install", root)
    site = root / ".venv/lib/python3.12/site-packages/reflexarc-1.dist-info"
    write(site / "METADATA", "Metadata-Version: 2.1\nName: reflexarc\nVersion: 0.1.0\n")
    result = call("check", root, "--json")
    assert result.exit_code == 0
    findings = lines(result)
    assert {each["level"] for each in findings} == {"ok", "note"}
    assert all(each.keys() == {"event", "level", "what", "do"} for each in findings)
