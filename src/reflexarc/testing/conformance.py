"""What every provider promises, over every transport: checks to run over one of your own as well.

Each promise is a coroutine function that takes a `Subject`, a provider before an emulated server,
and raises AssertionError where the promise is broken::

    @pytest.mark.parametrize("promise", PROMISES)
    async def test_keeps_its_promises(promise):
        await PROMISES[promise](Subject(MyLLM, "http", EMULATORS["openai"]))
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Any

from reflexarc.errors import AuthError, ClosedError, DeadlineError, LLMError, TruncatedError
from reflexarc.llm import LLM
from reflexarc.prompt import Prompt
from reflexarc.testing.emulator import COUNTS
from reflexarc.testing.reply import Reply
from reflexarc.testing.server import Received, Server
from reflexarc.testing.subject import (
    CALLS,
    GREET,
    KEY,
    PATIENCE_S,
    REST,
    SIT,
    SITUATION,
    TEXTS,
    Plan,
    Subject,
)
from reflexarc.types import Action, ActionReady, CortexOutputModel, Finished, Message, ToolCallDelta

Promise = Callable[[Subject], Awaitable[None]]
"""A check of one `Subject`; its docstring is the promise."""


async def _an_action_is_out_while_the_answer_comes(subject: Subject) -> None:
    """The first action is handed over although the server holds the rest of its answer back."""
    go_on = asyncio.Event()
    reply = subject.emulator.answer(*TEXTS, go_on, *REST)
    async with (
        subject.emulator.serve(reply) as server,
        subject.llm(server) as llm,
        aclosing(llm.act(SITUATION)) as actions,
        asyncio.timeout(PATIENCE_S),
    ):
        assert await anext(actions) == SIT
        go_on.set()
        assert [action async for action in actions] == [GREET]


async def _any_way_of_cutting_gives_the_same(subject: Subject) -> None:
    """Written whole, or in pieces of 1, 7 and 16,384 bytes, streamed or not: the same actions."""
    streamed = subject.emulator.answer(*TEXTS, *REST)
    whole = subject.emulator.whole(*TEXTS, *REST)
    replies = [
        replace(reply, piece=piece) for reply in (streamed, whole) for piece in (None, 1, 7, 16384)
    ]
    async with subject.emulator.serve(*replies) as server, subject.llm(server) as llm:
        for _ in replies:
            assert await llm.ask(SITUATION) == CortexOutputModel(actions=[SIT, GREET])


async def _the_answer_is_held_to_the_vocabulary(subject: Subject) -> None:
    """By itself it asks in a form that the server accepts at once, and reads the answer."""
    answer, request = await subject.asked(*TEXTS, *REST)
    assert answer == CortexOutputModel(actions=[SIT, GREET])
    held = {"response_format", "tools", "grammar"} & request.json.keys()
    assert len(held) == 1, f"held by {held}"


async def _one_tool_for_each_action(subject: Subject) -> None:
    """With ``structured: tools`` each action is a tool, and the calls are the actions in order."""
    answer, request = await subject.asked(*CALLS, structured="tools")
    assert answer == CortexOutputModel(actions=[SIT, GREET])
    tools = [tool["function"]["name"] for tool in request.json["tools"]]
    assert tools == ["move", "speak"]


async def _one_tool_for_the_whole_answer(subject: Subject) -> None:
    """With ``structured: tools`` any pydantic model is the argument of one tool."""
    call = ToolCallDelta("answer", '{"goal":"the door","meters":1.5}', 0, "a1B2c3D4e")
    answer, _ = await subject.asked(call, structured="tools", output_model=Plan)
    assert answer == Plan(goal="the door", meters=1.5)


async def _any_model_is_answered(subject: Subject) -> None:
    """``ask`` returns whatever pydantic model is asked for."""
    answer, _ = await subject.asked('{"goal":"the door",', '"meters":1.5}', output_model=Plan)
    assert answer == Plan(goal="the door", meters=1.5)


async def _the_system_message_comes_first_and_once(subject: Subject) -> None:
    """Whatever the history is, one system message, then alternating turns, the user's last."""
    past = [
        {"role": "assistant", "content": "Summary: we met."},
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}]},
        {"role": "system", "content": "Be quick."},
        Message("assistant", "c"),
    ]
    prompt = Prompt(system="Be Spot.", situation=SITUATION)
    _, request = await subject.asked(*TEXTS, *REST, prompt=prompt, messages=past)
    roles = [message["role"] for message in request.json["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert request.json["messages"][0]["content"].startswith("Be Spot.")
    assert request.json["messages"][-1]["content"] == SITUATION


async def _past_tool_calls_are_accepted(subject: Subject) -> None:
    """A history of tool calls with any ids, with and without results, breaks no rule."""
    function = {"name": "move", "arguments": '{"action":"sit"}'}
    past = [
        {"role": "user", "content": "sit!"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "x" * 32, "function": function}],
        },
        {"role": "tool", "tool_call_id": "x" * 32, "content": "done"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_1", "function": function}],
        },
    ]
    for structured in ("auto", "tools"):
        answer, _ = await subject.asked(*CALLS, messages=past, structured=structured)
        assert answer == CortexOutputModel(actions=[SIT, GREET])


