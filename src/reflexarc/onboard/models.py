"""The model store: where model files are, whether they are whole, and how a name becomes a file.

A model is one GGUF file, or an encoder's files. It travels inside a wheel on the Python package
index, so a robot that can install Python packages can fetch its model, with no account and no
second kind of registry.
Everything here reads files and blocks; inside an event loop call it from a thread.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reflexarc.errors import ConfigError, UnavailableError, did_you_mean
from reflexarc.onboard.catalogue import (
    BY_BYTES,
    DEFAULT,
    LARGE,
    MODELS,
    SMALL,
    ModelEntry,
    Treatment,
)
from reflexarc.onboard.fetch import alone, fetch

__all__ = [
    "DEFAULT",
    "MODELS",
    "LocalModel",
    "ModelEntry",
    "ModelStatus",
    "ModelStore",
    "default_root",
    "find",
    "is_path",
    "xdg_directory",
]

_log = logging.getLogger(__name__)

_MAGIC = b"GGUF"

State = Literal["missing", "damaged", "present", "intact"]


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """What is known of one model's file.

    Parameters
    ----------
    name : str
        The model.
    state : {"missing", "damaged", "present", "intact"}
        ``present`` has the right size; ``intact`` has the right hash too.
    path : Path
        Where the file is, or would be.
    message : str
        The same as a sentence, with what to do.
    """

    name: str
    state: State
    path: Path
    message: str


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model file that can be loaded.

    Parameters
    ----------
    name : str
        The known name, or the file's name without ``.gguf``.
    path : Path
        The file.
    context_tokens : int or None
        Tokens it was trained to read at once; None where we do not know the model.
    encoder : Path or None, default None
        The folder of the encoder that decides in its place; None where there is none, or it has
        not been fetched.
    treatment : Treatment, default SMALL
        How it is asked for actions.
    """

    name: str
    path: Path
    context_tokens: int | None
    encoder: Path | None = None
    treatment: Treatment = SMALL


class ModelStore:
    """A directory of model files, one subdirectory a model.

    Parameters
    ----------
    root : Path
        The directory; made by the first `pull`. See `default_root`.
    models : Mapping of str to ModelEntry, default MODELS
        The models it may hold.
    """

    def __init__(self, root: Path, models: Mapping[str, ModelEntry] = MODELS) -> None:
        self.root = root
        self.models = models

    def __repr__(self) -> str:
        return f"ModelStore({str(self.root)!r})"

    def entry(self, name: str) -> ModelEntry:
        """The row of a model.

        Parameters
        ----------
        name : str
            The model.

        Returns
        -------
        ModelEntry
            Where it comes from and what it must be.

        Raises
        ------
        ConfigError
            If the name is unknown; the message says which name is close.
        """
        entry = self.models.get(name)
        if entry is None:
            raise ConfigError(
                f"There is no on-board model {name!r}; {did_you_mean(name, self.models)}"
            )
        return entry

    def path(self, name: str) -> Path:
        """Where the model's file is, or would be after a pull.

        Parameters
        ----------
        name : str
            The model.

        Returns
        -------
        Path

        Raises
        ------
        ConfigError
            If the name is unknown.
        """
        entry = self.entry(name)
        return self.root / entry.name / Path(entry.member).name

    def status(self, name: str) -> ModelStatus:
        """What the file's size tells, without reading it.

        Parameters
        ----------
        name : str
            The model.

        Returns
        -------
        ModelStatus
            ``missing``, ``damaged`` or ``present``.

        Raises
        ------
        ConfigError
            If the name is unknown.
        """
        entry, path = self.entry(name), self.path(name)
        if not path.is_file():
            message = f"{name} is not on this robot; run: reflexarc models pull {name}"
            return ModelStatus(name, "missing", path, message)
        size = path.stat().st_size
        if size != entry.file_bytes:
            return self._damaged(name, f"it has {size} bytes instead of {entry.file_bytes}")
        return ModelStatus(name, "present", path, f"{name} is at {path}; its hash is not checked")

    def verify(self, name: str) -> ModelStatus:
        """Check the file's size and SHA-256; reads it whole.

        Parameters
        ----------
        name : str
            The model.

        Returns
        -------
        ModelStatus
            ``missing``, ``damaged`` or ``intact``.

        Raises
        ------
        ConfigError
            If the name is unknown.
        """
        status = self.status(name)
        if status.state != "present":
            return status
        with status.path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.entry(name).file_sha256:
            return self._damaged(name, f"its SHA-256 is {found}, not the published one")
        for data in self.entry(name).others:
            path = status.path.with_name(Path(data.member).name)
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != data.sha256:
                return self._damaged(
                    name, f"{path.name} beside it is missing or not the published one"
                )
        return ModelStatus(name, "intact", status.path, f"{name} is intact at {status.path}")

    def pull(self, name: str, say: Callable[[str], None]) -> Path:
        """Fetch a model with this Python's package installer, unless it is here and intact.

        The encoder that belongs to it is fetched as well.

        Parameters
        ----------
        name : str
            The model.
        say : callable
            Is given one sentence before each long step and one at the end.

        Returns
        -------
        Path
            The file, checked by hash.

        Raises
        ------
        ConfigError
            If the name is unknown.
        UnavailableError
            If there is no installer, no network, no space, no permission, or what arrived is not
            what was published. The store is then as it was before.
        """
        encoder = self.entry(name).encoder
        if encoder is not None:
            self.pull(encoder, say)
        status = self.verify(name)
        if status.state != "intact":
            with alone(self.root, say):
                status = self.verify(name)  # another process may have fetched it while we waited
                if status.state != "intact":
                    fetch(self.entry(name), status.path, self.root, say)
                    say(f"{name} is ready: {status.path}")
                    return status.path
        say(f"{name} is already here and intact: {status.path}")
        return status.path

    def _damaged(self, name: str, why: str) -> ModelStatus:
        path = self.path(name)
        message = f"{name} at {path} is damaged: {why}; run: reflexarc models pull {name}"
        return ModelStatus(name, "damaged", path, message)


