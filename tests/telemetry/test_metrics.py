"""What Prometheus is told, read by its own parser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from reflexarc.errors import LLMError, ServerError
from reflexarc.llm import LLM
from reflexarc.resilience import Breaker, Deadline, Failover, Retry
from reflexarc.runtime.switch import Switch
from reflexarc.telemetry import METRICS, Measured, Metrics
from reflexarc.testing import ScriptedLLM, Turn
from reflexarc.types import ActionRefused, PlainText, TextDelta, Usage
from reflexarc.web import Page, PageServer
from tests.telemetry.conftest import SAY, SECRET, SIT, Lame, run
from tests.web.conftest import DOT

DOWN = ServerError(f"down, and it quotes {SECRET}")
WINGS = ActionRefused("a type that the model made up", "x", "no", 0.0)


def labels_of(name: str) -> tuple[str, ...]:
    """In the table's order; a parser has them in another."""
    bare = name.removesuffix("_count").removesuffix("_sum")
    return next(each.labels for each in METRICS if each.name == bare)


def scripted(*events: Any, name: str = "One", **turn: Any) -> ScriptedLLM[Any]:
    """A brain that does the same at every question."""
    return ScriptedLLM(Turn(events, **turn), name=name, model=f"model-of-{name}")


async def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """All of ours that are not zero, by name and labels' values."""
    metrics.look()
    text, _ = await asyncio.to_thread(metrics.render)
    return found_in(text.decode())


def found_in(text: str, read: Any = read_text) -> dict[tuple[str, ...], float]:
    """Samples that are not zero, without buckets and the process's own."""
    return {
        (sample.name, *(sample.labels[label] for label in labels_of(sample.name))): sample.value
        for family in read(text)
        for sample in family.samples
        if sample.value
        and sample.name.startswith("cortex_")
        and not sample.name.endswith(("_bucket", "_created"))
    }


@pytest.fixture
def metrics() -> Metrics:
    """Of a robot that moves and speaks."""
    return Metrics("dot", ["move", "speak"])


async def test_an_answer_is_counted(metrics: Metrics) -> None:
    """Actions by type, tokens, and the times of one answer; what a model makes up is other."""
    llm = Measured(scripted(TextDelta("x"), SIT, SAY, WINGS, Usage(100, 20, 80)), metrics)
    await llm.ask("go")
    found = await samples(metrics)
    assert found["cortex_actions_total", "move", "done"] == 1
    assert found["cortex_actions_total", "speak", "done"] == 1
    assert found["cortex_actions_total", "other", "refused"] == 1
    assert found["cortex_tokens_total", "One", "input"] == 100
    assert found["cortex_tokens_total", "One", "cached"] == 80
    assert found["cortex_tokens_total", "One", "output"] == 20
    assert found["cortex_ask_seconds_count", "One", "ok"] == 1
    assert found["cortex_first_action_seconds_count", "One"] == 1
    assert found["cortex_attempts_total", "One", "ok"] == 1
    assert not any(name.startswith("cortex_provider_errors") for name, *_ in found)


async def test_a_failover_is_counted_with_who_failed_and_how(metrics: Metrics) -> None:
    """Two tries at the first one, and the second one's answer."""
    first = Retry[Any](scripted(failure=DOWN))
    llm = Measured[Any](
        Deadline(Failover[Any]([first, scripted(SIT, name="Two")]), timeout=5), metrics
    )
    await llm.ask("go")
    found = await samples(metrics)
    assert found["cortex_provider_errors_total", "One", "server"] == 2
    assert found["cortex_attempts_total", "One", "error"] == 2
    assert found["cortex_attempts_total", "Two", "ok"] == 1
    assert found["cortex_failovers_total", "One", "Two"] == 1
    assert found["cortex_ask_seconds_count", "Two", "ok"] == 1


async def test_an_idle_robot_is_not_one_that_answered(metrics: Metrics) -> None:
    """Nobody has answered, and the idle action is counted as idle; no failover to it."""
    llm = Measured[Any](Deadline(scripted(failure=DOWN), timeout=5, idle=SIT), metrics)
    await llm.ask("go")
    found = await samples(metrics)
    assert found["cortex_ask_seconds_count", "idle", "idle"] == 1
    assert found["cortex_provider_errors_total", "One", "server"] == 1
    assert not any(name == "cortex_failovers_total" for name, *_ in found)


async def test_a_failure_is_counted_and_raised(metrics: Metrics) -> None:
    """The caller has the error as it was; an unknown kind becomes no label."""

    class OddError(LLMError):
        kind = "made up by a plugin"

    llm = Measured[Any](scripted(failure=OddError("no")), metrics)
    with pytest.raises(OddError):
        await llm.ask("go")
    found = await samples(metrics)
    assert found["cortex_ask_seconds_count", "One", "error"] == 1
    assert found["cortex_provider_errors_total", "One", "other"] == 1


async def test_an_answer_that_is_left_is_none(metrics: Metrics) -> None:
    """Who has heard enough is counted for the action that was heard, and for no answer."""
    llm = Measured[Any](scripted(SIT, SAY, duration_s=5), metrics)
    async with aclosing(llm.act("go")) as actions:
        await anext(actions)
    found = await samples(metrics)
    assert found["cortex_actions_total", "move", "done"] == 1
    assert not any(name.startswith("cortex_ask") for name, *_ in found)


