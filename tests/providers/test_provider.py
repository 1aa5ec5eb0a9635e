"""What every provider shares: where a request goes, with which key, by which transport, as what."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, RootModel

from reflexarc.config import LLMConfig
from reflexarc.errors import BadOutputError, ConfigError
from reflexarc.llm import Request, Transport
from reflexarc.prompt import Prompt
from reflexarc.providers.connection import Address
from reflexarc.providers.dialect import Dialect
from reflexarc.providers.llama import LlamaLLM
from reflexarc.providers.mistral import MistralLLM
from reflexarc.providers.provider import Provider, ProviderLLM
from reflexarc.registry import load_llm
from reflexarc.schema import strict_schema
from reflexarc.specs import ActionSpec
from reflexarc.testing import Received, Reply, Server
from reflexarc.types import (
    Action,
    ActionReady,
    ActionRefused,
    CortexOutputModel,
    Finished,
    Json,
    Message,
    Stop,
    TextDelta,
    ToolCallDelta,
    Wire,
)
from reflexarc.vocabulary import Vocabulary

VOCABULARY = Vocabulary([ActionSpec("move", ("sit", "walk")), ActionSpec("speak", None)])
SIT = Action(type="move", value="sit")
ANSWER = '{"actions":[{"type":"move","value":"sit"}]}'
GOOD = Reply.stream(ANSWER)
VARIABLE = "VENDOR_API_KEY"


class RecordedTransport(Transport):
    """Stands for a vendor's SDK: answers the same to every request and keeps what it was given."""

    made: ClassVar[list[RecordedTransport]] = []

    def __init__(self, address: Address) -> None:
        self.address = address
        self.calls: list[str] = []
        self.made.append(self)

    async def send(self, request: Request) -> AsyncGenerator[Sequence[Wire], None]:
        """Answer."""
        self.calls.append(request.model)
        yield [TextDelta(ANSWER), Stop("stop")]

    async def open(self) -> None:
        """Note it."""
        self.calls.append("open")

    async def connect(self) -> None:
        """Note it."""
        self.calls.append("connect")

    async def aclose(self) -> None:
        """Note it."""
        self.calls.append("close")


class VendorLLM(ProviderLLM[CortexOutputModel]):
    """A vendor whose own host is this machine by number, and nobody's by name."""

    provider = Provider(
        name="VendorLLM",
        base_url="http://127.0.0.1:9/v1",
        key_variable=VARIABLE,
        model="vendor-small",
        dialect=Dialect(max_tokens="limit", stream_usage=False, must_call="any"),
        hosts=("127.0.0.1",),
    )


class VendorWithSdkLLM(VendorLLM):
    """The same vendor with an SDK."""

    sdk = RecordedTransport


@pytest.fixture(autouse=True)
def sdks() -> list[RecordedTransport]:
    """The SDK transports that a test makes."""
    RecordedTransport.made.clear()
    return RecordedTransport.made


def config(**settings: Any) -> LLMConfig:
    """A configuration; the type does not matter here."""
    return LLMConfig.model_validate({"type": "LlamaLLM"} | settings)


async def request_of(
    kind: type[ProviderLLM[Any]] = LlamaLLM,
    *,
    path: str = "/v1",
    by_name: bool = False,
    environ: dict[str, str] | None = None,
    vocabulary: Vocabulary | None = VOCABULARY,
    **settings: Any,
) -> Received:
    """The request that one question sends to a server of our own."""
    async with Server(GOOD) as server:
        host = "localhost" if by_name else "127.0.0.1"
        base_url = f"http://{host}:{server.port}{path}"
        made = config(**{"base_url": base_url, "model": "m"} | settings)
        async with kind(made, vocabulary=vocabulary, environ=environ or {}) as llm:
            await llm.ask("sit!")
        return server.requests[0]


@pytest.mark.parametrize(
    ("transport", "by_name", "expected"),
    [
        ("auto", False, "sdk"),
        ("auto", True, "http"),
        ("sdk", False, "sdk"),
        ("sdk", True, "sdk"),
        ("http", False, "http"),
        ("http", True, "http"),
    ],
)
async def test_chooses_the_transport(
    transport: str, expected: str, sdks: list[RecordedTransport], *, by_name: bool
) -> None:
    """`auto` takes the SDK for the vendor's own host only; the others are what they say."""
    async with Server(GOOD) as server:
        base_url = f"http://{'localhost' if by_name else '127.0.0.1'}:{server.port}"
        made = config(base_url=base_url, transport=transport, api_key="k")
        async with VendorWithSdkLLM(made, vocabulary=VOCABULARY, environ={}) as llm:
            answer = await llm.ask("sit!")
        assert answer.actions == [SIT]
        assert [len(sdks), len(server.requests)] == ([1, 0] if expected == "sdk" else [0, 1])


