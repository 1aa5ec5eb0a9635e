"""One call: three clocks that nothing can stop, and an account of everything that happened."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from pydantic import BaseModel

from reflexarc.call import MOST_BLANK
from reflexarc.config import LLMConfig
from reflexarc.errors import (
    BadOutputError,
    ConnectError,
    DeadlineError,
    LLMError,
    Phase,
    RateLimitedError,
    RefusedError,
    ServerError,
    TruncatedError,
)
from reflexarc.llm import Request, Transport
from reflexarc.providers.dialect import Dialect
from reflexarc.providers.provider import Provider, ProviderLLM
from reflexarc.specs import ActionSpec
from reflexarc.types import (
    Action,
    ActionReady,
    ActionRefused,
    Attempt,
    CortexOutputModel,
    DeclinedDelta,
    Event,
    Finished,
    ServedBy,
    Stop,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
    Usage,
    Wire,
)
from reflexarc.vocabulary import Vocabulary

DOG = Vocabulary([ActionSpec("move", ("sit",)), ActionSpec("speak", None)])
SIT = Action(type="move", value="sit")
HI = Action(type="speak", value="Hi!")
HEAD = TextDelta('{"actions":[{"type":"move","value":"sit"}')
TAIL = TextDelta(',{"type":"speak","value":"Hi!"}]}')
DONE = Stop("stop")

Step = Sequence[Wire] | float | Exception
"""A batch that arrives, seconds that pass, or a failure."""


class _Skipping(selectors.DefaultSelector):
    """Passes the time until the next timer instead of waiting for it."""

    skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout if timeout is None else 0)
        if not ready and timeout:
            self.skipped_s += timeout
        return ready


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes at once: hours of silence cost nothing."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.skipped_s


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The tests here run on a loop without waiting."""
    return "asyncio", {"loop_factory": FastLoop}


class Script(Transport):
    """A transport that does what is written; it keeps how it was left."""

    def __init__(self, *steps: Step) -> None:
        self._steps = steps
        self.left: str | None = None
        self.left_at_s: float | None = None

    async def send(self, request: Request) -> AsyncGenerator[Sequence[Wire], None]:
        try:
            for step in self._steps:
                if isinstance(step, float):
                    await asyncio.sleep(step)
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield step
            self.left = "ended"
        except BaseException as error:
            self.left = type(error).__name__
            raise
        finally:
            self.left_at_s = now()


def now() -> float:
    """The loop's time."""
    return asyncio.get_running_loop().time()


def brain(
    *steps: Step, output_model: type[BaseModel] | None = None, **settings: Any
) -> tuple[ProviderLLM[Any], Script]:
    """An LLM over a script, and the script."""
    script = Script(*steps)

    class RobotLLM(ProviderLLM[Any]):
        provider = Provider("RobotLLM", "http://127.0.0.1/v1", None, "asked", Dialect())
        sdk = staticmethod(lambda _: script)

    config = LLMConfig(type="RobotLLM", transport="sdk", **settings)
    return RobotLLM(config, vocabulary=DOG, output_model=output_model, environ={}), script


async def play(llm: ProviderLLM[Any]) -> tuple[list[Event], LLMError | None]:
    """Every event of one call, and the error it ended in."""
    events: list[Event] = []
    try:
        async with aclosing(llm.stream("now")) as stream:
            async for event in stream:
                events.append(event)  # noqa: PERF401 - what came before a failure counts
    except LLMError as error:
        return events, error
    return events, None


def actions_in(events: Sequence[Event]) -> list[Action]:
    """The actions among the events."""
    return [event.action for event in events if isinstance(event, ActionReady)]


# --- the account --------------------------------------------------------------------------------


