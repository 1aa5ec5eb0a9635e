"""The examples run as their first lines say, and hold what they promise."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from reflexarc import Action, RobotConfig
from reflexarc.errors import ServerError
from reflexarc.om1.edits import apply
from reflexarc.om1.install import plan_install
from reflexarc.testing import Reply, ScriptedLLM, Server, Turn, run_virtual
from reflexarc.testing.server import Received
from reflexarc.types import ToolCallDelta
from tests.om1.stand_ins import contents, stand_in, write

EXAMPLES = Path(__file__).parent.parent / "examples"
DEMO = EXAMPLES / "demo.py"
PARTS = (
    "== Text generation",
    "== Streaming, action by action",
    "== Tool calls",
    "== A dialogue with memory, and a switch in mid-conversation",
    "== Custom configuration and failover",
)
SIT = '{"actions":[{"type":"move","value":"sit"}]}'
KITCHEN = ToolCallDelta("set_light", '{"room": "kitchen", "colour": "red"}', 0, "abcdefghi")


async def demonstrated(**environ: str) -> str:
    """What the demonstration prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        DEMO,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.timeout(180)
async def test_it_runs_with_no_key_and_no_server() -> None:
    """Every part, through both plugins; it says that it is the model on board."""
    told = await demonstrated()
    assert [line for line in told.splitlines() if line.startswith("==")] == [*PARTS]
    for name in ("Mistral", "Llama"):
        missing = f"no key and no {name.upper()}_URL"
        assert f"{name}LLM: {missing}, so it talks to smollm2-135m-instruct on this machine" in told
    assert "-> move: " in told
    assert 'set_light({"room":' in told
    assert "I'm Spot" in told
    assert re.search(r"What is my name\? +MistralLLM, shown 2 turns: .*Ann", told)
    assert re.search(r"what do I have\? +LlamaLLM, shown 6 turns: .*Ann", told)
    assert "as it was said" in told
    assert "MistralLLM failed (connection); LlamaLLM is asked" in told
    assert "answered by LlamaLLM" in told


async def test_it_takes_the_servers_it_is_named() -> None:
    """Each plugin asks its own, by its own model; tools are sent as tools."""

    def answer(request: Received) -> Reply:
        if "tools" in request.json:
            return Reply.stream(KITCHEN)
        told = [turn["content"] for turn in request.json["messages"]]
        if "What is my name" in told[-1]:
            return Reply.stream(
                " and ".join(re.findall(r"says: (?:My|I) .* (\w+)\.", "\n".join(told)))
            )
        return Reply.stream(SIT)

    async with Server(route=answer) as mistral, Server(route=answer) as llama:
        told = await demonstrated(
            MISTRAL_URL=mistral.base_url,
            MISTRAL_MODEL="small",
            LLAMA_URL=llama.base_url,
            LLAMA_MODEL="llama3.2",
        )
    assert "on this machine" not in told
    assert re.search(r"What is my name\? +MistralLLM, shown 2 turns: Ann\n", told)
    assert re.search(r"what do I have\? +LlamaLLM, shown 6 turns: Ann and ball\n", told)
    assert "as it was said" not in told
    assert 'set_light({"room": "kitchen", "colour": "red"})' in told
    asked = [request.json for request in mistral.requests]
    assert {each["model"] for each in asked} == {"small"}
    assert len(asked) == 4, "a text, a stream, and half of the dialogue"
    asked = [request.json for request in llama.requests]
    assert {each["model"] for each in asked} == {"llama3.2"}
    assert [len(each["messages"]) for each in asked if "tools" in each] == [2]
    assert any(each.get("temperature") == 0.2 for each in asked)


def example(path: str) -> ModuleType:
    """A file of the examples, imported."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, EXAMPLES / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def program(*command: str | Path, **environ: str) -> asyncio.subprocess.Process:
    """A Python program with pipes."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
    )


