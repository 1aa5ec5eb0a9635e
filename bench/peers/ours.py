"""reflexarc, as its README shows it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from bench.peers import Ask, Given
from bench.task import KEY, MODEL, SYSTEM, Pair

SPEC = {
    "speak": None,
    "move": ("stand still", "sit", "walk", "run", "dance"),
    "emotion": ("happy", "sad", "curious"),
}


def http(servers: Sequence[str]) -> AbstractAsyncContextManager[Ask]:
    """Over our own client, which is the default for a server that is named."""
    return opened(servers, "MistralLLM", "auto")


def mistral_sdk(servers: Sequence[str]) -> AbstractAsyncContextManager[Ask]:
    """Over Mistral's SDK."""
    return opened(servers, "MistralLLM", "sdk")


def llama_sdk(servers: Sequence[str]) -> AbstractAsyncContextManager[Ask]:
    """Over Meta's SDK."""
    return opened(servers, "LlamaLLM", "sdk")


@asynccontextmanager
async def opened(
    servers: Sequence[str], kind: str, transport: str, **limits: float
) -> AsyncGenerator[Ask, None]:
    """One brain, or a chain of several, to which the limits are told."""
    from reflexarc import ActionReady, Finished, LLMConfig, Prompt, Vocabulary, load_llm
    from reflexarc.specs import ActionSpec

    brains = [
        {"type": kind, "model": MODEL, "base_url": url, "api_key": KEY, "transport": transport}
        for url in servers
    ]
    config = brains[0] if len(brains) == 1 else {"type": "FailoverLLM", "llms": brains, **limits}
    vocabulary = Vocabulary(ActionSpec(type_, values) for type_, values in SPEC.items())
    prompt = Prompt(system=SYSTEM)
    async with load_llm(LLMConfig.model_validate(config), actions=vocabulary, environ={}) as llm:

        async def ask(question: str, given: Given) -> list[Pair]:
            pairs: list[Pair] = []
            async for event in llm.stream(prompt.at(question)):
                if isinstance(event, ActionReady):
                    given((event.action.type, event.action.value))
                elif isinstance(event, Finished):
                    pairs = [(each.type, each.value) for each in event.answer.actions]
            return pairs

        yield ask
