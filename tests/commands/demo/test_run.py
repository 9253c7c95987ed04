"""A whole demo with small models."""

import pytest

from semcache.commands.demo.replay import SLOW_SPELL
from semcache.commands.demo.report import pairs_of, total_without_s
from semcache.commands.demo.retriever import CANDIDATES
from semcache.commands.demo.run import DemoResult
from semcache.ranking import Status
from tests.commands.demo.conftest import REQUESTS, Steps


class TestReplay:
    def test_every_request_is_answered_with_its_own_documents(self, result: DemoResult) -> None:
        assert len(result.served) == REQUESTS
        for answered in result.served:
            assert all(any(document is own for own in answered.documents) for document in answered.ranking)

    # Pruning takes some hundred requests to prove that it costs nothing, more than a demo has.
    @pytest.mark.parametrize("status", [status for status in Status if status is not Status.PRUNED])
    def test_every_status_occurs(self, result: DemoResult, status: Status) -> None:
        assert any(answered.ranking.status is status for answered in result.served)

    def test_only_the_slow_spell_degrades_and_the_primary_comes_back(self, result: DemoResult) -> None:
        first = int(SLOW_SPELL[0] * REQUESTS)
        degraded = [
            number for number, answered in enumerate(result.served) if answered.ranking.status is Status.DEGRADED
        ]
        assert min(degraded) >= first
        assert result.transitions[0][1].new == "open" and result.transitions[0][0] >= first
        assert result.served[-1].ranking.status is not Status.DEGRADED or result.transitions[-1][1].new == "closed"

    def test_exact_and_semantic_answers_ask_nothing(self, result: DemoResult) -> None:
        for answered in result.served:
            if answered.ranking.status in (Status.EXACT, Status.SEMANTIC):
                assert (answered.ranking.asked, answered.ranking.reused) == (0, CANDIDATES)

    def test_pairs_add_up(self, result: DemoResult) -> None:
        answered = [answered for answered in result.served if answered.ranking.status is not Status.DEGRADED]
        assert sum(pairs_of(result.served)) == CANDIDATES * len(answered)

    def test_the_sample_without_a_cache_is_an_eighth(self, result: DemoResult) -> None:
        assert [again.served for again in result.uncached] == list(result.served[::8])
        assert total_without_s(result) > 0

    def test_exact_answers_are_those_of_fresh_scoring(self, result: DemoResult) -> None:
        exact = [again for again in result.uncached if again.served.ranking.status is Status.EXACT]
        assert exact and all(again.overlap == 1 for again in exact)

    def test_progress_is_shown_to_the_end(self, steps: Steps, result: DemoResult) -> None:
        last = {task: (step, of) for task, step, of in steps}
        assert last["replaying"] == (REQUESTS, REQUESTS)
        assert all(step == of for step, of in last.values())
