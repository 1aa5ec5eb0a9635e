"""What the pages on Mistral, Llama and servers have one write makes the brain that they tell of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from reflexarc.config import LLMConfig, parse_llm
from reflexarc.providers.mistral import MistralLLM
from reflexarc.registry import load_llm
from reflexarc.testing import EMULATORS

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {name: (DOCS / f"{name}.md").read_text() for name in ("mistral", "llama", "servers")}
BRAINS = [
    pytest.param(block, id=f"{name}-{number}")
    for name, page in PAGES.items()
    for number, block in enumerate(
        re.findall(r"```json5\ncortex_llm: (.*?),?\n```", page, re.DOTALL)
    )
]
SELF_HOSTED = {"llamacpp", "ollama", "vllm", "lmstudio", "tgi"}


@pytest.mark.parametrize("written", BRAINS)
def test_a_brain_as_it_is_written_can_be_made(written: str) -> None:
    """With the keys that it names in the environment; nothing is sent."""
    environ = dict.fromkeys(["MISTRAL_API_KEY", "OPENROUTER_API_KEY", "LLM_KEY"], "k" * 20)
    config = parse_llm(written, environ)
    made = load_llm(config, environ=environ)
    assert made.name == ("FailoverLLM" if config.fallback else config.type)


@pytest.mark.parametrize("name", ["mistral", "llama"])
def test_a_brain_can_be_made_in_python(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the two lines of the page."""
    monkeypatch.setenv("MISTRAL_API_KEY", "k" * 20)
    [block] = re.findall(r"```python\n(.*?)```", PAGES[name], re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    assert names["llm"].name.lower() == f"{name}llm"


def test_every_host_of_mistrals_is_told() -> None:
    """The key goes to these and to no other."""
    assert all(f"`{host}`" in PAGES["mistral"] for host in MistralLLM.provider.hosts)
    assert f"`{MistralLLM.provider.model}`" in PAGES["mistral"]


def test_every_server_has_its_part() -> None:
    """Each kind that is emulated, with the address in its part that the table has."""
    table = re.findall(r"^\| \[([\w. ]+)\]\(#([\w-]+)\) \| `(.+?)`", PAGES["servers"], re.MULTILINE)
    assert {re.sub(r"\W", "", name).lower() for name, _, _ in table} == SELF_HOSTED
    assert EMULATORS.keys() >= SELF_HOSTED
    for name, _, address in table:
        part = PAGES["servers"].split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert f'base_url: "{address}"' in part


def test_every_setting_that_is_told_is_one() -> None:
    """A setting with its value, within a sentence, is one of `LLMConfig`."""
    told = {name for page in PAGES.values() for name in re.findall(r"`(\w+): ", page)}
    assert told
    assert told <= LLMConfig.model_fields.keys()
