"""Where spans go: by OpenTelemetry's variables, to a receiver on this machine."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import Any

import pytest

from reflexarc.errors import ConfigError, UnavailableError
from reflexarc.telemetry import Exporting, TickSpans, Traced, exporter_of, wants_content
from reflexarc.telemetry import exporting as module
from reflexarc.testing import ScriptedLLM, Turn
from tests.telemetry.conftest import SIT, run
from tests.telemetry.receiver import receiving


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """None of OpenTelemetry's variables is set, but what makes a test quick."""
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("environ", "otlp", "expected"),
    [
        ({}, None, "none"),
        ({}, "http://127.0.0.1:4318", "otlp"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, None, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318"}, None, "otlp"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None, "none"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, None, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "Console"}, None, "console"),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, None, "otlp,console"),
        ({"OTEL_TRACES_EXPORTER": "otlp,"}, None, "otlp"),
        ({"OTEL_TRACES_EXPORTER": ","}, None, "none"),
        ({"OTEL_TRACES_EXPORTER": "none"}, "http://127.0.0.1:4318", "none"),
        ({"OTEL_SDK_DISABLED": "true"}, "http://127.0.0.1:4318", "none"),
    ],
)
def test_spans_are_made_where_somebody_asks(
    environ: dict[str, str], otlp: str | None, expected: str
) -> None:
    """By the robot's file or the standard variables, which can also say no."""
    assert exporter_of(environ, otlp) == expected


def test_an_exporter_that_is_not_here_is_refused() -> None:
    """With the names of those that are."""
    with pytest.raises(ConfigError, match=r"'jaeger'; choose one of console, none, otlp"):
        exporter_of({"OTEL_TRACES_EXPORTER": "otlp,jaeger"})


def test_a_protocol_that_is_not_spoken_is_refused() -> None:
    """A collector's usual setting would else be met with HTTP, and no word."""
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}
    with pytest.raises(ConfigError, match=r"not by grpc; write it into OTEL_EXPORTER_OTLP_PROTO"):
        exporter_of({**asked, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert exporter_of({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}) == "none"
    assert exporter_of({**asked, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}) == "otlp"


@pytest.mark.parametrize(
    ("value", "expected"), [("true", True), ("SPAN_ONLY", True), ("false", False), ("", False)]
)
def test_content_is_asked_for_by_the_standard_variable(value: str, *, expected: bool) -> None:
    """As OpenTelemetry's own instrumentations read it."""
    name = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    assert wants_content({name: value}) is expected


def test_a_receiver_has_every_span_of_a_robot(plain: pytest.MonkeyPatch) -> None:
    """Over HTTP, decoded by OpenTelemetry's own protocol: a tick, its question, its try."""
    plain.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=lab")
    with receiving() as receiver:
        exporting = Exporting("dot", "otlp", receiver.url)

        async def live() -> None:
            async with exporting:
                spans = TickSpans("dot", tracer_provider=exporting.provider)
                llm = Traced[Any](ScriptedLLM(Turn((SIT,))), tracer_provider=exporting.provider)
                await run(llm, "a", spans=spans)

        asyncio.run(live())
    assert receiver.paths == ["/v1/traces"]
    [resource] = receiver.resources()
    assert resource["service.name"] == "reflexarc"
    assert resource["gen_ai.agent.name"] == "dot"
    assert resource["deployment.environment.name"] == "lab"
    by_name = {span.name: span for span in receiver.spans()}
    assert by_name.keys() == {"tick", "chat scripted", "attempt ScriptedLLM"}
    assert by_name["chat scripted"].parent_span_id == by_name["tick"].span_id
    assert by_name["attempt ScriptedLLM"].parent_span_id == by_name["chat scripted"].span_id


def test_the_service_may_be_named(plain: pytest.MonkeyPatch) -> None:
    """OpenTelemetry's variable for it is heard, and so is its one for the address."""
    plain.setenv("OTEL_SERVICE_NAME", "kitchen")
    with receiving() as receiver:
        plain.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        exporting = Exporting("dot", "otlp")

        async def live() -> None:
            async with exporting:
                exporting.provider.get_tracer("x").start_span("y").end()

        asyncio.run(live())
    [resource] = receiver.resources()
    assert resource["service.name"] == "kitchen"


def test_a_receiver_that_hangs_does_not_hold_the_robot(plain: pytest.MonkeyPatch) -> None:
    """It is waited for as long as was promised, and not longer."""
    plain.setattr(module, "CLOSING_S", 0.2)
    plain.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        exporting = Exporting("dot", "otlp", f"http://127.0.0.1:{deaf.getsockname()[1]}")

        async def live() -> float:
            async with exporting:
                exporting.provider.get_tracer("x").start_span("y").end()
            return time.perf_counter()

        begun = time.perf_counter()
        took_s = asyncio.run(live()) - begun
    assert 0.15 < took_s < 0.9


def sent(exporting: Exporting) -> None:
    """Send one span."""

    async def live() -> None:
        async with exporting:
            exporting.provider.get_tracer("x").start_span("y").end()

    asyncio.run(live())


@pytest.mark.parametrize("path", ["", "/v1", "/v1/traces"])
def test_the_address_may_be_written_in_three_ways(plain: pytest.MonkeyPatch, path: str) -> None:
    """As a server's, as a model's are, and as OpenTelemetry's own variable for traces has it."""
    with receiving() as receiver:
        sent(Exporting("dot", "otlp", f"{receiver.url}{path}"))
    assert receiver.paths == ["/v1/traces"]


def test_an_absent_receiver_is_told_of_once(
    plain: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In one sentence of ours, whatever the exporter has to say."""
    plain.setattr(module, "CLOSING_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    sent(Exporting("dot", "otlp", url))
    [record] = caplog.records
    assert record.name == "reflexarc.telemetry.exporting"
    assert "check the receiver's address, and that it runs" in record.getMessage()


def test_without_the_extra_one_sentence_says_so(plain: pytest.MonkeyPatch) -> None:
    """It was asked for, so it is told what to install."""
    plain.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(UnavailableError, match=r"not installed; .*\[otel\]"):
        Exporting("dot", "otlp")


def test_spans_go_to_a_receiver_and_to_the_console(
    plain: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where both are asked for, as OpenTelemetry's variable may."""
    plain.setenv("OTEL_TRACES_EXPORTER", "otlp,console")
    with receiving() as receiver:
        sent(Exporting("dot", exporter_of(os.environ), receiver.url))
    assert [span.name for span in receiver.spans()] == ["y"]
    assert '"name": "y"' in capsys.readouterr().err


@pytest.mark.parametrize("name", ["OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"])
def test_a_variable_that_the_sdk_refuses_is_told_of(plain: pytest.MonkeyPatch, name: str) -> None:
    """In one sentence, with what the SDK has to say."""
    plain.setenv(name, "-1")
    with pytest.raises(ConfigError, match=r"refuses a value .* must be a .*; correct the one"):
        Exporting("dot", "otlp", "http://127.0.0.1:4318")
