"""Every sentence that the page on troubleshooting quotes is printed: each is provoked here."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import re
import socket
import ssl
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from reflexarc import cli
from reflexarc.cli.app import app
from reflexarc.config import LLMConfig
from reflexarc.errors import ConnectError, ReflexarcError
from reflexarc.guard import Guard
from reflexarc.llm import LLM
from reflexarc.onboard.models import DEFAULT, MODELS, ModelStore, find
from reflexarc.prompt import Prompt
from reflexarc.providers.connection import Address, connect_error
from reflexarc.registry import load_llm
from reflexarc.resilience import Breaker
from reflexarc.rules import Never
from reflexarc.runtime.actuators import Actuator, Body
from reflexarc.runtime.events import TickEvent
from reflexarc.runtime.inputs import Board, Input
from reflexarc.runtime.loop import Loop
from reflexarc.runtime.mock_input import MockInput
from reflexarc.runtime.push import HttpActuator
from reflexarc.source import Source
from reflexarc.specs import ActionSpec
from reflexarc.telemetry import Exporting, exporter_of
from reflexarc.testing import Reply, ScriptedLLM, Server, Turn, run_virtual
from reflexarc.types import Action, ActionRefused, Usage
from reflexarc.vocabulary import Vocabulary

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SENTENCES = re.findall(r"^\| `(.+?)` \|", PAGE, re.MULTILINE)
DOG = Vocabulary([ActionSpec("move", ("sit", "walk"))])
SIT = '{"actions":[{"type":"move","value":"sit"}'
ROBOT: Mapping[str, Any] = {
    "name": "dot",
    "hertz": 1,
    "cortex_llm": {"type": "OnboardLLM"},
    "agent_actions": [{"name": "move", "llm_label": "move"}],
}

Provoke = Callable[[Path], str]
"""Has a sentence printed; it is handed a folder of its own, in which it runs."""


def typed(*args: str, robot: Mapping[str, Any] = ROBOT) -> Provoke:
    """What a command prints, wherever it does."""

    def run(folder: Path) -> str:
        (folder / "robot.json5").write_text(json.dumps(robot))
        return CliRunner().invoke(app, args, env={"XDG_STATE_HOME": str(folder)}).output

    return run


def checked(**fields: Any) -> Provoke:
    """What ``config check`` says of a robot."""
    return typed("config", "check", "robot.json5", robot={**ROBOT, **fields})


def brain(type_: str, **settings: Any) -> Provoke:
    """What it says of a robot's brain."""
    return checked(cortex_llm={"type": type_, "config": settings})


async def told(llm: LLM[Any], questions: Iterable[str]) -> str:
    """What a brain says: what it refuses, and how it fails."""
    said: list[str] = []
    for question in questions:
        try:
            async with aclosing(llm.stream(question)) as events:
                said += [event.reason async for event in events if isinstance(event, ActionRefused)]
        except ReflexarcError as error:
            said.append(error.message)
    await llm.aclose()
    return "\n".join(said)


def asked(*replies: Reply, times: int = 1, **settings: Any) -> Provoke:
    """What is said of questions, each longer than the last, to a server that answers so."""

    async def ask() -> str:
        async with Server(*replies) as server:
            fields = {"type": "LlamaLLM", "model": "m", "base_url": server.base_url} | settings
            llm = load_llm(LLMConfig.model_validate(fields), actions=DOG, environ={})
            return await told(llm, ("sit! " * (1 + 900 * number) for number in range(times)))

    return lambda _: asyncio.run(ask())


def out_of_reach(_: Path) -> str:
    """What is said of a server without TLS that waits for more than TLS's hello."""
    with socket.create_server(("127.0.0.1", 0)) as waiting:
        base_url = f"https://127.0.0.1:{waiting.getsockname()[1]}"
        fields = {"type": "LlamaLLM", "model": "m", "base_url": base_url, "timeout": 0.2}
        llm = load_llm(LLMConfig.model_validate(fields), actions=DOG, environ={})
        return asyncio.run(told(llm, ["sit!"]))


def of_nothing(_: Path) -> str:
    """What is said where a program asks for actions without saying which there are."""
    return asyncio.run(told(load_llm(LLMConfig(type="OnboardLLM"), environ={}), ["sit!"]))


