"""OM1's two metrics, from our plugins: its own where it has them, and never in its way."""

from __future__ import annotations

import asyncio
import importlib.machinery
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, Histogram

from reflexarc.telemetry.names import OM1_METRICS
from reflexarc.telemetry.om1 import ON_BOARD, Latency, endpoint
from reflexarc.testing import Reply, Server
from tests.om1.test_cortex import SIT, Config, brain

URL = "http://user:secret@10.0.0.7:8080/v1?key=secret#x"
LABELS = {"model": "m", "endpoint": "http://10.0.0.7:8080/v1"}


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """The default registry has none of these, whatever was asked before."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    for metric in OM1_METRICS:
        if collector := REGISTRY._names_to_collectors.get(metric.name):
            REGISTRY.unregister(collector)


def counted(registry: Any = REGISTRY, **labels: str) -> float | None:
    """How many answers were timed."""
    return registry.get_sample_value("om1_llm_latency_seconds_count", labels or LABELS)


def observe(latency: Latency, *seconds: float) -> None:
    """Tell it as a plugin does, and have it told."""

    async def tell() -> None:
        for each in seconds:
            latency.observe(each)

    asyncio.run(tell())  # which waits for its threads


def test_they_are_made_where_om1_has_none() -> None:
    """In the default registry, by OM1's names and labels, for each plugin the same."""
    observe(Latency("m", URL), 0.5)
    observe(Latency("m", URL), 1.5)
    assert counted() == 2
    assert REGISTRY.get_sample_value("om1_llm_latency_seconds_sum", LABELS) == 2
    assert REGISTRY.get_sample_value("om1_llm_latency_last_seconds", LABELS) == 1.5


def test_om1s_own_are_used_once_they_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its package is imported after our plugin was made, and not by it."""
    theirs = ModuleType("prometheus")
    theirs.__spec__ = importlib.machinery.ModuleSpec("prometheus", None)
    registry = CollectorRegistry()
    latency, last = OM1_METRICS
    kinds = {latency: ("om1_llm_latency", Histogram), last: ("om1_llm_latency_last", Gauge)}
    for metric, (name, kind) in kinds.items():
        made = kind(metric.name, metric.help, metric.labels, registry=registry)
        setattr(theirs, name, made)
    monkeypatch.setitem(sys.modules, "prometheus", theirs)
    observe(Latency("m", URL), 0.5)
    assert counted(registry) == 1
    assert counted() is None


def test_nothing_is_made_where_om1_may_still_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OM1 makes them unguarded: with ours in the registry its import would fail."""
    (tmp_path / "prometheus.py").write_text(
        "from prometheus_client import Histogram\n"
        "om1_llm_latency = Histogram('om1_llm_latency_seconds', 'x', ['model', 'endpoint'])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    latency = Latency("m", URL)
    observe(latency, 0.5)
    assert counted() is None
    try:
        importlib.import_module("prometheus")
        observe(latency, 0.5)
        assert counted() == 1
    finally:
        sys.modules.pop("prometheus", None)


def test_others_labels_cost_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OM1 labels them otherwise one day, nothing is told."""
    theirs = ModuleType("prometheus")
    vars(theirs)["om1_llm_latency"] = Histogram("x_seconds", "x", ["robot"], registry=None)
    monkeypatch.setitem(sys.modules, "prometheus", theirs)
    observe(Latency("m", URL), 0.5)


def test_an_endpoint_has_no_secret() -> None:
    """Neither user, password, query nor fragment; on board there is none."""
    assert endpoint(URL) == "http://10.0.0.7:8080/v1"
    assert endpoint(None) == ON_BOARD


async def test_a_plugin_tells_how_long_its_answers_take() -> None:
    """Whole and streamed; a question without an answer has no latency."""
    refused = Reply.json({"error": {"message": "no"}}, 400)
    replies = (Reply.stream(SIT), Reply.stream(SIT), *[refused] * 20)
    async with Server(*replies) as server:
        labels = {"model": "m", "endpoint": server.base_url}
        cortex = brain(Config(base_url=server.base_url, model="m", api_key="not-a-label"))
        try:
            assert await cortex.ask("sit!") is not None
            async with asyncio.timeout(10):  # the first one is told by a thread
                while counted(**labels) is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert [len(each.actions) async for each in cortex.ask_stream("sit!")] == [1]
            assert counted(**labels) == 2
            assert await cortex.ask("sit!") is None
            assert counted(**labels) == 2
        finally:
            await cortex.aclose()