async def test_an_sdk_is_opened_used_and_closed(sdks: list[RecordedTransport]) -> None:
    """The transport gets the address with its key and the model, and is opened and closed."""
    made = config(api_key="k")
    async with VendorWithSdkLLM(made, vocabulary=VOCABULARY, environ={}) as llm:
        await llm.ask("sit!")
    assert sdks[0].address == Address("http://127.0.0.1:9/v1", "k")
    assert sdks[0].calls == ["open", "vendor-small", "close"]


async def test_warming_connects(sdks: list[RecordedTransport]) -> None:
    """What is called before the first tick has the transport open a connection."""
    async with VendorWithSdkLLM(config(api_key="k"), environ={}) as llm:
        await llm.warm(Prompt())
        await llm.connect()
    assert sdks[0].calls == ["open", "connect", "connect", "close"]


async def test_without_an_sdk_the_vendor_is_asked_by_http() -> None:
    """`auto` needs no SDK."""
    assert (await request_of(VendorLLM, api_key="k")).method == "POST"


def test_an_sdk_that_does_not_exist_is_refused() -> None:
    """Whoever asks for an SDK where there is none is told what to write."""
    with pytest.raises(ConfigError, match="transport: 'http'"):
        VendorLLM(config(transport="sdk", api_key="k"), environ={})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "/v1/chat/completions"),
        ("/", "/v1/chat/completions"),
        ("/v1", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/api/core/openai", "/api/core/openai/chat/completions"),
        ("/v1beta/openai/", "/v1beta/openai/chat/completions"),
    ],
)
async def test_finds_the_address(path: str, expected: str) -> None:
    """`/v1` is added where a base_url has no path; any other path is taken as it is."""
    assert (await request_of(path=path)).path == expected


@pytest.mark.parametrize(
    ("by_name", "key", "environ", "sent"),
    [
        pytest.param(False, "own", {VARIABLE: "vendor"}, "own", id="the config is stronger"),
        pytest.param(False, None, {VARIABLE: "vendor"}, "vendor", id="the vendor's variable"),
        pytest.param(True, None, {VARIABLE: "vendor"}, None, id="not to another host"),
        pytest.param(True, "own", {VARIABLE: "vendor"}, "own", id="own key to any host"),
        pytest.param(True, None, {}, None, id="no key needed elsewhere"),
    ],
)
async def test_finds_the_key(
    key: str | None, environ: dict[str, str], sent: str | None, *, by_name: bool
) -> None:
    """A key of the configuration goes anywhere, the vendor's variable to the vendor alone."""
    given = {} if key is None else {"api_key": key}
    request = await request_of(VendorLLM, by_name=by_name, environ=environ, **given)
    assert request.headers.get("authorization") == (f"Bearer {sent}" if sent else None)


@pytest.mark.parametrize("key", ["\u201cabc\u201d", "two words", "abc\n"])
def test_a_key_from_the_environment_is_checked(key: str) -> None:
    """A variable that cannot be a key is named before anything is sent, and its value is not."""
    with pytest.raises(ConfigError, match=r"^MISTRAL_API_KEY holds") as caught:
        MistralLLM(LLMConfig(type="MistralLLM"), environ={"MISTRAL_API_KEY": key})
    assert key.strip() not in str(caught.value)


@pytest.mark.parametrize("environ", [{}, {VARIABLE: ""}])
def test_the_vendor_needs_a_key(environ: dict[str, str]) -> None:
    """Without a key for the vendor's own host, the variable to set is named."""
    with pytest.raises(ConfigError, match=f"set {VARIABLE}"):
        VendorLLM(config(), environ=environ)


