"""``reflexarc eval``: what it tells people and programs, and draws."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from reflexarc.testing import Reply, Server

LINE = {
    "category": "simple",
    "text": "A person says: sit!",
    "accept": [[{"type": "move", "value": "sit"}]],
}
ROBOT = """{
  name: "dot", hertz: 1, system_prompt_base: "You are Dot.",
  cortex_llm: { type: "LlamaLLM", base_url: "%s", model: "m" },
  agent_actions: [{ name: "move", llm_label: "move" }, { name: "speak", llm_label: "speak" }],
  examples: [{ sensed: "A person says: run!", actions: [{ type: "move", value: "run" }] }],
  limits: [{ type: "speak", per: 1000 }],
}"""
COMMAND = (sys.executable, "-c", "from reflexarc.cli import main; main()")
ANSWER = '{"actions":[{"type":"move","value":"sit"},{"type":"speak","value":"Okay."}]}'


@pytest.fixture
def situations(tmp_path: Path) -> Path:
    """Three, one for another robot."""
    path = tmp_path / "situations.jsonl"
    lines = [
        {**LINE, "id": "a"},
        {**LINE, "id": "b", "half": "held", "accept": [[{"type": "move", "value": "run"}]]},
        {**LINE, "id": "c", "robot": "other"},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


async def evaluate(situations: Path, tmp_path: Path, *args: str) -> tuple[int, str, str]:
    """Run the command against a scripted server; the server's loop goes on meanwhile."""
    async with Server(route=lambda _: Reply.stream(ANSWER)) as server:
        robot = tmp_path / "dot.json5"
        robot.write_text(ROBOT % server.base_url)
        process = await asyncio.create_subprocess_exec(
            *(*COMMAND, "eval", situations, "--config", robot, *args),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_programs_are_told_each_and_all(situations: Path, tmp_path: Path) -> None:
    """One object for each situation, and the summary at the end; rules hold as for a robot."""
    code, out, _ = await evaluate(situations, tmp_path, "--json")
    one, two, whole = map(json.loads, out.splitlines())
    assert (code, one["id"], one["right"], two["right"]) == (0, "a", True, False)
    assert [each["type"] for each in one["actions"]] == ["move", "speak"]
    assert [each["type"] for each in two["actions"]] == ["move"]
    assert (whole["event"], whole["right"], whole["of"], whole["illegal"]) == ("summary", 1, 2, 0)
    assert whole["baselines"] == {
        "idle": {"right": 0, "of": 2}, "nearest example": {"right": 1, "of": 2},
    }  # fmt: skip


async def test_people_see_a_table_and_what_went_wrong(situations: Path, tmp_path: Path) -> None:
    """And a picture, if they like."""
    plot = tmp_path / "plot.png"
    code, out, _ = await evaluate(situations, tmp_path, "--plot", str(plot))
    assert code == 0
    assert "b: A person says: sit!\n    move sit: it does not do what is asked for" in out
    assert "1/2  50 % (9-91)" in out
    assert "illegal actions 0" in out
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--half", "other"), "--half is tune or held, not 'other'"),
        (("--plot", "x.jpg"), "--plot writes a PNG file; name it x.png"),
    ],
)
async def test_a_callers_mistake_is_told(
    args: tuple[str, ...], sentence: str, situations: Path, tmp_path: Path
) -> None:
    """Before anybody is asked."""
    code, _, err = await evaluate(situations, tmp_path, *args)
    assert (code, sentence in err) == (2, True)


async def test_a_half_is_played_alone(situations: Path, tmp_path: Path) -> None:
    """And a robot without any situation is told."""
    _, out, _ = await evaluate(situations, tmp_path, "--json", "--half", "held")
    assert [json.loads(line).get("id") for line in out.splitlines()] == ["b", None]
    await asyncio.to_thread(
        situations.write_text, json.dumps({**LINE, "id": "c", "robot": "other"})
    )
    code, _, err = await evaluate(situations, tmp_path)
    assert (code, "there is no situation for the robot 'dot'" in err) == (2, True)


async def test_a_brain_that_nobody_can_ask_ends_it(situations: Path, tmp_path: Path) -> None:
    """At the first situation, with why; all the others would meet the same."""
    down = '{"type": "LlamaLLM", "model": "m", "base_url": "http://127.0.0.1:9"}'
    code, out, err = await evaluate(situations, tmp_path, "--json", "--llm", down)
    [told] = map(json.loads, out.splitlines())
    assert (code, told["kind"]) == (1, "connection")
    assert "check base_url, and that the server runs" in told["message"]
    assert "Traceback" not in err
