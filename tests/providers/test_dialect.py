"""A request is written field by field as the server it goes to spells it, and has nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from reflexarc.config import LLMConfig
from reflexarc.llm import Request
from reflexarc.providers.dialect import Dialect, ModelFacts
from reflexarc.providers.llama_sdk import LlamaSdkTransport
from reflexarc.providers.mistral import MistralLLM
from reflexarc.providers.vendors import XAILLM, DeepSeekLLM, GeminiLLM, OpenAILLM
from reflexarc.types import Json, Message, ToolCall

SCHEMA = {"type": "object"}
TOOLS: list[Json] = [{"type": "function", "function": {"name": "move"}}]
SYSTEM = Message("system", "Be Spot.")
SIT = Message("user", "sit!")


def request(config: Json | None = None, *, model: str = "m", **held: Any) -> Request:
    """A request with a system message and one of the user's."""
    settings = LLMConfig.model_validate({"type": "LlamaLLM"} | (config or {}))
    return Request(model, held.pop("messages", (SYSTEM, SIT)), settings, **held)


BASE: Json = {
    "model": "m",
    "messages": [{"role": "system", "content": "Be Spot."}, {"role": "user", "content": "sit!"}],
    "stream": True,
    "max_tokens": 512,
    "stream_options": {"include_usage": True},
}
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
}


@pytest.mark.parametrize(
    ("asked", "added"),
    [
        pytest.param(request(), {}, id="plain"),
        pytest.param(request({"max_tokens": 7}), {"max_tokens": 7}, id="max_tokens"),
        pytest.param(request({"temperature": 0}), {"temperature": 0.0}, id="temperature"),
        pytest.param(request({"seed": 0}), {"seed": 0}, id="seed"),
        pytest.param(request(schema=SCHEMA), {"response_format": FORMAT}, id="schema"),
        pytest.param(request(tools=TOOLS), {"tools": TOOLS, "tool_choice": "required"}, id="tools"),
        pytest.param(
            request(json_object=True), {"response_format": {"type": "json_object"}}, id="json"
        ),
        pytest.param(request(grammar="root ::= x"), {"grammar": "root ::= x"}, id="grammar"),
        pytest.param(request(form="text", turns=3), {}, id="what is for us alone"),
        pytest.param(
            request({"extra_params": {"top_k": 1}}), {"top_k": 1}, id="extra_params are added"
        ),
    ],
)
def test_writes_the_request(asked: Request, added: Json) -> None:
    """Each field of a request is in the body where the dialect has it, and nothing else is."""
    assert Dialect().body(asked) == BASE | added