@pytest.mark.parametrize(
    ("by_name", "limit", "choice", "usage"),
    [(False, "limit", "any", False), (True, "max_tokens", "required", True)],
)
async def test_speaks_the_vendors_dialect_to_the_vendor_alone(
    limit: str, choice: str, *, by_name: bool, usage: bool
) -> None:
    """A server of one's own is spoken to plainly, whoever made the model."""
    request = await request_of(VendorLLM, by_name=by_name, api_key="k", structured="tools")
    assert request.json[limit] == 512
    assert request.json["tool_choice"] == choice
    assert ("stream_options" in request.json) == usage


def test_llama_needs_a_server() -> None:
    """Without a base_url, LlamaLLM says that Meta's service is gone and what to do instead."""
    with pytest.raises(ConfigError, match=r"retired.*127\.0\.0\.1:8080/v1.*OnboardLLM"):
        LlamaLLM(config(model="m"), environ={})


def test_llama_needs_a_model() -> None:
    """A server of one's own knows its models by its own names."""
    with pytest.raises(ConfigError, match="needs a model"):
        LlamaLLM(config(base_url="http://127.0.0.1:9"), environ={})


def test_mistral_needs_its_key_at_home_only() -> None:
    """Mistral's own host needs MISTRAL_API_KEY; a server of one's own does not."""
    with pytest.raises(ConfigError, match="MISTRAL_API_KEY"):
        MistralLLM(config(), environ={})
    for host in ("api.mistral.ai", "api.eu.mistral.ai"):
        with pytest.raises(ConfigError, match="MISTRAL_API_KEY"):
            MistralLLM(config(base_url=f"https://{host}/v1"), environ={})
    assert MistralLLM(config(base_url="http://127.0.0.1:9"), environ={}).name == "MistralLLM"


async def test_mistral_has_a_model_of_its_own() -> None:
    """Without a model, the provider's default is asked for; with one, that one is."""
    assert (await request_of(MistralLLM, model=None)).json["model"] == "mistral-small-latest"
    assert (await request_of(MistralLLM, model="mine")).json["model"] == "mine"


HELD = {
    "auto": {"response_format": VOCABULARY.schema()},
    "schema": {"response_format": VOCABULARY.schema()},
    "json": {"response_format": None},
    "tools": {"tools": VOCABULARY.tools(), "tool_choice": "required"},
    "grammar": {"grammar": VOCABULARY.grammar()},
}


@pytest.mark.parametrize(("mode", "held"), HELD.items())
async def test_holds_the_answer_to_the_vocabulary(mode: str, held: Json) -> None:
    """Each value of `structured` sends its own kind of limit, made from the vocabulary."""
    body = (await request_of(structured=mode)).json
    found = {
        name: body[name]
        for name in ("response_format", "tools", "tool_choice", "grammar")
        if name in body
    }
    if "response_format" in found:
        found["response_format"] = found["response_format"].get("json_schema", {}).get("schema")
    assert found == held
    system, user = body["messages"]
    assert VOCABULARY.describe() in system["content"]
    assert ("calling the tools" in system["content"]) == (mode == "tools")
    assert user == {"role": "user", "content": "sit!"}


