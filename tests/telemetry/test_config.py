"""What a robot's file may say of its telemetry."""

from __future__ import annotations

from pathlib import Path

import pytest

from reflexarc.config import RobotConfig
from reflexarc.errors import ConfigError
from reflexarc.observing import Observing

ROBOT = """{ name: "dot", hertz: 1, cortex_llm: { type: "OnboardLLM" }, %s
  agent_actions: [{ name: "move", llm_label: "move" }] }"""


def read(tmp_path: Path, line: str) -> RobotConfig:
    """A robot's file with this line."""
    path = tmp_path / "dot.json5"
    path.write_text(ROBOT % line)
    return RobotConfig.load(path, {})


def test_it_is_on_unless_it_is_switched_off(tmp_path: Path) -> None:
    """Without what was said; `false` is nothing at all."""
    assert read(tmp_path, "").telemetry == Observing()
    assert not Observing().content
    assert read(tmp_path, "telemetry: false,").telemetry is None
    told = read(tmp_path, 'telemetry: { otlp: "http://10.0.0.7:4318/", max_days: 3 },').telemetry
    assert told == Observing(otlp="http://10.0.0.7:4318", max_days=3)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("telemetry: true,", "false, or an object as { content: true }"),
        ("telemetry: { contents: true },", "did you mean 'content'"),
        ('telemetry: { otlp: "http://user:secret@10.0.0.7" },', "user or password"),
        ('telemetry: { otlp: "10.0.0.7:4317" },', "is not a URL"),
        ("telemetry: { max_mb: 0 },", "greater than 0"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, line: str, said: str) -> None:
    """With what to write instead."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, line)
    assert said in caught.value.message


def test_the_schema_says_so() -> None:
    """Editors take an object or `false`."""
    schema = RobotConfig.model_json_schema()
    kinds = schema["properties"]["telemetry"]["anyOf"]
    assert {"const": False} in kinds
