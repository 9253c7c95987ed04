"""The requests of the demo."""

from collections import Counter

import pytest

from semcache.commands.demo.corpus import Corpus
from semcache.commands.demo.traffic import TENANTS, traffic


class TestTraffic:
    def test_the_seed_decides(self, corpus: Corpus) -> None:
        assert traffic(corpus.questions, 100, 1) == traffic(corpus.questions, 100, 1)
        assert traffic(corpus.questions, 100, 1) != traffic(corpus.questions, 100, 2)

    @pytest.mark.parametrize("requests", [1, 20, 300, 3000])
    def test_as_many_are_made_as_asked_for(self, corpus: Corpus, requests: int) -> None:
        assert len(traffic(corpus.questions, requests, 7)) == requests

    def test_there_is_some_of_everything(self, corpus: Corpus) -> None:
        requests = traffic(corpus.questions, 300, 7)
        assert {request.tenant for request in requests} == set(TENANTS)
        assert any(request.variant is not None for request in requests)
        counts = Counter((request.tenant, request.query) for request in requests)
        assert max(counts.values()) > 1
        rewrites = {phrasing for question in corpus.questions for phrasing in question[1:]}
        assert rewrites & {request.query for request in requests}
