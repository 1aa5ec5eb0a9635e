"""The OpenAI chat dialect: what we write, and what we make of everything servers answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.config import LLMConfig
from reflexarc.errors import LLMError, ServerError, quote
from reflexarc.llm import Request
from reflexarc.providers.chat import read_event, read_reply
from reflexarc.providers.dialect import Dialect
from reflexarc.providers.failure import read_error, retry_after_s
from reflexarc.providers.sse import EventParser, ServerEvent
from reflexarc.types import (
    DeclinedDelta,
    Json,
    Message,
    ServedBy,
    Stop,
    TextDelta,
    ToolCallDelta,
    Usage,
    Wire,
)

WIRE = Path(__file__).parents[1] / "data" / "wire"
MANIFEST: dict[str, Json] = json.loads((WIRE / "manifest.json").read_text())["files"]
SCHEMA = {"type": "object"}
TOOLS: list[Json] = [{"type": "function", "function": {"name": "move"}}]


def request(config: Json | None = None, **held: Any) -> Request:
    """A request with one message."""
    settings = LLMConfig.model_validate({"type": "LlamaLLM"} | (config or {}))
    return Request("m", (Message("system", "Be Spot."), Message("user", "sit!")), settings, **held)


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
        pytest.param(request(schema=SCHEMA), {"response_format": FORMAT}, id="schema"),
        pytest.param(request(tools=TOOLS), {"tools": TOOLS, "tool_choice": "required"}, id="tools"),
        pytest.param(
            request(json_object=True), {"response_format": {"type": "json_object"}}, id="json"
        ),
        pytest.param(request(grammar="root ::= x"), {"grammar": "root ::= x"}, id="grammar"),
        pytest.param(
            request({"extra_params": {"seed": 1, "max_tokens": 9}}),
            {"seed": 1, "max_tokens": 9},
            id="extra_params are stronger",
        ),
    ],
)
def test_writes_the_request(asked: Request, added: Json) -> None:
    """Each field of a request is in the body where the dialect has it, and nothing else is."""
    assert Dialect().body(asked) == BASE | added


def test_writes_the_request_as_the_vendor_spells_it() -> None:
    """A vendor's own names replace the common ones."""
    dialect = Dialect(max_tokens="max_completion_tokens", stream_usage=False, must_call="any")
    body = dialect.body(request(tools=TOOLS))
    assert body.keys() == {
        "model", "messages", "stream", "max_completion_tokens", "tools", "tool_choice",
    }  # fmt: skip
    assert (body["max_completion_tokens"], body["tool_choice"]) == (512, "any")


def test_leaves_the_configuration_as_it_is() -> None:
    """Nothing that is written for one request reaches the next one."""
    asked = request({"extra_params": {"seed": 1}})
    Dialect().body(asked)["seed"] = 2
    assert Dialect().body(asked)["seed"] == 1


def read_sample(name: str) -> list[Wire]:
    """All pieces of a recorded reply."""
    data = (WIRE / name).read_bytes()
    if not name.endswith(".sse"):
        return read_reply(json.loads(data))
    parser = EventParser()
    events = [*parser.feed(data), *parser.close()]
    return [piece for event in events for piece in read_event(event)]


ACTIONS = (
    '{"actions":[{"type":"emotion","value":"happy"},'
    '{"type":"speak","value":"Hello, I am Spot!"},{"type":"move","value":"sit"}]}'
)
PRETTY = json.dumps(
    {"actions": [{"type": "speak", "value": v} for v in ("sad", "happy")]}, indent=2
)


