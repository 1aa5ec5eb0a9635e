"""The demonstration runs on the model on board, or on the servers that it is named."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from reflexarc.testing import Reply, Server
from reflexarc.testing.server import Received
from reflexarc.types import ToolCallDelta

DEMO = Path(__file__).parent.parent / "examples" / "demo.py"
PARTS = (
    "== Text generation",
    "== Streaming, action by action",
    "== Tool calls",
    "== A dialogue with memory, and a switch in mid-conversation",
    "== Custom configuration and failover",
)
SIT = '{"actions":[{"type":"move","value":"sit"}]}'
KITCHEN = ToolCallDelta("set_light", '{"room": "kitchen", "colour": "red"}', 0, "abcdefghi")


async def demonstrated(**environ: str) -> str:
    """What the demonstration prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        DEMO,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.timeout(180)
async def test_it_runs_with_no_key_and_no_server() -> None:
    """Every part, through both plugins; it says that it is the model on board."""
    told = await demonstrated()
    assert [line for line in told.splitlines() if line.startswith("==")] == [*PARTS]
    for name in ("Mistral", "Llama"):
        missing = f"no key and no {name.upper()}_URL"
        assert f"{name}LLM: {missing}, so it talks to smollm2-135m-instruct on this machine" in told
    assert "-> move: " in told
    assert 'set_light({"room":' in told
    assert "LlamaLLM, shown 6 turns" in told
    assert "MistralLLM failed (connection); LlamaLLM is asked" in told
    assert "answered by LlamaLLM" in told


async def test_it_takes_the_servers_it_is_named() -> None:
    """Each plugin asks its own, by its own model; tools are sent as tools."""

    def answer(request: Received) -> Reply:
        if "tools" in request.json:
            return Reply.stream(KITCHEN)
        return Reply.stream(SIT)

    async with Server(route=answer) as mistral, Server(route=answer) as llama:
        told = await demonstrated(
            MISTRAL_URL=mistral.base_url,
            MISTRAL_MODEL="small",
            LLAMA_URL=llama.base_url,
            LLAMA_MODEL="llama3.2",
        )
    assert "on this machine" not in told
    assert 'set_light({"room": "kitchen", "colour": "red"})' in told
    asked = [request.json for request in mistral.requests]
    assert {each["model"] for each in asked} == {"small"}
    assert len(asked) == 4, "a text, a stream, and half of the dialogue"
    asked = [request.json for request in llama.requests]
    assert {each["model"] for each in asked} == {"llama3.2"}
    assert [len(each["messages"]) for each in asked if "tools" in each] == [2]
    assert any(each.get("temperature") == 0.7 for each in asked)
