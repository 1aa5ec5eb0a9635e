"""The model on board, the real one: a dog that obeys, and an engine that is always there."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from reflexarc import LLM, LLMConfig, Prompt, RobotConfig, Vocabulary, load_llm
from reflexarc.config import Sensed
from reflexarc.errors import (
    BadOutputError,
    ClosedError,
    ConfigError,
    ConnectError,
    TruncatedError,
    UnavailableError,
)
from reflexarc.lines import LineForm
from reflexarc.onboard.models import DEFAULT, ModelStore, default_root
from reflexarc.prompt import written
from reflexarc.providers.onboard import line_messages
from reflexarc.resilience import Deadline
from reflexarc.specs import ActionSpec
from reflexarc.types import (
    Action,
    ActionReady,
    CortexOutputModel,
    Event,
    Finished,
    Message,
    TextDelta,
)

SPOT = Path(__file__).parent.parent.parent / "config" / "spot_onboard.json5"
DOT = Vocabulary([ActionSpec("move", ("sit", "walk", "walk back")), ActionSpec("speak", None)])
SIT = Action(type="move", value="sit")
BACK = Action(type="move", value="walk back")
SAY = Action(type="speak", value="Hello.")
GIVES_UP_S = 15.0
# An answer of free text that does not end before the context is full: half a minute at best.
ENDLESS: dict[str, Any] = {
    "structured": "json",
    "max_tokens": 100_000,
    "timeout": 60,
    "extra_params": {"response_format": {"type": "text"}, "logit_bias": [[2, False]]},
}

Brain = LLM[CortexOutputModel]


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The models of whoever runs the tests, and a cache of our own."""
    data = default_root(os.environ).parent.parent
    return {"XDG_DATA_HOME": str(data), "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


def make(environ: dict[str, str], **settings: Any) -> Brain:
    """Make a brain of few words, with a short prompt; nothing runs yet."""
    config = LLMConfig(type="OnboardLLM", **{"max_tokens": 24, **settings})
    return load_llm(config, actions=DOT, environ=environ)


def engines() -> set[int]:
    """The child processes of this process."""
    threads = Path("/proc/self/task").glob("*/children")
    return {int(child) for thread in threads for child in thread.read_text().split()}


async def ask(llm: Brain, prompt: Prompt) -> list[Event]:
    """Ask once, and keep everything."""
    return [event async for event in llm.stream(prompt)]


async def drain(events: AsyncIterator[Event]) -> None:
    """Read to the end."""
    async for _ in events:
        pass


# The dog of the shipped configuration, opened once.


@pytest.fixture(scope="module")
def robot() -> RobotConfig:
    """The dog that we ship."""
    return RobotConfig.load(SPOT)


@pytest.fixture(scope="module")
async def spot(robot: RobotConfig, environ: dict[str, str]) -> AsyncIterator[Brain]:
    """Its brain, awake."""
    vocabulary = Vocabulary.from_actions(robot.agent_actions)
    async with load_llm(robot.cortex_llm, actions=vocabulary, environ=environ) as llm:
        await llm.warm(Prompt.for_robot(robot))
        yield llm


@pytest.mark.parametrize(
    ("said", "move"),
    [
        ("please sit down.", "sit"),
        ("sit!", "sit"),
        ("dance!", "dance"),
        ("jump", "jump"),
        ("shake paw", "shake paw"),
        ("go back", "walk back"),
        ("stop!", "stand still"),
    ],
)
async def test_a_dog_that_is_told_obeys(
    spot: Brain, robot: RobotConfig, said: str, move: str
) -> None:
    """A plain command is obeyed, and all the dog does is legal."""
    answer = await spot.ask(Prompt.for_robot(robot).at(f"A person says: {said}"))
    assert Action(type="move", value=move) in answer.actions


async def test_an_action_is_out_before_the_answer_ends(spot: Brain, robot: RobotConfig) -> None:
    """The first action is handed over while the model is still writing the rest."""
    events = await ask(spot, Prompt.for_robot(robot).at("A person says: may I have your paw?"))
    kinds = [type(event) for event in events]
    last_text = len(kinds) - 1 - kinds[::-1].index(TextDelta)
    assert kinds.index(ActionReady) < last_text
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.first_action_s is not None
    assert finished.first_action_s < finished.total_s / 2


async def test_steady_ticks_reuse_the_prompt(spot: Brain, robot: RobotConfig) -> None:
    """Of the prompt of a later tick, at least nine tenths come from the engine's cache."""
    prompt = Prompt.for_robot(robot)
    for heard in ("come here, boy", "who is there?"):
        finished = (await ask(spot, prompt.at(f"A person says: {heard}")))[-1]
        assert isinstance(finished, Finished)
        assert finished.usage is not None
        assert finished.usage.cached_tokens >= 0.9 * finished.usage.prompt_tokens


# What the model is shown.


def turns(*contents: str) -> tuple[Message, ...]:
    """Past turns: u: of a person, a: of the robot, s: of the system."""
    roles: dict[str, Literal["user", "assistant", "system"]] = {
        "u": "user", "a": "assistant", "s": "system",
    }  # fmt: skip
    return tuple(Message(roles[content[0]], content[2:]) for content in contents)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ((), ""),
        (("u:hi", f"a:{written([SAY])}"), "> hi\nspeak Hello.\n\n"),
        (("u:go  back\nplease", f"a:{written([BACK])}"), "> go back please\nmove back walk\n\n"),
        (("u:a", f"a:{written([])}", "u:b", f"a:{written([SIT])}"), "> a\n\n> b\nmove sit\n\n"),
        (("u:a", "u:b", f"a:{written([SIT])}"), "> a b\nmove sit\n\n"),
        (("a:We met.", "u:b", f"a:{written([SIT])}"), "> b\nmove sit\n\n"),
        (("s:Be kind.", "u:b", f"a:{written([SIT])}"), "> b\nmove sit\n\n"),
        (("u:a", f"a:{written([SIT])}", "u:b"), "> a\nmove sit\n\n> b now\n"),
        (("u:a", "a:Sure, I sit."), "> a\n\n"),
    ],
    ids=[
        "none", "one", "turned and on one line", "two", "two in a row", "summary first", "system",
        "unanswered", "no actions",
    ],
)  # fmt: skip
def test_history_is_shown_as_lines(history: tuple[str, ...], expected: str) -> None:
    """Each past tick is what was sensed and the lines of what was done, whoever spoke in a row."""
    _, text = line_messages(Prompt(history=turns(*history), situation="now"), LineForm(DOT))
    assert text.content == (expected if expected.endswith("now\n") else f"{expected}> now\n")


def test_what_others_said_is_kept() -> None:
    """What history says outside of ticks, a summary or a rule, stands in the heading."""
    history = turns("s:Be kind.", "a:We met a cat.", "u:b", f"a:{written([SIT])}")
    heading, _ = line_messages(Prompt("You are Dot.", history=history), LineForm(DOT))
    assert heading.role == "user"
    assert heading.content.startswith("You are Dot.\n\nBe kind.\n\nWe met a cat.\n")
    assert heading.content.endswith("move: sit, walk, back walk\nspeak: a short sentence")


def test_a_past_answer_ends_no_turn() -> None:
    """Where the escapes of its JSON hide a mark, which the lines would show plain."""
    answer = '{"actions":[{"type":"speak","value":"\\u003c|im_end|\\u003e"}]}'
    _, text = line_messages(Prompt(history=turns("u:a", f"a:{answer}")), LineForm(DOT))
    assert text.content.startswith("> a\nspeak < |im_end|>\n")


# The engine behind it.


async def test_the_first_call_starts_the_engine(environ: dict[str, str]) -> None:
    """No engine runs before the first call, concurrent first calls share one, closing ends it."""
    before = engines()
    llm = make(environ)
    assert engines() == before
    answers = await asyncio.gather(llm.open(), llm.open(), llm.ask("sit"), llm.ask("walk"))
    assert len(engines() - before) == 1
    assert isinstance(answers[-1], CortexOutputModel)
    await llm.open()
    assert len(engines() - before) == 1
    await llm.aclose()
    await llm.aclose()
    assert engines() == before
    async with llm:
        assert len(engines() - before) == 1
        await llm.ask("sit")
    assert engines() == before


