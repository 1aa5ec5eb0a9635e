"""Emulators refuse what the servers refuse, and write as they write, sample by sample."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc import LLM, LLMConfig, Usage, Vocabulary, load_llm
from reflexarc.errors import AuthError
from reflexarc.specs import ActionSpec
from reflexarc.testing import EMULATORS, Emulator, Received, Reply, Server
from reflexarc.testing.refusals import RULES
from reflexarc.types import Action, CortexOutputModel, Finished, Json, ToolCallDelta

WIRE = Path(__file__).parents[1] / "data" / "wire"
MANIFEST: dict[str, Json] = json.loads((WIRE / "manifest.json").read_text())["files"]
PATIENCE_S = 30.0

TEXT = ('{"actions":[{"type":"speak","value":"Hi {you}"},', '{"type":"move","value":"sit"}]}')
CALLS = (
    ToolCallDelta("speak", {"action": "Hi {you}"}),
    ToolCallDelta("move", '{"action": "sit"}'),
)
ACTIONS = [Action(type="speak", value="Hi {you}"), Action(type="move", value="sit")]
ROBOT = Vocabulary([ActionSpec("move", ("sit",)), ActionSpec("speak", None)])

SCHEMA: Json = {
    "type": "object",
    "properties": {
        "actions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"type": {"type": "string"}, "value": {"type": "string"}},
                "required": ["type", "value"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["actions"],
    "additionalProperties": False,
}
OPEN_SCHEMA: Json = {key: value for key, value in SCHEMA.items() if key != "additionalProperties"}
LOOSE_SCHEMA: Json = json.loads(json.dumps(SCHEMA).replace('["type", "value"]', '["type"]'))
TOOL: Json = {"type": "function", "function": {"name": "move", "parameters": {"type": "object"}}}
ASK: Json = {"role": "user", "content": "sit!"}
GOOD: Json = {"model": "m", "messages": [{"role": "system", "content": "Be Spot."}, ASK]}


def received(body: Json | bytes, key: str | None = "sk-robot") -> Received:
    """A request as the server sees it."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return Received("POST", "/v1/chat/completions", headers, data, 0, 0.0)


def body_of(reply: Reply) -> bytes:
    """Everything a reply writes."""
    return b"".join(step for step in reply.body if isinstance(step, bytes))


