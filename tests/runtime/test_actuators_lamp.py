"""The example package works: installed as pip does it, found by its entry point, performing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reflexarc.config import RobotConfig
from reflexarc.types import Action
from reflexarc.vocabulary import Vocabulary

ROOT = Path(__file__).parents[2]
LAMP = ROOT / "examples" / "lamp"

PROGRAM = """
import asyncio, sys
from pathlib import Path

from reflexarc import Action, Prompt, RobotConfig
from reflexarc.runtime.inputs import Script
from reflexarc.runtime.loop import Failed, Loop
from reflexarc.runtime.parts import known_connectors, load_actuators
from reflexarc.testing import ScriptedLLM, Turn


async def main():
    robot = RobotConfig.load(sys.argv[1])
    body = load_actuators(robot.agent_actions)
    turns = [Turn((Action(type="light", value=value),)) for value in ("on", "blink", "off")]
    brain, seen = ScriptedLLM(*turns), []

    def observe(event):
        if isinstance(event, Failed):
            print(event.error)
        elif type(event).__name__ == "TickStarted" and Path("lamp.txt").exists():
            seen.append(Path("lamp.txt").read_text())

    async with brain, body:
        await Loop(brain, Prompt.for_robot(robot), hertz=1000, history_length=0, observe=observe,
                   inputs=[Script(["one", "two", "three"])], actuator=body).run()
    print("lamp" in known_connectors(), [*seen, Path("lamp.txt").read_text()])


asyncio.run(main())
"""

WITHOUT = """
import sys

from reflexarc import ConfigError, RobotConfig
from reflexarc.runtime.parts import load_actuators

try:
    load_actuators(RobotConfig.load(sys.argv[1]).agent_actions)
except ConfigError as error:
    print(error)
"""


def run(*command: str | Path, cwd: Path, site: Path | None = None) -> str:
    """Run a program beside what is installed in a folder, and return what it prints."""
    paths = [ROOT / "src", *([site] if site else [])]
    ran = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",  # what was installed stays as it is
        },
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the package was installed, from a copy and without network."""
    folder = tmp_path_factory.mktemp("lamp")
    source, target = folder / "source", folder / "site"
    shutil.copytree(LAMP, source)
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--no-compile"]
    run("-m", "pip", "install", *options, "--target", target, source, cwd=folder)
    return target


def test_the_lamp_is_switched(site: Path, tmp_path: Path) -> None:
    """A robot's loop finds the installed lamp by its connector, and switches it tick after tick."""
    printed = run("-c", PROGRAM, LAMP / "lamp.json5", cwd=tmp_path, site=site)
    assert printed == "True ['on\\n', 'blink\\n', 'off\\n']\n"


def test_the_package_is_one_module(site: Path) -> None:
    """The wheel has the module, and neither the robot nor the page."""
    assert [each.name for each in site.iterdir() if "dist-info" not in each.name] == ["lamp.py"]


def test_without_the_package_the_robot_is_told(tmp_path: Path) -> None:
    """Where it is not installed, the connector is unknown, and the known ones are named."""
    printed = run("-c", WITHOUT, LAMP / "lamp.json5", cwd=tmp_path)
    assert printed.startswith("there is no connector 'lamp'; choose one of console, http, ")


def test_the_robot_is_right() -> None:
    """The robot's file is valid, and its examples teach what is legal."""
    robot = RobotConfig.load(LAMP / "lamp.json5", {})
    vocabulary = Vocabulary.from_actions(robot.agent_actions)
    for example in robot.examples:
        for action in example.actions:
            assert vocabulary.judge(action.type, action.value) == action
    assert isinstance(vocabulary.judge("light", "blink"), Action)
