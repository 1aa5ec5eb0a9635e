"""OpenTelemetry spans: a tick, a question, and each try at a provider.

Nothing of what was said is in them, unless that is asked for.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

from reflexarc.attempts import Attempt, AttemptFailed
from reflexarc.config import LLMConfig
from reflexarc.errors import LLMError, UnavailableError
from reflexarc.llm import LLM, Messages, R
from reflexarc.memory import Tick
from reflexarc.packages import install_command
from reflexarc.prompt import Prompt, read_prompt
from reflexarc.resilience import Around
from reflexarc.resilience.chain import entries
from reflexarc.telemetry.names import (
    ASK_SPAN,
    ATTEMPT_SPAN,
    TICK_SPAN,
    error_type,
    provider_name,
)
from reflexarc.types import (
    ActionReady,
    ActionRefused,
    Event,
    Finished,
    TextDelta,
    whole_characters,
)

_NS = 1_000_000_000


def make_tracer(tracer_provider: Any = None) -> Any:
    """The tracer of this package.

    Parameters
    ----------
    tracer_provider : opentelemetry.trace.TracerProvider or None, default None
        Whose; None is the program's own.

    Returns
    -------
    opentelemetry.trace.Tracer

    Raises
    ------
    UnavailableError
        If OpenTelemetry is not installed.
    """
    try:
        from opentelemetry import trace
    except ImportError as error:
        raise UnavailableError(
            f"spans need OpenTelemetry; {install_command('otel')}", retryable=False
        ) from error
    return trace.get_tracer("reflexarc", tracer_provider=tracer_provider)


class Traced(Around[R]):
    """An LLM that leaves a span for each question, and one below it for each try.

    The span is current while the one inside works, so that what others instrument is below it.

    Parameters
    ----------
    llm : LLM
        Which. Put this around everything else, so that a span has all tries of a question.
    configs : iterable of LLMConfig, default ()
        Settings of it, or of the brains behind it; they tell the server and the limits.
    tracer_provider : opentelemetry.trace.TracerProvider or None, default None
        Where spans go; None is where the program has OpenTelemetry send them.
    content : bool, default False
        Whether prompts and answers are in them as well.

    Raises
    ------
    UnavailableError
        If OpenTelemetry is not installed.
    """

    def __init__(
        self,
        llm: LLM[R],
        configs: Iterable[LLMConfig] = (),
        *,
        tracer_provider: Any = None,
        content: bool = False,
    ) -> None:
        super().__init__(llm)
        self._tracer = make_tracer(tracer_provider)
        self._facts = _Facts(configs)
        self._content = content

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Ask, and give out everything that happens as it happens; see `LLM.stream`."""
        from opentelemetry.context import attach, detach
        from opentelemetry.trace import set_span_in_context

        whole = read_prompt(prompt, messages)
        span = self._start(whole)
        context = set_span_in_context(span)
        question = _Question(self._tracer, self._facts, span, context)
        question.keeps_text = self._content
        try:
            async with aclosing(self._llm.stream(whole)) as events:
                while True:
                    token = attach(context)
                    try:
                        event = await anext(events)
                    except StopAsyncIteration:
                        return
                    finally:
                        detach(token)
                    question.take(event)
                    yield event
                    if isinstance(event, Finished):
                        return
        except BaseException as error:
            question.fail(error)
            raise
        finally:
            question.end(whole)

    def _start(self, whole: Prompt) -> Any:
        """A span that is not current yet."""
        from opentelemetry.trace import SpanKind

        standings = self._llm.standings()
        first = next((each for each in standings if each.state == "closed"), standings[0])
        return self._tracer.start_span(
            ASK_SPAN.format(model=first.model or first.name),
            kind=SpanKind.INTERNAL if self.is_on_board else SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.request.stream": True,
                "gen_ai.output.type": "text" if whole.is_plain else "json",
                **self._facts.of(first.name, first.model),
            },
        )


