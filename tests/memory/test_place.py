"""Where a robot's memory is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reflexarc.config import AgentAction, LLMConfig, RobotConfig
from reflexarc.errors import ConfigError
from reflexarc.memory import Store
from reflexarc.memory.place import default_folder, default_memory, memory_of, newest_memory
from reflexarc.remembering import Remembering
from tests.memory.ticks import tick

ENVIRON = {"XDG_STATE_HOME": "/state"}
FOLDER = Path("/state/reflexarc/memory")
ROBOT = """{
  name: "spot", hertz: 1, cortex_llm: { type: "OnboardLLM" }, memory: %s,
  agent_actions: [{ name: "move", llm_label: "move" }],
}"""


def robot(**fields: object) -> RobotConfig:
    """A robot."""
    return RobotConfig.model_validate(
        {
            "name": "spot",
            "hertz": 1,
            "cortex_llm": LLMConfig(type="OnboardLLM"),
            "agent_actions": (AgentAction(name="move", llm_label="move"),),
            **fields,
        }
    )


def test_it_has_the_robot_s_name() -> None:
    """In the state directory, as the XDG rules have it."""
    assert default_memory(ENVIRON, "spot") == FOLDER / "spot.sqlite3"
    home = Path("/h/.local/state/reflexarc/memory/Élise-2.sqlite3")
    assert default_memory({"HOME": "/h"}, "Élise-2") == home


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "a b", "a/b", ".hidden", "", "a\0b", "\ud83d", "n" * 300, "..", "🤖"],
)
def test_any_name_is_a_file(name: str) -> None:
    """In that folder, not hidden, and another one than that of a name that looks like it."""
    path = default_memory(ENVIRON, name)
    assert path.parent == FOLDER
    assert not path.name.startswith((".", "-"))
    assert len(os.fsencode(path.name)) < 255
    assert path != default_memory(ENVIRON, f"{name}.")
    assert path != default_memory(ENVIRON, "a-b")


def test_a_robot_s_file_may_name_it() -> None:
    """``~`` is the home directory; without a memory there is no place."""
    assert memory_of(robot(), ENVIRON) == FOLDER / "spot.sqlite3"
    assert memory_of(robot(memory=False), ENVIRON) is None
    assert memory_of(robot(memory={"path": "a/b.db"}), ENVIRON) == Path("a/b.db")
    at_home = memory_of(robot(memory={"path": "~/b.db"}), ENVIRON)
    assert at_home == Path.home() / "b.db"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("false", None),
        ("{}", Remembering(path=None, max_mb=100, max_days=90)),
        (
            "{path: 'm.db', max_mb: 0.5, max_days: 7}",
            Remembering(path=Path("m.db"), max_mb=0.5, max_days=7),
        ),
    ],
)
def test_a_robot_s_memory_is_read(tmp_path: Path, written: str, meant: Remembering | None) -> None:
    """Off, or an object."""
    file = tmp_path / "spot.json5"
    file.write_text(ROBOT % written)
    assert RobotConfig.load(file).memory == meant


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("true", "'memory': is false, or an object"),
        ("'spot.db'", "'memory': is false, or an object"),
        ("{file: 'a'}", "unknown key 'file'"),
        ("{pth: 'a'}", "did you mean 'path'"),
        ("{path: ''}", "'memory.path': is no name of a file"),
        ("{max_mb: 0}", "'memory.max_mb'"),
        ("{max_mb: Infinity}", "'memory.max_mb'"),
        ("{max_mb: true}", "'memory.max_mb': must be a number"),
        ("{max_days: -1}", "'memory.max_days'"),
        ("{max_days: 1e9}", "'memory.max_days'"),
    ],
)
def test_a_wrong_memory_is_shown_with_its_place(tmp_path: Path, written: str, said: str) -> None:
    """Line and column, and what to write."""
    file = tmp_path / "spot.json5"
    file.write_text(ROBOT % written)
    with pytest.raises(ConfigError, match=said) as caught:
        RobotConfig.load(file)
    assert caught.value.line == 2


def test_the_schema_knows_that_it_may_be_off() -> None:
    """Editors do not complain of it."""
    offered = RobotConfig.model_json_schema()["properties"]["memory"]["anyOf"]
    assert offered == [{"$ref": "#/$defs/Remembering"}, {"const": False}]


def test_the_memory_that_was_written_last_is_known(tmp_path: Path) -> None:
    """Also where what was written stands beside the file still."""
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    assert newest_memory(environ) is None
    paths = [default_memory(environ, name) for name in ("a", "b", "c")]
    for age, path in enumerate(paths):
        with Store(path) as store:
            store.add(tick(), path.stem, ())
        os.utime(path, (1000 - age, 1000 - age))
    assert newest_memory(environ) == paths[0]
    with Store(paths[2]) as store:
        store.add(tick(), "c", ())
        os.utime(paths[2], (1, 1))
        assert newest_memory(environ) == paths[2]
    assert default_folder(environ) == tmp_path / "reflexarc" / "memory"
