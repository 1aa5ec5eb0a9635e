"""What Prometheus is told: a registry of one robot's metrics, and an LLM that fills it."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from importlib.metadata import version
from typing import Any

from reflexarc.attempts import Attempt, AttemptFailed
from reflexarc.errors import LLMError, UnavailableError
from reflexarc.llm import LLM, Messages, R, Standing
from reflexarc.packages import install_command
from reflexarc.prompt import Prompt, read_prompt
from reflexarc.resilience import Around
from reflexarc.resilience.deadline import IDLE
from reflexarc.telemetry import names
from reflexarc.telemetry.names import METRICS, OTHER, SECONDS, Metric, error_type
from reflexarc.types import ActionReady, ActionRefused, Event, Finished, TextDelta, Usage

_STATES = {"closed": 0, "half-open": 1, "open": 2}


def has_prometheus() -> bool:
    """Whether prometheus-client is installed.

    Returns
    -------
    bool
    """
    try:
        import prometheus_client
    except ImportError:
        return False
    return bool(prometheus_client)


class Metrics:
    """One robot's metrics, in a registry of their own.

    Parameters
    ----------
    robot : str
        What it is called.
    actions : iterable of str, default ()
        Types of action that it has; what a model calls otherwise is counted as ``"other"``.
    standings : callable or None, default None
        Tells how its brains stand, as `LLM.standings` does; asked whenever somebody looks.

    Raises
    ------
    UnavailableError
        If prometheus-client is not installed.
    """

    def __init__(
        self,
        robot: str,
        actions: Iterable[str] = (),
        standings: Callable[[], Sequence[Standing]] | None = None,
    ) -> None:
        if not has_prometheus():
            raise UnavailableError(
                f"metrics need prometheus-client; {install_command('metrics')}", retryable=False
            )
        from prometheus_client import CollectorRegistry, ProcessCollector

        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._actions = frozenset(actions)
        self._standings = standings
        self._by_name = {each.name: make_collector(each, self.registry) for each in METRICS}
        self._robot = robot

    def attempts(self, attempts: Iterable[Attempt]) -> None:
        """Count tries.

        Parameters
        ----------
        attempts : iterable of Attempt
            Of one question.
        """
        for attempt in attempts:
            is_error = attempt.outcome not in ("ok", "overtaken")
            outcome = "error" if is_error else attempt.outcome
            self._of(names.ATTEMPTS, attempt.provider, outcome).inc()
            if is_error:
                kind = error_type(attempt.outcome)
                self._of(names.PROVIDER_ERRORS, attempt.provider, kind).inc()

    def failover(self, attempt: Attempt, next_name: str) -> None:
        """Count that another one is asked, if it is another one.

        Parameters
        ----------
        attempt : Attempt
            The try that has failed.
        next_name : str
            Who is asked now.
        """
        if next_name not in (attempt.provider, IDLE):
            self._of(names.FAILOVERS, attempt.provider, next_name).inc()

    def action(self, type: str, outcome: str) -> None:
        """Count an action.

        Parameters
        ----------
        type : str
            As the model calls it.
        outcome : {"done", "refused", "failed"}
            What became of it.
        """
        known = type if type in self._actions else OTHER
        self._of(names.ACTIONS, known, outcome).inc()

    def answered(self, provider: str, outcome: str, total_s: float) -> None:
        """Note that a question is over.

        Parameters
        ----------
        provider : str
            Who answered, or failed last.
        outcome : {"ok", "idle", "error"}
            How.
        total_s : float
            Seconds it took.
        """
        self._of(names.ASK, provider, outcome).observe(total_s)

    def acted(self, provider: str, first_action_s: float) -> None:
        """Note how soon the first action of an answer was there.

        Parameters
        ----------
        provider : str
            Who answered.
        first_action_s : float
            Seconds.
        """
        self._of(names.FIRST_ACTION, provider).observe(first_action_s)

    def tokens(self, provider: str, usage: Usage) -> None:
        """Count tokens.

        Parameters
        ----------
        provider : str
            Who answered.
        usage : Usage
            The server's counts.
        """
        for direction, count in (
            ("input", usage.prompt_tokens),
            ("cached", usage.cached_tokens),
            ("output", usage.completion_tokens),
        ):
            self._of(names.TOKENS, provider, direction).inc(max(0, count))

    def ticked(self, took_s: float, *, overran: bool, missed: int) -> None:
        """Note that a tick is over.

        Parameters
        ----------
        took_s : float
            Seconds, with its actions performed.
        overran : bool
            Whether that is more than it had.
        missed : int
            Things sensed and given up before it.
        """
        self._of(names.TICK).observe(took_s)
        self._of(names.LAST_TICK).set(time.time())
        self._of(names.MISSED).inc(missed)
        if overran:
            self._of(names.OVERRUN).inc()

    def failed(self, where: str) -> None:
        """Count a failure.

        Parameters
        ----------
        where : {"llm", "input", "actuator", "memory"}
            What has failed.
        """
        self._of(names.FAILURES, where).inc()

    def look(self) -> None:
        """Note how the brains stand now; inside a running loop, and before `render`."""
        states: dict[tuple[str, str], int] = {}
        for each in self._standings() if self._standings else ():
            key = each.name, each.model  # two servers of one model share a label: the worse counts
            states[key] = max(states.get(key, 0), _STATES[each.state])
        for key, state in states.items():
            self._of(names.BREAKER, *key).set(state)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics as text; reads files of the system, so not in an event loop.

        Parameters
        ----------
        accept : str, default ""
            The formats that the one who asks takes, as its Accept header has them.

        Returns
        -------
        tuple of bytes and str
            The text and its content type.
        """
        from prometheus_client.exposition import choose_encoder

        self._of(names.INFO, self._robot, version("reflexarc")).set(1)
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def _of(self, metric: Metric, *labels: str) -> Any:
        found = self._by_name[metric.name]
        return found.labels(*labels) if labels else found