async def test_everything_is_given_out_in_order_with_its_time() -> None:
    """Text, each action with its index and second, usage, and last how the whole call went."""
    usage = Usage(100, 20, 60)
    llm, script = brain(
        [ServedBy("served")], 0.5, [HEAD], 0.25, [TAIL], 0.25, [DONE, usage], timeout=9
    )
    events, error = await play(llm)
    assert error is None
    assert events == [
        HEAD,
        ActionReady(SIT, 0, 0.5),
        TAIL,
        ActionReady(HI, 1, 0.75),
        usage,
        Finished(
            answer=CortexOutputModel(actions=[SIT, HI]),
            provider="RobotLLM",
            model="served",
            first_action_s=0.5,
            total_s=1.0,
            usage=usage,
            attempts=(Attempt("RobotLLM", "served", "ok", 1.0),),
        ),
    ]
    assert script.left == "ended"


async def test_what_arrives_together_comes_out_together() -> None:
    """One batch may hold the whole answer; its order is kept."""
    llm, _ = brain([HEAD, TAIL, DONE])
    events, _ = await play(llm)
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["TextDelta", "ActionReady", "TextDelta", "ActionReady", "Finished"]


async def test_refusals_stand_among_the_actions() -> None:
    """What the robot may not do is told with its reason and second, and takes no index."""
    text = '{"actions":[{"type":"fly","value":"up"},{"type":"move","value":"sit"}]}'
    events, error = await play(brain(1.0, [TextDelta(text), DONE])[0])
    assert error is None
    refused, ready = events[1:3]
    assert isinstance(refused, ActionRefused)
    assert (refused.type, refused.value, refused.at_s) == ("fly", "up", 1.0)
    assert "no action 'fly'" in refused.reason
    assert ready == ActionReady(SIT, 0, 1.0)


async def test_nothing_to_do_is_an_answer() -> None:
    """An empty list ends well, without a first action and without usage."""
    events, error = await play(brain([TextDelta('{"actions":[]}'), DONE])[0])
    assert error is None
    assert isinstance(events[-1], Finished)
    assert (events[-1].first_action_s, events[-1].usage) == (None, None)
    assert events[-1].answer == CortexOutputModel(actions=[])


async def test_what_only_the_end_completes_comes_before_finished() -> None:
    """An action of arguments encoded twice leaves at the end, with its index and second."""
    call = ToolCallDelta("move", '"{\\"action\\":\\"sit\\"}"', 0, "a")
    events, error = await play(brain([call], 0.5, [DONE])[0])
    assert error is None
    assert events[0] == ActionReady(SIT, 0, 0.5)
    assert isinstance(events[1], Finished)
    assert events[1].first_action_s == 0.5


@pytest.mark.parametrize(
    ("steps", "kind", "says"),
    [
        ([[HEAD, TAIL]], TruncatedError, "after 2 complete actions"),
        ([[HEAD, TAIL, Stop("unmarked")]], None, ""),
        ([[HEAD, Stop("length")]], TruncatedError, "after 1 complete actions"),
        ([[HEAD, TAIL, Stop("filter")]], RefusedError, "filter"),
        ([[HEAD, TAIL, Stop("error")]], ServerError, "stopped the answer"),
        ([[HEAD, TAIL, DONE, Stop("error")]], None, ""),
        ([[TextDelta("No."), DONE]], BadOutputError, "it begins: No."),
        ([[DONE]], BadOutputError, "it is empty"),
        ([], TruncatedError, "before any answer"),
    ],
)
async def test_the_end_is_what_the_server_said_first(
    steps: list[Step], kind: type[LLMError] | None, says: str
) -> None:
    """Each way to end is an error of its own or a whole answer, after the actions given out."""
    events, error = await play(brain(*steps)[0])
    assert (type(error) if error else None) == kind
    assert says in str(error)
    sent = [piece for step in steps for piece in step]  # type: ignore[union-attr]
    assert len(actions_in(events)) == (HEAD in sent) + (TAIL in sent)


async def test_an_answer_that_does_not_fit_the_output_model_is_an_error() -> None:
    """The caller's own model decides, after the actions were given out."""

    class Silent(BaseModel):
        actions: tuple[()]

    events, error = await play(brain([HEAD, TAIL, DONE], output_model=Silent)[0])
    assert isinstance(error, BadOutputError)
    assert "does not fit Silent" in error.message
    assert actions_in(events) == [SIT, HI]


