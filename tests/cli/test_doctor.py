"""`reflexarc doctor`: what a person and a program are told."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from reflexarc.onboard.models import DEFAULT
from reflexarc.testing import Reply, Server
from tests.cli.test_app import (
    ANSWER,
    ENDS_WITHIN_S,
    ROBOT,
    ROOT,
    SECRET,
    SIT,
    call,
    engine_of,
    finished,
    keys,
    running,
    written,
)

DOWN = "http://127.0.0.1:9/v1"
PROVIDER_KEYS = [
    "event", "provider", "model", "server", "ok", "ready_s", "first_action_s", "total_s",
    "action", "kind", "message",
]  # fmt: skip
CHECK_KEYS = ["event", "name", "state", "message", "remedy", "needed"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place of our own for what the command keeps."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def llama(base_url: str, **settings: Any) -> dict[str, Any]:
    """A brain on a server."""
    return {"type": "LlamaLLM", "model": "llama3.2", "base_url": base_url, **settings}


def robot_of(folder: Path, *llms: dict[str, Any], **limits: Any) -> Path:
    """The file of a robot with these brains."""
    return written(folder, ROBOT, cortex_llm={"type": "FailoverLLM", "llms": llms, **limits})


async def shown(*args: object, **environ: str) -> tuple[str, str, int | None]:
    """What a person reads, and the exit code."""
    async with running("doctor", *args, **environ) as process:
        out, told = await process.communicate()
    return out.decode(), told.decode(), process.returncode


def test_this_machine_is_told(tmp_path: Path) -> None:
    """What is here, what is missing and what mends it, a line each; none of it a failure."""
    place = {"XDG_DATA_HOME": str(tmp_path), "MISTRAL_API_KEY": SECRET}
    result = call("doctor", **place)
    assert result.exit_code == 0
    assert re.search(r"^ok       Python +Python 3\.", result.stdout, re.MULTILINE)
    assert re.search(r"^ok       reflexarc\[cli\] +rich ", result.stdout, re.MULTILINE)
    model = rf"^missing  model +{DEFAULT} is not on .*\n {{29}}reflexarc models pull {DEFAULT}$"
    assert re.search(model, result.stdout, re.MULTILINE)
    assert re.search(r"^ok       MISTRAL_API_KEY +is set", result.stdout, re.MULTILINE)
    assert re.search(r"^missing  OPENAI_API_KEY .*\n +export OPENAI_API_KEY=", result.stdout, re.M)
    assert result.stdout.splitlines()[-1].startswith("Everything that reflexarc needs is here")
    assert SECRET not in result.output


def test_this_machine_as_json(tmp_path: Path) -> None:
    """A program reads one object a line; the sentence is for people."""
    result = call("doctor", "--json", XDG_DATA_HOME=str(tmp_path), MISTRAL_API_KEY=SECRET)
    checks = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert all(list(check) == CHECK_KEYS and check["event"] == "check" for check in checks)
    assert {check["state"] for check in checks} == {"ok", "missing"}
    assert result.stderr.count("\n") == 1
    assert SECRET not in result.output


def core_metadata(folder: Path, requirement: str) -> Path:
    """The metadata of a reflexarc that requires this, before the real one."""
    info = folder / "reflexarc-9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: reflexarc\nVersion: 9\nRequires-Python: >=3.11\n"
        f"Requires-Dist: {requirement}\n"
    )
    return folder


@pytest.mark.parametrize("requirement", ["no-such-package>=1", "json5>=99"])
def test_what_the_core_needs_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requirement: str
) -> None:
    """Where nothing can work, a script is told by the exit code."""
    monkeypatch.syspath_prepend(core_metadata(tmp_path, requirement))
    result = call("doctor")
    assert result.exit_code == 1
    assert "pip install" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("Something that reflexarc needs is not right")


async def test_each_brain_is_a_row(tmp_path: Path) -> None:
    """A person reads a table that fits the terminal, then each failure, then what it comes to."""
    async with Server(route=lambda _: ANSWER) as server:
        file = robot_of(tmp_path, {"type": "MistralLLM"}, llama(DOWN), llama(server.base_url))
        out, told, code = await shown("--config", file, COLUMNS="80", NO_COLOR="1")
        host = server.base_url.removeprefix("http://").removesuffix("/v1")
    assert code == 1
    assert "Traceback" not in told
    table, *messages, last = out.strip().split("\n\n")
    assert all(len(line) <= 80 for line in table.splitlines())
    rows = [line.split() for line in table.splitlines()]
    assert rows[2] == ["MistralLLM", "api.mistral.ai", "config"]
    assert rows[3] == ["mistral-small-latest"]
    assert [row[-1] for row in rows if "127.0.0.1:9" in row] == ["connection"]
    [right] = [row for row in rows if host in row]
    assert right[-2:] == ["move", "sit"]
    assert [cell for cell in right if cell == "s"] == ["s"] * 3
    assert rows[-1] == ["scripted"]
    assert [message.partition(": ")[0] for message in messages] == [
        "MistralLLM (config)",
        "LlamaLLM at 127.0.0.1:9 (connection)",
    ]
    assert last == f"1 of 3 brains answers; the robot acts on LlamaLLM at {host}."
    assert "\x1b" not in out


async def test_rows_as_json(tmp_path: Path) -> None:
    """A program reads one object for each brain, of one shape; people's sentence is on stderr."""
    async with Server(route=lambda _: ANSWER) as server:
        file = robot_of(tmp_path, llama(server.base_url), llama(DOWN))
        rows, told, code = await finished("doctor", "--config", file, "--json")
    assert code == 1
    assert all(keys(row) == PROVIDER_KEYS and row["event"] == "provider" for row in rows)
    right, wrong = rows
    assert (right["provider"], right["model"], right["ok"]) == ("LlamaLLM", "scripted", True)
    assert right["action"] == {"type": "move", "value": "sit"}
    assert 0 <= right["first_action_s"] <= right["total_s"]
    assert (right["kind"], right["message"]) == (None, None)
    assert (wrong["ok"], wrong["kind"], wrong["action"]) == (False, "connection", None)
    assert wrong["server"] == "127.0.0.1:9"
    assert told.startswith("1 of 2 brains answers; ")


