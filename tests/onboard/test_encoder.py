"""The sentence encoder: its pieces, its vectors, and the phrases that are shipped with theirs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.onboard.encoder import MOST_TOKENS, Encoder, WordPiece
from reflexarc.onboard.hearing import plain
from reflexarc.onboard.models import DEFAULT, ModelStore, default_root, find
from reflexarc.onboard.phrasebook import phrasebook
from reflexarc.onboard.vectors import SHIPPED, Vectors

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "sit", "##ting", "down", "!", "naive", "中", "a"]


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where the encoder is."""
    found = find(DEFAULT, ModelStore(default_root(os.environ))).encoder
    assert found is not None, "run: reflexarc models pull"
    return found


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Encoder:
    """The one that is shipped with."""
    return Encoder(folder)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Sitting down!", ["sit", "##ting", "down", "!"]),
        ("naïve", ["naive"]),
        ("sit\tdown\u200b", ["sit", "down"]),
        ("中a", ["中", "a"]),
        ("sitx", ["[UNK]"]),
        ("a" * 101, ["[UNK]"]),
        ("", []),
    ],
)
def test_words_become_pieces(text: str, pieces: list[str]) -> None:
    """The longest that are known, without case and accents."""
    ids = WordPiece(PIECES).ids(text)
    assert [PIECES[at] for at in ids] == ["[CLS]", *pieces, "[SEP]"]


@given(st.text(max_size=400))
def test_any_text_has_pieces(text: str) -> None:
    """Not too many of them, whatever it is."""
    assert 2 <= len(WordPiece(PIECES).ids(text)) <= MOST_TOKENS


def test_vectors_are_those_that_were_published(encoder: Encoder) -> None:
    """The example on the model's own page, to its three digits."""
    texts = ["That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    person, *others = encoder.encode(["That is a happy person", *texts])
    assert [float(person @ other) for other in others] == pytest.approx(
        [0.695, 0.943, 0.257], abs=5e-4
    )


def test_a_vector_does_not_depend_on_its_company(encoder: Encoder) -> None:
    """Texts of other lengths beside it change nothing."""
    texts = ["sit", "a sentence that is quite a bit longer than the others", "", "turn left"]
    together = encoder.encode(texts)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for text, vector in zip(texts, together, strict=True):
        assert np.allclose(encoder.encode([text])[0], vector, atol=1e-5)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    """It is not read as something else."""
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\n")
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ValueError, match="is no safetensors file"):
        Encoder(tmp_path)


def test_the_phrases_that_are_shipped_are_those_of_the_phrasebook(encoder: Encoder) -> None:
    """All of them, with the vectors of this encoder; scripts/write_phrases.py writes them."""
    texts = sorted(set(map(plain, phrasebook().said())))
    with np.load(SHIPPED) as file:
        assert list(file["texts"]) == texts
        some = range(0, len(texts), 40)
        expected = encoder.encode([texts[at] for at in some])
        assert np.allclose(file["vectors"][list(some)], expected, atol=2e-3)


def test_vectors_are_kept_on_disk(encoder: Encoder, tmp_path: Path) -> None:
    """For the next start; a file that is damaged is as good as none, and is written anew."""
    path = tmp_path / "deep" / "phrases.npz"
    first = Vectors(encoder, path)
    first.keep(["hello robot", "turn left"])
    assert path.is_file()

    class Broken(Encoder):
        def __init__(self) -> None:
            pass

    again = Vectors(Broken(), path)(["turn left", "hello robot"])
    assert np.allclose(again, encoder.encode(["turn left", "hello robot"]), atol=2e-3)
    path.write_bytes(path.read_bytes()[:100])
    second = Vectors(encoder, path)
    second.keep(["hello robot"])
    assert np.allclose(Vectors(Broken(), path)(["hello robot"]), again[1:], atol=1e-5)
    assert [each.name for each in path.parent.iterdir()] == ["phrases.npz"]


def test_a_disk_that_cannot_be_written_costs_time_only(encoder: Encoder, tmp_path: Path) -> None:
    """The vectors are there all the same."""
    (tmp_path / "file").write_text("")
    vectors = Vectors(encoder, tmp_path / "file" / "phrases.npz")
    vectors.keep(["hello robot"])
    assert vectors(["hello robot"]).shape == (1, 384)


def test_what_was_met_lately_does_not_grow(encoder: Encoder) -> None:
    """A robot hears new sentences for months."""
    vectors = Vectors(encoder)
    for at in range(0, 90, 30):
        vectors([f"sentence {number}" for number in range(at, at + 30)])
    assert len(vectors._lately) <= 64
