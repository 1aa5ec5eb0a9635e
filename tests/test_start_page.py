"""The robot on the page that one starts with is right, and so is the program below it."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reflexarc.cli.app import app
from reflexarc.config import RobotConfig, parse_llm
from reflexarc.registry import load_llm
from reflexarc.testing import EMULATORS, Server

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "start.md").read_text()
[ROVER] = re.findall(r"```json5\n(.*?)```", PAGE, re.DOTALL)
[PROGRAM] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
BRAINS = re.findall(r"^\|[^|]+\| `(\{ type: [^…`]+\})`", PAGE, re.MULTILINE)
TURN = '{"actions":[{"type":"drive","value":"turn left"}]}'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the reader has written the robot's file."""
    (tmp_path / "rover.json5").write_text(ROVER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_the_check_prints_what_the_page_shows() -> None:
    """The robot as it is written is right."""
    done = CliRunner().invoke(app, ["config", "check", "rover.json5"])
    assert done.output.strip() == "rover.json5 is right: rover can drive, speak."
    assert f"\n    {done.output.strip()}\n" in PAGE


def test_the_robot_thinks_on_board(folder: Path) -> None:
    """As long as nothing else is written."""
    assert RobotConfig.load(folder / "rover.json5", {}).cortex_llm.type == "OnboardLLM"


@pytest.mark.parametrize("brain", BRAINS)
def test_another_brain_can_be_made(brain: str) -> None:
    """Each that the table has, with the vendors' keys in the environment."""
    keys = {"MISTRAL_API_KEY": "k" * 20, "OPENAI_API_KEY": "k" * 20}
    config = parse_llm(brain, {})
    assert load_llm(config, environ=keys).name == config.type


def test_the_table_has_four_of_them() -> None:
    """They are found on the page."""
    assert len(BRAINS) == 4


async def test_the_program_acts(folder: Path) -> None:
    """On a server, which answers at once; on board it is what README's program does."""
    server = Server(route=lambda request: EMULATORS["llamacpp"].reply(request, TURN))
    async with server:
        brain = f'{{ type: "LlamaLLM", model: "m", base_url: "{server.base_url}" }}'
        robot = ROVER.replace('{ type: "OnboardLLM" }', brain)
        await asyncio.to_thread((folder / "rover.json5").write_text, robot)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
    assert out.decode() == "drive turn left\n"
