"""OM1's plugins and a real model: the one on board, behind llama.cpp's own server."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from llm import LLMConfig, load_llm
from llm.output_model import CortexOutputModel
from reflexarc.onboard.engine import Engine
from reflexarc.onboard.models import ModelStore, default_root

SYSTEM = "\nBASIC CONTEXT:\nYou are Spot.\n\nLAWS:\nHarm nobody."
# Outside of any event loop, as OM1's runtime loads them before it starts.
PLUGINS = [load_llm("MistralLLM"), load_llm("LlamaLLM")]


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.__name__)
async def test_a_real_server_answers(plugin: Any) -> None:
    """A model on a real llama.cpp server answers OM1's question, through either transport."""
    path = await asyncio.to_thread(
        ModelStore(default_root(os.environ)).pull, "smollm2-135m-instruct", print
    )
    async with Engine(Path(path), alias="smollm2") as engine:
        place = await engine.ready()
        for transport in ("sdk", "http"):
            config = LLMConfig.model_validate(
                {
                    "base_url": place.base_url,
                    "api_key": place.api_key,
                    "model": "smollm2",
                    "timeout": 30,
                    "transport": transport,
                    "temperature": 0,
                    "max_tokens": 80,
                }
            )
            made: Any = plugin(CortexOutputModel, config)
            made.io_provider.fuser_system_prompt = SYSTEM
            answer = await made.ask(f"{SYSTEM}\nYou hear: sit! Answer with one short action.")
            await made.close()
            assert answer is not None, made._cortex.last_error
