"""``reflexarc replay``: a memory on disk, another brain over a socket, and what is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reflexarc.config import AgentAction
from reflexarc.memory import Deed, Store, Tick
from reflexarc.prompt import Prompt
from reflexarc.testing import Reply, Server
from reflexarc.types import Message, Usage

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-c", "from reflexarc.cli import main; main()")
ENDS_WITHIN_S = 10.0
ACTIONS = (AgentAction(name="move", llm_label="move"), AgentAction(name="speak", llm_label="speak"))
MUTE = ACTIONS[:1]
NOW = datetime.now(UTC).replace(microsecond=0)

SIT = '{"actions":[{"type":"move","value":"sit"}'
SAID = ',{"type":"speak","value":"I sit."}]}'
ANSWER = Reply.stream(SIT, SAID, usage=Usage(1000, 20, 400))
DOWN = Reply.json({"error": {"message": "the key is wrong"}}, 401)

PROMPT = Prompt(
    system="You are Dot.",
    history=(Message("user", "A person says: hello"), Message("assistant", '{"actions":[]}')),
)


def tick(sensed: str, *deeds: tuple[str, str], minutes_ago: float = 5, **changed: Any) -> Tick:
    """One that MistralLLM has answered."""
    done = tuple(Deed(type_, value, 0.41) for type_, value in deeds)
    at = NOW - timedelta(minutes=minutes_ago)
    known: dict[str, Any] = {
        "provider": "MistralLLM",
        "model": "mistral-small",
        "first_action_s": 0.41,
        "total_s": 1.2,
        "usage": Usage(900, 30, 0),
    }
    return Tick(at, PROMPT.at(sensed, PROMPT.history), done, **{**known, **changed})


SITS = tick("A person says: sit!", ("move", "sit"), ("speak", "Okay."), minutes_ago=30)
RUNS = tick("A person says: run!", ("move", "run"), minutes_ago=20)
FAILED = tick(
    "A person says: stop!", error_kind="timeout", error="it was late", minutes_ago=10, usage=None
)


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """A memory with three ticks."""
    return remember(tmp_path / "dot.sqlite", (SITS, RUNS, FAILED))


def remember(path: Path, ticks: Iterable[Tick], actions: tuple[AgentAction, ...] = ACTIONS) -> Path:
    """Add ticks to a memory."""
    with Store(path) as store:
        for each in ticks:
            store.add(each, "dot", actions)
    return path


def at(server: Server, **settings: Any) -> list[str]:
    """Options that name a scripted server as the brain."""
    brain = {"type": "LlamaLLM", "model": "m", "base_url": server.base_url, **settings}
    return ["--llm", json.dumps(brain)]


@asynccontextmanager
async def running(*args: object, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the command as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "replay", *map(str, args)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **environ},
        limit=1 << 20,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def replayed(*args: object, **environ: str) -> tuple[int, str, str]:
    """Run the command to its end."""
    async with running(*args, **environ) as process:
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_programs_are_told_each_and_all(memory: Path) -> None:
    """One object a tick in the order of the memory, and the summary at the end."""
    async with Server(route=lambda _: ANSWER) as server:
        code, out, _ = await replayed("--file", memory, *at(server), "--json", "--price", "1,10")
    one, two, three, whole = map(json.loads, out.splitlines())
    assert code == 0
    assert [each["event"] for each in (one, two, three, whole)] == ["tick"] * 3 + ["summary"]
    assert [each["sensed"] for each in (one, two, three)] == [
        f"A person says: {said}!" for said in ("sit", "run", "stop")
    ]
    assert one["id"] < two["id"] < three["id"]
    assert [each["same"] for each in (one, two, three)] == [True, False, None]
    before, now = one["before"], one["now"]
    assert (before["provider"], before["model"]) == ("MistralLLM", "mistral-small")
    assert (now["provider"], now["model"]) == ("LlamaLLM", "scripted")
    assert [(each["type"], each["value"]) for each in now["actions"]] == [
        ("move", "sit"), ("speak", "I sit."),
    ]  # fmt: skip
    assert before["first_action_s"] == 0.41
    assert 0 < now["first_action_s"] <= now["total_s"]
    assert now["usage"] == {"prompt_tokens": 1000, "completion_tokens": 20, "cached_tokens": 400}
    assert three["before"]["error"] == {"kind": "timeout", "message": "it was late"}
    assert (whole["ticks"], whole["compared"], whole["same"]) == (3, 2, 1)
    assert (whole["before"]["failed"], whole["now"]["failed"]) == (1, 0)
    assert whole["before"]["cost_usd"] == pytest.approx(2 * (900 + 300) / 1e6)
    assert whole["now"]["cost_usd"] == pytest.approx(3 * (1000 + 200) / 1e6)


async def test_the_model_is_told_what_it_was_told_then(memory: Path) -> None:
    """The system prompt, the past and what was sensed, one question after the other."""
    async with Server(route=lambda _: ANSWER) as server:
        await replayed("--file", memory, *at(server), "--json", "--last", "1")
    [request] = server.requests
    system, *turns = request.json["messages"]
    assert system["content"].startswith("You are Dot.")
    assert [each["content"] for each in turns] == [
        "A person says: hello", '{"actions":[]}', "A person says: stop!",
    ]  # fmt: skip


async def test_nothing_is_written_to_the_memory(memory: Path) -> None:
    """Not a byte of it changes."""
    was = await asyncio.to_thread(memory.read_bytes)
    async with Server(route=lambda _: ANSWER) as server:
        await replayed("--file", memory, *at(server))
    assert await asyncio.to_thread(memory.read_bytes) == was


async def test_the_vocabulary_is_that_of_the_tick(memory: Path) -> None:
    """A robot that could not speak then is not asked to speak."""
    await asyncio.to_thread(remember, memory, [SITS], MUTE)
    async with Server(route=lambda _: ANSWER) as server:
        _, out, _ = await replayed("--file", memory, *at(server), "--json", "--last", "2")
    told = [each.json["messages"][0]["content"] for each in server.requests]
    assert ["speak:" in each for each in told] == [True, False]
    *_, mute, whole = map(json.loads, out.splitlines())
    assert [each["outcome"] for each in mute["now"]["actions"]] == ["done", "refused"]
    assert whole["now"]["illegal"] == 1


async def test_people_see_both_side_by_side(memory: Path, tmp_path: Path) -> None:
    """Each tick with both brains, and the account; and a picture, if they like."""
    plot = tmp_path / "plot.png"
    async with Server(route=lambda _: ANSWER) as server:
        code, out, err = await replayed(
            "--file", memory, *at(server), "--plot", plot, "--price", "1,10", COLUMNS="100"
        )
    lines = [" ".join(each.split()) for each in out.splitlines()]
    assert code == 0
    at_first = lines.index("before MistralLLM mistral-small 0.410 s 1.200 s 900/0/30")
    assert lines[at_first + 1] == "move sit, speak Okay."
    assert lines[at_first + 2].startswith("now LlamaLLM scripted 0.0")
    assert "before move run 0.410 s 1.200 s 900/0/30" in lines  # by the same brain
    assert "timeout: it was late" in " ".join(lines)
    assert [each.split()[-1] for each in lines if "A person says" in each] == [
        "same", "different", "compared",
    ]  # fmt: skip
    assert "brain MistralLLM mistral-small LlamaLLM scripted" in lines
    assert "failed 1 0" in lines
    assert "tokens in 1800 3000" in lines
    assert "cost $0.002400 $0.003600" in lines
    assert lines[-1].startswith("the same in 1 of 2 ticks, speech aside; 1 not compared")
    assert "drawn: " in err
    picture = await asyncio.to_thread(plot.read_bytes)
    assert picture.startswith(b"\x89PNG")
    assert 20_000 < len(picture) < 200_000


@pytest.mark.parametrize("columns", [40, 60, 80])
async def test_a_narrow_terminal_is_enough(columns: int, memory: Path) -> None:
    """No line is longer than it, and nothing is left out."""
    async with Server(route=lambda _: ANSWER) as server:
        _, out, _ = await replayed("--file", memory, *at(server), COLUMNS=str(columns))
    *table, verdict = out.splitlines()
    assert "the same in" in verdict
    assert max(map(len, table)) <= columns
    for word in ("before", "move run", "different", "0.410 s", "1.200 s", "900/0/30", "1800"):
        assert word in out


async def test_rules_and_idling_are_told(tmp_path: Path) -> None:
    """As the robot's own; what others wrote is no markup, and what is long is cut."""
    ruled = tick("[red]sit[/red]\x1b[2J", ("move", "sit"), ("speak", "[b]x " + "y" * 200))
    deeds = (replace(ruled.deeds[0], outcome="refused", reason="never"), *ruled.deeds[1:])
    idle = tick("run", ("move", "stand still"), provider="idle", model="", reason="timeout: late")
    path = tmp_path / "dot.sqlite"
    await asyncio.to_thread(remember, path, [replace(ruled, deeds=deeds), idle])
    async with Server(route=lambda _: ANSWER) as server:
        _, out, _ = await replayed("--file", path, *at(server), COLUMNS="200")
    lines = [" ".join(each.split()) for each in out.splitlines()]
    assert "1 [red]sit[/red]�[2J same" in lines
    assert f"refused: move sit, speak [b]x {'y' * 88}…" in lines
    assert any("move stand still, idle: timeout: late" in each for each in lines)
    assert "refused by a rule 1 0" in lines
    assert "failed 1 0" in lines


