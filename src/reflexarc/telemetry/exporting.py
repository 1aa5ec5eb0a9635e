"""Where a robot's spans go, by its file and OpenTelemetry's own variables."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from reflexarc.errors import ConfigError, UnavailableError, did_you_mean, quote
from reflexarc.packages import install_command
from reflexarc.telemetry.names import CAPTURE_CONTENT

_log = logging.getLogger(__name__)

CLOSING_S = 2.0
"""Seconds for which the last spans may take to leave; a robot that ends does not wait longer."""

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_EXPORTERS = ("otlp", "console", "none")
_YES = {"1", "true", "span_only", "span_and_event"}


def exporter_of(environ: Mapping[str, str], otlp: str | None = None) -> str:
    """Which exporters are asked for.

    Parameters
    ----------
    environ : mapping of str to str
        The environment.
    otlp : str or None, default None
        The receiver that the robot's file names.

    Returns
    -------
    str
        ``"otlp"``, ``"console"``, ``"otlp,console"``, or ``"none"`` where nobody asks for spans.

    Raises
    ------
    ConfigError
        If a variable asks for what is not here.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return "none"
    named = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if not named:
        named = "otlp" if otlp or any(environ.get(each) for each in _ENDPOINTS) else "none"
    asked = {each.strip() for each in named.split(",")} - {""}
    for each in sorted(asked.difference(_EXPORTERS)):
        raise ConfigError(f"OTEL_TRACES_EXPORTER has '{each}'; {did_you_mean(each, _EXPORTERS)}")
    if "none" in asked:
        return "none"
    spoken = next(filter(None, map(environ.get, _PROTOCOLS)), _PROTOCOL)
    if "otlp" in asked and spoken != _PROTOCOL:
        raise ConfigError(
            f"spans are sent by {_PROTOCOL}, not by {spoken}; write it into {_PROTOCOLS[-1]}, and "
            "the receiver's port for HTTP, which is 4318 as a rule"
        )
    return ",".join(each for each in _EXPORTERS if each in asked) or "none"


def wants_content(environ: Mapping[str, str]) -> bool:
    """Whether the environment asks for prompts and answers in spans.

    Parameters
    ----------
    environ : mapping of str to str
        The environment.

    Returns
    -------
    bool
    """
    return environ.get(CAPTURE_CONTENT, "").strip().lower() in _YES


class Exporting:
    """OpenTelemetry's SDK, sending spans from a thread of its own while it is entered.

    Where the program was started by ``opentelemetry-instrument``, that one's set-up is used.

    Parameters
    ----------
    robot : str
        What it is called: an attribute of all it sends.
    exporter : {"otlp", "console", "otlp,console"}
        To a receiver, by HTTP; to standard error, to look at; or both.
    otlp : str or None, default None
        The receiver's address, such as ``http://127.0.0.1:4318``; None leaves it to OpenTelemetry's
        variables, which also tell headers, sampling, and so on.

    Attributes
    ----------
    provider : opentelemetry.sdk.trace.TracerProvider
        Makes tracers.

    Raises
    ------
    UnavailableError
        If the SDK or the exporter is not installed.
    ConfigError
        If the SDK refuses a value of one of its variables.
    """

    def __init__(self, robot: str, exporter: str, otlp: str | None = None) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.sdk.trace import TracerProvider
        except ImportError as error:
            raise _missing() from error
        running = trace.get_tracer_provider()
        self._is_ours = not isinstance(running, TracerProvider)
        try:
            self.provider: Any = _provider(robot, exporter, otlp) if self._is_ours else running
        except ValueError as error:
            raise ConfigError(
                f"OpenTelemetry refuses a value in its variables ({quote(str(error))}); correct "
                "the one that begins with OTEL_, or leave it out"
            ) from error

    async def __aenter__(self) -> Exporting:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Send what is left, for `CLOSING_S` at most."""
        if not self._is_ours:
            return
        loop, closed = asyncio.get_running_loop(), asyncio.Event()

        def close() -> None:
            self.provider.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(closed.set)

        # Not one of asyncio's threads, for which a program waits when it ends.
        threading.Thread(target=close, name="last spans", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSING_S):
                await closed.wait()
        except TimeoutError:
            pass


def _provider(robot: str, exporter: str, otlp: str | None) -> Any:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    told = {"gen_ai.agent.name": robot, "service.version": version("reflexarc")}
    resource = Resource.create(told)
    if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "reflexarc"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    if "console" in exporter:
        provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(out=sys.stderr)))
    if "otlp" in exporter:
        provider.add_span_processor(BatchSpanProcessor(_sender(otlp)))
    return provider


def _sender(otlp: str | None) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise _missing() from error
    base = otlp and otlp.removesuffix("/traces").removesuffix("/v1")
    sender = OTLPSpanExporter(base and f"{base}/v1/traces")
    logging.getLogger(type(sender).__module__).addFilter(_LOSSES)
    _LOSSES.is_told = False
    return sender


class _Losses(logging.Filter):
    """One sentence for all that the exporter says of a receiver that does not take its spans."""

    is_told = False

    def filter(self, record: logging.LogRecord) -> bool:
        if not self.is_told:
            self.is_told = True
            _log.warning(
                "Nobody takes the spans, so they are lost; check the receiver's address, and that "
                "it runs (%s)",
                quote(record.getMessage()),
            )
        return False


_LOSSES = _Losses()


def _missing() -> UnavailableError:
    return UnavailableError(
        f"spans are asked for, and OpenTelemetry is not installed; {install_command('otel')}",
        retryable=False,
    )
