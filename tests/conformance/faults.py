"""The catalogue of faults: everything that was seen to go wrong between a robot and a model.

Each row is data: what the server does, and what becomes of the call. `test_faults` plays every case
over a real socket, and `docs/faults.md` is written from the same rows::

    python -m tests.conformance.faults

A sample is a file of ``tests/data/wire``; its manifest says whether it was recorded or written, and
from which source. What needs no sample is scripted here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from reflexarc.testing import Reply, event
from reflexarc.testing.reply import End, Step
from reflexarc.types import Action, Json, ToolCallDelta, Usage

ROOT = Path(__file__).parents[2]
WIRE = ROOT / "tests" / "data" / "wire"
PAGE = ROOT / "docs" / "faults.md"
COMMAND = "python -m tests.conformance.faults"

Over = Literal["http", "mistral-sdk", "llama-sdk"]
ALL_TRANSPORTS: tuple[Over, ...] = ("http", "mistral-sdk", "llama-sdk")
ALL_PIECES: tuple[int | None, ...] = (None, 1, 7, 16_384)


@dataclass(frozen=True, slots=True)
class Sample:
    """A recorded reply, or one written from a source.

    Parameters
    ----------
    name : str
        File below ``tests/data/wire``; the manifest has its status.
    headers : mapping of str to str, default {}
        Sent beside its content type.
    status : int or None, default None
        Another status than the manifest's.
    """

    name: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    status: int | None = None

    @property
    def reply(self) -> Reply:
        """The reply to be served."""
        reply = Reply.sample(WIRE / self.name, self.status or manifest()[self.name]["status"])
        return replace(reply, headers={**reply.headers, **self.headers})


@dataclass(frozen=True, slots=True)
class Recovered:
    """The call ends well.

    Parameters
    ----------
    *actions : Action
        All that it gives out, in order, each once.
    how : str
        What was done about the fault, in a few words.
    """

    actions: tuple[Action, ...]
    how: str

    def __str__(self) -> str:
        return f"recovered: {self.how}"


@dataclass(frozen=True, slots=True)
class Fails:
    """The call ends in an error.

    Parameters
    ----------
    kind : str
        Of the error, as in `reflexarc.errors`.
    says : str
        Words that are in its message.
    actions : tuple of Action, default ()
        What was given out before it.
    retryable : bool, default False
        Whether the same call may go better later.
    retry_after_s : float or None, default None
        How long the server asked us to wait.
    """

    kind: str
    says: str
    actions: tuple[Action, ...] = ()
    retryable: bool = False
    retry_after_s: float | None = None

    def __str__(self) -> str:
        given = len(self.actions)
        after = f" after {given} action{'s'[: given != 1]}" if given else ""
        again = ", worth trying again" if self.retryable else ""
        return f"error `{self.kind}`{after}{again}: “… {self.says} …”"


@dataclass(frozen=True, slots=True)
class CannotOccur:
    """The fault cannot happen here, for one reason.

    Parameters
    ----------
    why : str
        In one line.
    """

    why: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A case that is more than replies: a test of its own shows it.

    Parameters
    ----------
    what : str
        The case in a few words; empty where the fault's name says it.
    outcome : str
        As the page tells it.
    test : str
        Name of the test in `test_faults`.
    """

    what: str
    outcome: str
    test: str


@dataclass(frozen=True, slots=True)
class Case:
    """A fault as a server shows it, and what becomes of the call.

    Parameters
    ----------
    what : str
        In a few words; empty where the fault's name says it.
    replies : tuple of Sample or Reply
        What the server answers, one a request.
    outcome : Recovered or Fails
        Of every call.
    settings : mapping of str to object, default {}
        Of `LLMConfig`.
    history : tuple of mapping, default ()
        Past turns that are handed in.
    prompt : str, default "You hear: sit!"
        What is sensed.
    asks : int, default 1
        Calls, one after the other, of the same LLM.
    sends : mapping of str to object, default {}
        Fields that the first request has, as `seen` shows them.
    changes : tuple of mapping, default ()
        For each further request, exactly those fields that differ from the request before; `GONE`
        for one that is left out, `OTHER` for any other value.
    connections : tuple of int, default ()
        Which connection each request came by; empty if that does not matter.
    refused : int, default 0
        Actions of the first call that the robot may not do, and that are dropped.
    warns : str, default ""
        Words of the one warning that is logged; empty for none.
    usage : Usage or None, default None
        Counts of the first call.
    served : str, default ""
        Model that the first call says has answered; empty if that does not matter.
    over : tuple of str, default ALL_TRANSPORTS
        Transports to which it can happen.
    ends : tuple of str, default ("whole",)
        How the last reply ends: FIN after the whole body, FIN in the middle, RST.
    """

    what: str
    replies: tuple[Sample | Reply, ...]
    outcome: Recovered | Fails
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    history: tuple[Json, ...] = ()
    prompt: str = "You hear: sit!"
    asks: int = 1
    sends: Mapping[str, object] = field(default_factory=dict[str, object])
    changes: tuple[Mapping[str, object], ...] = ()
    connections: tuple[int, ...] = ()
    refused: int = 0
    warns: str = ""
    usage: Usage | None = None
    served: str = ""
    over: tuple[Over, ...] = ALL_TRANSPORTS
    ends: tuple[End, ...] = ("whole",)


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the catalogue.

    Parameters
    ----------
    number : int
        Of the row.
    name : str
        What goes wrong.
    *cases : Case, Shown or CannotOccur
        How it is met.
    """

    number: int
    name: str
    cases: tuple[Case | Shown | CannotOccur, ...]


GONE: Final = "(left out)"
OTHER: Final = "(another value)"


@cache
def manifest() -> dict[str, Json]:
    """What is known of each sample."""
    return json.loads((WIRE / "manifest.json").read_text())["files"]


# --- What the samples say, and pieces of which replies are made ----------------------------------

HAPPY = Action(type="emotion", value="happy")
HELLO = Action(type="speak", value="Hello, I am Spot!")
SIT = Action(type="move", value="sit")
WALK = Action(type="move", value="walk")
GREETING = (HAPPY, HELLO, SIT)


def speak(*sentences: str) -> tuple[Action, ...]:
    """What is said, one action a sentence."""
    return tuple(Action(type="speak", value=sentence) for sentence in sentences)


FIRST = '{"actions":[{"type":"move","value":"sit"}'
SECOND = ',{"type":"move","value":"walk"}]}'
GOOD = Reply.stream(FIRST, SECOND)
BOTH = (SIT, WALK)


def stream(*pieces: str | ToolCallDelta | Step, **how: Any) -> tuple[Reply]:
    """One streamed reply."""
    return (Reply.stream(*pieces, **how),)


def cut(*pieces: str | ToolCallDelta | Step, end: End = "whole") -> Reply:
    """A stream that never says how the answer ended."""
    return replace(Reply.stream(*pieces, finish=None, done=False), end=end)


def of(*names: str) -> tuple[Sample, ...]:
    """Samples without anything added."""
    return tuple(map(Sample, names))


def chunk(choice: Json) -> bytes:
    """One event of a stream, down to its keys."""
    return event({"object": "chat.completion.chunk", "model": "m", "choices": [choice]})


def raw(*body: Step) -> Reply:
    """A stream whose every byte is given."""
    return Reply(200, {"Content-Type": "text/event-stream"}, body)


def limited(**headers: str) -> tuple[Sample]:
    """Mistral's 429 with headers, named with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return (Sample("errors/mistral_429.json", named),)


