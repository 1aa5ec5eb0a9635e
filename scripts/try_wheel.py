"""Build the wheel and the sdist, look into them, and use the wheel as a robot would.

    python scripts/try_wheel.py [--python PYTHON]

The wheel is installed with every extra into an empty environment, beside what OM1 pins
(requirements/om1.txt). There, from an empty folder, the on-board model is fetched, `doctor` must be
content, and a question is asked. Ends with 1 and one sentence if anything is not as it should be.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "requirements" / "om1.txt"
TOOLS = Path(sys.executable).parent
PACKAGE = ROOT / "src" / "reflexarc"
IN_SDIST = ("LICENSE", "README.md", "pyproject.toml", "src/llm/__init__.py", "tests/conftest.py")
QUESTION = "A person says: please sit down."


class WrongError(Exception):
    """What is not as it should be, as a sentence."""


def run(*command: str | Path, cwd: Path, environ: dict[str, str] | None = None) -> str:
    """What a program prints; its complaint is ours."""
    environ = {**os.environ, **(environ or {})}
    done = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        told = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise WrongError(f"{' '.join(map(str, command))} ended with {done.returncode}: {told}")
    return done.stdout


def build(source: Path, target: Path, kind: str) -> Path:
    """Build one kind of distribution, with what is installed here already."""
    run(TOOLS / "python", "-m", "hatchling", "build", "-t", kind, "-d", target, cwd=source)
    (built,) = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


def check_wheel(wheel: Path) -> None:
    """It has the whole package, the licence, and nothing else."""
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc")
    wanted = {str(path.relative_to(PACKAGE.parent)) for path in files}
    found = set(zipfile.ZipFile(wheel).namelist())
    info = {name for name in found if name.split("/")[0].endswith(".dist-info")}
    if different := sorted(wanted ^ (found - info)):
        raise WrongError(f"the wheel and the package differ in {', '.join(different)}")
    for name in ("py.typed", "web/static/index.html", "om1/templates/plugin_b.txt"):
        if f"reflexarc/{name}" not in found:
            raise WrongError(f"the wheel lacks {name}")
    if not any(name.endswith("licenses/LICENSE") for name in info):
        raise WrongError("the wheel lacks the licence")


def check_sdist(sdist: Path, wheel: Path, scratch: Path) -> None:
    """It has what a packager needs, and makes the same wheel, byte for byte."""
    shutil.unpack_archive(sdist, scratch)
    (source,) = scratch.iterdir()
    for name in IN_SDIST:
        if not (source / name).is_file():
            raise WrongError(f"the sdist lacks {name}")
    again = build(source, scratch / "again", "wheel")
    if again.read_bytes() != wheel.read_bytes():
        raise WrongError("the wheel from the sdist is not the one from the checkout")


def use(wheel: Path, python: str, scratch: Path) -> None:
    """Install it beside OM1's pins, and do what a newcomer does."""
    uv, place = TOOLS / "uv", scratch / "environment"
    run(uv, "venv", "--quiet", "--no-project", "--python", python, place, cwd=scratch)
    into = ("--quiet", "--python", place)
    run(uv, "pip", "install", *into, f"{wheel}[all]", "-r", PINS, cwd=scratch)
    run(uv, "pip", "check", *into, cwd=scratch)
    environ = {
        "PATH": f"{place / 'bin'}{os.pathsep}{TOOLS}{os.pathsep}{os.environ['PATH']}",
        **{f"XDG_{name}_HOME": str(scratch / name) for name in ("DATA", "CACHE", "STATE")},
    }

    def reflexarc(*arguments: str | Path) -> str:
        return run(place / "bin" / "reflexarc", *arguments, cwd=scratch, environ=environ)

    for command in ((), ("run",), ("om1", "install")):
        if "Usage: reflexarc" not in (told := reflexarc(*command, "--help")):
            raise WrongError(f"the help of {command} is {told}")
    reflexarc("models", "pull")
    checks = [json.loads(line) for line in reflexarc("doctor", "--json").splitlines()]
    lacking = [
        each["name"]
        for each in checks
        if each["state"] != "ok" and not each["name"].endswith("_API_KEY")
    ]
    if lacking:
        raise WrongError(f"doctor misses {', '.join(lacking)}")
    robot = ROOT / "config" / "spot_onboard.json5"
    first = json.loads(reflexarc("ask", QUESTION, "--config", robot, "--json").splitlines()[0])
    if (first["type"], first["value"]) != ("move", "sit"):
        raise WrongError(f"asked to sit, the robot did {first}")


def main() -> None:
    """Each step, with the seconds it took."""
    parser = argparse.ArgumentParser(description="Build, check and use the wheel.")
    parser.add_argument("--python", default=sys.executable, help="for the empty environment")
    python = parser.parse_args().python
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        (scratch / "source").mkdir()
        (scratch / "robot").mkdir()
        begun = time.monotonic()
        wheel = build(ROOT, scratch / "wheel", "wheel")
        check_wheel(wheel)
        check_sdist(build(ROOT, scratch / "sdist", "sdist"), wheel, scratch / "source")
        built = time.monotonic()
        use(wheel, python, scratch / "robot")
        used = time.monotonic()
    print(
        f"{wheel.name}: built and checked in {built - begun:.0f} s, installed beside OM1's pins "
        f"and used in {used - built:.0f} s"
    )


if __name__ == "__main__":
    try:
        main()
    except WrongError as wrong:
        sys.exit(f"The wheel is not right: {wrong}")
