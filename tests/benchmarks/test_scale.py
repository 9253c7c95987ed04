"""The model behind ``benchmarks.scale``, and the vectors that are made where there are too few real ones."""

import numpy as np
import pytest

from benchmarks import scale_vectors, vectors
from benchmarks.scale_model import Growth, Measured, cluster, deviation
from semcache.redis.sizes import ef_for

SMALL = Measured(10_000, search_ms=0.1, insert_ms=0.3, delete_ms=0.2, read_ms=0.002)
LARGE = Measured(100_000, search_ms=0.25, insert_ms=0.6, delete_ms=0.5, read_ms=0.003)
GROWTH = Growth.of(SMALL, LARGE)
STEADY = np.ones(100)


class TestModel:
    @pytest.mark.parametrize("seen", [SMALL, LARGE])
    def test_it_gives_back_what_it_was_made_from(self, seen: Measured) -> None:
        again = GROWTH.at(seen.entries)
        assert (again.search_ms, again.insert_ms, again.delete_ms) == pytest.approx(
            (seen.search_ms, seen.insert_ms, seen.delete_ms)
        )

    def test_a_search_grows_with_the_candidates_that_are_kept(self) -> None:
        assert ef_for(300_000) < ef_for(300_001)
        assert GROWTH.at(300_001).search_ms > 2 * GROWTH.at(300_000).search_ms - GROWTH.fixed_ms

    def test_deviations_are_shares_of_what_was_measured(self) -> None:
        rows = {row["of"]: row["off"] for row in deviation(LARGE, SMALL)}
        assert rows == pytest.approx({"search": 1.5, "insert": 1.0, "delete": 1.5, "read": 0.5})

    def test_more_shards_hold_less_each_and_wait_for_the_slowest(self) -> None:
        restless = np.concatenate([np.ones(95), np.full(5, 10.0)])
        few, many = (cluster(GROWTH, restless, 0.4, 10**8, shards, exact=0.5) for shards in (16, 64))
        assert many["entries_each"] * 4 == few["entries_each"]
        assert many["search_ms"] < few["search_ms"]
        assert many["slowest_of_all_ms"] > 5 * many["search_ms"]
        steady = cluster(GROWTH, STEADY, 0.4, 10**8, 64, exact=0.5)
        assert steady["slowest_of_all_ms"] == pytest.approx(steady["search_ms"])

    def test_searches_limit_the_requests_and_exact_hits_do_not(self) -> None:
        of_searches, of_exact = (cluster(GROWTH, STEADY, 0.4, 10**8, 64, exact=share) for share in (0.1, 0.9))
        assert of_exact["requests_per_s"] > 8 * of_searches["requests_per_s"]
        assert of_exact["memory_gib"] == of_searches["memory_gib"] > 300


def test_ranked_gives_the_greatest_similarities_of_all() -> None:
    rng = np.random.default_rng(1)
    drawn = rng.standard_normal((vectors.PART + 500, 8)).astype(np.float32)
    stored = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    probes = stored[[3, vectors.PART + 7]]
    best = scale_vectors.ranked(probes, stored, 3)
    assert best == pytest.approx(-np.sort(-(probes @ stored.T), axis=1)[:, :3], abs=1e-5)
