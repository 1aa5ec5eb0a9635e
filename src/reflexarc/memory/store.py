"""A memory on disk, for one thread at a time.

Everything here blocks; inside an event loop use `Memory`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Self

from reflexarc.config import AgentAction
from reflexarc.errors import ConfigError
from reflexarc.memory.caps import Caps
from reflexarc.memory.database import connect, storage_errors, transaction
from reflexarc.memory.forgetting import compact, erase, wipe
from reflexarc.memory.past import Past
from reflexarc.memory.rows import (
    Stable,
    actions_from,
    moment,
    tells_of,
    tick_of,
    values_of,
    words_of,
)
from reflexarc.memory.tick import Tick
from reflexarc.remembering import MAX_DAYS, MAX_MB
from reflexarc.types import whole_characters

_SELECT = """
SELECT ticks.*, prompts.system, prompts.examples
FROM ticks JOIN prompts ON prompts.id = ticks.prompt
"""

_SINCE = """
SELECT since FROM summaries WHERE robot = :robot UNION ALL
SELECT at FROM (
    SELECT at FROM ticks JOIN prompts ON prompts.id = ticks.prompt
    WHERE robot = :robot ORDER BY at LIMIT 1
)
"""


class Store:
    """A memory on disk; a context manager that closes it.

    Several processes may have one file open; those that write wait for each other.

    Parameters
    ----------
    path : Path
        The file. Where there is none it is made, with its folder, for this user only.
    max_mb : float, default 100.0
        Megabytes (a million bytes) it may hold; see `tidy`.
    max_days : float, default 90.0
        Days that a tick is kept.
    readonly : bool, default False
        Whether it is only looked at; then the file must be there.

    Raises
    ------
    StorageError
        If the file cannot be opened or made, is damaged, is something else, or was written by a
        newer version. Nothing of it is deleted. Every method may raise it as well.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_mb: float = MAX_MB,
        max_days: float = MAX_DAYS,
        readonly: bool = False,
    ) -> None:
        self.path = path
        self._caps = Caps(max_mb, max_days)
        self._db = connect(path, readonly=readonly)
        self._file = _identity(path)
        self._told: tuple[tuple[object, ...], Stable] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; once is enough."""
        self._db.close()

    @property
    def robots(self) -> tuple[str, ...]:
        """The names of those whose memory it is, the latest last."""
        with storage_errors(self.path):
            rows = self._db.execute("SELECT robot FROM prompts GROUP BY robot ORDER BY max(id)")
            return tuple(row["robot"] for row in rows)

    @property
    def is_current(self) -> bool:
        """Whether the file is still the one under its name; it may have been moved away."""
        return _identity(self.path) == self._file

    @contextmanager
    def together(self) -> Generator[None]:
        """Have all that is written inside committed as one, with one wait for the disk.

        Yields
        ------
        None
        """
        with storage_errors(self.path), transaction(self._db):
            yield

    def add(self, tick: Tick, robot: str, actions: tuple[AgentAction, ...]) -> int:
        """Keep a tick; it is on disk when this returns.

        Parameters
        ----------
        tick : Tick
            What to keep.
        robot : str
            Whose it is.
        actions : tuple of AgentAction
            What that robot can do; the connectors' settings are not kept.

        Returns
        -------
        int
            Its number.
        """
        values = values_of(tick)
        with self.together():
            values["prompt"] = self._prompt(tick, robot, actions)
            return self._insert("ticks", values)

    def _prompt(self, tick: Tick, robot: str, actions: tuple[AgentAction, ...]) -> int:
        """The number of the stable part, which is stored once."""
        told = (robot, tick.prompt.system, tick.prompt.examples, actions)
        if self._told is None or any(
            new is not old for new, old in zip(told, self._told[0], strict=True)
        ):
            self._told = told, Stable.of(tick.prompt, robot, actions)
        stable = self._told[1]
        found = self._db.execute("SELECT id FROM prompts WHERE hash = ?", [stable.hash]).fetchone()
        return (
            found["id"]
            if found
            else self._insert("prompts", {"hash": stable.hash, **asdict(stable)})
        )

    def _insert(self, table: str, values: dict[str, Any]) -> int:
        names, places = ", ".join(values), ", ".join("?" * len(values))
        cursor = self._db.execute(
            f"INSERT INTO {table} ({names}) VALUES ({places})",
            [*values.values()],
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def ticks(
        self,
        *,
        last: int | None = None,
        before: int | None = None,
        since: datetime | None = None,
        containing: str | None = None,
        robot: str | None = None,
    ) -> list[Tick]:
        """Some of the ticks, oldest first.

        Parameters
        ----------
        last : int or None, default None
            The newest so many of those that fit; None is all of them.
        before : int or None, default None
            Only those with a smaller number.
        since : datetime or None, default None
            Only those that began then or later.
        containing : str or None, default None
            Only those that hold this text, in what was sensed, answered, done or failed; letter
            case does not count.
        robot : str or None, default None
            Only that robot's.

        Returns
        -------
        list of Tick
        """
        where = {
            "ticks.id < ?": before,
            "at >= ?": moment(since) if since else None,
            "robot = ?": robot,
        }
        found = self._newest(where)
        if containing is not None:
            found = (each for each in found if tells_of(words_of(each), containing))
        return [*islice(found, last)][::-1]

    def _newest(self, where: dict[str, Any], order: str = "DESC") -> Iterator[Tick]:
        given = {clause: value for clause, value in where.items() if value is not None}
        condition = f"WHERE {' AND '.join(given)}" if given else ""
        with storage_errors(self.path):
            rows = self._db.execute(
                f"{_SELECT} {condition} ORDER BY ticks.id {order}", [*given.values()]
            )
            for row in rows:
                yield tick_of(row, self.path)

    def __iter__(self) -> Iterator[Tick]:
        """Every tick, oldest first, one after the other."""
        return self._newest({}, "ASC")

    def actions_of(self, tick_id: int) -> tuple[AgentAction, ...]:
        """What the robot could do at a tick.

        Parameters
        ----------
        tick_id : int
            Its number.

        Returns
        -------
        tuple of AgentAction
            As in the robot's file, without the connectors' settings.

        Raises
        ------
        ConfigError
            If there is no such tick.
        """
        with storage_errors(self.path):
            found = self._db.execute(
                "SELECT prompts.actions FROM ticks JOIN prompts ON prompts.id = ticks.prompt "
                "WHERE ticks.id = ?",
                [tick_id],
            ).fetchone()
        if found is None:
            raise ConfigError(f"there is no tick {tick_id} in the memory {self.path}")
        return actions_from(found["actions"])

    def past(self, turns: int, *, robot: str | None = None) -> Past:
        """What a robot has in mind when it starts.

        Parameters
        ----------
        turns : int
            Ticks at most, of those that are turns (`Tick.is_turn`).
        robot : str or None, default None
            Whose; None is whoever it is.

        Returns
        -------
        Past
        """
        ticks = islice(self._newest({"is_turn = ?": 1, "robot = ?": robot}), max(turns, 0))
        with storage_errors(self.path):
            found = self._db.execute(
                "SELECT text, until FROM summaries WHERE ? IN (robot, '') ORDER BY id DESC LIMIT 1",
                [robot or ""],
            ).fetchone()
        told = (found["text"], found["until"]) if found else ("", 0)
        return Past(*told, tuple(ticks)[::-1])

    def summarise(self, text: str, until: int) -> None:
        """Keep a summary; of a tick that is forgotten by now it is not kept.

        Parameters
        ----------
        text : str
            Tells of everything up to and with tick `until`.
        until : int
            The number of a tick.
        """
        with self.together():
            found = self._db.execute(
                "SELECT robot FROM ticks JOIN prompts ON prompts.id = ticks.prompt "
                "WHERE ticks.id = ?",
                [until],
            ).fetchone()
            if found is None:
                return
            robot = found["robot"]
            since = min(row["since"] for row in self._db.execute(_SINCE, {"robot": robot}))
            summary = {"robot": robot, "at": moment(datetime.now(UTC)), "since": since}
            self._insert("summaries", {**summary, "until": until, "text": whole_characters(text)})

    def find(self, *, before: datetime | None = None, containing: str | None = None) -> list[int]:
        """The numbers of ticks.

        Parameters
        ----------
        before : datetime or None, default None
            Only those that began earlier.
        containing : str or None, default None
            Only those that hold this text; see `ticks`.

        Returns
        -------
        list of int
        """
        found = self._newest({"at < ?": moment(before) if before else None}, "ASC")
        return [
            each.id
            for each in found
            if each.id is not None and (containing is None or tells_of(words_of(each), containing))
        ]

    def forget(
        self,
        *,
        before: datetime | None = None,
        containing: str | None = None,
        everything: bool = False,
    ) -> int:
        """Delete ticks, and what else tells of them: summaries, and the history of later ticks.

        Their bytes are gone from the file too when this returns.

        Parameters
        ----------
        before : datetime or None, default None
            Those that began earlier.
        containing : str or None, default None
            Those that hold this text; see `ticks`. With `before`, those for which both is true.
        everything : bool, default False
            All of them.

        Returns
        -------
        int
            How many ticks were deleted.

        Raises
        ------
        ConfigError
            If nothing says which.
        """
        if not everything and before is None and not containing:
            raise ConfigError("say what to forget: before a date, containing a text, or everything")
        with self.together():
            if everything:
                (count,) = self._db.execute("SELECT count(*) FROM ticks").fetchone()
                wipe(self._db)
            else:
                ids = self.find(before=before, containing=containing)
                count = len(ids)
                erase(
                    self._db,
                    ids,
                    before=moment(before) if before and containing is None else None,
                    containing=containing if before is None else None,
                )
        with storage_errors(self.path):
            compact(self._db, self.path)
        return count

    def tidy(self) -> bool:
        """Remove the oldest ticks where there are too many, or too old ones; never the newest.

        Returns
        -------
        bool
            Whether there is more to remove; it is done a little at a time, so that nobody waits.
        """
        with storage_errors(self.path):
            return self._caps.tidy(self._db)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
