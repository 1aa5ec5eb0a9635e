"""The two metrics by which OM1 times its language models, told as OM1's own plugins do.

OM1 makes them where its package ``prometheus`` is imported, which opens port 9090 and fails if
somebody has made them before. So its own are used once they are there; nothing is made where that
package may still come; and only in a checkout without it are they made here, in the default
registry, for whoever shows that. No port is opened.

Notes
-----
OpenMind/OM1 src/prometheus/__init__.py at b168f0d, read 2026-11-28.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from reflexarc.telemetry.metrics import has_prometheus, make_collector
from reflexarc.telemetry.names import OM1_LATENCY, OM1_LATENCY_LAST, Metric

_OM1S = "prometheus"
_OM1S_NAMES = ("om1_llm_latency", "om1_llm_latency_last")

ON_BOARD = "onboard"
"""The endpoint of a model that asks no server."""


class Latency:
    """How long one plugin's answers take; without prometheus-client it tells nobody.

    Parameters
    ----------
    model : str
        As configured.
    base_url : str or None
        The server; neither user nor password nor query of it is told. None is the robot itself.
    """

    def __init__(self, model: str, base_url: str | None) -> None:
        self._labels = {"model": model, "endpoint": endpoint(base_url)}
        self._made: list[Any] = []
        self._has_looked = False

    def observe(self, seconds: float) -> None:
        """Tell it; inside a running loop, which does not wait.

        Parameters
        ----------
        seconds : float
            From the question to the end of the answer.
        """
        if self._has_looked:
            self._tell(seconds)
        else:  # the first time packages are looked for and loaded, which takes its time
            asyncio.get_running_loop().run_in_executor(None, self._look, seconds)

    def _look(self, seconds: float) -> None:
        if has_prometheus() and _OM1S not in sys.modules and find_spec(_OM1S) is None:
            self._made = [*map(_get_or_create, (OM1_LATENCY, OM1_LATENCY_LAST))]
        self._has_looked = True
        self._tell(seconds)

    def _tell(self, seconds: float) -> None:
        om1s = sys.modules.get(_OM1S)
        found = [getattr(om1s, name, None) for name in _OM1S_NAMES]
        latency, last = self._made or found
        with suppress(ValueError):  # if OM1 labels them otherwise one day, an answer is worth more
            if latency is not None:
                latency.labels(**self._labels).observe(seconds)
            if last is not None:
                last.labels(**self._labels).set(seconds)


def endpoint(base_url: str | None) -> str:
    """A server's address as a label.

    Parameters
    ----------
    base_url : str or None
        As configured.

    Returns
    -------
    str
        Without user, password, query and fragment; `ON_BOARD` for None.
    """
    if base_url is None:
        return ON_BOARD
    parts = urlsplit(base_url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _get_or_create(metric: Metric) -> Any:
    from prometheus_client import REGISTRY

    try:
        return make_collector(metric, REGISTRY)
    except ValueError:  # another one of that name is there; the registry has no other way to ask
        return REGISTRY._names_to_collectors.get(metric.name)  # pyright: ignore[reportPrivateUsage]