async def _settings_are_sent(subject: Subject) -> None:
    """Each setting of the model changes the bytes that are sent, as documented."""
    _, plain = await subject.asked(*TEXTS, *REST)
    extra = {"top_p": 0.5}
    _, request = await subject.asked(*TEXTS, *REST, max_tokens=77, extra_params=extra)
    changed = {
        name: value
        for name, value in request.json.items()
        if plain.json.get(name) != value and name != "messages"
    }
    assert sorted(map(str, changed.values())) == ["0.5", "77"], changed
    assert request.method == "POST"
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.json["stream"] is True


async def _a_seed_is_sent_or_learned_to_be_refused(subject: Subject) -> None:
    """A seed goes out by the server's name for it; where it has none, once and never again."""
    replies = [subject.emulator.answer(*TEXTS, *REST) for _ in range(2)]
    async with subject.emulator.serve(*replies) as server:
        async with subject.llm(server, seed=7) as llm:
            for _ in replies:
                await llm.ask(SITUATION)
        sent = [{"seed", "random_seed"} & request.json.keys() for request in server.requests]
    assert len(sent[0]) == 1
    assert sent in ([sent[0]] * 2, [sent[0], set(), set()])


async def _tokens_are_counted(subject: Subject) -> None:
    """The end of a stream tells who answered, and what it cost where the server says so."""
    reply = subject.emulator.answer(*TEXTS, *REST)
    async with subject.emulator.serve(reply) as server, subject.llm(server) as llm:
        told = [event async for event in llm.stream(SITUATION)]
    end = told[-1]
    assert isinstance(end, Finished)
    assert end.usage is not None
    assert end.usage.prompt_tokens == COUNTS.prompt_tokens
    assert end.provider == subject.kind.provider.name
    assert [attempt.outcome for attempt in end.attempts] == ["ok"]


async def _cancelling_closes_the_connection(subject: Subject) -> None:
    """A task that is cancelled in mid-answer, or waits for one, leaves no open connection."""
    held = subject.emulator.answer(*TEXTS, asyncio.Event(), *REST)
    silent = Reply(wait=asyncio.Event())
    async with subject.emulator.serve(held, silent) as server, subject.llm(server) as llm:
        for times in (1, 2):
            asking = asyncio.create_task(llm.ask(SITUATION))
            async with asyncio.timeout(PATIENCE_S):
                request = await server.asked(times)
                await asyncio.sleep(0.02)
                asking.cancel()
                await request.left.wait()
            await asyncio.wait([asking])
            assert asking.cancelled()


async def _leaving_the_loop_closes_the_connection(subject: Subject) -> None:
    """Who stops reading the actions stops the server as well."""
    held = subject.emulator.answer(*TEXTS, asyncio.Event(), *REST)
    async with subject.emulator.serve(held) as server, subject.llm(server) as llm:
        async with aclosing(llm.act(SITUATION)) as actions:
            async for action in actions:
                assert action == SIT
                break
        async with asyncio.timeout(PATIENCE_S):
            await (await server.asked()).left.wait()


async def _the_deadline_holds(subject: Subject) -> None:
    """Neither silence nor keep-alives outlast the deadline, and what was out before stands."""
    pings = [step for _ in range(200) for step in (b": keep-alive\n\n", 0.02)]
    replies = [Reply(wait=asyncio.Event()), subject.emulator.answer(*TEXTS, *pings, *REST)]
    async with (
        subject.emulator.serve(*replies) as server,
        subject.llm(server, timeout=0.4) as llm,
    ):
        for before in ([], [SIT]):
            done, error = await _acted(llm)
            # A chain of brains tells that the answer has broken off, and why.
            late = error.__cause__ if isinstance(error, TruncatedError) else error
            assert error is not None
            assert isinstance(late, DeadlineError), error
            assert late.phase == "total"
            assert error.elapsed_s is not None
            assert error.elapsed_s < PATIENCE_S
            assert done == before


async def _what_is_cut_is_no_success(subject: Subject) -> None:
    """A stream cut after any event, cleanly or by a reset, keeps its actions and is an error."""
    whole = subject.emulator.answer(*TEXTS, *REST)
    last = next(
        at for at, step in enumerate(whole.body) if isinstance(step, bytes) and b"]}" in step
    )
    replies = [
        replace(whole, body=whole.body[:at], end=end)
        for at in range(1, last)
        for end in ("whole", "cut", "reset")
    ]
    async with subject.emulator.serve(*replies) as server, subject.llm(server) as llm:
        for _ in replies:
            done, error = await _acted(llm)
            assert error is not None, "a cut answer was taken for a whole one"
            assert error.kind in {"truncated", "connection"}
            assert done in ([], [SIT])