class _Facts:
    """What is known of brains beforehand, as attributes."""

    def __init__(self, configs: Iterable[LLMConfig]) -> None:
        self._brains = [
            each
            for config in configs
            for each in (entries(config) if config.is_chain else [config])
        ]

    def of(self, provider: str, model: str) -> dict[str, Any]:
        told: dict[str, Any] = {"gen_ai.provider.name": provider_name(provider)}
        if model:
            told["gen_ai.request.model"] = model
        same = [each for each in self._brains if each.type == provider]
        config = next((each for each in same if each.model == model), same[0] if same else None)
        if config is None:
            return told
        told["gen_ai.request.max_tokens"] = config.max_tokens
        server = urlsplit(config.base_url or "")  # of which nothing but host and port is told
        known = {
            "gen_ai.request.temperature": config.temperature,
            "gen_ai.request.seed": config.seed,
            "server.address": server.hostname,
            "server.port": server.port,
        }
        return told | {name: value for name, value in known.items() if value is not None}


class _Question:
    """What is noted of one question while it is answered."""

    def __init__(self, tracer: Any, facts: _Facts, span: Any, context: Any) -> None:
        self._tracer = tracer
        self._facts = facts
        self._span = span
        self._context = context
        self._is_recorded: bool = span.is_recording()
        self._started_ns = time.time_ns()
        self._started = time.perf_counter()
        self._first_chunk_s: float | None = None
        self._told: list[Attempt] = []
        self._pieces: list[str] = []
        self._done = self._refused = 0
        self._outcome = "left"
        self.keeps_text = False

    def take(self, event: Event) -> None:
        if not self._is_recorded:
            return
        if isinstance(event, TextDelta):
            if self._first_chunk_s is None and event.text:
                self._first_chunk_s = self._now_s()
            if self.keeps_text:
                self._pieces.append(event.text)
        elif isinstance(event, ActionReady):
            self._done += 1
            if self._done == 1:
                self._span.set_attribute("cortex.first_action_s", event.at_s)
        elif isinstance(event, ActionRefused):
            self._refused += 1
        elif isinstance(event, AttemptFailed):
            self._attempts([event.attempt], event.at_s)
        elif isinstance(event, Finished):
            self._finish(event)

    def _finish(self, event: Finished) -> None:
        self._outcome = "idle" if event.reason else "ok"
        late = [each for each in event.attempts if each.outcome == "overtaken"]
        acted_s = event.total_s if event.first_action_s is None else event.first_action_s
        self._attempts(late, acted_s)  # then they were closed
        self._attempts(event.attempts, event.total_s)
        if event.reason:
            _mark(self._span, self._told[-1].outcome if self._told else "")
            return
        asked = [each.model for each in event.attempts if each.outcome == "ok"] or [""]
        told = self._facts.of(event.provider, asked[-1])
        told["gen_ai.response.model"] = event.model
        if event.usage is not None:
            told["gen_ai.usage.input_tokens"] = event.usage.prompt_tokens
            told["gen_ai.usage.output_tokens"] = event.usage.completion_tokens
            told["gen_ai.usage.cache_read.input_tokens"] = event.usage.cached_tokens
        self._span.set_attributes(told)

    def fail(self, error: BaseException) -> None:
        if not self._is_recorded or isinstance(error, GeneratorExit):
            return
        if isinstance(error, asyncio.CancelledError):
            self._outcome = "cancelled"
            return
        self._outcome = "error"
        if isinstance(error, LLMError):
            self._attempts(error.attempts, self._now_s())
        _mark(self._span, getattr(error, "kind", ""))

    def end(self, whole: Prompt) -> None:
        if self._is_recorded:
            told: dict[str, Any] = {
                "cortex.outcome": self._outcome,
                "cortex.actions": self._done,
                "cortex.refused": self._refused,
                "cortex.attempts": len(self._told),
            }
            if self._first_chunk_s is not None:
                told["gen_ai.response.time_to_first_chunk"] = self._first_chunk_s
            if self.keeps_text:
                told |= _content(whole, "".join(self._pieces))
            self._span.set_attributes(told)
        self._span.end()

    def _now_s(self) -> float:
        return time.perf_counter() - self._started

    def _attempts(self, attempts: Iterable[Attempt], ended_s: float) -> None:
        """Spans for those tries that have none yet; they are over."""
        for attempt in attempts:
            if attempt not in self._told:
                self._told.append(attempt)
                self._attempt(attempt, self._started_ns + int(ended_s * _NS))

    def _attempt(self, attempt: Attempt, ended_ns: int) -> None:
        is_error = attempt.outcome not in ("ok", "overtaken")
        span = self._tracer.start_span(
            ATTEMPT_SPAN.format(provider=attempt.provider),
            context=self._context,
            start_time=ended_ns - int(attempt.elapsed_s * _NS),
            attributes={
                **self._facts.of(attempt.provider, attempt.model),
                "cortex.outcome": "error" if is_error else attempt.outcome,
            },
        )
        if is_error:
            _mark(span, attempt.outcome)
        span.end(ended_ns)