async def test_an_error_is_completed_with_what_the_call_knows() -> None:
    """Provider, model, elapsed time and attempt are written into an error that lacks them."""
    _, error = await play(brain([ServedBy("served")], 1.5, ConnectError("broke"))[0])
    assert error is not None
    assert (error.provider, error.model, error.elapsed_s) == ("RobotLLM", "asked", 1.5)
    assert error.attempts == (Attempt("RobotLLM", "served", "connection", 1.5, "broke"),)


async def test_what_an_error_knows_already_stays() -> None:
    """A transport may know better."""
    attempts = (Attempt("a", "b", "rate_limited", 0.0),)
    failure = RateLimitedError("slow down", provider="p", model="m", elapsed_s=0.0)
    failure.attempts = attempts
    _, error = await play(brain(1.0, failure)[0])
    assert error is failure
    assert (error.provider, error.model, error.elapsed_s) == ("p", "m", 0.0)
    assert error.attempts == attempts


async def test_what_came_before_a_failure_stands() -> None:
    """Text and actions are given out before the error is raised."""
    events, error = await play(brain([HEAD], 0.5, [TextDelta("x")], ServerError("broke"))[0])
    assert isinstance(error, ServerError)
    assert events == [HEAD, ActionReady(SIT, 0, 0.0), TextDelta("x")]


# --- white space --------------------------------------------------------------------------------

SPACES = " " * MOST_BLANK
CLOSED = TextDelta('{"actions":[{"type":"move","value":"sit"}]')


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([[TextDelta(SPACES), HEAD, TAIL, DONE]], id="before it"),
        pytest.param([[HEAD, TextDelta(SPACES), TAIL, DONE]], id="inside it"),
        pytest.param([[HEAD, TAIL, TextDelta(SPACES), DONE]], id="behind it"),
        pytest.param(
            [[HEAD, TextDelta(SPACES + "," + SPACES), TextDelta(TAIL.text[1:]), DONE]], id="twice"
        ),
        pytest.param([[HEAD], *[[TextDelta(" " * 99)]] * 2, [TAIL, DONE]], id="in pieces"),
    ],
)
async def test_some_white_space_is_part_of_an_answer(steps: list[Step]) -> None:
    """Up to so many characters in a row a model may write what means nothing."""
    events, error = await play(brain(*steps)[0])
    assert error is None
    assert actions_in(events) == [SIT, HI]


@pytest.mark.parametrize(
    ("steps", "actions"),
    [
        pytest.param([[TextDelta(SPACES + " ")]], [], id="and nothing else"),
        pytest.param([[TextDelta("{" + SPACES + "\n")]], [], id="in an open answer"),
        pytest.param(
            [[HEAD], *[[TextDelta("\t \n")]] * 67], [SIT], id="in pieces, after an action"
        ),
        pytest.param(
            [[HEAD, TextDelta("," + SPACES[:99]), TextDelta(SPACES)]], [SIT], id="two pieces"
        ),
        pytest.param([[ToolCallDelta("move", SPACES + " ", 0)]], [], id="in a call's arguments"),
        pytest.param(
            [[ToolCallDelta("move", '{"action":', 0)], *[[ToolCallDelta("", " " * 9, 0)]] * 23],
            [],
            id="in a call's arguments, in pieces",
        ),
    ],
)
async def test_a_model_that_writes_white_space_for_ever_is_stopped(
    steps: list[Step], actions: list[Action]
) -> None:
    """It is left at once, and what it is stuck in is named, with what to do about it."""
    llm, script = brain(*steps, 99.0, structured="json")
    events, error = await play(llm)
    assert isinstance(error, BadOutputError)
    assert "more than 200 characters of white space" in error.message
    assert "another value of 'structured'" in error.message
    assert actions_in(events) == actions
    assert (script.left, now()) == ("GeneratorExit", 0.0)


