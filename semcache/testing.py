"""Contracts for a store of your own: subclass them in your tests, and your store is checked as semcache's own are.

Tests are methods named ``test_*`` that use plain assertions, so any runner that collects such classes will do. With
pytest, ``pytest.register_assert_rewrite("semcache.testing")`` in ``conftest.py`` shows the values of a failed one.
"""

from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import numpy as np

from semcache.entries.entry import Neighbour
from semcache.entries.fingerprint import entry_id
from semcache.flow.drive import adrive, drive
from semcache.protocols import AsyncStore, FloatArray, Store

DIMS = 16
"""Length of the vectors that the contracts store."""
TOLERANCE = 2e-3
"""How far numbers of a stored vector, and cosines, may be off: a store may round vectors to float16."""

EXPIRY_PATIENCE_S = 10.0
"""How long an entry with a time to live of 1 ms may still be there."""

# Characters that query languages, key patterns and string formats treat specially, and a string that UTF-8 cannot hold.
_AWKWARD_TENANTS = ("t", "T", "t ", "a:b", "a-b.c", "{x}", "*", "|", ':/-. {}*|@"\\', "ünïcödé 北京", "\udc80", "\0")

_EitherStore = Store | AsyncStore
_Scenario = Callable[[_EitherStore], Generator[Any, Any, None]]
"""Yields what a method of the store returned, and is sent its result. So one text serves both kinds of store."""


def vector(seed: int) -> FloatArray:
    """The same unit vector for the same seed; the cosine of any two of the first hundred is below 0.8."""
    drawn = np.random.default_rng(seed).standard_normal(DIMS).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn), dtype=np.float32)


def near(origin: FloatArray, similarity: float) -> FloatArray:
    """A unit vector of this cosine to another one."""
    other = vector(10**6)
    aside = other - (other @ origin) * origin
    turned = similarity * origin + np.sqrt(1 - similarity**2) * aside / np.linalg.norm(aside)
    return np.asarray(turned, dtype=np.float32)


def document(number: int) -> bytes:
    """The fingerprint of a document."""
    return number.to_bytes(16, "big")


_A, _B, _C = document(1), document(2), document(3)


def _a_new_query_is_unknown(store: _EitherStore) -> Generator[Any, Any, None]:
    assert (yield store.read_exact("", "q")) is None
    assert (yield store.read_vector("", "q")) is None
    assert list((yield store.find_neighbours("", vector(1), 4))) == []
    assert (yield store.count()) == 0


def _scores_are_read_back(store: _EitherStore) -> Generator[Any, Any, None]:
    assert (yield store.remember("", "q", vector(1), [(_A, 1.5), (_B, -2.25)])) is True
    assert dict((yield store.read_exact("", "q"))) == {_A: 1.5, _B: -2.25}


def _white_space_makes_no_other_query(store: _EitherStore) -> Generator[Any, Any, None]:
    yield store.remember("", "two  words ", vector(1), [(_A, 1.0)])
    assert dict((yield store.read_exact("", " two words"))) == {_A: 1.0}
    assert (yield store.read_exact("", "twowords")) is None


def _queries_are_read_together_in_order(store: _EitherStore) -> Generator[Any, Any, None]:
    yield store.remember("", "one", vector(1), [(_A, 1.0)])
    yield store.remember("", "three", vector(3), [(_C, 3.0)])
    one, two, three = yield store.read_exact_many("", ["one", "two", "three"])
    assert (dict(one), two, dict(three)) == ({_A: 1.0}, None, {_C: 3.0})


def _later_scores_are_merged(store: _EitherStore) -> Generator[Any, Any, None]:
    yield store.remember("", "q", vector(1), [(_A, 1.0), (_B, 2.0)])
    assert (yield store.remember("", "q", None, [(_B, 3.0), (_C, 4.0)])) is True
    assert dict((yield store.read_exact("", "q"))) == {_A: 1.0, _B: 3.0, _C: 4.0}
    (found,) = yield store.find_neighbours("", vector(1), 4)
    assert dict(found.scores) == {_A: 1.0, _B: 3.0, _C: 4.0}


def _a_listwise_order_is_replaced(store: _EitherStore) -> Generator[Any, Any, None]:
    yield store.remember("", "q", vector(1), [(_A, 1.0), (_B, 0.0)])
    yield store.remember("", "q", None, [(_C, 0.0)])
    assert dict((yield store.read_exact("", "q"))) == {_C: 0.0}


def _nothing_is_made_of_empty_input(store: _EitherStore) -> Generator[Any, Any, None]:
    assert (yield store.remember("", "q", vector(1), [])) is False
    assert (yield store.read_exact("", "q")) is None
    assert list((yield store.find_neighbours("", vector(1), 4))) == []
    assert list((yield store.read_exact_many("", []))) == []
    assert list((yield store.find_neighbours_many("", [], 4))) == []