def slow(seconds: float | None) -> Fails:
    """Too many calls, and how long to wait."""
    return Fails("rate_limited", "Rate limit exceeded", retryable=True, retry_after_s=seconds)


def segments(name: str) -> Reply:
    """A stream whose writes were recorded one by one."""
    pieces: list[str] = json.loads((WIRE / name).read_text())["segments"]
    return raw(*(piece.encode("latin-1") for piece in pieces))


def turns(*contents: str) -> tuple[Json, ...]:
    """Turns of a conversation, the user's first."""
    roles = ("user", "assistant")
    return tuple({"role": roles[at % 2], "content": content} for at, content in enumerate(contents))


SENSED = {"role": "user", "content": "You hear: sit!"}
PROSE = Reply.stream("I sit down.")
SCHEMA = {"structured": "schema"}
JSON = {"structured": "json"}
TOOLS = {"structured": "tools"}
UNPLUGGED = Reply.nothing("reset")
CLOSED = Reply.nothing("cut")
BUSY_PAGE = "<html><head><title>Web server is down</title></head><body>cloudflare</body></html>"

# A call and its result as another server left them: its id is longer than Mistral takes.
FOREIGN_ID = "wwTRTxrJHxz1Zrcq9Zvcfblnns1hInht"
CALLED: tuple[Json, ...] = (
    {"role": "user", "content": "You hear: hello!"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": FOREIGN_ID,
                "type": "function",
                "function": {"name": "speak", "arguments": '{"sentence":"Hi!"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": FOREIGN_ID, "content": "said"},
)
OUR_ID = "5ec843629"
CALLED_STRICTLY: list[Json] = [
    {"role": "user", "content": "You hear: hello!"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": OUR_ID,
                "type": "function",
                "function": {"name": "speak", "arguments": '{"sentence":"Hi!"}'},
            }
        ],
    },
    {"role": "tool", "content": "said", "tool_call_id": OUR_ID},
    {"role": "assistant", "content": "Done."},
    SENSED,
]

# So long that a count of 1,100 tokens shows that most of it was not read.
LONG = "The corridor is empty. " * 700
OVERLONG = "You are Spot. " * 700


# --- The catalogue -------------------------------------------------------------------------------