async def test_a_question_that_fails_is_a_row(memory: Path) -> None:
    """And the replay goes on; one that answers is enough for success."""
    replies = iter([DOWN, ANSWER, ANSWER])
    async with Server(route=lambda _: next(replies)) as server:
        code, out, _ = await replayed("--file", memory, *at(server), "--json")
    one, two, _, whole = map(json.loads, out.splitlines())
    assert code == 0
    assert (one["now"]["error"]["kind"], one["same"], one["now"]["actions"]) == ("auth", None, [])
    assert two["now"]["error"] is None
    assert whole["now"]["failed"] == 1


async def test_it_fails_where_every_question_does(memory: Path) -> None:
    """After the account of it."""
    async with Server(route=lambda _: DOWN) as server:
        code, out, _ = await replayed("--file", memory, *at(server))
    lines = [" ".join(each.split()) for each in out.splitlines()]
    assert code == 1
    assert any("auth:" in each for each in lines)
    assert "failed 1 3" in lines


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
async def test_a_signal_shows_what_is_there(
    number: signal.Signals, code: int, memory: Path
) -> None:
    """The ticks that were answered, and their account; the open connection is closed."""
    replies = iter([ANSWER, Reply.stream(SIT, asyncio.Event())])
    async with (
        Server(route=lambda _: next(replies)) as server,
        running("--file", memory, *at(server), "--json") as process,
    ):
        assert process.stdout is not None
        assert json.loads(await process.stdout.readline())["same"] is True
        await asyncio.wait_for(server.asked(2), ENDS_WITHIN_S)
        process.send_signal(number)
        out, told = await asyncio.wait_for(process.communicate(), ENDS_WITHIN_S)
        await asyncio.wait_for(server.requests[1].left.wait(), ENDS_WITHIN_S)
    whole = json.loads(out)
    assert (whole["event"], whole["ticks"], process.returncode) == ("summary", 1, code)
    assert b"Traceback" not in told


