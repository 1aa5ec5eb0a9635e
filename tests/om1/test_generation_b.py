"""Our plugins in OM1's later generation: function schemas in, one action at a time out."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reflexarc.om1.plugins import BRAINS
from reflexarc.testing import Reply, Server, event

NAMES = [brain.name for brain in BRAINS]
SYSTEM = "\nBASIC CONTEXT:\nYou are Spot.\n"


def function(name: str, **properties: Any) -> dict[str, Any]:
    """A function schema as OM1 makes it."""
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": f"{name.title()}.",
            "parameters": parameters,
            "strict": True,
        },
    }


MOVE = function("move", action={"type": "string", "enum": ["sit", "run"]})
SPEAK = function("speak", action={"type": "string"})
GO = function("go", side={"type": "string", "enum": ["left"]}, speed={"type": "string"})
MCP = function("mcp_time", zone={"type": "string"})

# Each call of these as OpenAI's servers stream it.
CALLS = (("move", '{"action":"sit"}'), ("speak", '{"action":"Ok!"}'))


def calls(*made: tuple[str, str], pause: float = 0.0, whole: bool = True) -> Reply:
    """An answer of tool calls; a pause stands behind the first, and it may be cut at its end."""
    pieces: list[Any] = []
    for index, (name, arguments) in enumerate(made):
        head = {"index": index, "id": f"call{index:05}", "type": "function"}
        for given in ({"name": name, "arguments": ""}, {"arguments": arguments}):
            delta = {"tool_calls": [head | {"function": given}]}
            pieces.append(event({"choices": [{"index": 0, "delta": delta}]}))
        if index == 0 and pause:
            pieces.append(pause)
    return Reply.stream(*pieces, finish="tool_calls" if whole else None, done=whole)


@asynccontextmanager
async def made(
    b: SimpleNamespace,
    server: Server,
    actions: list[Any] | None = None,
    *,
    name: str = "MistralLLM",
    **settings: Any,
) -> AsyncIterator[Any]:
    """A plugin as OM1's loader makes it, closed at the end."""
    config = {"base_url": server.base_url, "model": "m", **settings}
    actions = [MOVE, SPEAK, GO] if actions is None else actions
    plugin = b.plugins[name](config=b.configs[name](**config), available_actions=actions)
    plugin.io_provider = type(plugin.io_provider)()  # OM1's is one a process
    try:
        yield plugin
    finally:
        await plugin.close()


def told(output: Any) -> list[tuple[str, str]]:
    """The actions of an output."""
    return [(action.type, action.value) for action in output.actions]


async def stream(plugin: Any, prompt: str = "sit") -> list[list[tuple[str, str]]]:
    """Every output of one question."""
    return [told(output) async for output in plugin.ask_stream(prompt)]


# What OM1's generic tests ask


@pytest.mark.parametrize("name", NAMES)
def test_signatures_are_those_of_the_base(generation_b: SimpleNamespace, name: str) -> None:
    """OM1 compares the annotations of every plugin with those of its base class."""
    plugin, base = generation_b.plugins[name], generation_b.llm.LLM
    assert set(plugin.__init__.__annotations__) == set(base.__init__.__annotations__)
    assert set(plugin.ask.__annotations__) == set(base.ask.__annotations__)
    assert base in plugin.__bases__


@pytest.mark.parametrize("name", NAMES)
def test_a_plugin_is_made_offline(generation_b: SimpleNamespace, name: str) -> None:
    """A plain configuration is enough, as OM1's races of two LLMs make it, and it is kept."""
    config = generation_b.llm.LLMConfig(
        base_url="http://test.com", api_key="test-key", model="test-model"
    )
    plugin = generation_b.plugins[name](config)
    assert plugin._config is config
    assert plugin._available_actions == plugin.function_schemas == []
    assert plugin._client.base_url == "http://test.com"


@pytest.mark.parametrize("name", NAMES)
def test_a_plugin_declares_its_settings(generation_b: SimpleNamespace, name: str) -> None:
    """OM1's portal reads the fields of a plugin's own configuration, each with its description."""
    config = generation_b.configs[name]
    assert config.__bases__ == (generation_b.llm.LLMConfig,)
    own = {key: config.model_fields[key] for key in config.__annotations__}
    assert "timeout" in own
    assert all(field.description for field in own.values())


