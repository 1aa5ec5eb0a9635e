"""What a server refuses or ignores is asked for in another way, once, and remembered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from reflexarc.config import LLMConfig
from reflexarc.errors import BadOutputError, BadRequestError, DeadlineError, LLMError
from reflexarc.providers.llama import LlamaLLM
from reflexarc.providers.mistral import MistralLLM
from reflexarc.providers.provider import ProviderLLM
from reflexarc.specs import ActionSpec
from reflexarc.testing import Received, Reply, Server, event
from reflexarc.types import (
    Action,
    ActionReady,
    Attempt,
    AttemptFailed,
    CortexOutputModel,
    Event,
    Finished,
    Json,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from reflexarc.vocabulary import Vocabulary

ERRORS = Path(__file__).parents[1] / "data" / "wire" / "errors"
PATIENCE_S = 30.0
SOON_S = 5.0  # what should happen at once, on a machine that is busy
ROBOT = Vocabulary([ActionSpec("move", ("sit", "walk")), ActionSpec("speak", None)])
SIT = Action(type="move", value="sit")
FIRST = '{"actions":[{"type":"move","value":"sit"}'
GOOD = Reply.stream(FIRST, "]}")
CALLED = Reply.stream(ToolCallDelta("move", '{"action":"sit"}', 0, "a"), finish="tool_calls")
PROSE = Reply.stream("I would sit down.")
LLAMACPP = replace(GOOD, headers={**GOOD.headers, "Server": "llama.cpp"})


def sample(name: str, status: int = 400) -> Reply:
    """A recorded failure."""
    return Reply.sample(ERRORS / name, status)


TOO_LONG = sample("llamacpp_400_context.json")
LOADING = sample("llamacpp_503_loading.json", 503)
NO_GRAMMAR = sample("llamacpp_400_grammar.json")
NO_REASONING = sample("openai_400_tools_effort.json")


def refusing(*fields: str, status: int = 422) -> Reply:
    """A server that does not know these fields, in FastAPI's words."""
    problems = [{"loc": ["body", field], "msg": "Extra inputs"} for field in fields]
    return Reply.json({"detail": problems}, status)


def openai(param: str | None, message: str = "Unsupported.") -> Reply:
    """A server that refuses a field in OpenAI's words."""
    return Reply.json({"error": {"message": message, "param": param, "code": None}}, 400)


def brain(
    server: Server,
    kind: type[ProviderLLM[Any]] = LlamaLLM,
    output_model: type[BaseModel] | None = None,
    **settings: Any,
) -> ProviderLLM[Any]:
    """A provider before a server of ours."""
    fields = {
        "type": kind.provider.name,
        "model": "m",
        "base_url": server.base_url,
        "timeout": PATIENCE_S,
        "stall_timeout": PATIENCE_S,
    }
    config = LLMConfig.model_validate(fields | settings)
    vocabulary = None if output_model else ROBOT
    return kind(config, vocabulary=vocabulary, output_model=output_model, environ={})


class Outcome:
    """What one call gave, also when it failed."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.error: LLMError | None = None

    @property
    def kind(self) -> str:
        """``"ok"``, or the kind of the error."""
        return self.error.kind if self.error else "ok"

    @property
    def actions(self) -> list[Action]:
        """The actions given out."""
        return [event.action for event in self.events if isinstance(event, ActionReady)]

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The record of all tries."""
        if self.error is not None:
            return self.error.attempts
        assert isinstance(self.events[-1], Finished)
        return self.events[-1].attempts

    @property
    def tried(self) -> list[str]:
        """How each try ended."""
        return [attempt.outcome for attempt in self.attempts]


async def ask(llm: ProviderLLM[Any], history: Sequence[Json] = ()) -> Outcome:
    """One call."""
    outcome = Outcome()
    try:
        async for each in llm.stream("You hear: sit!", list(history)):
            outcome.events.append(each)
    except LLMError as error:
        outcome.error = error
    return outcome


async def calls(
    *replies: Reply, asks: int = 1, history: Sequence[Json] = (), **settings: Any
) -> tuple[list[Outcome], list[Json]]:
    """Some calls of one brain, one after the other, and the bodies of all requests."""
    async with Server(*replies) as server, brain(server, **settings) as llm:
        outcomes = [await ask(llm, history) for _ in range(asks)]
        return outcomes, [request.json for request in server.requests]


