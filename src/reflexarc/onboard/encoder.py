"""Sentences as vectors: a small BERT encoder in numpy, read from a safetensors file.

What two sentences mean is alike where their vectors are. The model is all-MiniLM-L6-v2 or another
of its architecture: uncased WordPiece, absolute positions, mean of the last layer, length 1.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]

MOST_TOKENS = 128
"""Word pieces that are read of a sentence; what is said to a robot is shorter."""

_LONGEST_WORD = 100
_HEAD_WIDTH = 32
_EPSILON = 1e-12
_BATCH = 32


class WordPiece:
    """Splits text into the pieces that an uncased BERT model knows.

    Parameters
    ----------
    vocabulary : sequence of str
        All pieces, by id; ``##`` begins one that goes on with a word.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._ids = {piece: at for at, piece in enumerate(vocabulary)}
        self._unknown = self._ids["[UNK]"]

    def ids(self, text: str) -> list[int]:
        """The ids of a text's pieces, between those of its beginning and its end.

        Parameters
        ----------
        text : str
            Anything.

        Returns
        -------
        list of int
            At most `MOST_TOKENS`.
        """
        pieces = [piece for word in _words(text) for piece in self._pieces(word)]
        return [self._ids["[CLS]"], *pieces[: MOST_TOKENS - 2], self._ids["[SEP]"]]

    def _pieces(self, word: str) -> list[int]:
        if len(word) > _LONGEST_WORD:
            return [self._unknown]
        found: list[int] = []
        begin = 0
        while begin < len(word):
            mark = "##" if begin else ""
            for end in range(len(word), begin, -1):
                piece = self._ids.get(mark + word[begin:end])
                if piece is not None:
                    break
            else:
                return [self._unknown]
            found.append(piece)
            begin = end
        return found


def _words(text: str) -> Iterator[str]:
    """Lower-case words without accents; each mark is a word."""
    word = ""
    for char in unicodedata.normalize("NFD", text.lower()):
        kind = unicodedata.category(char)
        if kind == "Mn" or (kind.startswith("C") and not char.isspace()):
            continue
        is_mark = kind.startswith("P") or (char.isascii() and not char.isalnum())
        if char.isspace() or is_mark or "\u4e00" <= char <= "\u9fff":
            if word:
                yield word
            word = ""
            if not char.isspace():
                yield char
        else:
            word += char
    if word:
        yield word


class Encoder:
    """A sentence encoder.

    Parameters
    ----------
    folder : Path
        With ``model.safetensors`` (float32) and ``vocab.txt``. The weights are mapped, not copied:
        of the table of words only those rows are read that are used.

    Raises
    ------
    OSError
        If a file is missing.
    ValueError
        If one is not what it should be.
    """

    def __init__(self, folder: Path) -> None:
        words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
        self._tokenizer = WordPiece(words)
        self._weights = _tensors(folder / "model.safetensors")
        self._layers = sum(name.endswith("output.dense.bias") for name in self._weights) // 2

    def encode(self, texts: Sequence[str]) -> Array:
        """The vectors of some sentences; computes, so inside an event loop call it from a thread.

        Parameters
        ----------
        texts : sequence of str
            One sentence each.

        Returns
        -------
        numpy.ndarray of float32, shape (len(texts), width)
            Each of length 1, so that their dot product is how alike they are, in [-1, 1].
        """
        ids = [self._tokenizer.ids(text) for text in texts]
        by_length = sorted(range(len(ids)), key=lambda at: len(ids[at]))
        width = self._weights["embeddings.LayerNorm.bias"].shape[0]
        vectors: Array = np.empty((len(ids), width), np.float32)
        for begin in range(0, len(ids), _BATCH):
            batch = by_length[begin : begin + _BATCH]
            vectors[batch] = self._encode([ids[at] for at in batch])
        return vectors

    def _encode(self, ids: Sequence[Sequence[int]]) -> Array:
        longest = max(map(len, ids))
        padded = np.array([[*each, *[0] * (longest - len(each))] for each in ids])
        mask: Array = np.array(
            [[1.0] * len(each) + [0.0] * (longest - len(each)) for each in ids], np.float32
        )
        x = self._embedded(padded)
        hidden = (mask[:, None, None, :] - 1) * np.float32(1e9)
        for layer in range(self._layers):
            x = self._layer(f"encoder.layer.{layer}.", x, hidden)
        mean = (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def _embedded(self, ids: NDArray[np.int64]) -> Array:
        weights = self._weights
        x = (
            weights["embeddings.word_embeddings.weight"][ids]
            + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        return self._normed("embeddings.LayerNorm", x)

    def _layer(self, name: str, x: Array, hidden: Array) -> Array:
        batch, length, width = x.shape
        heads = width // _HEAD_WIDTH

        def split(part: str) -> Array:
            y = self._dense(f"{name}attention.self.{part}", x)
            return y.reshape(batch, length, heads, _HEAD_WIDTH).transpose(0, 2, 1, 3)

        scores = split("query") @ split("key").transpose(0, 1, 3, 2) / math.sqrt(_HEAD_WIDTH)
        seen = _softmax(scores + hidden) @ split("value")
        seen = seen.transpose(0, 2, 1, 3).reshape(batch, length, width)
        x = self._normed(
            f"{name}attention.output.LayerNorm",
            x + self._dense(f"{name}attention.output.dense", seen),
        )
        inner = _gelu(self._dense(f"{name}intermediate.dense", x))
        return self._normed(
            f"{name}output.LayerNorm", x + self._dense(f"{name}output.dense", inner)
        )

    def _dense(self, name: str, x: Array) -> Array:
        return x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _normed(self, name: str, x: Array) -> Array:
        x = x - x.mean(-1, keepdims=True)
        x /= np.sqrt((x * x).mean(-1, keepdims=True) + _EPSILON)
        return x * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def _softmax(x: Array) -> Array:
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def _gelu(x: Array) -> Array:
    """By the error function, which numpy does not have: Abramowitz and Stegun 7.1.26, to 2e-7."""
    z = np.abs(x) * np.float32(math.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.zeros_like(t)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(factor)) * t
    erf: Array = np.copysign(1 - series * np.exp(-z * z), x)
    return x * (1 + erf) / np.float32(2)


def _tensors(path: Path) -> dict[str, Array]:
    """The float32 tensors of a safetensors file, mapped into memory."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 0 < size < path.stat().st_size:
            raise ValueError(f"{path} is no safetensors file")
        header = json.loads(file.read(size))
    data = np.memmap(path, np.uint8, "r", offset=8 + size)
    found: dict[str, Array] = {}
    for name, entry in header.items():
        if entry.get("dtype") == "F32":
            begin, end = entry["data_offsets"]
            found[name] = data[begin:end].view(np.float32).reshape(entry["shape"])
    return found
