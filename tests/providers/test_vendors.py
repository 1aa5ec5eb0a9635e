"""Each vendor is asked at its own address, with its own key, and gets nobody else's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from reflexarc.config import LLMConfig
from reflexarc.errors import ConfigError
from reflexarc.providers.llama import LlamaLLM
from reflexarc.providers.mistral import MistralLLM
from reflexarc.providers.provider import ProviderLLM
from reflexarc.providers.vendors import XAILLM, DeepSeekLLM, GeminiLLM, OpenAILLM
from reflexarc.registry import PROVIDERS
from reflexarc.specs import ActionSpec
from reflexarc.testing import Received, Reply, Server
from reflexarc.vocabulary import Vocabulary

GOOD = Reply.stream('{"actions":[{"type":"move","value":"sit"}]}')
ROBOT = Vocabulary([ActionSpec("move", ("sit",))])
SECRET = "sk-4f1c2d3e4b5a6978"
OWN = "sk-of-the-configuration"

Kind = type[ProviderLLM[Any]]

# Address, variable and hosts of each vendor: where its key goes, and nobody else's.
ROWS: Mapping[Kind, tuple[str, str, tuple[str, ...]]] = {
    DeepSeekLLM: ("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", ("api.deepseek.com",)),
    GeminiLLM: (
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
        ("generativelanguage.googleapis.com",),
    ),
    MistralLLM: (
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        ("api.mistral.ai", "api.eu.mistral.ai", "api.us.mistral.ai"),
    ),
    OpenAILLM: ("https://api.openai.com/v1", "OPENAI_API_KEY", ("api.openai.com",)),
    XAILLM: ("https://api.x.ai/v1", "XAI_API_KEY", ("api.x.ai",)),
}
EVERY_KEY = {variable: f"{SECRET}-{variable}" for _, variable, _ in ROWS.values()}
HOSTS = [(kind, host) for kind, (_, _, hosts) in ROWS.items() for host in hosts]

each_vendor = pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.provider.name)


def config(**settings: Any) -> LLMConfig:
    """A configuration; the type does not matter here."""
    return LLMConfig.model_validate({"type": "any", "transport": "http"} | settings)


def at_home(kind: Kind, server: Server) -> Kind:
    """A vendor whose own host is this machine by number."""
    row = replace(kind.provider, base_url=server.base_url, hosts=("127.0.0.1",))
    return type(kind.__name__, (kind,), {"provider": row})


async def request_of(
    kind: Kind, *, home: bool, environ: Mapping[str, str], **settings: Any
) -> Received:
    """What a vendor's provider sends to a server of ours: its vendor's, or somebody else's."""
    async with Server(GOOD) as server:
        made = at_home(kind, server) if home else kind
        base_url = {} if home else {"base_url": server.base_url}
        async with made(config(**base_url, **settings), vocabulary=ROBOT, environ=environ) as llm:
            await llm.ask("sit!")
        return server.requests[0]


@each_vendor
def test_a_row_is_what_the_vendor_documents(kind: Kind) -> None:
    """Address, variable and hosts are those written above, and the registry knows the name."""
    row = kind.provider
    assert (row.base_url, row.key_variable, row.hosts) == ROWS[kind]
    assert PROVIDERS[row.name].endswith(f":{kind.__name__}")
    assert urlsplit(row.base_url).hostname in row.hosts
    assert row.model


def test_every_vendor_in_the_registry_is_held_to_this() -> None:
    """A new vendor gets its line above."""
    ours = {kind.provider.name for kind in ROWS}
    assert PROVIDERS.keys() - ours == {"FailoverLLM", "LlamaLLM", "OnboardLLM"}


@each_vendor
async def test_a_vendor_is_asked_with_its_own_key_for_its_own_model(kind: Kind) -> None:
    """Of all keys in the environment the vendor's is sent, and its own model is asked for."""
    request = await request_of(kind, home=True, environ=EVERY_KEY)
    variable = ROWS[kind][1]
    assert request.headers["authorization"] == f"Bearer {SECRET}-{variable}"
    assert request.json["model"] == kind.provider.model
    assert (await request_of(kind, home=True, environ=EVERY_KEY, model="m")).json["model"] == "m"


@each_vendor
async def test_a_vendors_key_goes_to_nobody_else(kind: Kind) -> None:
    """Another server gets no key from the environment, and only the one that is configured."""
    without = await request_of(kind, home=False, environ=EVERY_KEY)
    assert "authorization" not in without.headers
    assert SECRET not in f"{without.headers} {without.path} {without.body!r}"
    given = await request_of(kind, home=False, environ=EVERY_KEY, api_key=OWN)
    assert given.headers["authorization"] == f"Bearer {OWN}"