def _the_vector_is_read_back(store: _EitherStore) -> Generator[Any, Any, None]:
    yield store.remember("", "q", vector(1), [(_A, 1.0)])
    yield store.remember("", "q", vector(2), [(_B, 1.0)])
    read = yield store.read_vector("", "q")
    assert (read.shape, read.dtype) == ((DIMS,), np.float32)
    assert abs(float(np.linalg.norm(read)) - 1) < 1e-5, "a vector comes back with length 1"
    assert np.allclose(read, vector(1), atol=TOLERANCE), "the first vector of an entry stays"


def _without_a_vector_an_entry_is_no_neighbour(store: _EitherStore) -> Generator[Any, Any, None]:
    yield store.remember("", "q", None, [(_A, 1.0)])
    assert dict((yield store.read_exact("", "q"))) == {_A: 1.0}
    assert (yield store.read_vector("", "q")) is None
    assert list((yield store.find_neighbours("", vector(1), 4))) == []
    yield store.remember("", "q", vector(1), [(_B, 2.0)])
    (found,) = yield store.find_neighbours("", vector(1), 4)
    assert dict(found.scores) == {_A: 1.0, _B: 2.0}


def _neighbours_come_nearest_first(store: _EitherStore) -> Generator[Any, Any, None]:
    for query, similarity in (("far", 0.5), ("same", 1.0), ("near", 0.9)):
        yield store.remember("", query, near(vector(1), similarity), [(_A, similarity)], cues=query.encode())
    found: Sequence[Neighbour] = yield store.find_neighbours("", vector(1), 4)
    assert [neighbour.cues for neighbour in found] == [b"same", b"near", b"far"]
    assert [neighbour.id for neighbour in found] == [entry_id("", query) for query in ("same", "near", "far")]
    assert np.allclose([neighbour.similarity for neighbour in found], [1.0, 0.9, 0.5], atol=TOLERANCE)
    assert np.allclose([neighbour.scores[_A] for neighbour in found], [1.0, 0.9, 0.5], atol=1e-6)


def _neighbours_are_at_most_k_and_similar_enough(store: _EitherStore) -> Generator[Any, Any, None]:
    for number, similarity in enumerate((0.95, 0.9, 0.5, 0.3)):
        yield store.remember("", str(number), near(vector(1), similarity), [(document(number), 1.0)])
    assert len((yield store.find_neighbours("", vector(1), 3))) == 3
    similar = yield store.find_neighbours("", vector(1), 4, 0.8)
    assert [list(neighbour.scores) for neighbour in similar] == [[document(0)], [document(1)]]
    assert list((yield store.find_neighbours("", vector(1), 4, 0.99))) == []


def _vectors_are_searched_together_in_order(store: _EitherStore) -> Generator[Any, Any, None]:
    for number in range(5):
        yield store.remember("", str(number), vector(number), [(document(number), 1.0)])
    vectors = [vector(number) for number in range(5)]
    together = yield store.find_neighbours_many("", vectors, 2)
    assert [found[0].id for found in together] == [entry_id("", str(number)) for number in range(5)]
    assert [len(found) for found in together] == [2] * 5


def _tenants_are_kept_apart(store: _EitherStore) -> Generator[Any, Any, None]:
    yield store.remember("", "q", vector(1), [(_A, 0.0)])
    for number, tenant in enumerate(_AWKWARD_TENANTS, start=1):
        assert (yield store.read_exact(tenant, "q")) is None
        assert list((yield store.find_neighbours(tenant, vector(1), 9))) == []
        yield store.remember(tenant, "q", vector(1), [(_A, float(number))])
    for number, tenant in enumerate(("", *_AWKWARD_TENANTS)):
        assert dict((yield store.read_exact(tenant, "q"))) == {_A: float(number)}
        (found,) = yield store.find_neighbours(tenant, vector(1), 9)
        assert (found.id, dict(found.scores)) == (entry_id(tenant, "q"), {_A: float(number)})
    assert (yield store.count()) == 1 + len(_AWKWARD_TENANTS)


def _a_query_is_forgotten(store: _EitherStore) -> Generator[Any, Any, None]:
    for tenant in ("", "t"):
        yield store.remember(tenant, "q", vector(1), [(_A, 1.0)])
    assert (yield store.forget(query="q")) == 1
    assert (yield store.forget(query="q")) == 0
    assert (yield store.read_exact("", "q")) is None
    assert (yield store.read_vector("", "q")) is None
    assert list((yield store.find_neighbours("", vector(1), 4))) == []
    assert (yield store.forget("t", query="q")) == 1


