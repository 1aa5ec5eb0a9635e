"""A key is planted wherever one may stand, every command is run, and nothing shows it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from reflexarc.cli.app import app
from reflexarc.config import LLMConfig, RobotConfig
from reflexarc.errors import LLMError
from reflexarc.llm import LLM
from reflexarc.memory import Memory
from reflexarc.prompt import Prompt
from reflexarc.providers.mistral import MistralLLM
from reflexarc.registry import load_llm
from reflexarc.runtime.events import Failed, TickEvent
from reflexarc.runtime.inputs import Inbox
from reflexarc.runtime.loop import Loop
from reflexarc.runtime.switch import Switch
from reflexarc.specs import ActionSpec
from reflexarc.telemetry import Measured, Metrics
from reflexarc.testing import Received, Reply, Server, event
from reflexarc.vocabulary import Vocabulary
from reflexarc.web import Page, PageServer
from tests.om1.stand_ins import stand_in
from tests.security.canary import ENVIRON, KEYS, leaks, serving

ANSWER = '{"actions":[{"type":"move","value":"sit"}]}'
SITUATION = {
    "id": "a",
    "category": "simple",
    "text": "A person says: sit!",
    "accept": [[{"type": "move", "value": "sit"}]],
}
Route = Callable[[Received], Reply]


def good(_: Received) -> Reply:
    """An answer."""
    return Reply.stream(ANSWER)


def refused(request: Received) -> Reply:
    """The vendors' 401, which quotes the key, here in every way in which one can be written."""
    header = request.headers.get("authorization", "")
    key = header.removeprefix("Bearer ")
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in key)
    folded = f"{key[:9]}\r\n {key[9:]}"
    text = json.dumps({"error": {"message": f"Incorrect API key {key}, {header}. {folded}."}})
    text = text.replace("Incorrect", f"Incorrect {escaped} {'.' * 240}")
    headers = {"x-request-id": f"req-{key}", "x-echo": header}
    return replace(Reply.text(text, 401, "application/json"), headers=headers)


def broken(request: Received) -> Reply:
    """Status 500 and a page that shows the request, as debuggers write it."""
    return Reply.text(f"Traceback of {sorted(request.headers.items())}", 500)


def late_failure(request: Received) -> Reply:
    """A stream that ends in an error with the key."""
    said = {"error": {"message": f"bad key {request.headers.get('authorization')}", "code": 401}}
    return Reply(headers={"Content-Type": "text/event-stream"}, body=(event(said),))


def no_answer(request: Received) -> Reply:
    """JSON that is no answer, with the request in it."""
    return Reply.text(f"oops {request.headers.get('authorization')}", 200, "application/json")


def elsewhere(request: Received) -> Reply:
    """A redirect with the key in its address."""
    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    return replace(Reply.text("", 307), headers={"Location": f"http://127.0.0.1:9/?key={key}"})


def gone(_: Received) -> Reply:
    """No answer."""
    return Reply.nothing("reset")


ROUTES = (good, refused, broken, late_failure, no_answer, elsewhere, gone)


class Bench:
    """A robot with keys in all places, and a look at all that its commands produce."""

    def __init__(self, folder: Path, log: io.StringIO) -> None:
        self.folder = folder
        self._log = log

    def robot(self, at: str, **brain: Any) -> Path:
        """Write the robot's file."""
        known = {"type": "LlamaLLM", "model": "m", "base_url": at, "timeout": 5}
        robot = {
            "name": "dot",
            "hertz": 100,
            "api_key": KEYS["robot"],
            "cortex_llm": {**known, "api_key": KEYS["api_key"], **brain},
            "agent_inputs": [{"type": "ConsoleInput", "config": {"key": KEYS["headers"]}}],
            "agent_actions": [
                {"name": "move", "llm_label": "move", "connector": "console"},
                {"name": "speak", "llm_label": "speak", "config": {"key": KEYS["headers"]}},
            ],
        }
        path = self.folder / "dot.json5"
        path.write_text(json.dumps(robot))
        return path

    def call(self, *args: object, typed: str = "") -> str:
        """Run a command; all that came out, and what was left on disk and in logs."""
        result = CliRunner().invoke(app, list(map(str, args)), input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        kept = b"".join(
            path.read_bytes() for path in self.folder.glob("state/**/*") if path.is_file()
        )
        return result.output + result.stderr + self._log.getvalue() + kept.decode("latin-1")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Every vendor's variable is set, and every library logs all it can."""
    for name, key in ENVIRON.items():
        monkeypatch.setenv(name, key)
    for name in ("MISTRAL_DEBUG", "LLAMA_API_CLIENT_LOG", "LLAMA_API_LOG"):
        monkeypatch.setenv(name, "debug")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield Bench(tmp_path, log)
    root.removeHandler(handler)
    root.setLevel(level)


BRAINS: dict[str, dict[str, Any]] = {
    "http": {},
    "llama-sdk": {"transport": "sdk"},
    "mistral-sdk": {"type": "MistralLLM", "transport": "sdk"},
    "failover": {"fallback": "onboard"},
}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.__name__)
@pytest.mark.parametrize("brain", BRAINS)
def test_no_command_that_asks_shows_a_key(bench: Bench, brain: str, route: Route) -> None:
    """Whatever a server does with the key that it is sent, nothing that is said or kept has it."""
    situations = bench.folder / "situations.jsonl"
    situations.write_text(json.dumps(SITUATION))
    with serving(route) as server:
        settings = BRAINS["http"] if brain == "failover" else BRAINS[brain]
        robot = bench.robot(server.base_url, **settings)
        if brain == "failover":
            llms = [{"type": "LlamaLLM", "model": "m", "base_url": server.base_url}] * 2
            own = [{**each, "api_key": KEYS["api_key"]} for each in llms]
            data = json.loads(robot.read_text())
            robot.write_text(
                json.dumps({**data, "cortex_llm": {"type": "FailoverLLM", "llms": own}})
            )
        said = [bench.call("run", robot, "--say", "sit")]
        if brain == "http" and route in (good, refused):
            said += [
                bench.call("ask", "sit", "--config", robot),
                bench.call("ask", "sit", "--config", robot, "--json"),
                bench.call("run", robot, "--say", "sit", "--json"),
                bench.call("eval", situations, "--config", robot),
                bench.call("eval", situations, "--config", robot, "--json"),
                bench.call("doctor", "--config", robot),
                bench.call("doctor", "--config", robot, "--json"),
                bench.call("chat", robot, "--json"),
                bench.call("replay", "--config", robot),
                bench.call("replay", "--config", robot, "--json"),
                bench.call("memory", "show", "--config", robot),
                bench.call("memory", "export", bench.folder / "state/all", "--config", robot),
                bench.call("trace", "--config", robot),
                bench.call("trace", "--config", robot, "--json"),
            ]
            assert not [each for each in said if "Usage: " in each]
        sent = [request.headers.get("authorization") for request in server.requests]
    assert set(sent) == {f"Bearer {KEYS['api_key']}"}, "the key is used, and no other"
    assert leaks("".join(said)) == set()
    if brain.endswith("-sdk") and route is not gone:
        assert "receive_response_headers.complete" in said[-1], "the libraries log all they can"


@pytest.mark.parametrize("route", [good, refused], ids=lambda route: route.__name__)
@pytest.mark.parametrize("transport", ["http", "sdk"])
def test_a_vendors_key_from_its_variable_is_not_shown(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, route: Route, transport: str
) -> None:
    """The same of a key that stands nowhere but in the environment."""
    with serving(route) as server:
        row = replace(MistralLLM.provider, base_url=server.base_url, hosts=("127.0.0.1",))
        monkeypatch.setattr(MistralLLM, "provider", row)
        robot = bench.robot(server.base_url, type="MistralLLM", transport=transport)
        robot.write_text(robot.read_text().replace(f', "api_key": "{KEYS["api_key"]}"', ""))
        said = bench.call("ask", "sit", "--config", robot)
        said += bench.call("doctor", "--config", robot, "--json")
        sent = {request.headers.get("authorization") for request in server.requests}
    assert sent == {f"Bearer {KEYS['MISTRAL_API_KEY']}"}
    assert leaks(said) == set()