STREAMS = (
    Fault(1, "The stream ends early, cleanly", (
        Case("", of("faults/no_finish_no_done.sse"),
             Fails("truncated", "ended early, after 1 complete actions", (HAPPY,), True),
             ends=("whole", "cut", "reset")),
    )),
    Fault(2, "Cut inside an event", (
        Case("", of("faults/cut_mid_event.sse"),
             Fails("truncated", "ended early, after 1 complete actions", (HAPPY,), True),
             ends=("whole", "cut", "reset")),
    )),
    Fault(3, "The chunked body is cut", (
        Case("in the answer", (cut(FIRST),),
             Fails("truncated", "ended early, after 1 complete actions", (SIT,), True),
             ends=("cut", "reset")),
        Case("behind it", (Reply.stream(FIRST, SECOND, done=False),),
             Recovered(BOTH, "the answer was over"), ends=("cut", "reset")),
    )),
    Fault(4, "[DONE] but no finish_reason", (
        Case("the JSON is whole", of("faults/no_finish_done.sse"),
             Recovered(GREETING, "the JSON is whole")),
        Case("the JSON is not", stream(FIRST, finish=None),
             Fails("truncated", "ended early, after 1 complete actions", (SIT,), True)),
    )),
    Fault(5, "finish_reason but no [DONE], and the socket stays open", (
        Case("", of("faults/no_done.sse"),
             Recovered(GREETING, "a quarter of a second is left for usage"),
             settings={"timeout": 5.0}, ends=("stall",)),
        Case("and sends keep-alives for ever",
             (raw(*Reply.stream(FIRST, SECOND, done=False).body, *(b": ping\n\n", 0.02) * 100),),
             Recovered(BOTH, "a quarter of a second is left for usage"),
             settings={"timeout": 5.0}, ends=("stall",)),
    )),
    Fault(6, "An error event in a 200 stream", (
        Case("llama.cpp", of("llamacpp_midstream_error.sse"),
             Fails("server", "does not match the expected peg-native format", retryable=True)),
        Case("OpenRouter: beside choices", of("openrouter_stream.sse"),
             Fails("server", "Provider disconnected", retryable=True)),
        Case("after an action",
             (cut(FIRST, event({"error": {"code": 500, "message": "The engine died."}})),),
             Fails("server", "The engine died.", (SIT,), True)),
    )),
    Fault(7, "An error event, then [DONE]", (
        Case("", of("vllm_midstream_error.sse"),
             Fails("server", "EngineCore encountered an issue", retryable=True)),
    )),
    Fault(8, "A named `event: error`", (
        Case("", of("faults/error_event.sse"),
             Fails("server", "server_is_overloaded", retryable=True)),
    )),
    Fault(9, "A bare line of JSON as an error", (
        Case("native Llama", of("llama_native_bare_error.sse"),
             Fails("server", "Something went wrong", retryable=True), over=("llama-sdk",)),
        Case("any server", (cut(FIRST, b'{"error":{"code":500,"message":"Went wrong"}}\n\n'),),
             Fails("server", "Went wrong", (SIT,), True)),
    )),
    Fault(10, "The server swallows its error", (
        Case("", of("ollama_midstream_lost_error.sse"),
             Fails("truncated", "ended early, after 0 complete actions", retryable=True)),
    )),
    Fault(11, "A stall between chunks", (
        Case("", (cut(FIRST, end="stall"),),
             Fails("timeout", "stopped for stall_timeout = 0.3 s", (SIT,), True),
             settings={"stall_timeout": 0.3}, ends=("stall",)),
    )),
    Fault(12, "Keep-alive comments for ever", (
        Case("before the answer", stream(*(b": keep-alive\n\n", 0.02) * 50),
             Fails("timeout", "within timeout = 0.3 s", retryable=True),
             settings={"timeout": 0.3}),
        Case("in the answer", stream(FIRST, *(b": keep-alive\n\n", 0.02) * 50, SECOND),
             Fails("timeout", "stopped for stall_timeout = 0.3 s", (SIT,), True),
             settings={"stall_timeout": 0.3}),
        Case("then the answer", of("llamacpp_ping.sse"),
             Fails("truncated", "ended early, after 0 complete actions", retryable=True)),
        Case("then the answer, DeepSeek", of("deepseek_stream.sse"),
             Recovered(GREETING, "comments are skipped")),
    )),
    Fault(13, "A drip of one token at a time", (
        Case("", stream(FIRST, *(" ", 0.05) * 50, SECOND),
             Fails("timeout", "within timeout = 0.5 s", (SIT,), True),
             settings={"timeout": 0.5, "stall_timeout": 0.4}),
    )),
)  # fmt: skip

ANSWERS = (
    Fault(14, "200 with `choices: []`", (
        Case("a chunk", of("mistral_stream_emptychoices.sse"),
             Recovered(GREETING, "the chunk is skipped")),
        Case("the whole reply", of("faults/empty_choices.json"),
             Fails("truncated", "before any answer; try again", retryable=True)),
    )),
    Fault(15, "`choices` null or missing, with 200", (
        Case("an error instead", of("faults/error_in_200.json"),
             Fails("server", "upstream failed", retryable=True)),
        Case("null", (Reply.json({"model": "m", "choices": None}),),
             Fails("bad_output", "has no choices", retryable=True)),
        Case("usage only", (Reply.json({"usage": {"prompt_tokens": 9, "completion_tokens": 0}}),),
             Fails("truncated", "before any answer; try again", retryable=True)),
    )),
    Fault(16, "Content null or empty", (
        Case("null", of("faults/null_content.json"),
             Fails("bad_output", "holds no action; it is empty", retryable=True)),
        Case("empty", of("faults/empty_content.json"),
             Fails("bad_output", "holds no action; it is empty", retryable=True)),
    )),
    Fault(17, "Content is a list", (
        Case("of text", of("faults/content_list_text.json"), Recovered(GREETING, "joined")),
        Case("of thinking and text", of("mistral_chat_thinking.json"),
             Recovered(GREETING, "thoughts are left out")),
        Case("of thinking and text, streamed", of("mistral_stream_thinking.sse"),
             Recovered(GREETING, "thoughts are left out")),
    )),
    Fault(18, "Reasoning eats max_tokens", (
        Case("", of("faults/reasoning_only.json"),
             Fails("truncated", "all its tokens on thinking; raise max_tokens", retryable=True)),
    )),
    Fault(19, "JSON in markdown fences", (
        Case("", of("faults/fences.json"), Recovered(GREETING, "the fence is skipped")),
    )),
    Fault(20, "Prose around JSON", (
        Case("", of("faults/prose_around.json"), Recovered(GREETING, "prose is skipped")),
        Case("a thought before it, with braces", of("faults/think_tags.json"),
             Recovered(GREETING, "the thought is skipped")),
    )),
    Fault(21, "Two objects, or a bare list", (
        Case("two objects", of("faults/two_objects.json"),
             Recovered(GREETING, "the first one counts")),
        Case("a bare list", of("faults/bare_list.json"), Recovered(GREETING, "taken as it is")),
    )),
    Fault(22, "Python quotes, trailing comma, line break in a string, NaN", (
        Case("single quotes", of("faults/single_quotes.json"),
             Fails("bad_output", "this is not an action; one looks like", retryable=True),
             refused=1),
        Case("trailing comma", of("faults/trailing_comma.json"),
             Recovered((SIT,), "the comma is skipped")),
        Case("line break in a string", of("faults/raw_newline_in_string.json"),
             Recovered(speak("line one\nline two"), "kept")),
        Case("NaN", of("faults/nan.json"),
             Fails("bad_output", "may not do", retryable=True), refused=1),
        Case("a key twice", of("faults/duplicate_keys.json"),
             Recovered((SIT,), "the list that has an action counts")),
        Case("values that are no text", of("faults/wrong_types.json"),
             Fails("bad_output", "may not do", retryable=True), refused=2),
    )),
    Fault(23, "Unknown action or value", (
        Case("an action", of("faults/unknown_action.json"),
             Recovered((SIT,), "dropped and told, the others keep their order"), refused=1),
        Case("a value", of("faults/unknown_value.json"),
             Fails("bad_output", "may not do", retryable=True), refused=1),
    )),
    Fault(24, "The schema is echoed back", (
        Case("", (Sample("faults/schema_echo.json"), GOOD), Recovered(BOTH, "asked for by tools"),
             changes=({"response_format": GONE, "tools": OTHER, "tool_choice": "required",
                       "system": OTHER},),
             warns="ignores 'schema'"),
        Case("where nothing else may be tried", of("faults/schema_echo.json"),
             Fails("bad_output", "holds no action; it begins", retryable=True), settings=SCHEMA),
    )),
    Fault(25, "The constraint is silently not applied", (
        Case("", (PROSE, GOOD, GOOD),
             Recovered(BOTH, "asked for by tools, then and from now on"), asks=2,
             changes=({"response_format": GONE, "tools": OTHER, "tool_choice": "required",
                       "system": OTHER}, {}),
             warns="ignores 'schema'"),
        Case("llama.cpp drops the tools", of("llamacpp_chat_required_tool_ignored.json"),
             Fails("truncated", "ended early, after 0 complete actions", retryable=True),
             settings=TOOLS),
    )),
    Fault(26, "JSON cut by the token limit", (
        Case("", of("faults/truncated_length.json"),
             Fails("truncated", "raise max_tokens", (HAPPY,), True)),
        Case("llama.cpp, streamed", of("llamacpp_stream_length.sse"),
             Fails("truncated", "raise max_tokens", retryable=True)),
        Case("Mistral", of("mistral_chat_length.json"),
             Fails("truncated", "raise max_tokens", (HAPPY,), True)),
        Case("native Llama", of("llama_native_chat_length.json"),
             Fails("truncated", "raise max_tokens", (HAPPY,), True), over=("llama-sdk",)),
    )),
    Fault(27, "White space to the limit", (
        Case("", of("faults/whitespace_run.json"),
             Fails("bad_output", "characters of white space", retryable=True),
             settings=SCHEMA),
        Case("streamed, after an action", stream(FIRST, *["\n \t "] * 60, 60.0),
             Fails("bad_output", "characters of white space", (SIT,), True), settings=SCHEMA),
        Case("streamed, after the answer", stream(FIRST, SECOND, *["\n \t "] * 60, 60.0),
             Recovered(BOTH, "the list was closed")),
        Case("asked for in another way", (*stream('{"actions":[', *["\n \t "] * 60, 60.0), GOOD),
             Recovered(BOTH, "asked for by tools"),
             changes=({"response_format": GONE, "tools": OTHER, "tool_choice": "required",
                       "system": OTHER},),
             warns="ignores 'schema'"),
    )),
)  # fmt: skip

