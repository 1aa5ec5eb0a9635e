"""What an install has put into a checkout, as the checkout keeps it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from reflexarc.errors import ConfigError
from reflexarc.om1.edits import Contents, read
from reflexarc.types import Json, as_object

MANIFEST = ".reflexarc.json"

_ABOUT = "Written by 'reflexarc om1 install'; 'reflexarc om1 remove' needs it."


@dataclass(frozen=True, slots=True)
class Inserted:
    """A text in a file of OM1's.

    Parameters
    ----------
    text : str
        With the file's own line ends.
    before : str
        SHA-256 of the file without it, when it was inserted.
    """

    text: str
    before: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """One install.

    Parameters
    ----------
    version : str
        Of reflexarc.
    generation : str
        Of the checkout.
    created : dict of str to str, default {}
        SHA-256 of each file of ours.
    inserted : dict of str to Inserted, default {}
        By the file of OM1's that it is in.
    """

    version: str
    generation: str
    created: Mapping[str, str] = field(default_factory=dict[str, str])
    inserted: Mapping[str, Inserted] = field(default_factory=dict[str, Inserted])

    @property
    def paths(self) -> set[str]:
        """Every file that the install has written, the manifest's own too."""
        return {*self.created, *self.inserted, MANIFEST}

    def to_bytes(self) -> bytes:
        """As the checkout keeps it.

        Returns
        -------
        bytes
        """
        inserted = {
            path: {"text": each.text, "before": each.before} for path, each in self.inserted.items()
        }
        data = {
            "about": _ABOUT,
            "version": self.version,
            "generation": self.generation,
            "created": dict(self.created),
            "inserted": inserted,
        }
        return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()

    def edited(self, root: Path) -> list[str]:
        """The files that somebody has edited where the install has written.

        Parameters
        ----------
        root : Path
            The checkout.

        Returns
        -------
        list of str
            Below the checkout, in order. One that is gone, or is again as it was before, is none.
        """
        found: list[str] = []
        for path, hashed in self.created.items():
            content = read(root, path)
            if content is not None and digest(content) != hashed:
                found.append(path)
        for path, each in self.inserted.items():
            content = read(root, path)
            if content is None or digest(content) == each.before:
                continue
            if content.count(each.text.encode()) != 1:
                found.append(path)
        return sorted(found)

    def without(self, root: Path) -> Contents:
        """What the files that the install has written would hold without it.

        Parameters
        ----------
        root : Path
            The checkout, with none of them `edited`.

        Returns
        -------
        dict of str to bytes or None
        """
        before: dict[str, bytes | None] = dict.fromkeys(self.created)
        for path, each in self.inserted.items():
            content = read(root, path)
            if content is not None and digest(content) != each.before:
                content = content.replace(each.text.encode(), b"", 1)
            before[path] = content
        return before


def read_manifest(root: Path) -> Manifest | None:
    """Read what an earlier install has left.

    Parameters
    ----------
    root : Path
        The checkout.

    Returns
    -------
    Manifest or None
        None where nothing is installed.

    Raises
    ------
    ConfigError
        If it cannot be read, or names files outside of the checkout.
    """
    content = read(root, MANIFEST)
    if content is None:
        return None
    try:
        return _parsed(as_object(json.loads(content)) or {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            "this is no manifest of an install; restore it, for example by 'git checkout', or "
            "delete it and what was installed by hand",
            path=str(root / MANIFEST),
        ) from error


def digest(content: bytes) -> str:
    """The SHA-256 of a file.

    Parameters
    ----------
    content : bytes
        What it holds.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return hashlib.sha256(content).hexdigest()


def _parsed(data: Json) -> Manifest:
    created = {_inside(path): str(hashed) for path, hashed in data["created"].items()}
    inserted = {
        _inside(path): Inserted(_nonempty(each["text"]), str(each["before"]))
        for path, each in data["inserted"].items()
    }
    return Manifest(str(data["version"]), str(data["generation"]), created, inserted)


def _inside(path: str) -> str:
    """A manifest comes with a checkout that anybody may have made; it names no file elsewhere."""
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts or parts[0] == ".git":
        raise ValueError(path)
    return path


def _nonempty(text: str) -> str:
    if not text:
        raise ValueError("nothing was inserted")
    return text