@pytest.mark.parametrize(
    "setting",
    [
        {"type": "OpenAILLM"},
        {"base_url": "http://127.0.0.1:9/v1"},
        {"api_key": SecretStr("sk-12345678")},
        {"timeout": 3},
        {"first_action_timeout": 3},
        {"stall_timeout": 3},
        {"transport": "http"},
        {"structured": "json"},
        {"history_length": 3},
        {"agent_name": "Spot"},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_other_settings_are_not_the_servers_business(setting: Json) -> None:
    """What decides where, how long and in which form we ask is not in the body."""
    assert Dialect().body(request(setting)) == BASE


def test_writes_past_calls_and_their_results() -> None:
    """Messages are OpenAI's, with ids where there are any."""
    calls = (ToolCall("move", '{"action":"sit"}', "a1B2c3D4e"), ToolCall("speak", "{}", "a"))
    messages = (
        Message("assistant", "", calls),
        Message("tool", "done", tool_call_id="a1B2c3D4e"),
        Message("assistant", "Done."),
    )
    assert Dialect().body(request(messages=messages))["messages"] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "a1B2c3D4e",
                    "type": "function",
                    "function": {"name": "move", "arguments": '{"action":"sit"}'},
                },
                {"id": "a", "type": "function", "function": {"name": "speak", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "content": "done", "tool_call_id": "a1B2c3D4e"},
        {"role": "assistant", "content": "Done."},
    ]


def test_writes_the_request_as_the_vendor_spells_it() -> None:
    """A vendor's own names replace the common ones."""
    dialect = Dialect(
        max_tokens="max_completion_tokens",
        seed="random_seed",
        stream_usage=False,
        must_call="any",
        added={"thinking": {"type": "disabled"}},
    )
    assert dialect.body(request({"seed": 7}, tools=TOOLS)) == {
        "model": "m",
        "messages": BASE["messages"],
        "stream": True,
        "max_completion_tokens": 512,
        "random_seed": 7,
        "tools": TOOLS,
        "tool_choice": "any",
        "thinking": {"type": "disabled"},
    }


# --- which is stronger --------------------------------------------------------------------------

PRECISE = Dialect(
    added={"a": "dialect", "b": "dialect", "c": "dialect", "d": "dialect"},
    models=(ModelFacts("m", without=frozenset({"max_tokens"}), added={"b": 1, "c": 1, "d": 1}),),
)


def test_the_last_word_is_the_servers() -> None:
    """Vendor, model, the user's extra_params, and what the server has shown: each is stronger."""
    extra = {"c": "user", "d": "user", "temperature": 0.5}
    asked = request(
        {"extra_params": extra, "temperature": 1}, amended={"d": "server", "temperature": None}
    )
    body = PRECISE.body(asked)
    assert {name: body.get(name) for name in "abcd"} == {
        "a": "dialect", "b": 1, "c": "user", "d": "server",
    }  # fmt: skip
    assert "temperature" not in body
    assert "max_tokens" not in body


def test_the_user_may_send_what_a_model_is_known_to_refuse() -> None:
    """A fact about a family of models may be out of date; extra_params are stronger."""
    asked = request({"extra_params": {"max_tokens": 9}})
    assert PRECISE.body(asked)["max_tokens"] == 9


@pytest.mark.parametrize(
    "asked",
    [
        request({"extra_params": {"stream_options": None}}),
        request(amended={"stream_options": None}),
        request({"extra_params": {"stream_options": {}}}, amended={"stream_options": None}),
    ],
    ids=["user", "server", "server over user"],
)
def test_none_leaves_a_field_out(asked: Request) -> None:
    """No server gets null for what it should not get."""
    assert Dialect().body(asked) == {name: BASE[name] for name in BASE if name != "stream_options"}


@pytest.mark.parametrize("names", ["m", "m$", "(x|m)", ""])
def test_facts_are_those_of_the_first_family_that_matches(names: str) -> None:
    """A family is known by the beginning of a model's name; the first row counts."""
    families = (
        ModelFacts("x", added={"reasoning_effort": "none"}),
        ModelFacts(names, added={"top_k": 1}),
        ModelFacts("m", added={"top_p": 1}),
    )
    assert Dialect(models=families).body(request()) == BASE | {"top_k": 1}


def test_leaves_everything_as_it_is() -> None:
    """Nothing that is written for one request reaches the next one."""
    asked = request({"extra_params": {"seed": 1}}, amended={"top_p": 1})
    body = PRECISE.body(asked)
    body.update(seed=2, top_p=2, a=2, b=2)
    body["messages"].clear()
    again = PRECISE.body(asked)
    assert (again["seed"], again["top_p"], again["a"], again["b"]) == (1, 1, "dialect", 1)
    assert again["messages"] == BASE["messages"]


# --- the key of the prompt's beginning ----------------------------------------------------------


def test_a_prompts_beginning_has_a_key() -> None:
    """The same system message has the same key at every tick, another one another."""
    dialect = Dialect(cache_key=True)
    keys = [
        dialect.body(request(messages=messages))["prompt_cache_key"]
        for messages in (
            (SYSTEM, SIT),
            (SYSTEM, Message("user", "a"), Message("assistant", "b"), SIT),
            (Message("system", "Be Rex."), SIT),
            (Message("system", "Half a character: \ud83d"), SIT),
        )
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert all(len(key) == 32 and key.isalnum() for key in keys)
    assert "Spot" not in keys[0]


def test_without_a_beginning_there_is_no_key() -> None:
    """Where no system message is the same at every tick, nothing is promised to the cache."""
    assert Dialect(cache_key=True).body(request(messages=(SIT,))).keys() == BASE.keys()


# --- each vendor's row --------------------------------------------------------------------------

KEY = "prompt_cache_key"
USAGE = {"stream_options": {"include_usage": True}}
THOUGHTLESS = {"thinking": {"type": "disabled"}}
UNREASONED = {"reasoning_effort": "none"}
SEEDED = {"temperature": 0.5, "seed": 7}


def written(kind: Any, model: str | None = None) -> Json:
    """What differs from vendor to vendor in a request with a temperature and a seed."""
    asked = request({"temperature": 0.5, "seed": 7}, model=model or kind.provider.model)
    body = kind.provider.dialect.body(asked)
    common = {"model": asked.model, "messages": BASE["messages"], "stream": True}
    assert common.items() <= body.items()
    return {
        name: "…" if name == KEY else value for name, value in body.items() if name not in common
    }


@pytest.mark.parametrize(
    ("kind", "model", "sent"),
    [
        pytest.param(
            MistralLLM,
            None,
            {"max_tokens": 512, "temperature": 0.5, "random_seed": 7, KEY: "…"},
            id="Mistral refuses stream_options and has its own name for the seed",
        ),
        pytest.param(
            OpenAILLM,
            None,
            {"max_completion_tokens": 512, **USAGE, **SEEDED, KEY: "…", **UNREASONED},
            id="OpenAI's newer models do not reason unless told to",
        ),
        pytest.param(
            OpenAILLM,
            "gpt-5-mini",
            {"max_completion_tokens": 512, **USAGE, "seed": 7, KEY: "…"},
            id="its first reasoning models take no temperature",
        ),
        pytest.param(
            OpenAILLM,
            "o4-mini",
            {"max_completion_tokens": 512, **USAGE, "seed": 7, KEY: "…"},
            id="nor do those before them",
        ),
        pytest.param(
            OpenAILLM,
            "gpt-4.1-mini",
            {"max_completion_tokens": 512, **USAGE, **SEEDED, KEY: "…"},
            id="models that cannot reason are asked plainly",
        ),
        pytest.param(
            GeminiLLM, None, {"max_tokens": 512, **USAGE, **SEEDED}, id="Gemini is asked plainly"
        ),
        pytest.param(
            DeepSeekLLM,
            None,
            {"max_tokens": 512, **USAGE, **SEEDED, **THOUGHTLESS},
            id="DeepSeek would think with all of max_tokens",
        ),
        pytest.param(
            XAILLM, None, {"max_tokens": 512, **USAGE, **SEEDED}, id="xAI is asked plainly"
        ),
    ],
)
def test_each_vendor_is_written_to_in_its_words(kind: Any, model: str | None, sent: Json) -> None:
    """The bytes for a typical request are those that the vendor documents, and no more."""
    assert written(kind, model) == sent


@pytest.mark.parametrize(
    ("model", "refuses_temperature", "is_told_not_to_reason"),
    [
        ("o1", True, False),
        ("o3-mini", True, False),
        ("gpt-5", True, False),
        ("gpt-5-nano", True, False),
        ("gpt-5.1", False, True),
        ("gpt-5.6-luna", False, True),
        ("gpt-6", False, True),
        ("gpt-4o", False, False),
        ("gpt-4.1", False, False),
        ("ft:gpt-5:me", False, False),
        ("omni-1", False, False),
    ],
)
def test_openais_families_are_known_by_name(
    model: str, *, refuses_temperature: bool, is_told_not_to_reason: bool
) -> None:
    """What a model refuses or must be told follows from the beginning of its name."""
    sent = written(OpenAILLM, model)
    assert ("temperature" not in sent) is refuses_temperature
    assert ("reasoning_effort" in sent) is is_told_not_to_reason


@pytest.mark.parametrize(
    ("kind", "forms"),
    [
        (MistralLLM, ("schema", "tools", "json", "text")),
        (OpenAILLM, ("schema", "tools", "json", "text")),
        (GeminiLLM, ("schema", "tools", "json", "text")),
        (DeepSeekLLM, ("tools", "json", "text")),
        (XAILLM, ("schema", "tools", "json", "text")),
    ],
)
def test_each_vendor_has_its_best_form_first(kind: Any, forms: tuple[str, ...]) -> None:
    """A vendor is not asked in a form that it is known to refuse."""
    assert kind.provider.dialect.forms == forms


def test_metas_own_sdk_has_its_own_limit() -> None:
    """Its native dialect knows the limit by OpenAI's newer name alone."""
    body = LlamaSdkTransport.dialect.body(request())
    assert body["max_completion_tokens"] == 512
    assert "max_tokens" not in body
