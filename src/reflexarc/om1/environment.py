"""The packages and keys that a checkout of OM1 runs with, looked up without importing any."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Literal

from reflexarc.types import objects_in


@dataclass(frozen=True, slots=True)
class Environment:
    """What is known of it.

    Parameters
    ----------
    known_by : {".venv", "uv.lock", ""}
        Where the packages were read; empty where they are not known.
    packages : dict of str to str, default {}
        Versions by name, in lower case with hyphens.
    python : tuple of int, default ()
        Major and minor version; empty where it is not known.
    """

    known_by: Literal[".venv", "uv.lock", ""]
    packages: Mapping[str, str] = field(default_factory=dict[str, str])
    python: tuple[int, ...] = ()


def read_environment(root: Path) -> Environment:
    """Find out with which packages a checkout runs.

    Parameters
    ----------
    root : Path
        The checkout.

    Returns
    -------
    Environment
        Of its ``.venv``, else as its ``uv.lock`` would make it.
    """
    python = _python(root)
    folders = [str(path) for path in sorted((root / ".venv/lib").glob("python3*/site-packages"))]
    if folders:
        packages = {
            _canonical(each.metadata["Name"]): each.version
            for each in distributions(path=folders)
            if "Name" in each.metadata  # a broken installation has some without
        }
        return Environment(".venv", packages, python)
    try:
        entries = objects_in(tomllib.loads((root / "uv.lock").read_bytes().decode()).get("package"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return Environment("", {}, python)
    locked = {str(each.get("name")): str(each.get("version", "")) for each in entries}
    return Environment("uv.lock", locked, python)


def has_variable(root: Path, name: str, environ: Mapping[str, str]) -> bool:
    """Whether OM1 will find a variable; its value is nobody's business.

    Parameters
    ----------
    root : Path
        The checkout, whose ``.env`` OM1 reads.
    name : str
        The variable.
    environ : mapping of str to str
        The process's environment.

    Returns
    -------
    bool
        False where it is there and empty.
    """
    if environ.get(name):
        return True
    try:
        text = (root / ".env").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    setting = rf"^[ \t]*(?:export[ \t]+)?{re.escape(name)}[ \t]*=[ \t]*(?![\"']{{2}})[^\s#]"
    return re.search(setting, text, re.MULTILINE) is not None


def _python(root: Path) -> tuple[int, ...]:
    """The interpreter's version: the environment's, else the one that the checkout asks for."""
    for name, pattern in ((".venv/pyvenv.cfg", r"^version\w*\s*=\s*"), (".python-version", r"^")):
        try:
            text = (root / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if found := re.search(rf"{pattern}(\d+)\.(\d+)", text, re.MULTILINE):
            return int(found[1]), int(found[2])
    return ()


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