def _a_document_is_forgotten(store: _EitherStore) -> Generator[Any, Any, None]:
    yield store.remember("", "one", vector(1), [(_A, 1.0), (_B, 2.0), (_C, 3.0)])
    yield store.remember("", "one", None, [(_B, 5.0)])
    yield store.remember("", "two", vector(2), [(_B, 2.0)])
    yield store.remember("t", "one", vector(1), [(_A, 1.0), (_B, 2.0)])
    assert (yield store.forget("t", document=_A)) == 1
    assert (yield store.forget("", query="one", document=_C)) == 1
    assert (yield store.forget(document=_B)) == 3
    assert (yield store.forget(document=_B)) == 0
    assert dict((yield store.read_exact("", "one"))) == {_A: 1.0}
    assert (yield store.read_exact("", "two")) is None, "an entry without scores goes whole"
    assert (yield store.read_vector("", "two")) is None
    assert (yield store.read_exact("t", "one")) is None


def _a_tenant_is_forgotten(store: _EitherStore) -> Generator[Any, Any, None]:
    for tenant in ("", "t", "u"):
        for number in range(3):
            yield store.remember(tenant, str(number), vector(number), [(_A, 1.0)])
    assert (yield store.forget("t")) == 3
    assert list((yield store.read_exact_many("t", ["0", "1", "2"]))) == [None] * 3
    assert list((yield store.find_neighbours("t", vector(0), 4))) == []
    assert (yield store.forget("")) == 3
    assert (yield store.forget("never seen")) == 0
    assert (yield store.count()) == 3


def _clearing_removes_every_tenant(store: _EitherStore) -> Generator[Any, Any, None]:
    for tenant in ("", "t"):
        for number in range(3):
            yield store.remember(tenant, str(number), vector(number), [(_A, 1.0)])
    assert (yield store.count()) == 6
    assert (yield store.clear()) == 6
    assert (yield store.clear()) == 0
    assert (yield store.count()) == 0
    assert (yield store.read_exact("t", "0")) is None
    yield store.remember("", "0", vector(0), [(_A, 1.0)])
    assert len((yield store.find_neighbours("", vector(0), 4))) == 1, "a cleared store can be filled again"


def _an_entry_ends_after_its_ttl(store: _EitherStore) -> Generator[Any, Any, None]:
    yield store.remember("", "lasting", vector(1), [(_A, 1.0)], ttl_s=3600)
    yield store.remember("", "ending", vector(2), [(_A, 1.0)], ttl_s=0.001)
    # A store may count time on another machine, so this asks until the entry has ended instead of sleeping.
    until = monotonic() + EXPIRY_PATIENCE_S
    while (yield store.read_exact("", "ending")) is not None:
        assert monotonic() < until, f"an entry of 1 ms is still there after {EXPIRY_PATIENCE_S} s"
    assert dict((yield store.read_exact("", "lasting"))) == {_A: 1.0}
    assert [dict(found.scores) for found in (yield store.find_neighbours("", vector(2), 1, 0.99))] == []


def _an_impossible_ttl_is_refused(store: _EitherStore) -> Generator[Any, Any, None]:
    for ttl_s in (0.0, -1.0, float("nan"), float("inf")):
        try:
            yield store.remember("", "q", vector(1), [(_A, 1.0)], ttl_s=ttl_s)
        except ValueError:
            continue
        raise AssertionError(f"ttl_s={ttl_s} was accepted; raise InvalidInputError or another ValueError")
    assert (yield store.read_exact("", "q")) is None


def _by_calls(scenario: _Scenario, *, listwise: bool = False) -> "Callable[[StoreContract], None]":
    def test(contract: "StoreContract") -> None:
        drive(scenario(contract.make_store(listwise=listwise)), lambda result: result)

    return test


def _by_awaited_calls(
    scenario: _Scenario, *, listwise: bool = False
) -> "Callable[[AsyncStoreContract], Coroutine[Any, Any, None]]":
    async def test(contract: "AsyncStoreContract") -> None:
        await adrive(scenario(contract.make_store(listwise=listwise)), lambda awaitable: awaitable)

    return test


