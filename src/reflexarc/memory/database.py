"""The file: how it is opened, what its format is, and what its failures mean.

SQLite in WAL mode with ``synchronous=FULL``: what is committed is on disk, also when the process is
killed or the power fails in the next moment. Everything here blocks; inside an event loop call it
from a thread.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from reflexarc.errors import StorageError

FORMAT = 1
"""The format that is written, SQLite's ``user_version``."""

APPLICATION_ID = 0x72666C78
"""SQLite's ``application_id`` of a memory; ``rflx``."""

BUSY_S = 5.0
"""Seconds to wait for another program that writes to the same file, as one that forgets does."""

_WAL_PAGES = 256  # written back after so many: what stands beside the file stays about 1 MB

_TABLES = """
CREATE TABLE prompts (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    hash     TEXT NOT NULL UNIQUE,
    robot    TEXT NOT NULL,
    system   TEXT NOT NULL,
    examples TEXT NOT NULL,
    actions  TEXT NOT NULL
);
CREATE TABLE ticks (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    prompt         INTEGER NOT NULL REFERENCES prompts (id),
    at             TEXT NOT NULL,
    sensed         TEXT NOT NULL,
    missed         TEXT NOT NULL,
    history        TEXT NOT NULL,
    text           TEXT NOT NULL,
    actions        TEXT NOT NULL,
    is_turn        INTEGER NOT NULL,
    provider       TEXT NOT NULL,
    model          TEXT NOT NULL,
    attempts       TEXT NOT NULL,
    first_action_s REAL,
    total_s        REAL NOT NULL,
    usage          TEXT,
    reason         TEXT NOT NULL,
    error_kind     TEXT NOT NULL,
    error          TEXT NOT NULL
);
CREATE TABLE summaries (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    robot TEXT NOT NULL,
    at    TEXT NOT NULL,
    since TEXT NOT NULL,
    until INTEGER NOT NULL,
    text  TEXT NOT NULL
);
CREATE INDEX ticks_at ON ticks (at);
CREATE INDEX ticks_prompt ON ticks (prompt)
"""


# In one statement: between two, somebody else may make the tables.
_WHAT_IT_IS = """
SELECT (SELECT count(*) FROM sqlite_master), application_id, user_version
FROM pragma_application_id, pragma_user_version
"""


