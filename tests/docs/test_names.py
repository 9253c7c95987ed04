"""Settings and variables that pages name are there, and the page of settings says what the code says."""

import os
import re

import pytest

import semcache
from docs._make import events_page, metrics_page, settings_page
from semcache.observers.metrics import METRICS
from semcache.settings import Rung, Settings, explain
from semcache.settings.environment import is_of_a_service
from semcache.settings.knobs import knobs
from semcache.settings.sources import variables
from tests.docs.pages import PAGES

PATHS = {".".join(path) for path, _ in knobs(Settings)} | {f"rerankers[].{name}" for name in Rung.model_fields}
VARIABLES = {*variables(Settings), "SEMCACHE_CONFIG"}


def test_the_page_of_settings_is_what_the_code_writes() -> None:
    assert PAGES["docs/settings.md"] == settings_page.page(), "write it anew by `make docs-pages`"


def test_the_page_of_events_is_what_the_code_writes() -> None:
    assert PAGES["docs/events.md"] == events_page.page(), "write it anew by `make docs-pages`"


def test_the_page_of_metrics_is_what_the_code_writes() -> None:
    assert PAGES["docs/metrics.md"] == metrics_page.page(), "write it anew by `make docs-pages`"


@pytest.mark.parametrize("page", PAGES)
def test_metrics_exist(page: str) -> None:
    """Names in backticks that begin as metrics do, also with the endings that histograms get in a query."""
    named = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"`(semcache_[a-z_]+)`", PAGES[page])}
    assert named - {"semcache_event"} <= {metric.name for metric in METRICS}


def test_the_page_of_the_api_has_every_public_name() -> None:
    assert {name for name in semcache.__all__ if not re.search(rf"\b{name}\b", PAGES["docs/api.md"])} <= {
        "SemcacheError"
    }
    assert "::: semcache.errors" in PAGES["docs/api.md"], "which has SemcacheError"


@pytest.mark.parametrize("page", PAGES)
def test_variables_exist(page: str) -> None:
    named = set(re.findall(r"\bSEMCACHE_[A-Z][A-Z0-9_]+\b", PAGES[page]))
    others = {
        name for name in named if name.startswith("SEMCACHE_BENCH_") or is_of_a_service(name, "tcp://10.0.0.1:80")
    }
    assert named - others <= VARIABLES


@pytest.mark.parametrize("page", PAGES)
def test_settings_exist(page: str) -> None:
    sections = "|".join(Settings.model_fields)
    named = set(re.findall(rf"`((?:{sections})\.\w+)(?::[^`]*)?`", PAGES[page]))
    assert {name for name in named if not name.endswith(".py")} <= PATHS


def test_arguments_of_constructors_are_found() -> None:
    assert settings_page.arguments_of("cache.ttl_s") == ["ttl", "cache_ttl"]
    assert settings_page.arguments_of("reuse.guard") == ["guard"]
    assert settings_page.arguments_of("redis.budget_s") == []
    assert settings_page.arguments_of("rerankers[].concurrency") == []


def test_defaults_of_the_variables_that_are_set_most_often_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    # All tests wait for Redis longer than the defaults say.
    for variable in [name for name in os.environ if name.startswith("SEMCACHE_")]:
        monkeypatch.delenv(variable)
    table = re.findall(
        r"^\| `(SEMCACHE_\w+)` \| .* \| (?:`(.+)`|([\d.]+)) \|$", PAGES["docs/configuration.md"], re.MULTILINE
    )
    assert len(table) == 10
    defaults = {line.setting: line.value for line in explain(Settings())}
    for variable, text, number in table:
        path, _ = variables(Settings)[variable]
        assert (text or float(number)) == defaults[".".join(path)]


def test_the_figures_of_the_readme_are_those_of_the_page_of_numbers() -> None:
    (table,) = re.findall(r"^## What it brings$.*?^\| \| \|\n(.*?)\n\n", PAGES["README.md"], re.MULTILINE | re.DOTALL)
    figures = re.findall(r"[-+]?\d[\d.,]*\d", "".join(row.split("|")[2] for row in table.splitlines()))
    assert len(figures) > 12
    numbers = PAGES["docs/numbers.md"]
    assert [figure for figure in figures if figure not in numbers] == []
