"""What each emulated server refuses, and its own words for it, as data.

Sources, read 2026-11: (W) a sample in tests/data/wire/errors; (I) a public issue or repository,
named; (M) memory alone, which is likely and not certain. One rule is ours: every server is made to
refuse an empty conversation and unknown roles, though llama.cpp takes both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from reflexarc.testing.rules import Order, Refusal, Rules
from reflexarc.types import Json

_WORDS = "{message}"  # of a rule without any of the server's own
_STANDARD = frozenset({"text", "json_object", "json_schema"})


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _envelope(
    message: str,
    code: object = None,
    type_: str = "invalid_request_error",
    *,
    param: str | None = None,
    status: int = 400,
) -> Refusal:
    """OpenAI's own; DeepSeek and Ollama have it, too."""
    error = {"message": message, "type": type_, "param": param, "code": code}
    return Refusal(status, {"error": error})


# --- Mistral: the fields are those of mistralai 3.7.0; the order, and the words, mistral-common's.


def _mistral(message: object, type_: str, code: str | None = None, status: int = 400) -> Refusal:
    error = {"object": "error", "message": message, "type": type_, "param": None, "code": code}
    return Refusal(status, error | {"raw_status_code": status})


def _mistral_order(message: str) -> Refusal:
    return _mistral(message, "invalid_request_message_order", "3230")


def _detail(type_: str, message: str, field: str = "{field}") -> Json:
    where = ["body", field]
    return {"detail": [{"type": type_, "loc": where, "msg": message, "input": "{value}"}]}


_MISTRAL = Rules(
    refusals={
        "bad_key": Refusal(401, {"detail": "Unauthorized"}),  # (W) mistral_401_detail
        "missing": Refusal(422, _detail("missing", "Field required")),  # (W) mistral_422_detail
        "field": _mistral(  # (W) mistral_422_extra
            _detail("extra_forbidden", "Extra inputs are not permitted"),
            "invalid_request_error",
            status=422,
        ),
        "tool_choice": Refusal(  # (M)
            422,
            _detail("enum", "Input should be 'auto', 'none', 'any' or 'required'", "tool_choice"),
        ),
        # (W) mistral_400_order, _lastrole, _toolid; the rest mistral-common, its code (I) and (M).
        "order": _mistral_order("Unexpected role '{role}' after role '{before}'"),
        "last": _mistral_order(
            "Expected last role User or Tool (or Assistant with prefix True) for serving but got "
            "{role}"
        ),
        "alone": _mistral_order("Conversation must start with a user message or system message"),
        "count": _mistral_order("Not the same number of function calls and responses"),
        "empty": _mistral_order(
            "Assistant message must have either content or tool_calls, but not both."
        ),
        "call_id": _mistral(
            "Tool call id was {id} but must be a-z, A-Z, 0-9, with a length of 9.",
            "invalid_function_call",
            "3280",
        ),
        "other": _mistral(_WORDS, "invalid_request_error"),  # (M)
    },
    fields=_words(
        """
        model messages temperature top_p max_tokens min_tokens stream stop random_seed metadata
        response_format tools tool_choice parallel_tool_calls presence_penalty frequency_penalty
        repetition_penalty top_k logprobs top_logprobs prompt_logprobs top_prompt_logprobs n
        prediction reasoning_effort prompt_mode guardrails prompt_cache_key service_tier
        safe_prompt
        """
    ),
    order=Order(
        alone=frozenset({"user", "system"}),
        last=frozenset({"user", "tool"}),
        after={
            "system": frozenset({"user", "assistant", "system"}),
            "user": frozenset({"assistant", "system", "user"}),
            "assistant": frozenset({"assistant", "user", "tool"}),
            "tool": frozenset({"assistant", "tool"}),
        },
    ),
    call_id=re.compile(r"[a-zA-Z0-9]{9}"),
    tool_choices=frozenset({"auto", "none", "any", "required"}),
)

# --- OpenAI: the fields are those of its SDK (M).