def form_of(body: Json) -> str:
    """By which field a request holds its answer."""
    if "grammar" in body:
        return "grammar"
    if "tools" in body:
        return "tools"
    kind = body.get("response_format", {}).get("type", "text")
    return {"json_schema": "schema", "json_object": "json"}.get(kind, kind)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings of the endpoint."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "reflexarc.providers.endpoint" and record.levelno == logging.WARNING
    ]


# --- fields -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "settings", "gone"),
    [
        pytest.param(refusing("stream_options"), {}, ["stream_options"], id="FastAPI"),
        pytest.param(
            refusing("stream_options", "seed"),
            {"seed": 7},
            ["stream_options", "seed"],
            id="two at once",
        ),
        pytest.param(
            sample("openai_400_temperature.json"), {"temperature": 0.2}, ["temperature"], id="param"
        ),
        pytest.param(
            Reply.json({"error": "'top_p' is not supported"}, 400),
            {"extra_params": {"top_p": 0.5}},
            ["top_p"],
            id="in a sentence",
        ),
        pytest.param(
            Reply.text("unknown field `stream_options`", 422), {}, ["stream_options"], id="in text"
        ),
        pytest.param(
            refusing("made_up"), {"extra_params": {"made_up": 1}}, ["made_up"], id="the user's own"
        ),
        pytest.param(
            sample("llamacpp_400_toolchoice_any.json"),
            {"structured": "tools"},
            ["tool_choice"],
            id="tool_choice, but not the tools",
        ),
    ],
)
async def test_a_field_that_is_refused_is_left_out_from_then_on(
    refusal: Reply, settings: Json, gone: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The same question is asked again without it, and no later one has it; a warning says so."""
    outcomes, bodies = await calls(refusal, GOOD, GOOD, asks=2, **settings)
    assert [outcome.actions for outcome in outcomes] == [[SIT], [SIT]]
    first, *others = bodies
    without = {name: value for name, value in first.items() if name not in gone}
    assert set(gone) < first.keys()
    assert others == [without, without]
    assert [
        f"'{field}'; it is left out" in line for field, line in zip(gone, told(caplog), strict=True)
    ]


@pytest.mark.parametrize(
    ("refusals", "limits"),
    [
        pytest.param(
            [sample("openai_400_max_tokens.json")], {"max_completion_tokens": 9}, id="other name"
        ),
        pytest.param(
            [openai(None, "'max_tokens' is unknown; use 'max_completion_tokens'.")],
            {"max_completion_tokens": 9},
            id="a sentence that names the remedy, too",
        ),
    ],
)
async def test_the_token_limit_goes_by_its_other_name(refusals: list[Reply], limits: Json) -> None:
    """A limit that is refused by one name is sent by the other."""
    outcomes, bodies = await calls(*refusals, GOOD, GOOD, asks=2, max_tokens=9)
    assert [outcome.kind for outcome in outcomes] == ["ok", "ok"]
    for body in bodies[-2:]:
        assert {name: body[name] for name in body if name.startswith("max_")} == limits
    assert bodies[0]["max_tokens"] == 9


async def test_an_sdk_that_has_no_other_name_for_the_limit_is_left_as_it_is() -> None:
    """What Mistral's SDK cannot send is not tried: its server's sentence is told, each time."""
    async with Server(openai("max_tokens"), openai("max_tokens")) as server:
        settings = {"type": "MistralLLM", "model": "m", "transport": "sdk"}
        config = LLMConfig.model_validate(settings | {"base_url": server.base_url})
        async with MistralLLM[CortexOutputModel](config, vocabulary=ROBOT, environ={}) as llm:
            for _ in range(2):
                with pytest.raises(BadRequestError, match="Unsupported"):
                    await llm.ask("sit!")
        assert [request.json["max_tokens"] for request in server.requests] == [512, 512]


async def test_there_is_always_a_limit() -> None:
    """Where both names are refused it is the value that is, and the server's sentence is told."""
    refusals = [openai("max_tokens"), openai("max_completion_tokens")]
    outcomes, bodies = await calls(*refusals, GOOD, asks=2, max_tokens=9)
    assert [outcome.kind for outcome in outcomes] == ["bad_request", "ok"]
    assert all(body.keys() & {"max_tokens", "max_completion_tokens"} for body in bodies)


async def test_a_server_that_never_has_enough_is_left() -> None:
    """A server that names another field each time, or ignores every form, costs a few requests."""
    settings = {"extra_params": {f"field_{number}": 1 for number in range(50)}}
    refusals = [openai(f"field_{number}") for number in range(50)]
    outcomes, bodies = await calls(*refusals, asks=1, **settings)
    assert outcomes[0].kind == "bad_request"
    assert len(bodies) <= 12


async def test_calls_side_by_side_do_not_push_each_other_round() -> None:
    """Many calls at once to a server that ignores every form walk its forms once each."""
    async with Server(route=lambda _: Reply.stream("I would rather not.")) as server:
        async with brain(server) as llm:
            answers = await asyncio.gather(
                *(llm.ask("sit!") for _ in range(10)), return_exceptions=True
            )
        assert all(isinstance(answer, BadOutputError) for answer in answers)
        assert len(server.requests) <= 10 * 5


async def test_a_key_is_in_no_field() -> None:
    """A server that names the key as the field at fault shows it nowhere."""
    key = "some-secret-key-1"
    reply = Reply.json({"error": {"message": "no", "param": key}}, 400)
    async with Server(reply) as server, brain(server, api_key=key) as llm:
        with pytest.raises(BadRequestError) as caught:
            await llm.ask("sit!")
    assert key not in str(caught.value.to_dict())


async def test_what_was_given_up_is_tried_again_in_time() -> None:
    """One odd answer does not decide for ever: after some good ones the best form is back."""
    prose = Reply.stream("I would rather not.")
    _, bodies = await calls(prose, *[GOOD] * 18, asks=18)
    forms = [form_of(body) for body in bodies]
    assert forms == ["schema", *["tools"] * 16, "schema", "schema"]


async def test_a_model_that_reasons_is_told_not_to() -> None:
    """Where tools do not go with reasoning it is switched off, and if that is refused left out."""
    replies = (NO_REASONING, CALLED, NO_REASONING, CALLED)
    _, bodies = await calls(*replies, asks=2, structured="tools")
    efforts = [body.get("reasoning_effort") for body in bodies]
    assert efforts == [None, "none", "none", None]


@pytest.mark.parametrize("field", ["messages", "model", "stream"])
async def test_what_no_request_can_do_without_stays(field: str) -> None:
    """A refusal of the question itself is an error at once."""
    (outcome,), bodies = await calls(refusing(field), GOOD)
    assert (outcome.kind, len(bodies)) == ("bad_request", 1)


async def test_what_is_refused_all_the_same_is_an_error() -> None:
    """A server that goes on refusing a field that is not there any more is not asked for ever."""
    refusal = refusing("stream_options")
    (outcome,), bodies = await calls(refusal, refusal, GOOD)
    assert outcome.kind == "bad_request"
    assert outcome.tried == ["bad_request", "bad_request"]
    assert len(bodies) == 2


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (sample("mistral_400_order.json"), "bad_request"),
        (sample("openai_401.json", 401), "auth"),
        (sample("openai_429_rate.json", 429), "rate_limited"),
        (sample("mistral_503.json", 503), "unavailable"),
        (Reply.stream(finish="content_filter"), "refused"),
        (Reply.stream(FIRST[:20], finish="length"), "truncated"),
    ],
)
async def test_other_failures_are_not_for_us_to_repeat(reply: Reply, kind: str) -> None:
    """What another spelling of the request does not mend is an error at once."""
    (outcome,), bodies = await calls(reply, GOOD)
    assert (outcome.kind, len(bodies)) == (kind, 1)


