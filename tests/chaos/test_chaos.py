"""The suite cannot pass by seeing nothing: each thing that must not be is found where it is."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from reflexarc.errors import ServerError, TruncatedError
from reflexarc.specs import ActionSpec
from reflexarc.types import Action, ActionReady, CortexOutputModel, Event, Finished
from reflexarc.vocabulary import Vocabulary
from tests.leftovers import Leftovers

from .__main__ import HEAD, NAME, REQUIRED, WIDTH, closing, line, read, violations, written
from .faults import FAULTS, Asked, Strike, cut_at_each_token, good
from .judge import TIMEOUT_S, Judge, Tick, Verdict, mark
from .machine import WallClock, complaints, looked_up, wall_clock
from .play import SITUATIONS
from .pulse import LONGEST_S, Pulse
from .row import Row

ROBOT = Vocabulary([ActionSpec("move", ("sit", "stand still")), ActionSpec("speak", None)])
SIT = Action(type="move", value="sit")


def said(letter: str = "a", round_: int = 0, situation: int = 0, request: int = 0) -> Action:
    """A scripted action."""
    return Action(type="speak", value=f"{mark(round_, situation, request)} {letter}")


def tick(*actions: Action, by: str = "LlamaLLM", at_s: float = 0.5, reason: str = "") -> Tick:
    """A tick in which these were given out, and then the end was told."""
    ready = [(at_s, ActionReady(each, place, at_s)) for place, each in enumerate(actions)]
    answer = CortexOutputModel(actions=list(actions))
    end = Finished(answer, by, "m", at_s, at_s, None, (), reason)
    seen: list[tuple[float, Event]] = [*ready, (at_s, end)]
    return Tick(0, 0, 0, seen, ended_s=at_s)


def test_a_good_tick_is_good() -> None:
    """Whoever answers in time is named, and nothing is found wrong."""
    judge = Judge(ROBOT)
    idle = Action(type="move", value="stand still")
    for seen, ending in (
        (tick(said("a"), said("b")), "front"),
        (tick(SIT, by="OnboardLLM"), "on board"),
        (tick(idle, by="idle", reason="timeout: too late"), "idle"),
    ):
        verdict = replace(judge.verdict(seen), first_s=None, why="")
        assert verdict == Verdict(ending, None, 0.5)


def test_an_answer_that_broke_off_is_told_apart() -> None:
    """After an action an answer may break off; without one there must be a reason to idle."""
    cut = replace(tick(said()), error=TruncatedError("cut"))
    assert Judge(ROBOT).verdict(cut).ending == "broke off"
    assert Judge(ROBOT).verdict(replace(cut, seen=[])).ending == "silent"
    assert Judge(ROBOT).verdict(Tick(0, 0, 0, error=ServerError("oops"))).ending == "silent"


@pytest.mark.parametrize("reason", ["", "timeout"])
def test_silence_is_found(reason: str) -> None:
    """Neither an action nor a reason: nothing at all, an empty answer, an idle without a why."""
    judge = Judge(ROBOT)
    assert judge.verdict(Tick(0, 0, 0)).ending == "silent"
    assert judge.verdict(tick(by="idle", reason=reason)).ending == "silent"
    assert judge.verdict(tick(SIT, by="idle")).ending == "silent"
    assert judge.verdict(tick(by="OnboardLLM")).ending == "silent"


def test_lateness_is_found() -> None:
    """A first action, or an end, after the deadline."""
    assert len(Judge(ROBOT).verdict(tick(SIT, at_s=TIMEOUT_S + 0.001)).late) == 2
    ended_late = replace(tick(SIT), ended_s=TIMEOUT_S + 0.001)
    assert Judge(ROBOT).verdict(ended_late).late == ("end at 3.001 s",)
    assert not Judge(ROBOT).verdict(replace(tick(SIT), ended_s=TIMEOUT_S)).late
    starved = replace(ended_late, starved_s=0.0005)
    assert Judge(ROBOT).verdict(starved).late
    assert not Judge(ROBOT).verdict(replace(starved, starved_s=0.002)).late


def test_an_illegal_action_is_found() -> None:
    """What the robot cannot do was given out."""
    fly = Action(type="fly", value="high")
    backflip = Action(type="move", value="backflip")
    assert len(Judge(ROBOT).verdict(tick(fly, backflip, by="OnboardLLM")).wrong) == 2


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        pytest.param(tick(said(), SIT), "two answers", id="front and on board"),
        pytest.param(tick(said("a"), said("b", request=1)), "two answers", id="two requests"),
        pytest.param(tick(said(situation=1)), "in tick 0.0", id="another tick's"),
        pytest.param(tick(said(round_=1)), "in tick 0.0", id="another round's"),
        pytest.param(tick(said(), by="OnboardLLM"), "said to be of on board", id="not who it says"),
        pytest.param(tick(SIT), "said to be of the front", id="nor this one"),
    ],
)
def test_what_belongs_elsewhere_is_found(seen: Tick, words: str) -> None:
    """Actions of two brains in a tick, of another tick, or of somebody else than is told."""
    assert words in " ".join(Judge(ROBOT).verdict(seen).wrong)


def test_a_duplicate_is_found() -> None:
    """An index twice, or the same scripted action twice, in one tick or in two."""
    again = tick(SIT, SIT, by="OnboardLLM")
    again.seen[1] = again.seen[0]
    assert Judge(ROBOT).verdict(again).duplicate == ("index 0 where 1 is due",)
    assert len(Judge(ROBOT).verdict(tick(said(), said())).duplicate) == 1
    judge = Judge(ROBOT)
    assert not judge.verdict(tick(said())).duplicate
    assert len(judge.verdict(tick(said())).duplicate) == 1
    assert not Judge(ROBOT, repeats=True).verdict(tick(said(), said())).duplicate
    assert not Judge(ROBOT).verdict(tick(SIT, SIT, by="OnboardLLM")).duplicate


def test_a_foreign_exception_is_found() -> None:
    """Anything but our own errors."""
    assert Judge(ROBOT).verdict(Tick(0, 0, 0, error=KeyError("x"))).unhandled
    assert not Judge(ROBOT).verdict(Tick(0, 0, 0, error=ServerError("x"))).unhandled


async def test_what_is_left_behind_is_found() -> None:
    """A task and a socket; it is gone once they are."""
    leftovers = Leftovers()
    task = asyncio.create_task(asyncio.sleep(60), name="forgotten")
    with socket.socket():
        left = await leftovers.wait(0.0)
    assert ["forgotten" in left[0], "socket" in left[1]] == [True, True]
    assert await leftovers.wait() == []
    assert task.cancelled()


async def test_what_nobody_has_retrieved_is_found() -> None:
    """A task's lost exception, what a finalizer raised, and an error that was only logged."""
    found: list[str] = []

    class Broken:
        def __del__(self) -> None:
            raise OSError("in a finalizer")

    async def fail() -> None:
        raise KeyError("lost")

    with complaints(found):
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        Broken()
        logging.getLogger("reflexarc").error("a mistake of its own")
        gc.collect()
    assert len(found) == 3
    for words in ("KeyError('lost')", "in a finalizer", "a mistake of its own"):
        assert any(words in each for each in found)