def test_an_empty_key_is_told(generation_b: SimpleNamespace) -> None:
    """Without key and server the plugin says what is missing, in OM1's words."""
    with pytest.raises(ValueError, match="config file missing api_key"):
        generation_b.plugins["MistralLLM"](generation_b.configs["MistralLLM"](api_key=""))


def test_om1s_loader_makes_a_plugin(generation_b: SimpleNamespace) -> None:
    """OM1 finds the class by its text, and the settings as the last such class of its module."""
    assert type(generation_b.loaded) is generation_b.plugins["LlamaLLM"]
    assert type(generation_b.loaded._config) is generation_b.configs["LlamaLLM"]


# Asking


async def test_ask_calls_tools(generation_b: SimpleNamespace) -> None:
    """OM1's function schemas are the tools, and the whole answer is of OM1's own class."""
    async with (
        Server(calls(*CALLS, ("go", '{"side":"LEFT","speed":2}'))) as server,
        made(generation_b, server) as plugin,
    ):
        output = await plugin.ask("sit")
    assert type(output) is generation_b.output.CortexOutputModel
    assert told(output) == [
        ("move", "sit"),
        ("speak", "Ok!"),
        ("go", '{"side": "left", "speed": "2"}'),
    ]
    sent = server.requests[0].json
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["move", "speak", "go"]
    assert sent["tools"][2]["function"]["parameters"] == GO["function"]["parameters"]


async def test_text_is_read_where_a_server_has_no_tools(generation_b: SimpleNamespace) -> None:
    """A server that refuses tools is asked in another way; stock plugins would drop its answer."""
    refused = Reply.json({"error": {"message": "no tools here", "param": "tools"}}, 400)
    text = Reply.stream('{"actions":[{"type":"move","value":"sit"}]}')
    async with Server(refused, text) as server, made(generation_b, server) as plugin:
        assert told(await plugin.ask("sit")) == [("move", "sit")]
    assert "tools" not in server.requests[1].json


async def test_function_schemas_are_read_at_every_question(generation_b: SimpleNamespace) -> None:
    """OM1 replaces them while it runs, once an MCP server has said what it can do."""
    reply = calls(("mcp_time", '{"zone":"UTC"}'))
    async with (
        Server(route=lambda _: reply) as server,
        made(generation_b, server, [MOVE]) as plugin,
    ):
        assert await plugin.ask("time?") is None
        plugin.function_schemas = [MOVE, MCP]
        assert told(await plugin.ask("time?")) == [("mcp_time", '{"zone": "UTC"}')]
        plugin.function_schemas.clear()
        assert told(await plugin.ask("time?")) == [("mcp_time", "UTC")]
    names = [[tool["function"]["name"] for tool in request.json["tools"]]
             for request in server.requests]  # fmt: skip
    assert names == [["move"], ["move"], ["move", "mcp_time"], ["answer"]], "refused, asked again"