async def test_closing_what_never_opened_does_nothing(environ: dict[str, str]) -> None:
    """An LLM that was made and not used can be closed."""
    await make(environ).aclose()


async def test_opening_that_is_cancelled_leaves_nothing(environ: dict[str, str]) -> None:
    """Ctrl-C while the engine starts ends it as well."""
    before = engines()
    llm = make(environ)

    async def live() -> None:
        async with llm:
            pytest.fail("it must not get this far")

    task = asyncio.create_task(live())
    while engines() == before:  # noqa: ASYNC110 - a process has no event
        await asyncio.sleep(0.002)
    task.cancel()
    await asyncio.wait({task})
    assert engines() == before


@pytest.mark.parametrize("left_after_s", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("structured", ["auto", "json"])
async def test_closing_during_the_first_question_leaves_nothing(
    structured: str, left_after_s: float, environ: dict[str, str]
) -> None:
    """A question that nobody has opened it for starts no engine behind the closing."""
    before = engines()
    llm = make(environ, structured=structured)
    asking = asyncio.create_task(llm.ask("A person says: sit"))
    await asyncio.sleep(left_after_s)
    await llm.aclose()
    assert asking.done()
    assert isinstance(asking.exception(), ClosedError)
    assert engines() == before
    with pytest.raises(ClosedError):
        await llm.ask("A person says: sit")
    with pytest.raises(ClosedError):
        await llm.warm(Prompt())
    assert engines() == before


async def test_closing_while_it_opens_leaves_nothing(environ: dict[str, str]) -> None:
    """Whoever opens it meanwhile is told, and no engine is left."""
    before = engines()
    llm = make(environ)
    opening = asyncio.create_task(llm.open())
    await asyncio.sleep(0)
    await llm.aclose()
    with pytest.raises((ClosedError, UnavailableError)):
        await opening
    assert engines() == before


async def test_a_killed_engine_is_replaced(environ: dict[str, str]) -> None:
    """A tick whose engine is killed fails and may be repeated; the new engine serves it."""
    before = engines()
    async with make(environ, **ENDLESS) as llm:
        [pid] = engines() - before
        async with aclosing(llm.stream("Tell a story.")) as events:
            await anext(events)
            os.kill(pid, signal.SIGKILL)
            with pytest.raises((ConnectError, TruncatedError)) as caught:
                await drain(events)
        assert caught.value.retryable
        while not await begins(llm):  # noqa: ASYNC110 - another engine has no event
            await asyncio.sleep(0.01)
        [new] = engines() - before
        assert new != pid


async def begins(llm: Brain) -> bool:
    """Whether an answer begins; False where the engine is dead and nobody has seen it yet."""
    with suppress(ConnectError):
        async with aclosing(llm.stream("Tell a story.")) as events:
            return isinstance(await anext(events), TextDelta)
    return False


@pytest.mark.parametrize("how", ["cancelled", "closed"])
async def test_an_answer_can_be_left(how: str, environ: dict[str, str]) -> None:
    """Left in the middle of an answer, the model stops writing and hears the next question."""
    async with make(environ, **ENDLESS) as llm, aclosing(llm.stream("Tell a story.")) as events:
        await anext(events)
        if how == "cancelled":
            rest = asyncio.create_task(drain(events))
            await asyncio.sleep(0.1)
            assert rest.cancel()
            await asyncio.wait({rest})
        else:
            await events.aclose()
        async with asyncio.timeout(GIVES_UP_S), aclosing(llm.stream("And now?")) as others:
            assert isinstance(await anext(others), TextDelta)


async def test_warming_reads_the_prompt_ahead(environ: dict[str, str]) -> None:
    """After `warm` the first question finds its prompt in the engine's cache."""
    prompt = Prompt(system="You are Dot, a small robot dog, and this is all about you. " * 9)
    async with make(environ) as llm:
        await llm.warm(prompt)
        finished = (await ask(llm, prompt.at("A person says: sit")))[-1]
    assert isinstance(finished, Finished)
    assert finished.usage is not None
    assert finished.usage.cached_tokens >= 0.9 * finished.usage.prompt_tokens


async def test_connecting_does_nothing(environ: dict[str, str]) -> None:
    """On this machine a connection costs nothing, so that none is kept, nor an engine started."""
    before = engines()
    llm = make(environ)
    await llm.connect()
    assert engines() == before


# What it says where it cannot serve.


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, f"{DEFAULT} is not on this robot; run: reflexarc models pull {DEFAULT}"),
        (b"GGUF and no more", f"is damaged: .*run: reflexarc models pull {DEFAULT}"),
    ],
    ids=["missing", "damaged"],
)
async def test_a_model_that_is_not_here_is_told(
    content: bytes | None, sentence: str, tmp_path: Path
) -> None:
    """A model that is missing or damaged is one sentence with the command that mends it."""
    environ = {"XDG_DATA_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    if content is not None:
        path = ModelStore(default_root(environ)).path(DEFAULT)
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    llm = make(environ)
    for attempt in (llm.open, lambda: llm.ask("sit")):
        with pytest.raises(UnavailableError, match=sentence) as caught:
            await attempt()
        assert not caught.value.retryable
    await llm.aclose()


async def test_a_file_that_is_no_model_is_told(tmp_path: Path, environ: dict[str, str]) -> None:
    """A GGUF file that llama.cpp cannot load is given up with what llama.cpp said."""
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF" + b"\xff" * 999)
    with pytest.raises(UnavailableError, match=r"cannot load .*bad\.gguf"):
        async with make(environ, model=str(path)):
            pytest.fail("it must not open")


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("smollm2-135m", f"did you mean '{DEFAULT}'"),
        ("no/such.gguf", "Cannot read the model file no/such.gguf: No such file"),
        (__file__, "is not a GGUF model file"),
    ],
    ids=["unknown", "no file", "no model"],
)
async def test_a_model_nobody_knows_is_the_callers_mistake(
    model: str, sentence: str, environ: dict[str, str]
) -> None:
    """A name that is neither known nor a GGUF file is refused with what is near or wrong."""
    with pytest.raises(ConfigError, match=sentence):
        await make(environ, model=model).open()


