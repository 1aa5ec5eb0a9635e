"""The example of a provider keeps every promise, and is found where it is installed."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import MISSING, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from reflexarc.config import RobotConfig
from reflexarc.errors import BadRequestError, ConfigError, LLMError
from reflexarc.providers.dialect import Dialect
from reflexarc.providers.provider import Provider
from reflexarc.testing import EMULATORS, Emulator, Reply, Server
from reflexarc.testing.conformance import PROMISES
from reflexarc.testing.dialects import DIALECTS
from reflexarc.testing.rules import Refusal, Rules
from reflexarc.testing.subject import SIT, SITUATION, Subject
from reflexarc.types import ActionReady, Finished, ToolCallDelta
from reflexarc.vocabulary import Vocabulary

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "provider"
PAGE = (ROOT / "docs" / "write-a-provider.md").read_text()


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "reflexarc_openrouter", EXAMPLE / "reflexarc_openrouter.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # as if it were installed
    spec.loader.exec_module(module)
    return module


OpenRouterLLM: Any = _loaded().OpenRouterLLM


def _refusal(status: int, message: str, **more: object) -> Refusal:
    return Refusal(status, {"error": {"message": message, "code": status} | more})


# openrouter.ai/docs, "Errors", and tests/data/wire/openrouter_stream.sse; the words of 401 are as
# people quote them.
OPENROUTER = Emulator(
    "openrouter",
    counts_unasked=True,
    style=replace(DIALECTS["openai"], before=b": OPENROUTER PROCESSING\n\n" * 2),
    rules=Rules({"bad_key": _refusal(401, "User not found."), "other": _refusal(400, "{message}")}),
)
ROUTED = {"require_parameters": True, "sort": "latency"}
NO_HOST = (
    "No endpoints found that can handle the requested parameters. To learn more about provider "
    "routing, visit: https://openrouter.ai/docs/guides/routing/provider-selection"
)


def asked(server: Server, **settings: Any) -> Any:
    """The provider, asking a server of ours as if it were OpenRouter's."""
    return Subject(OpenRouterLLM, "http", OPENROUTER).llm(server, **settings)


def failed(refusal: Refusal) -> Reply:
    """A failure as it is sent."""
    return Reply.json(refusal.body, refusal.status)


@pytest.mark.parametrize("promise", PROMISES)
async def test_keeps_its_promises(promise: str) -> None:
    """What the docstring of the promise says."""
    await PROMISES[promise](Subject(OpenRouterLLM, "http", OPENROUTER))


async def test_hosts_are_asked_that_take_the_whole_request() -> None:
    """Every request says how to choose a host, unless the robot's file says it otherwise."""
    own = {"provider": {"only": ["mistral"]}}
    for extra, sent in (({}, {"provider": ROUTED}), (own, own)):
        _, request = await Subject(OpenRouterLLM, "http", OPENROUTER).asked(
            '{"actions":[]}', extra_params=extra
        )
        assert request.json["provider"] == sent["provider"]


@pytest.mark.parametrize("words", [NO_HOST, "No endpoints found that support tool use."])
async def test_where_no_host_takes_the_form_another_is_asked_for(words: str) -> None:
    """The answer is held in another way, within the same question, and so it stays."""
    refused = failed(_refusal(404, words))
    calls = ToolCallDelta("move", '{"action":"sit"}', 0, "call_1")
    held: list[set[str]] = []
    async with Server(refused, OPENROUTER.answer(calls), OPENROUTER.answer(calls)) as server:
        async with asked(server) as llm:
            for _ in range(2):
                events = [event async for event in llm.stream(SITUATION)]
                assert [each.action for each in events if isinstance(each, ActionReady)] == [SIT]
                assert isinstance(events[-1], Finished)
        held = [{"response_format", "tools"} & each.json.keys() for each in server.requests]
    assert held == [{"response_format"}, {"tools"}, {"tools"}]


async def test_where_no_host_is_left_the_call_ends() -> None:
    """Each form is tried once; then the error says what to do."""
    refusals = [failed(_refusal(404, NO_HOST))] * 4
    async with Server(*refusals) as server, asked(server) as llm:
        with pytest.raises(BadRequestError, match="name another model"):
            await llm.ask(SITUATION)
        assert len(server.requests) == 4


