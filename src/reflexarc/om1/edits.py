"""Edits of files: shown as a diff, and carried out all together or not at all."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reflexarc.errors import ConfigError

Contents = Mapping[str, bytes | None]
"""What files hold, by their path below a folder; None is no file."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One file, and what becomes of it.

    Parameters
    ----------
    path : str
        Below the folder.
    before, after : bytes or None
        What it holds; None is no file.
    """

    path: str
    before: bytes | None
    after: bytes | None

    def diff(self) -> str:
        """The edit as a unified diff, as ``git apply`` takes it.

        Returns
        -------
        str
        """
        old = "/dev/null" if self.before is None else f"a/{self.path}"
        new = "/dev/null" if self.after is None else f"b/{self.path}"
        lines = difflib.unified_diff(_lines(self.before), _lines(self.after), old, new)
        unended = "\n\\ No newline at end of file\n"
        return "".join(line if line.endswith("\n") else f"{line}{unended}" for line in lines)


def edits_to(root: Path, contents: Contents) -> list[Edit]:
    """Work out what has to change; nothing is written.

    Parameters
    ----------
    root : Path
        The folder.
    contents : mapping of str to bytes or None
        What its files shall hold.

    Returns
    -------
    list of Edit
        In the order of `contents`, without files that hold it already.

    Raises
    ------
    ConfigError
        If a symbolic link is in the way, which may lead anywhere, or a file cannot be read.
    """
    edits = [Edit(path, read(root, path), after) for path, after in contents.items()]
    needed = [edit for edit in edits if edit.before != edit.after]
    for edit in needed:
        path = root / edit.path
        if path.is_symlink() or path.parent.resolve() != path.parent:
            raise ConfigError(
                "a symbolic link leads to or from here, and nothing is written through it; "
                "put the file itself in its place",
                path=str(path),
            )
    return needed


def read(root: Path, path: str) -> bytes | None:
    """What a file holds.

    Parameters
    ----------
    root : Path
        The folder.
    path : str
        Below it.

    Returns
    -------
    bytes or None
        None where there is no file.

    Raises
    ------
    ConfigError
        If it cannot be read.
    """
    whole = root / path
    try:
        return whole.read_bytes() if whole.is_file() else None
    except OSError as error:
        raise ConfigError(f"the file cannot be read: {error.strerror}", path=str(whole)) from error


def apply(root: Path, edits: Sequence[Edit]) -> None:
    """Carry them out: all, or, where one fails, none.

    Every new text is on the disk before the first file changes, so what can fail then is renaming.

    Parameters
    ----------
    root : Path
        The folder.
    edits : sequence of Edit
        From `edits_to`.

    Raises
    ------
    ConfigError
        If a file cannot be written; what was done before it is undone.
    """
    at, done = "", list[Edit]()
    try:
        for edit in edits:
            at = edit.path
            _stage(root / at, edit.after)
        for edit in edits:
            at = edit.path
            _put(root / at, edit.after)
            done.append(edit)
    except OSError as error:
        left = _undo(root, done)
        undone = (
            f"and these could not be set back: {', '.join(left)}" if left else "nothing changed"
        )
        raise ConfigError(
            f"the file cannot be written ({error.strerror}); {undone}", path=str(root / at)
        ) from error
    finally:
        for edit in edits:
            with suppress(OSError):
                _beside(root / edit.path).unlink(missing_ok=True)


def _undo(root: Path, done: Sequence[Edit]) -> list[str]:
    left: list[str] = []
    for edit in reversed(done):
        try:
            _stage(root / edit.path, edit.before)
            _put(root / edit.path, edit.before)
        except OSError:
            left.append(edit.path)
    return left


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.reflexarc")


def _stage(path: Path, content: bytes | None) -> None:
    """Write what a file shall hold beside it, with its permissions."""
    if content is not None:
        _beside(path).unlink(missing_ok=True)
        with _beside(path).open("xb") as file:
            file.write(content)
        if path.exists():
            shutil.copymode(path, _beside(path))


def _put(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        _beside(path).replace(path)


def _lines(content: bytes | None) -> list[str]:
    """The lines of a text; whatever else Python takes for an end of line is none to a diff."""
    return [f"{line}\n" for line in _text(content).split("\n")[:-1]] + [
        line for line in _text(content).split("\n")[-1:] if line
    ]


def _text(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "replace")
