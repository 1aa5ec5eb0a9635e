"""What servers say when they fail, in every envelope in use, is one of our errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.errors import BadRequestError, LLMError
from reflexarc.providers.failure import read_error, retry_after_s
from reflexarc.types import Json

WIRE = Path(__file__).parents[1] / "data" / "wire"
MANIFEST: dict[str, Json] = json.loads((WIRE / "manifest.json").read_text())["files"]


def read_sample(name: str) -> LLMError:
    """The error that a sample is."""
    text = (WIRE / name).read_text()
    body = json.loads(text) if name.endswith(".json") else text
    return read_error(MANIFEST[name]["status"], {}, body)


KINDS = {
    "errors/anthropic_529.json": "server",
    "errors/deepseek_402.json": "quota",
    "errors/deepseek_503.json": "server",
    "errors/gateway_502.html": "server",
    "errors/gemini_400.json": "bad_request",
    "errors/gemini_429.json": "rate_limited",
    "errors/gemini_503.json": "unavailable",
    "errors/llamacpp_400_badjson.json": "bad_request",
    "errors/llamacpp_400_context.json": "context_overflow",
    "errors/llamacpp_400_grammar.json": "bad_request",
    "errors/llamacpp_400_rf_type.json": "bad_request",
    "errors/llamacpp_400_schema.json": "bad_request",
    "errors/llamacpp_400_toolchoice_any.json": "bad_request",
    "errors/llamacpp_401.json": "auth",
    "errors/llamacpp_404.json": "unavailable",
    "errors/llamacpp_500_format.json": "server",
    "errors/llamacpp_501.json": "server",
    "errors/llamacpp_503_loading.json": "loading",
    "errors/lmstudio_400_rf.json": "bad_request",
    "errors/mistral_400_invalid_model.json": "unavailable",
    "errors/mistral_400_lastrole.json": "bad_request",
    "errors/mistral_400_order.json": "bad_request",
    "errors/mistral_400_toolid.json": "bad_request",
    "errors/mistral_401_detail.json": "auth",
    "errors/mistral_401_gateway.json": "auth",
    "errors/mistral_403.json": "auth",
    "errors/mistral_404.json": "unavailable",
    "errors/mistral_422_detail.json": "bad_request",
    "errors/mistral_422_extra.json": "bad_request",
    "errors/mistral_429.json": "rate_limited",
    "errors/mistral_429_capacity.json": "server",
    "errors/mistral_500.json": "server",
    "errors/mistral_503.json": "unavailable",
    "errors/ollama_404.json": "unavailable",
    "errors/openai_400_max_tokens.json": "bad_request",
    "errors/openai_400_temperature.json": "bad_request",
    "errors/openai_400_tools_effort.json": "bad_request",
    "errors/openai_401.json": "auth",
    "errors/openai_404.json": "unavailable",
    "errors/openai_429_quota.json": "quota",
    "errors/openai_429_rate.json": "rate_limited",
    "errors/openai_500.json": "server",
    "errors/openai_503.json": "server",
    "errors/openmind_402.json": "quota",
    "errors/tgi_422.json": "context_overflow",
    "errors/tgi_429.json": "rate_limited",
    "errors/vllm_400.json": "context_overflow",
    "errors/vllm_400_old.json": "context_overflow",
    "errors/vllm_404.json": "unavailable",
    "errors/xai_400_key.json": "auth",
    "errors/xai_403_policy.json": "refused",
    "refusals/deepseek_400_format.json": "bad_request",
    "refusals/deepseek_400_json_word.json": "bad_request",
    "refusals/deepseek_401.json": "auth",
    "refusals/gemini_400_auth.json": "auth",
    "refusals/gemini_400_field.json": "bad_request",
    "refusals/gemini_400_key.json": "auth",
    "refusals/llama_native_400.json": "bad_request",
    "refusals/llama_native_401.json": "auth",
    "refusals/llamacpp_400_grammar_tools.json": "bad_request",
    "refusals/lmstudio_400_toolchoice.json": "bad_request",
    "refusals/mistral_400_count.json": "bad_request",
    "refusals/ollama_400_messages.json": "bad_request",
    "refusals/openai_400_json_word.json": "bad_request",
    "refusals/openai_400_required.json": "bad_request",
    "refusals/openai_400_schema.json": "bad_request",
    "refusals/openai_400_tool_choice.json": "bad_request",
    "refusals/openai_400_unknown.json": "bad_request",
}


def test_knows_every_error_sample() -> None:
    """An error sample without a kind, or a kind without a sample, is a hole in the table below."""
    paths = [*(WIRE / "errors").iterdir(), *(WIRE / "refusals").iterdir()]
    assert KINDS.keys() == {str(path.relative_to(WIRE)) for path in paths}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_understands_errors(name: str, kind: str) -> None:
    """Each server's error has its kind, its status and the server's words, and says what to do."""
    error = read_sample(name)
    assert error.kind == kind
    assert error.status == MANIFEST[name]["status"]
    assert error.retry_after_s == (27.0 if name == "errors/gemini_429.json" else None)
    assert "<" not in error.message
    assert "\n" not in error.message
    words = error.message.partition(": ")[2]
    assert len(words) > 10 or name == "errors/gateway_502.html"
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


# --- what says more than the status -------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("insufficient_quota", "quota"),
        ("context_length_exceeded", "context_overflow"),
        ("exceed_context_size_error", "context_overflow"),
        ("invalid_api_key", "auth"),
        ("API_KEY_INVALID", "auth"),
        ("authentication_error", "auth"),
        ("invalid_model", "unavailable"),
        ("model_not_found", "unavailable"),
        ("unavailable_error", "loading"),
        ("rate_limit_exceeded", "rate_limited"),
        ("server_is_overloaded", "server"),
        ("overloaded_error", "server"),
        ("service_tier_capacity_exceeded", "server"),
        ("service_unavailable_error", "server"),
        ("content_policy_violation", "refused"),
        ("content_filter", "refused"),
    ],
)
@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_code_says_more_than_the_status(code: str, kind: str, status: int) -> None:
    """Wherever an envelope has its code, the code decides, and is named in the message."""
    for body in (
        {"error": {"message": "Oh.", "code": code}},
        {"error": {"message": "Oh.", "type": code, "code": None}},
        {"error": {"message": "Oh.", "type": "x", "code": code}},
        {"message": "Oh.", "type": code, "code": "1500"},
        {"error": "Oh.", "error_type": code},
        [{"error": {"code": status, "message": "Oh.", "status": code}}],
        {"error": {"message": "Oh.", "details": [{"reason": "x"}, {"reason": code}]}},
    ):
        error = read_error(status, {}, body)
        assert error.kind == kind
        assert error.message.startswith(f"the server says {code} (status {status}: Oh.); ")


@pytest.mark.parametrize("kind", ["unavailable", "loading"])
def test_what_loads_will_be_there_later(kind: str) -> None:
    """A model that is not known stays so; one that loads is worth another try, at any status."""
    code = {"unavailable": "model_not_found", "loading": "unavailable_error"}[kind]
    for status in (404, 503):
        error = read_error(status, {}, {"error": {"code": code}})
        assert error.kind == kind
        assert error.retryable is (kind == "loading" or status == 503)


PHRASES = [
    (400, "Incorrect API key provided: xa***.", "auth"),
    (400, "Invalid Authorization header.", "auth"),
    (400, "Content violates usage guidelines. Failed check: X", "refused"),
    (403, "Content violates usage guidelines. Failed check: X", "refused"),
    (400, "This model's maximum context length is 4096 tokens.", "context_overflow"),
    (422, "Input validation error: `inputs` must have less than 4096 tokens", "context_overflow"),
    (422, "`inputs` tokens + `max_new_tokens` must be <= 4096", "context_overflow"),
]


@pytest.mark.parametrize(("status", "said", "kind"), PHRASES)
def test_a_phrase_decides_where_there_is_no_code(status: int, said: str, kind: str) -> None:
    """Servers without codes are understood by their own words, at their own status alone."""
    assert read_error(status, {}, {"error": said}).kind == kind
    assert read_error(status, {}, {"error": {"message": said}}).kind == kind
    assert read_error(status, {}, {"error": said, "error_type": "invalid_model"}).kind != kind
    assert read_error(500, {}, {"error": said}).kind == "server"
    assert read_error(401, {}, {"error": said}).kind == "auth"


# --- which field --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("errors/gemini_400.json", ()),
        ("errors/llamacpp_400_grammar.json", ("grammar",)),
        ("errors/llamacpp_400_rf_type.json", ("response_format", "json_object")),
        ("errors/llamacpp_400_schema.json", ()),
        ("errors/llamacpp_400_toolchoice_any.json", ("tool_choice",)),
        ("errors/lmstudio_400_rf.json", ("response_format", "json_schema")),
        ("errors/mistral_400_order.json", ()),
        ("errors/mistral_422_detail.json", ("messages",)),
        ("errors/mistral_422_extra.json", ("stream_options",)),
        ("errors/openai_400_max_tokens.json", ("max_tokens",)),
        ("errors/openai_400_temperature.json", ("temperature",)),
        ("errors/openai_400_tools_effort.json", ("reasoning_effort",)),
        ("refusals/deepseek_400_format.json", ("response_format",)),
        ("refusals/deepseek_400_json_word.json", ("response_format", "json_object")),
        ("refusals/gemini_400_field.json", ("prompt_cache_key",)),
        ("refusals/llamacpp_400_grammar_tools.json", ("grammar",)),
        ("refusals/lmstudio_400_toolchoice.json", ("tool_choice",)),
        ("refusals/openai_400_json_word.json", ("messages",)),
        ("refusals/openai_400_schema.json", ("response_format",)),
        ("refusals/openai_400_tool_choice.json", ("tool_choice",)),
        ("refusals/openai_400_unknown.json", ()),
    ],
)
def test_knows_which_field_a_server_refuses(name: str, fields: tuple[str, ...]) -> None:
    """A field is known by data, else by its name in the sentence; no other word is one."""
    error = read_sample(name)
    assert isinstance(error, BadRequestError)
    assert error.fields == fields


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"error": {"param": "messages[0].content", "message": "top_p"}}, ("messages",)),
        ({"error": {"param": "tools.0.function", "message": ""}}, ("tools",)),
        ({"error": {"param": None, "message": "'top_p'; top_p or 'seed'?"}}, ("top_p", "seed")),
        ({"error": "a person said: bring the tools, the temperature is high"}, ()),
        ({"error": {"param": "", "message": "no"}}, ()),
        ({"error": {"param": 7, "message": "no"}}, ()),
        ({"detail": [{"loc": ["body", "seed"]}, {"loc": ["body", "top_k", 0]}]}, ("seed", "top_k")),
        ({"detail": [{"loc": ["body"]}, {"loc": "seeds"}, {}, 7]}, ()),
        ({"message": {"detail": [{"loc": ["body", "made_up"]}]}}, ("made_up",)),
        ({"error": {"message": {"detail": [{"loc": ["body", "stop"]}]}}}, ("stop",)),
        ({"error": "'temperature' is not for this model"}, ("temperature",)),
        ("Failed to deserialize: unknown field `stream_options` at line 1", ("stream_options",)),
        ("<html><body>stop seed</body></html>", ()),
        ({"error": "Temperature and tokens, model and messages: a stream."}, ()),
        (None, ()),
    ],
)  # fmt: skip
def test_reads_fields_in_every_envelope(body: object, fields: tuple[str, ...]) -> None:
    """OpenAI's `param`, FastAPI's `loc`, wherever it stands, and sentences."""
    error = read_error(422, {}, body)
    assert isinstance(error, BadRequestError)
    assert error.fields == fields


def test_only_a_bad_request_names_fields() -> None:
    """What is wrong with a key or an account is not mended by leaving out a field."""
    for status in (401, 402, 403, 404, 429, 500):
        error = read_error(status, {}, {"error": {"param": "seed", "message": "seed"}})
        assert not hasattr(error, "fields")


# --- how long to wait ---------------------------------------------------------------------------


def retry_info(*delays: object) -> list[Json]:
    """How Gemini says when to come back."""
    details: list[Json] = [{"@type": "Help"}, *({"retryDelay": delay} for delay in delays)]
    return [{"error": {"code": 429, "message": "Quota.", "details": details}}]


@pytest.mark.parametrize(
    ("delays", "seconds"),
    [
        (["27s"], 27.0),
        (["0.5s"], 0.5),
        (["-3s"], 0.0),
        (["3"], 3.0),
        (["soon"], None),
        ([7], None),
        ([None, "9s"], 9.0),
        (["infs"], None),
        ([], None),
    ],
)
def test_reads_how_long_to_wait_in_the_body(delays: list[object], seconds: float | None) -> None:
    """Gemini's delay counts where no header says how long; a header is stronger."""
    body = retry_info(*delays)
    assert read_error(429, {}, body).retry_after_s == seconds
    assert read_error(429, {"retry-after": "5"}, body).retry_after_s == 5.0
    assert read_error(429, {"retry-after": "0"}, body).retry_after_s == 0.0


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


KEYS = "error message code type status error_type detail details reason param loc retryDelay object"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.integers(100, 599), st.text(max_size=40), st.text(max_size=40), JSON)
def test_any_failure_is_understood(status: int, after: str, date: str, body: object) -> None:
    """Whatever a server answers to a request it does not like, it becomes one of our errors."""
    error = read_error(status, {"retry-after": after, "date": date}, body)
    assert isinstance(error, LLMError)
    assert error.retry_after_s is None or error.retry_after_s >= 0
