"""How each emulated server writes an answer, as data.

Sources, read 2026-11: (W) a sample in tests/data/wire; (I) a public issue or repository, named; (M)
memory alone, which is likely and not certain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reflexarc.testing.style import REASONING_TOKENS, Style
from reflexarc.types import Json

_CREATED = 1793000000
_OPEN: Json = {"finish_reason": None}
_ENDED: Json = {"finish_reason": "{finish}"}
_OPEN_LOGGED = _OPEN | {"logprobs": None}
_ENDED_LOGGED = _ENDED | {"logprobs": None}
_FUNCTION: Json = {"name": "{name}", "arguments": "{arguments}"}
_CALL: Json = {"id": "{id}", "type": "function", "function": _FUNCTION}
_INDEXED: Json = _CALL | {"index": "{index}"}
_MORE: Json = {"tool_calls": [{"index": "{index}", "function": {"arguments": "{arguments}"}}]}
_MESSAGE: Json = {"role": "assistant", "content": "{content}", "tool_calls": "{called}"}
_COUNTS: Json = {
    "prompt_tokens": "{read}",
    "completion_tokens": "{written}",
    "total_tokens": "{total}",
}
_CACHED: Json = _COUNTS | {"prompt_tokens_details": {"cached_tokens": "{cached}"}}
_REASONED: Json = {"completion_tokens_details": {"reasoning_tokens": REASONING_TOKENS}}


def _about(id_: str, model: str, **more: object) -> Json:
    """What every reply of a server says of itself."""
    return {"id": id_, "created": _CREATED, "model": model} | more


def _chunk(about: Json, choice: Json, **more: object) -> Json:
    choices = [{"index": 0, "delta": "{delta}"} | choice]
    return about | {"object": "chat.completion.chunk", "choices": choices} | more


def _counts_chunk(about: Json) -> Json:
    return about | {"object": "chat.completion.chunk", "choices": [], "usage": "{counts}"}


def _whole(about: Json, message: Json, choice: Json, **more: object) -> Json:
    choices = [{"index": 0, "message": message} | choice]
    return about | {"object": "chat.completion", "choices": choices, "usage": "{counts}"} | more


_ABOUT_MISTRAL = _about("4f1c2d3e4b5a69788796a5b4c3d2e1f0", "mistral-small-latest")
# (W) mistral_*: calls whole, in the chunk that ends the stream and has the counts; "p" since 2026.
_MISTRAL = Style(
    chunk=_chunk(_ABOUT_MISTRAL, _OPEN, p="{maybe}"),
    end=_chunk(_ABOUT_MISTRAL, _ENDED, usage="{counts}", p="{maybe}"),
    whole=_whole(_ABOUT_MISTRAL, _MESSAGE | {"tool_calls": "{calls}"}, _ENDED),
    counts=_CACHED | {"service_tier": "standard"},
    call={"id": "{id}", "function": _FUNCTION, "index": "{index}"},
    more=None,
    whole_call={"id": "{id}", "function": _FUNCTION, "index": "{index}"},
    call_id="gSIMJ4Ok{index}",
    calls={"content": None, "tool_calls": "{calls}"},
    together=True,
    last={"content": ""},
    last_call=None,
)

_ABOUT_OPENAI = _about("chatcmpl-CxAbc123", "gpt-5.6-luna")
_TIER: Json = {"service_tier": "default", "system_fingerprint": "fp_0a1b2c3d4e"}
_PADDED: Json = {"usage": "{null}", "obfuscation": "{padding}"}
# (W) openai_*.
_OPENAI = Style(
    chunk=_chunk(_ABOUT_OPENAI, _OPEN_LOGGED, **_TIER, **_PADDED),
    end=_chunk(_ABOUT_OPENAI, _ENDED_LOGGED, **_TIER, **_PADDED),
    whole=_whole(
        _ABOUT_OPENAI, _MESSAGE | {"refusal": None, "annotations": []}, _ENDED_LOGGED, **_TIER
    ),
    counts=_COUNTS
    | {
        "prompt_tokens_details": {"cached_tokens": "{cached}", "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    },
    call=_INDEXED,
    more=_MORE,
    whole_call=_CALL,
    call_id="call_Abc123def45{index}",
    first=({"role": "assistant", "content": "", "refusal": None},),
    first_call={"role": "assistant", "content": None, "refusal": None},
    usage=_counts_chunk(_ABOUT_OPENAI),
    empty=None,
)

_ABOUT_GEMINI = _about("aB3dEfGhIj", "gemini-3.8-flash")
_SIGNED = _CALL | {"extra_content": {"google": {"thought_signature": "c2lnbmF0dXJl"}}}
# (W) gemini_toolcall_stream; text alike (M); counts in every chunk (I) ogx#5122.
_GEMINI = Style(
    chunk=_chunk(_ABOUT_GEMINI, {}, usage="{counts}"),
    end=_chunk(_ABOUT_GEMINI, _ENDED, usage="{counts}"),
    whole=_whole(_ABOUT_GEMINI, _MESSAGE, _ENDED),
    counts=_COUNTS,
    call=_SIGNED,
    more=None,
    whole_call=_SIGNED,
    call_id="function-call-{index}",
    first=(),
    text={"role": "assistant", "content": "{text}"},
    calls={"role": "assistant", "tool_calls": "{calls}"},
    together=True,
    last={"role": "assistant"},
    last_call={"role": "assistant"},
    finish_call="stop",
    empty=None,
)

_ABOUT_DEEPSEEK = _about(
    "e7ef2a45-0000-4000-8000-000000000001", "deepseek-flash", system_fingerprint="a26a79"
)
# (W) deepseek_*: it keeps the connection alive, and thinks unless told not to.
_DEEPSEEK = Style(
    chunk=_chunk(_ABOUT_DEEPSEEK, _OPEN_LOGGED, usage=None),
    end=_chunk(_ABOUT_DEEPSEEK, _ENDED_LOGGED, usage="{counted}"),
    whole=_whole(_ABOUT_DEEPSEEK, _MESSAGE | {"reasoning_content": "Greet back."}, _ENDED_LOGGED),
    counts=_CACHED
    | {"prompt_cache_hit_tokens": "{cached}", "prompt_cache_miss_tokens": "{fresh}"}
    | {"completion_tokens_details": {"reasoning_tokens": REASONING_TOKENS}},
    call=_INDEXED,
    more=_MORE,
    whole_call=_INDEXED,
    call_id="call_00_IhCAliIHtM9gKpgfqbBV987{index}",
    first=(
        {"role": "assistant", "content": None, "reasoning_content": ""},
        {"content": None, "reasoning_content": "Greet"},
        {"content": None, "reasoning_content": " back."},
    ),
    text={"content": "{text}", "reasoning_content": None},
    last={"content": "", "reasoning_content": None},
    last_call={"content": "", "reasoning_content": None},
    before=b": keep-alive\n\n" * 2,
    before_whole=b"\n" * 12,
)
# (W) deepseek_unthinking_stream.
_DEEPSEEK_UNTHINKING = replace(
    _DEEPSEEK,
    whole=_whole(_ABOUT_DEEPSEEK, _MESSAGE, _ENDED_LOGGED),
    counts=_CACHED | {"prompt_cache_hit_tokens": "{cached}", "prompt_cache_miss_tokens": "{fresh}"},
    first=({"role": "assistant", "content": ""},),
    text={"content": "{text}"},
    last={"content": ""},
    last_call={"content": ""},
)

_ABOUT_XAI = _about(
    "f0e1d2c3-0000-4000-8000-000000000001", "grok-4.7", system_fingerprint="fp_ugy4masv0j"
)
# (W) xai_*: the reasoning is counted apart, in the total alone.
_XAI = Style(
    chunk=_chunk(_ABOUT_XAI, {}),
    end=_chunk(_ABOUT_XAI, _ENDED),
    whole=_whole(_ABOUT_XAI, _MESSAGE | {"reasoning_content": "Hm", "refusal": None}, _ENDED),
    counts={
        "prompt_tokens": "{read}",
        "completion_tokens": "{written}",
        "total_tokens": "{thought}",
        "prompt_tokens_details": {
            "text_tokens": "{read}",
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": "{cached}",
        },
        "completion_tokens_details": {
            "reasoning_tokens": REASONING_TOKENS,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
        "num_sources_used": 0,
        "cost_in_usd_ticks": 1330500,
    },
    call=_INDEXED,
    more=None,
    whole_call=_CALL,
    call_id="call_5511758{index}",
    first=({"role": "assistant", "reasoning_content": "Hm"},),
    together=True,
    usage=_counts_chunk(_ABOUT_XAI),
)

_ABOUT_LLAMACPP = _about(
    "chatcmpl-VNjkWqVDDX0Q6DufFQhoH0ZElZgJnMSO", "smollm2-135m", system_fingerprint="b0-unknown"
)
_TIMINGS: Json = {
    "timings": {
        "cache_n": "{cached}",
        "prompt_n": "{fresh}",
        "prompt_ms": 151.225,
        "prompt_per_token_ms": 151.225,
        "prompt_per_second": 6.612663250123988,
        "predicted_n": "{written}",
        "predicted_ms": 8579.593,
        "predicted_per_token_ms": 136.18401587301588,
        "predicted_per_second": 7.343005664720925,
    }
}
# (W) llamacpp_*, captured.
_LLAMACPP = Style(
    chunk=_chunk(_ABOUT_LLAMACPP, _OPEN),
    end=_chunk(_ABOUT_LLAMACPP, _ENDED),
    whole=_whole(_ABOUT_LLAMACPP, _MESSAGE, _ENDED, **_TIMINGS),
    counts=_CACHED,
    call=_INDEXED,
    more=_MORE,
    whole_call=_CALL,
    call_id="wwTRTxrJHxz1Zrcq9Zvcfblnns1hInh{index}",
    first=({"role": "assistant", "content": None},),
    begun=1,
    usage=_counts_chunk(_ABOUT_LLAMACPP),
    latest=_TIMINGS,
)

_ABOUT_VLLM = _about("chatcmpl-0a1b2c", "mistralai/Ministral-8B")
_STOPPED = _ENDED_LOGGED | {"stop_reason": None, "token_ids": None}
# (W) vllm_stream; calls (I) InternLM/lmdeploy#3412; whole replies (M).
_VLLM = Style(
    chunk=_chunk(_ABOUT_VLLM, _OPEN_LOGGED | {"token_ids": None}),
    end=_chunk(_ABOUT_VLLM, _STOPPED),
    whole=_whole(
        _ABOUT_VLLM,
        _MESSAGE
        | {"tool_calls": "{listed}", "refusal": None, "annotations": None, "audio": None}
        | {"function_call": None, "reasoning_content": None},
        _STOPPED,
        service_tier=None,
        system_fingerprint=None,
        prompt_logprobs=None,
        prompt_token_ids=None,
        kv_transfer_params=None,
    ),
    counts=_COUNTS,
    call=_INDEXED,
    more=_MORE,
    whole_call=_CALL,
    call_id="chatcmpl-tool-9f149c74c42f265{index}",
    start=_chunk(_ABOUT_VLLM, _OPEN_LOGGED, prompt_token_ids=None),
    last=None,
    last_call=None,
    usage=_counts_chunk(_ABOUT_VLLM),
    empty=None,
)

_ABOUT_OLLAMA = _about("chatcmpl-417", "llama3.2", system_fingerprint="fp_ollama")
# (W) ollama_stream; the rest ollama/ollama openai/openai.go. Ids go from 0 to 998, then again.
_OLLAMA = Style(
    chunk=_chunk(_ABOUT_OLLAMA, _OPEN),
    end=_chunk(_ABOUT_OLLAMA, _ENDED),
    whole=_whole(_ABOUT_OLLAMA, _MESSAGE, _ENDED),
    counts=_COUNTS,
    call=_INDEXED,
    more=None,
    whole_call=_INDEXED,
    call_id="call_1a2b3c4{index}",
    first=(),
    text={"role": "assistant", "content": "{text}"},
    calls={"role": "assistant", "content": "", "tool_calls": "{calls}"},
    together=True,
    last={"role": "assistant", "content": ""},
    last_call={"role": "assistant", "content": ""},
    usage=_counts_chunk(_ABOUT_OLLAMA),
)

_ABOUT_LMSTUDIO = _about(
    "chatcmpl-b8yz4f2k9q", "qwen3-4b-instruct-2507", system_fingerprint="qwen3-4b-instruct-2507"
)
# All of it (M).
_LMSTUDIO = Style(
    chunk=_chunk(_ABOUT_LMSTUDIO, _OPEN_LOGGED),
    end=_chunk(_ABOUT_LMSTUDIO, _ENDED_LOGGED),
    whole=_whole(_ABOUT_LMSTUDIO, _MESSAGE | {"tool_calls": "{listed}"}, _ENDED_LOGGED, stats={}),
    counts=_COUNTS,
    call=_INDEXED,
    more=_MORE,
    whole_call=_CALL,
    call_id="91735508{index}",
    first=(),
    text={"role": "assistant", "content": "{text}"},
    calls={"role": "assistant", "tool_calls": "{calls}"},
    usage=_counts_chunk(_ABOUT_LMSTUDIO),
)

_ABOUT_TGI = _about("", "meta-llama/Llama-3.1-8B-Instruct", system_fingerprint="3.1.1-dev0-native")
_NAMED: Json = {"index": "{index}", "id": "", "type": "function", "function": _FUNCTION}
# (W) tgi_*; no space after "data:" and where the counts are (M).
_TGI = Style(
    chunk=_chunk(_ABOUT_TGI, _OPEN_LOGGED, usage=None),
    end=_chunk(_ABOUT_TGI, _ENDED_LOGGED, usage="{counted}"),
    whole=_whole(_ABOUT_TGI, _MESSAGE, _ENDED_LOGGED),
    counts=_COUNTS,
    call=_NAMED,
    more={"role": "assistant", "content": None, "tool_calls": [_NAMED]},
    whole_call=_CALL | {"function": _FUNCTION | {"description": None}},
    call_id="{index}",
    first=(),
    text={"role": "assistant", "content": "{text}", "tool_calls": None},
    calls={"role": "assistant", "content": None, "tool_calls": "{calls}"},
    last=None,
    last_call=None,
    finish_call="stop",
    finish_whole_call="stop",
    empty=None,
    prefix=b"data:",
)

_NATIVE_ID = "AbCdEfGhIjKlMnOpQr"
_NOTHING: Json = {"type": "text", "text": ""}


def _event(type_: str, delta: object, **more: object) -> Json:
    return {"id": _NATIVE_ID, "event": {"event_type": type_, "delta": delta} | more}


_METRICS: list[Json] = [
    {"metric": "num_completion_tokens", "value": "{written}", "unit": "tokens"},
    {"metric": "num_prompt_tokens", "value": "{read}", "unit": "tokens"},
    {"metric": "num_total_tokens", "value": "{total}", "unit": "tokens"},
]
# (W) llama_native_*; without [DONE]. Meta switched its servers off on 2026-07-06.
_LLAMA_NATIVE = Style(
    start=_event("start", "{delta}"),
    chunk=_event("progress", "{delta}"),
    end=_event("complete", "{delta}", stop_reason="{finish}"),
    whole={
        "id": _NATIVE_ID,
        "completion_message": {
            "role": "assistant",
            "stop_reason": "{finish}",
            "content": {"type": "text", "text": "{content}"},
            "tool_calls": "{listed}",
        },
        "metrics": "{counts}",
    },
    counts=_METRICS,
    call={"type": "tool_call", "id": "{id}", "function": {"name": "{name}"}},
    more={"type": "tool_call", "function": {"arguments": "{arguments}"}},
    whole_call={"id": "{id}", "function": _FUNCTION},
    call_id="8a2c1f70-{index}",
    first=(_NOTHING,),
    text={"type": "text", "text": "{text}"},
    calls="{call}",
    last=_NOTHING,
    last_call=_NOTHING,
    usage=_event("metrics", _NOTHING, metrics="{counts}"),
    done=False,
)

DIALECTS: Mapping[str, Style] = {
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

UNTHINKING: Mapping[str, Style] = {"deepseek": _DEEPSEEK_UNTHINKING}
"""How those that think answer a request with ``"thinking": {"type": "disabled"}``."""