async def test_a_missing_engine_is_told(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without xllamacpp the error is one sentence that names the extra."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(UnavailableError, match=r"pip install 'reflexarc\[onboard\]'"):
        async with make(environ):
            pytest.fail("it must not open")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"base_url": "http://127.0.0.1:1"}, "takes no base_url; LlamaLLM is for a server"),
        ({"api_key": "k"}, "takes no api_key"),
        ({"transport": "sdk"}, "has no SDK transport"),
    ],
)
def test_what_it_cannot_honour_is_refused(settings: dict[str, Any], sentence: str) -> None:
    """A setting that would change nothing is refused when the LLM is made."""
    with pytest.raises(ConfigError, match=sentence):
        make({}, **settings)


# Other forms of answer.


@pytest.mark.parametrize("mode", ["schema", "tools", "json", "grammar"])
async def test_other_forms_work_on_board(mode: str, environ: dict[str, str]) -> None:
    """Whatever form is asked for, the engine takes the request, and all that comes out is legal."""
    async with make(environ, structured=mode, max_tokens=80, timeout=GIVES_UP_S) as llm:
        # SmolLM2's chat template has no tools, and json is any JSON: there the prompt alone holds.
        with suppress(*([BadOutputError] if mode in ("json", "tools") else [])):
            answer = await llm.ask("A person says: sit down, please.")
            assert all(DOT.judge(action.type, action.value) == action for action in answer.actions)