@pytest.mark.parametrize(
    ("name", "text", "stop", "usage", "model"),
    [
        ("deepseek_stream.sse", ACTIONS, "stop", Usage(210, 50, 192), "deepseek-flash"),
        ("faults/bom.sse", ACTIONS, "stop", None, "mistral-small-latest"),
        ("faults/comments_ids_retry.sse", ACTIONS, "stop", None, "mistral-small-latest"),
        ("faults/content_list_text.json", ACTIONS, "stop", Usage(1, 1), "m"),
        ("faults/crlf_nospace.sse", ACTIONS, "stop", None, "mistral-small-latest"),
        ("faults/empty_choices.json", "", None, Usage(1, 0), "m"),
        ("faults/no_done.sse", ACTIONS, "stop", None, "mistral-small-latest"),
        ("faults/no_finish_done.sse", ACTIONS, "unmarked", None, "mistral-small-latest"),
        ("faults/null_content.json", "", "stop", Usage(1, 1), "m"),
        ("llamacpp_chat.json", PRETTY, "stop", Usage(67, 64, 66), "smollm2-135m"),
        ("llamacpp_ping.sse", "<|im", "length", None, "gemma-3-270m"),
        ("llamacpp_stream.sse", PRETTY, "stop", None, "smollm2-135m"),
        ("llamacpp_stream_length.sse", PRETTY[:20], "length", None, "smollm2-135m"),
        ("llamacpp_stream_usage.sse", PRETTY, "stop", Usage(67, 64, 66), "smollm2-135m"),
        ("llamacpp_stream_utf8.sse", "café 🤖🦾", "stop", None, "smollm2-135m"),
        ("mistral_chat.json", ACTIONS, "stop", Usage(210, 41, 128), "mistral-small-latest"),
        (
            "mistral_chat_length.json",
            ACTIONS[:60], "length", Usage(210, 16), "mistral-small-latest",
        ),
        ("mistral_chat_thinking.json", ACTIONS, "stop", Usage(210, 80), "mistral-large-4"),
        ("mistral_stream.sse", ACTIONS, "stop", Usage(210, 41, 128), "mistral-small-latest"),
        (
            "mistral_stream_emptychoices.sse",
            ACTIONS, "stop", Usage(210, 41), "mistral-small-latest",
        ),
        ("mistral_stream_thinking.sse", ACTIONS, "stop", Usage(210, 90), "magistral-medium-latest"),
        ("ollama_midstream_lost_error.sse", '{"act', None, None, "llama3.2"),
        ("ollama_stream.sse", ACTIONS, "stop", None, "llama3.2"),
        ("openai_chat.json", ACTIONS, "stop", Usage(210, 41, 128), "gpt-5.6-luna"),
        (
            "openai_content_filter.json",
            '{"actions":[{"type":"speak","value":"', "filter", Usage(100, 9), "gpt-5.6-luna",
        ),
        ("openai_stream.sse", ACTIONS, "stop", Usage(210, 41), "gpt-5.6-luna"),
        ("vllm_stream.sse", ACTIONS, "stop", Usage(210, 41), "mistralai/Ministral-8B"),
        ("xai_stream.sse", ACTIONS, "stop", Usage(210, 41, 192), "grok-4.7"),
    ],
)  # fmt: skip
def test_reads_what_servers_answer(
    name: str, text: str, stop: str | None, usage: Usage | None, model: str
) -> None:
    """Text without thinking, the reason of the end, counts and the model are found in any reply."""
    pieces = read_sample(name)
    stops = [piece.reason for piece in pieces if isinstance(piece, Stop)]
    usages = [piece for piece in pieces if isinstance(piece, Usage)]
    assert "".join(piece.text for piece in pieces if isinstance(piece, TextDelta)) == text
    assert (stops[0] if stops else None) == stop
    assert usages == ([usage] if usage else [])
    assert {piece.model for piece in pieces if isinstance(piece, ServedBy)} == {model}


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        (
            "faults/tool_args_object.json",
            [ToolCallDelta("speak", {"sentence": "Hello!"}, None, "aaaaaaaaa")],
        ),
        (
            "gemini_toolcall_stream.sse",
            [ToolCallDelta("speak", '{"sentence":"Hello!"}', None, "function-call-1")],
        ),
        (
            "llamacpp_toolcall.json",
            [
                ToolCallDelta(
                    "speak",
                    '{"sentence": "hello, jump"}',
                    None,
                    "WbLXl4JMWJ9MOAKKY5ZltDWsUL8Mu4nI",
                )
            ],
        ),
        (
            "mistral_toolcall_stream.sse",
            [
                ToolCallDelta("speak", '{"sentence": "Hello!"}', 0, "gSIMJ4OkT"),
                ToolCallDelta("move", '{"action": "sit"}', 1, "Zx81bQw0p"),
            ],
        ),
        (
            "mistral_toolcall_stream_relay.sse",
            [
                ToolCallDelta("speak", "", 0, "chatcmpl-tool-9f149c74c42f265b"),
                ToolCallDelta("", '{"sentence": ', 0),
                ToolCallDelta("", '"Hello!"}', 0),
            ],
        ),
        (
            "openai_toolcall_stream.sse",
            [
                ToolCallDelta("speak", "", 0, "call_Abc123def456"),
                ToolCallDelta("", '{"sen', 0),
                ToolCallDelta("", 'tence":"Hello!"}', 0),
                ToolCallDelta("move", "", 1, "call_Def789ghi012"),
                ToolCallDelta("", '{"action":"sit"}', 1),
            ],
        ),
    ],
)
def test_reads_tool_calls(name: str, calls: list[ToolCallDelta]) -> None:
    """Pieces of tool calls are handed up with what they have, whatever they leave out."""
    assert [p for p in read_sample(name) if isinstance(p, ToolCallDelta)] == calls


