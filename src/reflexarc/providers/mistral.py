"""Mistral's models: at the vendor by its SDK, or on any server of the chat dialect."""

from __future__ import annotations

from reflexarc.llm import R
from reflexarc.providers.mistral_sdk import DIALECT, MistralSdkTransport
from reflexarc.providers.provider import Provider, ProviderLLM


class MistralLLM(ProviderLLM[R]):
    """Mistral's models."""

    provider = Provider(
        name="MistralLLM",
        base_url="https://api.mistral.ai/v1",
        key_variable="MISTRAL_API_KEY",
        model="mistral-small-latest",
        dialect=DIALECT,
        hosts=("api.mistral.ai", "api.eu.mistral.ai", "api.us.mistral.ai"),
    )
    sdk = MistralSdkTransport