_OPENAI = Rules(
    refusals={
        "bad_key": _envelope(  # (W) openai_401
            "Incorrect API key provided: {start}****{end}.", "invalid_api_key", status=401
        ),
        "no_key": _envelope(  # (I) continue#10931; its code (M)
            "You didn't provide an API key. You need to provide your API key in an Authorization "
            "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            status=401,
        ),
        "missing": _envelope(  # (M)
            "Missing required parameter: '{field}'.", "missing_required_parameter", param="{field}"
        ),
        "field": _envelope("Unrecognized request argument supplied: {field}"),  # (I) as quoted
        "max_tokens": _envelope(  # (W) openai_400_max_tokens
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            "unsupported_parameter",
            param="max_tokens",
        ),
        "temperature": _envelope(  # (W) openai_400_temperature
            "Unsupported value: 'temperature' does not support {value} with this model. Only the "
            "default (1) value is supported.",
            "unsupported_value",
            param="temperature",
        ),
        "tool_choice": _envelope(  # (I) maximhq/bifrost
            "Invalid value: '{value}'. Supported values are: 'none', 'auto', and 'required'.",
            "invalid_value",
            param="tool_choice",
        ),
        "format": _envelope(  # (M)
            "Invalid value: '{value}'. Supported values are: 'json_object', 'json_schema', and "
            "'text'.",
            "invalid_value",
            param="response_format.type",
        ),
        "json_word": _envelope(  # (I) as quoted
            "'messages' must contain the word 'json' in some form, to use 'response_format' of "
            "type 'json_object'.",
            param="messages",
        ),
        "schema": _envelope(  # (I) outlines#1666
            "Invalid schema for response_format '{name}': {flaw}", param="response_format"
        ),
        "parameters": _envelope(  # (I) as quoted; its code (M)
            "Invalid schema for function '{name}': {flaw}",
            "invalid_function_parameters",
            param="tools[{number}].function.parameters",
        ),
        "other": _envelope(_WORDS),
    },
    roles=frozenset({"system", "developer", "user", "assistant", "tool", "function"}),
    fields=_words(
        """
        model messages audio frequency_penalty function_call functions logit_bias logprobs
        max_completion_tokens max_tokens metadata modalities n parallel_tool_calls prediction
        presence_penalty prompt_cache_key prompt_cache_retention reasoning_effort
        response_format safety_identifier seed service_tier stop store stream stream_options
        temperature tool_choice tools top_logprobs top_p user verbosity web_search_options
        """
    ),
    fixed=re.compile(r"gpt-[56]|o\d"),  # (I) 9router#560; that it is these names (M)
    says_json=True,
    closed_schemas=True,
)

# --- Gemini


def _gemini(message: str, *details: Json) -> Refusal:
    error: Json = {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}
    return Refusal(400, [{"error": error | ({"details": list(details)} if details else {})}])


_UNKNOWN_NAME = 'Invalid JSON payload received. Unknown name "{field}": Cannot find field.'
_GEMINI = Rules(
    refusals={
        "no_key": _gemini("Invalid Authorization header."),  # (I) vscode#260825
        "bad_key": _gemini(  # (I) oh-my-pi#449 for its other endpoint; as a list (M)
            "API key not valid. Please pass a valid API key.",
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": {"service": "generativelanguage.googleapis.com"},
            },
        ),
        "field": _gemini(  # (I) SkyrimNet-GamePlugin#77, cursor-byok#112
            _UNKNOWN_NAME,
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"description": _UNKNOWN_NAME}],
            },
        ),
        "body": _gemini("Invalid JSON payload received."),  # (W) gemini_400
        "other": _gemini(_WORDS),
    },
    refused=frozenset(
        {"extra_body", "frequency_penalty", "google", "prompt_cache_key", "reasoning", "top_k"}
    ),
)

# --- DeepSeek

_DEEPSEEK = Rules(
    refusals={
        "bad_key": _envelope(  # (I) as quoted by many
            "Authentication Fails, Your api key: ****{tail} is invalid",
            "invalid_request_error",
            "authentication_error",
            status=401,
        ),
        "format": _envelope(  # (I) llm-exe#662, inspect_ai#4916
            "This response_format type is unavailable now", "invalid_request_error"
        ),
        "json_word": _envelope(  # (I) stagehand#1204
            "Prompt must contain the word 'json' in some form to use 'response_format' of type "
            "'json_object'.",
            "invalid_request_error",
        ),
        "other": _envelope(_WORDS, "invalid_request_error"),
    },
    formats=frozenset({"text", "json_object"}),
    says_json=True,
)

# --- xAI