@pytest.mark.parametrize(
    ("closed", "actions"),
    [
        pytest.param([HEAD, TAIL], [SIT, HI], id="a whole answer"),
        pytest.param([CLOSED], [SIT], id="a closed list"),
        pytest.param([TextDelta('{"actions":[]')], [], id="nothing to do"),
        pytest.param([TextDelta('{"type":"move","value":"sit"}')], [SIT], id="a single action"),
    ],
)
async def test_white_space_behind_an_answer_ends_it(
    closed: list[Wire], actions: list[Action]
) -> None:
    """Where nothing that may come changes the answer, it is complete, and the server may stop."""
    llm, script = brain([*closed, TextDelta(SPACES)], [TextDelta(" ")], 99.0)
    events, error = await play(llm)
    assert error is None
    assert actions_in(events) == actions
    assert isinstance(events[-1], Finished)
    assert events[-1].answer == CortexOutputModel(actions=actions)
    assert (script.left, now()) == ("GeneratorExit", 0.0)


async def test_the_end_that_the_server_told_counts_before_that_of_white_space() -> None:
    """A server that says why it ended has said so, whatever it still writes."""
    _, error = await play(brain([HEAD, TAIL, Stop("filter"), TextDelta(SPACES + " ")])[0])
    assert isinstance(error, RefusedError)


# --- what is no answer --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "kind", "says"),
    [
        pytest.param(
            [[ThoughtDelta("Hm")], [Stop("length")]],
            TruncatedError,
            "spent all its tokens on thinking; raise max_tokens, or switch its thinking off",
            id="thoughts up to the limit",
        ),
        pytest.param(
            [[ThoughtDelta("Hm")], [TextDelta("{"), Stop("length")]],
            TruncatedError,
            "after 0 complete actions",
            id="thoughts and the beginning of an answer",
        ),
        pytest.param(
            [[ThoughtDelta("Hm")], [DONE]], BadOutputError, "it is empty", id="thoughts alone"
        ),
        pytest.param(
            [[ThoughtDelta("Hm")]], TruncatedError, "before any answer", id="thoughts, then a cut"
        ),
        pytest.param(
            [[Stop("length")]],
            TruncatedError,
            "before any answer",
            id="the limit, without thoughts",
        ),
    ],
)
async def test_thoughts_are_no_answer(steps: list[Step], kind: type[LLMError], says: str) -> None:
    """A model that thinks with all its tokens is told from one that is cut in its answer."""
    events, error = await play(brain(*steps, structured="json")[0])
    assert type(error) is kind
    assert says in str(error)
    assert not [event for event in events if "Hm" in str(event)]


async def test_thoughts_before_an_answer_do_not_matter() -> None:
    """They are neither text nor an action, and the answer counts."""
    events, error = await play(brain([ThoughtDelta('{"actions":[]}')], [HEAD, TAIL, DONE])[0])
    assert error is None
    assert actions_in(events) == [SIT, HI]


@pytest.mark.parametrize("end", [[DONE], [Stop("filter")], []], ids=["end", "filter", "cut"])
async def test_who_declines_is_quoted_whole(end: list[Wire]) -> None:
    """The sentence is put together of its pieces, however the stream ends."""
    pieces = [[DeclinedDelta(text)] for text in ("I'm sorry,", " I can", "not do that.")]
    events, error = await play(brain(*pieces, end)[0])
    assert isinstance(error, RefusedError)
    assert error.message == (
        "the model declined: I'm sorry, I cannot do that.; say it in other words"
    )
    assert not error.retryable
    assert events == []


async def test_actions_before_a_refusal_stand() -> None:
    """A model that declines in mid-answer has acted before."""
    events, error = await play(brain([HEAD], [DeclinedDelta("No more."), DONE])[0])
    assert isinstance(error, RefusedError)
    assert actions_in(events) == [SIT]


