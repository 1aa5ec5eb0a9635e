"""A key goes to nobody but the server it is for, and nobody on the way reads it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from reflexarc.cli.app import app
from reflexarc.config import LLMConfig
from reflexarc.errors import ConfigError, ConnectError, LLMError
from reflexarc.prompt import Prompt
from reflexarc.registry import load_llm
from reflexarc.resilience import Failover
from reflexarc.runtime.push import HttpActuator, WebSocketActuator
from reflexarc.testing import Reply, Server
from reflexarc.testing.subject import KEY, SIT, SITUATION, VOCABULARY, Subject
from reflexarc.types import ActionReady, Finished
from tests.conformance.test_promises import SUBJECTS
from tests.om1.test_cortex import Config, brain

ANSWER = '{"actions":[{"type":"move","value":"sit"}]}'
GOOD = Reply.stream(ANSWER)
ROBOT: dict[str, Any] = {
    "name": "dot",
    "hertz": 1,
    "agent_actions": [{"name": "move", "llm_label": "move"}],
}
LAN = "http://192.168.1.20:8000"
TRANSPORTS: dict[str, dict[str, Any]] = {
    "http": {"type": "LlamaLLM"},
    "llama-sdk": {"type": "LlamaLLM", "transport": "sdk"},
    "mistral-sdk": {"type": "MistralLLM", "transport": "sdk"},
}
each_transport = pytest.mark.parametrize("transport", TRANSPORTS)


def made(transport: str, base_url: str, **settings: Any) -> Any:
    """A brain by one of the transports."""
    known = {"model": "m", "base_url": base_url, "timeout": 5, "api_key": KEY}
    config = LLMConfig.model_validate(known | TRANSPORTS[transport] | settings)
    return load_llm(config, actions=VOCABULARY, environ={})


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine is taken for another one."""

    def is_here(_: str) -> bool:
        return False

    monkeypatch.setattr("reflexarc.hosts.is_here", is_here)


# --- plain http ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("far")
@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
async def test_a_key_does_not_travel_in_the_open(subject: Subject) -> None:
    """By no provider and transport is anything sent, neither question nor greeting."""
    async with Server(GOOD) as server:
        llm = subject.llm(server)
        with pytest.raises((ConfigError, LLMError), match=r"unencrypted.*allow_plain_http: true"):
            await llm.ask(SITUATION)
        with pytest.raises(ConfigError, match="unencrypted"):
            await llm.open()
        await llm.connect()
        await llm.warm(Prompt())
        await llm.aclose()
        assert server.requests + server.greetings == []


@pytest.mark.usefixtures("far")
@each_transport
@pytest.mark.parametrize(
    "settings",
    [{"allow_plain_http": True}, {"api_key": None}, {"api_key": "EMPTY"}],
    ids=["allowed", "no key", "no real key"],
)
async def test_who_has_no_key_to_lose_is_not_bothered(
    transport: str, settings: dict[str, Any]
) -> None:
    """A server on the user's own network answers, without a key or by one setting."""
    async with Server(GOOD) as server, made(transport, server.base_url, **settings) as llm:
        answer = await llm.ask(SITUATION)
    assert answer.actions == [SIT]


@pytest.mark.parametrize(
    ("base_url", "is_refused"),
    [
        (LAN, True),
        ("http://robot.lan", True),
        ("http://127.0.0.1.evil.example", True),
        ("http://localhost.evil.example:80/v1", True),
        ("http://[fe80::1]:8080", True),
        ("http://0.0.0.0:8080", True),
        ("HTTP://192.168.1.20", True),
        ("http://127.0.0.1:8080", False),
        ("http://127.8.8.8", False),
        ("http://localhost:11434/v1", False),
        ("http://LOCALHOST", False),
        ("http://[::1]:8080", False),
        ("https://192.168.1.20", False),
    ],
)
def test_another_machine_is_told_from_this_one(base_url: str, is_refused: bool) -> None:
    """By its name as it is written: what a name means is somebody else's to say."""
    config = LLMConfig(type="LlamaLLM", model="m", base_url=base_url, api_key=SecretStr(KEY))
    load_llm(config, environ={})  # which opens nothing
    told = nullcontext() if not is_refused else pytest.raises(ConfigError, match="unencrypted")
    with told as caught:
        config.check_route()
    assert KEY not in str(caught)


