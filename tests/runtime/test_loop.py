"""The loop: what is sensed becomes a prompt, and each action reaches the actuator at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from reflexarc.config import LLMConfig
from reflexarc.errors import ContextOverflowError, LLMError, ServerError
from reflexarc.llm import Messages
from reflexarc.prompt import Prompt
from reflexarc.providers.connection import FRESH_S, IDLE_S
from reflexarc.registry import load_llm
from reflexarc.resilience import Deadline, Failover
from reflexarc.runtime.actuators import Actuator
from reflexarc.runtime.events import Failed, TickEnded, TickEvent, TickStarted
from reflexarc.runtime.inputs import Board, Input, Script
from reflexarc.runtime.loop import _CONNECT_EVERY_S, CONNECTED_S, Loop
from reflexarc.testing import Reply, ScriptedLLM, Server, Turn, run_virtual
from reflexarc.types import (
    Action,
    ActionReady,
    ActionRefused,
    CortexOutputModel,
    Event,
    Finished,
    TextDelta,
)

SIT = Action(type="move", value="sit")
WAG = Action(type="move", value="wag tail")
SAY = Action(type="speak", value="Hello.")
DOWN = ServerError("the server is down; try again")

Brain = ScriptedLLM[CortexOutputModel]


class Feed(Input):
    """An input that a test feeds; None ends it."""

    def __init__(self, *texts: str | None) -> None:
        self.queue: asyncio.Queue[str | None] = asyncio.Queue()
        for text in texts:
            self.queue.put_nowait(text)

    async def run(self, board: Board) -> None:
        """Put on the board what the test feeds."""
        while (text := await self.queue.get()) is not None:
            board.put("feed", text)


class Body(Actuator):
    """An actuator that takes its time, and notes what it begins and ends."""

    def __init__(self, duration_s: float = 0.0, broken: Sequence[Action] = ()) -> None:
        self.duration_s = duration_s
        self.broken = broken
        self.log: list[str] = []

    async def perform(self, action: Action) -> None:
        """Take the time, or fail."""
        self.log.append(f"begin {action.value}")
        await asyncio.sleep(self.duration_s)
        if action in self.broken:
            raise RuntimeError("the motor is stuck")
        self.log.append(f"end {action.value}")


def make(llm: Any, *inputs: Input, seen: list[TickEvent] | None = None, **settings: Any) -> Loop:
    """Make a loop of a fast robot."""
    observe = [].append if seen is None else seen.append
    defaults = {"hertz": 1000, "history_length": 0, "observe": observe}
    return Loop(llm, Prompt(system="You are Spot."), inputs=inputs, **{**defaults, **settings})


def situations(llm: Brain) -> list[str]:
    """What the brain was told is sensed, call after call."""
    return [asked.prompt.situation for asked in llm.asked]


async def until(what: Any) -> None:
    """Wait until something is so; the test's own time limit is the only one."""
    while not what():  # noqa: ASYNC110 - it may be anything
        await asyncio.sleep(0.001)


async def test_a_script_is_played_one_text_a_tick() -> None:
    """Every text of a script is one tick, in order, none lost; then the loop ends."""
    llm, seen = Brain(Turn((SIT,))), list[TickEvent]()
    await make(llm, Script(["a", "b", "c"]), seen=seen).run()
    assert situations(llm) == ["a", "b", "c"]
    started = [event for event in seen if isinstance(event, TickStarted)]
    assert [(event.tick, event.text) for event in started] == [(1, "a"), (2, "b"), (3, "c")]
    ended = [event for event in seen if isinstance(event, TickEnded)]
    assert [(event.tick, event.record.prompt, event.record.at) for event in ended] == [
        (event.tick, event.prompt, event.at) for event in started
    ]


