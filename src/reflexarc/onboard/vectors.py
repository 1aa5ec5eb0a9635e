"""The vectors of sentences, kept: on disk those of phrases, in memory those met lately.

Those of the phrasebook are in the package, ``phrases.npz``, in float16; scripts/write_phrases.py
writes them.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from reflexarc.onboard.encoder import Array, Encoder

SHIPPED = Path(__file__).with_name("phrases.npz")
"""The vectors of the phrasebook, by all-MiniLM-L6-v2."""

_LATELY = 64
_MOST_KEPT = 5000


class Vectors:
    """Gives the vectors of texts, each computed once; threads wait for each other.

    Parameters
    ----------
    encoder : Encoder
        Computes them, some 10 ms each.
    path : Path or None, default None
        An ``.npz`` file of those that are kept; None keeps none. One that is missing or damaged is
        as good as empty.
    """

    def __init__(self, encoder: Encoder, path: Path | None = None) -> None:
        self._encoder = encoder
        self._path = path
        self._lock = threading.Lock()
        self._kept: dict[str, Array] = {}
        self._lately: dict[str, Array] = {}
        for each in filter(None, (SHIPPED, path)):
            with (
                suppress(OSError, ValueError, KeyError, EOFError, BadZipFile),
                each.open("rb") as stream,
                np.load(stream) as file,
            ):
                vectors = file["vectors"].astype(np.float32)
                self._kept.update(zip(map(str, file["texts"]), vectors, strict=True))

    def __call__(self, texts: Sequence[str]) -> Array:
        """The vectors of some texts.

        Parameters
        ----------
        texts : sequence of str
            At least one.

        Returns
        -------
        numpy.ndarray of float32, shape (len(texts), width)
            Each of length 1.
        """
        with self._lock:
            self._compute(texts, self._lately)
            rows = np.stack(
                [self._kept[text] if text in self._kept else self._lately[text] for text in texts]
            )
            while len(self._lately) > _LATELY:
                del self._lately[next(iter(self._lately))]
            return rows

    def keep(self, texts: Sequence[str]) -> None:
        """Keep the vectors of phrases that will be needed again, also after the next start.

        Parameters
        ----------
        texts : sequence of str
            All that are needed now; others stay while there is room.
        """
        with self._lock:
            if not self._compute(texts, self._kept) or self._path is None:
                return
            others = [text for text in self._kept if text not in set(texts)]
            kept = [*dict.fromkeys(texts), *others[::-1]][:_MOST_KEPT]
            with suppress(OSError):  # without it the next start takes longer, and that is all
                write_vectors(self._path, kept, np.stack([self._kept[text] for text in kept]))

    def _compute(self, texts: Sequence[str], where: dict[str, Array]) -> bool:
        """Whether there was anything to compute."""
        new = [
            text for text in dict.fromkeys(texts) if text not in self._kept and text not in where
        ]
        if new:
            where.update(zip(new, self._encoder.encode(new), strict=True))
        return bool(new)


def write_vectors(path: Path, texts: Sequence[str], vectors: NDArray[np.floating[Any]]) -> None:
    """Write a file of vectors, whole or not at all.

    Parameters
    ----------
    path : Path
        The ``.npz`` file.
    texts : sequence of str
        Each once.
    vectors : numpy.ndarray of float, shape (len(texts), width)
        Theirs.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, texts=np.array(texts), vectors=vectors)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink()
        raise
