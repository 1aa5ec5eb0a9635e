"""Meta's Llama models, on a server that the user names."""

from __future__ import annotations

from reflexarc.llm import R
from reflexarc.providers.dialect import Dialect
from reflexarc.providers.llama_native import read_native
from reflexarc.providers.llama_sdk import LlamaSdkTransport
from reflexarc.providers.provider import Provider, ProviderLLM

_RETIRED = (
    "Meta retired its hosted Llama API on 2026-07-06. Name a server that has a Llama model, such "
    "as http://127.0.0.1:8080/v1, or use OnboardLLM, which runs one on the robot"
)


class LlamaLLM(ProviderLLM[R]):
    """Llama models on llama.cpp, vLLM, Ollama and other servers."""

    provider = Provider(
        name="LlamaLLM",
        base_url=None,
        key_variable=None,
        model=None,
        dialect=Dialect(),
        no_server=f"LlamaLLM needs a base_url: {_RETIRED}",
        retired={"api.llama.com": _RETIRED},
    )
    sdk = LlamaSdkTransport
    understand = read_native
