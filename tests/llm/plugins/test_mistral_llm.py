"""MistralLLM in OM1."""

from __future__ import annotations

from typing import Any

import pytest
from plugin_contract import Contract

from llm import LLMConfig, load_llm
from llm.output_model import CortexOutputModel
from reflexarc.testing import Reply, Server


class TestMistralLLM(Contract):
    """What every plugin promises, and what only Mistral's has."""

    loaded = load_llm("MistralLLM")

    def test_the_vendor_needs_only_a_key(self) -> None:
        """With a key and nothing else, Mistral's own server is asked."""
        made: Any = self.loaded(CortexOutputModel, LLMConfig(api_key="k"))
        assert made._client.base_url == "https://api.mistral.ai/v1"

    def test_the_key_may_stand_in_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """MISTRAL_API_KEY is enough, and is not put into OM1's configuration."""
        monkeypatch.setenv("MISTRAL_API_KEY", "k")
        config = LLMConfig()
        made: Any = self.loaded(CortexOutputModel, config)
        assert (made._client.api_key, config.api_key) == (None, None)

    @pytest.mark.parametrize("key", ["openmind_free", "om1_live_0123"])
    def test_openminds_key_is_no_key_for_mistral(self, key: str) -> None:
        """The key that OM1 puts into every LLM's configuration is not taken for Mistral's."""
        with pytest.raises(ValueError, match="config file missing api_key"):
            self.loaded(CortexOutputModel, LLMConfig(api_key=key))

    async def test_ask_uses_the_sdk(self) -> None:
        """`transport: "sdk"` is Mistral's own SDK."""
        async with (
            Server(Reply.stream('{"actions":[]}')) as server,
            self.plugin(server, transport="sdk") as made,
        ):
            await made.ask("sit")
        assert server.requests[0].headers["user-agent"].startswith("mistral-client-python/")
