"""Where the traces of a robot are: one file a day, by UTC, as the times in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
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
    folders = default_traces(environ).glob("*")
    parts = (part for folder in folders for part in parts_of(folder))
    newest = max(parts, key=_written_at, default=None)
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
        Only of this day; a day with much to tell has several. None is of all days until tomorrow:
        a clock that was ahead once leaves later ones, which must not be the newest for years.

    Returns
    -------
    list of Path
    """
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    return [
        path
        for path in every_part(folder)
        if (day_of(path) <= tomorrow if day is None else day_of(path) == day)
    ]


def every_part(folder: Path) -> list[Path]:
    """The files of traces in a folder, those of days to come as well.

    Parameters
    ----------
    folder : Path
        Of one robot; it need not be there.

    Returns
    -------
    list of Path
        By day, and by number in it.
    """
    found = folder.glob("*.jsonl")
    placed = [(place, path) for path in found if (place := _place(path.name))]
    return [path for _, path in sorted(placed)]


def size_of(path: Path) -> int:
    """How large a file of traces is.

    Parameters
    ----------
    path : Path
        One of `every_part`, which another robot may remove meanwhile.

    Returns
    -------
    int
        Bytes; 0 if it is gone.
    """
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def day_of(path: Path) -> date:
    """The day that a file of traces is about.

    Parameters
    ----------
    path : Path
        One of `every_part`.

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
        One of `every_part`.

    Returns
    -------
    int
        From 1.
    """
    place = _place(path.name)
    assert place is not None
    return place[1]


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


def _place(name: str) -> tuple[date, int] | None:
    """The day and the number that a name says; None if it is another file's."""
    if (found := _NAME.fullmatch(name)) is None:
        return None
    try:
        return date.fromisoformat(found[1]), int(found[2] or 1)
    except ValueError:  # no such day
        return None