CALLS = (
    Fault(28, "Two tool calls under one index", (
        Case("", of("faults/dup_index.sse"),
             Recovered(speak("a", "b"), "a second object is a call")),
    )),
    Fault(29, "The tool index is missing", (
        Case("", of("gemini_toolcall_stream.sse"), Recovered(speak("Hello!"), "taken by its id")),
        Case("and the arguments are split",
             stream(ToolCallDelta("move", '{"action":'), ToolCallDelta("", '"sit"}'),
                    ToolCallDelta("move", '{"action":"walk"}'), finish="tool_calls"),
             Recovered(BOTH, "the last open call goes on")),
    )),
    Fault(30, "The id is missing, \"\" or \"null\" on continuation", (
        Case("missing", of("mistral_toolcall_stream_relay.sse"),
             Recovered(speak("Hello!"), "continues by its index")),
        *(Case(f"{id_!r}",
               stream(ToolCallDelta("move", '{"act', 0, "call_1"),
                      ToolCallDelta("", 'ion":', 0, id_), ToolCallDelta("", '"sit"}', 0, id_),
                      ToolCallDelta("move", '{"action":"walk"}', 1, "call_2"), finish="tool_calls"),
               Recovered(BOTH, "continues by its index")) for id_ in ("", "null")),
    )),
    Fault(31, "The name is repeated or in fragments", (
        Case("repeated",
             stream(ToolCallDelta("move", '{"action":', 0, "a"),
                    ToolCallDelta("move", '"sit"}', 0, "a"), finish="tool_calls"),
             Recovered((SIT,), "kept")),
        Case("in fragments",
             stream(ToolCallDelta("mo", "", 0, "a"), ToolCallDelta("ve", '{"action":"sit"}', 0),
                    finish="tool_calls"), Recovered((SIT,), "appended")),
    )),
    Fault(32, "Arguments split anywhere", (
        Case("between tokens", of("openai_toolcall_stream.sse"),
             Recovered((*speak("Hello!"), SIT), "joined first, parsed once")),
        Case("llama.cpp", of("llamacpp_toolcall_stream.sse"),
             Recovered(speak("hello, jumping"), "joined first, parsed once")),
        Case("inside an escape and an emoji",
             stream(ToolCallDelta("speak", '{"sentence":"caf\\u00', 0, "a"),
                    ToolCallDelta("", 'e9 \\ud83e', 0), ToolCallDelta("", '\\udd16 \\', 0),
                    ToolCallDelta("", '"ok\\""}', 0), finish="tool_calls"),
             Recovered(speak('café 🤖 "ok"'), "joined first, parsed once")),
    )),
    Fault(33, "Arguments as an object, or encoded twice", (
        Case("an object", of("faults/tool_args_object.json"), Recovered(speak("Hello!"), "taken")),
        Case("encoded twice", of("faults/tool_args_twice_encoded.json"),
             Recovered(speak("Hello!"), "parsed once more")),
    )),
    Fault(34, "Tool calls with finish_reason `stop`", (
        Case("", of("faults/tool_finish_stop.json"), Recovered(speak("Hello!"), "the call counts")),
    )),
    Fault(35, "A tool call as text", (
        Case("Hermes", of("faults/tool_call_as_text.json"), Recovered(speak("Hello!"), "read")),
        Case("Mistral", of("faults/tool_call_as_text_mistral.json"),
             Recovered(speak("Hello!"), "read")),
        Case("in a way that nobody knows", stream("<|python_tag|>speak.call(sentence='Hi')"),
             Fails("bad_output", "holds no action; it begins", retryable=True), settings=TOOLS),
    )),
    Fault(36, "The tool id's format is refused in the next turn", (
        Case("", (GOOD, GOOD),
             Recovered(BOTH, "every call is sent with an id of nine letters and digits"),
             settings=TOOLS, history=CALLED, asks=2, sends={"messages": CALLED_STRICTLY},
             changes=({},)),
        Case("it cannot be helped", of("errors/mistral_400_toolid.json"),
             Fails("bad_request", "Tool call id was turn1_0")),
    )),
    Fault(37, "The order of roles is refused", (
        Case("", (GOOD,), Recovered(BOTH, "brought in order before sending"),
             history=(
                 {"role": "assistant", "content": "Summary: it is morning."},
                 {"role": "user", "content": "You see a ball."},
                 {"role": "user", "content": "You hear: fetch!"},
                 {"role": "assistant", "content": "{}"},
                 {"role": "system", "content": "Be quiet."},
             ),
             sends={"messages": [
                 {"role": "user", "content": "You see a ball.\nYou hear: fetch!"},
                 {"role": "assistant", "content": "{}"}, SENSED,
             ]}),
        Case("a tool's result last", (GOOD,),
             Recovered(BOTH, "the assistant's word stands between the tool and the user"),
             settings=TOOLS, history=CALLED, sends={"messages": CALLED_STRICTLY}),
        Case("it cannot be helped", of("errors/mistral_400_order.json"),
             Fails("bad_request", "Unexpected role 'user' after role 'tool'")),
    )),
)  # fmt: skip