def _xai(message: str) -> Refusal:
    return Refusal(400, {"code": "Client specified an invalid argument", "error": message})


_XAI = Rules(
    refusals={
        # (W) xai_400_key; that it is the same without any key is doubtful (M)
        "bad_key": _xai("Incorrect API key provided: {start}***{end}."),
        "other": _xai(_WORDS),
    },
)

# --- llama.cpp: what it does not know it ignores.


def _llamacpp(message: str) -> Refusal:
    return Refusal(
        400, {"error": {"code": 400, "message": message, "type": "invalid_request_error"}}
    )


_LLAMACPP = Rules(
    refusals={
        "body": _llamacpp(  # (W) llamacpp_400_badjson; places vary
            "[json.exception.parse_error.101] parse error at line 1, column 1: syntax error while "
            "parsing value - unexpected end of input; expected '[', '{', or a literal"
        ),
        "tool_choice": _llamacpp("Invalid tool_choice: {value}"),  # (W) llamacpp_400_toolchoice_any
        "format": _llamacpp(  # (W) llamacpp_400_rf_type
            'response_format type must be one of "text" or "json_object", but got: {value}'
        ),
        "grammar": _llamacpp(  # (W) llamacpp_400_grammar
            "Failed to initialize samplers: failed to parse grammar"
        ),
        # (I) llama.cpp discussion 22408, and its server-common.cpp
        "grammar_tools": _llamacpp("Cannot use custom grammar constraints with tools."),
        "other": _llamacpp(_WORDS),
    },
    roles=frozenset({"system", "developer", "user", "assistant", "tool"}),
    grammar=True,
)

# --- vLLM: envelope (W) vllm_400, words (M)

_VLLM = Rules(
    refusals={"other": _envelope(_WORDS, 400, "BadRequestError")},
    roles=frozenset({"system", "developer", "user", "assistant", "tool"}),
    formats=_STANDARD | {"structural_tag"},
)

# --- Ollama: it takes any tool_choice and any format (its openai.go).

_OLLAMA = Rules(
    refusals={
        "missing": _envelope("[] is too short - '{field}'"),  # (I) ollama openai/middleware
        "other": _envelope(_WORDS),
    },
    tool_choices=None,
    formats=None,
)

# --- LM Studio

_LMSTUDIO = Rules(
    refusals={
        "format": Refusal(  # (W) lmstudio_400_rf
            400, {"error": "'response_format.type' must be 'json_schema' or 'text'"}
        ),
        "named_tool": Refusal(  # (I) lmstudio-bug-tracker#670
            400,
            {
                "error": "Invalid tool_choice type: 'object'. Supported string values: none, auto, "
                "required"
            },
        ),
        "other": Refusal(400, {"error": _WORDS}),
    },
    named_tool=False,
    formats=frozenset({"text", "json_schema"}),
)

# --- TGI

_TGI = Rules(
    refusals={
        "body": Refusal(400, {"error": _WORDS, "error_type": "validation"}),  # (M)
        "other": Refusal(422, {"error": _WORDS, "error_type": "validation"}),  # (W) tgi_422
    },
    tool_choices=None,  # any other word is the name of a tool (M)
    formats=_STANDARD | {"json", "regex"},  # (M)
)


# --- Meta's own API: fields and formats as in llama_api_client 0.6.0; that others are refused, and
# the words, (M).


def _native(detail: str, title: str = "Bad Request", status: int = 400) -> Refusal:
    return Refusal(status, {"title": title, "detail": detail, "status": status})


_LLAMA_NATIVE = Rules(
    refusals={
        "bad_key": _native("Invalid API key", "Unauthorized", 401),
        "other": _native(_WORDS),
    },
    refused=frozenset({"stop", "seed"}),
    formats=frozenset({"text", "json_schema"}),
)

RULES: Mapping[str, Rules] = {
    "mistral": _MISTRAL,
    "openai": _OPENAI,
    "gemini": _GEMINI,
    "deepseek": _DEEPSEEK,
    "xai": _XAI,
    "llamacpp": _LLAMACPP,
    "vllm": _VLLM,
    "ollama": _OLLAMA,
    "lmstudio": _LMSTUDIO,
    "tgi": _TGI,
    "llama_native": _LLAMA_NATIVE,
}
"""By the name of the server."""
