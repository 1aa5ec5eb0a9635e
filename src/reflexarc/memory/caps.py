"""How much is kept: the oldest ticks go, and the file shrinks, a little at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reflexarc.memory.database import transaction
from reflexarc.memory.rows import moment
from reflexarc.remembering import MOST_DAYS

MOST_TICKS = 16
"""Ticks that go at once; more would keep those waiting who want to write."""

_MOST_PAGES = 256  # given back to the disk at once; 1 MB
_SPARE_PAGES = 64  # left free in the file, for the next ticks

_OLD = """
SELECT id FROM ticks WHERE at < ? AND id < (SELECT max(id) FROM ticks) ORDER BY at LIMIT 1
"""
_FIRST = "SELECT id FROM ticks WHERE id < (SELECT max(id) FROM ticks) ORDER BY id LIMIT 1"

_STALE_SUMMARIES = """
DELETE FROM summaries
WHERE id NOT IN (SELECT max(id) FROM summaries GROUP BY robot)
AND (at < ? OR until < (SELECT min(id) FROM ticks))
"""

_DELETE_PROMPTS = """
DELETE FROM prompts
WHERE id = ? AND NOT EXISTS (SELECT 1 FROM ticks WHERE ticks.prompt = prompts.id)
"""


@dataclass(frozen=True, slots=True)
class Caps:
    """What a memory may hold.

    Parameters
    ----------
    max_mb : float
        Megabytes in use, above 0.
    max_days : float
        Days that a tick is kept, above 0.
    """

    max_mb: float
    max_days: float

    def tidy(self, db: sqlite3.Connection) -> bool:
        """Remove the oldest of what is too much; never the newest tick.

        Parameters
        ----------
        db : sqlite3.Connection
            The memory.

        Returns
        -------
        bool
            Whether there is more to remove, for another call.
        """
        oldest = self._oldest()
        removed = 0
        if self._first_too_much(db, oldest) is not None:
            with transaction(db):
                while removed < MOST_TICKS:
                    tick = self._first_too_much(db, oldest)
                    if tick is None:
                        break
                    remove(db, [tick])
                    removed += 1
                db.execute(_STALE_SUMMARIES, [oldest])
        return _shrink(db) or removed == MOST_TICKS

    def _oldest(self) -> str:
        return moment(datetime.now(UTC) - timedelta(days=min(self.max_days, MOST_DAYS)))

    def _first_too_much(self, db: sqlite3.Connection, oldest: str) -> int | None:
        found = db.execute(_OLD, [oldest]).fetchone()
        if found is None and used_bytes(db) > self.max_mb * 1e6:
            found = db.execute(_FIRST).fetchone()
        return found["id"] if found else None


def used_bytes(db: sqlite3.Connection) -> int:
    """The bytes of a memory that are in use.

    Parameters
    ----------
    db : sqlite3.Connection
        The memory.

    Returns
    -------
    int
        What is free inside the file does not count.
    """
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def remove(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Delete ticks, and prompts that no other tick has.

    Parameters
    ----------
    db : sqlite3.Connection
        The memory, in a transaction.
    ids : sequence of int
        The ticks.
    """
    prompts: set[int] = set()
    for each in ids:
        found = db.execute("SELECT prompt FROM ticks WHERE id = ?", [each]).fetchone()
        prompts.update(found or ())
        db.execute("DELETE FROM ticks WHERE id = ?", [each])
    for prompt in prompts:
        db.execute(_DELETE_PROMPTS, [prompt])


def _shrink(db: sqlite3.Connection) -> bool:
    """Give free pages back to the disk; whether there are more of them."""
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    too_many = free - _SPARE_PAGES
    if too_many <= 0:
        return False
    # As a script: each step frees one page, and execute() would end after the first.
    db.executescript(f"PRAGMA incremental_vacuum({min(too_many, _MOST_PAGES)})")
    return too_many > _MOST_PAGES
