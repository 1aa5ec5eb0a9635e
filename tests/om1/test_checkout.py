"""A checkout of OM1, read without importing it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reflexarc.errors import ConfigError
from reflexarc.om1.checkout import changed_files, committed, defining, read_checkout
from reflexarc.om1.plugins import Generation
from tests.om1.stand_ins import PYPROJECT, commit, git, stand_in, write

BASE = "src/llm/__init__.py"


def constructor(parameters: str) -> str:
    """A base class of OM1's."""
    return f"class LLM:\n    def __init__(self, {parameters}): ...\n"


def refused(path: Path) -> str:
    """Why a folder is no checkout that is known."""
    with pytest.raises(ConfigError) as caught:
        read_checkout(path)
    return caught.value.message


@pytest.mark.parametrize("generation", ["A", "B"])
@pytest.mark.parametrize("avatar", [False, True])
def test_the_generation_is_that_of_the_constructor(
    tmp_path: Path, generation: Generation, avatar: bool
) -> None:
    """Which contract a checkout has is read from its base class, and so is whether it shows."""
    found = read_checkout(stand_in(tmp_path, generation, avatar=avatar))
    assert (found.root, found.generation, found.avatar) == (tmp_path, generation, avatar)
    assert "LLM.__init__(" in found.known_by


def test_what_a_contract_gains_with_a_default_does_not_matter(tmp_path: Path) -> None:
    """A plugin that hands over what it always did still works."""
    more = "config: LLMConfig, available_actions: list | None = None, tracer=None, *, name='x'"
    write(stand_in(tmp_path) / BASE, constructor(more))
    assert read_checkout(tmp_path).generation == "B"


@pytest.mark.parametrize(
    "name",
    [
        "pyproject.toml",
        BASE,
        "src/providers/io_provider.py",
        "src/providers/llm_history_manager.py",
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, name: str) -> None:
    """A folder that is no checkout is refused by what it lacks."""
    (stand_in(tmp_path) / name).unlink()
    assert f"it has no {name}" in refused(tmp_path)


def test_the_runtime_in_go_has_a_sentence_of_its_own(tmp_path: Path) -> None:
    """OM1 as it is since June 2026 takes no Python plugins, and the way back is told."""
    write(tmp_path / "go.mod", "module om1\n")
    assert "runtime in Go" in refused(tmp_path)
    assert "before June 2026" in refused(tmp_path)


def test_om1s_first_months_are_refused(tmp_path: Path) -> None:
    """Until then the prompt told the actions in another form, and the answer was of commands."""
    write(stand_in(tmp_path) / "src/llm/output_model.py", "class Command(BaseModel): ...\n")
    assert "until 2025-05-17" in refused(tmp_path)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    """A wrong path is told as such."""
    assert "there is no such folder" in refused(tmp_path / "OM1")


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("pyproject.toml", PYPROJECT.replace('"om1"', '"om2"'), "is om2, not om1"),
        ("pyproject.toml", "[tool]\n", "is nameless, not om1"),
        ("pyproject.toml", "[project\n", "cannot be read"),
        (BASE, "class LLM(:\n", "is no Python"),
        (BASE, "class LLM:\n    pass\n", "no class LLM with a constructor"),
        (BASE, constructor("brain"), "LLM.__init__ takes (brain)"),
        (BASE, constructor("config, available_actions, tracer"), "available_actions, tracer)"),
        (BASE, constructor("config, available_actions=None, *, tracer"), "actions, tracer)"),
    ],
)
def test_another_project_or_contract_is_refused(
    tmp_path: Path, name: str, text: str, why: str
) -> None:
    """A plugin is put only where its contract is known."""
    write(stand_in(tmp_path) / name, text)
    assert why in refused(tmp_path)


def test_a_class_is_found_where_om1_would_find_it(tmp_path: Path) -> None:
    """The plugin files that define a class at their top level are named."""
    root = stand_in(tmp_path)
    write(root / "src/llm/plugins/b.py", "class MistralLLM(LLM):\n    pass\n")
    write(root / "src/llm/plugins/c.py", "if 1:\n    class MistralLLM(LLM): ...\n")
    write(root / "src/llm/plugins/d.py", "class MistralLLMs(LLM):\n    pass\n")
    assert defining(root, "MistralLLM") == ["src/llm/plugins/b.py"]


def test_git_tells_what_has_changed(tmp_path: Path) -> None:
    """Changes of tracked files count, renamed and deleted ones too; new files do not."""
    root = stand_in(tmp_path, git=True)
    assert changed_files(root) == []
    write(root / "new.txt", "")
    write(root / "README.md", "changed")
    git(root, "mv", "config/spot.json5", "config/dot é.json5")
    (root / "uv.lock").unlink()
    assert changed_files(root) == [
        "README.md",
        "config/dot é.json5",
        "config/spot.json5",
        "uv.lock",
    ]


def test_git_names_files_from_the_checkout(tmp_path: Path) -> None:
    """A checkout inside a larger repository is told apart from what is around it."""
    root = stand_in(tmp_path / "robots" / "om1")
    write(tmp_path / "other.txt", "")
    commit(tmp_path)
    write(tmp_path / "other.txt", "changed")
    write(root / "README.md", "changed")
    assert changed_files(root) == ["README.md"]
    assert committed(root, "README.md") == b"# OM1\n"


def test_a_folder_that_git_does_not_know_is_none(tmp_path: Path) -> None:
    """Without git, it is not known what has changed, which is not the same as nothing."""
    assert changed_files(stand_in(tmp_path)) is None
    assert committed(tmp_path, "README.md") is None


def test_a_look_writes_nothing(tmp_path: Path) -> None:
    """Not even git's own index is refreshed, and no monitor of its configuration is started."""
    root = stand_in(tmp_path, git=True)
    monitor = write(tmp_path / "monitor", f"#!/bin/sh\ntouch {tmp_path}/started\n")
    monitor.chmod(0o755)
    git(root, "config", "core.fsmonitor", str(monitor))
    write(root / "README.md", "changed")
    before = (root / ".git/index").read_bytes()
    assert changed_files(root) == ["README.md"]
    assert (root / ".git/index").read_bytes() == before
    assert not (tmp_path / "started").exists()
