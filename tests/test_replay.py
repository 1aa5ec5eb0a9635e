"""Recorded ticks asked again: what is compared, and the account of it."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reflexarc.attempts import Attempt
from reflexarc.config import AgentAction, Sensed
from reflexarc.errors import ConfigError, DeadlineError, UnavailableError
from reflexarc.eval.score import percentiles
from reflexarc.llm import LLM
from reflexarc.memory import Deed, Tick
from reflexarc.prompt import Prompt
from reflexarc.replay.account import Account, Comparison, Price
from reflexarc.replay.pair import Pair, Recorded, play
from reflexarc.testing import ScriptedLLM, Turn
from reflexarc.types import Action, ActionRefused, Message, Usage
from reflexarc.vocabulary import Vocabulary

AT = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
MOVE = AgentAction(name="move", llm_label="move", values=("sit", "run"), description="Move.")
SPEAK = AgentAction(name="speak", llm_label="speak")
DOG = Vocabulary.from_actions([MOVE, SPEAK])
MUTE = Vocabulary.from_actions([MOVE])
PROMPT = Prompt(
    system="You are Dot.",
    history=(Message("user", "hello"), Message("assistant", '{"actions":[]}')),
    situation="A person says: sit!",
    examples=(Sensed(sensed="run", actions=(Action(type="move", value="run"),)),),
)
SIT = Deed("move", "sit", 0.4)
RUN = Deed("move", "run", 0.4)
OKAY = Deed("speak", "Okay.", 0.5)
FLY = Deed("move", "fly", 0.4, "refused", "'fly' is not a value of move; sit, run are")
FAILED = {"error_kind": "timeout", "error": "it was late; wait longer"}


def tick(*deeds: Deed, id: int = 1, **changed: Any) -> Tick:
    """One as it is remembered."""
    known = {"provider": "MistralLLM", "model": "m", "first_action_s": 0.4, "total_s": 1.0}
    return Tick(AT, PROMPT, deeds, id=id, **{**known, **changed})


def act(*pairs: str) -> tuple[Action, ...]:
    """``act("move sit")``."""
    split = (pair.split(" ", 1) for pair in pairs)
    return tuple(Action(type=type_, value=value) for type_, value in split)


async def played(llm: LLM[Any], *ticks: Tick, vocabulary: Vocabulary = DOG) -> list[Pair]:
    """All pairs."""
    recorded = [Recorded(each, vocabulary) for each in ticks]
    async with aclosing(play(recorded, lambda _: llm)) as pairs:
        return [pair async for pair in pairs]


async def test_the_very_same_prompt_is_asked() -> None:
    """With its history and its examples, though another brain is asked."""
    brain = ScriptedLLM(Turn(events=act("move sit")))
    [pair] = await played(brain, tick(SIT))
    assert [each.prompt for each in brain.asked] == [PROMPT]
    assert (pair.now.id, pair.now.provider, pair.same) == (1, "ScriptedLLM", True)
    assert not brain.is_open


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        ((SIT, OKAY), act("speak I sit.", "move sit"), True),
        ((SIT,), act("move run"), False),
        ((SIT, RUN), act("move run", "move sit"), False),
        ((SIT,), (), False),
        ((), (), True),
        ((OKAY,), act("move sit"), False),
        ((replace(SIT, outcome="failed", reason="the motor is hot"),), act("move sit"), True),
        ((replace(SIT, outcome="refused", reason="never"),), act("move sit"), True),
        ((FLY,), (), True),
        ((SIT,), (*act("move sit"), ActionRefused("move", "fly", "it cannot", 0.0)), True),
    ],
)
async def test_what_moves_is_compared(before: tuple[Deed, ...], now: Any, same: bool) -> None:
    """In its order, whatever is said; what a rule refused counts as done, the illegal does not."""
    [pair] = await played(ScriptedLLM(Turn(events=now)), tick(*before))
    assert pair.same is same
    assert pair.to_dict()["same"] is same


async def test_all_is_compared_where_nothing_is_said() -> None:
    """A vocabulary without speech leaves nothing out."""
    brain = ScriptedLLM(Turn(events=act("move sit")))
    [pair] = await played(brain, tick(SIT, OKAY), vocabulary=MUTE)
    assert pair.same is False


async def test_a_failure_is_a_pair_and_the_next_one_is_asked() -> None:
    """It is the same as nothing, and keeps what was given out before."""
    late = Turn(events=act("move sit"), failure=DeadlineError("late; wait longer", phase="total"))
    brain = ScriptedLLM(late, Turn(events=act("move sit"), duration_s=0.01))
    first, second = await played(brain, tick(SIT), tick(SIT, id=2))
    assert (first.same, second.same) == (None, True)
    told = first.to_dict()["now"]
    assert told["error"] == {"kind": "timeout", "message": "late; wait longer"}
    assert (told["provider"], told["model"]) == ("ScriptedLLM", "scripted")
    assert [each["value"] for each in told["actions"]] == ["sit"]
    assert first.now.first_action_s is not None
    assert second.now.total_s >= 0.01


@pytest.mark.parametrize("changed", [FAILED, {"reason": "timeout: late", "provider": "idle"}])
async def test_what_failed_then_is_not_compared(changed: dict[str, Any]) -> None:
    """Nor is a tick that the robot idled in: no brain has chosen that."""
    attempts = (Attempt("MistralLLM", "m", "timeout", 1.0, "late"),)
    [pair] = await played(ScriptedLLM(), tick(attempts=attempts, **changed))
    assert pair.same is None
    assert pair.to_dict()["before"]["provider"] == "MistralLLM"


class _Warmed(ScriptedLLM[Any]):
    """Notes what is read ahead, and cannot do it."""

    def __init__(self) -> None:
        super().__init__()
        self.warmed: list[Prompt] = []

    async def warm(self, prompt: Prompt) -> None:
        self.warmed.append(prompt)
        raise UnavailableError("it is away; start it")


async def test_a_brain_is_made_for_each_vocabulary_and_warmed_for_each_stable_part() -> None:
    """One at a time; what is said in a tick is no part of the stable one."""
    made: list[tuple[Vocabulary, _Warmed]] = []

    def make(vocabulary: Vocabulary) -> LLM[Any]:
        assert not any(brain.is_open for _, brain in made)
        made.append((vocabulary, _Warmed()))
        return made[-1][1]

    other = tick(id=3)
    other = replace(other, prompt=replace(PROMPT, system="You are Spot."))
    elsewhere = replace(tick(id=2), prompt=PROMPT.at("A person says: run!"))
    recorded = [
        *(Recorded(each, DOG) for each in (tick(), elsewhere, other)),
        Recorded(tick(id=4), MUTE),
    ]
    async with aclosing(play(recorded, make)) as pairs:
        assert [pair.before.id async for pair in pairs] == [1, 2, 3, 4]
    assert [vocabulary for vocabulary, _ in made] == [DOG, MUTE]
    assert [[each.system for each in brain.warmed] for _, brain in made] == [
        ["You are Dot.", "You are Spot."], ["You are Dot."],
    ]  # fmt: skip
    assert {each.situation for _, brain in made for each in brain.warmed} == {""}


async def test_leaving_early_closes_the_brain() -> None:
    """As Ctrl-C does."""
    brain = ScriptedLLM()
    async with aclosing(play([Recorded(tick(), DOG)] * 2, lambda _: brain)) as pairs:
        await anext(pairs)
        assert brain.is_open
    assert not brain.is_open


def pair(before: Tick, now: Tick) -> Pair:
    """Of a dog."""
    return Pair(before, now, DOG)


PAIRS = [
    pair(tick(SIT, FLY, usage=Usage(100, 10, 50)), tick(SIT, provider="OnboardLLM", total_s=0.2)),
    pair(
        tick(RUN, usage=Usage(200, 20), first_action_s=0.6, total_s=3.0),
        tick(SIT, provider="OnboardLLM", usage=Usage(80, 8, 70), first_action_s=0.1, total_s=0.4),
    ),
    pair(
        tick(replace(SIT, outcome="refused", reason="never"), first_action_s=0.5, total_s=2.0),
        tick(provider="", model="", first_action_s=None, total_s=9.0, **FAILED),
    ),
]


def test_both_sides_are_counted() -> None:
    """Times are those of answers; failures, illegal actions and rules have counts of their own."""
    told = Comparison.of(PAIRS).to_dict()
    assert (told["event"], told["ticks"], told["compared"], told["same"]) == ("summary", 3, 2, 1)
    before, now = told["before"], told["now"]
    assert (before["failed"], before["illegal"], before["ruled_out"]) == (0, 1, 1)
    assert (now["failed"], now["illegal"], now["ruled_out"]) == (1, 0, 0)
    assert before["first_action_s"] == {"p50": 0.5, "p95": 0.6}
    assert before["total_s"] == {"p50": 2.0, "p95": 3.0}
    assert now["total_s"] == {"p50": 0.3, "p95": 0.4}
    assert (before["brains"], now["brains"]) == (["MistralLLM m"], ["OnboardLLM m"])
    assert before["usage"] == {
        "prompt_tokens": 300, "completion_tokens": 30, "cached_tokens": 50, "ticks": 2,
    }  # fmt: skip
    assert (before["cost_usd"], now["cost_usd"]) == (None, None)


def test_nothing_at_all_can_be_counted() -> None:
    """Where everybody has failed there are no times, and where nothing is counted no cost."""
    failed = tick(provider="", model="", first_action_s=None, **FAILED)
    account = Account.of([(failed, DOG)], Price(1, 1))
    told = account.to_dict()
    assert told["first_action_s"] == told["total_s"] == {"p50": None, "p95": None}
    assert (account.cost, account.name) == (None, "nobody")


def test_who_answered_is_named_by_how_often() -> None:
    """A chain has several; one is named, the others are counted."""
    ticks = [tick(), tick(provider="OnboardLLM"), tick(), tick(**FAILED, provider="X")]
    account = Account.of([(each, DOG) for each in ticks])
    assert account.brains == ("MistralLLM m", "OnboardLLM m")
    assert account.name == "MistralLLM m, and 1 more"


def test_a_price_makes_tokens_dear() -> None:
    """Each side has its own, a cached token may have another, and on board nobody is paid."""
    told = Comparison.of(PAIRS, price_before=Price(1, 10), price=Price(5, 5)).to_dict()
    assert told["before"]["cost_usd"] == pytest.approx((300 + 300) / 1e6)
    assert told["now"]["cost_usd"] == 0
    assert Price(1, 10, 0.1).of(Usage(100, 10, 50)) == pytest.approx((50 + 5 + 100) / 1e6)


def test_a_brain_that_is_not_installed_here_has_a_price() -> None:
    """Its ticks may come from another machine."""
    account = Account.of([(tick(provider="TheirLLM", usage=Usage(10, 0)), DOG)], Price(1, 1))
    assert account.cost == pytest.approx(1e-5)


@pytest.mark.parametrize(
    ("text", "price"), [("0.1,0.3", Price(0.1, 0.3)), (" 2, 6 ,0.5", Price(2, 6, 0.5))]
)
def test_a_price_is_two_numbers_or_three(text: str, price: Price) -> None:
    """Spaces do not matter."""
    assert Price.parse(text) == price


@pytest.mark.parametrize("text", ["", "1", "1,2,3,4", "1,x", "-1,2", "nan,1", "inf,1"])
def test_what_is_no_price_is_told(text: str) -> None:
    """With what to write instead."""
    with pytest.raises(ConfigError, match="write dollars for a million tokens"):
        Price.parse(text)


def test_percentiles_are_of_what_was_measured() -> None:
    """The 95th is one of the values: of twenty the nineteenth."""
    assert percentiles([float(each) for each in range(1, 21)]) == {"p50": 10.5, "p95": 19.0}


@pytest.mark.parametrize("count", [1, 60])
@pytest.mark.parametrize("kind", ["mixed", "all failed"])
def test_the_picture_can_be_drawn(count: int, kind: str, tmp_path: Path) -> None:
    """Also of a single tick, and of failures alone."""
    from matplotlib.image import imread

    from reflexarc.replay.plot import draw

    failed = [pair(tick(**FAILED), tick(**FAILED))]
    path = tmp_path / "replay.png"
    draw((PAIRS if kind == "mixed" else failed) * count, ("before", "now"), path)
    height, width, _ = imread(path).shape
    assert (width, height) == (1080, 720)
