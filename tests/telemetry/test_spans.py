"""Spans: one a tick, one a question below it, and one a try below that."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from reflexarc.config import LLMConfig
from reflexarc.errors import AuthError, ServerError
from reflexarc.llm import LLM
from reflexarc.prompt import Prompt
from reflexarc.registry import load_llm
from reflexarc.resilience import Deadline, Failover, Hedge, Retry
from reflexarc.telemetry import TickSpans, Traced
from reflexarc.telemetry.names import SPAN_ATTRIBUTES
from reflexarc.testing import Reply, ScriptedLLM, Server, Turn
from reflexarc.types import ActionRefused, CortexOutputModel, Message, PlainText, TextDelta, Usage
from tests.telemetry.conftest import SAY, SECRET, SIT, run, tick

DOWN = ServerError(f"down, and it quotes {SECRET}")


class Sink:
    """Where spans go."""

    def __init__(self, **given: Any) -> None:
        self.memory = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False, **given)
        self.provider.add_span_processor(SimpleSpanProcessor(self.memory))

    def spans(self, prefix: str) -> list[ReadableSpan]:
        """Those whose name begins so, in order of their ends."""
        return [each for each in self.memory.get_finished_spans() if each.name.startswith(prefix)]

    def text(self) -> str:
        """All that would leave the robot."""
        return "".join(each.to_json() for each in self.memory.get_finished_spans())


@pytest.fixture
def sink() -> Sink:
    """A new one."""
    return Sink()


def scripted(*events: Any, name: str = "One", **turn: Any) -> ScriptedLLM[Any]:
    """A brain that does the same at every question."""
    return ScriptedLLM(Turn(events, **turn), name=name, model=f"model-of-{name}")


def told(span: ReadableSpan) -> dict[str, Any]:
    """A span's attributes, each of which is in the table."""
    attributes = dict(span.attributes or {})
    assert attributes.keys() <= SPAN_ATTRIBUTES.keys()
    return attributes


async def test_a_question_is_one_client_span(sink: Sink) -> None:
    """By the convention's names: who, which model, how long, how many tokens."""
    refused = ActionRefused("move", "fly", "no", 0.0)
    brain = scripted(TextDelta("x"), SIT, refused, Usage(100, 20, 80), name="MistralLLM")
    config = LLMConfig(
        type="MistralLLM",
        model="model-of-MistralLLM",
        base_url="http://10.0.0.7:8080/v1",
        api_key=SECRET,
        temperature=0.5,
        seed=7,
    )
    await Traced(brain, [config], tracer_provider=sink.provider).ask("go")
    [span] = sink.spans("chat")
    assert span.name == "chat model-of-MistralLLM"
    assert span.kind is SpanKind.CLIENT
    attributes = told(span)
    assert 0 <= attributes.pop("gen_ai.response.time_to_first_chunk") < 1
    assert 0 <= attributes.pop("cortex.first_action_s") < 1
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "mistral_ai",
        "gen_ai.request.model": "model-of-MistralLLM",
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 512,
        "gen_ai.request.seed": 7,
        "gen_ai.response.model": "model-of-MistralLLM",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 80,
        "gen_ai.output.type": "json",
        "server.address": "10.0.0.7",
        "server.port": 8080,
        "cortex.outcome": "ok",
        "cortex.actions": 1,
        "cortex.refused": 1,
        "cortex.attempts": 1,
    }
    assert span.status.status_code is StatusCode.UNSET


async def test_each_try_is_a_span_below_it(sink: Sink) -> None:
    """Both tries at the first, with their error, and the one that answered, where they were."""
    first = Retry[Any](scripted(failure=DOWN, duration_s=0.02))
    chain = Deadline(Failover[Any]([first, scripted(SIT, name="Two")]), timeout=5)
    await Traced[Any](chain, tracer_provider=sink.provider).ask("go")
    [question] = sink.spans("chat")
    tries = sink.spans("attempt")
    assert [each.name for each in tries] == ["attempt One", "attempt One", "attempt Two"]
    assert [told(each).get("error.type") for each in tries] == ["server", "server", None]
    assert [told(each)["cortex.outcome"] for each in tries] == ["error", "error", "ok"]
    for each in tries:
        assert each.parent is not None
        assert each.parent.span_id == question.context.span_id
        assert question.start_time - 1_000_000 <= each.start_time <= each.end_time
        assert each.end_time <= question.end_time + 1_000_000
        assert "gen_ai.operation.name" not in told(each)  # which would make it a second question
    assert tries[0].end_time <= tries[1].start_time
    assert told(question)["gen_ai.provider.name"] == "Two"
    assert told(question)["gen_ai.request.model"] == "model-of-Two"
    assert told(question)["cortex.attempts"] == 3
    assert SECRET not in sink.text()


