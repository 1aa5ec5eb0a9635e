"""Forgetting on purpose: what a person wants gone is gone, also from the disk."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reflexarc.errors import StorageError
from reflexarc.memory.caps import remove
from reflexarc.memory.rows import folded, tells_of


def erase(
    db: sqlite3.Connection,
    ids: Sequence[int],
    *,
    before: str | None = None,
    containing: str | None = None,
) -> None:
    """Delete ticks, and what tells of them: summaries, and the history of later ticks.

    Parameters
    ----------
    db : sqlite3.Connection
        The memory, in a transaction.
    ids : sequence of int
        The ticks.
    before : str or None, default None
        Summaries that tell of something before it go too.
    containing : str or None, default None
        So do summaries that hold it, and the history of any tick that does.
    """
    gone = _sensed(db, ids)
    remove(db, ids)
    first = min(ids, default=None)
    has_lost = bool(ids)
    for row in db.execute("SELECT id, since, until, text FROM summaries").fetchall():
        if (
            (first is not None and row["until"] >= first)
            or (before is not None and row["since"] < before)
            or (containing is not None and tells_of([row["text"]], containing))
        ):
            db.execute("DELETE FROM summaries WHERE id = ?", [row["id"]])
            has_lost = True
    kept = _sensed(db) if before is not None else None

    def is_gone(turn: dict[str, Any]) -> bool:
        if turn["role"] == "system":
            return has_lost  # a summary, which may tell of it
        if containing is not None and tells_of([turn["content"]], containing):
            return True
        if turn["role"] != "user":
            return False
        sensed = folded(turn["content"])
        # Of ticks that went by their age before this, only those are known that did not.
        return sensed in gone if kept is None else sensed not in kept

    for row in db.execute("SELECT id, history FROM ticks WHERE history <> '[]'").fetchall():
        if any(map(is_gone, json.loads(row["history"]))):
            db.execute("UPDATE ticks SET history = '[]' WHERE id = ?", [row["id"]])


def _sensed(db: sqlite3.Connection, ids: Sequence[int] | None = None) -> set[str]:
    """What was sensed in some ticks, or in all of them."""
    if ids is None:
        return {folded(row["sensed"]) for row in db.execute("SELECT sensed FROM ticks")}
    found = (db.execute("SELECT sensed FROM ticks WHERE id = ?", [each]).fetchone() for each in ids)
    return {folded(row["sensed"]) for row in found if row is not None}


def wipe(db: sqlite3.Connection) -> None:
    """Delete everything; the numbers of ticks go on.

    Parameters
    ----------
    db : sqlite3.Connection
        The memory, in a transaction.
    """
    for table in ("ticks", "summaries", "prompts"):
        db.execute(f"DELETE FROM {table}")


def compact(db: sqlite3.Connection, path: Path) -> None:
    """Write the file anew, without what was deleted, and empty what stands beside it.

    Parameters
    ----------
    db : sqlite3.Connection
        The memory, in no transaction.
    path : Path
        The file, for messages.

    Raises
    ------
    StorageError
        If another program reads from the file all the time.
    """
    db.execute("VACUUM")
    (busy, *_) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StorageError(
            f"it is forgotten, but another program reads from the memory {path}, so the disk still "
            "has it; end that program, and forget again",
            retryable=True,
        )