@pytest.mark.parametrize(
    ("name", "kind", "status", "said"),
    [
        ("faults/error_event.sse", "server", 500, "server_is_overloaded"),
        ("faults/error_in_200.json", "server", 500, "upstream failed"),
        ("llama_native_stream.sse", "bad_output", None, "no choices"),
        ("llamacpp_midstream_error.sse", "server", 500, "peg-native format"),
        ("openrouter_stream.sse", "server", 502, "Provider disconnected"),
        ("vllm_midstream_error.sse", "server", 500, "EngineCore"),
    ],
)
def test_reads_failures_inside_a_reply(name: str, kind: str, status: int | None, said: str) -> None:
    """Status 200 is no success: an error anywhere in a reply is raised as one."""
    with pytest.raises(LLMError, match=said) as caught:
        read_sample(name)
    assert (caught.value.kind, caught.value.status) == (kind, status)


KINDS = {
    "anthropic_529.json": "server",
    "deepseek_402.json": "quota",
    "deepseek_503.json": "server",
    "gateway_502.html": "server",
    "gemini_400.json": "bad_request",
    "gemini_429.json": "rate_limited",
    "gemini_503.json": "unavailable",
    "llamacpp_400_badjson.json": "bad_request",
    "llamacpp_400_context.json": "context_overflow",
    "llamacpp_400_grammar.json": "bad_request",
    "llamacpp_400_rf_type.json": "bad_request",
    "llamacpp_400_schema.json": "bad_request",
    "llamacpp_400_toolchoice_any.json": "bad_request",
    "llamacpp_401.json": "auth",
    "llamacpp_404.json": "unavailable",
    "llamacpp_500_format.json": "server",
    "llamacpp_501.json": "server",
    "llamacpp_503_loading.json": "loading",
    "lmstudio_400_rf.json": "bad_request",
    "mistral_400_invalid_model.json": "unavailable",
    "mistral_400_lastrole.json": "bad_request",
    "mistral_400_order.json": "bad_request",
    "mistral_400_toolid.json": "bad_request",
    "mistral_401_detail.json": "auth",
    "mistral_401_gateway.json": "auth",
    "mistral_403.json": "auth",
    "mistral_404.json": "unavailable",
    "mistral_422_detail.json": "bad_request",
    "mistral_422_extra.json": "bad_request",
    "mistral_429.json": "rate_limited",
    "mistral_429_capacity.json": "server",
    "mistral_500.json": "server",
    "mistral_503.json": "unavailable",
    "ollama_404.json": "unavailable",
    "openai_400_max_tokens.json": "bad_request",
    "openai_400_temperature.json": "bad_request",
    "openai_400_tools_effort.json": "bad_request",
    "openai_401.json": "auth",
    "openai_404.json": "unavailable",
    "openai_429_quota.json": "quota",
    "openai_429_rate.json": "rate_limited",
    "openai_500.json": "server",
    "openai_503.json": "server",
    "openmind_402.json": "quota",
    "tgi_422.json": "context_overflow",
    "tgi_429.json": "rate_limited",
    "vllm_400.json": "context_overflow",
    "vllm_400_old.json": "context_overflow",
    "vllm_404.json": "unavailable",
    "xai_400_key.json": "auth",
    "xai_403_policy.json": "refused",
}


