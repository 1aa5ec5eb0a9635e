"""A checkout of OM1, read without importing anything of it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reflexarc.errors import ConfigError
from reflexarc.om1.plugins import Generation
from reflexarc.types import as_object

PLUGINS = "src/llm/plugins"
BASE = "src/llm/__init__.py"
_ANSWER = "src/llm/output_model.py"
TESTS = "tests/llm/plugins"

_NEEDED = (
    "pyproject.toml",
    "config",
    BASE,
    PLUGINS,
    _ANSWER,
    "src/providers/io_provider.py",
    "src/providers/llm_history_manager.py",
)
_AVATAR = "src/providers/avatar_llm_state_provider.py"
_CONTRACTS: Mapping[tuple[str, ...], Generation] = {
    ("output_model", "config"): "A",
    ("config", "available_actions"): "B",
}


@dataclass(frozen=True, slots=True)
class Checkout:
    """What is known of one.

    Parameters
    ----------
    root : Path
        Its folder, without symbolic links.
    generation : {"A", "B"}
        Its contract with plugins.
    known_by : str
        What that was read from, for people.
    avatar : bool
        Whether it has an avatar that shows people that the robot thinks.
    tests : bool
        Whether it has tests of its plugins.
    """

    root: Path
    generation: Generation
    known_by: str
    avatar: bool
    tests: bool


def read_checkout(path: Path) -> Checkout:
    """Find out what a folder is.

    Parameters
    ----------
    path : Path
        The folder.

    Returns
    -------
    Checkout

    Raises
    ------
    ConfigError
        If it is not an OM1 checkout that a plugin can be put into; the message says why.
    """
    root = path.resolve()
    if not root.is_dir():
        raise ConfigError("there is no such folder; name that of your OM1 checkout", path=str(path))
    missing = [name for name in _NEEDED if not (root / name).exists()]
    if missing and (root / "go.mod").exists() and not (root / BASE).exists():
        raise ConfigError(
            "this is OM1's runtime in Go, which takes no Python plugins; check out a commit with "
            "its Python runtime, from before June 2026",
            path=str(path),
        )
    if missing:
        raise ConfigError(
            f"this is no checkout of OM1's Python runtime: it has no {', no '.join(missing)}; "
            "name the folder that 'git clone' made",
            path=str(path),
        )
    if str(name := _project_name(root)).lower() != "om1":
        raise ConfigError(
            f"this is no OM1 checkout: the project in its pyproject.toml is {name or 'nameless'}, "
            "not om1; name the folder that 'git clone' made",
            path=str(path),
        )
    if b"\nclass Action(" not in (root / _ANSWER).read_bytes():
        raise ConfigError(
            "its answers are no list of Action, and its prompts are of another form, as OM1's were "
            "until 2025-05-17; check out a later commit",
            path=str(root / _ANSWER),
        )
    parameters, needed = _parameters(root)
    generation = _CONTRACTS.get(parameters[:2])
    if generation is None or not needed <= set(parameters[:2]):
        known = " and ".join(f"({', '.join(names)})" for names in _CONTRACTS)
        raise ConfigError(
            f"LLM.__init__ takes ({', '.join(parameters)}); known are {known}, so there is no "
            "plugin for this version of OM1; look for a newer reflexarc",
            path=str(root / BASE),
        )
    known_by = f"LLM.__init__({', '.join(parameters)}) in {BASE}"
    has_tests = (root / TESTS / "__init__.py").exists()
    return Checkout(root, generation, known_by, (root / _AVATAR).exists(), has_tests)


def _project_name(root: Path) -> object:
    path = root / "pyproject.toml"
    try:
        project = as_object(tomllib.loads(path.read_bytes().decode()).get("project"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the file cannot be read: {error}", path=str(path)) from error
    return (project or {}).get("name")


def _parameters(root: Path) -> tuple[tuple[str, ...], set[str]]:
    """The parameters of the constructor of OM1's base class, and those without a default."""
    try:
        tree = ast.parse((root / BASE).read_bytes())
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"the file is no Python: {error}", path=str(root / BASE)) from error
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "LLM":
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                    placed, named = part.args.args[1:], part.args.kwonlyargs
                    needed = placed[: len(placed) - len(part.args.defaults)]
                    defaults = zip(named, part.args.kw_defaults, strict=True)
                    needed += [each for each, default in defaults if default is None]
                    return tuple(each.arg for each in placed + named), {each.arg for each in needed}
    raise ConfigError(
        "it has no class LLM with a constructor, so there is no plugin for this version of OM1; "
        "look for a newer reflexarc",
        path=str(root / BASE),
    )


def defining(root: Path, name: str) -> list[str]:
    """The plugin files that define a class.

    Parameters
    ----------
    root : Path
        The checkout.
    name : str
        The class.

    Returns
    -------
    list of str
        Below the checkout, in order.
    """
    definition = re.compile(rf"^class\s+{re.escape(name)}\s*[(:]".encode(), re.MULTILINE)
    return [
        f"{PLUGINS}/{path.name}"
        for path in sorted((root / PLUGINS).glob("*.py"))
        if path.is_file() and definition.search(path.read_bytes())
    ]


def changed_files(root: Path) -> list[str] | None:
    """The tracked files that differ from the last commit.

    Parameters
    ----------
    root : Path
        The checkout.

    Returns
    -------
    list of str or None
        Below the checkout; None where git cannot tell.
    """
    prefix = _git(root, "rev-parse", "--show-prefix")
    answer = _git(root, "status", "--porcelain", "-z", "--untracked-files=no", "--", ".")
    if prefix is None or answer is None:
        return None
    above = os.fsdecode(prefix).rstrip("\n")  # git names files from its own root
    entries = iter(os.fsdecode(answer).split("\0"))
    found: list[str] = []
    for entry in filter(None, entries):
        found.append(entry[3:].removeprefix(above))
        if entry[0] in "RC":  # the name before the change follows
            found.append(next(entries).removeprefix(above))
    return sorted(found)


def committed(root: Path, path: str) -> bytes | None:
    """A file as it is in the last commit.

    Parameters
    ----------
    root : Path
        The checkout.
    path : str
        Below it.

    Returns
    -------
    bytes or None
        None where it is not in the commit.
    """
    return _git(root, "show", f"HEAD:./{path}")


def _git(root: Path, *arguments: str) -> bytes | None:
    # No monitor: a repository's own configuration could name any program as one. No locks: a look
    # at a checkout writes nothing. No variables: a hook of another repository has set them.
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", *arguments]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(command, cwd=root, env=environ, capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
