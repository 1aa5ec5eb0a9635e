"""What both plugins promise; each test file holds its plugin to it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from llm import LLMConfig
from llm.output_model import Action, CortexOutputModel
from providers.io_provider import IOProvider
from reflexarc.onboard.engine import Engine
from reflexarc.onboard.models import ModelStore, default_root
from reflexarc.testing import Received, Reply, Server

SIT = '{"actions":[{"type":"move","value":"sit"},{"type":"speak","value":"ok"}]}'
DONE = CortexOutputModel(
    actions=[Action(type="move", value="sit"), Action(type="speak", value="ok")]
)
SYSTEM = "\nBASIC CONTEXT:\nYou are Spot.\n\nLAWS:\nHarm nobody."
LEAVES_WITHIN_S = 1.0

each_transport = pytest.mark.parametrize("transport", ["sdk", "http"])


class Dummy(BaseModel):
    """The output model OM1 tests with."""

    test_field: str


class Contract:
    """Tests of one plugin."""

    # Loaded by each file, outside of any event loop, as OM1's runtime does before it starts.
    loaded: ClassVar[Any]

    @asynccontextmanager
    async def plugin(
        self, server: Server, output_model: type[BaseModel] = CortexOutputModel, **settings: Any
    ) -> AsyncIterator[Any]:
        """The plugin, as OM1's runtime makes it, closed at the end."""
        given = {"base_url": server.base_url, "model": "m", **settings}
        made: Any = self.loaded(output_model, LLMConfig.model_validate(given))
        try:
            yield made
        finally:
            await made.close()

    @pytest.fixture(autouse=True)
    def new_record(self) -> None:
        """OM1's record is one a process; each test begins with an empty one."""
        IOProvider.cache_clear()

    # Initialisation

    def test_init_with_config(self) -> None:
        """Server and key are OM1's, and where OM1 looks for them."""
        config = LLMConfig(base_url="http://127.0.0.1:9/v1", api_key="test-key", model="m")
        made: Any = self.loaded(CortexOutputModel, config)
        assert made._config is config
        assert made._client.base_url == config.base_url
        assert made._client.api_key == config.api_key

    def test_init_empty_key(self) -> None:
        """Without key and server the plugin says what is missing."""
        with pytest.raises(ValueError, match="config file missing api_key"):
            self.loaded(CortexOutputModel, LLMConfig(api_key=""))

    def test_init_without_key(self) -> None:
        """A server of one's own needs no key."""
        config = LLMConfig(base_url="http://127.0.0.1:9", model="m")
        made: Any = self.loaded(CortexOutputModel, config)
        assert made._client.api_key is None

    @pytest.mark.parametrize(
        ("setting", "words"),
        [({"transport": "pigeon"}, "transport"), ({"timeout": -1}, "above 0")],
    )
    def test_init_with_a_mistake(self, setting: dict[str, Any], words: str) -> None:
        """A wrong setting is told when the plugin is made, not at the first tick."""
        config = LLMConfig.model_validate(
            {"base_url": "http://127.0.0.1:9", "model": "m"} | setting
        )
        with pytest.raises(ValueError, match=words):
            self.loaded(CortexOutputModel, config)

    # API calls

    @each_transport
    async def test_ask_success(self, transport: str) -> None:
        """The answer is of OM1's own class, and what was asked is what OM1's settings say."""
        settings = {"transport": transport, "api_key": "k", "temperature": 0.5}
        async with Server(Reply.stream(SIT)) as server, self.plugin(server, **settings) as made:
            answer = await made.ask("You hear: sit!")
        assert answer == DONE
        assert type(answer) is CortexOutputModel
        [request] = server.requests
        assert (request.method, request.path) == ("POST", "/v1/chat/completions")
        assert request.headers["authorization"] == "Bearer k"
        assert (request.json["model"], request.json["temperature"]) == ("m", 0.5)
        assert made._cortex.last_error is None

    @each_transport
    async def test_ask_for_another_model(self, transport: str) -> None:
        """Whatever output model OM1 hands over is asked for by its schema, and returned."""
        async with (
            Server(Reply.stream('{"test_field":"yes"}')) as server,
            self.plugin(server, Dummy, transport=transport) as made,
        ):
            assert await made.ask("Well?") == Dummy(test_field="yes")
        schema = server.requests[0].json["response_format"]["json_schema"]["schema"]
        assert schema["required"] == ["test_field"]

    @each_transport
    async def test_ask_in_other_modes(self, transport: str) -> None:
        """`structured` may be given in OM1's `extra_params`, other fields of which are sent."""
        extra = {"structured": "json", "top_p": 0.5}
        async with (
            Server(Reply.stream(SIT)) as server,
            self.plugin(server, transport=transport, extra_params=extra) as made,
        ):
            assert await made.ask("sit") == DONE
        sent = server.requests[0].json
        assert sent["response_format"] == {"type": "json_object"}
        assert sent["top_p"] == 0.5
        assert "structured" not in sent

    # Error handling

    @each_transport
    @pytest.mark.parametrize(
        ("reply", "kind"),
        [
            (Reply.stream("I would rather not."), "bad_output"),
            (Reply.stream(SIT[:30], finish=None, done=False), "truncated"),
            (Reply.stream(SIT[:30], finish="length"), "truncated"),
            (Reply.json({"detail": "Unauthorized"}, 401), "auth"),
            (Reply.json({"error": {"message": "slow down", "code": "1300"}}, 429), "rate_limited"),
            (Reply.text("<html>", 502, "text/html"), "server"),
            (Reply.json({"choices": []}), "truncated"),
            (Reply.stream(SIT[:30], 60.0), "timeout"),
            (replace(Reply.stream(SIT), wait=60.0), "timeout"),
        ],
    )
    async def test_ask_api_error(
        self, transport: str, reply: Reply, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A failure is None, one log line with its kind and without the key, and never raised."""
        caplog.set_level(logging.INFO)
        settings = {
            "transport": transport,
            "first_action_timeout": 0.5,
            "stall_timeout": 0.3,
            "api_key": "s3cret",
        }
        # Prose is asked for in every other form, too, before it is an answer without actions.
        async with Server(route=lambda _: reply) as server, self.plugin(server, **settings) as made:
            await made._cortex._llm.open()  # the SDK's import is not part of that second
            assert await made.ask("sit") is None
            assert made._cortex.last_error.kind == kind
            assert made.io_provider.llm_end_time >= made.io_provider.llm_start_time
        lines = [record.getMessage() for record in caplog.records if record.name != "httpx"]
        assert [
            line
            for line in lines
            if line.startswith(f"{self.loaded.__name__} gave no answer ({kind})")
        ]
        assert len([line for line in lines if self.loaded.__name__ in line]) == 1
        assert "s3cret" not in caplog.text

    @each_transport
    async def test_ask_connection_error(self, transport: str) -> None:
        """A server that is gone is None, and the next question is asked all the same."""
        async with (
            Server(Reply.nothing(), Reply.nothing(), Reply.stream(SIT)) as server,
            self.plugin(server, transport=transport) as made,
        ):
            assert await made.ask("sit") is None
            assert made._cortex.last_error.kind == "connection"
            assert await made.ask("sit") == DONE
            assert made._cortex.last_error is None

    @pytest.mark.parametrize("messages", [[{}], [{"role": "user"}], ["text"], 7])
    async def test_ask_with_odd_messages(self, messages: Any) -> None:
        """What OM1 hands over wrongly is None as well, since raising ends its runtime."""
        async with Server() as server, self.plugin(server) as made:
            assert await made.ask("sit", messages) is None
            assert made._cortex.last_error is not None

    async def test_io_provider_timing(self) -> None:
        """OM1's record gets the prompt and both times."""
        async with Server(Reply.stream(SIT)) as server, self.plugin(server) as made:
            await made.ask("sit")
            record = made.io_provider
        assert record.llm_prompt == "sit"
        assert record.llm_end_time >= record.llm_start_time

    # Streaming

    @each_transport
    async def test_ask_streams(self, transport: str) -> None:
        """The request is a streamed one, and its answer may come byte by byte."""
        reply = replace(Reply.stream(*SIT), piece=1)
        async with Server(reply) as server, self.plugin(server, transport=transport) as made:
            assert await made.ask("sit") == DONE
        assert server.requests[0].json["stream"] is True

    @each_transport
    async def test_cancelling_stops_the_server(self, transport: str) -> None:
        """Cancelling passes through and closes the connection, as OM1's races of LLMs need it."""
        reply = Reply.stream(SIT[:30], 60.0)
        async with Server(reply) as server, self.plugin(server, transport=transport) as made:
            task = asyncio.create_task(made.ask("sit"))
            request = await asyncio.wait_for(server.asked(), 10)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(LEAVES_WITHIN_S):
                await request.left.wait()
            assert made.io_provider.llm_end_time is not None

    # History

    async def test_the_past_is_told(self) -> None:
        """OM1's record of past turns is shown to the model, in roles that strict servers take."""
        replies = [Reply.stream(SIT)] * 2
        async with (
            Server(*replies) as server,
            self.plugin(server, history_length=9, agent_name="Spot") as made,
        ):
            for heard in ("sit!", "again!"):
                made.io_provider.add_input("Voice", heard)
                assert await made.ask(heard) == DONE
            assert made.history_manager.frame_index == 2
            assert len(made.history_manager.history) == 4
        turns = server.requests[1].json["messages"][-1]
        assert turns["role"] == "user"
        assert turns["content"].startswith("Spot sensed the following: Voice. sit!\nSpot acted:")
        assert turns["content"].endswith("\nagain!")

    async def test_the_past_is_summarised(self) -> None:
        """OM1 awaits our client, which has the same model write the summary; it leads from then."""

        def route(request: Received) -> Reply:
            is_summary = request.json["messages"][-1]["content"].endswith("Summarize this.")
            return Reply.stream("Spot sat down." if is_summary else SIT)

        async with Server(route=route) as server, self.plugin(server, history_length=1) as made:
            manager = made.history_manager
            await made.ask("sit")
            await asyncio.wait_for(manager.summary_task, 10)
            assert [(each.role, each.content) for each in manager.history] == [
                ("assistant", "Previously, Spot sat down.")
            ]
            await made.ask("sit")
            await asyncio.wait_for(manager.summary_task, 10)
        system, user = server.requests[2].json["messages"]
        assert "Previously, Spot sat down." in system["content"]
        assert user["role"] == "user"

    async def test_a_failed_turn_is_none_with_a_history_too(self) -> None:
        """OM1's bookkeeping around a failure does not raise either."""
        async with (
            Server(Reply.json({}, 500)) as server,
            self.plugin(server, history_length=9) as made,
        ):
            assert await made.ask("sit") is None

    async def test_another_model_does_not_break_on_the_history(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """OM1's record wants actions and fails without them; the answer is returned."""
        async with (
            Server(Reply.stream('{"test_field":"yes"}')) as server,
            self.plugin(server, Dummy, history_length=9) as made,
        ):
            assert await made.ask("Well?") == Dummy(test_field="yes")
        assert "OM1's own bookkeeping failed around the answer" in caplog.text

    def test_a_summary_may_be_waited_for(self) -> None:
        """Outside of any event loop our client waits, as OM1's later generation wants it."""
        answers: list[Any] = []

        async def serve() -> None:
            async with Server(Reply.stream("Spot sat.")) as server:
                given = {"base_url": server.base_url, "model": "m"}
                made: Any = self.loaded(CortexOutputModel, LLMConfig.model_validate(given))
                create = made._client.chat.completions.create
                ask = [{"role": "user", "content": "Summarize."}]
                answers.append(await asyncio.to_thread(create, model="m", messages=ask))

        asyncio.run(serve())
        assert answers[0].choices[0].message.content == "Spot sat."

    # Message formatting

    async def test_the_robots_actions_are_read_from_the_prompt(self) -> None:
        """OM1's list of actions becomes what the model is held to, before what is sensed."""
        listed = (
            "MOVE: Move.\ntype=move\nvalue={'sit', 'run'}\n\n"
            "SPEAK: Say it.\ntype=speak\nvalue=<class 'str'>\n\n"
        )
        fly = SIT.replace("sit", "fly")
        async with Server(Reply.stream(fly)) as server, self.plugin(server) as made:
            made.io_provider.fuser_system_prompt = SYSTEM
            made.io_provider.fuser_inputs = "You hear: fly!"
            answer = await made.ask(
                f"{SYSTEM}\n\nAVAILABLE INPUTS:\nYou hear: fly!\nAVAILABLE ACTIONS:\n\n{listed}"
                "\n\nWhat will you do? Actions:"
            )
        assert answer == CortexOutputModel(actions=[Action(type="speak", value="ok")])
        sent = server.requests[0].json
        assert sent["messages"][1]["content"] == "AVAILABLE INPUTS:\nYou hear: fly!"
        assert "move: Move. Value: one of: sit, run" in sent["messages"][0]["content"]
        schema = sent["response_format"]["json_schema"]["schema"]
        assert schema["properties"]["actions"]["items"]["anyOf"][0]["properties"]["value"] == {
            "type": "string",
            "enum": ["sit", "run"],
        }

    @each_transport
    async def test_the_stable_part_comes_first(self, transport: str) -> None:
        """OM1's one text is split where its stable part ends, which is the same at every tick."""
        replies = [Reply.stream(SIT)] * 3
        async with Server(*replies) as server, self.plugin(server, transport=transport) as made:
            made.io_provider.fuser_system_prompt = SYSTEM
            await made.ask(f"{SYSTEM}\n\nAVAILABLE INPUTS:\nYou hear: sit!")
            await made.ask(f"{SYSTEM}\n\nAVAILABLE INPUTS:\nYou hear: run!")
            await made.ask("You hear: sit!")
        first, second, without = (request.json["messages"] for request in server.requests)
        assert [message["role"] for message in first] == ["system", "user"]
        assert first[0]["content"].startswith(SYSTEM.strip())
        assert first[0] == second[0]
        assert first[1]["content"] == "AVAILABLE INPUTS:\nYou hear: sit!"
        assert without[-1]["content"] == "You hear: sit!"

    @each_transport
    async def test_history_is_what_strict_servers_take(self, transport: str) -> None:
        """OM1's leading summary and its user turns in a row become one system and one user turn."""
        history = [
            {"role": "assistant", "content": "Previously, Spot sat."},
            {"role": "user", "content": "Spot sensed: hello"},
            {"role": "user", "content": "Spot did: wag tail"},
        ]
        async with (
            Server(Reply.stream(SIT)) as server,
            self.plugin(server, transport=transport) as made,
        ):
            assert await made.ask("now", history) == DONE
        system, user = server.requests[0].json["messages"]
        assert "Previously, Spot sat." in system["content"]
        assert user["content"] == "Spot sensed: hello\nSpot did: wag tail\nnow"

    # A real server

    async def test_a_real_server_answers(self) -> None:
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
                made: Any = self.loaded(CortexOutputModel, config)
                made.io_provider.fuser_system_prompt = SYSTEM
                answer = await made.ask(f"{SYSTEM}\nYou hear: sit! Answer with one short action.")
                await made.close()
                assert answer is not None, made._cortex.last_error
