"""Run what is fast of the tests under every other Python that is here, all at once.

    python scripts/try_pythons.py [--whole]

Each Python from 3.11 on that is not this one, on PATH, of pyenv or of uv, gets an environment in
build/ from the same lock files; none is downloaded. --whole runs all tests, one Python after the
other, which takes as often as long as `make test`. Ends with 1 if one of them fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).parent / "uv"
VERSIONS = tuple(f"3.{minor}" for minor in range(11, 16))
ASK = "import sys; print('%d.%d' % sys.version_info[:2])"
LOCKS = ("requirements/all.txt", "requirements/dev.txt")
FAST = (  # where Pythons differ most: event loops, typing, SQL, metadata; and all doctests
    "src/reflexarc",
    "tests/memory/test_store.py",
    "tests/om1/test_environment.py",
    "tests/om1/test_findings.py",
    "tests/resilience/test_failover.py",
    *(f"tests/runtime/test_{name}.py" for name in ("actuators", "inputs", "inputs_mock", "loop")),
    *(f"tests/test_{name}.py" for name in ("config", "decoder", "llm", "machine", "packages")),
    *(f"tests/test_{name}.py" for name in ("registry", "types", "vocabulary")),
)


def candidates() -> Iterator[Path]:
    """Where a Python may be; a name on PATH may be a shim that only says "not installed"."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield from (Path(folder) / f"python{version}" for version in VERSIONS)
    homes = [Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser() / "versions"]
    managed = subprocess.run([UV, "python", "dir"], capture_output=True, text=True, check=False)
    homes += [Path(managed.stdout.strip())] if managed.stdout.strip() else []
    for home in homes:
        yield from sorted(home.glob("*/bin/python3"))


def found() -> dict[str, Path]:
    """The first of each version, this one's left out."""
    pythons: dict[str, Path] = {}
    for path in candidates():
        if not os.access(path, os.X_OK):
            continue
        done = subprocess.run([path, "-c", ASK], capture_output=True, text=True, check=False)
        if (version := done.stdout.strip()) in VERSIONS:
            pythons.setdefault(version, path)
    pythons.pop("{}.{}".format(*sys.version_info[:2]), None)
    return pythons


def test(version: str, python: Path, tests: tuple[str, ...]) -> tuple[str, bool, str]:
    """The version, whether all passed, and what was told."""
    place = ROOT / "build" / f"python{version}"
    install = (UV, "pip", "install", "--quiet", "--python", place, "--no-build-isolation")
    steps = (
        (UV, "venv", "--quiet", "--clear", "--no-project", "--python", python, place),
        *((*install, "--require-hashes", "-r", lock) for lock in LOCKS),
        (*install, "--no-deps", "-e", "."),
        (place / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests),
    )
    told = ""
    for step in steps:
        done = subprocess.run(step, cwd=ROOT, capture_output=True, text=True, check=False)
        told = done.stdout + done.stderr
        if done.returncode:
            return version, False, told
    return version, True, told


def main() -> int:
    """Say how each went; 1 if one failed."""
    is_whole = "--whole" in sys.argv[1:]
    pythons = found()
    if not pythons:
        print("No other Python from 3.11 on is here, so the tests are run under this one only.")
        return 0
    run = partial(test, tests=() if is_whole else FAST)
    with ThreadPoolExecutor(1 if is_whole else len(pythons)) as pool:
        results = sorted(pool.map(run, pythons.keys(), pythons.values()))
    for version, is_right, told in results:
        if not is_right:
            print(told)
        print(f"Python {version}: {told.strip().splitlines()[-1]}")
    return 0 if all(is_right for _, is_right, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
