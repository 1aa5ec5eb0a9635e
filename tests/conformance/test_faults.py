"""The catalogue of faults, played: each row over a real socket, by our own client and by the SDKs.

The rows are data, in `tests.conformance.faults`; here is how one is played, and the few that need
more than replies: certificates, names, proxies, cancelling, memory.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import socket
import ssl
import subprocess
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from reflexarc.config import LLMConfig
from reflexarc.errors import ConfigError, LLMError
from reflexarc.providers.llama import LlamaLLM
from reflexarc.providers.mistral import MistralLLM
from reflexarc.providers.provider import ProviderLLM
from reflexarc.providers.reply import LARGEST_REPLY
from reflexarc.providers.sse import LARGEST_EVENT
from reflexarc.specs import ActionSpec
from reflexarc.testing import Received, Reply, Server
from reflexarc.testing.reply import End
from reflexarc.types import Action, ActionReady, ActionRefused, Event, Finished, Json
from reflexarc.vocabulary import Vocabulary

from .faults import (
    ALL_PIECES,
    ALL_TRANSPORTS,
    BOTH,
    CATALOGUE,
    COMMAND,
    FIRST,
    GONE,
    GOOD,
    OTHER,
    PAGE,
    WIRE,
    CannotOccur,
    Case,
    Fails,
    Over,
    Sample,
    Shown,
    manifest,
    page,
)

ROWS = 76
KEY = "sk-robot-0123456789abcdef"
PATIENCE_S = 30.0
SOON_S = 5.0
ROBOT = Vocabulary(
    [
        ActionSpec("move", ("sit", "walk")),
        ActionSpec("emotion", ("happy",)),
        ActionSpec("speak", None),
    ]
)
BRAINS: dict[Over, tuple[type[ProviderLLM[Any]], str]] = {
    "http": (LlamaLLM, "http"),
    "mistral-sdk": (MistralLLM, "sdk"),
    "llama-sdk": (LlamaLLM, "sdk"),
}
# A reply is not cut into more pieces than this: each costs a turn of the loop, in an SDK several.
MOST_PIECES: dict[Over, int] = {"http": 800, "mistral-sdk": 250, "llama-sdk": 250}
# Bytes are read by the same code over all transports; over an SDK, each request costs 10 ms of CPU.
SIZES: dict[Over, int] = {"http": len(ALL_PIECES), "mistral-sdk": 2, "llama-sdk": 2}
ADVICE = re.compile(
    r"\b(ask|call|check|install|log in|name|raise|say|shorten|top|try|wait|write)\b", re.IGNORECASE
)

over_each = pytest.mark.parametrize("over", ALL_TRANSPORTS)


@pytest.fixture(autouse=True, scope="module")
def one_context() -> Iterator[None]:
    """Hundreds of clients without TLS share a context, since making one takes 30 ms."""
    context = ssl.create_default_context()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", lambda: context)
        yield


def brain(over: Over, server: Server | str, **settings: Any) -> ProviderLLM[Any]:
    """An LLM by one of the transports, with limits that no test on a busy machine reaches."""
    kind, transport = BRAINS[over]
    config = LLMConfig.model_validate(
        {
            "type": kind.provider.name,
            "model": "m",
            "base_url": server if isinstance(server, str) else server.base_url,
            "api_key": KEY,
            "transport": transport,
            "timeout": PATIENCE_S,
            "stall_timeout": PATIENCE_S,
        }
        | settings
    )
    return kind(config, vocabulary=ROBOT, environ={})


class Outcome:
    """What one call gave, also when it failed."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.error: LLMError | None = None

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions given out."""
        return tuple(event.action for event in self.events if isinstance(event, ActionReady))

    @property
    def refused(self) -> int:
        """How many actions were dropped."""
        return sum(isinstance(event, ActionRefused) for event in self.events)

    @property
    def finished(self) -> Finished:
        """The record of a call that went well."""
        assert self.error is None, self.error
        last = self.events[-1]
        assert isinstance(last, Finished)
        return last


async def ask(
    llm: ProviderLLM[Any], prompt: str = "You hear: sit!", history: Sequence[Json] = ()
) -> Outcome:
    """One call."""
    outcome = Outcome()
    try:
        async with aclosing(llm.stream(prompt, list(history))) as events:
            async for event in events:
                outcome.events.append(event)
    except LLMError as error:
        outcome.error = error
    return outcome


# --- The page ------------------------------------------------------------------------------------


def test_has_every_row() -> None:
    """All 76 rows are there, in order, and each says what becomes of it."""
    assert [fault.number for fault in CATALOGUE] == list(range(1, ROWS + 1))
    assert all(fault.cases for fault in CATALOGUE)


def test_names_of_cases_differ() -> None:
    """No two cases of a row have the same name."""
    for fault in CATALOGUE:
        names = [case.what for case in fault.cases if not isinstance(case, CannotOccur)]
        assert len(set(names)) == len(names), fault.name


def test_knows_every_sample_it_plays() -> None:
    """A sample is in the manifest with its source, and what is made of it is byte for byte it."""
    cases = [case for fault in CATALOGUE for case in fault.cases if isinstance(case, Case)]
    samples = [reply for case in cases for reply in case.replies if isinstance(reply, Sample)]
    for sample in samples:
        assert {"origin", "source", "status"} <= manifest()[sample.name].keys()
        assert written(sample.reply) == (WIRE / sample.name).read_bytes()


def test_plays_every_fault_sample() -> None:
    """No sample of a fault lies about unplayed."""
    text = page() + "faults/utf8_split.json faults/empty_actions.json"
    names = {str(path.relative_to(WIRE)) for path in (WIRE / "faults").iterdir()}
    assert {name for name in names if name not in text} == set()


def test_the_page_is_up_to_date() -> None:
    """`docs/faults.md` is what the catalogue says."""
    assert PAGE.read_text() == page(), f"run: {COMMAND}"


def test_special_cases_have_their_test() -> None:
    """Each case that needs more than replies names a test that is here."""
    tests = {case.test for fault in CATALOGUE for case in fault.cases if isinstance(case, Shown)}
    assert tests <= globals().keys()


# --- The rows ------------------------------------------------------------------------------------

PLAYED = [
    pytest.param(
        case,
        [reply.reply if isinstance(reply, Sample) else reply for reply in case.replies],
        id=f"{fault.number}-{case.what or fault.name}".replace(" ", "_"),
    )
    for fault in CATALOGUE
    for case in fault.cases
    if isinstance(case, Case)
]


@pytest.mark.parametrize(("case", "replies"), PLAYED)
async def test_a_fault_has_its_outcome(
    case: Case, replies: list[Reply], caplog: pytest.LogCaptureFixture
) -> None:
    """In whatever pieces a fault comes, the call ends as its row says, and nothing is left open."""
    runs: list[tuple[Over, int | None, End]] = [
        (over, piece, end)
        for over in case.over
        for piece in pieces(replies, over)
        for end in case.ends
    ]
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        for over, piece, end in runs:
            group.create_task(played(case, replies, over, piece, end))
    logged = [record for record in caplog.records if record.levelno >= logging.WARNING]
    warned = [record.getMessage() for record in logged]
    assert bool(warned) == bool(case.warns), warned
    assert all(re.search(case.warns, text) for text in warned)
    assert len(warned) == len(set(warned)) * len(runs), "each warning once a brain"


async def played(
    case: Case, replies: Sequence[Reply], over: Over, piece: int | None, end: End
) -> None:
    """Ask as often as the case says, and compare all that can be seen."""
    *before, last = replies
    scripted = [*(shaped(reply, piece) for reply in before), shaped(last, piece, end)]
    async with Server(*scripted) as server, brain(over, server, **case.settings) as llm:
        outcomes = [await ask(llm, case.prompt, case.history) for _ in range(case.asks)]
    try:
        compare(case, outcomes, server.requests)
    except AssertionError as error:
        error.add_note(f"over {over}, in pieces of {piece or 'whole events'}, end {end}")
        raise


def compare(case: Case, outcomes: Sequence[Outcome], requests: Sequence[Received]) -> None:
    """Hold all calls of a case, and what was sent for them, against its row."""
    for outcome in outcomes:
        check(case, outcome)
    first = outcomes[0]
    assert first.refused == case.refused
    if case.usage is not None:
        assert first.finished.usage == case.usage
    if case.served:
        assert first.finished.model == case.served
    check_requests(case, requests)


def check(case: Case, outcome: Outcome) -> None:
    """Hold one call against its row."""
    expected = case.outcome
    assert outcome.actions == expected.actions
    error = outcome.error
    if not isinstance(expected, Fails):
        assert error is None, error
        assert tuple(outcome.finished.answer.actions) == expected.actions  # type: ignore[attr-defined]
        return
    assert error is not None, outcome.events[-1]
    assert error.kind == expected.kind, error
    assert expected.says in error.message
    assert error.retryable == expected.retryable
    assert error.retry_after_s == expected.retry_after_s
    check_message(error)


def check_message(error: LLMError) -> None:
    """A message has no page and no key in it, is one line, and says what to do."""
    assert not re.search(r"<[a-z!/]", error.message), error.message
    assert KEY not in f"{error!r} {error.__cause__!r}"
    assert "\n" not in error.message
    assert ADVICE.search(re.split("[;.] ", error.message)[-1]), error.message


def check_requests(case: Case, requests: Sequence[Received]) -> None:
    """Hold what was sent, byte for byte, against what should have been."""
    assert {(request.method, request.path) for request in requests} == {
        ("POST", "/v1/chat/completions")
    }
    bodies = [seen(request) for request in requests]
    for name, value in case.sends.items():
        assert bodies[0][name] == value
    changes = [changed(*pair) for pair in pairwise(bodies)]
    expected = [dict(change) for change in case.changes]
    for change, hoped in zip(changes, expected, strict=False):
        hoped.update(
            {name: change[name] for name in hoped if hoped[name] is OTHER and name in change}
        )
    assert changes == expected
    assert case.connections in ((), tuple(request.connection for request in requests))


def seen(request: Received) -> Json:
    """A request's fields, the system message as one of them, without what follows from others."""
    body: Json = request.json
    body.pop("prompt_cache_key", None)  # a digest of the system message
    system, *others = body["messages"]
    assert system["role"] == "system"
    return {**body, "system": system["content"], "messages": [*map(plain, others)]}