@each_vendor
async def test_another_server_is_spoken_to_plainly(kind: Kind) -> None:
    """A server of one's own gets nothing that only the vendor understands."""
    body = (await request_of(kind, home=False, environ={}, seed=7)).json
    assert body.keys() == {
        "model", "messages", "stream", "stream_options", "max_tokens", "seed", "response_format",
    }  # fmt: skip


@pytest.mark.parametrize(("kind", "host"), HOSTS, ids=[host for _, host in HOSTS])
def test_each_of_its_hosts_needs_its_key(kind: Kind, host: str) -> None:
    """Without it the variable to set is named; the other vendors' keys do not help."""
    variable = ROWS[kind][1]
    others = {name: key for name, key in EVERY_KEY.items() if name != variable}
    for base_url in (f"https://{host}", f"https://{host.upper()}/v1", f"https://{host}:8080"):
        with pytest.raises(ConfigError, match=f"set {variable}, write api_key, or name a server"):
            kind(config(base_url=base_url), environ=others)


@pytest.mark.parametrize(("kind", "host"), HOSTS, ids=[host for _, host in HOSTS])
def test_a_key_does_not_travel_in_the_clear(kind: Kind, host: str) -> None:
    """The vendor is asked by https, or not at all."""
    with pytest.raises(ConfigError, match=f"unencrypted; write https://{host}"):
        kind(config(base_url=f"http://{host}/v1"), environ=EVERY_KEY)


@pytest.mark.parametrize(("kind", "host"), HOSTS, ids=[host for _, host in HOSTS])
def test_a_host_that_looks_like_it_is_another(kind: Kind, host: str) -> None:
    """Neither a longer name nor the vendor's in a path or query is the vendor."""
    for base_url in (
        f"https://{host}.example.org/v1",
        f"https://evil-{host}/v1",
        f"https://example.org/{host}/v1",
    ):
        llm = kind(config(base_url=base_url), environ=EVERY_KEY)
        assert vars(llm)["_key"] is None
        assert SECRET not in f"{vars(llm)!r}"


@each_vendor
async def test_a_host_without_a_path_is_asked_where_the_vendor_answers(kind: Kind) -> None:
    """Whoever writes the vendor's host alone need not know its path; a path is taken as it is."""
    path = urlsplit(kind.provider.base_url or "").path
    async with Server(GOOD, GOOD) as server:
        row = replace(kind.provider, base_url=f"http://other{path}", hosts=("127.0.0.1",))
        made: Kind = type(kind.__name__, (kind,), {"provider": row})
        for base_url in (f"http://127.0.0.1:{server.port}", f"http://127.0.0.1:{server.port}/x"):
            given = config(base_url=base_url, api_key=OWN)
            async with made(given, vocabulary=ROBOT, environ={}) as llm:
                await llm.ask("sit!")
        assert [request.path for request in server.requests] == [
            f"{path}/chat/completions", "/x/chat/completions",
        ]  # fmt: skip


@pytest.mark.parametrize("kind", [OpenAILLM, GeminiLLM, DeepSeekLLM, XAILLM])
def test_only_mistral_and_llama_have_an_sdk(kind: Kind) -> None:
    """The others are asked by our own client, and say so."""
    assert kind.sdk is None
    with pytest.raises(ConfigError, match="has no SDK transport; write transport: 'http'"):
        kind(config(transport="sdk", api_key=OWN), environ={})


@pytest.mark.parametrize(
    "base_url",
    ["https://api.llama.com", "https://API.llama.com/v1", "http://api.llama.com/compat/v1"],
)
def test_metas_retired_server_is_refused(base_url: str) -> None:
    """Whoever names it is told that it is gone and what to name instead; nothing is sent."""
    says = r"api\.llama\.com answers no more: .*2026-07-06.*127\.0\.0\.1:8080/v1.*OnboardLLM"
    with pytest.raises(ConfigError, match=says):
        LlamaLLM(config(base_url=base_url, model="m", api_key=OWN), environ={})


def test_a_server_beside_it_is_not() -> None:
    """Only that host is gone."""
    for base_url in ("https://api.llama.com.example.org/v1", "http://127.0.0.1:9/api.llama.com"):
        assert LlamaLLM(config(base_url=base_url, model="m"), environ={}).name == "LlamaLLM"