@pytest.mark.parametrize(("make", "scheme"), [(HttpActuator, "http"), (WebSocketActuator, "ws")])
def test_an_actuators_key_does_not_travel_in_the_open(make: Any, scheme: str) -> None:
    """A body on the network is told what to do in the open, if its file wants, but shown no key."""
    for headers in ({"Authorization": f"Bearer {KEY}"}, {"X-Api-Key": KEY}, {"Cookie": KEY}):
        with pytest.raises(ConfigError, match=r"unencrypted.*allow_plain_http: true") as caught:
            make(url=f"{scheme}://192.168.1.20/act", headers=headers)
        assert KEY not in str(caught.value)
        make(url=f"{scheme}://192.168.1.20/act", headers=headers, allow_plain_http=True)
        make(url=f"{scheme}s://192.168.1.20/act", headers=headers)
        make(url=f"{scheme}://127.0.0.1/act", headers=headers)
    make(url=f"{scheme}://192.168.1.20/act", headers={"X-Robot": "spot"})


@pytest.mark.usefixtures("far")
async def test_a_chain_passes_by_who_would_show_the_key() -> None:
    """The robot acts on the next brain; when it starts, the mistake is told."""
    async with Server(GOOD) as server:
        exposed, safe = made("http", server.base_url), made("http", server.base_url, api_key=None)
        chain = Failover[Any]([exposed, safe])
        events = [event async for event in chain.stream(SITUATION)]
        with pytest.raises(ConfigError, match="unencrypted"):
            await chain.open()
        await chain.aclose()
        assert [each.action for each in events if isinstance(each, ActionReady)] == [SIT]
        assert isinstance(events[-1], Finished)
        assert ["authorization" in each.headers for each in server.requests] == [False]


async def test_om1_is_told_in_its_log(caplog: pytest.LogCaptureFixture) -> None:
    """OM1's plugin is made, as OM1's own test wants it, and answers None where it is asked."""
    config = Config(base_url="http://test.com", api_key=KEY, model="m")  # pyright: ignore[reportCallIssue]
    cortex = await asyncio.to_thread(brain, config)
    with caplog.at_level(logging.ERROR):
        assert await cortex.ask("A person says: sit!") is None
    await cortex.aclose()
    assert "unencrypted" in str(cortex.last_error)
    assert "unencrypted" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize("place", ["cortex_llm", "llms", "brains"])
def test_commands_tell_it_before_anything_runs(tmp_path: Path, place: str) -> None:
    """A file is checked for it, and doctor names it, wherever the brain stands."""
    exposed = {"type": "LlamaLLM", "model": "m", "base_url": LAN, "api_key": KEY}
    safe = {"type": "LlamaLLM", "model": "m", "base_url": "http://127.0.0.1:9"}
    brains: dict[str, Any] = {
        "cortex_llm": {"cortex_llm": exposed},
        "llms": {"cortex_llm": {"type": "FailoverLLM", "llms": [safe, exposed]}},
        "brains": {"cortex_llm": safe, "brains": [exposed]},
    }
    path = tmp_path / "dot.json5"
    path.write_text(json.dumps({**ROBOT, **brains[place]}))
    check = CliRunner().invoke(app, ["config", "check", str(path)])
    assert (check.exit_code, "allow_plain_http: true" in check.stderr) == (2, True)
    if place != "brains":  # which doctor does not ask
        told = CliRunner().invoke(app, ["doctor", "--config", str(path), "--json"])
        assert "would travel unencrypted to 192.168.1.20:8000" in told.stdout
        assert KEY not in told.output + check.output
    path.write_text(path.read_text().replace(f'"{KEY}"', f'"{KEY}", "allow_plain_http": true'))
    assert CliRunner().invoke(app, ["config", "check", str(path)]).exit_code == 0


