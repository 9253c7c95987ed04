"""The contract for stores accepts what keeps it, finds what does not, and needs no pytest."""

import unittest
from collections.abc import Sequence
from typing import Any

import pytest

from semcache.entries.entry import Neighbour
from semcache.protocols import FloatArray, Store
from semcache.testing import AsyncStoreContract, StoreContract
from tests.fakes import MemoryStore


class ForgetsTenants(MemoryStore):
    def read_exact(self, tenant: str, query: str) -> Any:
        return super().read_exact("", query)

    def remember(self, tenant: str, *arguments: Any, **named: Any) -> bool:
        return super().remember("", *arguments, **named)


class KeepsFirstScores(MemoryStore):
    def remember(self, tenant: str, query: str, vector: Any, scores: Sequence[Any], **named: Any) -> bool:
        known = self.read_exact(tenant, query) or {}
        return super().remember(tenant, query, vector, [score for score in scores if score[0] not in known], **named)


class AlwaysMerges(MemoryStore):
    def __init__(self, *, listwise: bool = False) -> None:
        super().__init__(listwise=False)


class FarthestFirst(MemoryStore):
    def find_neighbours(self, tenant: str, vector: FloatArray, k: int, min_similarity: float = -1.0) -> list[Neighbour]:
        return super().find_neighbours(tenant, vector, k, min_similarity)[::-1]


class OneTooMany(MemoryStore):
    def find_neighbours(self, tenant: str, vector: FloatArray, k: int, min_similarity: float = -1.0) -> list[Neighbour]:
        return super().find_neighbours(tenant, vector, k + 1, min_similarity)


class TakesAnySimilarity(MemoryStore):
    def find_neighbours(self, tenant: str, vector: FloatArray, k: int, min_similarity: float = -1.0) -> list[Neighbour]:
        return super().find_neighbours(tenant, vector, k)


class NeverEnds(MemoryStore):
    def remember(self, *arguments: Any, ttl_s: float | None = None, **named: Any) -> bool:
        return super().remember(*arguments, **named)


class ClearsOneTenant(MemoryStore):
    def clear(self) -> int:
        return self.forget("")


class CountsScores(MemoryStore):
    def count(self) -> int:
        return 2 * super().count()


def failures(kind: type[MemoryStore]) -> set[str]:
    """The tests of the contract that a store fails, run by unittest."""

    class Contract(StoreContract, unittest.TestCase):
        def make_store(self, *, listwise: bool = False) -> Store:
            return kind(listwise=listwise)

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Contract).run(result)
    assert result.testsRun == 19
    return {test.id().rpartition(".")[2].removeprefix("test_") for test, _ in (*result.failures, *result.errors)}


def test_a_store_that_keeps_the_contract_passes() -> None:
    assert failures(MemoryStore) == set()


@pytest.mark.parametrize(
    ("kind", "found_by"),
    [
        (ForgetsTenants, "tenants_are_kept_apart"),
        (KeepsFirstScores, "later_scores_are_merged"),
        (AlwaysMerges, "a_listwise_order_is_replaced"),
        (FarthestFirst, "neighbours_come_nearest_first"),
        (OneTooMany, "neighbours_are_at_most_k_and_similar_enough"),
        (TakesAnySimilarity, "neighbours_are_at_most_k_and_similar_enough"),
        (NeverEnds, "an_impossible_ttl_is_refused"),
        (ClearsOneTenant, "clearing_removes_every_tenant"),
        (CountsScores, "clearing_removes_every_tenant"),
    ],
)
def test_a_store_that_breaks_the_contract_fails(
    kind: type[MemoryStore], found_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semcache.testing.scenarios.EXPIRY_PATIENCE_S", 0.05)
    assert found_by in failures(kind)


def test_both_contracts_have_the_same_tests() -> None:
    of_threads = {"test_scores_added_by_several_threads_are_all_kept"}
    assert set(dir(StoreContract)) - set(dir(AsyncStoreContract)) == of_threads
    assert set(dir(AsyncStoreContract)) <= set(dir(StoreContract))


def test_a_contract_without_a_store_says_what_to_define() -> None:
    with pytest.raises(NotImplementedError, match="define make_store"):
        StoreContract().test_scores_are_read_back()
