"""No block of code in the documentation is only to be read: each is run, parsed or compared."""

from __future__ import annotations

import ast
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import json5
import pytest
import yaml

from reflexarc import RobotConfig, Vocabulary, load_llm
from reflexarc.config import LLMConfig, validate
from reflexarc.registry import PROVIDERS
from reflexarc.runtime.parts import known_connectors, known_inputs
from reflexarc.source import Source
from reflexarc.types import Action
from tests.docs.markdown import INDENTED, PAGES, ROOT, Block, blocks_of, name_of, spans_of
from tests.docs.shell import complaints, is_command, lines_of

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
# The whole of README is one program on the real model, which a test of its own runs.
RUN_BY = {ROOT / "README.md": ROOT / "tests" / "docs" / "test_readme.py"}
KEY = "k" * 32
ROBOT: Mapping[str, Any] = {
    "name": "spot",
    "hertz": 1,
    "cortex_llm": {"type": "OnboardLLM"},
    "agent_actions": [{"name": name, "llm_label": name} for name in ("move", "speak", "emotion")],
}


def of(*languages: str) -> Any:
    """Parametrize by the blocks in these languages."""
    found = [block for block in BLOCKS if block.language in languages]
    return pytest.mark.parametrize("block", found, ids=str)


@cache
def announced(group: str) -> frozenset[str]:
    """What the packages in examples/ announce."""
    files = ROOT.glob("examples/*/pyproject.toml")
    projects = [tomllib.loads(file.read_text())["project"] for file in files]
    return frozenset(name for each in projects for name in each["entry-points"].get(group, ()))


def test_no_language_is_unknown() -> None:
    """A block in a language that no test here looks at is not written."""
    known = {"python", "json5", "json", "sh", "console", "sql", "toml", "yaml", "text", INDENTED}
    assert [str(block) for block in BLOCKS if block.language not in known] == []


def programs() -> Iterator[Any]:
    """The Python blocks of each page, in order, but for those that are a file or have a test."""
    for page in PAGES:
        blocks = [each for each in blocks_of(page) if each.language == "python"]
        free = [each for each in blocks if not (each.file or each.test or page in RUN_BY)]
        if free:
            yield pytest.param(free, id=name_of(page))


@pytest.mark.parametrize("blocks", list(programs()))
def test_python_runs(blocks: list[Block], monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page run one after the other, from the repository's root, with any key."""
    monkeypatch.chdir(ROOT)
    for variable in ("MISTRAL_API_KEY", "OPENAI_API_KEY", "XAI_API_KEY"):
        monkeypatch.setenv(variable, KEY)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block.text, str(block), "exec"), names)


@of("python", "sql")
def test_what_is_run_elsewhere_is(block: Block) -> None:
    """A block that leaves the running to another test is read by that test, by its page's name."""
    test = block.test or RUN_BY.get(block.page)
    if test is not None:
        assert f'"{block.page.name}"' in test.read_text(), f"{name_of(test)} does not read {block}"
    else:
        assert block.language == "python", f"say by which test {block} is run"


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.file], ids=str)
def test_a_block_from_a_file_is_in_it(block: Block) -> None:
    """It stands there word for word."""
    assert block.file is not None
    assert block.text in block.file.read_text(encoding="utf-8")


@of("json5", "json")
def test_settings_are_accepted(block: Block) -> None:
    """What a block shows of a robot's file is accepted, and each brain in it can be made."""
    try:
        data = json5.loads(block.text)
    except ValueError:
        data = json5.loads(f"{{{block.text}}}")
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)", block.text), KEY)
    source = Source(block.text, str(block))
    if data.keys() == Action.model_fields.keys():
        Action.model_validate(data)
    elif "type" in data:
        make(validate(LLMConfig, data, source, environ))
    else:
        robot = validate(RobotConfig, {**ROBOT, **data}, source, environ)
        for brain in (robot.cortex_llm, *robot.brains):
            make(brain)
        Vocabulary.from_actions(robot.agent_actions)
        connectors = {*known_connectors(), *announced("reflexarc.actuators"), None}
        assert {each.connector for each in robot.agent_actions} <= connectors
        inputs = {*known_inputs(), *announced("reflexarc.inputs")}
        assert {each.type for each in robot.agent_inputs} <= inputs


def make(brain: LLMConfig) -> None:
    """Make a brain of ours, with a key for whoever wants one; nothing is opened."""
    if brain.type not in announced("reflexarc.providers"):
        keys = [name for name in os.environ if name.endswith("_API_KEY")]
        assert not keys, "the fixture leaves none"
        environ = {f"{name.removesuffix('LLM').upper()}_API_KEY": KEY for name in PROVIDERS}
        assert load_llm(brain, environ=environ).name


@of("sh", "console", INDENTED)
def test_commands_can_be_given(block: Block) -> None:
    """Commands, options, verbs and files that a block names are there."""
    found = [each for line in lines_of(block) for each in complaints(line)]
    assert not found, f"{block}: {'; '.join(found)}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_prose_are_there(page: Path) -> None:
    """So are those within a line, where what is to be named may be left out."""
    spans = [span for span in spans_of(page) if is_command(span)]
    found = [each for span in spans for each in complaints(span, whole=False)]
    assert not found, f"{name_of(page)}: {'; '.join(found)}"


@of("text", INDENTED)
def test_json_in_output_is_json(block: Block) -> None:
    """A line that begins and ends as an object does is one."""
    for line in block.text.splitlines():
        if line.startswith('{"') and line.endswith("}"):
            json.loads(line)


PARSERS: Mapping[str, Callable[[str], object]] = {
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
    "python": ast.parse,
}


@of(*PARSERS)
def test_it_can_be_parsed(block: Block) -> None:
    """Also where a block is run elsewhere, or is a part of a file."""
    PARSERS[block.language](block.text)
