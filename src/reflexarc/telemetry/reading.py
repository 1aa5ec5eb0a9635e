"""Traces, read again: line by line, and summed up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Self

from reflexarc.telemetry.place import parts_of
from reflexarc.types import Json, as_object, objects_in


def read_traces(path: Path) -> Iterator[Json]:
    """The ticks of a file.

    Parameters
    ----------
    path : Path
        Of traces.

    Yields
    ------
    dict
        As `Entry.to_dict` made it. What is no such line is left out: the half one that a crash
        leaves, and what is damaged.
    """
    with path.open("rb") as file:
        yield from _whole_lines(file)


def _whole_lines(file: IO[bytes]) -> Iterator[Json]:
    """Those that are there; behind them the file is where the next one begins."""
    while True:
        start = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):  # its other half may still come
            file.seek(start)
            return
        try:
            found = as_object(json.loads(line))
        except (ValueError, RecursionError):
            continue
        if found is not None and isinstance(found.get("at"), str):
            yield found


class Tail:
    """Follows the traces of a robot, from their present end on; a context manager.

    Parameters
    ----------
    folder : Path
        Of the robot; it need not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._path: Path | None = None

    def __enter__(self) -> Self:
        if parts := parts_of(self._folder):
            self._open(parts[-1]).seek(0, 2)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def read(self) -> Iterator[Json]:
        """What has been written since the last time.

        Yields
        ------
        dict
            As `read_traces` does.
        """
        if self._file is not None:
            yield from _whole_lines(self._file)
        parts = parts_of(self._folder)
        later = parts[parts.index(self._path) + 1 :] if self._path in parts else parts
        for path in later:
            yield from _whole_lines(self._open(path))

    def _open(self, path: Path) -> IO[bytes]:
        if self._file is not None:
            self._file.close()
        self._file, self._path = path.open("rb"), path
        return self._file


@dataclass(slots=True)
class Summary:
    """What many ticks come to.

    Parameters
    ----------
    ticks : int, default 0
        How many.
    outcomes, answered, errors : Counter, default empty
        Ticks by outcome; ticks by who answered; tries that failed, by kind.
    failovers : int, default 0
        How often another provider was asked than the one that had failed.
    overran, missed : int, default 0
        Ticks that took too long; things sensed and given up.
    first_action_s, total_s : list of float, default []
        Seconds, one for each tick where there was one.
    """

    ticks: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    answered: Counter[str] = field(default_factory=Counter[str])
    errors: Counter[str] = field(default_factory=Counter[str])
    failovers: int = 0
    overran: int = 0
    missed: int = 0
    first_action_s: list[float] = field(default_factory=list[float])
    total_s: list[float] = field(default_factory=list[float])

    def add(self, trace: Json) -> None:
        """Count one more.

        Parameters
        ----------
        trace : dict
            As it was read; what is missing in it counts for nothing.
        """
        self.ticks += 1
        self.outcomes[str(trace.get("outcome"))] += 1
        self.overran += trace.get("overran") is True
        self.missed += int(_number(trace.get("missed")) or 0)
        if trace.get("outcome") == "ok":
            self.answered[str(trace.get("provider"))] += 1
        self.failovers += failovers_of(trace)
        for each in objects_in(trace.get("attempts")):
            if each.get("outcome") not in ("ok", "overtaken"):
                self.errors[str(each.get("outcome"))] += 1
        for name, seconds in (("first_action_s", self.first_action_s), ("total_s", self.total_s)):
            if (number := _number(trace.get(name))) is not None:
                seconds.append(number)


def failovers_of(trace: Json) -> int:
    """How often another provider was asked in a tick than the one that had failed.

    Parameters
    ----------
    trace : dict
        As it was read.

    Returns
    -------
    int
    """
    tries = objects_in(trace.get("attempts"))
    pairs = pairwise(tries)
    return sum(
        before.get("outcome") not in ("ok", "overtaken")
        and before.get("provider") != after.get("provider")
        for before, after in pairs
    )


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None