def plain(message: Json) -> Json:
    """A message without the defaults that Mistral's SDK writes out."""
    if message.get("prefix") is False:
        del message["prefix"]
    for call in message.get("tool_calls", ()):
        call.pop("index", None)
    return message


def changed(before: Json, after: Json) -> Json:
    """The fields in which two requests differ, as they are in the second."""
    names = [*before, *(name for name in after if name not in before)]
    return {name: after.get(name, GONE) for name in names if before.get(name) != after.get(name)}


def pieces(replies: Sequence[Reply], over: Over) -> list[int | None]:
    """The sizes to cut the replies in: all that do not take for ever, over an SDK the first two."""
    size = max(len(written(reply)) for reply in replies)
    if size == 0:
        return [None]
    sizes = [piece for piece in ALL_PIECES if size <= MOST_PIECES[over] * (piece or size)]
    return sizes[: SIZES[over]]


def shaped(reply: Reply, piece: int | None, end: End = "whole") -> Reply:
    """A reply in pieces and with an end; before a reset, what was sent has time to be read."""
    end = reply.end if end == "whole" else end
    body = (*reply.body, 0.02) if end == "reset" and reply.body else reply.body
    return replace(reply, piece=piece, end=end, body=body)


def written(reply: Reply) -> bytes:
    """The bytes of a reply's body."""
    return b"".join(step for step in reply.body if isinstance(step, bytes))


