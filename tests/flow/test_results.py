"""Whole result lists, over the memory store."""

import pytest

from semcache.errors import InvalidInputError
from semcache.flow.calls import Calls
from semcache.flow.policy import FlowPolicy, ReusePolicy
from semcache.flow.requests import checked_request
from semcache.flow.rerank import remember
from semcache.flow.results import find_results, ranks
from semcache.flow.run import run
from semcache.protocols import Store
from tests.fakes import MemoryStore, WordEmbedder

QUERY = "how far is the moon"


class Lists:
    """Remembers result lists and finds them again."""

    def __init__(self, policy: FlowPolicy | None = None) -> None:
        self.policy = policy or FlowPolicy(ReusePolicy())
        self.store, self.embedder = MemoryStore(listwise=True), WordEmbedder()
        self.calls: Calls[Store] = Calls(self.store, self.embedder.embed, None, 4, lambda event: None)

    def set(self, query: str, documents: list[str], results: list[str]) -> None:
        request = checked_request(query, documents, 1)
        run(remember(request, self.policy, ranks(request, results)), self.calls)

    def get(self, query: str, documents: list[str]) -> list[str] | None:
        return run(find_results(checked_request(query, documents, 1), documents, self.policy), self.calls)


def test_ranks_fall_by_one_and_mark_what_is_not_listed() -> None:
    request = checked_request("q", ["a", "b", "c"], 1)
    stored = dict(ranks(request, ["c", "a"]))
    assert [stored[fingerprint] for fingerprint in request.fingerprints] == [-1.0, -1e30, 0.0]


def test_a_text_listed_twice_has_the_rank_of_its_first_place() -> None:
    request = checked_request("q", ["a", "b"], 1)
    assert [rank for _, rank in ranks(request, ["b", "b", "a"])] == [-1.0, 0.0]


def test_a_result_that_is_no_candidate_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="the result 'x' is none of the documents"):
        ranks(checked_request("q", ["a"], 1), ["x"])


def test_a_list_is_found_by_its_query_and_without_embedding() -> None:
    lists = Lists()
    lists.set(QUERY, ["a", "b", "c"], ["c", "a", "b"])
    lists.embedder.texts.clear()
    assert lists.get(QUERY, ["a", "b", "c"]) == ["c", "a", "b"]
    assert lists.get(QUERY, ["b", "c"]) == ["c", "b"], "a full list orders fewer candidates"
    assert lists.embedder.texts == []


def test_a_shortened_list_is_served_only_when_all_of_it_is_there() -> None:
    lists = Lists()
    lists.set(QUERY, ["a", "b", "c"], ["c"])
    assert lists.get(QUERY, ["a", "b", "c"]) == ["c"]
    assert lists.get(QUERY, ["c", "a"]) == ["c"]
    assert lists.get(QUERY, ["a", "b"]) is None


def test_an_unknown_candidate_is_a_miss() -> None:
    lists = Lists()
    lists.set(QUERY, ["a", "b"], ["b", "a"])
    assert lists.get(QUERY, ["a", "b", "new"]) is None


def test_equal_texts_come_back_side_by_side() -> None:
    lists = Lists()
    lists.set(QUERY, ["a", "b", "a"], ["b", "a"])
    assert lists.get(QUERY, ["a", "b", "a"]) == ["b", "a", "a"]


def test_a_trusted_query_serves_its_list_and_the_nearest_that_covers_the_candidates_wins() -> None:
    lists = Lists(FlowPolicy(ReusePolicy(trust_threshold=0.7, reuse_threshold=0.6)))
    lists.set("how far is the red moon", ["a", "b"], ["a", "b"])
    lists.set("the moon is how far", ["a"], ["a"])
    assert lists.get(QUERY, ["b", "a"]) == ["a", "b"]
    assert lists.get("best pizza dough", ["b", "a"]) is None


@pytest.mark.parametrize("policy", [FlowPolicy(None), FlowPolicy(ReusePolicy(), max_query_chars=5)])
def test_without_reuse_and_for_long_queries_only_the_query_itself_is_looked_up(policy: FlowPolicy) -> None:
    lists = Lists(policy)
    lists.set(QUERY, ["a"], ["a"])
    assert lists.get(QUERY, ["a"]) == ["a"]
    assert lists.get("the moon is how far", ["a"]) is None
    assert lists.embedder.texts == []


def test_an_embedder_that_fails_is_a_miss() -> None:
    lists = Lists()
    lists.set(QUERY, ["a"], ["a"])
    lists.calls.embed = lambda texts, timeout_s=None: []  # type: ignore[assignment, return-value]
    assert lists.get("the moon is how far", ["a"]) is None


def test_a_list_is_not_served_where_trust_was_withdrawn() -> None:
    documents = ["a red car", "the moon"]
    near = Lists(FlowPolicy(ReusePolicy(trust_threshold=0.9), trust_near=False))
    near.set("red apple pie", documents, documents)
    assert near.get("red apple pie", documents) == documents
    assert near.get("apple pie red", documents) is None
    nothing = Lists(FlowPolicy(ReusePolicy(trust_threshold=0.9), trust_near=False, trust_exact=False))
    nothing.set("red apple pie", documents, documents)
    assert nothing.get("red apple pie", documents) is None