# --- forms --------------------------------------------------------------------------------------

REFUSES_SCHEMA = Reply.json({"error": {"message": "This response_format is unavailable"}}, 400)
NO_TOOLS = openai("tools")
NO_JSON = sample("lmstudio_400_rf.json")


async def test_steps_down_the_ladder_where_forms_are_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Schema, tools, JSON, and at last the prompt alone, which is where it stays."""
    replies = (REFUSES_SCHEMA, NO_TOOLS, NO_JSON, GOOD, GOOD)
    outcomes, bodies = await calls(*replies, asks=2)
    assert [outcome.actions for outcome in outcomes] == [[SIT], [SIT]]
    assert list(map(form_of, bodies)) == ["schema", "tools", "json", "text", "text"]
    assert outcomes[0].tried == ["bad_request"] * 3 + ["ok"]
    assert told(caplog) == [
        "The server refuses 'schema'; asking by 'tools' now.",
        "The server refuses 'tools'; asking by 'json' now.",
        "The server refuses 'json'; asking by 'text' now.",
    ]
    words = [body["messages"][0]["content"] for body in bodies]
    assert ["calling the tools" in text for text in words] == [False, True, False, False, False]


async def test_the_last_form_stays_whatever_is_refused() -> None:
    """Where nothing is left to try, the refusal is the error."""
    replies = (REFUSES_SCHEMA, NO_TOOLS, NO_JSON, NO_JSON, GOOD)
    (first, second), bodies = await calls(*replies, asks=2)
    assert (first.kind, second.kind) == ("bad_request", "ok")
    assert form_of(bodies[-1]) == "text"


@pytest.mark.parametrize(
    "ignoring",
    [
        pytest.param(PROSE, id="prose"),
        pytest.param(Reply.stream('{"type":"object","properties":{}}'), id="the schema repeated"),
        pytest.param(Reply.stream('{"actions":[', *["\n \t "] * 60), id="white space"),
        pytest.param(
            Reply.stream('{"actions":[', *["\n \t "] * 60, 60.0), id="endless white space"
        ),
    ],
)
async def test_a_form_that_is_ignored_gives_way(
    ignoring: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    """The next form is asked for within the same call, and first of all in the next."""
    outcomes, bodies = await calls(ignoring, CALLED, CALLED, asks=2)
    assert [outcome.actions for outcome in outcomes] == [[SIT], [SIT]]
    assert list(map(form_of, bodies)) == ["schema", "tools", "tools"]
    assert outcomes[0].tried == ["bad_output", "ok"]
    assert told(caplog) == ["The server ignores 'schema'; asking by 'tools' now."]


async def test_who_reads_along_learns_that_the_answer_begins_anew() -> None:
    """Between the text that was in vain and the next one stands that a try has failed."""
    refused = refusing("tools")
    async with Server(PROSE, refused, PROSE, GOOD) as server, brain(server) as llm:
        told = [event async for event in llm.stream("go")]
    kinds = [TextDelta, AttemptFailed, TextDelta, AttemptFailed, TextDelta, ActionReady]
    assert [type(event) for event in told][: len(kinds)] == kinds
    failed = told[1]
    assert isinstance(failed, AttemptFailed)
    assert (failed.attempt.outcome, failed.next) == ("bad_output", "LlamaLLM")
    end = told[-1]
    assert isinstance(end, Finished)
    assert end.attempts[0] == failed.attempt


async def test_a_thought_without_its_beginning_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What a model merely thinks of cannot be told from what it answers; somebody has to know."""
    reply = Reply.stream(f"Well.\n</think>\n{FIRST}]}}")
    outcomes, _ = await calls(reply, reply, asks=2)
    assert [outcome.actions for outcome in outcomes] == [[SIT], [SIT]]
    lines = [record.getMessage() for record in caplog.records if "thought" in record.getMessage()]
    assert len(lines) == 1
    assert "start the server with its reasoning parser" in lines[0]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply.stream('{"actions":[{"type":"fly","value":"up"}]}'), "bad_output"),
        (Reply.stream('{"actions":[{"type":"move"}]}'), "bad_output"),
        (Reply.stream('{"actions":[]}'), "ok"),
        (Reply.stream("I would", finish="length"), "truncated"),
        (Reply.stream("I would", finish=None), "truncated"),
        (Reply.stream("I would", finish=None, done=False), "truncated"),
        (Reply.stream(), "bad_output"),
    ],
)
async def test_a_model_that_is_wrong_in_the_right_form_is_not_asked_again(
    reply: Reply, kind: str
) -> None:
    """Illegal actions, nothing to do, an answer that is cut or empty: none tells of the form."""
    (outcome, after), bodies = await calls(reply, GOOD, asks=2)
    assert (outcome.kind, after.kind) == (kind, "ok")
    assert list(map(form_of, bodies)) == ["schema", "schema"]