@pytest.mark.parametrize("subject", [each for each in SUBJECTS if each.is_vendor], ids=str)
async def test_a_vendors_key_goes_to_no_other_server(subject: Subject) -> None:
    """What stands in its variable stays here where another server is named."""
    name = subject.kind.provider.key_variable or ""
    kind = subject.kind
    async with Server(route=lambda _: subject.emulator.answer(ANSWER)) as server:
        config = LLMConfig(
            type=kind.provider.name,
            model="m",
            base_url=server.base_url,
            transport=subject.transport,  # pyright: ignore[reportArgumentType]
        )
        async with kind(config, vocabulary=VOCABULARY, environ={name: KEY}) as llm:
            await llm.ask(SITUATION)
        [request] = server.requests
    assert KEY not in f"{request.headers} {request.path} {request.body!r}"


# --- other ways to lead it elsewhere -------------------------------------------------------------


@each_transport
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(transport: str, status: int) -> None:
    """Whoever answers for the server cannot have question or key sent on."""
    async with Server(GOOD) as thief:
        reply = replace(Reply.text("", status), headers={"Location": f"{thief.base_url}/models"})
        async with Server(reply) as server, made(transport, server.base_url) as llm:
            with pytest.raises(LLMError, match="another address"):
                await llm.ask(SITUATION)
        assert thief.requests + thief.greetings == []


@each_transport
async def test_a_proxy_of_the_environment_is_not_used(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that another program needs does not send keys through its machine."""
    async with Server(GOOD) as thief, Server(GOOD) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, thief.base_url.removesuffix("/v1"))
        async with made(transport, server.base_url) as llm:
            await llm.ask(SITUATION)
        assert thief.requests + thief.greetings == []


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its key, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command, which makes the certificate, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "pem", "-out", "cert.pem"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    (folder / "both.pem").write_text(
        (folder / "cert.pem").read_text() + (folder / "pem").read_text()
    )
    return folder / "both.pem"


@pytest.fixture
async def secure(certificate: Path) -> AsyncIterator[Server]:
    """A server of https."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with Server(route=lambda _: GOOD, tls=context) as server:
        yield server


@each_transport
async def test_whom_nobody_vouches_for_is_sent_nothing(transport: str, secure: Server) -> None:
    """A certificate is checked without being asked for, and the error names the remedy."""
    async with made(transport, secure.base_url) as llm:
        with pytest.raises(ConnectError, match=r"certificate.*SSL_CERT_FILE") as caught:
            await llm.ask(SITUATION)
        await llm.connect()
    assert not caught.value.retryable
    assert secure.requests + secure.greetings == []


ASKS_EACH = """
import asyncio, json, sys
from reflexarc import CortexOutputModel, LLMConfig, load_llm

async def main():
    for settings in json.loads(sys.argv[1]):
        async with load_llm(LLMConfig(**settings), output_model=CortexOutputModel) as llm:
            await llm.ask("sit!")

asyncio.run(main())
"""


async def test_an_authority_that_is_named_is_trusted(secure: Server, certificate: Path) -> None:
    """SSL_CERT_FILE is all that a server with a certificate of one's own needs."""
    known = {"model": "m", "base_url": secure.base_url, "timeout": 10}
    brains = json.dumps([{**known, **settings} for settings in TRANSPORTS.values()])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ASKS_EACH, brains),
        env={**os.environ, "SSL_CERT_FILE": str(certificate.with_name("cert.pem"))},
    )
    assert await process.wait() == 0
    assert len(secure.requests) == len(TRANSPORTS)


def test_no_setting_turns_the_check_of_certificates_off() -> None:
    """There is nothing to write that would."""
    names = set(LLMConfig.model_fields)
    assert not {name for name in names if "ssl" in name or "tls" in name or "verif" in name}


@pytest.fixture(autouse=True, scope="module")
def one_context() -> Iterator[None]:
    """Clients share a context, since making one takes 30 ms."""
    context = ssl.create_default_context()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", lambda: context)
        yield