def test_no_command_that_asks_nobody_shows_a_key(bench: Bench) -> None:
    """Looking at the machine, at a file, at models and at a checkout tells names, no values."""
    robot = bench.robot("http://127.0.0.1:9")
    checkout = stand_in(bench.folder / "om1", git=True)
    (checkout / ".env").write_text(f"MISTRAL_API_KEY={KEYS['wrong']}\n")
    said = ""
    for args in (
        *(["doctor"], ["config", "check", robot], ["models", "list"], ["memory", "show", robot]),
        *(["om1", "install", checkout], ["om1", "check", checkout]),
    ):
        said += bench.call(*args) + bench.call(*args, "--json")
    assert "MISTRAL_API_KEY" in said
    assert leaks(said) == set()


WRONG = KEYS["wrong"]


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": WRONG},
        {"base_url": f"http://{WRONG}@127.0.0.1:9/v1"},
        {"base_url": f"http://me:{WRONG}@127.0.0.1:9/v1"},
        {"base_url": f"http://127.0.0.1:9/v1?key={WRONG}"},
        {"timeout": WRONG},
        {"transport": WRONG},
        {"structured": WRONG},
        {"type": WRONG},
        {WRONG: 1},
        {"extra_params": {"api_key": WRONG}},
        {"extra_params": {"Authorization": f"Bearer {WRONG}"}},
        {"extra_params": WRONG},
        {"api_key": f"{WRONG} "},
        {"api_key": [WRONG]},
        {"api-key": WRONG},
        {"llms": [{"type": "LlamaLLM", "modle": WRONG}]},
        {"idle_action": {"type": WRONG, "value": "sit"}},
    ],
    ids=repr,
)
def test_a_key_in_a_wrong_place_is_refused_without_showing_it(
    bench: Bench, settings: dict[str, Any]
) -> None:
    """A mistake is shown where it stands, but for what looks like a key."""
    robot = bench.robot("http://127.0.0.1:9", **settings)
    said = bench.call("config", "check", robot) + bench.call("config", "check", robot, "--json")
    said += bench.call("ask", "sit", "--config", robot, "--llm", json.dumps(settings))
    assert "config: " in said
    assert leaks(said) == set()


# --- what a program gets hold of -----------------------------------------------------------------

each_brain = pytest.mark.parametrize("brain", ["http", "llama-sdk", "mistral-sdk"])
each_route = pytest.mark.parametrize("route", ROUTES[1:], ids=lambda route: route.__name__)


def made(base_url: str, brain: str = "http") -> LLM[Any]:
    """A brain with a key of its own, and every vendor's in the environment."""
    known = {"type": "LlamaLLM", "model": "m", "base_url": base_url, "timeout": 5}
    config = LLMConfig.model_validate({**known, **BRAINS[brain], "api_key": KEYS["api_key"]})
    return load_llm(config, actions=Vocabulary([ActionSpec("move", ("sit",))]), environ=ENVIRON)


def all_of(value: object) -> str:
    """What printing, logging or looking into an object shows; what it holds as well."""
    inside: Any = getattr(value, "__dict__", None) or {
        name: getattr(value, name, None) for name in getattr(type(value), "__slots__", ())
    }
    return f"{value!r} {value!s} {inside!r} " + " ".join(f"{each!r}" for each in inside.values())


@each_route
@each_brain
async def test_no_object_shows_a_key(brain: str, route: Route, caplog: Any) -> None:
    """Neither brain, configuration, event nor error, by whatever a debugger or a logger does."""
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    loop = asyncio.get_running_loop()

    def note(_: object, context: dict[str, Any]) -> None:
        seen.append(f"{context!r} {context['exception']!r}")
        loop.default_exception_handler(context)

    loop.set_exception_handler(note)
    async with Server(route=route) as server, made(server.base_url, brain) as llm:
        failure: LLMError | None = None
        try:
            seen += [all_of(event) async for event in llm.stream("sit!")]
        except LLMError as error:
            failure = error
        assert failure is not None
        loop.call_exception_handler({"message": "Task failed", "exception": failure})
        seen += [all_of(llm), all_of(vars(llm)["_transport"]), all_of(failure)]
        seen += [str(failure.to_dict()), all_of(failure.copy()), repr(pickle.dumps(failure))]
        seen += ["".join(traceback.format_exception(failure)), *map(repr, failure.attempts)]
        config = LLMConfig.model_validate(vars(llm)["config"])
        seen += [all_of(config), str(config.model_dump()), config.model_dump_json()]
        seen += [json.dumps(LLMConfig.model_json_schema()), repr(Failed(failure).to_dict())]
    assert leaks("".join(seen) + caplog.text) == set()