def test_knows_every_error_sample() -> None:
    """An error sample without a kind, or a kind without a sample, is a hole in the table below."""
    assert KINDS.keys() == {path.name for path in (WIRE / "errors").iterdir()}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_understands_errors(name: str, kind: str) -> None:
    """Each server's error has its kind, its status and the server's words, and says what to do."""
    text = (WIRE / "errors" / name).read_text()
    status: int = MANIFEST[f"errors/{name}"]["status"]
    body = json.loads(text) if name.endswith(".json") else text
    error = read_error(status, {}, body)
    assert error.kind == kind
    assert error.status == status
    assert error.retry_after_s == (27.0 if name == "gemini_429.json" else None)
    assert "<" not in error.message
    assert "\n" not in error.message
    words = error.message.partition(": ")[2]
    assert len(words) > 10 or name == "gateway_502.html"
    assert ";" in error.message  # what happened; what to do


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (301, "unavailable", False),
        (307, "unavailable", False),
        (400, "bad_request", False),
        (401, "auth", False),
        (402, "quota", False),
        (403, "auth", False),
        (404, "unavailable", False),
        (405, "bad_request", False),
        (408, "server", True),
        (410, "unavailable", False),
        (413, "context_overflow", False),
        (422, "bad_request", False),
        (429, "rate_limited", True),
        (500, "server", True),
        (502, "server", True),
        (503, "unavailable", True),
        (520, "server", True),
        (529, "server", True),
    ],
)
def test_a_status_alone_has_a_kind(status: int, kind: str, *, retryable: bool) -> None:
    """Without a word from the server, the status says what failed and whether to ask again."""
    for body in (None, "", "<html>", {}, [], 7, {"error": None}):
        error = read_error(status, {}, body)
        assert (error.kind, error.retryable) == (kind, retryable)
        assert f"status {status}" in error.message


DATE = "Sun, 22 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 7 "}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "86400"}, 86_400.0),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "-1", "retry-after": "7"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "7"}, 7.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:27 GMT", "date": DATE}, 27.0),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:27 +0100", "date": DATE}, 27.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:27 -0000", "date": DATE}, 27.0),
        ({"retry-after": "Sunday, 22-Nov-26 10:00:27 GMT", "date": DATE}, 27.0),
        ({"retry-after": "Sun Nov 22 10:00:27 2026", "date": DATE}, 27.0),
        ({"retry-after": "Sun, 22 Nov 2026 09:00:00 GMT", "date": DATE}, 0.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:27 GMT"}, None),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:27 GMT", "date": "today"}, None),
        ({"retry-after": "Sun, 99 Nov 2026 10:00:27 GMT", "date": DATE}, None),
    ],
)
def test_reads_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """Retry-After is understood in every form; a date counts by the server's clock, not ours."""
    assert retry_after_s(headers) == seconds
    assert read_error(429, headers, None).retry_after_s == seconds


@pytest.mark.parametrize("name", ["x-request-id", "mistral-correlation-id"])
def test_keeps_the_request_id(name: str) -> None:
    """The id that a vendor's support asks for is kept."""
    assert read_error(500, {name: "abc"}, None).request_id == "abc"


HTML = "<!DOCTYPE html>\n<html><body><h1>Sign in</h1></body></html>"


@pytest.mark.parametrize(
    "body",
    [
        HTML,
        f"\n\n  {HTML}",
        {"error": HTML},
        {"error": {"message": HTML}},
        {"detail": HTML},
        [HTML],
    ],
)
def test_html_is_in_no_message(body: object) -> None:
    """A web page where an answer should be is no text for people."""
    error = read_error(502, {}, body)
    assert "<" not in error.message
    assert "Sign in" not in error.message


@pytest.mark.parametrize(
    ("data", "pieces"),
    [
        ("[DONE]", [Stop("unmarked")]),
        (" [DONE] ", [Stop("unmarked")]),
        ('"[DONE]"', [Stop("unmarked")]),
        ("", []),
        ("  ", []),
    ],
)
def test_reads_the_end_mark_loosely(data: str, pieces: list[Wire]) -> None:
    """The end mark may have quotes and space around it, and an empty event is none."""
    assert read_event(ServerEvent("message", data)) == pieces