class StoreContract:
    """What semcache relies on in a ``Store``. Subclass it and define ``make_store``.

    Example:
        class TestMyStore(StoreContract):
            def make_store(self, *, listwise: bool = False) -> Store:
                return MyStore(prefix=uuid4().hex, dims=DIMS, listwise=listwise)
    """

    def make_store(self, *, listwise: bool = False) -> Store:
        """A new store without entries, for vectors of ``DIMS`` numbers. Every test asks for one store."""
        raise NotImplementedError("define make_store() so that it returns a new, empty store")

    test_a_new_query_is_unknown = _by_calls(_a_new_query_is_unknown)
    test_scores_are_read_back = _by_calls(_scores_are_read_back)
    test_white_space_makes_no_other_query = _by_calls(_white_space_makes_no_other_query)
    test_queries_are_read_together_in_order = _by_calls(_queries_are_read_together_in_order)
    test_later_scores_are_merged = _by_calls(_later_scores_are_merged)
    test_a_listwise_order_is_replaced = _by_calls(_a_listwise_order_is_replaced, listwise=True)
    test_nothing_is_made_of_empty_input = _by_calls(_nothing_is_made_of_empty_input)
    test_the_vector_is_read_back = _by_calls(_the_vector_is_read_back)
    test_without_a_vector_an_entry_is_no_neighbour = _by_calls(_without_a_vector_an_entry_is_no_neighbour)
    test_neighbours_come_nearest_first = _by_calls(_neighbours_come_nearest_first)
    test_neighbours_are_at_most_k_and_similar_enough = _by_calls(_neighbours_are_at_most_k_and_similar_enough)
    test_vectors_are_searched_together_in_order = _by_calls(_vectors_are_searched_together_in_order)
    test_tenants_are_kept_apart = _by_calls(_tenants_are_kept_apart)
    test_a_query_is_forgotten = _by_calls(_a_query_is_forgotten)
    test_a_document_is_forgotten = _by_calls(_a_document_is_forgotten)
    test_a_tenant_is_forgotten = _by_calls(_a_tenant_is_forgotten)
    test_clearing_removes_every_tenant = _by_calls(_clearing_removes_every_tenant)
    test_an_entry_ends_after_its_ttl = _by_calls(_an_entry_ends_after_its_ttl)
    test_an_impossible_ttl_is_refused = _by_calls(_an_impossible_ttl_is_refused)

    def test_scores_added_by_several_threads_are_all_kept(self) -> None:
        store = self.make_store()
        added = [(document(number), float(number)) for number in range(40)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda score: store.remember("", "q", vector(1), [score]), added))
        known: Mapping[bytes, float] = store.read_exact("", "q") or {}
        assert dict(known) == dict(added)


class AsyncStoreContract:
    """``StoreContract`` for an ``AsyncStore``. Its tests are coroutines: pytest-asyncio in auto mode runs them, and so
    does ``unittest.IsolatedAsyncioTestCase`` as a further base class.
    """

    def make_store(self, *, listwise: bool = False) -> AsyncStore:
        """A new store without entries, for vectors of ``DIMS`` numbers; called in the event loop of the test."""
        raise NotImplementedError("define make_store() so that it returns a new, empty store")

    test_a_new_query_is_unknown = _by_awaited_calls(_a_new_query_is_unknown)
    test_scores_are_read_back = _by_awaited_calls(_scores_are_read_back)
    test_white_space_makes_no_other_query = _by_awaited_calls(_white_space_makes_no_other_query)
    test_queries_are_read_together_in_order = _by_awaited_calls(_queries_are_read_together_in_order)
    test_later_scores_are_merged = _by_awaited_calls(_later_scores_are_merged)
    test_a_listwise_order_is_replaced = _by_awaited_calls(_a_listwise_order_is_replaced, listwise=True)
    test_nothing_is_made_of_empty_input = _by_awaited_calls(_nothing_is_made_of_empty_input)
    test_the_vector_is_read_back = _by_awaited_calls(_the_vector_is_read_back)
    test_without_a_vector_an_entry_is_no_neighbour = _by_awaited_calls(_without_a_vector_an_entry_is_no_neighbour)
    test_neighbours_come_nearest_first = _by_awaited_calls(_neighbours_come_nearest_first)
    test_neighbours_are_at_most_k_and_similar_enough = _by_awaited_calls(_neighbours_are_at_most_k_and_similar_enough)
    test_vectors_are_searched_together_in_order = _by_awaited_calls(_vectors_are_searched_together_in_order)
    test_tenants_are_kept_apart = _by_awaited_calls(_tenants_are_kept_apart)
    test_a_query_is_forgotten = _by_awaited_calls(_a_query_is_forgotten)
    test_a_document_is_forgotten = _by_awaited_calls(_a_document_is_forgotten)
    test_a_tenant_is_forgotten = _by_awaited_calls(_a_tenant_is_forgotten)
    test_clearing_removes_every_tenant = _by_awaited_calls(_clearing_removes_every_tenant)
    test_an_entry_ends_after_its_ttl = _by_awaited_calls(_an_entry_ends_after_its_ttl)
    test_an_impossible_ttl_is_refused = _by_awaited_calls(_an_impossible_ttl_is_refused)
