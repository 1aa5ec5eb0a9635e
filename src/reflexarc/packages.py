"""What reflexarc requires, by its own metadata, and the command that installs it."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from reflexarc.types import Json, as_object

NAME = "reflexarc"

USES: Mapping[str, str] = {
    "mistralai": "MistralLLM needs it at Mistral's own server",
    "xllamacpp": "OnboardLLM needs it",
    "llama-api-client": 'LlamaLLM needs it with transport: "sdk"',
}
"""Packages that only some of the brains need, and when."""

_REQUIREMENT = re.compile(r"\s*([\w.-]+)\s*([^;]*?)\s*(?:;(.*))?")
_CLAUSE = re.compile(r"(>=|!=)\s*([\w.]+)")
_EXTRA = re.compile(r"""\bextra\s*==\s*["']([^"']+)""")
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")


@dataclass(frozen=True, slots=True)
class Requirement:
    """A package that must be there, and in which versions.

    Parameters
    ----------
    name : str
        As its metadata spells it.
    versions : str, default ""
        Such as ``"!=2.4.6,>=3"``; floors and exceptions are understood.
    extra : str, default ""
        Which of our extras wants it; empty for what is always needed.
    """

    name: str
    versions: str = ""
    extra: str = ""

    def __str__(self) -> str:
        return self.name + self.versions

    def allows(self, version: str) -> bool:
        """Whether a version will do.

        Parameters
        ----------
        version : str
            Such as ``"2.10.6"``.

        Returns
        -------
        bool
        """
        return all(
            at_least(version, _numbers(bound)) if sign == ">=" else version != bound
            for sign, bound in _CLAUSE.findall(self.versions)
        )


def requirements() -> list[Requirement]:
    """What reflexarc requires, as it was installed.

    Returns
    -------
    list of Requirement
        Those of the extra ``all``, which repeats the others, left out.
    """
    return [
        requirement
        for line in distribution(NAME).requires or ()
        if (requirement := read_requirement(line)).extra != "all"
    ]


def required_python() -> Requirement:
    """The Python that reflexarc requires, as it was installed.

    Returns
    -------
    Requirement
    """
    return Requirement("Python", distribution(NAME).metadata["Requires-Python"])


def read_requirement(line: str) -> Requirement:
    """Read a line of a package's metadata.

    Parameters
    ----------
    line : str
        Such as ``"rich>=13.9; extra == 'cli'"``.

    Returns
    -------
    Requirement
    """
    found = _REQUIREMENT.fullmatch(line)
    assert found is not None, f"{line!r} is no requirement"
    name, versions, marker = found.groups(default="")
    extra = _EXTRA.search(marker)
    return Requirement(name, versions, extra[1] if extra else "")


def installed_version(name: str) -> str | None:
    """The version of a package that this Python finds.

    Parameters
    ----------
    name : str
        By any spelling of case and hyphens.

    Returns
    -------
    str or None
        None where it is not installed.
    """
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def at_least(version: str, floor: tuple[int, ...]) -> bool:
    """Whether a version is a floor's or later.

    Parameters
    ----------
    version : str
        Such as ``"2.10.6"``; only its first numbers count.
    floor : tuple of int
        Such as ``(2, 10)``.

    Returns
    -------
    bool
        Also where the version is not one that can be read.
    """
    numbers = _numbers(version)
    return not numbers or numbers >= floor


def source() -> str | None:
    """Where this installation of reflexarc came from.

    Returns
    -------
    str or None
        A URL as installers take it; None where it came from an index, so that they find it there
        too.
    """
    data = _direct_url()
    url = str(data.get("url", ""))
    if repository := as_object(data.get("vcs_info")):
        return f"{repository['vcs']}+{url}@{repository['commit_id']}"
    return url or None


def install_command(extra: str = "") -> str:
    """The command that brings this Python what reflexarc requires.

    Parameters
    ----------
    extra : str, default ""
        With which of the extras; empty for none.

    Returns
    -------
    str
        For a shell. It keeps an installation that is one of a folder, such as ``make setup`` makes.
    """
    bracket = f"[{extra}]" if extra else ""
    url = source()
    if url is None:
        target = [f"{NAME}{bracket}"]
    elif (as_object(_direct_url().get("dir_info")) or {}).get("editable"):
        target = ["-e", f"{Path(unquote(urlsplit(url).path))}{bracket}"]
    else:
        target = [f"{NAME}{bracket} @ {url}"]
    return shlex.join([*_INSTALLERS[_installer()], *target])


_INSTALLERS: Mapping[Literal["pip", "uv"], list[str]] = {
    "pip": [sys.executable, "-m", "pip", "install"],
    "uv": ["uv", "pip", "install", "--python", sys.executable],
}


def _installer() -> Literal["pip", "uv"]:
    """The one that this Python has; environments made by uv have no pip."""
    has_pip = importlib.util.find_spec("pip") is not None
    return "uv" if not has_pip and shutil.which("uv") else "pip"


def _direct_url() -> Json:
    """What the installer has noted where it was told a place; PyPA's specification, PEP 610."""
    text = distribution(NAME).read_text("direct_url.json")
    return (as_object(json.loads(text)) if text else None) or {}


def _numbers(version: str) -> tuple[int, ...]:
    found = _NUMBERS.match(version)
    return tuple(map(int, found[0].split("."))) if found else ()