@pytest.mark.parametrize(
    "data",
    ["DONE", "{", "{'a': 1}", "[" * 99_999, "7", "null", "[]", '"text"', "{}", '{"choices": null}'],
)  # fmt: skip
def test_what_is_no_reply_is_an_error(data: str) -> None:
    """An event that is not JSON, or JSON of another kind, is an unreadable answer and is quoted."""
    with pytest.raises(LLMError, match="the server") as caught:
        read_event(ServerEvent("message", data))
    assert caught.value.kind == "bad_output"
    assert len(caught.value.message) < 500


def test_an_event_named_error_is_one() -> None:
    """The name of an event says that it is an error, whatever it holds."""
    with pytest.raises(ServerError, match="no more"):
        read_event(ServerEvent("error", '{"message": "no more"}'))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("openai_refusal.json", ["I'm sorry, I cannot assist with that request."]),
        ("openai_refusal_stream.sse", ["I'm sorry,", " I cannot do that."]),
    ],
)
def test_reads_how_a_model_declines(name: str, said: list[str]) -> None:
    """The sentence by which a model declines is handed up in its pieces, and is no text."""
    pieces = read_sample(name)
    assert [piece.text for piece in pieces if isinstance(piece, DeclinedDelta)] == said
    assert not [piece for piece in pieces if isinstance(piece, TextDelta)]


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("stop", "stop"), ("tool_calls", "stop"), ("function_call", "stop"), ("eos", "stop"),
        ("length", "length"), ("model_length", "length"), ("content_filter", "filter"),
        ("error", "error"), ("insufficient_system_resource", "error"),
    ],
)  # fmt: skip
def test_reads_the_reason_of_the_end(reason: str, stop: str) -> None:
    """Every word servers use for the end means one of a few; an unknown one means done."""
    pieces = read_reply({"choices": [{"delta": {}, "finish_reason": reason}]})
    assert [piece.reason for piece in pieces if isinstance(piece, Stop)] == [stop]


@pytest.mark.parametrize("reason", [None, ""])
def test_no_reason_is_no_end(reason: str | None) -> None:
    """A chunk in the middle has a reason of null, an empty one, or none at all."""
    assert read_reply({"choices": [{"delta": {"content": ""}, "finish_reason": reason}]}) == []


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("a\n\t b", "a b"), ("x" * 300, "x" * 300), ("x" * 301, "x" * 299 + "…"), ("", "")],
)
def test_quotes_on_one_line(text: str, quoted: str) -> None:
    """A server's words are put on one line and shortened."""
    assert quote(text) == quoted


KEYS = """
    choices delta message content text type tool_calls function name arguments index id refusal
    finish_reason usage prompt_tokens completion_tokens prompt_tokens_details cached_tokens timings
    cache_n model error code detail object status
"""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_read_or_refused(reply: object) -> None:
    """Whatever JSON a server sends, it gives pieces of the right types or one of our errors."""
    for body in (reply, {"choices": [reply]}, {"choices": [{"delta": reply}]}):
        try:
            pieces = read_reply(body)
        except LLMError:
            continue
        for piece in pieces:
            if isinstance(piece, TextDelta):
                assert isinstance(piece.text, str)
            elif isinstance(piece, ToolCallDelta):
                assert isinstance(piece.name, str)
                assert isinstance(piece.arguments, str | dict)
                assert isinstance(piece.index, int | None)
                assert isinstance(piece.id, str | None)
            elif isinstance(piece, Usage):
                counts = (piece.prompt_tokens, piece.completion_tokens, piece.cached_tokens)
                assert all(isinstance(number, int) for number in counts)


@given(st.integers(100, 599), st.text(max_size=40), st.text(max_size=40), JSON)
def test_any_failure_is_understood(status: int, after: str, date: str, body: object) -> None:
    """Whatever a server answers to a request it does not like, it becomes one of our errors."""
    error = read_error(status, {"retry-after": after, "date": date}, body)
    assert isinstance(error, LLMError)
    assert error.retry_after_s is None or error.retry_after_s >= 0