async def _acted(llm: LLM[Any]) -> tuple[list[Action], LLMError | None]:
    """The actions that were handed over, and how the call failed."""
    done: list[Action] = []
    try:
        async for action in llm.act(SITUATION):
            done.append(action)  # noqa: PERF401 - those before a failure count
    except LLMError as error:
        return done, error
    return done, None


async def _the_key_stays_secret(subject: Subject) -> None:
    """A refused key is named as such; no key is in an error, a log or a repr, at any level."""
    quoting = Reply.json({"error": {"message": f"bad key {KEY}", "code": "invalid_api_key"}}, 401)
    async with subject.emulator.serve(quoting) as server, subject.llm(server) as llm:
        with _logged() as lines:
            _, error = await _acted(llm)
        assert isinstance(error, AuthError)
        shown = [str(error.to_dict())]
        cause: BaseException | None = error
        while cause is not None:
            shown += [str(cause), repr(cause)]
            cause = cause.__cause__ or cause.__context__
        shown += [repr(llm), repr(vars(llm)), *lines]
        assert not [text for text in shown if KEY in text]


async def _calls_side_by_side_do_not_mix(subject: Subject) -> None:
    """Several questions at once each get their own answer."""

    def route(request: Received) -> Reply:
        said = request.json["messages"][-1]["content"]
        return subject.emulator.reply(
            request, '{"actions":[{"type":"speak",', f'"value":"{said}"}}]}}'
        )

    async with Server(route=route) as server, subject.llm(server) as llm:
        asked = [f"question {number}" for number in range(8)]
        answers = await asyncio.gather(*(llm.ask(each) for each in asked))
    assert [answer.actions[0].value for answer in answers] == asked


async def _the_connection_is_kept(subject: Subject) -> None:
    """Questions one after the other travel by one connection, which closing the LLM closes."""
    replies = [subject.emulator.answer(*TEXTS, *REST) for _ in range(3)]
    async with subject.emulator.serve(*replies) as server:
        async with subject.llm(server) as llm:
            for _ in replies:
                await llm.ask(SITUATION)
        assert server.connections == 1


async def _closing_ends_what_is_asked(subject: Subject) -> None:
    """Closed in mid-answer, or before it, it ends at once; it answers again once it is opened."""
    held = subject.emulator.answer(*TEXTS, asyncio.Event(), *REST)
    silent = Reply(wait=asyncio.Event())
    answer = subject.emulator.answer(*TEXTS, *REST)
    async with subject.emulator.serve(held, silent, answer) as server:
        llm = subject.llm(server)
        for times, before in ((1, [SIT]), (2, [])):
            await llm.open()
            acting = asyncio.create_task(_acted(llm))
            async with asyncio.timeout(PATIENCE_S):
                request = await server.asked(times)
                await asyncio.sleep(0.02)
                await llm.aclose()
                done, error = await acting
                await request.left.wait()
            assert isinstance(error, ClosedError), error
            assert done == before
            done, error = await _acted(llm)
            assert isinstance(error, ClosedError), error
        async with llm:
            assert await llm.ask(SITUATION) == CortexOutputModel(actions=[SIT, GREET])
        assert len(server.requests) == 3


async def _events_are_in_order(subject: Subject) -> None:
    """Actions are numbered from 0, timed in order, and the last event is the end."""
    reply = subject.emulator.answer(*TEXTS, *REST)
    async with subject.emulator.serve(reply) as server, subject.llm(server) as llm:
        told = [event async for event in llm.stream(SITUATION)]
    ready = [event for event in told if isinstance(event, ActionReady)]
    assert [event.index for event in ready] == [0, 1]
    assert ready[0].at_s <= ready[1].at_s
    assert [type(event) for event in told].count(Finished) == 1
    assert isinstance(told[-1], Finished)


@contextmanager
def _logged() -> Generator[list[str]]:
    """Everything that is logged meanwhile, by whomever."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.getMessage()} {record.exc_info}")

    root, handler = logging.getLogger(), Keep()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


PROMISES: Mapping[str, Promise] = {
    promise.__name__.removeprefix("_"): promise
    for promise in (
        _an_action_is_out_while_the_answer_comes,
        _any_way_of_cutting_gives_the_same,
        _the_answer_is_held_to_the_vocabulary,
        _one_tool_for_each_action,
        _one_tool_for_the_whole_answer,
        _any_model_is_answered,
        _the_system_message_comes_first_and_once,
        _past_tool_calls_are_accepted,
        _settings_are_sent,
        _a_seed_is_sent_or_learned_to_be_refused,
        _tokens_are_counted,
        _cancelling_closes_the_connection,
        _leaving_the_loop_closes_the_connection,
        _the_deadline_holds,
        _what_is_cut_is_no_success,
        _the_key_stays_secret,
        _calls_side_by_side_do_not_mix,
        _the_connection_is_kept,
        _closing_ends_what_is_asked,
        _events_are_in_order,
    )
}
"""All of them, by name."""