async def test_schemas_that_cannot_be_used_are_told(
    generation_b: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    """A schema that names no tool does not end the runtime; any action is accepted then."""
    text = Reply.stream('{"actions":[{"type":"fly","value":"up"}]}')
    async with Server(text) as server, made(generation_b, server, [function("a b")]) as plugin:
        assert told(await plugin.ask("fly")) == [("fly", "up")]
    assert "A function schema of OM1's cannot be used: the llm_label 'a b'" in caplog.text


async def test_a_schema_that_cannot_be_used_costs_no_other(generation_b: SimpleNamespace) -> None:
    """What is known of the robot's own actions is still checked."""
    text = Reply.stream('{"actions":[{"type":"move","value":"fly"},{"type":"move","value":"run"}]}')
    dotted = function("mcp_a.b", zone={"type": "string"})
    async with Server(text) as server, made(generation_b, server, [dotted, MOVE]) as plugin:
        assert told(await plugin.ask("fly")) == [("move", "run")]
        names = [tool["function"]["name"] for tool in server.requests[0].json["tools"]]
    assert names == ["move"]


async def test_a_schema_that_is_changed_in_its_place_is_seen(generation_b: SimpleNamespace) -> None:
    """OM1 hands over a list that others may hold as well."""
    mine = deepcopy(MOVE)
    reply = calls(("move", '{"action":"jump"}'))
    async with (
        Server(route=lambda _: reply) as server,
        made(generation_b, server, [mine]) as plugin,
    ):
        assert await plugin.ask("jump") is None
        mine["function"]["parameters"]["properties"]["action"]["enum"].append("jump")
        assert told(await plugin.ask("jump")) == [("move", "jump")]


async def test_nothing_illegal_leaves(
    generation_b: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    """A call that the robot cannot perform never reaches its motors."""
    async with (
        Server(calls(("move", '{"action":"fly"}'), ("speak", '{"action":"Up!"}'))) as server,
        made(generation_b, server) as plugin,
    ):
        assert told(await plugin.ask("fly")) == [("speak", "Up!")]


# Streaming


async def test_each_action_comes_as_soon_as_it_is_complete(generation_b: SimpleNamespace) -> None:
    """`ask_stream` gives the first action while the model still writes the second."""
    async with (
        Server(calls(*CALLS, pause=0.5)) as server,
        made(generation_b, server) as plugin,
        aclosing(plugin.ask_stream("sit")) as outputs,
    ):
        await plugin._cortex._llm.open()
        clock = asyncio.get_running_loop().time
        begun = clock()
        first = await anext(outputs)
        first_s = clock() - begun
        rest = [told(output) async for output in outputs]
        all_s = clock() - begun
    assert type(first) is generation_b.output.CortexOutputModel
    assert (told(first), rest) == ([("move", "sit")], [[("speak", "Ok!")]])
    assert first_s < 0.5 <= all_s


@pytest.mark.parametrize(
    "reply", [Reply.json({}, 500), Reply.stream("I would rather not."), Reply.nothing()]
)
async def test_a_failure_streams_nothing(generation_b: SimpleNamespace, reply: Reply) -> None:
    """Where there is no answer, there is no output, no exception, and an end time."""
    async with Server(route=lambda _: reply) as server, made(generation_b, server) as plugin:
        assert await stream(plugin) == []
        assert plugin._cortex.last_error is not None
        assert plugin.io_provider.llm_end_time >= plugin.io_provider.llm_start_time


async def test_closing_the_stream_stops_the_model(generation_b: SimpleNamespace) -> None:
    """OM1 leaves a stream in the middle when it changes modes; what was done is remembered."""
    async with (
        Server(calls(*CALLS, pause=60.0)) as server,
        made(generation_b, server, history_length=9) as plugin,
    ):
        async with aclosing(plugin.ask_stream("sit")) as outputs:
            assert told(await anext(outputs)) == [("move", "sit")]
        async with asyncio.timeout(1):
            await server.requests[0].left.wait()
        assert [each.role for each in plugin.history_manager.history] == ["user", "assistant"]
        assert (
            plugin.history_manager.history[1].content
            == "IRIS acted: IRIS performed this motion: sit."
        )


async def test_cancelling_a_stream_passes_through(generation_b: SimpleNamespace) -> None:
    """A cancelled tick ends at once and leaves no task behind."""
    async with (
        Server(calls(*CALLS, pause=60.0)) as server,
        made(generation_b, server) as plugin,
    ):
        task = asyncio.create_task(stream(plugin))
        await asyncio.wait_for(server.asked(), 10)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_cut_stream_keeps_what_was_done(generation_b: SimpleNamespace) -> None:
    """What was handed over before a failure stands, in the history too."""
    async with (
        Server(calls(CALLS[0], whole=False)) as server,
        made(generation_b, server, history_length=9) as plugin,
    ):
        assert await stream(plugin) == [[("move", "sit")]]
        assert plugin._cortex.last_error.kind == "truncated"
        assert (
            plugin.history_manager.history[-1].content
            == "IRIS acted: IRIS performed this motion: sit."
        )


# OM1's bookkeeping


async def test_the_avatar_shows_that_it_thinks(generation_b: SimpleNamespace) -> None:
    """Whole or streamed, people see the avatar think; a child of OM1's races leaves it alone."""
    replies = [calls(*CALLS) for _ in range(3)]
    async with Server(*replies) as server, made(generation_b, server) as plugin:
        generation_b.shown.clear()
        await plugin.ask("sit")
        await stream(plugin)
        assert generation_b.shown == ["Think", "Happy"] * 2
        plugin._skip_state_management = True
        await plugin.ask("sit")
        assert generation_b.shown == ["Think", "Happy"] * 2


async def test_the_past_is_told_and_summarised(generation_b: SimpleNamespace) -> None:
    """OM1's history manager calls our client in a thread of its own, and gets its summary."""

    def route(request: Any) -> Reply:
        is_summary = "Summarize this" in request.json["messages"][-1]["content"]
        return Reply.stream("Spot sat.") if is_summary else calls(*CALLS)

    async with (
        Server(route=route) as server,
        made(generation_b, server, history_length=2) as plugin,
    ):
        manager = plugin.history_manager
        for _ in range(2):
            await plugin.ask("sit")
        await asyncio.wait_for(manager._summary_task, 10)
        assert manager.frame_index == 2
        assert [(each.role, each.content) for each in manager.history] == [
            ("assistant", "Previously, Spot sat.")
        ]
        await plugin.ask("sit")
    system, *turns = server.requests[-1].json["messages"]
    assert "Previously, Spot sat." in system["content"]
    assert [turn["role"] for turn in turns] == ["user"]


async def test_a_child_is_handed_its_past(generation_b: SimpleNamespace) -> None:
    """With `_skip_state_management` the caller's messages are used, and nothing is kept."""
    past = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
    async with (
        Server(calls(*CALLS)) as server,
        made(generation_b, server, history_length=9) as plugin,
    ):
        plugin._skip_state_management = True
        await plugin.ask("sit", past)
        assert plugin.history_manager.history == []
    contents = [message["content"] for message in server.requests[0].json["messages"]]
    assert contents[-3:] == ["hello", "hi", "sit"]


async def test_a_broken_avatar_does_not_cost_the_answer(
    generation_b: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    """What fails in OM1's bookkeeping after the answer is told, and the answer is returned."""

    class Broken:
        """Fails once the answer is there."""

        @classmethod
        def trigger_thinking(cls) -> Any:
            """Decorate."""

            def decorator(asking: Any) -> Any:
                async def wrapper(*given: Any) -> Any:
                    await asking(*given)
                    raise RuntimeError("the face fell off")

                return wrapper

            return decorator

    async with Server(calls(*CALLS)) as server, made(generation_b, server) as plugin:
        plugin._cortex._avatar = Broken
        with caplog.at_level(logging.ERROR):
            assert told(await plugin.ask("sit")) == [("move", "sit"), ("speak", "Ok!")]
    assert "the face fell off" in caplog.text


async def test_the_prompt_is_split_where_it_stays_the_same(generation_b: SimpleNamespace) -> None:
    """Laws and actions come before what is sensed; the list of actions is said once, by tools."""
    async with Server(calls(*CALLS), calls(*CALLS)) as server, made(generation_b, server) as plugin:
        record = plugin.io_provider
        for heard in ("sit", "run"):
            record.fuser_system_prompt, record.fuser_inputs = SYSTEM, f"INPUT: {heard}"
            await plugin.ask(
                f"{SYSTEM}\n\nAVAILABLE INPUTS:\nINPUT: {heard}\nAVAILABLE ACTIONS:\n\n"
                "MOVE: Move.\ntype=move\nvalue={'sit'}\n\n\n\nWhat will you do? Actions:"
            )
    (first, heard), (second, _) = (request.json["messages"] for request in server.requests)
    assert first == second
    assert heard == {"role": "user", "content": "AVAILABLE INPUTS:\nINPUT: sit"}
    assert "type=move" not in first["content"]


def test_types_are_as_om1s_checks_ask(generation_b: SimpleNamespace) -> None:
    """OM1's CI runs pyright in its standard mode, which takes no override of another type."""
    project = generation_b.root.parent / "pyrightconfig.json"
    project.write_text(json.dumps({"include": ["src"], "typeCheckingMode": "standard"}))
    checker = Path(sys.executable).with_name("basedpyright")
    command = [checker, "--project", project, "--pythonpath", sys.executable, "--outputjson"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] > len(BRAINS)
    assert [each["message"] for each in found["generalDiagnostics"]] == []