REFUSALS = (
    Fault(38, "An unknown field of the request is refused", (
        Case("", (Sample("errors/mistral_422_extra.json"), GOOD, GOOD),
             Recovered(BOTH, "left out, then and from now on"), asks=2,
             changes=({"stream_options": GONE}, {}), warns="refuses 'stream_options'",
             over=("http", "llama-sdk")),
        Case("a field that is needed", of("errors/mistral_422_detail.json"),
             Fails("bad_request", "Field required")),
    )),
    Fault(39, "A parameter is refused by a family of models", (
        Case("max_tokens", (Sample("errors/openai_400_max_tokens.json"), GOOD, GOOD),
             Recovered(BOTH, "spelled max_completion_tokens, then and from now on"), asks=2,
             changes=({"max_tokens": GONE, "max_completion_tokens": 512}, {}),
             warns="refuses 'max_tokens'", over=("http",)),
        Case("temperature", (Sample("errors/openai_400_temperature.json"), GOOD, GOOD),
             Recovered(BOTH, "left out, then and from now on"), asks=2,
             settings={"temperature": 0.2}, changes=({"temperature": GONE}, {}),
             warns="refuses 'temperature'"),
        Case("tools while it reasons", (Sample("errors/openai_400_tools_effort.json"), GOOD, GOOD),
             Recovered(BOTH, "asked not to reason, then and from now on"), asks=2,
             settings=TOOLS, changes=({"reasoning_effort": "none"}, {}),
             warns="refuses 'reasoning_effort'"),
    )),
    Fault(40, "json_object is refused", (
        Case("json_schema refused as well",
             (Sample("refusals/deepseek_400_format.json"), PROSE,
              Sample("errors/lmstudio_400_rf.json"), GOOD, GOOD),
             Recovered(BOTH, "down the ladder: schema, tools, JSON, prompt only; remembered"),
             asks=2,
             changes=(
                 {"response_format": GONE, "tools": OTHER, "tool_choice": "required",
                  "system": OTHER},
                 {"tools": GONE, "tool_choice": GONE, "response_format": {"type": "json_object"},
                  "system": OTHER},
                 {"response_format": GONE}, {},
             ), warns="refuses|ignores"),
        Case("where nothing else may be tried", of("errors/lmstudio_400_rf.json"),
             Fails("bad_request", "must be 'json_schema' or 'text'"), settings=JSON),
    )),
    Fault(41, "429 with Retry-After", (
        Case("none", limited(), slow(None)),
        Case("seconds", limited(Retry_After="7"), slow(7.0)),
        Case("a float", limited(Retry_After="1.5"), slow(1.5)),
        Case("milliseconds", limited(retry_after_ms="1500", Retry_After="9"), slow(1.5)),
        Case("a date, by the server's clock",
             limited(Retry_After="Sun, 06 Nov 1994 08:50:07 GMT",
                     Date="Sun, 06 Nov 1994 08:49:37 GMT"), slow(30.0)),
        Case("a date, and no clock of the server's",
             limited(Retry_After="Sun, 06 Nov 1994 08:50:07 GMT"), slow(None)),
        Case("0", limited(Retry_After="0"), slow(0.0)),
        Case("negative", limited(Retry_After="-5"), slow(0.0)),
        Case("absurd", limited(Retry_After="86400000"), slow(86_400_000.0)),
        Case("not a number", limited(Retry_After="soon"), slow(None)),
        Case("Gemini, in the body", of("errors/gemini_429.json"),
             Fails("rate_limited", "exceeded your current quota", retryable=True,
                   retry_after_s=27.0)),
    )),
    Fault(42, "429 that is the quota", (
        Case("", of("errors/openai_429_quota.json"), Fails("quota", "top the account up")),
    )),
    Fault(43, "401 that is the quota", (
        Case("", of("errors/mistral_401_detail.json"),
             Fails("auth", "refused the key, or wants one (some answer so when the quota is used")),
    )),
    Fault(44, "Capacity as 429, 503 or 529", (
        Case("Mistral, 429", of("errors/mistral_429_capacity.json"),
             Fails("server", "Service tier capacity exceeded", retryable=True)),
        Case("Mistral, 503", (Sample("errors/mistral_429_capacity.json", status=503),),
             Fails("server", "Service tier capacity exceeded", retryable=True)),
        Case("OpenAI, 503", of("errors/openai_503.json"),
             Fails("server", "server_is_overloaded", retryable=True)),
        Case("DeepSeek, 503", of("errors/deepseek_503.json"),
             Fails("server", "too busy", retryable=True)),
        Case("Gemini, 503", of("errors/gemini_503.json"),
             Fails("unavailable", "The model is overloaded", retryable=True)),
        Case("TGI, 429", of("errors/tgi_429.json"),
             Fails("rate_limited", "Model is overloaded", retryable=True)),
        Case("Anthropic, 529", of("errors/anthropic_529.json"),
             Fails("server", "overloaded_error", retryable=True)),
    )),
    Fault(45, "An HTML page as an error", (
        Case("502", of("errors/gateway_502.html"),
             Fails("server", "status 502: a web page", retryable=True)),
        *(Case(f"{status}", (Reply.text(BUSY_PAGE, status, "text/html"),),
               Fails("server", f"status {status}: a web page", retryable=True))
          for status in (520, 524)),
    )),
    Fault(46, "An HTML page with 200", (
        Case("", of("faults/html_200.html"),
             Fails("unavailable", "whether the network asks you to log in", retryable=True)),
    )),
    Fault(47, "A redirect", (
        *(Case(f"{status}", (Reply(status, {"Location": "/v1/elsewhere"}, framing="length"), GOOD),
               Fails("unavailable", "sends us to another address")) for status in (301, 302, 307)),
    )),
)  # fmt: skip

