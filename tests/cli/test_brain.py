"""Which brains a person may choose from."""

from __future__ import annotations

from pathlib import Path

import pytest

from reflexarc import RobotConfig
from reflexarc.cli.brain import switch_of
from reflexarc.errors import ConfigError
from reflexarc.resilience import FailoverLLM

LLAMA = "{type: 'LlamaLLM', base_url: 'http://127.0.0.1:1', model: %r, %s}"
ROBOT = (
    "{name: 'dot', hertz: 1, cortex_llm: %s, brains: [%s], "
    "agent_actions: [{name: 'move', llm_label: 'move'}]}"
)


def robot(folder: Path, brain: str, *brains: str) -> RobotConfig:
    """A robot of these brains."""
    path = folder / "robot.json5"
    path.write_text(ROBOT % (brain, ", ".join(brains)))
    return RobotConfig.load(path)


def llama(model: str, **settings: object) -> str:
    """The settings of one brain."""
    return LLAMA % (model, ", ".join(f"{name}: {value}" for name, value in settings.items()))


def test_all_that_is_named_may_be_chosen(tmp_path: Path) -> None:
    """The chain, each of it alone, and the further ones; each with its own history."""
    chain = "{type: 'FailoverLLM', history_length: 4, llms: [%s, {type: 'OnboardLLM'}]}"
    first = robot(tmp_path, chain % llama("a", history_length=2), llama("b", history_length=9))
    switch = switch_of(first)
    names = ["FailoverLLM", "LlamaLLM a", "OnboardLLM smollm2-135m-instruct", "LlamaLLM b"]
    assert list(switch._llms) == names
    assert isinstance(switch._llm, FailoverLLM)
    assert [*switch._history_lengths.values()] == [4, 2, 0, 9]
    assert switch.history_length == 9


@pytest.mark.parametrize("models", [("m", "m", "m"), ("m #2", "m", "m")])
def test_every_brain_has_a_name_of_its_own(models: tuple[str, ...], tmp_path: Path) -> None:
    """Whatever people call their models."""
    switch = switch_of(robot(tmp_path, *map(llama, models)))
    assert len(switch._llms) == 3


def test_a_brain_that_is_wrong_is_told(tmp_path: Path) -> None:
    """Also one that nobody has chosen yet."""
    wrong = robot(tmp_path, llama("a"), "{type: 'OnboardLLM', model: 'smol'}")
    with pytest.raises(ConfigError, match="There is no on-board model 'smol'"):
        switch_of(wrong)