async def test_after_the_last_form_the_best_one_is_tried_again() -> None:
    """A model that answers prose to everything is to blame, and may do better next time."""
    outcomes, bodies = await calls(*[PROSE] * 4, GOOD, asks=2)
    assert [outcome.kind for outcome in outcomes] == ["bad_output", "ok"]
    assert outcomes[0].tried == ["bad_output"] * 4
    assert list(map(form_of, bodies)) == ["schema", "tools", "json", "text", "schema"]


async def test_a_form_that_was_ignored_is_not_tried_again_where_a_later_one_is_refused() -> None:
    """What is refused goes for good; what was ignored before it is not come back to."""
    replies = (PROSE, NO_TOOLS, GOOD, GOOD)
    _, bodies = await calls(*replies, asks=2)
    assert list(map(form_of, bodies)) == ["schema", "tools", "json", "json"]


@pytest.mark.parametrize("mode", ["schema", "tools", "json", "grammar"])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (PROSE, "bad_output"),
        (refusing("response_format", "tools", "grammar"), "bad_request"),
    ],
    ids=["ignored", "refused"],
)
async def test_a_form_that_the_user_has_chosen_is_kept_to(
    mode: str, reply: Reply, kind: str
) -> None:
    """`structured` is never changed, whatever the server makes of it."""
    (first, second), bodies = await calls(reply, LLAMACPP, LLAMACPP, asks=2, structured=mode)
    assert (first.kind, second.kind) == (kind, "ok")
    assert list(map(form_of, bodies)) == [mode, mode]


