"""Where a robot's memory is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from reflexarc.config import RobotConfig
from reflexarc.onboard.models import xdg_directory

SUFFIX = ".sqlite3"

_LONGEST_NAME = 60
_UNSAFE = re.compile(r"[^\w.-]+")


def default_folder(environ: Mapping[str, str]) -> Path:
    """The folder of all memories.

    Parameters
    ----------
    environ : mapping of str to str
        The environment.

    Returns
    -------
    Path
        ``$XDG_STATE_HOME/reflexarc/memory``; see `xdg_directory`.
    """
    return xdg_directory(environ, "XDG_STATE_HOME", ".local/state") / "memory"


def default_memory(environ: Mapping[str, str], robot: str) -> Path:
    """The memory of a robot whose file names none.

    Parameters
    ----------
    environ : mapping of str to str
        The environment.
    robot : str
        Its name; what no file may be called is replaced, and then a part of the name's hash is
        added, so that two robots have two files.

    Returns
    -------
    Path
        In `default_folder`.
    """
    safe = _UNSAFE.sub("-", robot).strip(".-")[:_LONGEST_NAME]
    if safe != robot or not safe:
        told = hashlib.sha256(robot.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        safe = f"{safe}-{told}".lstrip("-")
    return default_folder(environ) / f"{safe}{SUFFIX}"


def memory_of(robot: RobotConfig, environ: Mapping[str, str]) -> Path | None:
    """The memory of a robot.

    Parameters
    ----------
    robot : RobotConfig
        Its `memory` may name a file; ``~`` is the home directory.
    environ : mapping of str to str
        The environment.

    Returns
    -------
    Path or None
        None if the robot is to remember nothing.
    """
    if robot.memory is None:
        return None
    path = robot.memory.path
    return default_memory(environ, robot.name) if path is None else path.expanduser()


def newest_memory(environ: Mapping[str, str]) -> Path | None:
    """The memory that was written last, of those in `default_folder`.

    Parameters
    ----------
    environ : mapping of str to str
        The environment.

    Returns
    -------
    Path or None
        None if there is none.
    """
    return max(default_folder(environ).glob(f"*{SUFFIX}"), key=_written_at, default=None)


def _written_at(path: Path) -> float:
    files = (path, path.with_name(f"{path.name}-wal"))
    return max((each.stat().st_mtime for each in files if each.exists()), default=0.0)
