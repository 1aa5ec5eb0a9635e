"""What ``reflexarc run`` tells of a robot, by its file and the environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from reflexarc.config import LLMConfig, RobotConfig
from reflexarc.errors import UnavailableError
from reflexarc.llm import LLM
from reflexarc.observing import Observing
from reflexarc.runtime.events import Observer
from reflexarc.runtime.switch import Switch
from reflexarc.runtime.witness import Witness
from reflexarc.telemetry import (
    Exporting,
    Journal,
    Measured,
    Metrics,
    TickSpans,
    Traced,
    exporter_of,
    has_prometheus,
    traces_of,
    wants_content,
)
from reflexarc.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What one robot tells of itself; made before the event loop runs, for it reads the disk.

    Parameters
    ----------
    robot : str
        What it is called.
    hertz : float
        Most ticks a second.
    configs : sequence of LLMConfig
        Its brains' settings.
    metrics : Metrics or None, default None
        For the page's ``/metrics``.
    journal : Journal or None, default None
        Its traces.
    exporting : Exporting or None, default None
        Where its spans go.
    content : bool, default False
        Whether spans hold what was said.
    """

    robot: str
    hertz: float
    configs: Sequence[LLMConfig]
    metrics: Metrics | None = None
    journal: Journal | None = None
    exporting: Exporting | None = None
    content: bool = False

    def around(self, brain: LLM[Any]) -> LLM[Any]:
        """A brain that tells of each question.

        Parameters
        ----------
        brain : LLM
            With all that is around it.

        Returns
        -------
        LLM
            The same, where there is nobody to tell.
        """
        if self.metrics is not None:
            brain = Measured(brain, self.metrics)
        if self.exporting is not None:
            provider = self.exporting.provider
            brain = Traced(brain, self.configs, tracer_provider=provider, content=self.content)
        return brain

    async def enter(self, stack: AsyncExitStack) -> list[Observer]:
        """Begin; the stack ends it.

        Parameters
        ----------
        stack : contextlib.AsyncExitStack
            Entered first, so that the last tick is told as well.

        Returns
        -------
        list of callable
            Who is to be told what happens; none where nobody is.
        """
        spans = None
        if self.exporting is not None:
            await stack.enter_async_context(self.exporting)
            spans = TickSpans(self.robot, tracer_provider=self.exporting.provider)
        if self.journal is not None:
            await stack.enter_async_context(self.journal)
        if self.metrics is self.journal is spans is None:
            return []
        witness = Witness(self.hertz, metrics=self.metrics, journal=self.journal, spans=spans)
        return [witness.observe]


def telemetry_of(
    robot: RobotConfig,
    vocabulary: Vocabulary,
    switch: Switch[Any],
    environ: Mapping[str, str],
    *,
    has_page: bool,
) -> tuple[Telemetry, str]:
    """The telemetry that a robot's file and the environment ask for.

    Parameters
    ----------
    robot : RobotConfig
        Whose.
    vocabulary : Vocabulary
        What it can do.
    switch : Switch
        Its brains.
    environ : mapping of str to str
        The environment.
    has_page : bool
        Whether somebody can look at metrics.

    Returns
    -------
    tuple of Telemetry and str
        What of it can be had, and why the rest cannot: empty where all can.

    Raises
    ------
    ConfigError
        If a variable of OpenTelemetry's asks for what is not here.
    """
    wish = robot.telemetry
    if wish is None:
        return Telemetry(robot.name, robot.hertz, ()), ""
    exporting, objection = _exporting(robot.name, wish, environ)
    metrics = journal = None
    if wish.metrics and has_page and has_prometheus():
        types = [spec.type for spec in vocabulary.specs]
        metrics = Metrics(robot.name, types, switch.standings)
    if wish.traces:
        journal = Journal(
            traces_of(environ, robot.name),
            [spec.type for spec in vocabulary.specs if spec.values is not None],
            max_mb=wish.max_mb,
            max_days=wish.max_days,
            content=wish.content,
        )
    telemetry = Telemetry(
        robot.name,
        robot.hertz,
        (robot.cortex_llm, *robot.brains),
        metrics,
        journal,
        exporting,
        wish.content or wants_content(environ),
    )
    return telemetry, objection


def _exporting(
    robot: str, wish: Observing, environ: Mapping[str, str]
) -> tuple[Exporting | None, str]:
    exporter = exporter_of(environ, wish.otlp)
    if exporter == "none":
        return None, ""
    try:
        return Exporting(robot, exporter, wish.otlp), ""
    except UnavailableError as error:  # the robot runs without it
        return None, error.message
