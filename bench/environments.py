"""An environment for each library, so that none is measured with what another one needs.

Each is made from its lock file, checked by hash, under build/bench, and made again when that file
has changed.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "build/bench"
LOCKS = ROOT / "requirements/bench"


class UnmadeError(Exception):
    """An environment cannot be made, in one sentence."""


def python_of(name: str) -> Path:
    """The interpreter of an environment, which is made if it is not there or out of date."""
    lock, place = LOCKS / f"{name}.txt", BUILT / name
    python, stamp = place / "bin/python", place / ".stamp"
    commands = _commands(place, python, lock)
    sum_ = hashlib.sha256(lock.read_bytes() + repr(commands).encode()).hexdigest()
    if python.exists() and stamp.is_file() and stamp.read_text() == sum_:
        return python
    print(f"Making the environment of {name} …", file=sys.stderr, flush=True)
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    log = BUILT / f"{name}.log"
    with log.open("w") as written:
        for command in commands:
            if subprocess.run(
                command, stdout=written, stderr=subprocess.STDOUT, check=False
            ).returncode:
                raise UnmadeError(
                    f"the environment of {name} cannot be made; {log.relative_to(ROOT)} says why"
                )
    stamp.write_text(sum_)
    return python


def _commands(place: Path, python: Path, lock: Path) -> list[list[str]]:
    """What makes it, with byte code as pip leaves it: else each import would compile anew."""
    if uv := shutil.which("uv") or shutil.which("uv", path=ROOT / ".venv/bin"):
        return [
            [uv, "venv", "--no-project", "--python", sys.executable, str(place)],
            [uv, "pip", "install", "--python", str(python), "--compile-bytecode",
             "--require-hashes", "-r", str(lock)],
        ]  # fmt: skip
    return [
        [sys.executable, "-m", "venv", str(place)],
        [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--require-hashes",
         "-r", str(lock)],
    ]  # fmt: skip
