"""OpenRouter for robots: what a package needs to add a provider.

Sources: openrouter.ai/docs, "Errors" and "Provider Routing", and replies as people quote them in
public repositories; read 2026-11.
"""

from collections.abc import Mapping

from reflexarc.errors import BadRequestError, LLMError, RefusedError
from reflexarc.llm import R
from reflexarc.providers.dialect import Dialect
from reflexarc.providers.failure import read_error
from reflexarc.providers.provider import Provider, ProviderLLM
from reflexarc.types import as_object


def read_failure(status: int, headers: Mapping[str, str], body: object) -> LLMError:
    """Understand a failure; two of OpenRouter's mean something else than their status."""
    said = as_object((as_object(body) or {}).get("error")) or {}
    if status == 403 and (as_object(said.get("metadata")) or {}).get("reasons"):
        return RefusedError("OpenRouter's filter declined; say it in other words", status=status)
    if status == 404 and str(said.get("message")).startswith("No endpoints found that"):
        error = BadRequestError(
            "no host of this model takes all fields of the request; name another model",
            status=status,
        )
        error.fields = ("response_format", "tools")  # so the answer is held in another way
        return error
    return read_error(status, headers, body)


class OpenRouterLLM(ProviderLLM[R]):
    """Several hundred models of many vendors behind one address and one key."""

    provider = Provider(
        name="OpenRouterLLM",
        base_url="https://openrouter.ai/api/v1",
        key_variable="OPENROUTER_API_KEY",
        model=None,  # to be named, as in mistralai/mistral-small-3.2-24b-instruct
        dialect=Dialect(
            # A host that does not know a field leaves it out, and with it the form of the answer.
            # Of those that know them all, the one that is quickest to begin is asked.
            added={"provider": {"require_parameters": True, "sort": "latency"}},
        ),
        hosts=("openrouter.ai",),
    )
    explain = read_failure