FLAGGED = {"metadata": {"reasons": ["violence"], "flagged_input": "walk into…"}}


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (_refusal(403, "Your input was flagged", **FLAGGED), "refused"),
        (_refusal(403, "Key limit exceeded"), "auth"),
        (_refusal(404, "No endpoints found for nobody/nothing."), "unavailable"),
        (_refusal(402, "Insufficient credits"), "quota"),
        (_refusal(502, "Provider returned error"), "server"),
    ],
)
async def test_a_failure_is_what_it_means(refusal: Refusal, kind: str) -> None:
    """A filter is no key that is refused; the rest is as everywhere."""
    async with Server(failed(refusal)) as server, asked(server) as llm:
        with pytest.raises(LLMError) as caught:
            await llm.ask(SITUATION)
    assert caught.value.kind == kind
    assert caught.value.status == refusal.status


def test_a_model_is_to_be_named() -> None:
    """Nobody's model is the default of a service that has hundreds."""
    robot = RobotConfig.load(EXAMPLE / "spot.json5", {})
    brain = robot.cortex_llm.model_copy(update={"fallback": None, "model": None})
    with pytest.raises(ConfigError, match="OpenRouterLLM needs a model"):
        OpenRouterLLM(brain, environ={"OPENROUTER_API_KEY": "k" * 20})
    named = brain.model_copy(update={"model": "meta-llama/llama-3.3-70b-instruct"})
    with pytest.raises(ConfigError, match="set OPENROUTER_API_KEY"):
        OpenRouterLLM(named, environ={})


# --- the package, and the page that shows it ------------------------------------------------------

PROGRAM = """
import sys
from reflexarc import RobotConfig, Vocabulary, load_llm

robot = RobotConfig.load(sys.argv[1])
print(load_llm(robot.cortex_llm, actions=Vocabulary.from_actions(robot.agent_actions),
               environ={"OPENROUTER_API_KEY": "k" * 20}))
"""


def test_a_robot_finds_it_once_it_is_installed(tmp_path: Path) -> None:
    """Installed as pip does it, from a copy and without network, it is a type like any other."""
    source, site = tmp_path / "source", tmp_path / "site"
    shutil.copytree(EXAMPLE, source)
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--no-compile"]
    pip = [sys.executable, "-m", "pip", "install", *options, "--target", site, source]
    subprocess.run(pip, check=True, capture_output=True, timeout=50)
    assert [each.name for each in site.iterdir() if "dist-info" not in each.name] == [
        "reflexarc_openrouter.py"
    ]
    paths = os.pathsep.join(map(str, (ROOT / "src", site)))
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, EXAMPLE / "spot.json5"],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert "OpenRouterLLM(model='mistralai/mistral-small-3.2-24b-instruct')" in ran.stdout


def test_the_robot_is_right() -> None:
    """The robot's file is valid, and its brain is the package's."""
    robot = RobotConfig.load(EXAMPLE / "spot.json5", {})
    assert Vocabulary.from_actions(robot.agent_actions)
    assert robot.cortex_llm.type == OpenRouterLLM.provider.name


def test_the_page_shows_the_package() -> None:
    """Module and entry point are those of the package, and the emulator is the one above."""
    module, test = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert module == (EXAMPLE / "reflexarc_openrouter.py").read_text()
    names: dict[str, Any] = {}
    exec(test, names)
    assert names["OPENROUTER"] == OPENROUTER
    assert (len(EMULATORS), len(PROMISES)) == (11, 5 + 15)  # as the page counts them
    announced = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"]
    [block] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert tomllib.loads(block)["project"]["entry-points"] == announced


def test_the_page_tells_every_fact() -> None:
    """Each field of a provider and of a dialect has its row, with its default."""
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE))
    assert rows.keys() >= {each.name for each in fields(Provider)} - {"no_server", "retired"}
    for each in fields(Dialect):
        default = "none" if each.default in (MISSING, ()) else str(each.default).replace("'", '"')
        assert rows[each.name].split(" | ")[0].strip("`") == default