def drives(*turns: Turn, said: Sequence[str], wall_m: float = 100.0) -> list[tuple[float, Any]]:
    """What the wheels of the plain robot did, and when: seconds from its start."""
    robot = example("plain/robot.py")
    done: list[tuple[float, Any]] = []

    class Watched(robot.Rover):
        def drive(self, left: float, right: float) -> None:
            done.append((asyncio.get_running_loop().time(), (left, right)))
            super().drive(left, right)

    rover = Watched()
    rover.wall_m = wall_m
    run_virtual(robot.live(ScriptedLLM(*turns), rover, said), start_s=0)
    return done


FORWARD, LEFT = Action(type="drive", value="forward"), Action(type="drive", value="turn left")


def test_the_control_loop_never_waits_for_the_model() -> None:
    """Ten ticks a second for the five that a model thinks; an action is performed as it arrives."""
    done = drives(Turn((FORWARD, LEFT), first_s=5, duration_s=6), said=["go"])
    assert [at for at, _ in done[:-1]] == pytest.approx([n / 10 for n in range(len(done) - 1)])
    changes = [
        (at, wheels)
        for (at, wheels), (_, was) in zip(done[1:], done, strict=False)
        if wheels != was
    ]
    assert changes == [
        (pytest.approx(5.0, abs=0.11), (0.8, 0.8)),
        (pytest.approx(6.0, abs=0.11), (-0.1, 0.1)),
        (pytest.approx(8.0, abs=0.11), (0, 0)),
    ]


def test_the_wheels_stand_still_when_the_model_fails() -> None:
    """At the next tick, however long the order would have lasted."""
    failure = ServerError("it is gone", provider="LlamaLLM")
    done = drives(Turn((FORWARD,), duration_s=0.5, failure=failure), said=["go"])
    assert [at for at, wheels in done if wheels != (0, 0)][-1] <= 0.5


def test_a_wall_is_a_reflex() -> None:
    """The model still wants to go on, and the wheels stand still 30 cm before it."""
    done = drives(Turn((FORWARD,)), said=["go"], wall_m=1.0)
    went_m = sum(0.08 for _, wheels in done if wheels == (0.8, 0.8))
    assert 0.7 <= went_m < 0.8


async def test_the_plain_robot_runs_on_board() -> None:
    """With what is said on its command line; Ctrl-C ends it in one word."""
    rover = await program(EXAMPLES / "plain" / "robot.py", "drive forward", "turn left, please")
    assert rover.stdout is not None
    told = [await rover.stdout.readline() for _ in range(2)]
    assert told == [b"A person says: drive forward\n", b"  drive: forward\n"]
    rover.send_signal(signal.SIGINT)
    _, err = await rover.communicate()
    assert (rover.returncode, err) == (1, b"stopped\n")


TURN = '{"actions":[{"type":"drive","value":"turn left"},{"type":"speak","value":"Left."}]}'
NODE = """
import asyncio, sys
import node
from reflexarc import LLMConfig
node.BRAIN = LLMConfig(type="LlamaLLM", model="m", base_url=sys.argv[1])
asyncio.run(node.main())
"""


async def test_the_ros_node_drives_and_stops() -> None:
    """Twists while an action lasts, one that stops after it, and one more at Ctrl-C."""
    async with Server(route=lambda _: Reply.stream(TURN)) as server:
        node = await program("-c", NODE, server.base_url, PYTHONPATH=path_with("ros2"))
        assert node.stdin is not None
        assert node.stdout is not None
        assert b"Without ROS 2" in await node.stdout.readline()
        node.stdin.write(b"turn left, please\n")
        told = [await node.stdout.readline()]
        while not told[-1].startswith(b"speech"):
            told.append(await node.stdout.readline())
        node.send_signal(signal.SIGINT)
        rest, _ = await node.communicate()
    turns = [float(re.findall(rb"z=([-\d.]+)", line)[-1]) for line in told[:-1]]
    assert 5 <= len(turns) <= 11
    assert turns == [*[0.8] * (len(turns) - 1), 0.0]
    assert b"Left." in told[-1]
    assert rest.count(b"cmd_vel") == 1
    assert b"0.8" not in rest