async def test_a_servers_name_is_not_the_models() -> None:
    """Which software answers is kept apart from which model does."""
    events, _ = await play(brain([ServedBy(server="llama.cpp")], [HEAD, TAIL, DONE])[0])
    assert isinstance(events[-1], Finished)
    assert events[-1].model == "asked"


# --- the clocks ---------------------------------------------------------------------------------

DRIP: list[Step] = [step for _ in range(99) for step in (0.5, [TextDelta(" ")])]
KEEP_ALIVE: list[Step] = [
    step
    for _ in range(99)
    for step in (0.5, [], [Usage(1, 1)], [ServedBy("m"), TextDelta(""), ToolCallDelta("", "", 0)])
]


@pytest.mark.parametrize(
    ("steps", "settings", "phase", "at_s"),
    [
        pytest.param([99.0], {"timeout": 3}, "total", 3.0, id="nothing"),
        pytest.param([*DRIP], {"timeout": 3}, "total", 3.0, id="drip"),
        pytest.param([[HEAD], *DRIP], {"timeout": 3}, "total", 3.0, id="drip-after-action"),
        pytest.param([*KEEP_ALIVE], {"timeout": 3}, "total", 3.0, id="only-keep-alives"),
        pytest.param(
            [4.0, [HEAD], 9.0], {"stall_timeout": 2}, "stall", 6.0, id="slow-start-is-no-stall"
        ),
        pytest.param([[HEAD], 9.0], {"stall_timeout": 2}, "stall", 2.0, id="silence"),
        pytest.param(
            [[HEAD], 1.5, [TextDelta(" ")], 1.5, [TextDelta(" ")], 9.0],
            {"stall_timeout": 2},
            "stall",
            5.0,
            id="silence-begins-anew",
        ),
        pytest.param(
            [[HEAD], *KEEP_ALIVE], {"stall_timeout": 2}, "stall", 2.0, id="keep-alives-are-silence"
        ),
        pytest.param([[HEAD], 9.0], {"timeout": 2, "stall_timeout": 3}, "total", 2.0, id="nearest"),
        pytest.param([9.0], {"first_action_timeout": 1.5}, "first_action", 1.5, id="no-action"),
        pytest.param([*DRIP], {"first_action_timeout": 1.5}, "first_action", 1.5, id="only-text"),
        pytest.param(
            [[TextDelta("x")], 9.0],
            {"first_action_timeout": 4, "stall_timeout": 2},
            "stall",
            2.0,
            id="stall-before-first-action",
        ),
        pytest.param(
            [0.5, [HEAD], *DRIP],
            {"first_action_timeout": 1, "timeout": 3},
            "total",
            3.0,
            id="first-action-is-out",
        ),
        pytest.param(
            [[TextDelta('{"actions":[{"type":"fly","value":"up"}')], *DRIP],
            {"first_action_timeout": 1},
            "first_action",
            1.0,
            id="a-refusal-is-no-action",
        ),
    ],
)
async def test_the_clock_that_runs_out_first_ends_the_call(
    steps: list[Step], settings: dict[str, float], phase: Phase, at_s: float
) -> None:
    """Total, stall or first action: DeadlineError names the clock, on time, and all is closed."""
    llm, script = brain(*steps, **settings)
    _, error = await play(llm)
    assert isinstance(error, DeadlineError)
    assert error.phase == phase
    assert error.elapsed_s == pytest.approx(at_s)
    assert now() == pytest.approx(at_s)
    assert script.left == "CancelledError"
    assert script.left_at_s == pytest.approx(at_s)
    asked = error.attempts[0].model
    assert error.attempts == (Attempt("RobotLLM", asked, "timeout", now(), error.message),)
    assert error.retryable


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"timeout": 1.5}, "timeout = 1.5 s"),
        ({"first_action_timeout": 0.25}, "first_action_timeout = 0.25 s"),
        ({"stall_timeout": 3}, "stall_timeout = 3 s"),
    ],
)
async def test_a_deadline_names_the_setting(settings: dict[str, float], says: str) -> None:
    """The message has the field's name and value, so that it can be found and raised."""
    _, error = await play(brain([TextDelta("x")], 99.0, **settings)[0])
    assert f"{says}; try a faster model, or raise the limit" in str(error)


