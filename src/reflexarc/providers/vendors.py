"""Vendors that speak the OpenAI chat dialect: each one a row of facts.

Sources: the vendors' API references and publicly recorded replies, read 2026-11. Names of models
change monthly; write the one you want into the configuration.
"""

from __future__ import annotations

from reflexarc.llm import R
from reflexarc.providers.dialect import Dialect, ModelFacts
from reflexarc.providers.provider import Provider, ProviderLLM


class OpenAILLM(ProviderLLM[R]):
    """OpenAI's models."""

    provider = Provider(
        name="OpenAILLM",
        base_url="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY",
        model="gpt-5.6-luna",
        dialect=Dialect(
            max_tokens="max_completion_tokens",  # reasoning models refuse max_tokens
            cache_key=True,
            models=(
                # They take no temperature but 1.
                ModelFacts(r"(o\d|gpt-5(-|$))", without=frozenset({"temperature"})),
                # They reason unless told otherwise, and take tools only if they do not.
                ModelFacts(r"gpt-(5\.\d|[6-9])", added={"reasoning_effort": "none"}),
            ),
        ),
        hosts=("api.openai.com",),
    )


class GeminiLLM(ProviderLLM[R]):
    """Google's Gemini models, by their OpenAI dialect."""

    provider = Provider(
        name="GeminiLLM",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_variable="GEMINI_API_KEY",
        model="gemini-flash-latest",
        dialect=Dialect(shows_calls=False),
        hosts=("generativelanguage.googleapis.com",),
    )


class DeepSeekLLM(ProviderLLM[R]):
    """DeepSeek's models."""

    provider = Provider(
        name="DeepSeekLLM",
        base_url="https://api.deepseek.com/v1",
        key_variable="DEEPSEEK_API_KEY",
        model="deepseek-flash",
        dialect=Dialect(
            forms=("tools", "json", "text"),  # json_schema is refused
            # It thinks by default, and all of a small max_tokens goes into that.
            added={"thinking": {"type": "disabled"}},
        ),
        hosts=("api.deepseek.com",),
    )


class XAILLM(ProviderLLM[R]):
    """xAI's Grok models."""

    provider = Provider(
        name="XAILLM",
        base_url="https://api.x.ai/v1",
        key_variable="XAI_API_KEY",
        model="grok-4.7",
        dialect=Dialect(),
        hosts=("api.x.ai",),
    )