async def test_one_that_was_overtaken_is_told(sink: Sink) -> None:
    """It has not failed, and ended when the other one acted."""
    slow, quick = scripted(SIT, first_s=5), scripted(SIT, name="Two", duration_s=0.1)
    hedge = Hedge[Any](slow, quick, after_s=0.02)
    await Traced[Any](hedge, tracer_provider=sink.provider).ask("go")
    late, answered = sink.spans("attempt")
    assert told(late)["cortex.outcome"] == "overtaken"
    assert late.status.status_code is StatusCode.UNSET
    assert late.end_time < answered.end_time


async def test_a_failure_is_told_by_its_kind(sink: Sink) -> None:
    """The error goes on to the caller; its words, which may be anybody's, go nowhere."""
    with pytest.raises(ServerError):
        await Traced[Any](scripted(failure=DOWN), tracer_provider=sink.provider).ask("go")
    [span] = sink.spans("chat")
    assert told(span)["error.type"] == "server"
    assert told(span)["cortex.outcome"] == "error"
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert not span.events
    assert SECRET not in sink.text()


async def test_an_idle_robot_is_an_error_with_the_last_reason(sink: Sink) -> None:
    """The robot has acted, and no model has answered."""
    llm = Deadline[Any](scripted(failure=DOWN), timeout=5, idle=SIT)
    await Traced[Any](llm, tracer_provider=sink.provider).ask("go")
    [span] = sink.spans("chat")
    assert told(span)["cortex.outcome"] == "idle"
    assert told(span)["error.type"] == "server"
    assert len(sink.spans("attempt")) == 1


async def test_who_leaves_or_is_cancelled_is_no_error(sink: Sink) -> None:
    """Both are told apart, and the span ends."""
    llm = Traced[Any](scripted(SIT, SAY, duration_s=5), tracer_provider=sink.provider)
    async with aclosing(llm.act("go")) as actions:
        await anext(actions)
    asking = asyncio.create_task(llm.ask("go"))
    await asyncio.sleep(0.02)
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()
    left, cancelled = sink.spans("chat")
    assert told(left)["cortex.outcome"] == "left"
    assert told(cancelled)["cortex.outcome"] == "cancelled"
    assert "error.type" not in told(left) | told(cancelled)


async def test_on_board_it_is_no_client(sink: Sink) -> None:
    """Nothing leaves the robot, so the span is internal; a summary is text."""
    brain = scripted(answer=PlainText(text="Ann came."), name="OnboardLLM")
    brain.is_on_board = True
    await Traced[Any](brain, tracer_provider=sink.provider).write("sum up")
    [span] = sink.spans("chat")
    assert span.kind is SpanKind.INTERNAL
    assert told(span)["gen_ai.provider.name"] == "llama_cpp"
    assert told(span)["gen_ai.output.type"] == "text"


async def test_what_was_said_is_there_only_on_request(sink: Sink) -> None:
    """By default nothing of it; on request prompt and answer in the convention's JSON."""
    prompt = Prompt("You are Dot.", (Message("user", "Ann came."),), "Ann is here.")
    brain = scripted(TextDelta("Hello, "), TextDelta("Ann."), SAY)
    await Traced(brain, tracer_provider=sink.provider).ask(prompt)
    assert "Ann" not in sink.text()
    assert "You are Dot" not in sink.text()
    await Traced(brain, tracer_provider=sink.provider, content=True).ask(prompt)
    attributes = told(sink.spans("chat")[-1])
    assert json.loads(attributes["gen_ai.system_instructions"]) == [
        {"type": "text", "content": "You are Dot."}
    ]
    asked = json.loads(attributes["gen_ai.input.messages"])
    assert [each["parts"][0]["content"] for each in asked] == ["Ann came.", "Ann is here."]
    [answer] = json.loads(attributes["gen_ai.output.messages"])
    assert answer["parts"] == [{"type": "text", "content": "Hello, Ann."}]


async def test_half_an_emoji_costs_no_attribute(sink: Sink) -> None:
    """As a cut text leaves it; what can be written as UTF-8 is what can be sent."""
    prompt = Prompt("You are \udc36.", (), "Ann waves \ud83d.")
    await Traced(scripted(SAY), tracer_provider=sink.provider, content=True).ask(prompt)
    attributes = told(sink.spans("chat")[0])
    for name, text in (("gen_ai.system_instructions", "are"), ("gen_ai.input.messages", "waves")):
        assert text.encode() in attributes[name].encode()