CONNECTIONS = (
    Fault(48, "The connection breaks before any byte", (
        Case("reset", (UNPLUGGED, GOOD),
             Fails("connection", "closed the connection without an answer", retryable=True)),
        Case("closed", (CLOSED, GOOD),
             Fails("connection", "closed the connection without an answer", retryable=True)),
        Case("after the head", (Reply(end="reset"), GOOD),
             Fails("connection", "the connection broke", retryable=True)),
    )),
    Fault(49, "A kept connection closes as it is used", (
        Case("reset", (GOOD, UNPLUGGED, GOOD),
             Recovered(BOTH, "asked once more, on a new connection"), asks=2,
             changes=({}, {}), connections=(0, 0, 1)),
        Case("closed", (GOOD, CLOSED, GOOD),
             Recovered(BOTH, "asked once more, on a new connection"), asks=2,
             changes=({}, {}), connections=(0, 0, 1)),
        Case("closed after 100 requests", (replace(GOOD, keep_alive=False), GOOD),
             Recovered(BOTH, "a new connection"), asks=2, changes=({},), connections=(0, 1)),
    )),
    Fault(50, "An orphaned generation keeps the slot", (
        Case("", (GOOD,), Recovered(BOTH, "always streamed, and never without a limit"),
             settings={"max_tokens": 64}, sends={"stream": True, "max_tokens": 64},
             over=("http", "mistral-sdk")),
        Shown("the call is cancelled", "the socket is closed at once",
              "test_cancelling_closes_the_socket"),
    )),
    Fault(51, "The slot's queue: headers come late", (
        Case("in time", (replace(GOOD, wait=0.4),), Recovered(BOTH, "waited for"),
             settings={"stall_timeout": 0.3}),
        Case("too late for a robot", (replace(GOOD, wait=60.0),),
             Fails("timeout", "first_action_timeout = 0.3 s", retryable=True),
             settings={"first_action_timeout": 0.3}),
    )),
    Fault(52, "The model is still loading", (
        Case("", (Sample("errors/llamacpp_503_loading.json"), GOOD),
             Recovered(BOTH, "asked again every half second"), changes=({},)),
        Case("for longer than there is time", of("errors/llamacpp_503_loading.json"),
             Fails("loading", "wait until it has, or raise timeout", retryable=True),
             settings={"timeout": 0.4}),
    )),
    Fault(53, "Context overflow, loud", (
        Case("", (Sample("errors/llamacpp_400_context.json"), GOOD, GOOD),
             Recovered(BOTH, "the older half of the history is left out, then and from now on"),
             history=turns("one", "two", "three", "four"), asks=2,
             changes=({"messages": [*turns("three", "four"), SENSED]}, {})),
        Case("twice", of("errors/llamacpp_400_context.json", "errors/llamacpp_400_context.json"),
             Fails("context_overflow", "shorten the prompt"),
             history=turns("one", "two", "three", "four"),
             changes=({"messages": [*turns("three", "four"), SENSED]},)),
        Case("without history", of("errors/llamacpp_400_context.json"),
             Fails("context_overflow", "request (6031 tokens) exceeds the available context size")),
        Case("vLLM", of("errors/vllm_400.json"),
             Fails("context_overflow", "maximum context length is 4096")),
        Case("vLLM before 0.10", of("errors/vllm_400_old.json"),
             Fails("context_overflow", "maximum context length is 4096")),
        Case("TGI", of("errors/tgi_422.json"),
             Fails("context_overflow", "must have less than 4096 tokens")),
    )),
    Fault(54, "Context overflow, silent", (
        Case("", (Reply.stream(FIRST, SECOND, usage=Usage(1100, 20)), GOOD),
             Recovered(BOTH, "told by the counts: a warning, and half the history from now on"),
             prompt=LONG, history=turns("one", "two", "three", "four"), asks=2,
             changes=({"messages": [*turns("three", "four"), {"role": "user", "content": LONG}]},),
             usage=Usage(1100, 20), warns="it cuts the beginning off"),
    )),
    Fault(55, "TLS: the certificate is not valid", (
        Shown("expired", "error `connection`, not worth trying again: “… check this machine's "
              "clock”", "test_a_certificate_that_is_not_valid"),
        Shown("not yet valid", "error `connection`, not worth trying again: “… check this "
              "machine's clock”", "test_a_certificate_that_is_not_valid"),
        Shown("for another host", "error `connection`, not worth trying again: “… check base_url "
              "…”", "test_a_certificate_that_is_not_valid"),
        Shown("of an unknown authority", "error `connection`, not worth trying again: “… install "
              "the certificate authority …”", "test_a_certificate_that_is_not_valid"),
    )),
    Fault(56, "DNS fails", (
        Shown("unknown name", "error `connection`, worth trying again: “… cannot be found …”",
              "test_a_name_that_cannot_be_found"),
        Shown("temporary", "error `connection`, worth trying again: “… cannot be found …”",
              "test_a_name_that_cannot_be_found"),
    )),
    Fault(57, "Proxy variables", (
        Shown("", "recovered: ignored, for every server", "test_proxy_variables_are_ignored"),
    )),
)  # fmt: skip