def alone(make: Callable[[LLM[Any]], LLM[Any]], times: int = 1) -> Provoke:
    """What is said around a brain that always fails."""
    failing = Turn(failure=ConnectError("gone"))
    return lambda _: asyncio.run(told(make(ScriptedLLM(failing)), ["sit!"] * times))


def failed(status: int, message: str, **more: object) -> Provoke:
    """What is said of a failure in OpenAI's envelope."""
    return asked(Reply.json({"error": {"message": message} | more}, status))


def unreached(error: OSError) -> Provoke:
    """What is said of a failure below HTTP."""
    return lambda _: connect_error(Address("https://spot.local/v1", None), error).message


def certificate(code: int) -> Provoke:
    """What is said of a certificate that is refused with one of OpenSSL's codes."""
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_code = code
    return unreached(error)


def logged(provoke: Provoke) -> Provoke:
    """What is logged meanwhile."""

    def run(folder: Path) -> str:
        lines: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: lines.append(record.getMessage())
        logging.getLogger("reflexarc").addHandler(handler)
        try:
            provoke(folder)
        finally:
            logging.getLogger("reflexarc").removeHandler(handler)
        return "\n".join(lines)

    return run


def found(model: str, *present: str) -> Provoke:
    """What is said of a model on board, where only some are there."""

    def run(folder: Path) -> str:
        store = ModelStore(folder)
        for name in present:
            path = store.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.truncate(MODELS[name].file_bytes)
        try:
            return str(find(model, store))
        except ReflexarcError as error:
            return error.message

    return run


def damaged(folder: Path) -> str:
    """What is said of a model's file that is too short."""
    store = ModelStore(folder)
    store.path(DEFAULT).parent.mkdir(parents=True)
    store.path(DEFAULT).write_bytes(b"GGUF")
    return store.status(DEFAULT).message


def no_gguf(folder: Path) -> str:
    """What is said of a web page that was saved as a model."""
    (folder / "page.gguf").write_text("<html>not found</html>")
    return found(str(folder / "page.gguf"))(folder)


def without(package: str, provoke: Provoke) -> Provoke:
    """What is said where a package is not installed."""

    def run(folder: Path) -> str:
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in sys.modules if name.split(".")[0] == package]:
                patch.delitem(sys.modules, name)
            patch.setitem(sys.modules, package, None)
            return provoke(folder)

    return run


def command(_: Path) -> str:
    """What the command says as it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "reflexarc.cli.app")
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return str(ended.value)


def occupied(_: Path) -> str:
    """What is said of a port that another program has."""

    async def listen() -> str:
        with socket.create_server(("127.0.0.1", 0)) as other:
            sense = MockInput(host="127.0.0.1", port=other.getsockname()[1])
            try:
                await sense.run(Board())
            except ReflexarcError as error:
                return error.message
        return ""

    return asyncio.run(listen())


def paged(folder: Path) -> str:
    """What is said of a port for the page that another program has."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"
        return typed("run", "robot.json5", "--web", place, "--llm", json.dumps(DOWN))(folder)


def torn(_: Path) -> str:
    """What is said of a file in which a comma is missing."""
    try:
        Source('{"name": "dot"\n "hertz": 1}', "robot.json5").parse()
    except ReflexarcError as error:
        return str(error)
    return ""


def run_twice(folder: Path) -> str:
    """What is said where another program runs the same robot."""
    (folder / "robot.json5").write_text("{}")
    with (folder / "robot.json5").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        return typed("run", "robot.json5", "--llm", json.dumps(IDLE), "--say", "hi")(folder)


class Wheels(Actuator):
    """Takes its time, and has a port that is not there."""

    async def open(self) -> None:
        """Fail as the system does."""
        raise FileNotFoundError(2, "No such file or directory", "/dev/ttyUSB0")

    async def perform(self, action: Action) -> None:
        """Drive for five seconds."""
        await asyncio.sleep(5)


def unplugged(_: Path) -> str:
    """What is said of an actuator that cannot be opened."""
    try:
        asyncio.run(Body({"drive": Wheels()}).open())
    except ReflexarcError as error:
        return error.message
    return ""