class Plan(BaseModel):
    """An answer that is no list of actions."""

    goal: str


async def test_any_answer_is_asked_for_by_the_same_ladder() -> None:
    """An output model goes from its schema to a tool, JSON and the prompt alone."""
    answer = Reply.stream('{"goal":"door"}')
    outcomes, bodies = await calls(
        PROSE, NO_TOOLS, refusing("response_format"), answer, answer, asks=2, output_model=Plan
    )
    assert [outcome.kind for outcome in outcomes] == ["ok", "ok"]
    assert list(map(form_of, bodies)) == ["schema", "tools", "json", "text", "text"]
    assert [tool["function"]["name"] for tool in bodies[1]["tools"]] == ["answer"]


# --- llama.cpp ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "settings", "forms"),
    [
        pytest.param(LLAMACPP, {}, ["schema", "grammar", "grammar"], id="by its reply's head"),
        pytest.param(GOOD, {}, ["schema"] * 3, id="another server"),
        pytest.param(LLAMACPP, {"structured": "json"}, ["json"] * 3, id="the user's choice"),
        pytest.param(
            replace(Reply.stream('{"goal":"door"}'), headers=LLAMACPP.headers),
            {"output_model": Plan},
            ["schema"] * 3,
            id="without a vocabulary there is no grammar",
        ),
        pytest.param(
            LLAMACPP, {"transport": "sdk"}, ["schema", "grammar", "grammar"], id="Llama's SDK"
        ),
        pytest.param(
            LLAMACPP,
            {"transport": "sdk", "kind": MistralLLM},
            ["schema"] * 3,
            id="Mistral's SDK cannot send one",
        ),
    ],
)
async def test_a_server_that_knows_grammars_gets_one(
    reply: Reply, settings: Json, forms: list[str]
) -> None:
    """llama.cpp tells who it is with its first answer; from the second question on it is known."""
    _, bodies = await calls(reply, reply, reply, asks=3, **settings)
    assert list(map(form_of, bodies)) == forms
    assert [body.get("grammar", ROBOT.grammar()) for body in bodies] == [ROBOT.grammar()] * 3


async def test_who_wants_the_answer_alone_learns_the_same() -> None:
    """`ask` and `act` take no more than they need, and what was learned is remembered."""
    async with Server(*[LLAMACPP] * 4) as server, brain(server) as llm:
        assert (await llm.ask("sit!")).actions == [SIT]
        assert [action async for action in llm.act("sit!")] == [SIT]
        assert [form_of(request.json) for request in server.requests] == ["schema", "grammar"]


