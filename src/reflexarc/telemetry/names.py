"""Every name that telemetry uses, in one place: code, documentation and dashboard read it here.

Notes
-----
The ``gen_ai`` names are those of OpenTelemetry's semantic conventions for generative AI, which are
still in development and move: https://opentelemetry.io/docs/specs/semconv/gen-ai/, read 2026-11-22.
They are copied, so that a release of theirs renames nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from reflexarc.errors import LLMError

OTHER = "other"
"""In the place of a value that is not among those known beforehand, such as a type of action that a
model has made up: what others write must not become labels without end."""

SECONDS = (0.005, *(0.01 * 2**step for step in range(13)))
"""Bounds of a histogram of seconds: the convention's, and a finer first one for brains on board."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, for Prometheus.

    Parameters
    ----------
    name : str
        As it is exposed.
    kind : {"counter", "gauge", "histogram"}
        A histogram is one of seconds.
    help : str
        What it tells.
    labels : tuple of str, default ()
        Each with few values, all of them known beforehand.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


ASK = Metric(
    "cortex_ask_seconds",
    "histogram",
    "From a question to the end of its answer; outcome is ok, idle or error.",
    ("provider", "outcome"),
)
FIRST_ACTION = Metric(
    "cortex_first_action_seconds",
    "histogram",
    "From a question to its first action.",
    ("provider",),
)
ACTIONS = Metric(
    "cortex_actions_total",
    "counter",
    "Actions: done (handed over), refused (not legal, or against a rule), failed (handed over, and "
    "an actuator could not; counted as done as well).",
    ("type", "outcome"),
)
ATTEMPTS = Metric(
    "cortex_attempts_total",
    "counter",
    "Tries at a provider; outcome is ok, error, or overtaken where another one acted first.",
    ("provider", "outcome"),
)
PROVIDER_ERRORS = Metric(
    "cortex_provider_errors_total",
    "counter",
    "Tries that failed; error_type is the kind of our errors.",
    ("provider", "error_type"),
)
FAILOVERS = Metric(
    "cortex_failovers_total",
    "counter",
    "Questions that another provider was asked, since this one had failed.",
    ("provider", "next"),
)
BREAKER = Metric(
    "cortex_breaker_state",
    "gauge",
    "Whether a brain is asked: 0 it is (closed), 1 once, to see (half-open), 2 left alone (open).",
    ("provider", "model"),
)
TOKENS = Metric(
    "cortex_tokens_total",
    "counter",
    "Tokens by the servers' counts; direction is input, output, or cached, which is part of input.",
    ("provider", "direction"),
)
TICK = Metric(
    "cortex_tick_seconds", "histogram", "A whole tick: the answer, and its actions performed."
)
OVERRUN = Metric(
    "cortex_tick_overrun_total",
    "counter",
    "Ticks that took longer than the robot's hertz allow.",
)
MISSED = Metric(
    "cortex_missed_total",
    "counter",
    "Things sensed and given up, since the last tick was still running.",
)
FAILURES = Metric(
    "cortex_failures_total",
    "counter",
    "What failed beside the answer or instead of it; where is llm, input, actuator or memory.",
    ("where",),
)
LAST_TICK = Metric(
    "cortex_last_tick_timestamp_seconds", "gauge", "When the last tick ended, in Unix time."
)
INFO = Metric("cortex_info", "gauge", "Always 1: who this is.", ("robot", "version"))

METRICS = (
    ASK,
    FIRST_ACTION,
    ACTIONS,
    ATTEMPTS,
    PROVIDER_ERRORS,
    FAILOVERS,
    BREAKER,
    TOKENS,
    TICK,
    OVERRUN,
    MISSED,
    FAILURES,
    LAST_TICK,
    INFO,
)
"""What ``/metrics`` tells of a robot."""

OM1_LATENCY = Metric(
    "om1_llm_latency_seconds",
    "histogram",
    "Latency of LLM responses in seconds",
    ("model", "endpoint"),
)
OM1_LATENCY_LAST = Metric(
    "om1_llm_latency_last_seconds",
    "gauge",
    "Most recent LLM response latency in seconds",
    ("model", "endpoint"),
)
OM1_METRICS = (OM1_LATENCY, OM1_LATENCY_LAST)
"""What OM1's own dashboard reads; in OM1 our plugins tell it as OM1's do."""

TICK_SPAN = "tick"
ASK_SPAN = "chat {model}"
ATTEMPT_SPAN = "attempt {provider}"

SPAN_ATTRIBUTES: Mapping[str, str] = {
    "gen_ai.operation.name": "`chat`",
    "gen_ai.provider.name": "who answered, else who was asked first: `mistral_ai`, `meta`, …",
    "gen_ai.request.model": "the model that was asked for",
    "gen_ai.request.stream": "`true`",
    "gen_ai.request.temperature": "where the configuration has one",
    "gen_ai.request.max_tokens": "the longest answer",
    "gen_ai.request.seed": "where the configuration has one",
    "gen_ai.response.model": "the model, as the server names it",
    "gen_ai.response.time_to_first_chunk": "seconds to the first piece of the answer",
    "gen_ai.usage.input_tokens": "tokens read",
    "gen_ai.usage.output_tokens": "tokens written",
    "gen_ai.usage.cache_read.input_tokens": "those of the tokens read that the server had already",
    "gen_ai.output.type": "`json`, or `text` for a summary",
    "gen_ai.agent.name": "the robot (on a tick)",
    "server.address": "the server's host, of a base_url",
    "server.port": "its port, where the base_url has one",
    "error.type": "how the call, the try or the tick failed: the kind of our errors",
    "cortex.outcome": "`ok`, `idle`, `error`, `left` (the caller had heard enough) or `cancelled`",
    "cortex.first_action_s": "seconds to the first action",
    "cortex.actions": "actions handed over",
    "cortex.refused": "actions refused",
    "cortex.attempts": "tries",
    "cortex.tick": "the number of the tick (on a tick)",
    "cortex.missed": "things sensed and given up (on a tick)",
    "gen_ai.system_instructions": "only on request: persona and laws",
    "gen_ai.input.messages": "only on request: the past and what was sensed",
    "gen_ai.output.messages": "only on request: the answer as it was written",
}
"""Attributes of spans, and what they tell."""

PROVIDERS: Mapping[str, str] = {
    "DeepSeekLLM": "deepseek",
    "GeminiLLM": "gcp.gemini",
    "LlamaLLM": "meta",
    "MistralLLM": "mistral_ai",
    "OnboardLLM": "llama_cpp",
    "OpenAILLM": "openai",
    "XAILLM": "x_ai",
}
"""What the conventions call our providers; they have no name for Llama or llama.cpp."""

CAPTURE_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The environment's variable that asks for prompts and answers in spans."""


def _kinds(error: type[LLMError]) -> Iterator[str]:
    yield error.kind
    for each in error.__subclasses__():
        yield from _kinds(each)


ERROR_TYPES = frozenset(_kinds(LLMError)) - {LLMError.kind}
"""The kinds of failed calls."""


def error_type(kind: str) -> str:
    """The kind of an error as a label or an attribute.

    Parameters
    ----------
    kind : str
        As an attempt or a tick has it.

    Returns
    -------
    str
        One of `ERROR_TYPES`, or `OTHER`.
    """
    return kind if kind in ERROR_TYPES else OTHER


def provider_name(provider: str) -> str:
    """What the conventions call a provider.

    Parameters
    ----------
    provider : str
        As in ``LLMConfig.type``.

    Returns
    -------
    str
        The name as it is, where they have none.
    """
    return PROVIDERS.get(provider, provider)