async def test_a_summary_costs_tokens_and_is_no_answer(metrics: Metrics) -> None:
    """Plain text that nobody waits for does not spoil the times."""
    written = scripted(Usage(500, 90), answer=PlainText(text="Ann came."))
    await Measured[Any](written, metrics).write("sum up")
    found = await samples(metrics)
    assert found["cortex_tokens_total", "One", "input"] == 500
    assert not any(name.startswith("cortex_ask") for name, *_ in found)


async def test_a_breaker_is_seen_when_somebody_looks() -> None:
    """Its state is that of the moment; of two brains with one name the worse is told."""
    breaker = Breaker[Any](scripted(failure=DOWN), failures=1)
    llm = Failover[Any]([breaker, scripted(SIT, name="Two"), scripted(SIT)])
    metrics = Metrics("dot", standings=llm.standings)
    assert not any(name == "cortex_breaker_state" for name, *_ in await samples(metrics))
    await llm.ask("go")
    found = await samples(metrics)
    assert found["cortex_breaker_state", "One", "model-of-One"] == 2
    assert ("cortex_breaker_state", "Two", "model-of-Two") not in found  # it is 0


async def test_ticks_are_counted_with_what_they_were_too_slow_for(metrics: Metrics) -> None:
    """A tick longer than the robot's hertz allow has overrun; one that is not has not."""
    slow = ScriptedLLM[Any](Turn((SIT,), duration_s=0.05), Turn((SIT,)))
    await run(Measured(slow, metrics), "a", "b", hertz=25, metrics=metrics)
    found = await samples(metrics)
    assert found["cortex_tick_seconds_count",] == 2
    assert found["cortex_tick_overrun_total",] == 1
    assert found["cortex_tick_seconds_sum",] >= 0.05
    assert found["cortex_last_tick_timestamp_seconds",] > 1.7e9


async def test_an_actuator_that_fails_is_counted(metrics: Metrics) -> None:
    """The action was handed over, and it has failed."""
    await run(Measured(scripted(SIT, SAY), metrics), "a", actuator=Lame(), metrics=metrics)
    found = await samples(metrics)
    assert found["cortex_actions_total", "move", "done"] == 1
    assert found["cortex_actions_total", "move", "failed"] == 1
    assert found["cortex_failures_total", "actuator"] == 1


@asynccontextmanager
async def page_of(metrics: Metrics | None, host: str = "127.0.0.1") -> AsyncIterator[PageServer]:
    """The page of a robot."""
    page = Page("dot", DOT, Switch[Any]({"one": scripted(SIT)}))
    async with PageServer(page, lambda _: None, host=host, port=0, metrics=metrics) as server:
        yield server


@pytest.mark.parametrize(
    ("accept", "read"),
    [("", read_text), ("application/openmetrics-text; version=1.0.0", read_openmetrics)],
)
async def test_a_scrape_has_every_metric(accept: str, read: Any) -> None:
    """Over a socket, in either of Prometheus's formats, by the table's names."""
    llm: LLM[Any] = scripted(SIT)
    metrics = Metrics("dot", ["move"], llm.standings)
    await Measured(llm, metrics).ask("go")
    async with page_of(metrics) as server, aiohttp.ClientSession() as http:
        headers = {"Accept": accept}
        async with http.get(f"{server.url}/metrics", headers=headers) as response:
            assert response.status == 200
            assert response.headers["Cache-Control"] == "no-store"
            text = await response.text()
    families = {family.name: family for family in read(text)}
    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
    assert found_in(text, read)["cortex_actions_total", "move", "done"] == 1
    assert "process_resident_memory_bytes" in families


async def test_metrics_are_behind_the_fence() -> None:
    """Where others reach the robot, Prometheus needs the token as anybody does."""
    async with page_of(Metrics("dot"), "0.0.0.0") as server, aiohttp.ClientSession() as http:
        address, _, token = server.url.partition("/?token=")
        url = f"http://127.0.0.1:{address.rpartition(':')[2]}/metrics"
        async with http.get(url) as response:
            assert response.status == 401
        bearer = {"Authorization": f"Bearer {token}"}
        async with http.get(url, headers=bearer) as response:
            assert response.status == 200
            assert token not in await response.text()


async def test_without_metrics_the_page_says_what_to_install() -> None:
    """One sentence, and no page that looks like a scrape."""
    async with (
        page_of(None) as server,
        aiohttp.ClientSession() as http,
        http.get(f"{server.url}/metrics") as response,
    ):
        assert response.status == 404
        assert "reflexarc[metrics]" in (await response.json())["error"]


async def test_nothing_said_becomes_a_label(metrics: Metrics) -> None:
    """Neither a secret nor what a model or a person said is in a scrape."""
    llm = Measured[Any](
        Deadline(
            Failover[Any]([scripted(failure=DOWN), scripted(SAY, WINGS, name="Two")]), timeout=5
        ),
        metrics,
    )
    await run(llm, f"Ann says {SECRET}", metrics=metrics)
    text, _ = await asyncio.to_thread(metrics.render)
    for word in (SECRET, "Ann", "made up"):
        assert word not in text.decode()
