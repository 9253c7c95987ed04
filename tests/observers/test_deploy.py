"""The dashboard and the alert rules name metrics, labels and values that are there, in PromQL that can be parsed."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser as promql
import pytest
import yaml

from semcache.observers.metrics import BUILD_INFO, METRICS, PIPELINE_LABELS, Metric

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
DASHBOARD = json.loads((MONITORING / "grafana-dashboard.json").read_text())
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

SERIES: dict[str, Metric] = {
    name: metric
    for metric in METRICS
    for name in (
        [f"{metric.name}_{part}" for part in ("bucket", "sum", "count")]
        if metric.kind == "histogram"
        else [metric.name]
    )
}
CHILDREN = ("lhs", "rhs", "expr", "args", "vector_selector", "param")


class Query(NamedTuple):
    """An expression, where it stands, and the labels that a text beside it makes use of."""

    where: str
    text: str
    used: frozenset[str]

    def __str__(self) -> str:
        return self.where

    def parsed(self) -> Any:
        # Grafana puts intervals in the place of these; what stands for values of labels is inside of quotes.
        return promql.parse(re.sub(r"\$__\w+", "5m", self.text))


def queries() -> Iterator[Query]:
    for panel in PANELS:
        for target in panel["targets"]:
            used = frozenset(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            yield Query(f"{panel['title']}, {target['refId']}", target["expr"], used)
    for annotation in DASHBOARD["annotations"]["list"]:
        used = frozenset(re.findall(r"\{\{(\w+)\}\}", annotation["titleFormat"]))
        yield Query(annotation["name"], annotation["expr"], used)
    for rule in ALERTS:
        texts = " ".join(rule["annotations"].values())
        yield Query(rule["alert"], rule["expr"], frozenset(re.findall(r"\$labels\.(\w+)", texts)))


QUERIES = tuple(queries())


def parts(node: Any) -> Iterator[Any]:
    """A parsed expression and all that is in it."""
    yield node
    for name in CHILDREN:
        below = getattr(node, name, None)
        for child in below if isinstance(below, list) else [below]:
            if child is not None and not isinstance(child, str | float):
                yield from parts(child)


def selectors(node: Any) -> list[Any]:
    return [part for part in parts(node) if isinstance(part, promql.VectorSelector)]


def labels_of(series: str) -> set[str]:
    metric = SERIES[series]
    shared = () if metric is BUILD_INFO else PIPELINE_LABELS
    return {*shared, *metric.labels, *(["le"] if series.endswith("_bucket") else [])}


def allowed(series: str, label: str) -> set[str] | None:
    """The values that a label may have, None for any."""
    metric = SERIES[series]
    if label not in metric.labels or not metric.values:
        return None
    place = metric.labels.index(label)
    return {row[place] for row in metric.values}


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_metrics_labels_and_values_exist(query: Query) -> None:
    found = selectors(query.parsed())
    assert found
    for selector in found:
        assert selector.name in SERIES, f"{selector.name} is no metric"
        for matcher in selector.matchers.matchers:
            assert matcher.name in labels_of(selector.name), f"{selector.name} has no label {matcher.name}"
            values = allowed(selector.name, matcher.name)
            if values is not None:
                assert set(matcher.value.split("|")) <= values | {""}, str(matcher)


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_groups_are_by_labels_that_are_there(query: Query) -> None:
    grouped: set[str] = set()
    for part in parts(query.parsed()):
        if isinstance(part, promql.AggregateExpr) and part.modifier is not None:
            grouped |= set(part.modifier.labels)
            for selector in selectors(part.expr):
                assert set(part.modifier.labels) <= labels_of(selector.name)
    assert query.used <= grouped, "a text shows a label that the expression does not keep"


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_counters_are_looked_at_by_their_rate_and_gauges_are_not(query: Query) -> None:
    whole = query.parsed()
    ranged = {part.vector_selector.name for part in parts(whole) if isinstance(part, promql.MatrixSelector)}
    counted = {selector.name for selector in selectors(whole) if SERIES[selector.name].kind != "gauge"}
    assert counted == ranged


def test_every_panel_says_what_it_shows_and_has_its_place() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        assert panel["title"] and panel["description"].endswith(".")
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        others = [other["gridPos"] for other in DASHBOARD["panels"] if other is not panel]
        assert not any(_overlap(place, other) for other in others), panel["title"]


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in ("xw", "yh"))


def test_the_dashboard_is_for_any_prometheus_and_any_pipeline() -> None:
    names = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert names == ["datasource", "namespace", "pipeline"]
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in PANELS)
    chosen = [query for query in QUERIES if "$namespace" in query.text and "$pipeline" in query.text]
    assert len(chosen) == len(QUERIES) - len(ALERTS) - 1, "all but the versions"


def test_every_metric_that_tells_of_trouble_is_watched() -> None:
    shown = {SERIES[selector.name].name for query in QUERIES for selector in selectors(query.parsed())}
    assert {
        metric.name
        for metric in METRICS
        if re.search("request|redis|rung_failures|degraded|breaker|errors|failures|queue|trust|drift", metric.name)
    } - shown <= {"semcache_rung_outage_seconds", "semcache_redis_outage_seconds"}


def test_queries_on_the_page_can_be_asked() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text()
    asked = [line for line in page.splitlines() if re.match(r"(sum|histogram_quantile)\b", line)]
    assert len(asked) == 4
    for line in asked:
        assert {selector.name for selector in selectors(promql.parse(line))} <= SERIES.keys()


def headings(page: str) -> Sequence[str]:
    return re.findall(r"^### (\w+)$", (ROOT / "docs" / page).read_text(), re.M)


def test_each_alert_has_its_place_in_the_runbook() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert list(headings("monitoring.md")) == names
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert re.search(r"\.$|\)\.$|in an hour\.$", rule["annotations"]["summary"])
