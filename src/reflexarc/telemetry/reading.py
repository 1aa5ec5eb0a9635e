"""Traces, read again: line by line, and summed up."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import IO, Any, Final, Self

from reflexarc.errors import BadRequestError, ContextOverflowError
from reflexarc.telemetry.place import every_part, size_of
from reflexarc.types import Json, as_object, objects_in

_WENT_WELL: Final = ("ok", "overtaken")
_TEACHES: Final = (BadRequestError.kind, ContextOverflowError.kind)  # no retry asks these again


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
            found = as_object(json.loads(line, parse_constant=_no_number))
        except (ValueError, RecursionError):
            continue
        if found is not None and isinstance(found.get("at"), str):
            yield found


def _no_number(_: str) -> None:
    """What NaN and Infinity are, which no JSON has."""


class Tail:
    """Follows the traces of a robot, from their present end on; a context manager.

    Whatever grows is followed, so that a clock which is set meanwhile does no harm.

    Parameters
    ----------
    folder : Path
        Of the robot; it need not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_to: dict[Path, int] = {}

    def __enter__(self) -> Self:
        self._read_to = {path: size_of(path) for path in every_part(self._folder)}
        return self

    def __exit__(self, *_: object) -> None:
        self._read_to.clear()

    def read(self) -> Iterator[Json]:
        """What has been written since the last time.

        Yields
        ------
        dict
            As `read_traces` does.
        """
        for path in every_part(self._folder):
            start, size = self._read_to.get(path, 0), size_of(path)
            if size in (0, start):
                continue
            with path.open("rb") as file:
                file.seek(start if start < size else 0)  # it was begun anew
                yield from _whole_lines(file)
                self._read_to[path] = file.tell()


@dataclass(slots=True)
class Summary:
    """What many ticks come to.

    Parameters
    ----------
    ticks : int, default 0
        How many.
    outcomes, answered, errors : Counter, default empty
        Ticks by outcome; ticks by who answered; tries that failed, as `failures_of` counts.
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
        self.missed += int(finite(trace.get("missed")) or 0)
        if trace.get("outcome") == "ok":
            self.answered[str(trace.get("provider"))] += 1
        self.failovers += failovers_of(trace)
        self.errors.update(failures_of(trace))
        for name, seconds in (("first_action_s", self.first_action_s), ("total_s", self.total_s)):
            if (number := finite(trace.get(name))) is not None:
                seconds.append(number)


def failures_of(trace: Json) -> list[str]:
    """How tries of a tick failed.

    Parameters
    ----------
    trace : dict
        As it was read.

    Returns
    -------
    list of str
        Their outcomes, without the requests that a server did not take and of which it was asked
        another one right after: so its dialect is learned, and nothing is amiss.
    """
    tries = objects_in(trace.get("attempts"))
    return [
        str(each.get("outcome"))
        for each, after in zip_longest(tries, tries[1:], fillvalue=Json())
        if each.get("outcome") not in _WENT_WELL
        and not (each.get("outcome") in _TEACHES and each.get("provider") == after.get("provider"))
    ]


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
        before.get("outcome") not in _WENT_WELL and before.get("provider") != after.get("provider")
        for before, after in pairs
    )


def finite(value: Any) -> float | None:
    """A number of a trace.

    Parameters
    ----------
    value : Any
        As it was read.

    Returns
    -------
    float or None
        None for what is none, or not finite.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) <= sys.float_info.max else None
