"""What reflexarc requires, as its own metadata has it."""

from __future__ import annotations

import json
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from reflexarc.packages import (
    Requirement,
    at_least,
    install_command,
    installed_version,
    read_requirement,
    required_python,
    requirements,
    source,
)

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize(
    ("version", "is_enough"),
    [
        ("2.11.2", True),
        ("2.11.2.post1", True),
        ("2.12", True),
        ("3.0a1", True),
        ("", True),
        ("2.11.1", False),
        ("2.9", False),
        ("2.11", False),
        ("1", False),
    ],
)
def test_versions_are_compared_as_numbers(version: str, is_enough: bool) -> None:
    """Nine is less than ten; a version that is not known is not complained about."""
    assert at_least(version, (2, 11, 2)) is is_enough


@pytest.mark.parametrize(
    ("line", "requirement"),
    [
        ("json5", Requirement("json5")),
        ("json5>=0.10", Requirement("json5", ">=0.10")),
        ("rich >=13.9 ; extra == 'cli'", Requirement("rich", ">=13.9", "cli")),
        ('a-b.c!=2.4.6,>=3; extra == "x"', Requirement("a-b.c", "!=2.4.6,>=3", "x")),
    ],
)
def test_a_line_of_metadata_is_read(line: str, requirement: Requirement) -> None:
    """Name, versions and extra, by either kind of quotes."""
    assert read_requirement(line) == requirement


@pytest.mark.parametrize(
    ("version", "is_allowed"),
    [("3", True), ("3.7.0", True), ("2.4.6", False), ("2.9", False), ("3.1", False)],
)
def test_floors_and_exceptions_are_kept(version: str, is_allowed: bool) -> None:
    """A version must be the floor's or later, and none that is excepted."""
    assert Requirement("mistralai", "!=3.1,>=3").allows(version) is is_allowed


def test_all_that_is_required_is_understood() -> None:
    """The metadata has pyproject.toml's requirements, and no part of them is passed over."""
    extras = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    wanted = {(extra, line) for extra, lines in extras.items() for line in lines if extra != "all"}
    found = requirements()
    assert {(each.extra, each.name) for each in found} == {
        (extra, read_requirement(line).name) for extra, line in wanted
    }
    for each in found:
        assert all(clause.startswith((">=", "!=")) for clause in each.versions.split(","))
    assert str(required_python()) == f"Python{PROJECT['requires-python']}"


def test_the_version_of_a_package_is_found_by_any_spelling() -> None:
    """What is not installed has none."""
    assert installed_version("Llama_API.Client") == installed_version("llama-api-client")
    assert installed_version("no-such-package") is None


def installed_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch, url: dict[str, Any] | None
) -> None:
    """A reflexarc, as an installer writes it down, before the real one."""
    info = folder / "reflexarc-9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: reflexarc\nVersion: 9\n")
    if url is not None:
        (info / "direct_url.json").write_text(json.dumps(url))
    monkeypatch.syspath_prepend(folder)


@pytest.mark.parametrize(
    ("url", "came_from", "arguments"),
    [
        (None, None, ["reflexarc[onboard]"]),
        (
            {"url": "file:///opt/a%20b", "dir_info": {"editable": True}},
            "file:///opt/a%20b",
            ["-e", "/opt/a b[onboard]"],
        ),
        (
            {"url": "file:///opt/a", "dir_info": {}},
            "file:///opt/a",
            ["reflexarc[onboard] @ file:///opt/a"],
        ),
        (
            {"url": "https://x/y.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "git+https://x/y.git@abc",
            ["reflexarc[onboard] @ git+https://x/y.git@abc"],
        ),
    ],
    ids=["index", "editable", "folder", "git"],
)
def test_an_extra_is_installed_from_where_the_rest_came_from(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    url: dict[str, Any] | None,
    came_from: str | None,
    arguments: list[str],
) -> None:
    """The command finds reflexarc again: on an index, in a folder or in a repository."""
    installed_from(tmp_path, monkeypatch, url)
    assert source() == came_from
    pip = [sys.executable, "-m", "pip", "install"]
    assert shlex.split(install_command("onboard")) == [*pip, *arguments]


def test_uv_installs_where_there_is_no_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that uv has made has no pip; where there is no uv either, pip is named."""
    installed_from(tmp_path, monkeypatch, None)
    monkeypatch.setitem(sys.modules, "pip", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "-m pip" in install_command()
    (tmp_path / "uv").touch(mode=0o755)
    assert install_command() == f"uv pip install --python {shlex.quote(sys.executable)} reflexarc"