async def test_a_grammar_that_is_refused_is_not_sent_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What the server's name promises counts less than what it answers."""
    _, bodies = await calls(LLAMACPP, NO_GRAMMAR, LLAMACPP, LLAMACPP, LLAMACPP, asks=4)
    assert list(map(form_of, bodies)) == ["schema", "grammar", "schema", "schema", "schema"]
    assert told(caplog) == ["The server refuses 'grammar'; asking by 'schema' now."]


async def test_a_grammar_that_is_ignored_gives_way() -> None:
    """A grammar is a form like the others."""
    prose = replace(PROSE, headers=LLAMACPP.headers)
    _, bodies = await calls(LLAMACPP, prose, LLAMACPP, LLAMACPP, asks=3)
    assert list(map(form_of, bodies)) == ["schema", "grammar", "schema", "schema"]


# --- a prompt that is too long ------------------------------------------------------------------


def turns(count: int) -> list[Json]:
    """Past ticks, a user's turn and an answer each."""
    roles = ("user", "assistant")
    return [{"role": roles[at % 2], "content": f"turn {at}"} for at in range(count)]


def history_in(body: Json) -> list[str]:
    """The past turns in a request."""
    return [message["content"] for message in body["messages"][1:-1]]


def told_of(count: int, of: int) -> list[str]:
    """The last so many of so many turns."""
    return [f"turn {at}" for at in range(of - count, of)]


async def test_a_prompt_that_is_too_long_loses_half_of_its_history() -> None:
    """The newest turns are kept, from a user's on, in this call and in those that follow."""
    outcomes, bodies = await calls(TOO_LONG, GOOD, GOOD, asks=2, history=turns(8))
    assert [outcome.tried for outcome in outcomes] == [["context_overflow", "ok"], ["ok"]]
    assert [history_in(body) for body in bodies] == [
        told_of(8, 8), told_of(4, 8), told_of(4, 8),
    ]  # fmt: skip


async def test_it_loses_half_of_its_history_once_a_call() -> None:
    """A prompt that is still too long is an error, and the next call begins with half of that."""
    (first, second), bodies = await calls(TOO_LONG, TOO_LONG, GOOD, asks=2, history=turns(8))
    assert first.tried == ["context_overflow"] * 2
    assert second.kind == "ok"
    assert [len(history_in(body)) for body in bodies] == [8, 4, 2]


async def test_at_last_no_history_is_left() -> None:
    """One turn is halved to none, and without any an overflow is an error at once."""
    outcomes, bodies = await calls(
        TOO_LONG, TOO_LONG, TOO_LONG, GOOD, TOO_LONG, asks=4, history=turns(2)
    )
    assert [outcome.kind for outcome in outcomes] == ["context_overflow", "context_overflow", "ok",
                                                      "context_overflow"]  # fmt: skip
    assert [len(history_in(body)) for body in bodies] == [2, 0, 0, 0, 0]


async def test_the_beginning_of_a_shortened_history_holds_for_a_while() -> None:
    """It moves by several turns at once, so that a server finds it in its cache between."""
    async with Server(TOO_LONG, *[GOOD] * 5) as server, brain(server) as llm:
        for count in range(16, 26, 2):
            await ask(llm, turns(count))
        shown = [history_in(request.json) for request in server.requests]
    beginnings = [(int(kept[0].removeprefix("turn ")), len(kept)) for kept in shown]
    assert beginnings == [(0, 16), (8, 8), (12, 6), (12, 8), (16, 6), (16, 8)]


def counted(tokens: int) -> Reply:
    """An answer of a server that says how many tokens it has read."""
    return Reply.stream(FIRST, "]}", usage=Usage(tokens, 9))


async def read(*prompts: tuple[int, int], **settings: Any) -> list[int]:
    """How many past turns each prompt shows: its characters, and the tokens that are told of it."""
    replies = [counted(tokens) for _, tokens in prompts]
    async with Server(*replies) as server, brain(server, **settings) as llm:
        for characters, _ in prompts:
            await llm.ask("x" * characters, turns(8))
        return [len(history_in(request.json)) for request in server.requests]


async def test_a_prompt_that_is_cut_in_silence_is_found(caplog: pytest.LogCaptureFixture) -> None:
    """A server that tells fewer tokens than there can be gets half the history; one warning."""
    assert await read((20_000, 1024), (20_000, 1024), (20_000, 1024)) == [8, 4, 2]
    (line,) = told(caplog)
    assert "has read 1024 tokens of a prompt of 20" in line
    assert "OLLAMA_CONTEXT_LENGTH" in line


