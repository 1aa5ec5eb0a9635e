"""Stand-ins for OM1 checkouts: as little as an installer looks at, in our own words."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from reflexarc.om1.plugins import Generation

PARAMETERS = {"A": "output_model, config=None", "B": "config, available_actions=None"}

PYPROJECT = """\
[build-system]
requires = ["hatchling"]

[project]
name = "om1"
version = "0.1.0"
requires-python = ">=3.10"
dependencies = [
    "json5==0.10.0",
    "om1-modules @ git+https://example.org/om1-modules.git@0123456",
]

[project.optional-dependencies]
dds = ["cyclonedds"]
"""

# Whoever imports it, fails: a checkout is read.
BASE = """\
raise RuntimeError("a checkout is never imported")


class LLMConfig:
    pass


class LLM:
    def __init__(self, {parameters}):
        pass
"""

LOCK = """\
version = 1

[[package]]
name = "pydantic"
version = "2.10.6"

[[package]]
name = "json5"
version = "0.10.0"
"""

NAVIGATION = """\
{
    "name": "OM1",
    "navigation": [
        {
            "pages": [
                "developing/4_inputs",
                "developing/5_llms"
            ]
        }
    ]
}
"""

SUMMARY = """\
# Summary

* [Inputs](developing/4_inputs.md)
* [LLMs](developing/5_llms.md)
* [Actions](developing/6_actions.md)
"""

PAGE = "# LLMs\n\nHow a robot thinks.\n"
HEAD = '---\ntitle: LLMs\ndescription: "How a robot thinks"\n---\n'

SHARED = {
    "pyproject.toml": PYPROJECT,
    "uv.lock": LOCK,
    "README.md": "# OM1\n",
    "config/spot.json5": "{}\n",
    "src/llm/output_model.py": '"""The answer."""\n\nclass Action(BaseModel): ...\n',
    "src/llm/plugins/__init__.py": "",
    "src/llm/plugins/openai_llm.py": "class OpenAILLM(LLM):\n    pass\n",
    "src/providers/io_provider.py": "",
    "src/providers/llm_history_manager.py": "",
    "tests/__init__.py": "",
    "tests/llm/__init__.py": "",
    "tests/llm/plugins/__init__.py": "",
}
OF = {
    "A": {
        "env.example": "# Key of OpenMind\nOM_API_KEY=\nURID=",
        "docs/developing/5_llms.mdx": HEAD + PAGE,
        "mintlify/developing/5_llms.mdx": HEAD + PAGE,
        "mintlify/docs.json": NAVIGATION,
    },
    "B": {
        ".env.example": "# Key of OpenMind\nOM_API_KEY=\n",
        "docs/developing/5_llms.md": PAGE,
        "docs/SUMMARY.md": SUMMARY,
    },
}


def stand_in(
    folder: Path,
    generation: Generation = "A",
    *,
    avatar: bool = False,
    newline: str = "\n",
    git: bool = False,
) -> Path:
    """Make one, as a commit if git is asked for."""
    files = {**SHARED, **OF[generation]}
    files["src/llm/__init__.py"] = BASE.format(parameters=PARAMETERS[generation])
    if avatar:
        files["src/providers/avatar_llm_state_provider.py"] = ""
    for name, text in files.items():
        write(folder / name, text.replace("\n", newline))
    if git:
        commit(folder)
    return folder


def write(path: Path, text: str) -> Path:
    """Write a file as it is, line ends and all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def commit(folder: Path) -> None:
    """Commit everything, in a repository of its own if there is none."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "A state of it")


def git(folder: Path, *arguments: str) -> str:
    """Run git, whatever the person running the tests has told it."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    nobody = {
        f"GIT_{role}_{what}": "nobody@example.org"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    closed = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    command = ["git", "-c", "core.autocrlf=false", *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**environ, **nobody, **closed}, check=True, capture_output=True
    )
    return done.stdout.decode()


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file, byte for byte, with its permissions."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }
