"""One table of names: what the page and the dashboard say is in it, and all of it."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from reflexarc.observing import Observing
from reflexarc.telemetry import METRICS
from reflexarc.telemetry.names import (
    ASK_SPAN,
    ATTEMPT_SPAN,
    CAPTURE_CONTENT,
    ERROR_TYPES,
    OM1_METRICS,
    OTHER,
    PROVIDERS,
    SECONDS,
    SPAN_ATTRIBUTES,
    TICK_SPAN,
    error_type,
)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
DASHBOARD: dict[str, Any] = json.loads(
    (ROOT / "config" / "grafana" / "reflexarc.json").read_text(encoding="utf-8")
)
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
NAMED = re.compile(r"\b(?:cortex|om1)_\w+")


def rows(first: str) -> dict[str, list[str]]:
    """Rows of the page's tables whose first cell is such a name, by that name."""
    found = re.findall(rf"^\| `({first})` \|(.*)\|$", PAGE, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in found}


def test_the_page_has_every_metric_and_no_other() -> None:
    """With its kind, its labels, and what it tells."""
    assert rows(r"(?:cortex|om1)_\w+") == {
        metric.name: [
            metric.kind,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.help,
        ]
        for metric in (*METRICS, *OM1_METRICS)
    }


def test_the_page_has_every_attribute_and_no_other() -> None:
    """With what it tells; and the spans' names, and the providers'."""
    told = rows(r"(?:gen_ai|server|error|cortex)\.[\w.]+")
    assert {name: cells[0] for name, cells in told.items()} == dict(SPAN_ATTRIBUTES)
    for name in (TICK_SPAN, ASK_SPAN, ATTEMPT_SPAN, f"{CAPTURE_CONTENT}=true"):
        assert f"`{name}`" in PAGE
    for ours, theirs in PROVIDERS.items():
        assert f"{ours}: `{theirs}`" in PAGE


def test_the_page_has_every_setting_with_its_default() -> None:
    """As the configuration has it."""
    told = rows(r"\w+")
    for name, field in Observing.model_fields.items():
        default = "" if field.default is None else str(field.default).lower().removesuffix(".0")
        assert told[name][0] == default


def test_code_on_the_page_runs() -> None:
    """An LLM with spans and metrics, made as the page makes it."""
    [block] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    assert repr(names["llm"]) == "Traced(Measured(LlamaLLM(model='llama3.2')))"
    assert b'cortex_info{robot="spot"' in names["text"]


def test_names_are_as_prometheus_wants_them() -> None:
    """Counters end in total, times are in seconds, and each name is there once."""
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"cortex_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") is (metric.kind == "counter")
        assert metric.name.endswith("_seconds") or metric.kind != "histogram"
    assert list(SECONDS) == sorted(SECONDS)
    assert SECONDS[1] == 0.01


def test_an_error_of_somebodys_own_is_other() -> None:
    """The kinds are those of our tree."""
    assert {"timeout", "auth", "resting", "truncated"} <= ERROR_TYPES
    assert error_type("timeout") == "timeout"
    assert error_type("ValueError") == error_type("") == OTHER


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    """By the names under which a histogram is exposed."""
    shown = {
        re.sub(r"_(bucket|count|sum)$", "", name)
        for expression in EXPRESSIONS
        for name in NAMED.findall(expression)
    }
    assert shown == {metric.name for metric in METRICS}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_labels_that_there_are(expression: str) -> None:
    """What it sums by, and what it takes of whom; brackets close."""
    [name] = set(NAMED.findall(expression))
    bare = re.sub(r"_(bucket|count|sum)$", "", name)
    metric = next(each for each in METRICS if each.name == bare)
    for labels in re.findall(r"by \(([^)]*)\)", expression):
        assert {label.strip() for label in labels.split(",")} <= {*metric.labels, "le"}
    assert ("_bucket" in expression) is ("histogram_quantile" in expression)
    assert ("rate(" in expression) is (metric.kind != "gauge")
    assert '{instance=~"$instance"}' in expression
    assert expression.count("(") == expression.count(")")


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    """It asks for its data source when it is imported, and names none of anybody's."""
    [wanted] = DASHBOARD["__inputs"]
    assert (wanted["name"], wanted["type"], wanted["pluginId"]) == (
        "DS_PROMETHEUS",
        "datasource",
        "prometheus",
    )
    assert DASHBOARD["id"] is None
    assert DASHBOARD["schemaVersion"] >= 36
    assert {"grafana", "datasource", "panel"} == {each["type"] for each in DASHBOARD["__requires"]}
    source = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
    queries = [target for panel in PANELS for target in panel["targets"]]
    for each in (*PANELS, *queries, *DASHBOARD["templating"]["list"]):
        assert each["datasource"] == source
    required = {each["id"] for each in DASHBOARD["__requires"] if each["type"] == "panel"}
    assert {panel["type"] for panel in PANELS} == required


def test_panels_lie_beside_each_other() -> None:
    """Each has a number and a place of its own in the 24 columns, and says what it shows."""
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for one, other in combinations((panel["gridPos"] for panel in PANELS), 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart
