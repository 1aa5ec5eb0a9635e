"""The stable part of a prompt, read once and kept on disk.

Reading a thousand tokens takes a small model seconds; llama.cpp writes what it knows after them to
a file in 6 ms and takes it back in 4 (24 MB, SmolLM2-135M, measured). So a robot that starts again,
or whose engine was killed, answers at once.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import aiohttp

from reflexarc.onboard.engine import Endpoint
from reflexarc.onboard.models import LocalModel, xdg_directory
from reflexarc.types import Message

MOST_FILES = 4
"""Prefixes kept; the ones used longest ago go first."""

_SUFFIX = ".prefix"

_TIMEOUT = aiohttp.ClientTimeout(total=5)

_log = logging.getLogger(__name__)


class PrefixCache:
    """A directory of prefixes; llama.cpp reads and writes the files, this names and counts them.

    Parameters
    ----------
    root : Path
        The directory; the engine is told the same.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def name(self, model: LocalModel, messages: Sequence[Message]) -> str:
        """The file name of a prefix: another model, engine or text has another name.

        Parameters
        ----------
        model : LocalModel
            Its file is asked for size and age.
        messages : sequence of Message
            The prompt, without what is sensed.

        Returns
        -------
        str
        """
        status = model.path.stat()
        try:
            engine = version("xllamacpp")
        except PackageNotFoundError:
            engine = "unknown"
        text = [(message.role, message.content) for message in messages]
        what = [str(model.path), status.st_size, status.st_mtime_ns, engine, text]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32] + _SUFFIX

    async def restore(self, endpoint: Endpoint, name: str) -> bool:
        """Have the engine take a prefix back.

        Parameters
        ----------
        endpoint : Endpoint
            The engine.
        name : str
            Of the prefix.

        Returns
        -------
        bool
            False if there is none, or it cannot be read: then it has to be read anew.
        """
        return await _ask(endpoint, "restore", name)

    async def save(self, endpoint: Endpoint, name: str) -> bool:
        """Have the engine keep the prompt that it read last.

        Parameters
        ----------
        endpoint : Endpoint
            The engine.
        name : str
            Of the prefix.

        Returns
        -------
        bool
            False if it could not be written; nothing is lost but time.
        """
        return await _ask(endpoint, "save", name)

    def prepare(self) -> bool:
        """Make the directory.

        Returns
        -------
        bool
            False if that cannot be; then nothing is kept.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            _log.warning("no prompt is kept in %s: %s", self.root, error.strerror)
            return False
        return True

    def used(self, name: str) -> None:
        """Note that a prefix is in use, and remove those beyond `MOST_FILES`.

        Parameters
        ----------
        name : str
            Of the prefix.
        """
        try:
            (self.root / name).touch()
            files = sorted(self.root.glob(f"*{_SUFFIX}"), key=lambda file: file.stat().st_mtime_ns)
            for file in files[:-MOST_FILES]:
                file.unlink(missing_ok=True)
        except OSError as error:  # another robot's file, or another robot tidying up
            _log.info("cannot tidy up %s: %s", self.root, error)


def default_prefixes(environ: Mapping[str, str]) -> Path:
    """Where prefixes are kept.

    Parameters
    ----------
    environ : mapping of str to str
        The environment.

    Returns
    -------
    Path
        ``$XDG_CACHE_HOME/reflexarc/prefixes``; see `xdg_directory`.
    """
    return xdg_directory(environ, "XDG_CACHE_HOME", ".cache") / "prefixes"


async def _ask(endpoint: Endpoint, action: str, name: str) -> bool:
    url = f"{endpoint.base_url.removesuffix('/v1')}/slots/0"
    headers = {"Authorization": f"Bearer {endpoint.api_key}"}
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as session,
            session.post(url, params={"action": action}, json={"filename": name}) as response,
        ):
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError) as error:
        _log.info("cannot %s the prefix: %s", action, error)
        return False