# --- What needs more than replies ----------------------------------------------------------------


REPLAYED = Sample("faults/crlf_nospace.sse").reply
BYTES = (WIRE / "faults/crlf_nospace.sse").read_bytes()


@pytest.mark.parametrize("end", ["whole", "cut", "reset"])
@pytest.mark.parametrize("piece", ALL_PIECES)
async def test_a_sample_is_served_byte_for_byte(piece: int | None, end: End) -> None:
    """The server replays a sample whole or in writes of any size, and ends with FIN or RST."""
    reply = replace(shaped(REPLAYED, piece, end), framing="close")
    received, broken = b"", False
    async with Server(reply) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST / HTTP/1.1\r\n\r\n")
        try:
            while data := await reader.read(65_536):
                received += data
        except ConnectionResetError:
            broken = True
        writer.close()
    assert received.partition(b"\r\n\r\n")[2] == BYTES
    assert broken == (end == "reset")


ENDLESS = Reply.stream(FIRST, *(" ", 0.01) * 1000)


@over_each
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(ENDLESS, id="in the answer"),
        pytest.param(replace(ENDLESS, wait=60.0), id="before the head"),
    ],
)
async def test_cancelling_closes_the_socket(over: Over, reply: Reply) -> None:
    """Who cancels a call frees the server's slot at once."""
    async with Server(reply) as server, brain(over, server) as llm:
        call = asyncio.create_task(ask(llm))
        async with asyncio.timeout(PATIENCE_S):
            request = await server.asked()
        await asyncio.sleep(0.02)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(SOON_S):
            await request.left.wait()