async def test_the_word_stop_is_a_reflex() -> None:
    """The base stands still while the model has not said a word about it."""
    never = asyncio.Event()
    replies = iter((Reply.stream(TURN.replace("}]}", "}"), never), Reply.stream("", never)))
    async with Server(route=lambda _: next(replies)) as server:
        node = await program("-c", NODE, server.base_url, PYTHONPATH=path_with("ros2"))
        assert node.stdin is not None
        assert node.stdout is not None
        await node.stdout.readline()
        node.stdin.write(b"turn left, please\n")
        assert b"0.8" in await node.stdout.readline()
        node.stdin.write(b"Stop!\n")
        while b"0.8" in await node.stdout.readline():
            pass
        assert len(server.requests) == 1, "nobody was asked"
        node.send_signal(signal.SIGTERM)
        await node.communicate()


def path_with(folder: str) -> str:
    """PYTHONPATH with a folder of the examples."""
    return os.pathsep.join((str(EXAMPLES / folder), str(EXAMPLES.parent / "src")))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["ollama"])
async def test_a_server_of_yours_goes_away(name: str, tmp_path: Path) -> None:
    """Structured output and streaming from it; in the middle of an answer it is gone."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = (EXAMPLES / "server" / f"{name}.json5").read_text()
    robot = tmp_path / f"{name}.json5"
    robot.write_text(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", text))
    process = await program(EXAMPLES / "server" / "ask.py", robot)
    out, err = await process.communicate()
    told = out.decode()
    assert process.returncode == 0, err.decode()
    assert f"so an emulator of {name} does" in told
    assert "Room(name='attic', windows=2, light='lamp')" in told
    first, second, third = told.split("== A person says")[1:]
    assert "light: on" in first
    assert first.rstrip().endswith("by LlamaLLM")
    assert '{"actions": [{"type":' in second, "it had begun"
    assert "OnboardLLM is asked" in second
    for answer in (second, third):
        assert answer.rstrip().endswith("by OnboardLLM")


@pytest.mark.parametrize("name", ["vllm", "ollama"])
def test_the_files_of_the_servers_are_right(name: str) -> None:
    """They name a server on this machine, and the model on board after it."""
    robot = RobotConfig.load(EXAMPLES / "server" / f"{name}.json5", {})
    assert [each.type for each in robot.cortex_llm.llms] == ["LlamaLLM", "OnboardLLM"]


RUN = """
import asyncio, sys
from pathlib import Path
import driver.of_hardware
from aiohttp import web

async def hear(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        assert "OnboardLLM" in Path("src/llm/plugins/onboard_llm.py").read_text()
        print("INFO: SendThisToROS2: nothing, as nobody has spoken")
        print("INFO: Received message:", message.data)
        for done in ("move", driver.of_hardware.Motor("x").anything(1)):
            print("INFO: SendThisToROS2:", sys.argv[1], message.data, flush=True)
    return socket

app = web.Application()
app.router.add_get("/", hear)
web.run_app(app, host="127.0.0.1", port=PORT, print=None)
"""


@pytest.mark.parametrize("is_installed", [False, True])
async def test_om1_is_talked_to(tmp_path: Path, *, is_installed: bool) -> None:
    """A stand-in for OM1's run.py starts with the plugins and without its drivers, and hears."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    checkout = stand_in(tmp_path / "OM1")
    write(checkout / "src" / "run.py", RUN.replace("PORT", str(port)))
    write(checkout / ".venv/large", "not to be copied")
    if is_installed:
        plan = await asyncio.to_thread(plan_install, checkout)
        await asyncio.to_thread(apply, plan.root, plan.edits)
    before = contents(checkout)
    environ = {
        "OM1_MOCK_INPUT": f"ws://127.0.0.1:{port}",
        "OM1_PYTHON": sys.executable,
        "PYTHONPATH": path_with("om1"),
    }
    process = await program(EXAMPLES / "om1" / "talk.py", checkout, "please sit", **environ)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert out.decode().count("OM1 does: spot_onboard please sit") == 2
    assert contents(checkout) == before, "the checkout stays as it is"