async def test_the_newest_is_what_is_so_now() -> None:
    """Of what one source senses during a tick, the next is told the newest, and the rest shown."""
    feed, seen = Feed("a"), list[TickEvent]()
    llm = Brain(Turn(duration_s=0.05), Turn())
    running = asyncio.create_task(make(llm, feed, seen=seen).run())
    await until(lambda: llm.asked)
    for text in ("b", "c", None):
        feed.queue.put_nowait(text)
    await running
    assert situations(llm) == ["a", "c"]
    started = [event.to_dict() for event in seen if isinstance(event, TickStarted)]
    assert started == [
        {"event": "sensed", "tick": 1, "text": "a"},
        {"event": "sensed", "tick": 2, "text": "c", "missed": ["b"]},
    ]


async def test_all_sources_are_told_together() -> None:
    """One tick takes the newest of every source."""
    llm = Brain()
    script = Script(["It rains."])
    await make(llm, script, Feed("A person says: sit.", None)).run()
    assert situations(llm) == ["It rains.\nA person says: sit."]


async def test_the_stable_part_is_in_every_prompt() -> None:
    """The brain is told its persona at every tick."""
    llm = Brain()
    await make(llm, Script(["a", "b"])).run()
    assert [asked.prompt.system for asked in llm.asked] == ["You are Spot."] * 2


async def test_nothing_sensed_is_no_question() -> None:
    """Where nothing was sensed there is no tick, and the model is not asked."""
    llm, seen = Brain(), list[TickEvent]()
    feed = Feed("a")
    running = asyncio.create_task(make(llm, feed, seen=seen).run())
    await until(lambda: llm.asked)
    await asyncio.sleep(0.05)  # fifty ticks' time
    assert len(llm.asked) == 1
    feed.queue.put_nowait(None)
    await running
    assert len([event for event in seen if isinstance(event, TickStarted)]) == 1


async def test_no_input_is_no_work() -> None:
    """A robot without inputs, or whose inputs have nothing to say, ends at once, asking nothing."""
    llm = Brain()
    await make(llm).run()
    await make(llm, Feed(None), Script([])).run()
    assert not llm.asked


async def test_ticks_keep_to_their_rate() -> None:
    """There are no more ticks a second than `hertz`, also when the inputs have ended."""
    llm = Brain(Turn(duration_s=0.03))
    feed = Feed("a")
    running = asyncio.create_task(make(llm, feed, hertz=10).run())
    await until(lambda: llm.asked)
    feed.queue.put_nowait("b")
    feed.queue.put_nowait(None)
    await running
    first, second = (asked.at_s for asked in llm.asked)
    assert second - first > 0.09


