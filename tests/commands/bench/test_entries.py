"""The invented entries: what is near to what, and that a number is always the same entry."""

import numpy as np
import pytest

from semcache.commands.bench.entries import NEAR, SyntheticEntries
from semcache.commands.demo.corpus import load_corpus
from semcache.guards import CueGuard


class TestEntries:
    @pytest.fixture
    def entries(self) -> SyntheticEntries:
        return SyntheticEntries.of(load_corpus(), 384, 50)

    def test_a_rewording_is_near_and_no_guard_refuses_it(self, entries: SyntheticEntries) -> None:
        guard = CueGuard()
        for number in range(50):
            text, vector = entries.rewording(number)
            assert vector @ entries.vector(number) == pytest.approx(NEAR, abs=1e-5)
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
            assert guard.difference(guard.cues(text), guard.cues(entries.query(number))) is None
            assert text != entries.query(number)

    @pytest.mark.parametrize("documents", [1, 50, 300])
    def test_the_documents_of_a_request_are_all_different(self, documents: int) -> None:
        entries = SyntheticEntries.of(load_corpus(), 8, documents)
        for number in (0, 1, 19, 20, 12345):
            assert len(set(entries.texts(number))) == documents == len(entries.scores(number))

    def test_a_number_is_always_the_same_entry(self, entries: SyntheticEntries) -> None:
        one, two = entries.entry(3, None), entries.entry(3, None)
        assert (one.query, one.scores) == (two.query, two.scores)
        assert (one.vector == two.vector).all() and not (one.vector == entries.vector(4)).any()