async def test_a_longer_prompt_of_no_more_tokens_was_cut(caplog: pytest.LogCaptureFixture) -> None:
    """What a server could read before tells what it does not read now."""
    assert await read((6000, 2048), (8000, 2048), (6000, 2048)) == [8, 8, 4]
    assert len(told(caplog)) == 1


@pytest.mark.parametrize(
    "prompts",
    [
        pytest.param([(6000, 1500), (8000, 2000), (6000, 1500), (8000, 2000)], id="as they grow"),
        pytest.param([(6000, 1500), (6100, 1490)], id="about as long"),
        pytest.param([(6000, 1500), (3000, 1500)], id="shorter, of many tokens"),
        pytest.param([(9000, 900), (9000, 0)], id="too few tokens to be a whole context"),
    ],
)
async def test_a_prompt_that_was_read_is_not_found_to_be_cut(
    prompts: list[tuple[int, int]], caplog: pytest.LogCaptureFixture
) -> None:
    """Texts of other density, and servers that do not count what they had read before, are well."""
    assert await read(*prompts) == [8] * len(prompts)
    assert told(caplog) == []


# --- a model that is loading --------------------------------------------------------------------


async def test_a_model_that_is_loading_is_waited_for() -> None:
    """The question is asked again, byte for byte, a moment later."""
    (outcome,), bodies = await calls(LOADING, GOOD)
    assert (outcome.actions, outcome.tried) == ([SIT], ["loading", "ok"])
    assert bodies[0] == bodies[1]
    assert 0.4 < outcome.attempts[1].elapsed_s < SOON_S


@pytest.mark.parametrize("clock", ["timeout", "first_action_timeout"])
async def test_it_is_not_waited_for_in_vain(clock: str) -> None:
    """Where a clock would run out meanwhile, the call ends before that with what is known."""
    settings = {clock: 0.9}
    (outcome,), bodies = await calls(*[LOADING] * 9, **settings)
    assert (outcome.kind, set(outcome.tried)) == ("loading", {"loading"})
    assert len(bodies) == len(outcome.tried) <= 2
    assert outcome.error is not None
    assert outcome.error.retryable
    assert outcome.error.elapsed_s is not None
    assert outcome.error.elapsed_s < 0.9


# --- one call -----------------------------------------------------------------------------------