async def test_questions_are_below_their_tick(sink: Sink) -> None:
    """Each tick is a trace of its own, and nothing is current behind it."""
    llm = Traced[Any](scripted(SIT), tracer_provider=sink.provider)
    spans = TickSpans("dot", tracer_provider=sink.provider)
    await run(llm, "a", "b", spans=spans)
    ticks, questions = sink.spans("tick"), sink.spans("chat")
    assert [told(each)["cortex.tick"] for each in ticks] == [1, 2]
    assert {told(each)["gen_ai.agent.name"] for each in ticks} == {"dot"}
    for above, below in zip(ticks, questions, strict=True):
        assert above.parent is None
        assert below.parent is not None
        assert below.parent.span_id == above.context.span_id
    assert ticks[0].context.trace_id != ticks[1].context.trace_id
    assert not get_current_span().is_recording()


async def test_a_tick_that_fails_is_marked(sink: Sink) -> None:
    """By the kind of the error, and with the id that its line in the traces has."""
    spans = TickSpans("dot", tracer_provider=sink.provider)
    spans.begin(1)
    trace_id = spans.end(tick(error_kind="timeout", error=SECRET))
    [span] = sink.spans("tick")
    assert told(span)["error.type"] == "timeout"
    assert told(span)["cortex.missed"] == 1
    assert f"{span.context.trace_id:032x}" == trace_id
    assert SECRET not in sink.text()


async def test_a_robot_that_is_stopped_has_not_failed(sink: Sink) -> None:
    """Its last tick has no error."""
    spans = TickSpans("dot", tracer_provider=sink.provider)
    spans.begin(1)
    spans.end(tick(error_kind="stopped"))
    [span] = sink.spans("tick")
    assert span.status.is_unset
    assert "error.type" not in told(span)


async def test_what_is_inside_sees_the_span(sink: Sink) -> None:
    """What others instrument, such as a client of HTTP, is below the question."""
    seen: list[Any] = []

    class Curious(ScriptedLLM[Any]):
        async def stream(self, prompt: Any, messages: Any = None) -> Any:
            seen.append(get_current_span().get_span_context())
            async for event in super().stream(prompt, messages):
                yield event

    chain = Failover[Any]([scripted(failure=DOWN), Curious(Turn((SIT,)))])
    await Traced[Any](chain, tracer_provider=sink.provider).ask("go")
    [span] = sink.spans("chat")
    assert [each.span_id for each in seen] == [span.context.span_id]


async def test_a_sampler_that_wants_nothing_gets_nothing() -> None:
    """No span of a try is made either, and the answer is the same."""
    sink = Sink(sampler=ALWAYS_OFF)
    llm: LLM[Any] = Traced[Any](scripted(SIT), tracer_provider=sink.provider)
    spans = TickSpans("dot", tracer_provider=sink.provider)
    await run(llm, "a", spans=spans)
    assert (await llm.ask("go")).actions == [SIT]
    spans.begin(2)
    assert spans.end(tick()) == ""
    assert not sink.memory.get_finished_spans()


async def test_a_real_server_is_named_without_its_key(sink: Sink) -> None:
    """Through our own client: host, port and the model that answered; the key is nowhere."""
    answer = '{"actions":[{"type":"move","value":"sit"}]}'
    refusal = Reply.json({"error": {"message": f"{SECRET} is no key"}}, 401)
    served = Reply.stream(answer, model="llama-as-served", usage=Usage(100, 20))
    async with Server(served, refusal) as server:
        port = server.port
        config = LLMConfig(type="LlamaLLM", model="m", base_url=server.base_url, api_key=SECRET)
        async with load_llm(config, output_model=CortexOutputModel, environ={}) as llm:
            traced = Traced(llm, [config], tracer_provider=sink.provider)
            assert (await traced.ask("go")).actions == [SIT]
            with pytest.raises(AuthError):
                await traced.ask("go")
    answered, refused = map(told, sink.spans("chat"))
    assert (answered["server.address"], answered["server.port"]) == ("127.0.0.1", port)
    assert answered["gen_ai.response.model"] == "llama-as-served"
    assert answered["gen_ai.usage.input_tokens"] == 100
    assert refused["error.type"] == "auth"
    assert SECRET not in sink.text()
