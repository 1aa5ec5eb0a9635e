"""A model on a server of yours, vLLM's or Ollama's: what it can do, and what when it goes away.

    python examples/server/ask.py examples/server/ollama.json5
    python examples/server/ask.py examples/server/vllm.json5

The file says how to start the server, and what it serves. Where no server answers, an emulator of
it stands in, which is as strict as the real one and knows its answers by heart; then it goes away
in the middle of one. Of a real server you are told when to stop it. The rest of the answers comes
from the model on board, so it needs ``reflexarc models pull``, once.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel

from reflexarc import LLMConfig, Prompt, ReflexarcError, RobotConfig, Vocabulary, load_llm
from reflexarc.attempts import AttemptFailed
from reflexarc.testing import EMULATORS
from reflexarc.types import ActionReady, Finished, TextDelta


class Room(BaseModel):
    """What is asked for where text would not do."""

    name: str
    windows: int
    light: Literal["daylight", "lamp", "none"]


ROOM = '{"name": "attic", "windows": 2, "light": "lamp"}'
ON = '{"actions": [{"type":', ' "light", "value": "on"}, {"type": "speak", "value": "Yes."}]}'


async def has_server(url: str) -> bool:
    """Whether anybody listens there."""
    address = urlsplit(url)
    try:
        _, writer = await asyncio.open_connection(address.hostname, address.port)
    except OSError:
        return False
    writer.close()
    return True


async def stand_in(name: str, address: asyncio.Future[str]) -> None:
    """An emulator that gives two answers, and goes away in the middle of the third."""
    emulator, never = EMULATORS[name], asyncio.Event()
    replies = emulator.answer(ROOM), emulator.answer(*ON), emulator.answer(ON[0], never, ON[1])
    async with emulator.serve(*replies) as server:
        address.set_result(server.base_url)
        await server.asked(3)
        await asyncio.sleep(0.2)


async def answers_in_form(config: LLMConfig) -> None:
    """Structured output: any pydantic model, held to by the server, and validated once more."""
    print("\n== Structured output")
    async with load_llm(config, output_model=Room) as llm:
        room = await llm.ask("The attic has two windows, it is night, and a lamp burns.")
    print(f"{room!r}, by {config.model}")


async def answers(robot: RobotConfig, config: LLMConfig, wait_s: float) -> None:
    """Streaming: each action as soon as it is complete; and failover, where there is no server."""
    actions = Vocabulary.from_actions(robot.agent_actions)
    prompt = Prompt.for_robot(robot)
    async with load_llm(config, actions=actions) as llm:
        await llm.open()
        for text in ("light, please", "I want light!", "it is too bright"):
            print(f"\n== A person says: {text}")
            async for event in llm.stream(prompt.at(f"A person says: {text}")):
                match event:
                    case TextDelta(text=piece):
                        print(piece, end="", flush=True)
                    case ActionReady(action=action, at_s=at_s):
                        print(f"\n  {action.type}: {action.value}  after {at_s:.2f} s")
                    case AttemptFailed(attempt=attempt, next=other):
                        print(f"\n  {attempt.provider}: {attempt.message}; {other} is asked")
                    case Finished(provider=provider):
                        print(f"\n  by {provider}")
                    case _:
                        pass
            await asyncio.sleep(wait_s)


async def main(path: Path) -> None:
    """All of it."""
    robot = RobotConfig.load(path)
    server, *others = robot.cortex_llm.llms
    async with asyncio.TaskGroup() as tasks:
        if is_real := await has_server(str(server.base_url)):
            print(f"{server.base_url} answers. Stop it between two of the questions to come.")
        else:
            print(f"Nobody answers at {server.base_url}, so an emulator of {path.stem} does.")
            address = asyncio.get_running_loop().create_future()
            tasks.create_task(stand_in(path.stem, address))
            server = server.model_copy(update={"base_url": await address})
        await answers_in_form(server)
        chain = robot.cortex_llm.model_copy(update={"llms": (server, *others)})
        await answers(robot, chain, wait_s=5 if is_real else 0)


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[-1])))
    except* ReflexarcError as group:
        sys.exit("\n".join(str(error) for error in group.exceptions))