async def test_the_end_is_not_waited_for() -> None:
    """A slow robot ends after its last tick, not a period later."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await make(Brain(), Script(["a"]), hertz=0.1).run()
    assert loop.time() - began < 5


async def test_the_rate_does_not_delay_the_first_answer() -> None:
    """What is sensed after a pause is answered at once."""
    llm = Brain()
    feed = Feed()
    running = asyncio.create_task(make(llm, feed, hertz=0.1).run())
    await asyncio.sleep(0.02)
    feed.queue.put_nowait("a")
    await asyncio.wait_for(until(lambda: llm.asked), 5)
    feed.queue.put_nowait(None)
    await running


async def test_ticks_do_not_overlap() -> None:
    """A tick begins when the answer of the last one is complete and its movements are made."""
    llm, body = Brain(Turn((SIT,), duration_s=0.02)), Body(0.05)
    await make(llm, Script("abc"), actuator=body).run()
    assert body.log == ["begin sit", "end sit"] * 3
    for before, after in zip(llm.asked, llm.asked[1:], strict=False):
        assert after.at_s >= before.at_s + 0.05
        assert before.ended == "finished"


async def test_an_action_is_handed_over_before_the_answer_is_complete() -> None:
    """The actuator begins with the first action while the model is still answering."""
    llm, body = Brain(Turn((SIT, SAY), duration_s=0.2)), Body()
    running = asyncio.create_task(make(llm, Script(["a"]), actuator=body).run())
    await until(lambda: body.log)
    assert llm.asked[0].ended == "running"
    await running
    assert body.log == ["begin sit", "end sit", "begin Hello.", "end Hello."]


async def test_a_slow_movement_does_not_hold_up_reading() -> None:
    """The whole answer is read while the first movement is still under way; the order is kept."""
    seen, body = list[TickEvent](), Body(0.2)
    llm = Brain(Turn((SIT, WAG, SAY), duration_s=0.02))
    running = asyncio.create_task(make(llm, Script(["a"]), seen=seen, actuator=body).run())
    await until(lambda: isinstance(seen and seen[-1], Finished))
    assert body.log == ["begin sit"]
    await running
    steps = ("begin", "end")
    assert body.log == [f"{step} {each.value}" for each in (SIT, WAG, SAY) for step in steps]


async def test_everything_is_observed() -> None:
    """Whoever observes is told all that happens, in order, with nothing left out."""
    seen = list[TickEvent]()
    refused = ActionRefused("move", "fly", "it has no wings", 0.0)
    await make(Brain(Turn((TextDelta("{"), SIT, refused))), Script(["a"]), seen=seen).run()
    assert [type(event) for event in seen] == [
        TickStarted, TextDelta, ActionReady, ActionRefused, Finished, TickEnded,
    ]  # fmt: skip


class Broken(Brain):
    """A brain with a bug: at its first question it fails with what no brain may raise."""

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Fail once, after an action."""
        first = not self.asked
        async for event in super().stream(prompt, messages):
            yield event
            if first:
                raise KeyError("choices")


@pytest.mark.parametrize(
    ("llm", "kind"),
    [(Brain(Turn((SIT,), failure=DOWN), Turn((WAG,))), "server"), (Broken(Turn((SIT,))), "llm")],
    ids=["foreseen", "bug"],
)
async def test_a_failing_model_does_not_end_the_robot(llm: Brain, kind: str) -> None:
    """A failed call is reported, what it gave out is done, and the next tick is asked."""
    seen, body = list[TickEvent](), Body()
    loop = make(llm, Script(["a", "b"]), seen=seen, actuator=body)
    await loop.run()
    assert situations(llm) == ["a", "b"]
    [failed] = [event for event in seen if isinstance(event, Failed)]
    assert failed.to_dict()["kind"] == kind
    assert body.log[:2] == ["begin sit", "end sit"]
    assert isinstance(seen[-2], Finished)
    assert loop.failures == 1
    first, _ = [event.record for event in seen if isinstance(event, TickEnded)]
    assert first.done == (SIT,)
    assert first.error