def driven(_: Path) -> str:
    """What is said of a robot that drives for five seconds, and then at stairs."""
    told: list[TickEvent] = []

    class Sense(Input):
        async def run(self, board: Board) -> None:
            for text in ("A person says: drive.", "You see stairs.", "A person says: drive."):
                board.put("sense", text)
                await asyncio.sleep(2)

    async def live() -> None:
        action = Action(type="drive", value="forward")
        never = Never.model_validate({"type": "drive", "while": "stairs", "hold": 9})
        guard = Guard(ScriptedLLM[Any](Turn((action,))), never=[never])
        settings = {"hertz": 5, "history_length": 0, "inputs": [Sense()], "observe": told.append}
        loop = Loop(guard, Prompt(), actuator=Wheels(), **settings)
        loop.board.listen(guard.sense)
        await loop.run()

    run_virtual(live())
    return "\n".join(event.reason for event in told if isinstance(event, ActionRefused))


def acted(_: Path) -> str:
    """What is said of an action that the program behind ``connector: "http"`` refuses."""

    async def act() -> str:
        async with Server(Reply.json({}, 401)) as server:
            actuator = HttpActuator(url=server.base_url)
            async with actuator:
                try:
                    await actuator.perform(Action(type="move", value="sit"))
                except Exception as error:  # noqa: BLE001 - its sentence is what is looked at
                    return str(error)
        return ""

    return asyncio.run(act())


def spans(url: str | None = None, protocol: str = "", exporter: str = "") -> Provoke:
    """What is said of a receiver of spans."""
    environ = {"OTEL_TRACES_EXPORTER": exporter, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}

    async def send(exporting: Exporting) -> None:
        async with exporting:
            exporting.provider.get_tracer("x").start_span("y").end()

    def run(_: Path) -> str:
        try:
            asyncio.run(send(Exporting("dot", exporter_of(environ, url), url)))
        except ReflexarcError as error:
            return error.message
        return ""

    return run


DOWN = {"type": "LlamaLLM", "model": "m", "base_url": "http://127.0.0.1:9"}
IDLE = {
    "type": "FailoverLLM",
    "timeout": 2,
    "llms": [DOWN],
    "idle_action": {"type": "move", "value": "sit"},
}
KEYLESS = {**IDLE, "llms": [{"type": "MistralLLM"}, DOWN]}
THINKS = b'data: {"choices":[{"delta":{"reasoning_content":"Hm"},"finish_reason":null}]}\n\n'
CUT = [Reply.stream(SIT, "]}", usage=Usage(1500, 9)) for _ in range(2)]
DATED = replace(
    Reply.stream(SIT, "]}"),
    headers={
        "Content-Type": "text/event-stream",
        "x-model-deprecation-timestamp": "2027-01-31T00:00:00Z",
    },
)

