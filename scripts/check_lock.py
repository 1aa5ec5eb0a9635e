"""Do pyproject.toml and the lock files still say the same? Needs no network."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def main() -> int:
    """Print every disagreement, one sentence each; 1 if there was any."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {
        "requirements/all.txt": [*runtime(pyproject), *group(pyproject, "build")],
        "requirements/dev.txt": [
            *runtime(pyproject),
            *group(pyproject, "build"),
            *group(pyproject, "dev"),
        ],
        "requirements/bench/reflexarc.txt": [*runtime(pyproject, ("mistral", "llama"))],
        **{
            str(peer.with_suffix(".txt").relative_to(ROOT)): [
                Requirement(line) for line in peer.read_text().splitlines()
            ]
            for peer in sorted((ROOT / "requirements/bench").glob("*.in"))
        },
    }
    complaints = [line for name, asked in wanted.items() for line in complaints_of(name, asked)]
    for line in complaints:
        print(line, file=sys.stderr)
    if complaints:
        print("Run 'make lock' to rebuild the lock files.", file=sys.stderr)
    return 1 if complaints else 0


def runtime(
    pyproject: dict[str, object], only: Sequence[str] | None = None
) -> Iterator[Requirement]:
    """The requirements of the package and of its extras, without its references to itself."""
    project = pyproject["project"]
    every = project["optional-dependencies"]
    extras = [every[name] for name in (every if only is None else only)]
    for text in [*project["dependencies"], *(text for extra in extras for text in extra)]:
        requirement = Requirement(text)
        if requirement.name != project["name"]:
            yield requirement


def group(pyproject: dict[str, object], name: str) -> Iterator[Requirement]:
    """The requirements of a dependency group and of those it includes."""
    for entry in pyproject["dependency-groups"][name]:
        if isinstance(entry, dict):
            yield from group(pyproject, entry["include-group"])
        else:
            yield Requirement(entry)


def complaints_of(name: str, asked: list[Requirement]) -> Iterator[str]:
    """What is wrong with one lock file."""
    text = (ROOT / name).read_text()
    pins = {canonicalize_name(package): version for package, version in PIN.findall(text)}
    if "://" in text:
        yield f"{name} names a host; packages come from wherever the reader's own tools look."
    for requirement in asked:
        version = pins.get(canonicalize_name(requirement.name))
        if version is None:
            yield f"{name} lacks {requirement.name}, which pyproject.toml asks for."
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"{name} has {requirement.name} {version}; pyproject.toml asks for {requirement}."


if __name__ == "__main__":
    sys.exit(main())
