"""The deciders of a process: one for each vocabulary with its examples, made when it is needed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from reflexarc.config import Sensed
from reflexarc.errors import ReflexarcError
from reflexarc.onboard.catalogue import SMALL
from reflexarc.onboard.decision import Mind, is_decidable
from reflexarc.onboard.models import ModelStore, find, xdg_directory
from reflexarc.onboard.phrasebook import phrasebook
from reflexarc.vocabulary import Vocabulary

if TYPE_CHECKING:  # they need numpy
    from reflexarc.onboard.vectors import Vectors

_log = logging.getLogger(__name__)

_MOST = 8


class Minds:
    """The deciders of one brain on board.

    Parameters
    ----------
    store : ModelStore
        Where models are.
    path : Path
        Where the vectors of phrases are kept.
    """

    def __init__(self, store: ModelStore, path: Path) -> None:
        self._store = store
        self._path = path
        self.treatment = SMALL
        """How the model is asked for actions; known once this is open."""
        self._made: dict[tuple[Vocabulary, tuple[Sensed, ...]], Mind] = {}
        self._vectors: Vectors | None = None
        self._is_open = False
        self._opening = asyncio.Lock()

    async def open(self, model: str) -> None:
        """Have the encoder ready, where the model has one; does nothing the second time.

        Parameters
        ----------
        model : str
            As configured.
        """
        async with self._opening:
            if not self._is_open:
                self._vectors = await asyncio.to_thread(self._read, model)
                self._is_open = True

    async def decider(
        self, model: str, vocabulary: Vocabulary, examples: tuple[Sensed, ...]
    ) -> Mind | None:
        """The decider of a vocabulary and examples.

        Parameters
        ----------
        model : str
            As configured.
        vocabulary : Vocabulary
            Of the robot.
        examples : tuple of Sensed
            The robot's, or derived.

        Returns
        -------
        Mind or None
            None where the model has no encoder, or the vocabulary is not for one.
        """
        await self.open(model)
        vectors, key = self._vectors, (vocabulary, examples)
        if vectors is None or not is_decidable(vocabulary):
            return None
        async with self._opening:
            if key not in self._made:
                if len(self._made) == _MOST:
                    self._made.clear()
                self._made[key] = await asyncio.to_thread(_make, vocabulary, examples, vectors)
            return self._made[key]

    def _read(self, model: str) -> Vectors | None:
        phrasebook()  # from its file, which no event loop should wait for
        try:
            found = find(model, self._store)
        except ReflexarcError as error:
            _log.info("no decider: %s", error.message)  # whoever asks the model meets the same
            return None
        self.treatment = found.treatment
        if found.encoder is None:
            return None
        try:
            from reflexarc.onboard.encoder import Encoder
            from reflexarc.onboard.vectors import Vectors
        except ImportError as error:
            _log.warning("no decider: %s; run: pip install 'reflexarc[onboard]'", error)
            return None
        try:
            return Vectors(Encoder(found.encoder), self._path)
        except (OSError, ValueError) as error:
            _log.warning("no decider: %s; run: reflexarc models pull", error)
            return None


def _make(vocabulary: Vocabulary, examples: tuple[Sensed, ...], vectors: Vectors) -> Mind:
    from reflexarc.onboard.decider import Decider

    decider = Decider(vocabulary, examples, vectors)
    decider.decide(
        "A person says: hello"
    )  # reads the weights in, which the first question would wait for
    return decider


def default_vectors(environ: Mapping[str, str]) -> Path:
    """Where the vectors of phrases are kept.

    Parameters
    ----------
    environ : mapping of str to str
        The process's environment.

    Returns
    -------
    Path
        In ``$XDG_CACHE_HOME/reflexarc``.
    """
    return xdg_directory(environ, "XDG_CACHE_HOME", ".cache") / "phrases.npz"