async def test_tells_everything_of_a_prompt() -> None:
    """System text, past turns and what is sensed now are sent in the order servers cache best."""
    async with Server(GOOD) as server:
        made = config(base_url=server.base_url, model="m")
        async with LlamaLLM[CortexOutputModel](made, vocabulary=VOCABULARY, environ={}) as llm:
            prompt = Prompt(
                system="Be Spot.", history=(Message("assistant", "b"),), situation="now"
            )
            await llm.ask(prompt, [{"role": "user", "content": "a"}])
        messages = server.requests[0].json["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[0]["content"].startswith("Be Spot.")
    assert [message["content"] for message in messages[1:]] == ["a", "b", "now"]


async def test_a_message_that_is_none_is_the_callers_mistake() -> None:
    """What cannot be sent is refused before anything is."""
    async with Server() as server:
        made = config(base_url=server.base_url, model="m")
        async with LlamaLLM[CortexOutputModel](made, environ={}) as llm:
            with pytest.raises(ConfigError, match="role"):
                await llm.ask("sit!", [{"role": "robot", "content": "a"}])
        assert server.requests == []


class Mood(BaseModel):
    """An answer that is not made of actions."""

    feeling: str
    strength: int = 1


class Thoughtful(CortexOutputModel):
    """An answer with more than actions."""

    thought: str = ""


async def answer_to(
    reply: Reply,
    output_model: type[BaseModel] | None = None,
    vocabulary: Vocabulary | None = None,
    **settings: Any,
) -> tuple[BaseModel, Received]:
    """What `ask` makes of a reply, and the request it answers."""
    async with Server(reply) as server:
        made = config(base_url=server.base_url, model="m", **settings)
        llm = LlamaLLM[BaseModel](
            made, vocabulary=vocabulary, output_model=output_model, environ={}
        )
        async with llm:
            return await llm.ask("sit!"), server.requests[0]


async def test_answers_with_any_model() -> None:
    """`ask` returns the output model it was made with, whose schema is sent."""
    answer, request = await answer_to(Reply.stream('Yes: {"feeling": "happy"}'), Mood)
    assert answer == Mood(feeling="happy")
    schema = request.json["response_format"]["json_schema"]["schema"]
    assert schema == strict_schema(Mood)
    assert "feeling" in request.json["messages"][0]["content"]


async def test_asks_any_model_for_json() -> None:
    """Where a server takes no schema, the model is told the schema in words."""
    _, request = await answer_to(Reply.stream('{"feeling": "happy"}'), Mood, structured="json")
    assert request.json["response_format"] == {"type": "json_object"}
    assert "feeling" in request.json["messages"][0]["content"]


@pytest.mark.parametrize("output_model", [Mood, CortexOutputModel], ids=["a model", "actions"])
async def test_a_tool_takes_the_whole_answer(output_model: type[BaseModel]) -> None:
    """With tools and no vocabulary there is one tool, whose arguments are the answer."""
    said = '{"feeling": "happy", "strength": 2}' if output_model is Mood else ANSWER
    reply = Reply.stream(ToolCallDelta("answer", said, 0, "call_1"), finish="tool_calls")
    answer, request = await answer_to(reply, output_model, structured="tools")
    assert answer.model_dump() == json.loads(said)
    (tool,) = request.json["tools"]
    assert tool["function"]["parameters"] == strict_schema(output_model)


def test_a_grammar_needs_a_vocabulary() -> None:
    """A grammar is refused where there is nothing to make it of."""
    with pytest.raises(ConfigError, match="hand them to load_llm"):
        LlamaLLM(config(base_url="http://a", model="m", structured="grammar"), environ={})


async def test_no_first_action_is_waited_for_in_a_model() -> None:
    """The clock of the first action rests where the answer has no actions."""
    reply = Reply.stream('{"feeling": ', 0.4, '"happy"}')
    answer, _ = await answer_to(reply, Mood, first_action_timeout=0.2)
    assert answer == Mood(feeling="happy")


async def test_an_answer_of_another_shape_is_none() -> None:
    """An answer that does not fit the output model is an error that says where."""
    with pytest.raises(BadOutputError, match=r"Mood.*feeling"):
        await answer_to(Reply.stream('{"strength": 2}'), Mood)


async def test_actions_fit_an_output_model_that_has_them() -> None:
    """A model of one's own with the field `actions` is filled with the legal ones."""
    reply = Reply.stream('{"actions":[{"type":"fly","value":"up"},{"type":"move","value":"sit"}]}')
    answer, _ = await answer_to(reply, Thoughtful, VOCABULARY)
    assert answer == Thoughtful(actions=[SIT])


def test_a_vocabulary_needs_a_place_for_its_actions() -> None:
    """An output model without actions contradicts a vocabulary, and both remedies are named."""
    with pytest.raises(ConfigError, match="leave out the vocabulary, or add the field"):
        LlamaLLM(
            config(base_url="http://127.0.0.1:9", model="m"),
            vocabulary=VOCABULARY,
            output_model=Mood,
            environ={},
        )


async def test_any_action_will_do_where_that_is_asked_for() -> None:
    """An output model of actions that is named takes all of them; the schema asks for the form."""
    reply = Reply.stream('{"actions":[{"type":"fly","value":"up"}]}')
    answer, request = await answer_to(reply, CortexOutputModel)
    assert answer == CortexOutputModel(actions=[Action(type="fly", value="up")])
    schema = request.json["response_format"]["json_schema"]["schema"]
    assert schema == strict_schema(CortexOutputModel)


@pytest.mark.parametrize("kind", ["LlamaLLM", "OnboardLLM", "FailoverLLM"])
async def test_nothing_is_done_of_which_nothing_is_known(kind: str, tmp_path: Path) -> None:
    """Without the robot's actions no action is asked for; texts, and prompts with actions, are."""
    async with Server(GOOD, Reply.stream("Hello!")) as server:
        one = {"type": "LlamaLLM", "base_url": server.base_url, "model": "m"}
        settings = {
            "LlamaLLM": one,
            "OnboardLLM": {"type": kind},
            "FailoverLLM": {"type": kind, "llms": [one]},
        }
        made = LLMConfig.model_validate(settings[kind])
        llm = load_llm(made, environ={"HOME": str(tmp_path)})
        for ask in (llm.ask, lambda prompt: anext(llm.act(prompt))):
            with pytest.raises(ConfigError, match=r"not known .* actions=Vocabulary.load\(file\)"):
                await ask("sit!")
        assert server.requests == []
        if kind != "OnboardLLM":
            assert await llm.ask(Prompt(actions=VOCABULARY)) == CortexOutputModel(actions=[SIT])
            assert await llm.write("Who are you?") == "Hello!"
        await llm.aclose()


async def test_ask_act_and_stream_tell_the_same() -> None:
    """The three ways to ask see one answer: whole, its actions, and all that happened."""
    text = '{"actions":[{"type":"fly","value":"up"},{"type":"move","value":"sit"}]}'
    async with Server(route=lambda _: Reply.stream(text[:40], text[40:])) as server:
        made = config(base_url=server.base_url, model="m")
        async with LlamaLLM[CortexOutputModel](made, vocabulary=VOCABULARY, environ={}) as llm:
            answer = await llm.ask("sit!")
            actions = [action async for action in llm.act("sit!")]
            events = [event async for event in llm.stream("sit!")]
    assert answer.actions == actions == [SIT]
    assert [type(event) for event in events] == [
        TextDelta, ActionRefused, TextDelta, ActionReady, Finished,
    ]  # fmt: skip
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.answer == answer
    times = [event.at_s for event in events if isinstance(event, ActionReady | ActionRefused)]
    assert times == sorted(times)
    assert times[-1] <= finished.total_s


async def test_nothing_to_do_is_an_answer() -> None:
    """An empty list of actions is an answer without a first action."""
    async with Server(Reply.stream('{"actions":[]}')) as server:
        made = config(base_url=server.base_url, model="m", first_action_timeout=5)
        async with LlamaLLM[CortexOutputModel](made, vocabulary=VOCABULARY, environ={}) as llm:
            *_, finished = [event async for event in llm.stream("rest")]
    assert isinstance(finished, Finished)
    assert finished.answer == CortexOutputModel(actions=[])
    assert finished.first_action_s is None


def test_making_one_opens_nothing() -> None:
    """An LLM is made without an event loop, a connection or an SDK, and shows no key."""
    llm = MistralLLM[CortexOutputModel](config(api_key="sk-secret"), environ={})
    assert repr(llm) == "MistralLLM(model='mistral-small-latest')"
    assert "sk-secret" not in f"{llm!r}{llm.config!r}{vars(llm)!r}"


class Thinking(CortexOutputModel):
    """Actions, and a thought that nobody asks for."""

    thought: str


def test_a_model_that_needs_more_than_actions_is_refused() -> None:
    """What could fail only after the robot has acted is told before."""
    made = config(base_url="http://127.0.0.1:9", model="m")
    with pytest.raises(ConfigError, match="Thinking needs thought"):
        LlamaLLM[Thinking](made, vocabulary=VOCABULARY, output_model=Thinking, environ={})


def test_a_model_that_is_no_object_is_refused() -> None:
    """A list or a number has no place in an answer that is one object."""
    made = config(base_url="http://127.0.0.1:9", model="m")
    with pytest.raises(ConfigError, match="is no object; put its value into a field"):
        LlamaLLM[Any](made, output_model=RootModel[list[int]], environ={})


async def test_half_a_character_is_sent_as_none() -> None:
    """What was sensed may hold half an emoji; every transport can send it."""
    async with Server(GOOD) as server:
        made = config(base_url=server.base_url, model="m")
        async with LlamaLLM[CortexOutputModel](made, vocabulary=VOCABULARY, environ={}) as llm:
            await llm.ask("You see \ud83d.")
        assert server.requests[0].json["messages"][-1]["content"] == "You see \ufffd."
