"""Every registered provider, over each of its transports, keeps every promise."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from pydantic import BaseModel

from reflexarc.llm import LLM
from reflexarc.providers.dialect import Dialect
from reflexarc.providers.provider import Provider, ProviderLLM
from reflexarc.registry import PROVIDERS
from reflexarc.resilience import Deadline, Failover
from reflexarc.testing import EMULATORS
from reflexarc.testing.conformance import PROMISES
from reflexarc.testing.server import Server
from reflexarc.testing.subject import PATIENCE_S, Subject
from reflexarc.types import CortexOutputModel

SELF_HOSTED = ("llamacpp", "vllm", "ollama", "lmstudio", "tgi")
ELSEWHERE = {
    "OnboardLLM": "runs its own server; tests/providers/test_onboard.py asks the real one",
    "FailoverLLM": "has no server; below, around one that has",
}


class SeventhLLM(ProviderLLM[CortexOutputModel]):
    """A vendor of somebody else's: what it costs to add one."""

    provider = Provider("SeventhLLM", "https://seventh.invalid/v1", "SEVENTH_KEY", "m", Dialect())


class Behind(Subject):
    """A provider behind a failover, which takes nothing from what it promises."""

    def __str__(self) -> str:
        return f"Failover-{Subject.__str__(self)}"

    def llm(
        self, server: Server, output_model: type[BaseModel] | None = None, **settings: Any
    ) -> LLM[Any]:
        """The only brain of a failover."""
        inner = Subject.llm(self, server, output_model, **settings)
        return Deadline(Failover([inner]), timeout=settings.get("timeout", PATIENCE_S))


def subjects_of(name: str, target: str) -> list[Subject]:
    """A provider before its vendor's server, or before each self-hosted one."""
    module, _, attribute = target.partition(":")
    kind: type[ProviderLLM[Any]] = getattr(import_module(module), attribute)
    vendor = EMULATORS.get(name.removesuffix("LLM").lower())
    if vendor is not None:
        found = [Subject(kind, "http", vendor)]
    else:
        servers = SELF_HOSTED + (("llama_native",) if name == "LlamaLLM" else ())
        found = [Subject(kind, "http", EMULATORS[each], is_vendor=False) for each in servers]
    if kind.sdk is not None:
        asked = [vendor] if vendor else [EMULATORS["llama_native"], EMULATORS["llamacpp"]]
        found += [Subject(kind, "sdk", each, is_vendor=vendor is not None) for each in asked]
    return found


SUBJECTS = [
    subject
    for name, target in PROVIDERS.items()
    if name not in ELSEWHERE
    for subject in subjects_of(name, target)
]
# Mistral's weights on servers of the user's own.
SUBJECTS += [
    Subject(subject.kind, "http", EMULATORS[server], is_vendor=False)
    for subject in SUBJECTS
    if str(subject) == "MistralLLM-http-mistral"
    for server in ("llamacpp", "vllm")
]
SUBJECTS.append(Subject(SeventhLLM, "http", EMULATORS["openai"]))
SUBJECTS.append(Behind(SeventhLLM, "http", EMULATORS["openai"]))


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
async def test_keeps_its_promises(subject: Subject, promise: str) -> None:
    """What the docstring of the promise says."""
    await PROMISES[promise](subject)