CR_ONLY = b"".join(step for step in GOOD.body if isinstance(step, bytes)).replace(b"\n", b"\r")
LINES = (
    b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"{\\"actions\\":[{\\"type\\":'
    b'\\"move\\","},\ndata: "finish_reason":null}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"\\"value\\":\\"sit\\"}]}"},\n'
    b'data:"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)

WIRE_FORM = (
    Fault(58, "UTF-8 split over reads", (
        Case("", (segments("faults/utf8_split.json"),),
             Recovered(speak("café 🤖 日本"), "split into events first, decoded then")),
    )),
    Fault(59, "Invalid UTF-8", (
        Case("", (raw(
            b'data: {"choices":[{"delta":{"content":"{\\"actions\\":[{\\"type\\":\\"speak\\",'
            b'\\"value\\":\\"a\xff!\\"}]}"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'),),
             Recovered(speak("a\N{REPLACEMENT CHARACTER}!"), "the character is replaced")),
    )),
    Fault(60, "U+2028 and U+0085 inside JSON", (
        Case("", stream('{"actions":[{"type":"speak","value":"a\u2028b\u0085c"}]}'),
             Recovered(speak("a\u2028b\u0085c"), "only line feeds and carriage returns end lines")),
    )),
    Fault(61, "CRLF, CR, no space, BOM, ids, retry lines, data over several lines", (
        Case("CRLF, no space", of("faults/crlf_nospace.sse"), Recovered(GREETING, "read")),
        Case("CR", (raw(CR_ONLY),), Recovered(BOTH, "read")),
        Case("BOM", of("faults/bom.sse"), Recovered(GREETING, "read")),
        Case("comments, ids, retry lines", of("faults/comments_ids_retry.sse"),
             Recovered(GREETING, "read")),
        Case("data over several lines", (raw(LINES),), Recovered((SIT,), "read")),
    )),
    Fault(62, "`[DONE]` with a space behind it, or in quotes", (
        *(Case(f"`{end.decode().strip()}`" if end.endswith(b'"') else "a space",
               stream(FIRST, SECOND, b"data: " + end + b"\n\n", finish=None, done=False),
               Recovered(BOTH, "compared loosely")) for end in (b"[DONE] ", b'"[DONE]"')),
    )),
    Fault(63, "Padding keys", (
        Case("`p`", of("mistral_stream.sse"), Recovered(GREETING, "ignored")),
        Case("`obfuscation`", of("openai_stream.sse"), Recovered(GREETING, "ignored")),
    )),
    Fault(64, "JSON instead of a stream", (
        Case("Mistral", of("mistral_chat.json"), Recovered(GREETING, "read as a whole reply")),
        Case("OpenAI", of("openai_chat.json"), Recovered(GREETING, "read as a whole reply")),
        Case("llama.cpp", of("llamacpp_chat.json"),
             Recovered(speak("sad", "happy"), "read as a whole reply")),
        Case("native Llama", of("llama_native_chat.json"),
             Recovered(GREETING, "read as a whole reply"), over=("llama-sdk",)),
        Case("blank lines before it", (Sample("deepseek_keepalive_chat.txt",
                                              {"Content-Type": "application/json"}),),
             Recovered(GREETING, "read as a whole reply")),
    )),
    Fault(65, "Usage missing or null", (
        Case("missing", of("llamacpp_stream.sse"), Recovered(speak("sad", "happy"), "not needed")),
        Case("null", of("faults/no_done.sse"), Recovered(GREETING, "not needed")),
        Case("there", of("llamacpp_stream_usage.sse"),
             Recovered(speak("sad", "happy"), "told"), usage=Usage(67, 64, 66)),
    )),
    Fault(66, "finish_reason missing, \"\" or unknown", (
        Case("missing until the end", of("xai_stream.sse"), Recovered(GREETING, "not needed")),
        Case('""', (raw(chunk({"delta": {"content": FIRST + SECOND}, "finish_reason": ""}),
                        b"data: [DONE]\n\n"),), Recovered(BOTH, "the JSON is whole")),
        Case("unknown", stream(FIRST, SECOND, finish="eos"), Recovered(BOTH, "taken as the end")),
    )),
    Fault(67, "The last chunk repeats the content", (
        Case("", (raw(chunk({"delta": {"content": FIRST + SECOND}, "finish_reason": None}),
                      chunk({"delta": {}, "message": {"content": FIRST + SECOND},
                             "finish_reason": "stop"}), b"data: [DONE]\n\n"),),
             Recovered(BOTH, "only the delta counts")),
    )),
)  # fmt: skip

SERVICES = (
    Fault(68, "Refusal or content filter", (
        Case("OpenAI", of("openai_refusal.json"), Fails("refused", "I cannot assist with that")),
        Case("OpenAI, streamed", of("openai_refusal_stream.sse"),
             Fails("refused", "I'm sorry, I cannot do that.")),
        Case("a filter", of("openai_content_filter.json"),
             Fails("refused", "say it in other words")),
        Case("xAI", of("errors/xai_403_policy.json"),
             Fails("refused", "SAFETY_CHECK_TYPE_DATA_LEAKAGE")),
    )),
    Fault(69, "A giant reply", (
        Case("200 kB in one event", of("faults/big_event.sse"),
             Fails("bad_output", "200000 characters; 2000 are the most", retryable=True),
             refused=1),
        Shown("an event of 5 MB", "error `bad_output`, worth trying again: “… one event of more "
              "than 1024 kB …”, with memory bounded", "test_memory_is_bounded"),
        Shown("a stream of 30 MB", "error `bad_output`, worth trying again: “… larger than 8 MB "
              "…”, with memory bounded", "test_memory_is_bounded"),
        Shown("JSON of 30 MB", "error `bad_output`, worth trying again: “… larger than 8 MB …”, "
              "with memory bounded", "test_memory_is_bounded"),
        Shown("a failure of 30 MB", "error `server`, worth trying again: “… status 500 …”, with "
              "memory bounded", "test_memory_is_bounded"),
    )),
    Fault(70, "The model is retired or redirected", (
        Case("Mistral, 400", of("errors/mistral_400_invalid_model.json"),
             Fails("unavailable", "check model")),
        Case("OpenAI, 404", of("errors/openai_404.json"), Fails("unavailable", "check model")),
        Case("Ollama, 404", of("errors/ollama_404.json"), Fails("unavailable", "check model")),
        Case("vLLM, 404", of("errors/vllm_404.json"), Fails("unavailable", "check model")),
        Case("another model answers", stream(FIRST, SECOND, model="grok-5"),
             Recovered(BOTH, "the record of the call names who answered"), served="grok-5"),
    )),
    Fault(71, "A deprecation header", (
        Case("", (replace(GOOD, headers={
            **GOOD.headers, "x-model-deprecation-timestamp": "2027-01-01T00:00:00Z"}),) * 2,
             Recovered(BOTH, "warned once"), asks=2, changes=({},),
             warns="will retire this model on 2027-01-01", over=("http", "mistral-sdk")),
    )),
    Fault(72, "The service is gone", (
        Case("a sunset response",
             (Reply.json({"title": "Gone", "detail": "Retired.", "status": 410}, 410),),
             Fails("unavailable", "no longer has this model or address (status 410: Retired.)")),
        Shown("its address is configured", "error `config`, before anything is sent: “… Name a "
              "server that has a Llama model …”", "test_a_service_that_is_gone_is_refused"),
    )),
    Fault(73, "Repeated ids", (
        Case("", of("ollama_stream.sse", "ollama_stream.sse"),
             Recovered(GREETING, "nothing is kept by id"), asks=2, changes=({},)),
    )),
    Fault(74, "The reply repeats a prefix", (
        CannotOccur("No answer is begun for the model: the last message is always the user's."),
    )),
    Fault(75, "The opening brace is missing after a prefix", (
        CannotOccur("No answer is begun for the model: the last message is always the user's."),
    )),
)  # fmt: skip

UNREACHED = (
    Fault(76, "No connection in time", (
        Shown("nobody takes it, as behind a firewall", "error `connection`, worth trying again: "
              "“no connection to … within timeout = 0.3 s; check base_url …”",
              "test_no_connection_in_time"),
        Shown("a server without TLS waits behind https://", "error `connection`, worth trying "
              "again: “… that the server runs and speaks TLS (else write http://) …”",
              "test_no_connection_in_time"),
    )),
)  # fmt: skip

CATALOGUE: tuple[Fault, ...] = (
    *STREAMS, *ANSWERS, *CALLS, *REFUSALS, *CONNECTIONS, *WIRE_FORM, *SERVICES, *UNREACHED,
)  # fmt: skip


# --- The page ------------------------------------------------------------------------------------

INTRODUCTION = """\
# Faults

Everything that was seen to go wrong between a robot and a model, and what becomes of the call. Each
line is played to the client over a real socket on every test run, whole and in pieces: of 16,384, 7
and 1 bytes by our own client (single bytes only of shorter replies), and in two sizes through the
SDKs of Mistral and Meta, where they speak to such a server.

**recovered** means that the call ends well: every action of the answer is given out once, in order,
and nobody has to do anything. **error** means that the call ends in an error of that kind (see
`reflexarc.errors`), whose message has the words in quotes and says what to do. Actions that were
complete before the fault have been given out and stand. “Worth trying again” is the error's
`retryable`: the same call may go better later; we do not repeat it unasked.

A sample is a reply of a real server or was written from a named source;
`tests/data/wire/manifest.json` says which. “scripted” replies are written in
`tests/conformance/faults.py`, from which this page is made by
`{command}`.

| # | Fault | Sample | Outcome |
|--:|---|---|---|
"""


def page() -> str:
    """What `docs/faults.md` should be."""
    lines = [f"| {' | '.join(cells)} |\n" for fault in CATALOGUE for cells in _cells(fault)]
    return INTRODUCTION.format(command=COMMAND) + "".join(lines)


def _cells(fault: Fault) -> Iterator[tuple[str, str, str, str]]:
    for at, case in enumerate(fault.cases):
        what = "" if isinstance(case, CannotOccur) else case.what
        name = "…" if at else fault.name
        name = f"{name} {what}" if at else f"{name}: {what}" if what else name
        yield f"{fault.number}", _plain(name), _sample(case), _plain(_outcome(case))


def _sample(case: Case | Shown | CannotOccur) -> str:
    if not isinstance(case, Case):
        return "scripted" if isinstance(case, Shown) else "–"
    names = {reply.name: None for reply in case.replies if isinstance(reply, Sample)}
    return ", ".join(f"`{name}`" for name in names) or "scripted"


def _outcome(case: Case | Shown | CannotOccur) -> str:
    if isinstance(case, CannotOccur):
        return f"cannot occur: {case.why}"
    return str(case.outcome)


def _plain(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
