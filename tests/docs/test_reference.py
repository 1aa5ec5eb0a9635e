"""The pages about settings, commands and Python names say what the code is."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from reflexarc.config import LLMConfig, RobotConfig
from tests.docs.markdown import ROOT

WRITER: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "write_reference.py"))
FOLDER = ROOT / "docs" / "reference"
PAGES: dict[str, str] = WRITER["pages"]()
# Where there is a screen, and where home is: no settings of ours.
OF_THE_SYSTEM = {"DISPLAY", "HOME", "WAYLAND_DISPLAY"}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_would_be_written(name: str) -> None:
    """After a change of a field, a help text or a docstring run scripts/write_reference.py."""
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name], (
        f"docs/reference/{name} is not as the code is now; run: "
        ".venv/bin/python scripts/write_reference.py"
    )


def test_no_page_is_left_behind() -> None:
    """What is in the folder was written."""
    assert {path.name for path in FOLDER.iterdir()} == PAGES.keys()


@pytest.mark.parametrize("model", [LLMConfig, RobotConfig])
def test_every_setting_has_a_heading_and_an_example(model: type[LLMConfig | RobotConfig]) -> None:
    """With what it takes, and its default."""
    for name, field in model.model_fields.items():
        shown = re.escape(field.alias or name)
        facts = "needed" if field.is_required() else "(default `.*`|may be left out)"
        assert re.search(
            rf"^### `{shown}`\n\n\S.*\n\n\S.* · {facts} · as in `{shown}: .*`$",
            PAGES["configuration.md"],
            re.MULTILINE,
        ), shown


def test_every_variable_is_told_of() -> None:
    """What the source reads from the environment by name is on the page."""
    pattern = re.compile(r'(?:environ\.get\(|environ\[|xdg_directory\(environ, )"([A-Z_]+)"')
    files: list[Path] = sorted((ROOT / "src" / "reflexarc").rglob("*.py"))
    read = {name for file in files for name in pattern.findall(file.read_text())}
    assert "REFLEXARC_TOKEN" in read
    told = set(re.findall(r"^\| `([A-Z_]+)` \|", PAGES["configuration.md"], re.MULTILINE))
    assert read - OF_THE_SYSTEM - told == set()