PROVOKED: Mapping[str, Provoke] = {
    # It does not start
    "two packages": without("typer", command),
    "cannot be imported": without(
        "mistralai", asked(type="MistralLLM", transport="sdk", api_key="k" * 20)
    ),
    "no LLM type": brain("MistralLM"),
    "not known what the robot can do": of_nothing,
    "not here": typed("run", "robot.json5", robot={**ROBOT, "agent_inputs": [{"type": "Lidar"}]}),
    "there is no input": checked(agent_inputs=[{"type": "MokInput"}]),
    "Another program runs": run_twice,
    "the page cannot be": paged,
    "cannot listen at": occupied,
    # The robot's file is refused
    "no such file": typed("config", "check", "nowhere.json5"),
    "a comma or a colon": torn,
    "unknown key": checked(hertzz=1),
    "needs the environment variable": brain("LlamaLLM", api_key="${LLM_KEY}"),
    "names the interface": checked(agent_actions=[{"name": "wings", "llm_label": "wings"}]),
    "teaches what is not legal": checked(
        examples=[{"sensed": "up", "actions": [{"type": "move", "value": "fly"}]}]
    ),
    "needs llms": brain("FailoverLLM"),
    "needs a base_url": brain("LlamaLLM", model="m"),
    "needs a model": brain("LlamaLLM", base_url="http://127.0.0.1:8080"),
    # The key
    "name a server of your own": brain("MistralLLM"),
    "does without it": logged(
        typed("run", "robot.json5", "--llm", json.dumps(KEYLESS), "--say", "hi")
    ),
    "refused the key": failed(401, "Unauthorized"),
    "holds a space": brain("MistralLLM", api_key="sk-1 sk-2"),
    "travel unencrypted": brain("MistralLLM", base_url="http://api.mistral.ai", api_key="k" * 20),
    "balance": failed(402, "Insufficient credits"),
    "too many calls": failed(429, "Rate limit exceeded"),
    # The server is not reached
    "cannot be reached": asked(base_url="http://127.0.0.1:9"),
    "no connection": out_of_reach,
    "the name in": unreached(socket.gaierror(-2, "Name or service not known")),
    "authority": certificate(18),
    "this machine's clock": certificate(9),
    "speak TLS": unreached(ssl.SSLError(1, "wrong version number")),
    "web page": asked(Reply.text("<html>", media="text/html")),
    "model or address": failed(404, "model 'm' not found"),
    "reply is not JSON": asked(Reply.text("hello", media="application/json")),
    "without an answer": asked(*[Reply(None, end="cut")] * 2),
    # It is late, or does nothing
    "not complete within": asked(Reply(wait=asyncio.Event()), timeout=0.1),
    "first_action_timeout": asked(Reply(wait=asyncio.Event()), first_action_timeout=0.1),
    "stall_timeout": asked(Reply.stream(SIT, asyncio.Event()), stall_timeout=0.1),
    "left alone": alone(Breaker, times=4),
    "no brain has answered": typed("run", "robot.json5", "--llm", json.dumps(IDLE), "--say", "hi"),
    "on thinking": asked(Reply.stream(THINKS, finish="length")),
    # It does the wrong thing
    "has no action": asked(Reply.stream('{"actions":[{"type":"fly","value":"up"}]}')),
    "is not a value of": asked(Reply.stream('{"actions":[{"type":"move","value":"fly"}]}')),
    "asked only for": asked(Reply.stream('{"actions":[{"type":"move","value":"fly"}]}')),
    "holds no action": asked(Reply.stream("I would like to sit."), structured="json"),
    "ended early": asked(Reply.stream(SIT, finish="length")),
    "longer than the model's context": failed(
        400, "This model's maximum context length is 4096 tokens."
    ),
    "the end of a thought whose": logged(asked(Reply.stream(f"Well.</think>{SIT}]}}"))),
    "cuts the beginning off": logged(asked(*CUT, times=2)),
    "does not accept the request": failed(400, "Please, no"),
    "refuses": logged(
        asked(
            Reply.json({"error": {"message": "no", "param": "response_format"}}, 400),
            Reply.stream(SIT, "]}"),
        )
    ),
    "will retire": logged(asked(DATED)),
    # On board
    "is not on this robot": found(DEFAULT),
    "Until then": logged(found(DEFAULT, DEFAULT)),
    "is damaged": damaged,
    "no on-board model": found("smolm2"),
    "GGUF model file": no_gguf,
    "runs its own server": brain("OnboardLLM", base_url="http://127.0.0.1:8080"),
    # Actions, senses, memory
    "answered 401": acted,
    "cannot be opened": unplugged,
    "yet: it sensed": driven,
    "has been performed": logged(driven),
    "no memory in": typed("memory", "show"),
    # Telemetry
    "not by grpc": spans(exporter="otlp", protocol="grpc"),
    "Nobody takes the spans": logged(spans(url="http://127.0.0.1:9")),
    "spans are asked for": without("opentelemetry", spans(url="http://127.0.0.1:9")),
    "--plot needs": without(
        "matplotlib", typed("replay", "--plot", "x.png", "--config", "robot.json5")
    ),
}
"""By a part of the sentence that only that one has."""

OF_THE_SHELL = "bash: reflexarc: command not found"


def test_every_sentence_is_provoked_once() -> None:
    """A new row gets its line above, and no line is left over."""
    assert SENTENCES.count(OF_THE_SHELL) == 1
    for sentence in SENTENCES:
        if sentence != OF_THE_SHELL:
            assert [part for part in PROVOKED if part in sentence], sentence
    for part in PROVOKED:
        assert len([sentence for sentence in SENTENCES if part in sentence]) == 1, part


@pytest.mark.parametrize("part", PROVOKED)
def test_the_sentence_is_what_is_printed(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word for word, but for what differs."""
    monkeypatch.chdir(tmp_path)
    [sentence] = [sentence for sentence in SENTENCES if part in sentence]
    pattern = ".+?".join(re.escape(" ".join(each.split())) for each in sentence.split("…"))
    printed = " ".join(PROVOKED[part](tmp_path).split())
    assert re.search(pattern.strip(), printed), printed
