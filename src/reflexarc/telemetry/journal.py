"""One line of JSON for each tick, in a file for each day, written by a thread of its own.

What was said is not in it, unless that is asked for: not what was sensed, not the answer, no
sentence that the robot spoke, and no error in its words, which may quote any of them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from reflexarc.memory import STOPPED, Deed, Tick
from reflexarc.observing import TRACES_DAYS, TRACES_MB
from reflexarc.opened import Opened
from reflexarc.telemetry.names import error_type
from reflexarc.telemetry.place import day_of, every_part, number_of, part, parts_of, size_of
from reflexarc.types import whole_characters

_log = logging.getLogger(__name__)

MOST_WAITING = 1000
"""Lines that wait for the disk at most; further ones are given up, and counted."""

CLOSING_S = 2.0
"""Seconds for which the last lines may take; a disk that hangs does not hold the robot up."""

_PARTS = 4  # files that all traces may at least be divided into, so that the oldest can go


@dataclass(frozen=True, slots=True)
class Entry:
    """A tick, as it is traced.

    Parameters
    ----------
    number : int
        Of the tick, since the robot was started.
    tick : Tick
        What became of it.
    took_s : float
        Seconds, with its actions performed.
    overran : bool, default False
        Whether that is more than it had.
    trace_id : str, default ""
        Of its span, where there is one.
    """

    number: int
    tick: Tick
    took_s: float
    overran: bool = False
    trace_id: str = ""

    def to_dict(self, shown: Iterable[str] = (), *, content: bool = False) -> dict[str, Any]:
        """The tick as one JSON object.

        Parameters
        ----------
        shown : iterable of str, default ()
            Types of action whose values are the robot's own words, and not the model's.
        content : bool, default False
            Whether what was said is in it as well.

        Returns
        -------
        dict
        """
        tick = self.tick
        whole = tick.to_dict()
        told: dict[str, Any] = {
            "at": tick.at.astimezone(UTC).isoformat(timespec="milliseconds"),
            "tick": self.number,
            "outcome": _outcome(tick),
            "error_type": error_type(tick.error_kind) if _outcome(tick) == "error" else None,
            "provider": tick.provider,
            "model": tick.model,
            "first_action_s": whole["first_action_s"],
            "total_s": whole["total_s"],
            "took_s": round(self.took_s, 4),
            "overran": self.overran,
            "missed": len(tick.missed),
            "usage": whole["usage"],
            "actions": [_deed(deed, shown, content=content) for deed in tick.deeds],
            "attempts": [
                {name: value for name, value in each.items() if content or name != "message"}
                for each in whole["attempts"]
            ],
        }
        if self.trace_id:
            told["trace_id"] = self.trace_id
        if content:
            names = ("sensed", "history", "text", "reason", "error")
            told |= {name: whole[name] for name in names}
            told |= {"system": tick.prompt.system, "missed_texts": whole["missed"]}
        return told


def _outcome(tick: Tick) -> str:
    if tick.was_stopped:
        return STOPPED
    return "error" if tick.error_kind else "idle" if tick.reason else "ok"


def _deed(deed: Deed, shown: Iterable[str], *, content: bool) -> dict[str, Any]:
    whole = deed.to_dict()
    if content:
        return whole
    del whole["value"]
    whole.pop("reason", None)
    if deed.outcome == "refused":
        del whole["type"]  # which the model may have made up
    elif deed.type in shown:
        whole["value"] = deed.value
    return whole


class Journal(Opened):
    """The traces of one robot; open while it runs.

    A line is written as a whole, by one call of the system, to the end of a file: whoever reads
    meanwhile, or after a crash, has whole lines but for the last one at most. A disk that fails
    costs lines, which is logged once, and nothing else.

    Parameters
    ----------
    folder : Path
        Where the files are; made with the first line, readable by this user only.
    shown : iterable of str, default ()
        Types of action whose values are the robot's own words; see `Entry.to_dict`.
    max_mb : float, default 50.0
        Megabytes (a million bytes) of all files; the oldest go first.
    max_days : float, default 30.0
        Days that a file is kept.
    content : bool, default False
        Whether what was said is in it.

    Attributes
    ----------
    lost : int
        Lines that could not be written.
    """

    def __init__(
        self,
        folder: Path,
        shown: Iterable[str] = (),
        *,
        max_mb: float = TRACES_MB,
        max_days: float = TRACES_DAYS,
        content: bool = False,
    ) -> None:
        self.folder = folder
        self._shown = frozenset(shown)
        self._most = int(max_mb * 1e6)
        self._days = timedelta(days=max_days)
        self._content = content
        self._waiting: SimpleQueue[Entry | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._file: int | None = None
        self._path = Path()
        self._day: date | None = None
        self._size = 0
        self._has_failed = False
        self.lost = 0

    async def open(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    async def aclose(self) -> None:
        """Have the last lines written, within `CLOSING_S`; may be called twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._waiting.put(None)
        await asyncio.to_thread(thread.join, CLOSING_S)

    def write(self, entry: Entry) -> None:
        """Have a line written; does not wait.

        Parameters
        ----------
        entry : Entry
            Of a tick that is over.
        """
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put(entry)
        else:
            self.lost += 1

    def _run(self) -> None:
        while (entry := self._waiting.get()) is not None:
            told = entry.to_dict(self._shown, content=self._content)
            text = whole_characters(json.dumps(told, ensure_ascii=False, separators=(",", ":")))
            try:
                self._append(entry.tick.at.astimezone(UTC).date(), f"{text}\n".encode())
                self._has_failed = False
            except OSError as error:
                self.lost += 1
                self._close()
                if not self._has_failed:
                    _log.warning("no trace is written to %s: %s", self.folder, error.strerror)
                self._has_failed = True
        self._close()

    def _append(self, day: date, line: bytes) -> None:
        is_full = self._size + len(line) > self._most // _PARTS
        if self._file is None or day != self._day or is_full or not self._path.exists():
            self._close()
            self._open(day, len(line))
        assert self._file is not None
        written = os.write(self._file, line)
        self._size += written
        if written < len(line):  # as a disk does that is just full
            raise OSError(None, "the disk is full")

    def _open(self, day: date, needs: int) -> None:
        """Go on with the last file of a day, or begin another one; remove those too many."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        today = parts_of(self.folder, day)
        path = today[-1] if today else part(self.folder, day, 1)
        if today and size_of(path) + needs > self._most // _PARTS:
            path = part(self.folder, day, number_of(path) + 1)
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self._path, self._day = path, day
        self._size = os.fstat(self._file).st_size
        if self._size and os.pread(self._file, 1, self._size - 1) != b"\n":
            self._size += os.write(self._file, b"\n")  # behind half a line of one that was killed
        self._tidy()

    def _tidy(self) -> None:
        oldest = (datetime.now(UTC) - self._days).date()
        parts = parts_of(self.folder)
        ahead = [each for each in every_part(self.folder) if each not in parts]  # the first to go
        room = self._most - self._most // _PARTS  # the one that is written may become so large
        for path in reversed([each for each in ahead + parts if each != self._path]):
            room -= size_of(path)
            if room < 0 or day_of(path) < oldest:
                path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