def strict(schema: Json) -> Json:
    """A field that asks for a schema."""
    wanted = {"name": "answer", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": wanted}}


def called(*ids: str) -> Json:
    """A message of calls."""
    function = {"name": "move", "arguments": "{}"}
    return {"role": "assistant", "tool_calls": [{"id": id_, "function": function} for id_ in ids]}


def answered(id_: str) -> Json:
    """The answer to one of them."""
    return {"role": "tool", "tool_call_id": id_, "content": "done"}


# --- what they write


def shape(value: object, *, left_out: frozenset[str] = frozenset()) -> object:
    """The keys of some JSON, without its values; counts are told apart only from none."""
    if isinstance(value, dict):
        return {
            key: (item is not None) if key == "usage" else shape(item, left_out=left_out)
            for key, item in cast("Json", value).items()
            if key not in left_out
        }
    if isinstance(value, list):
        return [shape(item, left_out=left_out) for item in cast("list[object]", value)]
    return None


def events_in(data: bytes) -> Iterator[object]:
    """What a stream says: its end mark as text, its events parsed."""
    for line in data.decode().splitlines():
        if line.startswith("data:"):
            text = line.removeprefix("data:").strip()
            yield text if text == "[DONE]" else json.loads(text)


def outline(data: bytes, left_out: frozenset[str]) -> list[object]:
    """The shapes of a stream's events in order, each once where it is repeated."""
    shapes = (
        said if isinstance(said, str) else shape(said, left_out=left_out)
        for said in events_in(data)
    )
    return [key for key, _ in groupby(shapes)]


def counts_in(value: object) -> list[Json]:
    """The counts in some JSON, wherever they are."""
    found: list[Json] = []
    if isinstance(value, dict):
        fields = cast("Json", value)
        if isinstance(fields.get("usage"), dict):
            found.append(fields["usage"])
        value = list(fields.values())
    if isinstance(value, list):
        for item in cast("list[object]", value):
            found += counts_in(item)
    return found


@pytest.mark.parametrize(
    ("sample", "pieces", "told", "left_out"),
    [
        ("mistral_stream.sse", TEXT, True, {"p"}),
        ("mistral_toolcall_stream.sse", CALLS, True, {"p"}),
        ("openai_stream.sse", TEXT, True, set[str]()),
        ("openai_toolcall_stream.sse", CALLS, False, {"usage"}),  # null there, though not asked for
        ("gemini_toolcall_stream.sse", CALLS[:1], False, set[str]()),
        ("deepseek_stream.sse", TEXT, True, set[str]()),
        ("deepseek_toolcall_stream.sse", CALLS, True, set[str]()),
        ("deepseek_unthinking_stream.sse", TEXT, True, set[str]()),
        ("xai_stream.sse", TEXT, True, set[str]()),
        ("xai_toolcall_stream.sse", CALLS, True, set[str]()),
        ("llamacpp_stream.sse", TEXT, False, set[str]()),
        ("llamacpp_stream_usage.sse", TEXT, True, set[str]()),
        ("llamacpp_toolcall_stream.sse", CALLS[:1], False, set[str]()),
        ("vllm_stream.sse", TEXT, True, set[str]()),
        ("ollama_stream.sse", TEXT, False, set[str]()),
        ("tgi_stream.sse", TEXT, False, set[str]()),
        ("tgi_toolcall_stream.sse", CALLS[:1], False, set[str]()),
        ("llama_native_stream.sse", TEXT, True, set[str]()),
        ("llama_native_toolcall_stream.sse", CALLS, True, set[str]()),
    ],
)
def test_streams_have_the_shape_of_their_sample(
    sample: str, pieces: tuple[Any, ...], told: bool, left_out: set[str]
) -> None:
    """Chunk by chunk, a stream has the keys that the server's have, and no other."""
    emulator = emulator_of(sample)
    request = GOOD | {"stream": True, "stream_options": {"include_usage": told}}
    if "unthinking" in sample:
        request["thinking"] = {"type": "disabled"}
    if emulator.name == "mistral":
        del request["stream_options"]
    ours = body_of(emulator.reply(received(request), *pieces))
    theirs = (WIRE / sample).read_bytes()
    without = frozenset(left_out)
    assert outline(ours, without) == outline(theirs, without)
    for mine, real in zip(
        counts_in(list(events_in(ours))), counts_in(list(events_in(theirs))), strict=True
    ):
        assert mine.keys() >= real.keys()


@pytest.mark.parametrize(
    ("sample", "pieces", "left_out"),
    [
        ("mistral_chat.json", TEXT, set[str]()),
        ("mistral_toolcall.json", CALLS, set[str]()),
        ("openai_chat.json", TEXT, set[str]()),
        ("deepseek_keepalive_chat.txt", TEXT, {"reasoning_content", "system_fingerprint"}),
        ("deepseek_toolcall.json", CALLS, set[str]()),
        ("xai_toolcall.json", CALLS, set[str]()),
        ("llamacpp_chat.json", TEXT, set[str]()),
        ("llamacpp_toolcall.json", CALLS[:1], set[str]()),
        ("tgi_toolcall.json", CALLS[:1], set[str]()),
        ("llama_native_chat.json", TEXT, set[str]()),
        ("llama_native_toolcall.json", CALLS, set[str]()),
    ],
)
def test_whole_replies_have_the_shape_of_their_sample(
    sample: str, pieces: tuple[Any, ...], left_out: set[str]
) -> None:
    """A reply that is not streamed has the keys that the server's has, and no other."""
    ours = body_of(emulator_of(sample).reply(received(GOOD), *pieces))
    theirs = (WIRE / sample).read_bytes()
    without = frozenset(left_out)
    assert shape(json.loads(ours), left_out=without) == shape(json.loads(theirs), left_out=without)
    (mine,), (real,) = (counts_in(json.loads(data)) or [{}] for data in (ours, theirs))
    assert mine.keys() >= real.keys()


def emulator_of(sample: str) -> Emulator:
    """Whose sample it is."""
    file = sample.rpartition("/")[2]
    return next(found for name, found in EMULATORS.items() if file.startswith(f"{name}_"))


def test_they_write_what_they_are_told() -> None:
    """Texts, ids, reasons, counts and steps are those that were handed in."""
    gate = asyncio.Event()
    openai = EMULATORS["openai"]
    body = openai.answer(
        "{finish}", gate, b": ping\n\n", finish="length", usage=Usage(9, 5, 3)
    ).body
    assert body[2:4] == (gate, b": ping\n\n")
    events = list(events_in(b"".join(step for step in body if isinstance(step, bytes))))
    said = [cast("Any", event) for event in events if not isinstance(event, str)]
    assert said[1]["choices"][0]["delta"] == {"content": "{finish}"}
    assert said[2]["choices"][0]["finish_reason"] == "length"
    assert said[3]["usage"]["prompt_tokens_details"]["cached_tokens"] == 3
    whole = json.loads(body_of(openai.whole(ToolCallDelta("move", "{}", id="mine"))))
    assert whole["choices"][0]["message"]["tool_calls"][0]["id"] == "mine"
    assert whole["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("name", EMULATORS)
def test_they_also_write_nothing(name: str) -> None:
    """An answer without a piece is an empty one, and it ends."""
    events = list(events_in(body_of(EMULATORS[name].answer(usage=None))))
    said = [str(event) for event in events]
    assert sum("'stop'" in event for event in said) == 1


def test_deepseek_keeps_the_connection_alive() -> None:
    """Its comments, or blank lines, come before what it has to say, as in its samples."""
    deepseek = EMULATORS["deepseek"]
    comments = cast("bytes", deepseek.answer(*TEXT).body[0])
    assert (WIRE / "deepseek_stream.sse").read_bytes().startswith(comments)
    blank = (WIRE / "deepseek_keepalive_chat.txt").read_bytes().partition(b"{")[0]
    assert body_of(deepseek.whole(*TEXT)).partition(b"{")[0] == blank


@pytest.mark.parametrize(
    ("name", "streamed", "whole"),
    [
        ("mistral", "tool_calls", "tool_calls"),
        ("gemini", "stop", "tool_calls"),
        ("tgi", "stop", "stop"),
    ],
)
def test_calls_end_an_answer_as_the_server_ends_it(name: str, streamed: str, whole: str) -> None:
    """Most say that they call tools; Gemini and TGI say that they stop."""
    emulator = EMULATORS[name]
    *_, last = (event for event in events_in(body_of(emulator.answer(*CALLS))) if event != "[DONE]")
    assert cast("Any", last)["choices"][0]["finish_reason"] == streamed
    assert json.loads(body_of(emulator.whole(*CALLS)))["choices"][0]["finish_reason"] == whole


def test_mistral_makes_ids_that_it_takes() -> None:
    """The ids of its calls keep its own rule."""
    emulator = EMULATORS["mistral"]
    (call, other) = json.loads(body_of(emulator.whole(*CALLS)))["choices"][0]["message"][
        "tool_calls"
    ]
    assert call["id"] != other["id"]
    said = [*GOOD["messages"], called(call["id"], other["id"])]
    answers = [answered(call["id"]), answered(other["id"])]
    assert emulator.refusal(received(GOOD | {"messages": said + answers})) is None


# --- what they refuse

CONVERSATION: list[Json] = [*GOOD["messages"], called("aaaaaaaaa", "bbbbbbbbb")]
BANNED_ORDER = [*CONVERSATION, answered("aaaaaaaaa"), answered("bbbbbbbbb"), ASK]
SAID_ANY: Json = {"tools": [TOOL], "tool_choice": "any"}
JSON_OBJECT: Json = {"response_format": {"type": "json_object"}}
NAMED: Json = {"tool_choice": {"type": "function", "function": {"name": "move"}}}
STRICT_TOOL: Json = {
    "type": "function",
    "function": {"name": "act", "strict": True, "parameters": OPEN_SCHEMA},
}


@pytest.mark.parametrize(
    ("sample", "added"),
    [
        ("errors/mistral_422_extra.json", {"stream_options": {"include_usage": True}}),
        ("errors/mistral_400_order.json", {"messages": BANNED_ORDER}),
        (
            "errors/mistral_400_lastrole.json",
            {"messages": [ASK, {"role": "assistant", "content": "x"}]},
        ),
        (
            "errors/mistral_400_toolid.json",
            {"messages": [ASK, called("turn1_0"), answered("turn1_0")]},
        ),
        ("refusals/mistral_400_count.json", {"messages": [*CONVERSATION, answered("aaaaaaaaa")]}),
        ("errors/openai_400_max_tokens.json", {"model": "gpt-5.6-luna", "max_tokens": 9}),
        ("errors/openai_400_temperature.json", {"model": "o4-mini", "temperature": 0.2}),
        ("refusals/openai_400_schema.json", strict(OPEN_SCHEMA)),
        ("refusals/openai_400_required.json", strict(LOOSE_SCHEMA)),
        ("refusals/openai_400_json_word.json", JSON_OBJECT),
        ("refusals/openai_400_tool_choice.json", SAID_ANY),
        ("refusals/openai_400_unknown.json", {"chat_template_kwargs": {}}),
        ("refusals/gemini_400_field.json", {"prompt_cache_key": "robot"}),
        ("refusals/deepseek_400_format.json", strict(SCHEMA)),
        ("refusals/deepseek_400_json_word.json", JSON_OBJECT),
        ("errors/llamacpp_400_toolchoice_any.json", SAID_ANY),
        (
            "refusals/llamacpp_400_grammar_tools.json",
            {"tools": [TOOL], "grammar": "root ::= [a-z]"},
        ),
        ("errors/llamacpp_400_grammar.json", {"grammar": 'root ::= ( "yes'}),
        ("errors/llamacpp_400_grammar.json", {"grammar": 'answer ::= "yes"'}),
        ("errors/llamacpp_400_rf_type.json", {"response_format": {"type": "xml"}}),
        ("errors/lmstudio_400_rf.json", JSON_OBJECT),
        ("refusals/lmstudio_400_toolchoice.json", {"tools": [TOOL], **NAMED}),
        ("refusals/ollama_400_messages.json", {"messages": []}),
    ],
)
def test_a_broken_rule_is_refused_as_the_server_refuses_it(sample: str, added: Json) -> None:
    """Status and body are those of the recorded or quoted refusal, to the letter."""
    refusal = emulator_of(sample).refusal(received(GOOD | added))
    assert refusal is not None
    assert refusal.status == MANIFEST[sample]["status"]
    assert json.loads(body_of(refusal)) == json.loads((WIRE / sample).read_text())


@pytest.mark.parametrize(
    ("sample", "request_"),
    [
        ("errors/mistral_401_detail.json", received(GOOD, None)),
        ("errors/mistral_401_detail.json", received(GOOD, "bad-key")),
        ("errors/mistral_422_detail.json", received({"model": "m"})),
        ("errors/openai_401.json", received(GOOD, None)),
        ("errors/openai_401.json", received(GOOD, "bad-key")),
        ("refusals/gemini_400_auth.json", received(GOOD, None)),
        ("refusals/gemini_400_key.json", received(GOOD, "bad-key")),
        ("errors/gemini_400.json", received(b"{")),
        ("refusals/deepseek_401.json", received(GOOD, None)),
        ("refusals/deepseek_401.json", received(GOOD, "bad-key")),
        ("errors/xai_400_key.json", received(GOOD, None)),
        ("errors/xai_400_key.json", received(GOOD, "bad-key")),
        ("errors/llamacpp_400_badjson.json", received(b'{"model":')),
        ("errors/vllm_400.json", received({"model": "m"})),
        ("errors/tgi_422.json", received({"model": "m"})),
        ("refusals/llama_native_401.json", received(GOOD, None)),
        ("refusals/llama_native_400.json", received(GOOD | {"stop": ["x"]})),
        ("refusals/llama_native_400.json", received(GOOD | {"seed": 7})),
        ("refusals/llama_native_400.json", received(GOOD | JSON_OBJECT)),
        ("refusals/llama_native_400.json", received(GOOD | {"response_format": {"type": "xml"}})),
    ],
)
def test_refusals_that_quote_have_the_envelope_of_the_server(
    sample: str, request_: Received
) -> None:
    """Where words depend on the request, status and keys are the server's."""
    refusal = emulator_of(sample).refusal(request_)
    assert refusal is not None
    assert refusal.status == MANIFEST[sample]["status"]
    theirs = json.loads((WIRE / sample).read_text())
    assert shape(json.loads(body_of(refusal))) == shape(theirs) or "mistral_422" in sample


@pytest.mark.parametrize(
    ("name", "added", "message"),
    [
        ("mistral", {"messages": [{"role": "assistant", "content": "x"}]}, "must start with"),
        ("mistral", {"messages": [{"role": "assistant", "content": ""}, ASK]}, "content or tool"),
        ("mistral", {"messages": [ASK, answered("aaaaaaaaa")]}, "Unexpected role 'tool'"),
        ("mistral", {"tool_choice": "always"}, "Input should be"),
        ("mistral", {"response_format": {"type": "xml"}}, "xml"),
        ("mistral", {"messages": [{"role": "developer", "content": "x"}, ASK]}, "developer"),
        ("openai", {"tools": [STRICT_TOOL]}, "Invalid schema for function 'act'"),
        ("openai", {"response_format": {"type": "xml"}}, "Invalid value: 'xml'"),
        ("openai", {"tool_choice": 7}, "tool_choice"),
        ("vllm", SAID_ANY, "any"),
        ("xai", {"messages": [{"role": "robot", "content": "x"}]}, "robot"),
        ("llamacpp", {"model": ""}, "model"),
    ],
)
def test_the_rest_is_refused_with_a_reason(name: str, added: Json, message: str) -> None:
    """A rule without a sample still names what is wrong."""
    refusal = EMULATORS[name].refusal(received(GOOD | added))
    assert refusal is not None
    assert refusal.status in {400, 422}
    assert message in json.dumps(json.loads(body_of(refusal)))


TAKEN: list[tuple[str, Json]] = [
    *((name, {}) for name in EMULATORS),
    ("mistral", SAID_ANY),
    ("mistral", NAMED),
    ("mistral", strict(OPEN_SCHEMA)),
    ("mistral", JSON_OBJECT),
    ("mistral", {"messages": [*CONVERSATION, answered("aaaaaaaaa"), answered("bbbbbbbbb")]}),
    (
        "mistral",
        {"messages": [ASK, ASK, {"role": "assistant", "content": "{", "prefix": True}]},
    ),
    ("mistral", {"messages": [{"role": "system", "content": "Be Spot."}]}),
    ("openai", strict(SCHEMA) | {"stream_options": {"include_usage": True}, "seed": 7}),
    ("openai", {"model": "gpt-6-luna", "max_completion_tokens": 9, "temperature": 1}),
    ("openai", {"model": "gpt-4.1", "max_tokens": 9, "temperature": 0}),
    ("openai", JSON_OBJECT | {"messages": [{"role": "user", "content": "Say JSON."}]}),
    ("openai", strict(SCHEMA | {"properties": {"type": {"type": "string"}}, "required": ["type"]})),
    ("openai", {"response_format": None, "tool_choice": None}),
    ("gemini", strict(SCHEMA) | {"stream_options": {"include_usage": True}}),
    ("deepseek", JSON_OBJECT | {"messages": [{"role": "user", "content": "Say json."}]}),
    ("llamacpp", {"guided_json": {}, "random_seed": 7} | strict(OPEN_SCHEMA) | NAMED),
    ("llamacpp", {"grammar": ROBOT.grammar()}),
    ("llamacpp", {"grammar": 'root ::= "(" # a "comment', "tools": [TOOL]} | {"tools": []}),
    ("llamacpp", {"grammar": "root ::= [a]", "tools": [TOOL], "tool_choice": "none"}),
    ("ollama", SAID_ANY | {"response_format": {"type": "xml"}}),
    ("lmstudio", strict(SCHEMA) | {"tools": [TOOL], "tool_choice": "required"}),
    ("tgi", {"tools": [TOOL], "tool_choice": "move"}),
    ("llama_native", strict(SCHEMA) | {"max_completion_tokens": 9}),
]


@pytest.mark.parametrize(("name", "added"), TAKEN)
def test_what_the_server_takes_is_taken(name: str, added: Json) -> None:
    """What a server accepts, and what it ignores, is no broken rule."""
    refusal = EMULATORS[name].refusal(received(GOOD | added))
    assert refusal is None, body_of(refusal)


@pytest.mark.parametrize("name", ["llamacpp", "vllm", "ollama", "lmstudio", "tgi"])
def test_self_hosted_servers_need_no_key(name: str) -> None:
    """A server of one's own is asked without a key."""
    assert EMULATORS[name].refusal(received(GOOD, None)) is None


@pytest.mark.parametrize("name", EMULATORS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[]",
        b"null",
        b"7",
        b"[" * 100_000,
        b'{"model":"m","messages":[' + b'{"a":' * 100_000,
    ],
)
def test_rubbish_is_refused(name: str, body: bytes) -> None:
    """What is no JSON object is answered with status 400, never with an exception."""
    refusal = EMULATORS[name].refusal(received(body))
    assert refusal is not None
    assert refusal.status == 400
    assert json.loads(body_of(refusal))


@pytest.mark.parametrize("name", EMULATORS)
def test_a_body_that_is_nested_too_deep_is_taken_or_refused(name: str) -> None:
    """Wherever Python's patience ends, in reading or in quoting, the server still answers."""
    for depth in range(900, 1000, 3):
        nested = "[" * depth + "]" * depth
        body = f'{{"model":"m","x":{nested}}}'.encode()
        refusal = EMULATORS[name].refusal(received(body))
        assert refusal is not None
        assert refusal.status in {400, 422}


FIELDS = sorted({*GOOD, "response_format", "tools", "tool_choice", "grammar", "temperature", "x"})
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["user", "tool"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "type", "json_schema", "strict", "schema", "properties", "id"])
            | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.sampled_from(sorted(EMULATORS)))
