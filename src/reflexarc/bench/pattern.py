"""OM1's pattern against ours, from what is sensed to the first action, on the model on board.

OM1 writes one text a tick: persona, laws and examples, what is sensed, the list of actions, a
question. It waits for the whole answer, parses it, and then acts.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from reflexarc.bench.figure import Figure
from reflexarc.bench.robot import brain, heard
from reflexarc.config import RobotConfig
from reflexarc.onboard.engine import Engine
from reflexarc.onboard.models import DEFAULT, LocalModel, ModelStore, default_root, find
from reflexarc.prompt import Prompt, build_messages, instructions
from reflexarc.types import Finished
from reflexarc.vocabulary import Vocabulary

_PATIENT_S = 60.0  # on a machine that is busy; nothing is cut short


@dataclass(frozen=True, slots=True)
class _Tick:
    """Seconds to the first action, and the tokens of the prompt that had to be read.

    An answer that cannot be parsed gives no action; its seconds are those to its end.
    """

    first_s: float
    read_tokens: int
    acted: bool


_Ask = Callable[[str], Awaitable[_Tick]]


async def against_om1(
    robot: RobotConfig, ticks: int, environ: Mapping[str, str]
) -> Sequence[Figure]:
    """Ask OM1's way and ours in turns, each of an engine of its own with the same model.

    Parameters
    ----------
    robot : RobotConfig
        Whose prompt, actions and model to use.
    ticks : int
        Asked in each way, once it has read what is the same at every tick.
    environ : mapping of str to str
        Where the model is found and prompts are kept.

    Returns
    -------
    sequence of Figure
    """
    prompt = Prompt.for_robot(robot)
    store = ModelStore(default_root(environ))
    local = await asyncio.to_thread(find, robot.cortex_llm.model or DEFAULT, store)
    async with AsyncExitStack() as stack:
        ways = {
            "om1": _whole(robot, local, _in_om1s_order(robot, prompt)),
            "order": _whole(robot, local, _in_our_order(robot, prompt)),
            "ours": _ours(robot, prompt, environ, {}),
            # A file has no encoder: the model decides.
            "alone": _ours(robot, prompt, environ, {"model": str(local.path)}),
        }
        asks = {name: await stack.enter_async_context(way) for name, way in ways.items()}
        measured: dict[str, list[_Tick]] = {name: [] for name in asks}
        for said in heard(ticks):
            for name, ask in asks.items():
                measured[name].append(await ask(said))
    return _figures(measured)


def _figures(measured: Mapping[str, Sequence[_Tick]]) -> list[Figure]:
    first = {name: statistics.median(t.first_s for t in of) for name, of in measured.items()}
    read = {name: statistics.mean(t.read_tokens for t in of) for name, of in measured.items()}
    theirs = measured["om1"]
    spoilt = sum(not tick.acted for tick in theirs)
    how = f"whole answer, parsed; {spoilt} of {len(theirs)} could not be"
    figures = [Figure("on-board: first action, OM1's pattern", first["om1"], "s", how)]
    for name, label in (("ours", "ours"), ("alone", "our model alone")):
        how = f"p50 of {len(theirs)} ticks in turns, {first['om1']:.2f} / {first[name]:.3f} s"
        times = first["om1"] / first[name]
        figures.append(
            Figure(f"on-board: first action, OM1's pattern / {label}", times, "times", how)
        )
    for what, of, how in (
        ("read", read, f"tokens read a tick, {read['om1']:.0f} / {read['order']:.0f}"),
        ("time", first, f"whole answers, p50, {first['om1']:.2f} / {first['order']:.2f} s"),
    ):
        name = f"on-board: {what}, OM1's prompt order / ours"
        figures.append(Figure(name, of["om1"] / of["order"], "times", how))
    return figures


def _in_om1s_order(robot: RobotConfig, prompt: Prompt) -> Callable[[str], list[dict[str, str]]]:
    """One message, with what is sensed before the actions, as OM1's fuser has it."""
    stable = build_messages(prompt)[0].content
    able = Vocabulary.from_actions(robot.agent_actions).describe()

    def messages(sensed: str) -> list[dict[str, str]]:
        text = (
            f"{stable}\n\nAVAILABLE INPUTS:\n{sensed}\n\nAVAILABLE ACTIONS:\n{able}\n\n"
            "What will you do? Actions:"
        )
        return [{"role": "user", "content": text}]

    return messages


def _in_our_order(robot: RobotConfig, prompt: Prompt) -> Callable[[str], list[dict[str, str]]]:
    """What is sensed last."""
    closing = instructions(Vocabulary.from_actions(robot.agent_actions), "json")

    def messages(sensed: str) -> list[dict[str, str]]:
        turns = build_messages(prompt.at(sensed), closing)
        return [{"role": turn.role, "content": turn.content} for turn in turns]

    return messages


@asynccontextmanager
async def _whole(
    robot: RobotConfig, local: LocalModel, messages: Callable[[str], list[dict[str, str]]]
) -> AsyncGenerator[_Ask]:
    """The whole answer under a JSON schema, and then its actions."""
    import aiohttp

    from reflexarc.providers.onboard import CONTEXT_TOKENS

    schema = Vocabulary.from_actions(robot.agent_actions).schema()
    body = {
        "model": local.name,
        "temperature": 0,
        "max_tokens": robot.cortex_llm.max_tokens,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": True},
        },
    }
    context_tokens = min(CONTEXT_TOKENS, local.context_tokens or CONTEXT_TOKENS)
    async with (
        Engine(local.path, alias=local.name, context_tokens=context_tokens) as engine,
        # llama.cpp closes connections that it has promised to keep.
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
    ):
        endpoint = await engine.ready()
        url = f"{endpoint.base_url}/chat/completions"
        headers = {"Authorization": f"Bearer {endpoint.api_key}"}

        async def ask(sensed: str, **more: Any) -> _Tick:
            asked = {**body, "messages": messages(sensed), **more}
            begun = time.perf_counter()
            async with session.post(url, json=asked, headers=headers) as response:
                response.raise_for_status()
                reply: dict[str, Any] = await response.json()
            try:
                acted = bool(json.loads(reply["choices"][0]["message"]["content"])["actions"])
            except ValueError:  # cut where the model went on and on
                acted = False
            taken_s = time.perf_counter() - begun
            usage = reply["usage"]
            cached = usage["prompt_tokens_details"]["cached_tokens"]
            return _Tick(taken_s, usage["prompt_tokens"] - cached, acted)

        await ask("", max_tokens=1)  # reads what is the same at every tick
        yield ask


@asynccontextmanager
async def _ours(
    robot: RobotConfig, prompt: Prompt, environ: Mapping[str, str], more: Mapping[str, Any]
) -> AsyncGenerator[_Ask]:
    """As users have it: each action when it is complete."""
    async with brain(robot, environ, {"timeout": _PATIENT_S, **more}) as llm:
        await llm.warm(prompt)

        async def ask(sensed: str) -> _Tick:
            [done] = [e async for e in llm.stream(prompt.at(sensed)) if isinstance(e, Finished)]
            read = done.usage.prompt_tokens - done.usage.cached_tokens if done.usage else 0
            first_s = done.first_action_s
            return _Tick(done.total_s if first_s is None else first_s, read, first_s is not None)

        yield ask
