"""LlamaLLM in OM1."""

from __future__ import annotations

import pytest
from plugin_contract import SIT, Contract

from llm import LLMConfig, load_llm
from llm.output_model import CortexOutputModel
from reflexarc.testing import Reply, Server, event


class TestLlamaLLM(Contract):
    """What every plugin promises, and what only Llama's has."""

    loaded = load_llm("LlamaLLM")

    def test_a_server_must_be_named(self) -> None:
        """A key alone reaches nobody: Meta's own servers are gone, and the message says so."""
        with pytest.raises(ValueError, match="Meta retired"):
            self.loaded(CortexOutputModel, LLMConfig(api_key="k"))

    async def test_ask_uses_the_sdk(self) -> None:
        """`transport: "sdk"` is Meta's own SDK, which also reads the native dialect."""
        text = {"event_type": "progress", "delta": {"type": "text", "text": SIT}}
        end = {
            "event_type": "complete",
            "delta": {"type": "text", "text": ""},
            "stop_reason": "stop",
        }
        reply = Reply.stream(event({"event": text}), event({"event": end}), finish=None, done=False)
        async with Server(reply) as server, self.plugin(server, transport="sdk") as made:
            answer = await made.ask("sit")
        assert [action.value for action in answer.actions] == ["sit", "ok"]
        assert server.requests[0].headers["user-agent"].startswith("AsyncLlamaAPIClient/")