async def test_a_row_is_told_before_the_next_is_asked(tmp_path: Path) -> None:
    """Who waits for a slow brain has read what became of the one before."""
    rest = asyncio.Event()
    async with Server(ANSWER) as first, Server(Reply.stream(SIT, rest, "]}")) as second:
        file = robot_of(tmp_path, llama(first.base_url), llama(second.base_url))
        async with running("doctor", "--config", file, "--json") as process:
            assert process.stdout is not None
            assert json.loads(await process.stdout.readline())["ok"]
            rest.set()
            assert json.loads(await process.stdout.readline())["ok"]
            assert await process.wait() == 0


async def test_the_model_on_board_is_asked() -> None:
    """The dog on the real model sits, and that is success."""
    spot = ROOT / "config" / "spot_onboard.json5"
    [row], told, code = await finished("doctor", "--config", spot, "--json")
    assert (code, told) == (0, "The only brain answers; the robot acts on OnboardLLM.\n")
    assert (row["provider"], row["server"], row["model"]) == ("OnboardLLM", "on board", DEFAULT)
    assert row["action"] == {"type": "move", "value": "sit"}


async def test_llm_takes_the_place_of_the_files_brains(tmp_path: Path) -> None:
    """With --llm that brain is asked as the robot's."""
    file = robot_of(tmp_path, {"type": "NoSuchLLM"})
    async with Server(ANSWER) as server:
        brain = json.dumps(llama(server.base_url))
        [row], _, code = await finished("doctor", "--config", file, "--llm", brain, "--json")
    assert (row["provider"], code) == ("LlamaLLM", 0)


def test_llm_needs_a_robot() -> None:
    """A brain is asked what a robot would ask it."""
    result = call("doctor", "--llm", "{type: 'OnboardLLM'}", "--json")
    assert (json.loads(result.stdout)["kind"], result.exit_code) == ("config", 2)
    assert "add --config FILE" in result.stderr


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (None, "there is no such file"),
        ({"hurtz": 1}, "did you mean 'hertz'?"),
        ({"cortex_llm": {"type": "MistralLLM", "apikey": SECRET}}, "mean 'api_key'?"),
        (
            {"cortex_llm": {"type": "FailoverLLM", "seed": 1, "llms": [llama(DOWN)]}},
            "no seed of its own",
        ),
        (
            {"examples": [{"sensed": "x", "actions": [{"type": "move", "value": "sitt"}]}]},
            "examples[0] teaches what is not legal",
        ),
    ],
    ids=["no file", "unknown key", "misspelled setting", "stray setting", "illegal example"],
)
def test_a_mistake_in_the_file_is_the_callers(
    tmp_path: Path, changed: dict[str, Any] | None, sentence: str
) -> None:
    """Exit code 2, one error line and one sentence; nobody is asked."""
    path = tmp_path / "none.json5" if changed is None else written(tmp_path, ROBOT, **changed)
    result = call("doctor", "--config", path, "--json")
    [error] = [json.loads(each) for each in result.stdout.splitlines()]
    assert (error["event"], error["kind"], result.exit_code) == ("error", "config", 2)
    assert sentence in error["message"]
    assert sentence in result.stderr
    assert SECRET not in result.output


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["people", "json"])
async def test_no_key_is_shown(tmp_path: Path, options: list[str]) -> None:
    """Not one that a server quotes, in whatever part of its answer."""
    replies = [
        Reply.json({"error": {"message": f"Incorrect API key provided: {SECRET}."}}, 401),
        Reply.stream('{"actions":[{"type":"move","value":"sit"}]}', model=f"of {SECRET}"),
    ]
    async with Server(*replies) as server:
        brain = llama(server.base_url, api_key=SECRET)
        file = robot_of(tmp_path, brain, brain)
        out, told, code = await shown("--config", file, *options, MISTRAL_API_KEY=SECRET)
        assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert code == 1
    assert "auth" in out
    assert SECRET not in out + told


async def test_what_servers_write_changes_no_terminal(tmp_path: Path) -> None:
    """Neither markup nor codes that would move the cursor, in a model's name or an action."""
    action = json.dumps({"actions": [{"type": "speak", "value": "a [red]b[/]\x1b[2Jc"}]})
    file = written(tmp_path, ROBOT, agent_actions=[{"name": "speak", "llm_label": "speak"}])
    async with Server(Reply.stream(action, model="[bold]m\x1b[1A")) as server:
        brain = json.dumps(llama(server.base_url))
        out, told, code = await shown("--config", file, "--llm", brain, COLUMNS="120")
    assert (code, "\x1b" in out + told) == (0, False)
    assert "speak a [red]b[/]�[2Jc" in out
    assert "[bold]m�[1A" in out


async def test_long_texts_keep_the_table_in_shape(tmp_path: Path) -> None:
    """At 80 columns long names are folded, and a long action is cut."""
    action = json.dumps({"actions": [{"type": "speak", "value": "word " * 60}]})
    file = written(tmp_path, ROBOT, agent_actions=[{"name": "speak", "llm_label": "speak"}])
    async with Server(Reply.stream(action, model="meta-llama/" + "Llama" * 9)) as server:
        brain = json.dumps(llama(server.base_url))
        out, _, code = await shown("--config", file, "--llm", brain, COLUMNS="80")
    table, _, _ = out.partition("\n\n")
    assert code == 0
    assert all(len(line) <= 80 for line in table.splitlines())
    assert len(table.splitlines()) < 9
    assert "…" in table


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
async def test_a_signal_ends_the_question(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """The server is told by the end of its connection, and what was answered stands."""
    async with (
        Server(ANSWER) as first,
        Server(Reply.stream(SIT, asyncio.Event())) as second,
    ):
        file = robot_of(tmp_path, llama(first.base_url), llama(second.base_url))
        async with running("doctor", "--config", file, "--json") as process:
            assert process.stdout is not None
            assert json.loads(await process.stdout.readline())["ok"]
            await asyncio.wait_for(second.asked(), ENDS_WITHIN_S)
            process.send_signal(number)
            _, told = await asyncio.wait_for(process.communicate(), ENDS_WITHIN_S)
            await asyncio.wait_for(second.requests[0].left.wait(), ENDS_WITHIN_S)
    assert process.returncode == code
    assert b"Traceback" not in told


async def test_a_signal_leaves_no_engine(tmp_path: Path) -> None:
    """Ctrl-C while the model on board is being asked ends its child as well."""
    async with Server(Reply.stream(SIT, asyncio.Event())) as server:
        file = robot_of(tmp_path, {"type": "OnboardLLM"}, llama(server.base_url))
        async with running("doctor", "--config", file, "--json") as process:
            engine = await asyncio.to_thread(engine_of, process.pid)
            os.killpg(process.pid, signal.SIGINT)
            _, told = await asyncio.wait_for(process.communicate(), ENDS_WITHIN_S)
    assert (process.returncode, b"Traceback" in told) == (130, False)
    assert not await asyncio.to_thread(engine.exists)


@pytest.mark.parametrize("options", [["--config"], ["--llm"], ["--json"]])
def test_help_tells_all(options: list[str]) -> None:
    """--help names every option and what the exit codes mean, in a narrow terminal as well."""
    result = call("doctor", "--help", COLUMNS="80", TERMINAL_WIDTH="80")
    assert result.exit_code == 0
    assert all(word in result.stdout for word in [*options, "exit code", "keys"])
    assert "doctor" in call("--help", COLUMNS="80", TERMINAL_WIDTH="80").stdout