def test_no_body_breaks_them(added: Json, name: str) -> None:
    """Whatever is in a request, it is taken or refused with a body that is JSON."""
    refusal = EMULATORS[name].refusal(received(GOOD | added))
    assert refusal is None or json.loads(body_of(refusal))


# --- over a socket


def brain(emulator: Emulator, server: Server, **settings: Any) -> LLM[CortexOutputModel]:
    """One of our own clients, as it would speak to this server."""
    own: Json = {"mistral": {"type": "MistralLLM", "transport": "sdk"}}.get(emulator.name, {})
    if emulator.name == "llama_native":
        own = {"transport": "sdk"}
    if emulator.name == "deepseek":
        own = {"structured": "json"}
    config: Json = {
        "type": "LlamaLLM",
        "model": "m",
        "base_url": server.base_url,
        "api_key": "sk-robot",
        "timeout": PATIENCE_S,
        "stall_timeout": PATIENCE_S,
    }
    return load_llm(LLMConfig(**(config | own | settings)), actions=ROBOT, environ={})


async def finished(llm: LLM[CortexOutputModel]) -> Finished:
    """The end of one call."""
    async with asyncio.timeout(PATIENCE_S):
        return cast("Finished", [event async for event in llm.stream("sit!")][-1])


@pytest.mark.parametrize("name", EMULATORS)
@pytest.mark.parametrize(
    ("pieces", "form"), [(TEXT, None), (CALLS, "tools")], ids=["text", "tools"]
)
async def test_our_clients_keep_the_rules_and_read_the_answer(
    name: str, pieces: tuple[Any, ...], form: str | None
) -> None:
    """What our clients send is accepted everywhere, and they understand every dialect."""
    emulator = EMULATORS[name]
    settings = {"structured": form} if form else {}
    async with (
        Server(route=lambda request: emulator.reply(request, *pieces)) as server,
        brain(emulator, server, **settings) as llm,
    ):
        end = await finished(llm)
    assert end.answer == CortexOutputModel(actions=ACTIONS)
    assert end.usage is not None
    assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (210, 41)
    assert len(server.requests) == 1, "the client broke a rule, and mended that"