def make_collector(metric: Metric, registry: Any) -> Any:
    """A metric as prometheus-client has it.

    Parameters
    ----------
    metric : Metric
        Which.
    registry : prometheus_client.CollectorRegistry
        Where it is looked for.

    Returns
    -------
    prometheus_client.metrics.MetricWrapperBase

    Raises
    ------
    ValueError
        If the registry has one of that name.
    """
    from prometheus_client import Counter, Gauge, Histogram

    given: Any = (metric.name, metric.help, metric.labels)
    if metric.kind == "histogram":
        return Histogram(*given, registry=registry, buckets=SECONDS)
    return (Counter if metric.kind == "counter" else Gauge)(*given, registry=registry)


class Measured(Around[R]):
    """An LLM whose questions and answers are counted.

    An answer that the caller does not hear to its end is no answer: only its actions count.

    Parameters
    ----------
    llm : LLM
        Which.
    metrics : Metrics
        Where.
    """

    def __init__(self, llm: LLM[R], metrics: Metrics) -> None:
        super().__init__(llm)
        self._metrics = metrics

    async def stream(
        self, prompt: str | Prompt, messages: Messages = None
    ) -> AsyncGenerator[Event, None]:
        """Ask, and give out everything that happens as it happens; see `LLM.stream`."""
        whole = read_prompt(prompt, messages)
        started = time.perf_counter()
        try:
            async with aclosing(self._llm.stream(whole)) as events:
                async for event in events:
                    if not isinstance(event, TextDelta):  # almost all are
                        self._note(event, whole)
                    yield event
        except LLMError as error:
            self._metrics.attempts(error.attempts)
            if not whole.is_plain:
                took_s = time.perf_counter() - started
                self._metrics.answered(error.provider or self.name, "error", took_s)
            raise

    def _note(self, event: Event, whole: Prompt) -> None:
        metrics = self._metrics
        match event:
            case ActionReady(action=action):
                metrics.action(action.type, "done")
            case ActionRefused(type=type_):
                metrics.action(type_, "refused")
            case AttemptFailed(attempt=attempt, next=next_name):
                metrics.failover(attempt, next_name)
            case Finished(provider=provider):
                metrics.attempts(event.attempts)
                if event.usage is not None:
                    metrics.tokens(provider, event.usage)
                if whole.is_plain:  # a summary, for which nobody waits
                    return
                outcome = "idle" if event.reason else "ok"
                metrics.answered(provider, outcome, event.total_s)
                if event.first_action_s is not None:
                    metrics.acted(provider, event.first_action_s)
            case _:
                pass