async def test_what_the_robot_does_meanwhile_is_no_silence() -> None:
    """A caller that walks for a minute between two actions does not make the server stall."""
    llm, _ = brain([HEAD], 1.0, [TAIL], 1.0, [DONE], timeout=999, stall_timeout=2)
    done: list[Action] = []
    async for action in llm.act("now"):
        await asyncio.sleep(60)
        done.append(action)
    assert done == [SIT, HI]


async def test_the_total_clock_runs_on_while_the_robot_acts() -> None:
    """The total is from the call to its end, whatever happens."""
    llm, script = brain([HEAD], 1.0, [TAIL, DONE], timeout=10)

    async def act() -> None:
        async for _ in llm.act("now"):
            await asyncio.sleep(60)

    with pytest.raises(DeadlineError) as caught:
        await act()
    assert caught.value.phase == "total"
    assert script.left == "CancelledError"


async def test_a_transport_s_own_timeout_is_not_taken_for_ours() -> None:
    """A TimeoutError from below, which a transport should have translated, is not hidden."""
    llm, script = brain(1.0, TimeoutError("mine"))
    with pytest.raises(TimeoutError, match="mine"):
        await play(llm)
    assert script.left == "TimeoutError"


# --- leaving ------------------------------------------------------------------------------------


async def leave_after_text(llm: ProviderLLM[Any]) -> None:
    """Take one event and close the stream."""
    async with aclosing(llm.stream("now")) as events:
        await anext(events)


async def leave_after_action(llm: ProviderLLM[Any]) -> None:
    """Take one action and close."""
    async with aclosing(llm.act("now")) as actions:
        assert await anext(actions) == SIT


async def leave_by_error(llm: ProviderLLM[Any]) -> None:
    """Fail with something of one's own after the first action."""
    with contextlib.suppress(ZeroDivisionError):
        async with aclosing(llm.act("now")) as actions:
            async for _ in actions:
                raise ZeroDivisionError


@pytest.mark.parametrize("leave", [leave_after_text, leave_after_action, leave_by_error])
async def test_leaving_closes_the_transport_at_once(
    leave: Callable[[ProviderLLM[Any]], Any],
) -> None:
    """Who has enough closes the connection by leaving, so that the server stops generating."""
    llm, script = brain([HEAD], 5.0, [TAIL, DONE])
    await leave(llm)
    assert (script.left, script.left_at_s) == ("GeneratorExit", 0.0)


@pytest.mark.parametrize("ask", [lambda llm: llm.ask("now"), play], ids=["ask", "stream"])
async def test_cancelling_passes_through_and_closes_the_transport(
    ask: Callable[[ProviderLLM[Any]], Any],
) -> None:
    """A cancelled call is cancelled, not failed, and nothing of it goes on."""
    llm, script = brain([HEAD], 5.0, [TAIL, DONE])
    task = asyncio.ensure_future(ask(llm))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (script.left, script.left_at_s) == ("CancelledError", 1.0)


async def test_a_caller_s_own_timeout_is_the_caller_s() -> None:
    """Cutting a call from outside raises the outer TimeoutError, no error of ours."""
    llm, script = brain(99.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await llm.ask("now")
    assert (script.left, now()) == ("CancelledError", 2.0)


async def test_one_brain_holds_several_calls() -> None:
    """Calls at the same time share nothing: each has its own clocks and account."""
    llm, _ = brain(1.0, [HEAD], 1.0, [TAIL, DONE])
    answers = await asyncio.gather(*(llm.ask("now") for _ in range(3)))
    assert answers == [CortexOutputModel(actions=[SIT, HI])] * 3
    assert now() == 2.0
