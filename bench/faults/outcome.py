"""What became of one question, told from what was handed over and how it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bench.task import Pair

Outcome = Literal["valid", "wrong", "doubled", "late", "error"]

OUTCOMES: Mapping[Outcome, str] = {
    "valid": "the complete and correct answer, in time",
    "wrong": "another answer than a healthy server's, or an action that is none of the robot's",
    "doubled": "an action handed over twice",
    "late": "no whole answer by then",
    "error": "an exception",
}
"""In words."""


def outcome(happened: Mapping[str, Any], wanted: Sequence[Pair]) -> dict[str, Any]:
    """Judge what a worker has told; see `bench.faults.worker.one`.

    A robot acts on what is handed over, so an action too many outweighs how it ended. Halves, an
    action's text up to some place, are counted on their own: who shows them does so without any
    fault as well.
    """
    given = [(at, tuple(pair)) for at, pair in happened["given"]]
    pairs = happened["pairs"]
    counted = Counter(pair for _, pair in given)
    kind: Outcome
    if any(counted[pair] > list(wanted).count(pair) for pair in set(wanted)):
        kind = "doubled"
    elif any(_strange(pair, wanted) for _, pair in given):
        kind = "wrong"
    elif happened["error"]:
        kind = "late" if happened["error"] == "late" else "error"
    else:
        kind = "valid" if [tuple(pair) for pair in pairs] == list(wanted) else "wrong"
    first = next((at for at, pair in given if pair in wanted), None)
    return {
        "outcome": kind,
        "first_s": None if first is None else round(first, 3),
        "took_s": round(happened["took_s"], 3),
        "given": sum(pair in wanted for _, pair in given),
        "halves": sum(pair not in wanted and not _strange(pair, wanted) for _, pair in given),
        "error": happened["error"],
    }


def _strange(pair: Pair, wanted: Sequence[Pair]) -> bool:
    """Whether it is neither an action of the answer nor the beginning of one."""
    type_, value = pair
    return not any(type_ == its and text.startswith(value) for its, text in wanted)