async def test_what_is_asked_again_is_chosen(memory: Path) -> None:
    """By how many, since when, and what was in it; what is left out is told."""
    async with Server(route=lambda _: ANSWER) as server:

        async def sensed(*args: str) -> list[str]:
            _, out, err = await replayed("--file", memory, *at(server), "--json", *args)
            assert ("--last N takes more" in err) == ("--last" in args)
            return [json.loads(line).get("sensed", "")[15:-1] for line in out.splitlines()[:-1]]

        since = (NOW - timedelta(minutes=25)).isoformat()
        assert await sensed("--last", "2") == ["run", "stop"]
        assert await sensed("--since", since) == ["run", "stop"]
        assert await sensed("--containing", "run!") == ["run"]


async def test_the_brain_is_that_of_the_file(memory: Path, tmp_path: Path) -> None:
    """Where no other one is given, and the memory is that robot's."""
    robot = tmp_path / "dot.json5"
    async with Server(route=lambda _: ANSWER) as server:
        text = json.dumps(
            {
                "name": "dot",
                "hertz": 1,
                "cortex_llm": {"type": "LlamaLLM", "base_url": server.base_url, "model": "x"},
                "agent_actions": [{"name": "move", "llm_label": "move"}],
                "memory": {"path": str(memory)},
            }
        )
        await asyncio.to_thread(robot.write_text, text)
        code, out, _ = await replayed("--config", robot, "--json")
    assert (code, len(server.requests)) == (0, 3)
    assert json.loads(out.splitlines()[0])["now"]["provider"] == "LlamaLLM"