def test_no_robot_shows_a_key(tmp_path: Path) -> None:
    """Printing a robot shows no settings of its parts, where keys of theirs stand."""
    robot = RobotConfig.load(Bench(tmp_path, io.StringIO()).robot("http://127.0.0.1:9"), ENVIRON)
    assert robot.agent_inputs[0].config == {"key": KEYS["headers"]}
    assert leaks(f"{robot!r} {robot!s} {robot.agent_inputs} {robot.agent_actions}") == set()


# --- the page ------------------------------------------------------------------------------------


async def test_no_page_shows_a_key(tmp_path: Path) -> None:
    """Neither its files, its events, its past nor its refusals; its own token is in its cookie."""
    token = KEYS["REFLEXARC_TOKEN"]
    vocabulary = Vocabulary([ActionSpec("move", ("sit",))])
    memory, inbox = Memory(tmp_path / "dot.sqlite", "dot", ()), Inbox()
    said = b""
    async with Server(route=refused) as server, memory, aiohttp.ClientSession() as web:
        switch = Switch[Any]({"one": made(server.base_url), "two": made(server.base_url)})
        page = Page("dot", vocabulary, switch)
        failed = asyncio.Event()

        def observe(told: TickEvent) -> None:
            page.observe(told)
            if isinstance(told, Failed):
                failed.set()

        metrics = await asyncio.to_thread(Metrics, "dot", ["move"], switch.standings)
        served = PageServer(page, inbox.say, memory, port=0, token=token, metrics=metrics)
        loop = Loop(
            Measured(switch, metrics),
            Prompt("You are Dot."),
            hertz=1000,
            history_length=0,
            inputs=[inbox],
            observe=observe,
            memory=memory,
        )
        async with switch, served:
            url = served.url.partition("/?")[0]
            running = asyncio.create_task(loop.run())
            bearer = {"Authorization": f"Bearer {token}"}
            async with web.post(f"{url}/say", json={"text": "sit"}, headers=bearer) as reply:
                said += await reply.read()
            async with asyncio.timeout(5):
                await failed.wait()
            for headers in ({}, bearer, {"Authorization": f"Bearer {token}x"}):
                for path in (
                    "/",
                    "/metrics",
                    "/ticks?before=9",
                    "/ticks?before=x",
                    "/brain",
                    "/no",
                ):
                    async with web.get(f"{url}{path}", headers=headers) as reply:
                        said += await reply.read() + str(reply.headers).encode()
            async with web.post(f"{url}/brain", json={"brain": "x"}, headers=bearer) as reply:
                said += await reply.read()
            async with web.get(f"{url}/events", headers=bearer) as reply, asyncio.timeout(5):
                while b"event" not in said.rpartition(b"hello")[2]:
                    said += await reply.content.readany()
            running.cancel()
            await asyncio.wait({running})
    assert b"the server refused the key" in said
    assert b"cortex_" in said
    kept = await asyncio.to_thread(lambda: b"".join(map(Path.read_bytes, tmp_path.iterdir())))
    assert leaks(said + kept) == set()


def test_a_token_that_was_set_is_not_told(bench: Bench) -> None:
    """Where the page is goes to the terminal, and from there into a service's log."""
    with serving(refused) as server:
        robot = bench.robot(server.base_url)
        command = "from reflexarc.cli import main; main()"
        process = subprocess.run(
            [sys.executable, "-c", command, "run", robot, "--web", "127.0.0.1:0", "--open"],
            env={**os.environ, "DISPLAY": ":9", "BROWSER": f"{sys.executable} -c 'print(%s)'"},
            input=b"sit\n",
            capture_output=True,
            check=False,
        )
    assert b"?token=$REFLEXARC_TOKEN" in process.stdout
    assert leaks(process.stdout + process.stderr) == set()
