"""The faults of the comparison: what goes over the wire, and how it is judged."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from bench import faults
from bench.faults.clients import CLIENTS, TUNED, of
from bench.faults.fault import FAULTS, LATER, Fault
from bench.faults.outcome import outcome
from bench.faults.play import LIMIT_S, row, servers
from bench.faults.report import ahead, best_first
from bench.faults.worker import one
from bench.peers import PEERS
from bench.peers.scan import Actions
from bench.server import Form
from bench.task import RESPONSE_FORMAT, Pair, actions, messages

BY_NAME = {fault.name: fault for fault in (*FAULTS, *LATER)}
A, B, C, D = actions()
TOOL = {
    "type": "function",
    "function": {"name": "answer", "parameters": {"properties": {"tasks": {"type": "array"}}}},
}


def judged(
    *given: Pair, pairs: list[Pair] | None = None, error: str = "", took_s: float = 1.0
) -> dict[str, Any]:
    """What is made of actions handed over every 0.1 s."""
    timed = [((at + 1) / 10, pair) for at, pair in enumerate(given)]
    return outcome({"given": timed, "pairs": pairs, "error": error, "took_s": took_s}, actions())


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("valid", judged(A, B, C, D, pairs=[A, B, C, D])),
        ("valid", judged(pairs=[A, B, C, D])),
        ("wrong", judged(A, pairs=[A])),
        ("wrong", judged(pairs=[])),
        ("wrong", judged(A, B, D, C, pairs=[A, B, D, C])),
        ("wrong", judged(("fly", "to the moon"), error="ValueError: no such action")),
        ("doubled", judged(A, A, B, C, D, pairs=[A, B, C, D])),
        ("doubled", judged(A, ("fly", "away"), A, error="late")),
        ("late", judged(A, error="late")),
        ("error", judged(A, B, error="TruncatedError: it broke off")),
    ],
)
def test_an_outcome_is_told_from_what_was_handed_over(expected: str, found: Any) -> None:
    """What a robot has done outweighs how the call ended."""
    assert found["outcome"] == expected


def test_halves_and_times_are_counted_apart() -> None:
    """Half a sentence is no action of the answer, and no other one either."""
    found = judged(("speak", "Good"), A, B, C, D, pairs=[A, B, C, D])
    assert found["outcome"] == "valid"
    assert (found["halves"], found["given"], found["first_s"]) == (1, 4, 0.2)


@dataclass(frozen=True, slots=True)
class Wire:
    """One reply as a bare client sees it."""

    status: int
    end: str
    """whole, broken, or open: nothing more comes."""
    text: str

    def acted(self) -> list[Pair]:
        """The actions that are complete in what was streamed."""
        found: list[Pair] = []
        scan = Actions(found.append)
        for line in self.text.splitlines():
            if line.startswith("data: {") and (choices := json.loads(line[6:]).get("choices")):
                delta = choices[0]["delta"]
                calls = delta.get("tool_calls", [])
                scan.feed(calls[0]["function"]["arguments"] if calls else delta.get("content", ""))
        return found


async def read(url: str, **more: Any) -> Wire:
    """Ask and read for a third of a second after the head."""
    body = {"messages": messages("hello"), "response_format": RESPONSE_FORMAT, **more}
    status, got, end = 0, bytearray(), "whole"
    async with aiohttp.ClientSession() as session:
        try:
            async with asyncio.timeout(0.7), session.post(url, json=body) as response:
                status = response.status
                async for piece in response.content.iter_any():
                    got += piece
        except TimeoutError:
            end = "open"
        except (aiohttp.ClientError, OSError):
            end = "broken"
    return Wire(status, end, got.decode())


async def asked(fault: Fault, times: int, **more: Any) -> list[Wire]:
    """The first server's replies."""
    async with servers(fault) as [url, _]:
        return [await read(f"{url}/chat/completions", **more) for _ in range(times)]


async def test_every_fault_is_played_on_the_wire() -> None:
    """Streamed and whole, each server fails as it is told to, and as often."""
    expected = {
        "429, once": [(429, "whole"), (200, "whole")],
        "500, once": [(500, "whole"), (200, "whole")],
        "reset, once": [(0, "broken"), (200, "whole")],
        "429 for ever": [(429, "whole")] * 2,
        "500 for ever": [(500, "whole")] * 2,
        "refused": [(0, "broken")] * 2,
        "10 s late": [(0, "open")],
        "stalls": [(200, "open")],
        "keep-alives for ever": [(200, "open")],
        "cut off": [(200, "broken")],
        "ends early": [(200, "whole")],
        "error with status 200": [(200, "whole")],
        "no choices": [(200, "whole")],
        "unknown action": [(200, "whole")],
        "stalls after an action": [(200, "open")],
        "reset after an action": [(200, "broken")],
    }
    assert list(expected) == list(BY_NAME)
    for more in ({"stream": True}, {}):
        played = await asyncio.gather(
            *(asked(BY_NAME[name], len(ends), **more) for name, ends in expected.items())
        )
        found = dict(zip(expected, played, strict=True))
        assert {n: [(w.status, w.end) for w in wires] for n, wires in found.items()} == expected