@contextmanager
def storage_errors(path: Path) -> Generator[None]:
    """Turn SQLite's and the system's errors into one that says what to do.

    Parameters
    ----------
    path : Path
        The file, for messages.

    Yields
    ------
    None
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.ProgrammingError):
            raise  # ours
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        message, retryable = _FAILURES.get(code, (_failed, True))
        raise StorageError(message(path, str(error)), retryable=retryable) from error
    except OSError as error:
        raise StorageError(
            _no_access(path, error.strerror or str(error)), retryable=True
        ) from error


def _damaged(path: Path, detail: str) -> str:
    name = shlex.quote(str(path))
    return (
        f"the memory {path} is damaged ({detail}); nothing of it was deleted. "
        f"Move it away, and a new one is begun: mv {name} {shlex.quote(f'{path}.damaged')}"
    )


def _full(path: Path, detail: str) -> str:
    return f"the disk with the memory {path} is full ({detail}); free some space on it"


def _busy(path: Path, detail: str) -> str:
    return (
        f"another program has been writing to the memory {path} for {BUSY_S:g} s ({detail}); "
        "end it, or try again later"
    )


def _no_access(path: Path, detail: str) -> str:
    return (
        f"the memory {path} cannot be opened or written ({detail}); "
        "give this user the right to it, or name another file"
    )


def _broken_disk(path: Path, detail: str) -> str:
    return f"the disk with the memory {path} fails ({detail}); check the disk, and the space on it"


def _failed(path: Path, detail: str) -> str:
    return f"the memory {path} cannot be used ({detail}); name another file"


_FAILURES: dict[int, tuple[Callable[[Path, str], str], bool]] = {
    sqlite3.SQLITE_CORRUPT: (_damaged, False),
    sqlite3.SQLITE_NOTADB: (_damaged, False),
    sqlite3.SQLITE_FULL: (_full, True),
    sqlite3.SQLITE_BUSY: (_busy, True),
    sqlite3.SQLITE_LOCKED: (_busy, True),
    sqlite3.SQLITE_CANTOPEN: (_no_access, True),
    sqlite3.SQLITE_PERM: (_no_access, True),
    sqlite3.SQLITE_READONLY: (_no_access, True),
    sqlite3.SQLITE_IOERR: (_broken_disk, True),
}


def connect(path: Path, *, readonly: bool = False) -> sqlite3.Connection:
    """Open a memory.

    Parameters
    ----------
    path : Path
        The file. Where there is none it is made, readable by this user only.
    readonly : bool, default False
        Whether nothing will be written; then the file must be there.

    Returns
    -------
    sqlite3.Connection
        In autocommit mode, for one thread at a time.

    Raises
    ------
    StorageError
        If the file cannot be opened or made, is damaged, is something else, or was written by a
        newer version.
    """
    with storage_errors(path):
        if readonly:
            return _open_to_read(path)
        _make(path)
        db = _open(path, "mode=rw")
        try:
            _prepare(db, path)
        except BaseException:
            db.close()
            raise
        return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Generator[None]:
    """Have all that is written inside committed as one, or none of it.

    Parameters
    ----------
    db : sqlite3.Connection
        One that is in a transaction already goes on with that.

    Yields
    ------
    None
    """
    if db.in_transaction:
        yield
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:  # it has failed, and SQLite has not ended it by itself
            db.execute("ROLLBACK")


def _open(path: Path, how: str) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )
    db.row_factory = sqlite3.Row
    return db


def _open_to_read(path: Path) -> sqlite3.Connection:
    if not path.exists():
        raise StorageError(f"there is no memory {path}; check the name")
    try:
        # With the right to write: the first to read after a crash has to put things in order.
        return _opened_to_read(path, "mode=rw")
    except sqlite3.OperationalError as error:
        is_locked_up = error.sqlite_errorcode & 0xFF in (
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_READONLY,
        )
        if not is_locked_up or path.with_name(f"{path.name}-wal").exists():
            raise
        return _opened_to_read(path, "immutable=1")  # a copy on a disk that cannot be written


def _opened_to_read(path: Path, how: str) -> sqlite3.Connection:
    db = _open(path, how)
    try:
        if _format_of(db, path) == 0:
            db.close()
            db = _open(path, "mode=memory")
            _create(db)
        db.execute("PRAGMA query_only = ON")
    except BaseException:
        db.close()
        raise
    return db


def _make(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise StorageError(_no_access(path, "its folder is a file"), retryable=True) from None
    # Never opened where it is there: closing it again would drop the locks that SQLite has on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    if _format_of(db, path) == 0:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heard before the first table only
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")
    db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
    db.execute("PRAGMA journal_size_limit = 1000000")
    with transaction(db):
        if _format_of(db, path) == 0:  # nobody else has been quicker
            _create(db)
    (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise StorageError(_damaged(path, " ".join(str(found).split())))


def _create(db: sqlite3.Connection) -> None:
    for statement in _TABLES.split(";"):
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {FORMAT}")


def _format_of(db: sqlite3.Connection, path: Path) -> int:
    """The format of a memory; 0 where there is nothing in the file yet."""
    tables, application, version = db.execute(_WHAT_IT_IS).fetchone()
    if tables == 0 and application in (0, APPLICATION_ID):
        return 0
    if application != APPLICATION_ID:
        raise StorageError(f"{path} is a database of something else; name another file")
    if version > FORMAT:
        raise StorageError(
            f"the memory {path} was written by a newer reflexarc (format {version}, this one "
            f"knows {FORMAT}); update reflexarc, or name another file"
        )
    return int(version)
