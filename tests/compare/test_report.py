"""What is made of measured values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bench.figures import p95, ratios, summary
from bench.machine import is_busy
from bench.plot import plot
from bench.report import COLUMNS, ahead, between, markdown, publish, targets, winner, write

RESULT: dict[str, Any] = {
    "machine": {
        "date": "2026-11-28T12:00:00+00:00", "commit": "abc", "cpu": "C", "cores": 2,
        "system": "Linux", "python": "3.11.7", "load": [0.1, 0.2, 0.3],
    },
    "quick": True,
    "peers": {
        name: {"label": label, "version": "1.0", "streams": name != "om1", "left_out": left_out}
        for name, label, left_out in (
            ("socket", "bare socket", None),
            ("aiohttp", "by hand", None),
            ("ours", "reflexarc", None),
            ("langchain", "halves", None),
            ("om1", "whole", None),
            ("any-llm", "absent", "its environment cannot be made"),
        )
    },
    "first": {
        "socket": {"over_ms": {"p50": 0.2}, "early": 0},
        "aiohttp": {"over_ms": {"p50": 0.3}, "early": 0},
        "ours": {"over_ms": {"p50": 0.5}, "early": 0},
        "langchain": {"over_ms": {"p50": -18.0}, "early": 86},
    },
    "call": {
        "aiohttp": {"cpu_ms": {"p50": 0.4, "times": 1.0}, "wall_ms": {"p50": 0.5, "times": 1.0}},
        "ours": {"cpu_ms": {"p50": 0.3, "times": 0.75}, "wall_ms": {"p50": 0.9, "times": 1.8}},
    },
    "crowd 50": {
        "ours": {"cpu_us": 40.0, "whole_ms": {"p95": 1.0}},
        "om1": {"cpu_us": 1.0, "whole_ms": {"p95": 50.0}},
    },
    "figures": [{"event": "figure", "name": "decoder", "value": 1.4, "unit": "us", "note": "n"}],
    "failures": {"call": {"om1": "its process ended"}},
}  # fmt: skip


def test_percentiles_and_ratios() -> None:
    """Ratios are taken round by round, and a round that failed counts for nobody."""
    assert p95(range(1, 101)) == 95
    assert p95(range(1, 21)) == 19
    assert summary([3.0, 1.0, 2.0]) == {"least": 1.0, "p50": 2.0, "p95": 3.0, "count": 3}
    rounds = {"ref": [1.0, 10.0, None], "mine": [2.0, 30.0, 5.0], "none": [None, None, None]}
    assert ratios(rounds, "ref") == {"ref": 1.0, "mine": 2.5}
    assert ratios({"mine": [1.0]}, "ref") == {}


def test_who_hands_over_half_an_action_wins_nothing() -> None:
    """Nor does the limit, which is no client, nor a whole answer in a column about tokens."""
    first, token_alone = COLUMNS[0], COLUMNS[5]
    assert winner(RESULT, first) == "aiohttp"
    assert winner(RESULT, token_alone) == "ours"


def test_the_table_says_where_others_are_ahead_and_what_failed() -> None:
    """Nothing is passed over."""
    text = markdown(RESULT)
    assert "| by hand 1.0 | **0.3** | **0** |" in text
    assert "| halves 1.0 | -18.0 | 86 |" in text
    assert "| whole 1.0 | - | - |" in text
    assert "commit abc" in text
    assert "A quick run" in text
    assert "decoder  " in text
    assert "* whole, call: its process ended" in text
    assert "* absent: its environment cannot be made" in text
    assert list(ahead(RESULT)) == [
        "first action, ms over the wire, 0.5: by hand 0.3",
        "given too early, 0: nobody",
        "call, wall ms, 0.90: by hand 0.50",
        "call, CPU × aiohttp, 0.75: nobody",
        "token alone, CPU µs, 40: nobody",
        "50 streams, ms over the schedule, p95, 1.0: nobody",
    ]


@pytest.mark.parametrize(("load", "busy"), [(0.9, False), (1.1, True)])
def test_a_busy_machine_is_told_of_in_the_heading(load: float, busy: bool) -> None:
    """Of two cores, one is enough for others to disturb."""
    facts = RESULT["machine"] | {"load": [load, 0.0, 0.0]}
    assert is_busy(facts) is busy
    assert ("Measured on a busy machine" in markdown(RESULT | {"machine": facts})) is busy


def test_each_target_is_met_or_missed() -> None:
    """What was not measured is not judged."""
    said = {line[:3] + line.rpartition(" ")[2] for line in targets(RESULT)}
    assert said == {"(a)met", "(b)MISSED", "(b)met", "(g)met"}


def test_results_are_written_and_shown_in_the_pages(tmp_path: Path) -> None:
    """Tables and plots replace what stood between the markers, and nothing else."""
    path = write(RESULT, tmp_path / "bench/results")
    page, front = tmp_path / "docs/performance.md", tmp_path / "README.md"
    page.parent.mkdir()
    page.write_text("before\n<!-- bench:compare -->\nold\n<!-- /bench:compare -->\nafter\n")
    front.write_text("<!-- bench:summary --><!-- /bench:summary -->")
    publish(RESULT, path, tmp_path)
    shown = page.read_text()
    assert shown.startswith("before\n")
    assert shown.endswith("after\n")
    assert "old" not in shown
    assert "as bars](performance-latency.png)" in shown
    assert "as bars](docs/performance-latency.png)" in front.read_text()
    assert (tmp_path / "docs/performance-latency.png").stat().st_size > 1000
    assert path.with_suffix(".md").read_text() == markdown(RESULT) + "\n"


def test_a_result_with_nothing_in_it_is_written(tmp_path: Path) -> None:
    """Interrupted at once, the comparison leaves a file all the same."""
    path = write({"machine": RESULT["machine"]}, tmp_path)
    assert path.is_file()
    assert plot({}, path) == []


@pytest.mark.parametrize("text", ["no markers", "<!-- bench:x --> half"])
def test_a_page_without_markers_stays_as_it_is(text: str) -> None:
    """A page shows tables where it asks for them."""
    assert between(text, "x", "new") == text