def default_root(environ: Mapping[str, str]) -> Path:
    """The directory models are kept in.

    Parameters
    ----------
    environ : Mapping of str to str
        The process's environment, handed in by whoever may read it.

    Returns
    -------
    Path
        ``$XDG_DATA_HOME/reflexarc/models``; see `xdg_directory`.
    """
    return xdg_directory(environ, "XDG_DATA_HOME", ".local/share") / "models"


def xdg_directory(environ: Mapping[str, str], variable: str, default: str) -> Path:
    """Our directory of one kind, by the XDG base directory rules.

    Parameters
    ----------
    environ : Mapping of str to str
        The process's environment.
    variable : str
        The kind: ``XDG_DATA_HOME``, ``XDG_CACHE_HOME``, …
    default : str
        Below the home directory, where the variable is not set to an absolute path.

    Returns
    -------
    Path
    """
    base = Path(environ.get(variable, ""))
    if not base.is_absolute():  # the XDG specification says to ignore a relative one
        home = environ.get("HOME")
        base = (Path(home) if home else Path.home()) / default
    return base / "reflexarc"


def find(model: str, store: ModelStore) -> LocalModel:
    """The file of a model that a configuration names.

    Parameters
    ----------
    model : str
        A name in the store's table, or a path to a ``.gguf`` file (``~`` is expanded).
    store : ModelStore
        Where named models are. Nothing is fetched.

    Returns
    -------
    LocalModel
        The file and what we know of it.

    Raises
    ------
    ConfigError
        If the name is unknown, or the path is not a readable GGUF file.
    UnavailableError
        If the model is known and not here, or its file has the wrong size; the message names the
        command that mends it.
    """
    if is_path(model):
        path = Path(model).expanduser()
        _check_gguf(path)
        return LocalModel(path.stem, path, None, treatment=_by_size(path))
    entry, status = store.entry(model), store.status(model)
    if entry.context_tokens is None:
        raise ConfigError(f"{model} is an encoder and writes nothing; name a model that chats")
    if status.state != "present":
        raise UnavailableError(status.message, model=model, retryable=False)
    encoder = store.status(entry.encoder) if entry.encoder else None
    if encoder is not None and encoder.state != "present":
        _log.warning("%s Until then %s decides as well, and less well.", encoder.message, model)
    folder = encoder.path.parent if encoder and encoder.state == "present" else None
    return LocalModel(model, status.path, entry.context_tokens, folder, entry.treatment)


def is_path(model: str) -> bool:
    """Whether a model is meant as a file, not as a known name.

    Parameters
    ----------
    model : str
        As configured.

    Returns
    -------
    bool
    """
    return model.lower().endswith(".gguf") or "/" in model


def _by_size(path: Path) -> Treatment:
    size = path.stat().st_size
    return next((treatment for most, treatment in BY_BYTES if size < most), LARGE)


def _check_gguf(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise ConfigError(f"Cannot read the model file {path}: {error.strerror}.") from error
    if magic != _MAGIC:
        raise ConfigError(f"{path} is not a GGUF model file: it does not begin with GGUF.")
