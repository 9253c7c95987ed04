"""Counters, which get_stats returns."""

import threading
from typing import Any

import pytest

from semcache.events import CacheFailed, Event, NeighboursSkipped, RungFailed, TrustRefused
from semcache.observers import Counters
from semcache.ranking import Status
from tests.observers.samples import ONE_OF_EACH, reranked


def counts_after(*events: Event) -> dict[str, Any]:
    counters = Counters()
    for event in events:
        counters(event)
    return counters.snapshot()


def test_nothing_happened() -> None:
    counts = counts_after()
    assert (counts["requests"], counts["cache_hits"], counts["cache_misses"]) == (0, 0, 0)
    assert counts["hit_rate"] == "0.00%"
    assert counts["by_status"] == dict.fromkeys([status.value for status in Status], 0)


@pytest.mark.parametrize(
    ("status", "hits"), [("exact", 1), ("semantic", 1), ("verified", 1), ("partial", 1), ("fresh", 0), ("degraded", 0)]
)
def test_what_counts_as_a_hit(status: str, hits: int) -> None:
    counts = counts_after(reranked(status))
    assert (counts["cache_hits"], counts["cache_misses"]) == (hits, 1 - hits)
    assert counts["by_status"][status] == 1


@pytest.mark.parametrize(("reused", "hits"), [(0, 0), (7, 1)])
def test_a_pruned_request_is_a_hit_where_scores_of_its_query_helped(reused: int, hits: int) -> None:
    counts = counts_after(reranked("pruned", asked=0, reused=reused, skipped=3))
    assert (counts["cache_hits"], counts["cache_misses"]) == (hits, 1 - hits)


def test_the_rate_has_two_digits() -> None:
    assert counts_after(reranked("exact"), reranked("partial"), reranked("fresh"))["hit_rate"] == "66.67%"


def test_a_request_without_documents_is_neither_hit_nor_miss() -> None:
    counts = counts_after(reranked("exact", documents=0, asked=0))
    assert (counts["requests"], counts["cache_hits"], counts["cache_misses"]) == (1, 0, 0)


def test_pairs_and_reasons_add_up() -> None:
    counts = counts_after(
        reranked("partial", asked=3, reused=7),
        reranked("degraded", reason="open", asked=0),
        reranked("degraded", reason="open", asked=0),
        reranked("verified", reason="budget", asked=5, reused=5),
    )
    assert (counts["pairs_asked"], counts["pairs_reused"]) == (8, 12)
    assert counts["by_reason"] == {"open": 2, "budget": 1}


def test_what_went_wrong_is_counted() -> None:
    counts = counts_after(
        CacheFailed("Embed", "x"), NeighboursSkipped(3), RungFailed("a", "x"), TrustRefused("number", 0.98)
    )
    assert counts["cache_failures"] == counts["rung_failures"] == counts["trust_refused"] == 1
    assert counts["neighbours_skipped"] == 3


def test_every_kind_of_event_is_taken() -> None:
    assert counts_after(*ONE_OF_EACH)["requests"] == 1


def test_threads_lose_no_count() -> None:
    counters = Counters()
    threads = [threading.Thread(target=lambda: [counters(reranked("exact")) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.snapshot()["cache_hits"] == 4000
    assert repr(counters) == "<Counters 4000 requests, 100.00% hits>"


def test_a_snapshot_does_not_change_later() -> None:
    counters = Counters()
    before = counters.snapshot()
    counters(reranked("degraded", reason="open"))
    assert before["by_reason"] == {} and before["by_status"]["degraded"] == 0