async def test_counts_are_told_only_to_those_who_ask() -> None:
    """Without `stream_options`, llama.cpp and OpenAI tell no counts, and Mistral does."""
    asked = received(GOOD | {"stream": True})
    told = {
        name
        for name, emulator in EMULATORS.items()
        if "210" in body_of(emulator.reply(asked, *TEXT)).decode()
    }
    assert told == {"mistral", "deepseek", "xai", "llama_native"}


async def test_a_refusal_uses_no_reply_up() -> None:
    """The script goes on with the next request that is accepted, also with replies added later."""
    emulator = EMULATORS["deepseek"]
    async with emulator.serve(emulator.answer(*TEXT)) as server:
        async with brain(emulator, server, api_key="bad-key") as llm:
            with pytest.raises(AuthError, match="Authentication Fails"):
                await finished(llm)
        async with brain(emulator, server) as llm:
            assert (await finished(llm)).usage == Usage(210, 41, 128)
            server.add(emulator.whole(*CALLS))
            assert (await finished(llm)).answer == CortexOutputModel(actions=ACTIONS)
    assert len(server.requests) == 3


async def test_replies_have_the_headers_of_the_server() -> None:
    """llama.cpp names itself, and Mistral numbers its replies, refusals too."""
    llamacpp, mistral = EMULATORS["llamacpp"], EMULATORS["mistral"]
    refusal = mistral.refusal(received(GOOD, None))
    assert refusal is not None
    assert "mistral-correlation-id" in refusal.headers
    assert llamacpp.answer().headers["Server"] == llamacpp.whole().headers["Server"] == "llama.cpp"


def test_every_one_has_its_rules() -> None:
    """The table names each server once, by the name it is known by."""
    assert EMULATORS.keys() == RULES.keys()
    assert all(name == emulator.name for name, emulator in EMULATORS.items())
