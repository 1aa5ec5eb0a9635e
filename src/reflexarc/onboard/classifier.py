"""Which of some labels a short text has, learned from a few hundred labelled ones in no time.

Two texts are alike where they mean the same (their vectors) or share words (left and right are near
in meaning, and different words). Kernel ridge regression over both: one linear system to solve, the
same result each time.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from reflexarc.onboard.encoder import Array

L = TypeVar("L")

Encode = Callable[[Sequence[str]], Array]
"""Gives the vectors of some texts, of length 1."""

# Chosen on the situations for that; halving or doubling either costs 1 to 3 of 132.
_RIDGE = 0.3
_SHARPNESS = 8.0

# Words that tell wishes apart only in the company of others.
_COMMON = frozenset(
    re.split(
        " ", "a an and are at be do for i is it me my of that the there this to us we with you"
    )
)
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_ENDING = re.compile(r"(?:ing|ed|wards|ward|s)$")
_SHORTEST_STEMMED = 5


class Classifier(Generic[L]):
    """Knows labelled texts, and tells how well each label fits another one.

    Parameters
    ----------
    labelled : sequence of (label, str)
        At least one.
    encode : callable
        Gives the vectors of texts; kept for later.
    """

    def __init__(self, labelled: Sequence[tuple[L, str]], encode: Encode) -> None:
        texts = [text for _, text in labelled]
        self.labels = tuple(dict.fromkeys(label for label, _ in labelled))
        self._encode = encode
        self._words = _Words(texts)
        self._vectors, self._grams = encode(texts), self._words.rows(texts)
        column = {label: at for at, label in enumerate(self.labels)}
        targets = np.zeros((len(labelled), len(self.labels)))
        targets[np.arange(len(labelled)), [column[label] for label, _ in labelled]] = 1
        # A label of few texts counts more in each of them, by the root of how few they are.
        weights = 1 / np.sqrt(targets.sum(0)[targets.argmax(1)])
        ridge = np.diag(_RIDGE * weights.mean() / weights)
        self._factors = np.linalg.solve(self._alike(texts) + ridge, targets)

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """How well each label fits some texts; computes, for some 10 ms a text.

        Parameters
        ----------
        texts : sequence of str
            At least one.

        Returns
        -------
        numpy.ndarray of float64, shape (len(texts), len(self.labels))
            In the order of `labels`; each row adds up to 1.
        """
        return shares(self.scores(texts))

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """How far some texts go in the direction of each label; computes, for some 10 ms a text.

        Parameters
        ----------
        texts : sequence of str
            At least one.

        Returns
        -------
        numpy.ndarray of float64, shape (len(texts), len(self.labels))
            In the order of `labels`; near 1 for what was learned, near 0 for what is like nothing
            that was.
        """
        return self._alike(texts) @ self._factors

    def _alike(self, texts: Sequence[str]) -> NDArray[np.float64]:
        meaning = (self._encode(texts) @ self._vectors.T).astype(np.float64)
        return meaning * np.abs(meaning) + self._words.rows(texts) @ self._grams.T


def shares(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """What of 1 falls to each label.

    Parameters
    ----------
    scores : numpy.ndarray of float64, shape (texts, labels)
        As of `Classifier.scores`.

    Returns
    -------
    numpy.ndarray of float64, shape (texts, labels)
        Each row adds up to 1, also where no score is worth much.
    """
    fits = np.exp(_SHARPNESS * (scores - scores.max(1, keepdims=True)))
    return fits / fits.sum(1, keepdims=True)


class _Words:
    """Texts as rows of their words and pairs of words, the rare ones heavier; each of length 1."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = Counter(gram for text in texts for gram in set(_grams(text)))
        self._column = {gram: at for at, gram in enumerate(counts)}
        self._weight = [math.log(1 + len(texts) / count) for count in counts.values()]

    def rows(self, texts: Sequence[str]) -> NDArray[np.float64]:
        rows = np.zeros((len(texts), len(self._weight)))
        for row, text in enumerate(texts):
            for gram in _grams(text):
                at = self._column.get(gram)
                if at is not None:
                    rows[row, at] = self._weight[at]
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / np.where(lengths, lengths, 1.0)


def _grams(text: str) -> list[str]:
    words = [
        _ENDING.sub("", word) if len(word) >= _SHORTEST_STEMMED else word
        for word in _WORD.findall(text.lower())
    ]
    pairs = (f"{first} {second}" for first, second in pairwise(words))
    return [*(word for word in words if word not in _COMMON), *pairs]
