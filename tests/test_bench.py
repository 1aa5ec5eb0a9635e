"""What is measured has a unit, a note on how, and a plausible size; how fast it is, is no test."""

from __future__ import annotations

from pathlib import Path

import pytest

from reflexarc.bench import (
    NAMES,
    Figure,
    bench_chain,
    bench_decoder,
    bench_import,
    bench_onboard,
    bench_page,
    measure,
)
from reflexarc.config import RobotConfig
from reflexarc.errors import LLMError

SPOT = Path(__file__).parent.parent / "config" / "spot_onboard.json5"


def check(figures: list[Figure], names: list[str]) -> dict[str, Figure]:
    """Whether these are the figures, each with a value, and each time with a note."""
    assert [figure.name for figure in figures] == names
    for figure in figures:
        assert figure.value >= 0
        assert figure.unit in ("ms", "MB", "us", "us/token", "s", "%", "times", "")
        assert figure.note
    return {figure.name: figure for figure in figures}


def test_import_is_measured() -> None:
    """Time and memory of a fresh interpreter, and that no SDK is loaded in it."""
    names = ["import reflexarc", "memory after import", "SDKs and clients loaded by it"]
    found = check(list(bench_import(rounds=1)), names)
    assert found["import reflexarc"].value > 1
    assert found["import reflexarc"].note.endswith("median of 1 fresh interpreters")
    assert 5 < found["memory after import"].value < 500
    assert found["SDKs and clients loaded by it"].value == 0


def test_the_decoder_is_measured() -> None:
    """Time a token on answers of three sizes, which are told."""
    found = check(
        list(bench_decoder(piece=400)),
        [f"decoder, answer of {size} kB" for size in (2, 31, 973)],
    )
    assert all(figure.value > 0 for figure in found.values())


def test_a_chain_is_measured() -> None:
    """What it adds to a brain, and how soon the next one answers where the first is down."""
    found = check(
        list(bench_chain(tokens=50, rounds=9)),
        ["chain: one question", "chain: one token", "chain: past a brain that is down"],
    )
    assert found["chain: one question"].value > 0


def test_watching_is_measured() -> None:
    """How late the loop is with watchers, and how late they are told."""
    late, stuck, median, p95 = bench_page(seconds=0.5)
    assert late.note.startswith("20 watchers, 50 events a second")
    assert stuck.value > 0
    assert 0 < median.value <= p95.value
    assert median.note == "500 events"


def test_the_model_on_board_is_measured() -> None:
    """Two starts, steady ticks and what they reuse, in the real model's own time."""
    robot = RobotConfig.load(SPOT)
    short = robot.model_copy(update={"examples": robot.examples[:3]})
    found = check(
        list(bench_onboard(short, ticks=2, requests=2)),
        [
            "on-board: engine ready",
            "on-board: first start, ready",
            "on-board: second start, ready",
            "on-board: first action, p50",
            "on-board: first action, p95",
            "on-board: first action, p50, crowded",
            "on-board: whole answer, p50",
            "on-board: prompt tokens reused",
            "on-board: prompt tokens reused with history",
            "on-board: first action, OM1's pattern",
            "on-board: first action, OM1's pattern / ours",
            "on-board: first action, OM1's pattern / our model alone",
            "on-board: read, OM1's prompt order / ours",
            "on-board: time, OM1's prompt order / ours",
            "on-board: free after an answer is left",
            "on-board: memory of the engine",
        ],
    )
    value = {name.removeprefix("on-board: "): figure.value for name, figure in found.items()}
    assert 0 < value["engine ready"] <= value["second start, ready"]
    assert 0 < value["first action, p50"] <= value["first action, p95"]
    assert value["first action, p50"] <= value["whole answer, p50"]
    assert 50 < value["prompt tokens reused"] <= 100
    assert 50 < value["prompt tokens reused with history"] <= 100
    assert value["read, OM1's prompt order / ours"] > 1
    assert value["first action, OM1's pattern / ours"] > 1
    assert value["first action, OM1's pattern / our model alone"] > 1
    assert value["free after an answer is left"] < 0.5, "it goes on as long as it is watched"
    assert 50 < value["memory of the engine"] < 2000
    assert found["on-board: first action, p50"].note == "2 ticks"


def test_figures_come_one_by_one() -> None:
    """A figure is told when it is known, and only what was asked for is measured."""
    figures = measure(["decoder"])
    assert next(figures).name == "decoder, answer of 2 kB"
    figures.close()


def test_a_bench_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the model the bench ends with the sentence that mends it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(LLMError, match="reflexarc models pull"):
        list(measure(["onboard"]))


def test_a_figure_is_readable() -> None:
    """A figure is one line for people and one object for programs."""
    figure = Figure("decoder", 1.23456, "us/token", "median of 5")
    assert str(figure).split() == ["decoder", "1.235", "us/token", "median", "of", "5"]
    assert figure.to_dict() == {
        "name": "decoder",
        "value": 1.23456,
        "unit": "us/token",
        "note": "median of 5",
    }
    assert NAMES == ("import", "decoder", "chain", "memory", "page", "telemetry", "onboard")
