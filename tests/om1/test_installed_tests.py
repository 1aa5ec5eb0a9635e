"""The tests that an OM1 checkout gets, as its own suite runs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reflexarc.om1.plugins import render_tests
from tests.om1.conftest import GENERATION_B
from tests.om1.stand_ins import stand_in
from tests.om1.test_install import install

HERE = Path(__file__).parents[1] / "llm/plugins"
# OM1's pytest-asyncio is anyio's plugin here, which does not know the other's mark.
SETTINGS = ("pythonpath=src", "anyio_mode=auto", "markers=asyncio")


def test_those_of_the_first_contract_are_run_here() -> None:
    """What a checkout of the first contract gets is what tests/llm/plugins has."""
    here = {path.name: path.read_text() for path in HERE.glob("*.py")}
    assert {name: here.get(name) for name in render_tests("A")} == render_tests("A")


@pytest.mark.parametrize(("avatar", "chosen"), [(True, ""), (False, "avatar or tool_calls")])
def test_those_of_the_second_contract_pass(tmp_path: Path, avatar: bool, chosen: str) -> None:
    """They run beside OM1's modules, which have the names of the first one's, so in a child."""
    root = stand_in(tmp_path, "B", avatar=avatar)
    for package in ("llm", "providers"):
        shutil.rmtree(root / "src" / package)
        shutil.copytree(GENERATION_B / package, root / "src" / package)
    if not avatar:
        (root / "src/providers/avatar_llm_state_provider.py").unlink()
    install(root)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    settings = [word for setting in SETTINGS for word in ("-o", setting)]
    asked = [*command, *settings, "-k", chosen, "tests/llm/plugins"]
    done = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