async def test_the_brain_on_board_is_asked_without_a_word(tmp_path: Path) -> None:
    """A dog that was told to sit would sit on board as well."""
    path = await asyncio.to_thread(remember, tmp_path / "dot.sqlite", [SITS])
    code, out, err = await replayed("--file", path, "--json", XDG_CACHE_HOME=str(tmp_path))
    one, whole = map(json.loads, out.splitlines())
    assert (code, one["same"]) == (0, True), err
    assert one["now"]["provider"] == "OnboardLLM"
    assert one["now"]["actions"][0]["value"] == "sit"
    assert whole["now"]["usage"]["prompt_tokens"] > 0


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--plot", "x.jpg"), "--plot writes a PNG file; name it x.png"),
        (("--plot", "no/such/folder/x.png"), "there is no folder no/such/folder"),
        (("--price", "cheap"), "'cheap' is no price"),
        (("--price-before", "1"), "'1' is no price"),
        (("--since", "yesterday"), "--since is a date as 2026-11-01"),
        (("--robot", "dot"), "name the memory by one of --config, --robot and --file"),
        (("--containing", "nothing like it"), "has no tick that fits"),
        (("--llm", '{"type":"LamaLLM"}'), "did you mean 'LlamaLLM'?"),
    ],
)
async def test_a_callers_mistake_is_told(
    args: tuple[str, ...], sentence: str, memory: Path
) -> None:
    """Before anybody is asked."""
    code, out, err = await replayed("--file", memory, *args)
    assert (code, out, sentence in " ".join(err.split())) == (2, "", True), err


async def test_a_picture_that_cannot_be_written_is_told(memory: Path, tmp_path: Path) -> None:
    """After the account, which is not lost."""
    folder = tmp_path / "there.png"
    await asyncio.to_thread(folder.mkdir)
    async with Server(route=lambda _: ANSWER) as server:
        code, out, err = await replayed("--file", memory, *at(server), "--plot", folder)
    assert (code, "--plot cannot write" in err, "the same in" in out) == (2, True, True)


async def test_an_empty_memory_is_told(tmp_path: Path) -> None:
    """With what fills it."""
    path = await asyncio.to_thread(remember, tmp_path / "empty.sqlite", [])
    code, _, err = await replayed("--file", path)
    assert (code, "has no tick yet" in " ".join(err.split())) == (2, True), err


async def test_a_broken_memory_is_told(tmp_path: Path) -> None:
    """As one sentence."""
    path = tmp_path / "broken.sqlite"
    await asyncio.to_thread(path.write_bytes, b"SQLite format 3\0" + b"rubbish" * 1000)
    code, out, err = await replayed("--file", path)
    assert (code, out) == (1, "")
    assert err
    assert "Traceback" not in err
