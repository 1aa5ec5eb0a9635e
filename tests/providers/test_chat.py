"""The OpenAI chat dialect: what we make of everything servers answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.errors import LLMError, ServerError, quote
from reflexarc.providers.chat import read_event, read_reply
from reflexarc.providers.sse import EventParser, ServerEvent
from reflexarc.types import (
    DeclinedDelta,
    ServedBy,
    Stop,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
    Usage,
    Wire,
)

WIRE = Path(__file__).parents[1] / "data" / "wire"


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
        ("deepseek_unthinking_stream.sse", ACTIONS, "stop", Usage(374, 61, 256), "deepseek-flash"),
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
        ("tgi_stream.sse", ACTIONS, "stop", None, "meta-llama/Llama-3.1-8B-Instruct"),
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
            "deepseek_toolcall_stream.sse",
            [
                ToolCallDelta("speak", "", 0, "call_00_IhCAliIHtM9gKpgfqbBV9870"),
                ToolCallDelta("", '{"sentence": ', 0),
                ToolCallDelta("", '"Hello!"}', 0),
                ToolCallDelta("move", "", 1, "call_00_IhCAliIHtM9gKpgfqbBV9871"),
                ToolCallDelta("", '{"action": ', 1),
                ToolCallDelta("", '"sit"}', 1),
            ],
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
        (
            "tgi_toolcall_stream.sse",
            [
                ToolCallDelta("move", "", 0, ""),
                ToolCallDelta("move", '{"action":', 0, ""),
                ToolCallDelta("move", ' "sit"}', 0, ""),
            ],
        ),
        (
            "xai_toolcall_stream.sse",
            [
                ToolCallDelta("speak", '{"sentence": "Hello!"}', 0, "call_55117580"),
                ToolCallDelta("move", '{"action": "sit"}', 1, "call_55117581"),
            ],
        ),
    ],
)
def test_reads_tool_calls(name: str, calls: list[ToolCallDelta]) -> None:
    """Pieces of tool calls are handed up with what they have, whatever they leave out."""
    assert [p for p in read_sample(name) if isinstance(p, ToolCallDelta)] == calls


@pytest.mark.parametrize(
    ("name", "thought"),
    [
        ("deepseek_stream.sse", "Greet back."),
        ("deepseek_unthinking_stream.sse", ""),
        ("mistral_chat_thinking.json", "The person greets me, so I greet back and sit."),
        ("mistral_stream_thinking.sse", "Someone says hello."),
        ("openai_stream.sse", ""),
        ("xai_stream.sse", "Hm"),
    ],
)
def test_reads_thoughts_apart(name: str, thought: str) -> None:
    """What a model thinks is handed up, in whichever field it comes, and is no text."""
    pieces = read_sample(name)
    assert "".join(piece.text for piece in pieces if isinstance(piece, ThoughtDelta)) == thought


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_a_thought_has_one_of_two_names(field: str) -> None:
    """DeepSeek's name of the field, and OpenRouter's; an empty one is none."""
    for thought, pieces in (("Hm", [ThoughtDelta("Hm")]), ("", []), (None, [])):
        delta = {field: thought, "content": None}
        assert read_reply({"choices": [{"delta": delta, "finish_reason": None}]}) == pieces


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


@pytest.mark.parametrize(
    ("number", "expected"),
    [("210", 210), ("210.0", 210), ("-5", 0), ("1e999", 0), ('"9"', 0), ("null", 0)]
    + [("1" + "0" * digits, 0) for digits in (13, 400, 4000)],
)
def test_a_count_that_tokens_cannot_have_is_none(number: str, expected: int) -> None:
    """What adds counts up, or writes them down, need not look at them again."""
    data = f'{{"choices":[],"usage":{{"prompt_tokens":{number},"completion_tokens":3}}}}'
    assert Usage(expected, 3) in read_event(ServerEvent("message", data))
