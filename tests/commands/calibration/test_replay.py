"""What was near and known when each request came."""

import numpy as np

from semcache.commands.calibration.log import Logged
from semcache.commands.calibration.replay import nearest_earlier, replay
from semcache.guards import CueGuard
from tests.fakes import WordEmbedder


class TestReplay:
    def test_only_what_was_asked_before_is_known(self) -> None:
        log = [
            Logged("reset password", ("a", "b")),
            Logged("reset my password", ("b", "c")),
            Logged("reset  password", ("a", "c")),
        ]
        vectors = WordEmbedder().embed(["reset password", "reset my password"])
        first, second, third = replay(log, vectors, CueGuard(), 4)
        assert (first.near, first.exact) == ((), frozenset())
        assert [near.known for near in second.near] == [frozenset(second.fingerprints[:1])]
        assert third.exact == frozenset(third.fingerprints[:1])
        assert [near.known for near in third.near] == [frozenset(third.fingerprints[1:])]

    def test_neighbours_are_those_of_a_comparison_with_all_that_came_before(self) -> None:
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(40, 4)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        rows = np.concatenate((np.arange(25), rng.integers(0, 25, 30), np.arange(25, 40)))
        for at, near in enumerate(nearest_earlier(vectors, rows, 3)):
            before = set(rows[:at].tolist()) - {int(rows[at])}
            expected = sorted(((float(vectors[rows[at]] @ vectors[other]), other) for other in before), reverse=True)
            assert [other for other, _ in near] == [other for cosine, other in expected if cosine >= 0.45][:3]