@pytest.mark.parametrize("more", [{}, {"tools": [TOOL]}], ids=["text", "tools"])
async def test_a_stream_breaks_where_the_table_says(more: dict[str, Any]) -> None:
    """Before the first action is complete in the fourteen, after it in the others."""
    names = ["429, once", "stalls", "cut off", "ends early", *(fault.name for fault in LATER)]
    form = Form.of({"stream": True, **more})
    assert form.field == ("tasks" if more else "actions")
    found = await asyncio.gather(
        *(asked(BY_NAME[name], 2, stream=True, **more) for name in names[:1]),
        *(asked(BY_NAME[name], 1, stream=True, **more) for name in names[1:]),
    )
    assert [wires[-1].acted() for wires in found] == [actions(), [], [], [], [A], [A]]


@pytest.mark.parametrize("name", ["refused", "cut off", "unknown action", "429 for ever"])
async def test_ours_delivers_all_the_same(name: str) -> None:
    """The whole answer, each action once."""
    async with servers(BY_NAME[name]) as urls:
        happened = await one(CLIENTS["ours-told"].load(), urls, LIMIT_S)
    found = outcome(happened, actions())
    assert found["outcome"] == "valid", happened
    assert found["given"] == 4


async def test_a_client_is_played_to_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit that is over is told, and a client that cannot work is no row of failures."""
    monkeypatch.setattr("bench.faults.play.LIMIT_S", 0.4)
    monkeypatch.setattr("bench.faults.play.BUILT", tmp_path)
    python = Path(sys.executable)
    some = [BY_NAME["500, once"], BY_NAME["10 s late"]]
    found = await row("aiohttp", CLIENTS["aiohttp"], some, python)
    assert {name: each["outcome"] for name, each in found["faults"].items()} == {
        "500, once": "error",
        "10 s late": "late",
    }
    absent = await row("livekit", CLIENTS["livekit"], some, python)
    assert absent["faults"] == {}
    assert absent["left_out"] == "its process ended; livekit.faults.log says why"


def test_clients_are_those_of_the_peers_measured() -> None:
    """Tuned ones are measured with those whose environment they use."""
    assert set(of(list(PEERS))) == set(CLIENTS)
    assert set(of(["ours", "om1"])) == {
        "ours", "om1", "ours-told", "openai-by-hand", "openai-by-hand-stream",
    }  # fmt: skip
    assert set(of(["aiohttp"])) == {"aiohttp"}
    assert set(TUNED) < set(CLIENTS)


def test_whoever_does_better_is_told_of() -> None:
    """In each column, whether they were told of the limit or not; our other rows are not others."""
    valid, late = judged(A, B, C, D, pairs=[A, B, C, D]), judged(A, error="late")
    slow = valid | {"first_s": 2.0}
    rows = [
        {
            "client": name,
            "label": name,
            "told": False,
            "faults": dict(zip(("refused", "cut off", LATER[0].name), found, strict=True)),
        }
        for name, found in (
            ("ours", (slow, late, late)),
            ("ours-told", (valid, valid, valid)),
            ("better", (valid, valid, valid)),
            ("worse", (valid, late, late)),
        )
    ]
    assert list(ahead(rows)) == [
        "faults, valid answers, 1: better 2",
        "faults, slowest first action, 2.00 s of 1: better 0.10 of 2, worse 0.10 of 1",
        "stalls after an action, late after 1: better valid",
    ]
    assert list(ahead(rows[2:])) == []


async def test_each_reply_has_an_id_of_its_own() -> None:
    """So that a client can tell a second attempt's pieces from the first one's."""
    async with servers(BY_NAME["500, once"]) as [first, second]:
        urls = (first, first, second, second)
        wires = [await read(f"{url}/chat/completions", stream=True) for url in urls]
    ids = [set[str](re.findall(r'"id": ?"(chatcmpl-\w+)"', wire.text)) for wire in wires]
    assert [len(each) for each in ids] == [0, 1, 1, 1]
    assert len(ids[1] | ids[2] | ids[3]) == 3


def test_the_table_and_the_picture_are_made(tmp_path: Path) -> None:
    """The best first, what was left out in a sentence, and every fault explained."""
    valid = judged(A, B, C, D, pairs=[A, B, C, D])
    late, doubled = judged(A, error="late"), judged(A, A, pairs=[A])
    names = ["refused", "cut off", "stalls after an action"]
    rows = [
        {
            "client": name,
            "label": name,
            "told": told,
            "faults": dict(zip(names, found, strict=True)),
        }
        for name, told, found in (
            ("poor", False, (late, judged(error="x"), late)),
            ("good", True, (valid, valid, doubled)),
        )
    ]
    rows.append({"client": "no", "label": "no", "told": False, "faults": {}, "left_out": "why"})
    assert [each["label"] for each in best_first(rows[:2])] == ["good", "poor"]
    text = faults.table(rows)
    first, _, good, poor, *rest = text.splitlines()
    assert "valid of 2" in first
    assert good == "| good | yes | **2** |  |  |  |  | 0.10 |  | doubled |"
    assert poor == "| poor |  | 0 | 1 | 1 |  |  | - |  | late after 1 |"
    assert "Left out: no, why." in rest
    assert all(f"*{fault.name}* ({fault.why})" in text for fault in FAULTS)
    faults.plot(rows, tmp_path / "faults.png")
    assert (tmp_path / "faults.png").read_bytes().startswith(b"\x89PNG")