def _mark(span: Any, kind: str) -> None:
    """Say of a span how it has failed; not in which words, which may be somebody's."""
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", error_type(kind))
    span.set_status(Status(StatusCode.ERROR))


def _content(whole: Prompt, answer: str) -> dict[str, str]:
    """Prompt and answer, in the convention's JSON."""
    asked = [(each.role, each.content) for each in whole.history] + [("user", whole.situation)]
    told = {
        "gen_ai.system_instructions": [_part(whole.system)],
        "gen_ai.input.messages": [
            {"role": role, "parts": [_part(content)]} for role, content in asked
        ],
        "gen_ai.output.messages": [
            {"role": "assistant", "parts": [_part(answer)], "finish_reason": "stop"}
        ],
    }
    return {
        name: whole_characters(json.dumps(value, ensure_ascii=False))
        for name, value in told.items()
    }


def _part(text: str) -> dict[str, str]:
    return {"type": "text", "content": text}


class TickSpans:
    """A span for each tick, which is current until the tick is over.

    Parameters
    ----------
    robot : str
        What it is called.
    tracer_provider : opentelemetry.trace.TracerProvider or None, default None
        Where spans go; None is where the program has OpenTelemetry send them.

    Raises
    ------
    UnavailableError
        If OpenTelemetry is not installed.
    """

    def __init__(self, robot: str, *, tracer_provider: Any = None) -> None:
        self._tracer = make_tracer(tracer_provider)
        self._robot = robot
        self._span: Any = None
        self._token: Any = None

    def begin(self, number: int) -> None:
        """Begin one; in the task that runs the tick, as `end`.

        Parameters
        ----------
        number : int
            Of the tick.
        """
        from opentelemetry.context import attach
        from opentelemetry.trace import set_span_in_context

        told = {"gen_ai.agent.name": self._robot, "cortex.tick": number}
        self._span = self._tracer.start_span(TICK_SPAN, attributes=told)
        self._token = attach(set_span_in_context(self._span))

    def end(self, tick: Tick) -> str:
        """End the one that was begun.

        Parameters
        ----------
        tick : Tick
            What became of it.

        Returns
        -------
        str
            The id of its trace, 32 hexadecimal digits; empty where nothing is recorded.
        """
        from opentelemetry.context import detach
        from opentelemetry.trace import format_trace_id

        if self._token is None:
            return ""
        detach(self._token)
        span, self._span, self._token = self._span, None, None
        span.set_attribute("cortex.missed", len(tick.missed))
        if tick.error_kind and not tick.was_stopped:
            _mark(span, tick.error_kind)
        is_kept = span.is_recording() and span.get_span_context().trace_flags.sampled
        span.end()
        return format_trace_id(span.get_span_context().trace_id) if is_kept else ""
