"""What reflexarc does with Mistral and with Llama, one thing after the other.

    python examples/demo.py

With ``MISTRAL_API_KEY`` in the environment, Mistral is the vendor's service; with ``MISTRAL_URL``
it is a server of yours (and ``MISTRAL_MODEL`` its model). ``LLAMA_URL`` and ``LLAMA_MODEL`` name a
server with a Llama model, such as Ollama's ``http://127.0.0.1:11434``. Where one of them is
missing, the same plugin talks to the model on board, a Llama of 135 million parameters: everything
works, and what it says is plain.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

from reflexarc import Action, LLMConfig, LLMError, Message, Prompt, Vocabulary, load_llm
from reflexarc.attempts import AttemptFailed
from reflexarc.onboard.engine import Endpoint, Engine
from reflexarc.onboard.models import DEFAULT, ModelStore, default_root, find
from reflexarc.types import ActionReady, Finished, TextDelta

SPOT = Path(__file__).parent.parent / "config" / "spot_onboard.json5"
PERSONA = "You are Spot, a friendly robot dog. You speak in short, simple sentences."
DOG = Vocabulary.load(SPOT)

LIGHT = {
    "type": "function",
    "function": {
        "name": "set_light",
        "description": "Switch a lamp and choose its colour.",
        "parameters": {
            "type": "object",
            "properties": {
                "room": {"type": "string", "enum": ["kitchen", "hall"]},
                "colour": {"type": "string", "enum": ["red", "white", "off"]},
            },
            "required": ["room", "colour"],
        },
    },
}


def title(text: str) -> None:
    """Begin a part of the demonstration."""
    print(f"\n== {text}")


async def writes(llms: list[LLMConfig]) -> None:
    """Text generation: plain text, which nobody acts on."""
    title("Text generation")
    for config in llms:
        async with load_llm(config) as llm:
            text = await llm.write(Prompt(PERSONA, situation="Hello, Spot! What are you?"))
            print(f"{config.type}: {text}")


async def streams(config: LLMConfig) -> None:
    """Streaming: the text as it is written, and each action as soon as it is complete and legal."""
    title("Streaming, action by action")
    async with load_llm(config, actions=DOG) as llm:
        prompt = Prompt(PERSONA, situation="A person says: sit and say hello.")
        async for event in llm.stream(prompt):
            match event:
                case TextDelta(text=text):
                    print(text, end="", flush=True)
                case ActionReady(action=action, at_s=at_s):
                    print(f"\n   -> {action.type}: {action.value}   after {at_s:.2f} s")
                case Finished(total_s=total_s, usage=usage):
                    print(f"\n   all after {total_s:.2f} s, {usage}")
                case _:
                    pass


async def calls_tools(config: LLMConfig) -> None:
    """Tool calls: function schemas in, judged arguments out."""
    title("Tool calls")
    tools = Vocabulary.from_tools([LIGHT])
    if is_named("Llama"):
        config = config.model_copy(update={"structured": "tools"})
    else:
        print("The model on board knows no tools, so a grammar of the same schemas holds it.")
    heard = "A person says: make the kitchen red, please."
    async with load_llm(config, actions=tools) as llm, aclosing(llm.act(heard)) as calls:
        async for action in calls:
            print(f"{action.type}({action.value})")
            break  # one is enough: leaving closes the connection, and the server stops


async def converses(llms: list[LLMConfig]) -> None:
    """A dialogue with memory, in the middle of which another provider goes on."""
    title("A dialogue with memory, and a switch in mid-conversation")
    past: list[Message] = []
    said = (
        "My name is Ann.",
        "What is my name?",
        "I have a red ball.",
        "What is my name, and what do I have?",
    )
    for turn, text in enumerate(said):
        config = llms[turn // 2 % len(llms)]  # the second half is the other one's
        heard = f"A person says: {text}"
        async with load_llm(config) as llm:
            answer = await llm.write(Prompt(PERSONA, tuple(past), heard))
        print(f"{text:<36} {config.type}, shown {len(past)} turns: {answer}")
        past += [Message("user", heard), Message("assistant", answer)]
    if not (is_named("Mistral") and is_named("Llama")):
        print("The model on board knows the name from the past, and says it as it was said.")


async def fails_over(config: LLMConfig) -> None:
    """Custom configuration: address, temperature, deadline, and who answers where one is down."""
    title("Custom configuration and failover")
    down = LLMConfig(type="MistralLLM", model="down", base_url="http://127.0.0.1:9", timeout=1)
    warm = config.model_copy(update={"temperature": 0.2})
    chain = LLMConfig(
        type="FailoverLLM",
        timeout=20,
        llms=(down, warm),
        idle_action=Action(type="move", value="stand still"),
    )
    async with load_llm(chain, actions=DOG) as llm:
        async for event in llm.stream("A person says: sit down."):
            if isinstance(event, AttemptFailed):
                attempt = event.attempt
                print(f"{attempt.provider} failed ({attempt.outcome}); {event.next} is asked")
            elif isinstance(event, ActionReady):
                print(f"   -> {event.action.type}: {event.action.value}")
            elif isinstance(event, Finished):
                print(f"answered by {event.provider} after {event.total_s:.2f} s")


def brain(name: str, board: Endpoint | None) -> LLMConfig:
    """Mistral or Llama as the environment has it; without anything, over the model on board."""
    prefix = name.upper()
    url, model = os.environ.get(f"{prefix}_URL"), os.environ.get(f"{prefix}_MODEL")
    common = {"type": f"{name}LLM", "timeout": 60, "temperature": 0, "max_tokens": 200}
    if url or (name == "Mistral" and os.environ.get("MISTRAL_API_KEY")):
        print(f"{name}LLM: {url or 'the service of Mistral'}")
        return LLMConfig(**common, base_url=url, model=model)
    assert board is not None
    print(f"{name}LLM: no key and no {prefix}_URL, so it talks to {DEFAULT} on this machine")
    return LLMConfig(**common, base_url=board.base_url, api_key=board.api_key, model=DEFAULT)


def is_named(name: str) -> bool:
    """Whether the environment has a server or a key for it."""
    has_key = name == "Mistral" and os.environ.get("MISTRAL_API_KEY")
    return bool(has_key or os.environ.get(f"{name.upper()}_URL"))


async def main() -> None:
    """All of it."""
    async with AsyncExitStack() as stack:
        board = None
        if not (is_named("Mistral") and is_named("Llama")):
            local = find(DEFAULT, ModelStore(default_root(os.environ)))
            engine = await stack.enter_async_context(Engine(local.path, alias=local.name))
            board = await engine.ready()
        mistral, llama = brain("Mistral", board), brain("Llama", board)
        await writes([mistral, llama])
        await streams(mistral)
        await calls_tools(llama)
        await converses([mistral, llama])
        await fails_over(llama)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except LLMError as error:
        sys.exit(f"{error.kind}: {error.message}")