async def test_a_large_model_is_asked_for_json(tmp_path: Path, environ: dict[str, str]) -> None:
    """A file of more than a billion bytes has a conversation; here a small one with a long tail."""
    path = tmp_path / "large.gguf"
    shutil.copyfile(ModelStore(default_root(environ)).path(DEFAULT), path)
    os.truncate(path, 1_100_000_000)
    async with make(environ, model=str(path), max_tokens=80, timeout=GIVES_UP_S) as llm:
        prompt = Prompt(system="You are Dot.").at("A person says: sit!")
        await llm.warm(prompt)
        for _ in range(2):  # by schema, and by grammar once it is known who answers
            events = await ask(llm, prompt)
            text = "".join(event.text for event in events if isinstance(event, TextDelta))
            assert text.lstrip().startswith("{")
            assert any(isinstance(event, ActionReady) for event in events)


@pytest.mark.parametrize("speaks", [True, False], ids=["decided", "written"])
async def test_a_past_too_long_is_shortened(
    speaks: bool, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older half goes, within the same question, and the robot acts."""
    monkeypatch.setattr("reflexarc.providers.onboard.CONTEXT_TOKENS", 1024)  # read sooner
    if not speaks:
        monkeypatch.setattr("reflexarc.providers.onboard.is_decidable", lambda _: False)
        monkeypatch.setattr("reflexarc.onboard.minds.is_decidable", lambda _: False)
    past = [
        message
        for turn in range(40)
        for message in (
            Message("user", f"A person says: {turn}, hello you robot, how are you today?"),
            Message("assistant", written([SIT, SAY])),
        )
    ]
    prompt = Prompt(system="You are Dot.").at("A person says: sit!", past)
    async with make(environ, timeout=60) as llm:
        finished = (await ask(llm, prompt))[-1]
    assert isinstance(finished, Finished)
    assert {attempt.outcome for attempt in finished.attempts} == {"context_overflow", "ok"}
    assert finished.usage is not None
    assert 400 < finished.usage.prompt_tokens < 1024


class Mood(BaseModel):
    """What the robot feels."""

    feeling: Literal["happy", "sad"]


async def test_another_answer_works_on_board(environ: dict[str, str]) -> None:
    """`ask` gives what was asked for: any pydantic model."""
    config = LLMConfig(type="OnboardLLM", max_tokens=40)
    async with load_llm(config, output_model=Mood, environ=environ) as llm:
        answer = await llm.ask("Your friend has come back. How do you feel?")
    assert isinstance(answer, Mood)


# The decider acts, and the model speaks.


async def acts_of(llm: Brain, prompt: Prompt) -> tuple[list[tuple[str, str]], Finished]:
    """What was done, in order, and the end."""
    events = await ask(llm, prompt)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert isinstance(finished.answer, CortexOutputModel)
    done = [
        (event.action.type, event.action.value)
        for event in events
        if isinstance(event, ActionReady)
    ]
    assert [(action.type, action.value) for action in finished.answer.actions] == done
    return done, finished


async def test_moves_come_first_and_then_a_sentence(spot: Brain, robot: RobotConfig) -> None:
    """The move and the feeling are out before the model has written its first word."""
    prompt = Prompt.for_robot(robot).at("A person says: have a seat beside me")
    events = await ask(spot, prompt)
    kinds = [type(event) for event in events]
    assert kinds[:2] == [ActionReady] * 2
    assert kinds[2] is TextDelta
    done, finished = await acts_of(spot, prompt)
    assert done[:2] == [("move", "sit"), ("emotion", "happy")]
    assert [type_ for type_, _ in done] == ["move", "emotion", "speak"]
    assert finished.usage is not None
    assert finished.usage.cached_tokens >= 0.9 * finished.usage.prompt_tokens


async def test_two_moves_are_told_without_the_model(spot: Brain, robot: RobotConfig) -> None:
    """It would tell one of them."""
    prompt = Prompt.for_robot(robot).at("A person says: have a seat and then wag your tail")
    done, finished = await acts_of(spot, prompt)
    assert done[:2] == [("move", "sit"), ("move", "wag tail")]
    assert done[-1] == ("speak", "Okay, I am sitting down, then I am wagging my tail.")
    assert finished.usage is None


async def test_a_sentence_that_contradicts_is_not_said(environ: dict[str, str]) -> None:
    """What a model of this size writes as it likes; here it was taught to be contrary."""
    told = Action(type="speak", value="No, I am not allowed to sit.")
    contrary = tuple(
        Sensed(sensed=f"A person says: {said}", actions=(SIT, told))
        for said in ("sit, please.", "sit now.", "sit on the mat.")
    )
    taught = Prompt(system="You are Dot.", examples=contrary)
    async with make(environ) as llm:
        events = await ask(llm, taught.at("A person says: would you like to have a chair?"))
        written = "".join(event.text for event in events if isinstance(event, TextDelta))
        done = [event.action for event in events if isinstance(event, ActionReady)]
    assert "not allowed" in written
    assert done == [SIT, Action(type="speak", value="Okay, I am sitting down.")]


async def test_no_is_said_without_the_model(spot: Brain, robot: RobotConfig) -> None:
    """A request that is not followed is not agreed to."""
    prompt = Prompt.for_robot(robot).at("A person says: jump out of the window!")
    done, finished = await acts_of(spot, prompt)
    assert done[:2] == [("move", "stand still"), ("emotion", "sad")]
    assert done[2][1].startswith("No, ")
    assert finished.usage is None


async def test_silence_is_not_answered(spot: Brain, robot: RobotConfig) -> None:
    """Nobody speaks, so the dog does not."""
    done, _ = await acts_of(spot, Prompt.for_robot(robot).at("The garden is empty."))
    assert done == [("move", "stand still"), ("emotion", "curious")]


async def test_a_sentence_that_does_not_come_in_time_is_done_without(
    spot: Brain, robot: RobotConfig
) -> None:
    """The robot has acted; in time it says something short, and the record tells why."""
    prompt = Prompt.for_robot(robot).at("A person says: dance!")
    [engine] = engines()
    os.kill(engine, signal.SIGSTOP)
    try:
        done, finished = await acts_of(Deadline(spot, timeout=1.0), prompt)
    finally:
        os.kill(engine, signal.SIGCONT)
    assert done == [("move", "dance"), ("emotion", "happy"), ("speak", "Watch me dance!")]
    assert finished.total_s < 1
    assert [attempt.outcome for attempt in finished.attempts] == ["timeout", "ok"]
    done, finished = await acts_of(spot, prompt)
    assert [attempt.outcome for attempt in finished.attempts] == ["ok"]


async def test_a_robot_without_an_encoder_has_its_model_decide(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    """As it was fetched before there was one; the log says how to have it."""
    store = ModelStore(default_root({"XDG_DATA_HOME": str(tmp_path)}))
    path = store.path(DEFAULT)
    path.parent.mkdir(parents=True)
    path.symlink_to(ModelStore(default_root(environ)).path(DEFAULT))
    async with make({**environ, "XDG_DATA_HOME": str(tmp_path)}) as llm:
        events = await ask(llm, Prompt(system="You are Dot.").at("A person says: sit!"))
    assert isinstance(events[0], TextDelta)
    assert any(isinstance(event, ActionReady) for event in events)
