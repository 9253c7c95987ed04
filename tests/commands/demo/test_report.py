"""The tables of the demo."""

from io import StringIO

from rich.console import Console

from semcache.commands.demo.report import figures, report
from semcache.commands.demo.run import DemoResult
from semcache.ranking import Status


def printed(result: DemoResult) -> str:
    text = StringIO()
    Console(width=80, file=text).print(report(result))
    return text.getvalue()


def test_without_a_slow_spell_nothing_is_said_of_one(result: DemoResult) -> None:
    assert "made slow" not in printed(DemoResult(result.served[:10], result.uncached[:2], [], result.threshold_s))


def test_the_report_fits_80_columns_and_says_what_matters(result: DemoResult) -> None:
    text = printed(result)
    assert max(map(len, text.splitlines())) <= 80
    for word in (*Status, "p95", "pairs asked", "avoided", "with the cache", "without it", "made slow", "half-open"):
        assert word in text
    assert "…" not in text


def test_the_figures_are_those_of_the_requests(result: DemoResult) -> None:
    found = figures(result)
    assert sum(found["statuses"].values()) == found["requests"] == len(result.served)
    assert found["pairs_asked"] > 0 and found["with_cache_s"] > 0
