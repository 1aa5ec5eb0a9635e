"""The comparison itself, over a real socket, with as little of everything as there can be."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from bench.__main__ import arguments, main
from bench.crew import WorkerError, output
from bench.environments import UnmadeError
from bench.peers import PEERS
from bench.peers.partial import Shown
from bench.peers.scan import Actions
from bench.server import tokens
from bench.task import Action, Answer, actions, pairs_of
from bench.worker import Worker

from tests.compare.test_server import server

HERE = ("socket", "aiohttp", "ours", "ours-mistral-sdk", "mistralai", "mistralai-stream", "llama")
"""Those whose libraries are in the environment of the tests."""


@pytest.mark.parametrize("name", HERE)
async def test_an_adapter_gives_the_answer_and_each_action_once(name: str) -> None:
    """What is handed over are the answer's actions, all of them whole."""
    async with (
        server() as port,
        Worker(PEERS[name].load(), f"http://127.0.0.1:{port}") as worker,
    ):
        alone = await worker.ask("4-0-0-1", [1, 2])
        crowd = await worker.crowd("4-1-1-3", [3, 4, 5])
    answers = [*alone["answers"], *crowd["answers"]]
    assert [each["number"] for each in answers] == [1, 2, 3, 4, 5]
    for answer in answers:
        assert answer["right"], answer
        assert answer["early"] == 0
        assert answer["begun_ns"] < answer["first_ns"] <= answer["ended_ns"]


async def test_what_a_library_raises_is_a_result() -> None:
    """A server that knows nothing of chat is told about in one line."""
    async with (
        server() as port,
        Worker(PEERS["aiohttp"].load(), f"http://127.0.0.1:{port}") as worker,
    ):
        [answer] = (await worker.ask("1", [1]))["answers"]
    assert answer["error"].startswith("ClientResponseError: 404")


def shown(*, holds_back: bool) -> list[tuple[str, str]]:
    """What is handed over of an answer that grows."""
    given: list[tuple[str, str]] = []
    growing = Shown(given.append, holds_back=holds_back)
    growing.show([Action(type="speak", value="Hel")])
    growing.show([Action(type="speak", value="Hello")])
    growing.show([Action(type="speak", value="Hello"), Action(type="move", value="sit")])
    growing.show(
        [Action(type="speak", value="Hello"), Action(type="move", value="sit")], is_whole=True
    )
    return given


def test_half_an_action_is_handed_over_as_it_is_shown() -> None:
    """Who acts on what is shown acts twice, unless the last one is held back."""
    assert shown(holds_back=False) == [("speak", "Hel"), ("speak", "Hello"), ("move", "sit")]
    assert shown(holds_back=True) == [("speak", "Hello"), ("move", "sit")]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_by_hand_an_action_is_given_when_its_brace_closes(size: int) -> None:
    """However the answer is cut."""
    given: list[tuple[str, str]] = []
    found, text = Actions(given.append), "".join(tokens(4))
    for at in range(0, len(text), size):
        found.feed(text[at : at + size])
    assert given == found.answer() == actions(4)
    assert pairs_of(Answer.model_validate_json(text)) == given


def test_strange_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """In one sentence that says what there is."""
    with pytest.raises(SystemExit):
        arguments(["--only", "ours,langchian"])
    assert "no such peers: langchian; there is socket, aiohttp" in capsys.readouterr().err
    assert arguments(["--only", "openai"]).only == ["socket", "aiohttp", "ours", "openai"]


def test_the_comparison_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A peer without its library, and one without its environment, are told about and left out."""

    def make(environment: str) -> Path:
        if environment == "any-llm":
            raise UnmadeError("the environment of any-llm cannot be made; look elsewhere")
        return Path(sys.executable)

    to = ["--quick", "--what", "call,token", "--to", str(tmp_path)]
    assert main(["--only", "om1,any-llm", *to], make) == 0
    [path] = tmp_path.glob("*.json")
    result = json.loads(path.read_text())
    assert set(result["call"]) == {"socket", "aiohttp", "ours"}
    assert result["call"]["aiohttp"]["cpu_ms"]["times"] == 1.0
    assert result["token"]["ours"]["cpu_us"]["p50"] > 0
    assert "its process ended" in result["failures"]["start"]["om1"]
    assert result["peers"]["any-llm"]["left_out"].startswith("the environment of any-llm")
    told = capsys.readouterr()
    assert "| **reflexarc** |" in told.out
    assert "Left out: the environment of any-llm cannot be made" in told.err


async def test_what_a_program_has_printed_before_it_fails_is_kept() -> None:
    """And its last line on standard error says why."""
    with pytest.raises(WorkerError, match="no model") as raised:
        await output(
            sys.executable, "-c", "print('half'); raise SystemExit('no model')", within_s=30
        )
    assert raised.value.out == "half\n"