# Name, validity and subject of each certificate; the advice that its error gives.
CERTIFICATES = {
    "expired": ("20200101000000Z", "20200102000000Z", "IP:127.0.0.1", "this machine's clock"),
    "not yet valid": ("20980101000000Z", "20990101000000Z", "IP:127.0.0.1", "this machine's clock"),
    "for another host": ("20200101000000Z", "20990101000000Z", "DNS:robot.test", "check base_url"),
    "of an unknown authority": (
        "20200101000000Z",
        "20990101000000Z",
        "IP:127.0.0.1",
        "install the certificate authority",
    ),
}
AUTHORITY = """\
[ca]
default_ca = robot
[robot]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = anything
x509_extensions = names
[anything]
commonName = supplied
[names]
subjectAltName = {names}
"""
REQUEST = """
req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=robot
-keyout key.pem -out request.pem
"""
SIGN = """
ca -batch -notext -selfsign -config ca.cnf -keyfile key.pem -in request.pem -out cert.pem
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each certificate with its key, in one file; it is signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command, which makes certificates, is not installed")
    made: dict[str, Path] = {}
    for what, (begins, ends, names, _) in CERTIFICATES.items():
        folder = tmp_path_factory.mktemp("tls")
        (folder / "index.txt").touch()
        (folder / "serial").write_text("01")
        (folder / "ca.cnf").write_text(AUTHORITY.format(names=names))
        for command in (REQUEST, f"{SIGN} -startdate {begins} -enddate {ends}"):
            run = ["openssl", *command.split()]
            subprocess.run(run, cwd=folder, check=True, capture_output=True)
        both = (folder / "cert.pem").read_text() + (folder / "key.pem").read_text()
        made[what] = folder / "both.pem"
        made[what].write_text(both)
    return made


@over_each
@pytest.mark.parametrize("what", CERTIFICATES)
async def test_a_certificate_that_is_not_valid(
    over: Over, what: str, certificates: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate in which one thing is wrong is a lasting failure that names the remedy."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificates[what])
    if what != "of an unknown authority":
        trusting.load_verify_locations(certificates[what])
    monkeypatch.setattr(ssl, "create_default_context", lambda: trusting)
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
    async with Server(GOOD, tls=serving) as server, brain(over, server) as llm:
        outcome = await ask(llm)
        assert server.requests == []
    error = outcome.error
    assert error is not None
    assert (error.kind, error.retryable) == ("connection", False)
    assert CERTIFICATES[what][3] in error.message
    check_message(error)


@contextmanager
def silent_port() -> Iterator[int]:
    """A port at which connections wait for ever: the kernel's queue has no place for them."""
    with ExitStack() as sockets:
        full = sockets.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # the queue takes one or two
            plug = sockets.enter_context(socket.socket())
            plug.setblocking(False)
            plug.connect_ex(full.getsockname())
        yield full.getsockname()[1]


