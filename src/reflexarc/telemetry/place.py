"""Where the traces of a robot are: one file a day, by UTC, as the times in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from reflexarc.memory.place import default_memory
from reflexarc.onboard.models import xdg_directory

_NAME = re.compile(r"(\d{4}-\d\d-\d\d)(?:\.(\d+))?\.jsonl")


def default_traces(environ: Mapping[str, str]) -> Path:
    """The folder of all robots' traces.

    Parameters
    ----------
    environ : mapping of str to str
        The environment.

    Returns
    -------
    Path
        ``$XDG_STATE_HOME/reflexarc/traces``; see `xdg_directory`.
    """
    return xdg_directory(environ, "XDG_STATE_HOME", ".local/state") / "traces"


def traces_of(environ: Mapping[str, str], robot: str) -> Path:
    """The folder of one robot's traces.

    Parameters
    ----------
    environ : mapping of str to str
        The environment.
    robot : str
        Its name; the folder is called as its memory is.

    Returns
    -------
    Path
    """
    return default_traces(environ) / default_memory(environ, robot).stem


def newest_traces(environ: Mapping[str, str]) -> Path | None:
    """The folder that was written to last.

    Parameters
    ----------
    environ : mapping of str to str
        The environment.

    Returns
    -------
    Path or None
        None if there is none.
    """
    newest = max(default_traces(environ).glob("*/*.jsonl"), key=_written_at, default=None)
    return None if newest is None else newest.parent


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # it was removed meanwhile
        return 0.0


def parts_of(folder: Path, day: date | None = None) -> list[Path]:
    """The files of traces in a folder, oldest first.

    Parameters
    ----------
    folder : Path
        Of one robot; it need not be there.
    day : date or None, default None
        Only of this day; a day with much to tell has several.

    Returns
    -------
    list of Path
    """
    found = [path for path in folder.glob("*.jsonl") if _NAME.fullmatch(path.name)]
    return sorted((path for path in found if day is None or day_of(path) == day), key=_order)


def day_of(path: Path) -> date:
    """The day that a file of traces is about.

    Parameters
    ----------
    path : Path
        One of `parts_of`.

    Returns
    -------
    date
    """
    return date.fromisoformat(path.name[:10])


def number_of(path: Path) -> int:
    """Which of its day's files a file of traces is.

    Parameters
    ----------
    path : Path
        One of `parts_of`.

    Returns
    -------
    int
        From 1.
    """
    return _order(path)[1]


def part(folder: Path, day: date, number: int) -> Path:
    """A file of traces.

    Parameters
    ----------
    folder : Path
        Of one robot.
    day : date
        Of which day.
    number : int
        Which of that day's files, from 1.

    Returns
    -------
    Path
    """
    return folder / (f"{day}.jsonl" if number == 1 else f"{day}.{number}.jsonl")


def _order(path: Path) -> tuple[str, int]:
    found = _NAME.fullmatch(path.name)
    assert found is not None
    return found[1], int(found[2] or 1)
