"""What the documentation says of providers and settings is what they are."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from reflexarc.config import LLMConfig
from reflexarc.providers.provider import Provider
from reflexarc.registry import PROVIDERS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "providers.md").read_text()
RESILIENCE = (ROOT / "docs" / "resilience.md").read_text()
OM1 = (ROOT / "docs" / "om1.md").read_text()


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_table_of_providers_is_true(name: str) -> None:
    """Each provider's row has its address, its variable and its model."""
    module, _, attribute = PROVIDERS[name].partition(":")
    row: Provider | None = getattr(getattr(import_module(module), attribute), "provider", None)
    [line] = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}`")]
    for fact in (row.base_url, row.key_variable, row.model) if row else ():
        assert fact is None or f"`{fact}`" in line


@pytest.mark.parametrize("name", ["timeout", "stall_timeout", "max_tokens", "transport"])
def test_the_table_of_settings_is_true(name: str) -> None:
    """Each default is the one that the configuration has."""
    [line] = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}`")]
    default = str(LLMConfig.model_fields[name].default).removesuffix(".0")
    assert line.split("|")[2].strip().strip("`") == default


@pytest.mark.parametrize("name", sorted(LLMConfig.model_fields.keys() - {"type"}))
def test_every_setting_is_told_to_users_of_om1(name: str) -> None:
    """OM1's page has a row for each, with its default where that is a plain value."""
    [line] = [line for line in OM1.splitlines() if line.startswith(f"| `{name}`")]
    default = LLMConfig.model_fields[name].default
    if default and isinstance(default, str | int | float):
        assert str(default).removesuffix(".0") in line.split("|")[2]


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", RESILIENCE, re.DOTALL))
def test_a_chain_as_it_is_written_can_be_made(block: str) -> None:
    """The page's one line is a brain."""
    names: dict[str, Any] = {}
    exec(block, names)
    assert repr(names["llm"]).startswith("Deadline(Failover(Breaker(Retry(MistralLLM(")