@pytest.mark.parametrize("works", [True, False])
async def test_a_stall_is_found(works: bool) -> None:
    """The loop is held up by a computation, or by a call that blocks."""
    async with Pulse() as pulse:
        await asyncio.sleep(0.02)
        until = time.thread_time() + 3 * LONGEST_S
        while works and time.thread_time() < until:
            pass
        if not works:
            time.sleep(3 * LONGEST_S)  # noqa: ASYNC251 - that is the stall
    assert pulse.worst_gap_s > LONGEST_S
    assert pulse.worst_own_s > LONGEST_S


def test_the_machine_can_be_struck() -> None:
    """The wall clock jumps, names outside are not looked up; both are as before afterwards."""
    before, real = time.time, socket.getaddrinfo
    with wall_clock() as clock:
        clock.jump(-86_400)
        assert time.time() < before() - 86_000
        assert isinstance(clock, WallClock)
    with looked_up(None), pytest.raises(socket.gaierror):
        socket.getaddrinfo("robot.test", 80)
    assert (time.time, socket.getaddrinfo) == (before, real)


def test_every_fault_can_be_told_apart() -> None:
    """Names fit the table, each is there once, and `make help` counts them right."""
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert max(len(fault.name) for fault in FAULTS) <= NAME
    assert f"Play {len(FAULTS)} faults" in (Path(__file__).parents[2] / "Makefile").read_text()
    for fault in FAULTS:
        assert all(strike.tick < fault.ticks for strike in fault.strikes)
        assert all(isinstance(strike, Strike) for strike in fault.strikes)


def test_every_token_is_cut() -> None:
    """From nothing to all but the last token, one more each round; an answer fits its rounds."""
    (fault,) = (each for each in FAULTS if each.answer is cut_at_each_token)
    whole = Asked(fault.rounds - 1, 0, fault.rounds - 1, 0)
    assert len(good(whole).body) - 2 == fault.rounds  # the reason and [DONE] are no tokens
    assert len(cut_at_each_token(whole).body) == fault.rounds - 1
    assert len(cut_at_each_token(replace(whole, round=0)).body) == 0


def test_neighbouring_ticks_ask_something_else() -> None:
    """A reply that is three ticks late is still known as another tick's."""
    assert len(set(SITUATIONS)) == len(SITUATIONS) >= 4


def test_what_must_not_be_is_printed_and_counted() -> None:
    """Each violation has its line, its place in the totals, and survives the way from a lane."""
    row = Row("a fault", Counter({"front": 3, "silent": 1}), late=["end at 3.1 s"], worst_own_s=0.1)
    assert [each.partition(":")[0] for each in violations(row)] == ["late", "silent", "stalls"]
    assert line(row).count("\n") == 3
    lengths = [len(each) for each in [*HEAD.splitlines(), *line(row).splitlines()]]
    assert max(lengths) <= WIDTH
    assert "late 1, wrong 0, duplicate 0, unhandled 0, silent 1" in closing([row], 1.0)
    assert not violations(Row("good", Counter({"front": 4})))
    assert read(json.dumps(row.to_dict())) == row
    assert set(REQUIRED) <= written(row).keys()