@over_each
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("limit", ["timeout", "first_action_timeout"])
async def test_no_connection_in_time(over: Over, scheme: str, limit: str) -> None:
    """A server that is not reached in time is no slow model, and the error says what to look at."""
    with ExitStack() as ports:
        if scheme == "http":
            port = ports.enter_context(silent_port())
        else:  # the system takes the connection, and nobody answers TLS's hello
            waiting = ports.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = waiting.getsockname()[1]
        async with brain(over, f"{scheme}://127.0.0.1:{port}/v1", **{limit: 0.3}) as llm:
            error = (await ask(llm)).error
    assert error is not None
    assert (error.kind, error.retryable) == ("connection", True)
    start = (
        f"no connection to {scheme}://127.0.0.1:{port}/v1 within {limit} = 0.3 s; check base_url"
    )
    assert error.message.startswith(start)
    assert ("speaks TLS (else write http://)" in error.message) == (scheme == "https")
    check_message(error)


@over_each
@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_AGAIN])
async def test_a_name_that_cannot_be_found(
    over: Over, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that nobody knows, or not now, is said to be just that; nothing leaves the machine."""

    async def look_up(*_: object, **__: object) -> None:
        raise socket.gaierror(code, "as if asked")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    async with brain(over, "https://robot.invalid/v1") as llm:
        outcome = await ask(llm)
    error = outcome.error
    assert error is not None
    assert (error.kind, error.retryable) == ("connection", True)
    assert "the name in https://robot.invalid/v1 cannot be found" in error.message
    check_message(error)


@over_each
async def test_proxy_variables_are_ignored(over: Over, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy named in the environment does not come between the robot and its server."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with Server(GOOD) as server, brain(over, server) as llm:
        assert (await ask(llm)).actions == BOTH


MUCH = b"x" * 65_536
EMPTY = b'data: {"choices":[],"pad":"' + MUCH + b'"}\n\n'


@over_each
@pytest.mark.parametrize(
    ("reply", "actions", "says", "bound"),
    [
        pytest.param(
            Reply.stream(FIRST, b'data: {"pad":"', *[MUCH] * 80),
            BOTH[:1],
            "one event of more than 1024 kB",
            LARGEST_EVENT,
            id="event of 5 MB",
        ),
        pytest.param(
            Reply.stream(FIRST, *[EMPTY] * 480),
            BOTH[:1],
            "larger than 8 MB",
            LARGEST_EVENT,
            id="stream of 30 MB",
        ),
        pytest.param(
            Reply(200, {"Content-Type": "application/json"}, (b'{"pad":"', *[MUCH] * 480)),
            (),
            "larger than 8 MB",
            LARGEST_REPLY,
            id="JSON of 30 MB",
        ),
        pytest.param(Reply(500, {}, (MUCH,) * 480), (), "status 500", LARGEST_EVENT, id="failure"),
    ],
)
async def test_memory_is_bounded(
    over: Over, reply: Reply, actions: tuple[Action, ...], says: str, bound: int
) -> None:
    """Of a giant reply no more is held than a small multiple of what may be read at once."""
    async with Server(reply) as server, brain(over, server) as llm:
        tracemalloc.start()
        try:
            outcome = await ask(llm)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        async with asyncio.timeout(SOON_S):
            await server.requests[0].left.wait()
    assert outcome.actions == actions
    assert outcome.error is not None
    assert outcome.error.kind == ("bad_output" if reply.status == 200 else "server")
    assert says in outcome.error.message
    assert peak < 3 * bound
    check_message(outcome.error)


def test_a_service_that_is_gone_is_refused() -> None:
    """The address of a service that was switched off is refused with the name of its successor."""
    with pytest.raises(ConfigError, match="Name a server that has a Llama model"):
        brain("http", "https://api.llama.com/v1")
