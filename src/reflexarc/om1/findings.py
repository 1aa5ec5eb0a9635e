"""What is right and what is wrong with our plugins in an OM1 checkout, and what mends it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from reflexarc.om1.additions import requirement
from reflexarc.om1.checkout import Checkout, read_checkout
from reflexarc.om1.environment import Environment, has_variable, read_environment
from reflexarc.om1.manifest import read_manifest
from reflexarc.onboard.models import DEFAULT, ModelStore, default_root
from reflexarc.packages import USES, at_least

Level = Literal["ok", "note", "problem"]

_PYTHON = (3, 11)
_FLOORS = {"aiohttp": (3, 11), "json5": (0, 10), "pydantic": (2, 10)}
_MISTRALAIS_PYDANTIC = (2, 11, 2)
_BROKEN_MISTRALAI = "2.4.6"

_MESSAGES = "src/zenoh_msgs"
_OLD_DEFAULT = re.compile(r"^    \w+: (\w+) = \1\(", re.MULTILINE)  # a mutable default

_NEWER_PYTHON = "export UV_PYTHON=3.12"
_UPDATE = "uv sync"


@dataclass(frozen=True, slots=True)
class Finding:
    """One.

    Parameters
    ----------
    level : {"ok", "note", "problem"}
        With a problem, a plugin does not work; with a note, one may not.
    what : str
        What was found.
    do : str, default ""
        What mends it.
    """

    level: Level
    what: str
    do: str = ""


def check(path: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look at a checkout; nothing is changed, and nothing of it imported.

    Parameters
    ----------
    path : Path
        The checkout.
    environ : mapping of str to str
        Where keys are looked up, and where the models on board are.

    Yields
    ------
    Finding

    Raises
    ------
    ConfigError
        If it is no checkout that is known, or its manifest cannot be read.
    """
    checkout = read_checkout(path)
    root = checkout.root
    yield Finding("ok", f"OM1 of generation {checkout.generation}, by {checkout.known_by}")
    yield from _installed(checkout)
    environment = read_environment(root)
    yield from _python(environment)
    yield from hindrances(root)
    yield from _packages(root, environment)
    if has_variable(root, "MISTRAL_API_KEY", environ):
        yield Finding("ok", "MISTRAL_API_KEY is set")
    else:
        what = "MISTRAL_API_KEY is not set; MistralLLM needs it at Mistral's own server"
        yield Finding("note", what, f"write it into {root / '.env'}")
    state = ModelStore(default_root(environ)).status(DEFAULT).state
    is_here = state in ("present", "intact")
    told = f"the model of OnboardLLM, {DEFAULT}, is {state}"
    yield Finding("ok", told) if is_here else Finding("note", told, "reflexarc models pull")


def hindrances(root: Path) -> Iterator[Finding]:
    """What of OM1's own code keeps it from running where our plugins run.

    Parameters
    ----------
    root : Path
        The checkout.

    Yields
    ------
    Finding
    """
    # From 2025-10-13 on, until OM1's #2485 of 2026-03-30 moved it to Python 3.12.
    for path in sorted((root / _MESSAGES).rglob("*.py")):
        if _OLD_DEFAULT.search(path.read_text(encoding="utf-8", errors="replace")):
            what = f"OM1's own {path.relative_to(root)} can be imported by Python 3.10 only"
            do = "check out OM1 of 2026-03-30 or later; reflexarc needs Python 3.11 or newer"
            yield Finding("problem", what, do)


def next_steps(root: Path) -> list[str]:
    """What to type after an install, so that OM1's environment has what the plugins need.

    Parameters
    ----------
    root : Path
        The checkout.

    Returns
    -------
    list of str
        Commands of a shell; the last one starts an example robot.
    """
    python = read_environment(root).python
    newer = [_NEWER_PYTHON] if python and python < _PYTHON else []
    return [f"cd {shlex.quote(str(root))}", *newer, _UPDATE, "uv run src/run.py spot_onboard"]


def _installed(checkout: Checkout) -> Iterator[Finding]:
    install = f"reflexarc om1 install {shlex.quote(str(checkout.root))}"
    manifest = read_manifest(checkout.root)
    here = version("reflexarc")
    if manifest is None:
        yield Finding("problem", "the plugins are not installed", install)
        return
    installed = f"the plugins of reflexarc {manifest.version} are installed"
    asked = manifest.inserted.get("pyproject.toml")
    if manifest.version != here:
        yield Finding("note", f"{installed}, and this is {here}", install)
    elif asked and requirement() not in asked.text:
        what = "pyproject.toml asks for reflexarc from another place than this one came from"
        yield Finding("note", what, install)
    else:
        yield Finding("ok", installed)
    if manifest.generation != checkout.generation:
        what = f"the plugins are for OM1 of generation {manifest.generation}"
        yield Finding("problem", what, install)
    for path in manifest.edited(checkout.root):
        do = "take the edits back before 'reflexarc om1 remove', which refuses to lose them"
        yield Finding("note", f"{path} was edited since it was installed", do)
    for path in sorted(manifest.created):
        if not (checkout.root / path).is_file():
            yield Finding("problem", f"{path} is gone since it was installed", install)


def _python(environment: Environment) -> Iterator[Finding]:
    python = environment.python
    if python and python < _PYTHON:
        what = f"Python is {python[0]}.{python[1]} there, and reflexarc needs 3.11 or newer"
        yield Finding("problem", what, f"{_NEWER_PYTHON} && {_UPDATE}")


def _packages(root: Path, environment: Environment) -> Iterator[Finding]:
    packages, where = environment.packages, environment.known_by
    update = f"cd {shlex.quote(str(root))} && {_UPDATE}"
    if not where:
        yield Finding("note", "packages are not known: there is no .venv and no uv.lock", update)
        return
    if "reflexarc" in packages:
        yield Finding("ok", f"reflexarc {packages['reflexarc']} is in {where}")
        for name in USES.keys() - packages.keys():
            yield Finding("note", f"{name} is not in {where}; {USES[name]}", update)
    else:
        yield Finding("problem", f"reflexarc is not in {where}", update)
    for name, floor in _FLOORS.items():
        if not at_least(packages.get(name, ""), floor):
            least = ".".join(map(str, floor))
            what = f"{name} in {where} is {packages[name]}, and reflexarc needs {least} or newer"
            yield Finding("problem", what, _upgrade(name))
    yield from _mistralai(environment)


def _mistralai(environment: Environment) -> Iterator[Finding]:
    packages, where = environment.packages, environment.known_by
    mistralai, pydantic = packages.get("mistralai", ""), packages.get("pydantic", "")
    if not at_least(mistralai, (3,)) or mistralai == _BROKEN_MISTRALAI:
        what = f"mistralai in {where} is {mistralai}, and MistralLLM needs 3 or newer"
        yield Finding("problem", what, _upgrade("mistralai"))
    if not at_least(pydantic, _MISTRALAIS_PYDANTIC):
        what = f"pydantic in {where} is {pydantic}, and mistralai needs 2.11.2 or newer"
        yield Finding("problem" if mistralai else "note", what, _upgrade("pydantic"))


def _upgrade(name: str) -> str:
    return f"uv lock --upgrade-package {name} && {_UPDATE}"
