"""What the page on inputs and actuators says is what they are."""

from __future__ import annotations

import asyncio
import re
import sys
import tomllib
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import json5
import pytest

from reflexarc.config import AgentAction, Plugin
from reflexarc.runtime.inputs import Board
from reflexarc.runtime.mock_input import LARGEST_FRAME, MockInput
from reflexarc.runtime.parts import CONNECTORS, INPUTS, load_actuators, load_inputs
from reflexarc.runtime.push import HttpActuator, WebSocketActuator
from reflexarc.testing import run_virtual
from reflexarc.types import Action

ROOT = Path(__file__).parents[2]
LAMP = ROOT / "examples" / "lamp"
PAGE = (ROOT / "docs" / "parts.md").read_text()


def blocks(language: str) -> list[str]:
    """Every block of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


LAMP_BLOCK, WHEELS, THERMOMETER, ROS = blocks("python")
INPUTS_BLOCK, ACTIONS_BLOCK, LIGHT_BLOCK = blocks("json5")


def settings() -> dict[str, tuple[str, str]]:
    """What the tables say of each setting: whose it is, and its default."""
    rows = re.findall(r"^\| `(\w+)` \|(?: ([\w`]+) \|)? ([^|]+) \| ", PAGE, re.MULTILINE)
    return {name: (of.strip("`"), default.strip("`")) for name, of, default in rows}


def told(default: object) -> str:
    """A default as the tables write it."""
    names = {"None": "none", "False": "false"}
    return names.get(str(default), str(default).removesuffix(".0"))


@pytest.mark.parametrize(
    ("maker", "of"), [(MockInput, ""), (HttpActuator, "http"), (WebSocketActuator, "websocket")]
)
def test_every_setting_has_its_row(maker: Callable[..., object], of: str) -> None:
    """Each setting is in a table, with its default."""
    rows = settings()
    for name, parameter in signature(maker).parameters.items():
        whose, default = rows[name]
        assert whose in (of, "both")
        if parameter.default is not parameter.empty:
            assert default == told(parameter.default)
        else:
            assert default == "name it"


@pytest.mark.parametrize("name", [*CONNECTORS, *INPUTS])
def test_every_part_has_its_row(name: str) -> None:
    """Each name of the tables in the code is in a table of the page."""
    assert re.search(rf"^\| `{name}`", PAGE, re.MULTILINE)


def test_the_largest_frame_is_told() -> None:
    """The page has the size that is refused."""
    assert f"more than {LARGEST_FRAME:,} bytes" in PAGE


def entries(block: str) -> Any:
    """The entries of a block as a robot's file would have them."""
    [found] = json5.loads(f"{{{block}}}").values()
    return found


def test_files_as_they_are_written_can_be_read() -> None:
    """The page's inputs and actuators can be made."""
    assert len(load_inputs(map(Plugin.model_validate, entries(INPUTS_BLOCK)))) == 2
    body = load_actuators(map(AgentAction.model_validate, entries(ACTIONS_BLOCK)))
    assert "HttpActuator(http://192.168.1.20:8080)" in repr(body)
    assert "WebSocketActuator(wss://192.168.1.21:9090)" in repr(body)


def test_the_wire_format_is_told() -> None:
    """The page has an action as it is sent."""
    [sent] = blocks("json")
    assert json5.loads(sent) == Action(type="move", value="sit").model_dump()


def test_the_lamp_is_the_example() -> None:
    """The page shows the module, the entry point and the action of the example as they are."""
    assert (LAMP / "lamp.py").read_text() == LAMP_BLOCK
    announced = tomllib.loads((LAMP / "pyproject.toml").read_text())["project"]["entry-points"]
    assert tomllib.loads(*blocks("toml"))["project"]["entry-points"] == announced
    robot: Any = json5.loads((LAMP / "lamp.json5").read_text())
    assert entries(LIGHT_BLOCK)[0] == robot["agent_actions"][0]


def test_the_wheels_obey_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's actuator returns while it drives, and each action ends the movement before it."""
    told: list[str] = []

    class Motors:
        def __init__(self, port: str) -> None:
            told.append(port)

        def start(self, where: str) -> None:
            self.until = asyncio.get_running_loop().time() + 5
            told.append(where)

        def are_moving(self) -> bool:
            return asyncio.get_running_loop().time() < self.until

        def halt(self) -> None:
            told.append("halt")

    monkeypatch.setitem(sys.modules, "motors", SimpleNamespace(Motors=Motors))  # pyright: ignore[reportArgumentType]
    names: dict[str, Any] = {}
    exec(WHEELS, names)

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        begun = clock()
        async with names["Wheels"]("/dev/ttyUSB0") as wheels:
            await wheels.perform(Action(type="drive", value="forward"))
            assert clock() == begun
            await asyncio.sleep(1)
            await wheels.perform(Action(type="drive", value="stop"))
            assert told == ["/dev/ttyUSB0", "forward", "halt"]
            await wheels.perform(Action(type="drive", value="back"))
            await asyncio.sleep(6)
            assert told[3:] == ["back", "halt"]
            await wheels.perform(Action(type="drive", value="forward"))
            await asyncio.sleep(1)
        assert told[5:] == ["forward", "halt"]

    run_virtual(main())


async def test_the_thermometer_tells_when_it_is_hot(tmp_path: Path) -> None:
    """The page's input can be made, and puts what it senses on the board."""
    names: dict[str, Any] = {}
    exec(THERMOMETER, names)
    sensor = tmp_path / "temp"
    await asyncio.to_thread(sensor.write_text, "61500\n")
    board = Board()
    running = asyncio.create_task(names["Thermometer"](path=str(sensor)).run(board))
    await asyncio.wait_for(board.wait(), 5)
    assert board.take() == "The motor has 62 degrees."
    running.cancel()
    await asyncio.wait({running})


async def test_the_sketch_publishes_on_its_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    """From its first action on, until it is closed; rclpy is not here, so a stand-in is."""
    told: list[object] = []

    def note(*said: object) -> SimpleNamespace:
        told.append(said)
        return SimpleNamespace(create_publisher=note, publish=note)

    string = SimpleNamespace  # as a message is made: by keyword
    rclpy = SimpleNamespace(
        ok=bool,
        init=lambda: note("init"),
        create_node=note,
        try_shutdown=lambda: note("shutdown"),
    )
    monkeypatch.setitem(sys.modules, "rclpy", rclpy)  # pyright: ignore[reportArgumentType]
    monkeypatch.setitem(sys.modules, "std_msgs.msg", SimpleNamespace(String=string))  # pyright: ignore[reportArgumentType]
    names: dict[str, Any] = {}
    exec(ROS, names)
    topic = names["Topic"]("/dog")
    await topic.open()
    await topic.perform(Action(type="move", value="sit"))
    await topic.aclose()
    assert told == [
        ("init",),
        ("reflexarc",),
        (string, "/dog", 10),
        (string(data="sit"),),
        ("shutdown",),
    ]