async def test_a_failing_actuator_does_not_end_the_robot(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A movement that fails is reported with its action, and the next one is made."""
    seen, body = list[TickEvent](), Body(broken=[SIT])
    loop = make(Brain(Turn((SIT, WAG))), Script(["a", "b"]), seen=seen, actuator=body)
    await loop.run()
    assert body.log == ["begin sit", "begin wag tail", "end wag tail"] * 2
    failures = [event.to_dict() for event in seen if isinstance(event, Failed)]
    assert (
        failures
        == [
            {
                "event": "error",
                "kind": "actuator",
                "message": "RuntimeError: the motor is stuck",
                "action": {"type": "move", "value": "sit"},
            }
        ]
        * 2
    )
    assert loop.failures == 2
    assert "the actuator failed" in caplog.text


async def test_a_movement_that_hangs_is_given_up() -> None:
    """After its limit the next action begins, and the robot goes on."""
    body, seen = Body(), list[TickEvent]()
    body.timeout_s = 0.05

    async def perform(action: Action) -> None:
        body.log.append(action.value)
        await asyncio.sleep(60.0 if action == SIT else 0.0)

    body.perform = perform
    loop = make(Brain(Turn((SIT, WAG))), Script(["a", "b"]), seen=seen, actuator=body)
    await loop.run()
    assert body.log == ["sit", "wag tail"] * 2
    failures = [event for event in seen if isinstance(event, Failed)]
    assert [event.action for event in failures] == [SIT, SIT]
    assert str(failures[0].error) == "it was not done within 0.05 s, and was given up"


class Blind(Input):
    """An input that breaks."""

    async def run(self, board: Board) -> None:
        """Sense once, then break."""
        board.put("camera", "A cat.")
        raise OSError("the camera is unplugged")


async def test_a_failing_input_does_not_end_the_robot() -> None:
    """An input that breaks is reported, what it sensed counts, and the others go on."""
    llm, seen = Brain(), list[TickEvent]()
    loop = make(llm, Blind(), Script(["a", "b"]), seen=seen)
    await loop.run()
    assert "\n".join(situations(llm)).splitlines() == ["A cat.", "a", "b"]
    [failed] = [event for event in seen if isinstance(event, Failed)]
    assert (failed.where, failed.to_dict()["kind"]) == ("input", "input")
    assert loop.failures == 1


async def test_an_observer_that_fails_ends_the_loop() -> None:
    """Nobody is left to tell, so the error of whoever observes comes out, and nothing stays."""

    def observe(event: TickEvent) -> None:
        if isinstance(event, ActionReady):
            raise BrokenPipeError

    llm = Brain(Turn((SIT, WAG), duration_s=0.05))
    with pytest.raises(ExceptionGroup) as caught:
        await make(llm, Script(["a"]), observe=observe).run()
    assert caught.group_contains(BrokenPipeError)
    assert llm.asked[0].ended == "closed"


def past(llm: Brain) -> list[list[str]]:
    """What was said in the past, as each call was told."""
    return [[message.content for message in asked.prompt.history[::2]] for asked in llm.asked]


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, ["", "", "", "", "", "", ""]),
        (1, ["", "a", "b", "c", "d", "e", "f"]),
        (2, ["", "a", "ab", "c", "cd", "e", "ef"]),
        (4, ["", "a", "ab", "abc", "abcd", "de", "def"]),
        (9, ["", "a", "ab", "abc", "abcd", "abcde", "abcdef"]),
    ],
)
async def test_history_drops_its_older_half_at_once(length: int, expected: list[str]) -> None:
    """No more past ticks than asked for are told, and the beginning moves as rarely as it can."""
    llm = Brain()
    await make(llm, Script("abcdefg"), history_length=length).run()
    assert past(llm) == [list(ticks) for ticks in expected]


async def test_a_past_too_long_for_the_model_is_shortened() -> None:
    """A prompt that overflows the model's context is shorter at the next tick, down to no past."""
    full = Turn(failure=ContextOverflowError("too long"))
    llm = Brain(Turn(), Turn(), Turn(), full, full, Turn())
    await make(llm, Script("abcdef"), history_length=9).run()
    assert past(llm)[3:] == [["a", "b", "c"], ["c"], []]


async def test_history_holds_what_was_done() -> None:
    """A past tick is what was sensed and the actions that left, as the JSON a model would write."""
    llm = Brain(Turn((SIT, SAY)), Turn())
    await make(llm, Script(["a", "b", "c"]), history_length=9).run()
    done = '{"actions":[{"type":"move","value":"sit"},{"type":"speak","value":"Hello."}]}'
    assert [(each.role, each.content) for each in llm.asked[-1].prompt.history] == [
        ("user", "a"), ("assistant", done), ("user", "b"), ("assistant", '{"actions":[]}'),
    ]  # fmt: skip


async def test_a_failure_is_no_example() -> None:
    """A tick that failed before it did anything is not remembered; one that acted is."""
    llm = Brain(Turn(failure=DOWN), Turn((SIT,), failure=DOWN), Turn())
    await make(llm, Script(["a", "b", "c"]), history_length=9).run()
    assert past(llm) == [[], [], ["b"]]


async def test_idling_is_no_example() -> None:
    """What was done for want of an answer is not shown to a model as one."""
    llm = Brain(Turn((SIT,)), Turn(failure=DOWN), Turn((WAG,)), Turn((SAY,)))
    robot = Deadline(llm, timeout=3, idle=SIT)
    await make(robot, Script(["a", "b", "c", "d"]), history_length=5).run()
    assert past(llm)[-1] == ["a", "c"]


class Warm(Brain):
    """A brain that is slow to warm, or fails at it."""

    def __init__(self, *turns: Turn, failure: Exception | None = None, warm_s: float = 0) -> None:
        super().__init__(*turns)
        self.failure = failure
        self.warm_s = warm_s
        self.warmed: list[tuple[str, int]] = []

    async def warm(self, prompt: Prompt) -> None:
        """Take the time, then note the prompt, and how many questions there were before."""
        await asyncio.sleep(self.warm_s)
        self.warmed.append((prompt.system, len(self.asked)))
        if self.failure:
            raise self.failure


async def test_the_stable_part_is_read_ahead() -> None:
    """The prompt is warmed before the first question, which waits for it, and never again."""
    llm = Warm(warm_s=0.02)
    await make(llm, Script(["a", "b"])).run()
    assert llm.warmed == [("You are Spot.", 0)]
    assert len(llm.asked) == 2


@pytest.mark.parametrize("failure", [DOWN, KeyError("choices")], ids=["foreseen", "bug"])
async def test_warming_that_fails_does_no_harm(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The first tick is asked all the same, and the failure is no more than a line in the log."""
    caplog.set_level(logging.INFO)
    llm = Warm(Turn((SIT,)), failure=failure)
    loop = make(llm, Script(["a"]))
    await loop.run()
    assert (len(llm.asked), loop.failures) == (1, 0)
    assert f"warming failed: {type(failure).__name__}" in caplog.text


async def test_warming_is_dropped_where_nothing_comes() -> None:
    """A robot whose inputs end without a word does not wait until its brain is warm."""
    llm = Warm(warm_s=30)
    await asyncio.wait_for(make(llm, Feed(None)).run(), 5)
    assert not llm.warmed


@pytest.mark.parametrize("when", ["warming", "answering", "moving", "waiting"])
async def test_cancelling_leaves_nothing_behind(when: str) -> None:
    """Whatever it is doing, a loop that is cancelled ends at once and closes the call."""
    slow = 30.0
    llm = Warm(
        Turn((SIT,), duration_s=slow if when == "answering" else 0),
        warm_s=slow if when == "warming" else 0,
    )
    body = Body(slow if when == "moving" else 0)
    running = asyncio.create_task(make(llm, Feed("a"), actuator=body).run())
    await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.wait({running}, timeout=5)
    assert running.cancelled()
    expected = {"warming": [], "answering": ["closed"]}.get(when, ["finished"])
    assert [asked.ended for asked in llm.asked] == expected


class Connecting(Brain):
    """A brain that notes when it is to connect, and may fail at it or never be done."""

    def __init__(
        self, *turns: Turn, failure: Exception | None = None, connect_s: float = 0
    ) -> None:
        super().__init__(*turns)
        self.failure = failure
        self.connect_s = connect_s
        self.connected: list[str] = []
        self.ended = 0

    async def connect(self) -> None:
        """Note what became of the last question, take the time, and fail."""
        self.connected.append(self.asked[-1].ended if self.asked else "none")
        try:
            await asyncio.sleep(self.connect_s)
            if self.failure:
                raise self.failure
        finally:
            self.ended += 1


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are looked after every hundredth second instead of every second."""
    monkeypatch.setattr("reflexarc.runtime.loop._CONNECT_EVERY_S", 0.01)


@pytest.mark.usefixtures("hasty")
async def test_stays_connected_while_nothing_is_sensed() -> None:
    """Before the first tick and between two, but never during a question."""
    llm, feed = Connecting(Turn((SIT,), duration_s=0.1)), Feed()
    running = asyncio.create_task(make(llm, feed).run())
    await until(lambda: len(llm.connected) == 3)
    feed.queue.put_nowait("a")
    await until(lambda: len(llm.connected) == 6)
    feed.queue.put_nowait(None)
    await running
    assert set(llm.connected[:3]) == {"none"}
    assert "running" not in llm.connected
    assert llm.connected[-1] == "finished"


@pytest.mark.usefixtures("hasty")
async def test_stays_connected_during_a_movement() -> None:
    """A movement may take longer than a connection idles, and the next tick may follow at once."""
    llm, body = Connecting(Turn((SIT,))), Body(0.1)
    await make(llm, Script(["a"]), actuator=body).run()
    assert llm.connected.count("finished") >= 3


@pytest.mark.usefixtures("hasty")
async def test_a_robot_that_sleeps_leaves_its_servers_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some time after the last tick it no longer connects; after another tick it does again."""
    monkeypatch.setattr("reflexarc.runtime.loop.CONNECTED_S", 0.1)
    llm, feed = Connecting(), Feed()
    running = asyncio.create_task(make(llm, feed).run())
    await asyncio.sleep(0.2)
    before = len(llm.connected)
    assert before > 0
    await asyncio.sleep(0.1)
    assert len(llm.connected) == before
    feed.queue.put_nowait("a")
    await until(lambda: len(llm.connected) > before)
    feed.queue.put_nowait(None)
    await running


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("failure", [DOWN, KeyError("choices")], ids=["foreseen", "bug"])
async def test_connecting_that_fails_does_no_harm(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The robot goes on and tries again, and a failure is no more than a line in the log."""
    caplog.set_level(logging.DEBUG)
    llm, feed = Connecting(failure=failure), Feed()
    loop = make(llm, feed)
    running = asyncio.create_task(loop.run())
    await until(lambda: len(llm.connected) == 3)
    feed.queue.put_nowait("a")
    feed.queue.put_nowait(None)
    await running
    assert (len(llm.asked), loop.failures) == (1, 0)
    assert f"connecting failed: {type(failure).__name__}" in caplog.text


@pytest.mark.usefixtures("hasty")
async def test_a_tick_does_not_wait_for_a_connection() -> None:
    """What is sensed while a connection is made is asked at once, and the end waits for none."""
    llm, feed = Connecting(connect_s=30), Feed()
    running = asyncio.create_task(make(llm, feed).run())
    await until(lambda: llm.connected)
    feed.queue.put_nowait("a")
    await asyncio.wait_for(until(lambda: llm.asked), 5)
    feed.queue.put_nowait(None)
    await asyncio.wait_for(running, 5)
    assert (len(llm.connected), llm.ended) == (1, 1)


@pytest.mark.usefixtures("hasty")
async def test_cancelling_ends_what_connects() -> None:
    """A loop that is cancelled gives up the connection that it is making."""
    llm = Connecting(connect_s=30)
    running = asyncio.create_task(make(llm, Feed()).run())
    await until(lambda: llm.connected)
    running.cancel()
    await asyncio.wait({running}, timeout=5)
    assert running.cancelled()
    assert llm.ended == 1


async def test_a_question_finds_a_connection_however_long_the_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over a pause longer than a connection may idle, ticks keep the one they began with."""
    monkeypatch.setattr("reflexarc.runtime.loop._CONNECT_EVERY_S", 0.1)
    monkeypatch.setattr("reflexarc.providers.greeting.FRESH_S", 0.2)
    monkeypatch.setattr("reflexarc.providers.http.IDLE_S", 0.6)
    reply, feed = Reply.stream('{"actions":[]}'), Feed("a")
    async with Server(reply, reply) as server:
        config = LLMConfig(type="LlamaLLM", model="m", base_url=server.base_url)
        async with load_llm(config, output_model=CortexOutputModel, environ={}) as llm:
            running = asyncio.create_task(make(llm, feed).run())
            await server.asked()
            await asyncio.sleep(1.2)
            feed.queue.put_nowait("b")
            await server.asked(2)
            feed.queue.put_nowait(None)
            await running
        assert {each.connection for each in (*server.greetings, *server.requests)} == {0}
        assert len(server.greetings) >= 3  # of the warming, then of the pause


def test_connections_are_looked_after_in_time() -> None:
    """Between growing old and being closed, a connection is looked after at least once."""
    assert 0 < _CONNECT_EVERY_S < IDLE_S - FRESH_S
    assert CONNECTED_S == 300


def test_a_failure_tells_every_attempt() -> None:
    """A failed call is one JSON object with its kind, its message and all its attempts."""
    error = LLMError("no luck")
    assert Failed(error).to_dict() == {
        "event": "error", "kind": "error", "message": "no luck", "retryable": False, "attempts": [],
    }  # fmt: skip


@pytest.mark.parametrize("answers", [True, False])
async def test_a_chain_hides_no_past_that_is_too_long(answers: bool) -> None:
    """Where the robot idles for it, it is shortened; where another brain answers, all is well."""
    full = Turn(failure=ContextOverflowError("too long"))
    llm = Brain(Turn(), Turn(), Turn(), full, full, Turn())
    second = Brain(Turn((SIT,)) if answers else full)
    robot = Deadline(Failover([llm, second]), timeout=3, idle=SIT)
    await make(robot, Script("abcdef"), history_length=9).run()
    expected = [["a", "b", "c", "d"], ["a", "b", "c", "d", "e"]] if answers else [["c"], []]
    assert past(llm)[3:] == [["a", "b", "c"], *expected]


async def test_a_stray_cancellation_does_not_end_the_robot() -> None:
    """Of a brain, an input or a motor; each is a failure like another, and nothing is skipped."""

    class Stray(Brain):
        async def stream(
            self, prompt: str | Prompt, messages: Messages = None
        ) -> AsyncGenerator[Event, None]:
            async for event in super().stream(prompt, messages):
                yield event
                if len(self.asked) == 1:
                    raise asyncio.CancelledError

        async def warm(self, prompt: Prompt) -> None:
            raise asyncio.CancelledError

    class Gone(Input):
        async def run(self, board: Board) -> None:
            raise asyncio.CancelledError

    class Limp(Body):
        async def perform(self, action: Action) -> None:
            await super().perform(action)
            if action == SIT:
                raise asyncio.CancelledError

    body, seen = Limp(), list[TickEvent]()
    llm = Stray(Turn((SIT, WAG)))
    await make(llm, Gone(), Script(["a", "b"]), seen=seen, actuator=body).run()
    assert [each for each in body.log if each.startswith("end")] == [
        "end sit",
        "end sit",
        "end wag tail",
    ]
    failures = [event.where for event in seen if isinstance(event, Failed)]
    assert sorted(failures) == ["actuator", "actuator", "input", "llm"]


def test_what_waits_for_a_movement_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Where something new is sensed, and only then; of each type of action."""

    async def main() -> None:
        feed = Feed("a")
        loop = make(Brain(Turn((SIT, WAG))), feed, actuator=Body(1.5))
        running = asyncio.create_task(loop.run())
        await asyncio.sleep(5)
        assert not caplog.records
        feed.queue.put_nowait("b")
        await asyncio.sleep(1)
        assert not caplog.records
        feed.queue.put_nowait("A person says: stop.")
        await asyncio.sleep(5)
        feed.queue.put_nowait(None)
        await running

    run_virtual(main())
    [record] = caplog.records
    assert record.getMessage() == (
        "What is sensed waits until 'move' has been performed, be it a 'stop'; have its "
        "actuator return once the action is under way."
    )
