"""A name in a robot's file becomes an actuator or an input, or a sentence that says why not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from reflexarc.config import AgentAction, Plugin
from reflexarc.errors import ConfigError
from reflexarc.runtime import parts
from reflexarc.runtime.actuators import Actuator
from reflexarc.runtime.inputs import Input, Lines
from reflexarc.runtime.mock_input import MockInput
from reflexarc.runtime.parts import (
    ACTUATORS_GROUP,
    CONNECTORS,
    INPUTS,
    INPUTS_GROUP,
    known_connectors,
    known_inputs,
    knows_connector,
    knows_input,
    load_actuators,
    load_inputs,
    meant,
)
from reflexarc.types import Action

PLUGIN = """
from reflexarc.runtime.actuators import Actuator
from reflexarc.runtime.inputs import Input

class Arm(Actuator):
    made = []

    def __init__(self, bus: str, *, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError("'speed' must be above 0")
        self.bus, self.speed, self.performed = bus, speed, []
        self.made.append(self)

    async def perform(self, action):
        self.performed.append(action.value)

class Bell(Actuator):
    async def perform(self, action):
        pass

class Loose(Bell):
    def __init__(self, **settings):
        self.settings = settings

class Nose(Input):
    def __init__(self, *, threshold: int = 5) -> None:
        self.threshold = threshold

    async def run(self, board):
        pass

class Serial(Bell):
    def __init__(self, port="/dev/nowhere"):
        open(port)

class Ear(Nose):
    def __init__(self):
        raise PermissionError(13, "Permission denied")

def vase(colour="blue"):
    return {}

class Impostor:
    def __init__(self, *args, **kwargs):
        raise AssertionError("the built-in one comes first")
"""

ENTRY_POINTS = f"""
[{ACTUATORS_GROUP}]
arm = parts_for_tests:Arm
bell = parts_for_tests:Bell
loose = parts_for_tests:Loose
serial = parts_for_tests:Serial
vase = parts_for_tests:vase
http = parts_for_tests:Impostor
gone = parts_for_tests:Gone
driver = parts_without_hardware:Driver
[{INPUTS_GROUP}]
Nose = parts_for_tests:Nose
Ear = parts_for_tests:Ear
Arm = parts_for_tests:Arm
MockInput = parts_for_tests:Impostor
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution that announces parts, as pip would."""
    (tmp_path / "parts_for_tests.py").write_text(PLUGIN)
    (tmp_path / "parts_without_hardware.py").write_text("raise RuntimeError('not on a robot')")
    info = tmp_path / "parts_for_tests-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parts-for-tests\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)


def action(
    connector: str | None, config: Mapping[str, Any] | None = None, label: str = "move", **more: Any
) -> AgentAction:
    """An entry of a robot's file."""
    values = {"name": label, "llm_label": label, "connector": connector, "config": config or {}}
    return AgentAction.model_validate({**values, **more})


def by_type(*actions: AgentAction) -> dict[str, Actuator]:
    """The actuators that are made, by the type of their actions."""
    return load_actuators(actions)._actuators


@pytest.mark.parametrize(
    ("table", "base"), [(CONNECTORS, Actuator), (INPUTS, Input)], ids=["connectors", "inputs"]
)
def test_the_tables_are_true(table: Mapping[str, str], base: type) -> None:
    """Every row names a class that exists, and is what the table holds."""
    for target in table.values():
        module, _, attribute = target.partition(":")
        assert issubclass(getattr(import_module(module), attribute), base)


def test_what_is_built_in_is_known() -> None:
    """Both tables and the console are known without another package."""
    assert {"console", "http", "websocket"} <= set(known_connectors())
    assert {"ConsoleInput", "MockInput"} <= set(known_inputs())
    assert all(map(knows_connector, [None, "", "console", "http"]))
    assert not knows_connector("ros2")
    assert knows_input("MockInput")
    assert not knows_input("VLMCOCOLocal")


def test_actuators_are_made_with_their_settings() -> None:
    """What a file has as `config` is what the actuator is made with; the console needs none."""
    made = by_type(
        action("http", {"url": "http://127.0.0.1:9000/act", "timeout": 3}, "move"),
        action("websocket", {"url": "ws://127.0.0.1:9001"}, "arm"),
        action("console", label="speak"),
        action(None, label="emotion"),
        action("", label="sound"),
    )
    assert list(map(repr, made.values())) == [
        "HttpActuator(http://127.0.0.1:9000)",
        "WebSocketActuator(ws://127.0.0.1:9001)",
    ]
    assert load_actuators([action("http", {"url": "http://[::1]", "timeout": 30})]).timeout_s == 30


def test_what_the_model_may_not_use_is_not_made() -> None:
    """An action that is left out of the prompt is never performed, so that nothing is needed."""
    assert not by_type(action("ros2", exclude_from_prompt=True))


def test_inputs_are_made_with_their_settings() -> None:
    """What a file has as `config` is what the input is made with, in order."""
    nose = {"type": "MockInput", "config": {"port": 9000, "input_name": "Nose"}}
    mock, lines = load_inputs(map(Plugin.model_validate, [nose, {"type": "ConsoleInput"}]))
    assert isinstance(mock, MockInput)
    assert mock.port == 9000
    assert isinstance(lines, Lines)
    assert load_inputs([]) == []


@pytest.mark.usefixtures("plugin")
def test_the_same_settings_are_one_actuator() -> None:
    """Actions with the same connector and settings share an actuator; others have their own."""
    made = by_type(
        action("arm", {"bus": "can0", "speed": 2.0}, "arm"),
        action("arm", {"speed": 2.0, "bus": "can0"}, "gripper"),
        action("arm", {"bus": "can1"}, "tail"),
    )
    assert made["arm"] is made["gripper"]
    assert made["arm"] is not made["tail"]
    tail: Any = made["tail"]
    assert (tail.bus, tail.speed) == ("can1", 1.0)
    body = load_actuators([action("arm", {"bus": "can0"}, "arm")])
    asyncio.run(body.perform(Action(type="arm", value="up")))
    asyncio.run(body.perform(Action(type="tail", value="wag")))
    assert type(tail).made[-1].performed == ["up"]


@pytest.mark.usefixtures("plugin")
def test_another_package_may_announce_parts() -> None:
    """An entry point is found by its name, in the group of its kind only."""
    assert {"arm", "bell", "console", "http"} <= set(known_connectors())
    assert knows_connector("arm")
    assert knows_input("Nose")
    assert not knows_connector("Nose")
    loose: Any = by_type(action("loose", {"any": "thing"}))["move"]
    assert loose.settings == {"any": "thing"}
    nose: Any = load_inputs([Plugin(type="Nose", config={"threshold": 7})])[0]
    assert nose.threshold == 7


@pytest.mark.usefixtures("plugin")
def test_no_package_can_take_a_built_in_name() -> None:
    """What is installed beside us does not change what `http` and `MockInput` mean."""
    assert "HttpActuator" in repr(by_type(action("http", {"url": "http://127.0.0.1"}))["move"])
    assert isinstance(load_inputs([Plugin(type="MockInput")])[0], MockInput)


def actuators(connector: str, config: Mapping[str, Any] | None = None) -> Callable[[], object]:
    """Make the actuator of an action."""
    return lambda: load_actuators([action(connector, config)])


def inputs(type_: str, config: Mapping[str, Any] | None = None) -> Callable[[], object]:
    """Make an input."""
    return lambda: load_inputs([Plugin(type=type_, config=dict(config or {}))])


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (actuators("htpp"), "there is no connector 'htpp'; did you mean 'http'?"),
        (actuators("amr"), "there is no connector 'amr'; did you mean 'arm'?"),
        (actuators("ros2"), "choose one of arm, bell, console, driver, "),
        (inputs("Mockinput"), "there is no input 'Mockinput'; did you mean 'MockInput'?"),
        (inputs("Nouse"), "did you mean 'Nose'?"),
        (inputs("bell"), "there is no input 'bell'; "),
        (actuators("http"), "'move' by 'http': write 'url' in its config"),
        (actuators("http", {"ulr": "http://[::1]"}), "no setting 'ulr'; did you mean 'url'?"),
        (actuators("http", {"url": "spot"}), "'move' by 'http': 'url': is not an address"),
        (inputs("MockInput", {"prot": 1}), "'MockInput': there is no setting 'prot'; did you"),
        (inputs("MockInput", {"port": "x"}), "'MockInput': 'port': input should be a valid int"),
        (actuators("arm", {"bus": "can0", "speed": 0}), "by 'arm': 'speed' must be above 0"),
        (actuators("arm", {"bus": "can0", "speed": "1"}), "by 'arm': '<=' not supported between"),
        (
            actuators("serial"),
            "'move' by 'serial' cannot be made: [Errno 2] No such file or directory: '/dev/no",
        ),
        (inputs("Ear"), "'Ear' cannot be made: [Errno 13] Permission denied; plug it in"),
        (actuators("arm", {"speed": 2}), "'move' by 'arm': write 'bus' in its config"),
        (actuators("bell", {"tone": 3}), "'move' by 'bell': there is no setting 'tone'; it has no"),
        (actuators("vase"), "makes a dict, which is no reflexarc.runtime.actuators.Actuator"),
        (inputs("Arm", {"bus": "can0"}), "makes a Arm, which is no reflexarc.runtime.inputs.Input"),
        (actuators("gone"), "is announced as parts_for_tests:Gone, which cannot be imported (Attr"),
        (actuators("driver"), "which cannot be imported (RuntimeError: not on a robot); install"),
    ],
)
def test_a_mistake_is_a_sentence(make: Callable[[], object], says: str) -> None:
    """Whatever does not fit is a ConfigError that names the part and what to write instead."""
    with pytest.raises(ConfigError) as caught:
        make()
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("wheel", "wheels"),
        ("Console", "console"),
        ("lmap", "lamp"),
        ("GoogleASRInput", None),
        ("ros2", None),
    ],
)
def test_a_slip_is_told_from_other_hardware(name: str, near: str | None) -> None:
    """By how alike the names are, whatever their case."""
    assert meant(name, ["wheels", "console", "lamp", "ConsoleInput", "http"]) == near


def test_other_packages_are_looked_for_only_if_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is built in is found without reading what is installed."""

    def announced(_group: str) -> Mapping[str, Any]:
        raise AssertionError("it was read")

    monkeypatch.setattr(parts, "_announced", announced)
    by_type(action("http", {"url": "http://127.0.0.1"}), action("console", label="speak"))
    load_inputs([Plugin(type="MockInput"), Plugin(type="ConsoleInput")])
    assert knows_connector("http")
    assert knows_connector(None)
    assert knows_input("ConsoleInput")