FAILURES: dict[str, bytes] = {
    "a field": event({"error": {"code": 400, "message": "no", "param": "stream_options"}}),
    "a form": event({"error": {"code": 400, "message": "no", "param": "response_format"}}),
    "too long": event({"error": {"code": "context_length_exceeded", "message": "no"}}),
    "loading": event({"error": {"code": "unavailable_error", "message": "no"}}),
    "white space": event({"choices": [{"delta": {"content": " " * 300}}]}),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_nothing_is_asked_again_once_an_action_is_out(failure: str) -> None:
    """The robot does not do twice what two answers say."""
    reply = Reply.stream(FIRST, FAILURES[failure], "]}")
    (outcome,), bodies = await calls(reply, GOOD, history=turns(4))
    assert outcome.error is not None
    assert (outcome.actions, len(bodies), len(outcome.tried)) == ([SIT], 1, 1)


@pytest.mark.parametrize("failure", sorted(FAILURES.keys() - {"loading"}))
async def test_before_that_it_is(failure: str) -> None:
    """A failure inside an answer teaches what one instead of an answer does."""
    reply = Reply.stream('{"actions":[', FAILURES[failure], "]}")
    (outcome,), bodies = await calls(reply, GOOD, history=turns(4))
    assert (outcome.actions, len(bodies), outcome.tried[-1]) == ([SIT], 2, "ok")


async def test_every_try_is_in_the_record() -> None:
    """The record has each try with its outcome and its own time, which make up the whole."""
    slow = replace(REFUSES_SCHEMA, wait=0.1)
    (outcome,), _ = await calls(slow, refusing("stream_options"), CALLED)
    finished = outcome.events[-1]
    assert isinstance(finished, Finished)
    assert [(each.provider, each.model, each.outcome) for each in finished.attempts] == [
        ("LlamaLLM", "m", "bad_request"),
        ("LlamaLLM", "m", "bad_request"),
        ("LlamaLLM", "scripted", "ok"),
    ]
    assert finished.attempts[0].elapsed_s >= 0.1
    assert sum(each.elapsed_s for each in finished.attempts) == pytest.approx(finished.total_s)
    assert finished.first_action_s is not None
    assert 0.1 < finished.first_action_s <= finished.total_s


@pytest.mark.parametrize(
    ("clock", "phase"), [("timeout", "total"), ("first_action_timeout", "first_action")]
)
async def test_all_tries_share_one_deadline(clock: str, phase: str) -> None:
    """A second try has no more time than the first one has left."""
    slow = replace(refusing("stream_options"), wait=0.15)
    (outcome,), _ = await calls(slow, replace(GOOD, wait=60.0), **{clock: 0.5})
    assert isinstance(outcome.error, DeadlineError)
    assert (outcome.error.phase, outcome.tried) == (phase, ["bad_request", "timeout"])
    assert outcome.error.elapsed_s is not None
    assert 0.49 < outcome.error.elapsed_s < SOON_S
    assert outcome.attempts[1].elapsed_s < outcome.error.elapsed_s - 0.14


async def test_silence_is_counted_anew_in_every_try() -> None:
    """What was written of an answer that is given up is no beginning of the next one."""
    ignoring = Reply.stream("I would sit.")
    (outcome,), _ = await calls(ignoring, replace(CALLED, wait=0.4), stall_timeout=0.25)
    assert outcome.tried == ["bad_output", "ok"]


# --- calls at the same time ---------------------------------------------------------------------


async def together(
    route: Callable[[Received], Reply], count: int = 5
) -> tuple[list[Outcome], list[Json]]:
    """Some calls of one brain at once, then one more; all that was sent."""
    async with Server(route=route) as server, brain(server) as llm:
        outcomes = await asyncio.gather(*(ask(llm, turns(8)) for _ in range(count)))
        outcomes.append(await ask(llm, turns(8)))
        return outcomes, [request.json for request in server.requests]


async def test_calls_at_the_same_time_learn_one_lesson_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each asks a second time at most, one warning is logged, and the next call knows."""

    def route(request: Received) -> Reply:
        return refusing("stream_options") if "stream_options" in request.json else GOOD

    outcomes, bodies = await together(route)
    assert [outcome.kind for outcome in outcomes] == ["ok"] * 6
    assert len(bodies) <= 11
    assert outcomes[-1].tried == ["ok"]
    assert len(told(caplog)) == 1


@pytest.mark.parametrize("wrong", [PROSE, REFUSES_SCHEMA], ids=["ignored", "refused"])
async def test_calls_at_the_same_time_take_one_step_together(
    wrong: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    """A form that several calls find wanting gives way to the next one, and that one stays."""
    outcomes, bodies = await together(
        lambda request: wrong if form_of(request.json) == "schema" else CALLED
    )
    assert [outcome.kind for outcome in outcomes] == ["ok"] * 6
    assert {form_of(body) for body in bodies} == {"schema", "tools"}
    assert outcomes[-1].tried == ["ok"]
    assert len(told(caplog)) == 1


async def test_calls_at_the_same_time_lose_half_of_the_history_once() -> None:
    """What several calls find too long is halved for all of them, not once for each."""
    outcomes, bodies = await together(
        lambda request: TOO_LONG if len(history_in(request.json)) > 4 else GOOD
    )
    assert [outcome.kind for outcome in outcomes] == ["ok"] * 6
    assert {len(history_in(body)) for body in bodies} == {8, 4}


# --- any transport ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LlamaLLM, MistralLLM])
async def test_an_sdk_learns_the_same(kind: type[ProviderLLM[CortexOutputModel]]) -> None:
    """What a vendor's SDK carries is refused, ignored, and remembered like anything else."""
    replies = (refusing("temperature"), PROSE, CALLED, CALLED)
    outcomes, bodies = await calls(
        *replies, asks=2, kind=kind, transport="sdk", temperature=0.5, history=turns(4)
    )
    assert [outcome.tried for outcome in outcomes] == [["bad_request", "bad_output", "ok"], ["ok"]]
    assert ["temperature" in body for body in bodies] == [True, False, False, False]
    assert list(map(form_of, bodies)) == ["schema", "schema", "tools", "tools"]
