"""Scenarios for a store, one per promise of the ``Store`` protocol.

A scenario yields what a method of the store returned, and is sent its result: the same object where methods are called,
the awaited result where they are coroutines. So one text serves both kinds of store.
"""

from collections.abc import Generator, Sequence
from time import monotonic
from typing import Any, Protocol

import numpy as np

from semcache.entries.entry import Neighbour
from semcache.entries.fingerprint import entry_id
from semcache.protocols import AsyncStore, FloatArray, Store

DIMS = 16
"""Length of the vectors that the scenarios store."""
TOLERANCE = 2e-3
"""How far numbers of a stored vector, and cosines, may be off: a store may round vectors to float16."""
EXPIRY_PATIENCE_S = 10.0
"""How long an entry with a time to live of 1 ms may still be there."""

# Characters that query languages, key patterns and string formats treat specially, and a string that UTF-8 cannot hold.
AWKWARD_TENANTS = ("t", "T", "t ", "a:b", "a-b.c", "{x}", "*", "|", ':/-. {}*|@"\\', "ünïcödé 北京", "\udc80", "\0")

EitherStore = Store | AsyncStore


class Scenario(Protocol):
    """A function of this module that takes a new, empty store and plays one scenario on it."""

    __name__: str

    def __call__(self, store: EitherStore, /) -> Generator[Any, Any, None]: ...


def vector(seed: int) -> FloatArray:
    """The same unit vector for the same seed; the cosine of any two of the first hundred is below 0.8."""
    drawn = np.random.default_rng(seed).standard_normal(DIMS).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn), dtype=np.float32)


def near(origin: FloatArray, similarity: float) -> FloatArray:
    """A unit vector of this cosine to another one."""
    # Turned away from the origin within the plane of these two; Gram-Schmidt gives the second axis.
    other = vector(10**6)
    aside = other - (other @ origin) * origin
    turned = similarity * origin + np.sqrt(1 - similarity**2) * aside / np.linalg.norm(aside)
    return np.asarray(turned, dtype=np.float32)


def document(number: int) -> bytes:
    """The fingerprint of a document."""
    return number.to_bytes(16, "big")


_A, _B, _C = document(1), document(2), document(3)


def a_new_query_is_unknown(store: EitherStore) -> Generator[Any, Any, None]:
    assert (yield store.read_exact("", "q")) is None
    assert (yield store.read_vector("", "q")) is None
    assert list((yield store.find_neighbours("", vector(1), 4))) == []
    assert (yield store.count()) == 0


def scores_are_read_back(store: EitherStore) -> Generator[Any, Any, None]:
    assert (yield store.remember("", "q", vector(1), [(_A, 1.5), (_B, -2.25)])) is True
    assert dict((yield store.read_exact("", "q"))) == {_A: 1.5, _B: -2.25}
    yield store.remember("", "two  words ", vector(1), [(_A, 1.0)])
    assert dict((yield store.read_exact("", " two words"))) == {_A: 1.0}, "white space makes no other query"
    assert (yield store.read_exact("", "twowords")) is None


def queries_are_read_together_in_order(store: EitherStore) -> Generator[Any, Any, None]:
    yield store.remember("", "one", vector(1), [(_A, 1.0)])
    yield store.remember("", "three", vector(3), [(_C, 3.0)])
    one, two, three = yield store.read_exact_many("", ["one", "two", "three"])
    assert (dict(one), two, dict(three)) == ({_A: 1.0}, None, {_C: 3.0})


def later_scores_are_merged(store: EitherStore) -> Generator[Any, Any, None]:
    yield store.remember("", "q", vector(1), [(_A, 1.0), (_B, 2.0)])
    # A partial hit writes like this: the vector is there already, and only some documents were scored.
    assert (yield store.remember("", "q", None, [(_B, 3.0), (_C, 4.0)])) is True
    assert dict((yield store.read_exact("", "q"))) == {_A: 1.0, _B: 3.0, _C: 4.0}
    (found,) = yield store.find_neighbours("", vector(1), 4)
    assert dict(found.scores) == {_A: 1.0, _B: 3.0, _C: 4.0}


def a_listwise_order_is_replaced(store: EitherStore) -> Generator[Any, Any, None]:
    yield store.remember("", "q", vector(1), [(_A, 1.0), (_B, 0.0)])
    yield store.remember("", "q", None, [(_C, 0.0)])
    assert dict((yield store.read_exact("", "q"))) == {_C: 0.0}


def nothing_is_made_of_empty_input(store: EitherStore) -> Generator[Any, Any, None]:
    assert (yield store.remember("", "q", vector(1), [])) is False
    assert (yield store.read_exact("", "q")) is None
    assert list((yield store.find_neighbours("", vector(1), 4))) == []
    assert list((yield store.read_exact_many("", []))) == []
    assert list((yield store.find_neighbours_many("", [], 4))) == []


def the_vector_is_read_back(store: EitherStore) -> Generator[Any, Any, None]:
    yield store.remember("", "q", vector(1), [(_A, 1.0)])
    # Two embeddings of one text may differ in the last bits. To replace a vector would cost a search index more than
    # that is worth.
    yield store.remember("", "q", vector(2), [(_B, 1.0)])
    read = yield store.read_vector("", "q")
    assert (read.shape, read.dtype) == ((DIMS,), np.float32)
    assert abs(float(np.linalg.norm(read)) - 1) < 1e-5, "a vector comes back with length 1"
    assert np.allclose(read, vector(1), atol=TOLERANCE), "the first vector of an entry stays"


def without_a_vector_an_entry_is_no_neighbour(store: EitherStore) -> Generator[Any, Any, None]:
    yield store.remember("", "q", None, [(_A, 1.0)])
    assert dict((yield store.read_exact("", "q"))) == {_A: 1.0}
    assert (yield store.read_vector("", "q")) is None
    assert list((yield store.find_neighbours("", vector(1), 4))) == []
    # The embedder may have failed the first time.
    yield store.remember("", "q", vector(1), [(_B, 2.0)])
    (found,) = yield store.find_neighbours("", vector(1), 4)
    assert dict(found.scores) == {_A: 1.0, _B: 2.0}


def neighbours_come_nearest_first(store: EitherStore) -> Generator[Any, Any, None]:
    for query, similarity in (("far", 0.5), ("same", 1.0), ("near", 0.9)):
        yield store.remember("", query, near(vector(1), similarity), [(_A, similarity)], cues=query.encode())
    # Stored in another order than that of similarity, and asked for more than there are.
    found: Sequence[Neighbour] = yield store.find_neighbours("", vector(1), 4)
    assert [neighbour.cues for neighbour in found] == [b"same", b"near", b"far"]
    assert [neighbour.id for neighbour in found] == [entry_id("", query) for query in ("same", "near", "far")]
    assert np.allclose([neighbour.similarity for neighbour in found], [1.0, 0.9, 0.5], atol=TOLERANCE)
    assert np.allclose([neighbour.scores[_A] for neighbour in found], [1.0, 0.9, 0.5], atol=1e-6)


def neighbours_are_at_most_k_and_similar_enough(store: EitherStore) -> Generator[Any, Any, None]:
    for number, similarity in enumerate((0.95, 0.9, 0.5, 0.3)):
        yield store.remember("", str(number), near(vector(1), similarity), [(document(number), 1.0)])
    assert len((yield store.find_neighbours("", vector(1), 3))) == 3
    similar = yield store.find_neighbours("", vector(1), 4, 0.8)
    assert [list(neighbour.scores) for neighbour in similar] == [[document(0)], [document(1)]]
    assert list((yield store.find_neighbours("", vector(1), 4, 0.99))) == []


def vectors_are_searched_together_in_order(store: EitherStore) -> Generator[Any, Any, None]:
    for number in range(5):
        yield store.remember("", str(number), vector(number), [(document(number), 1.0)])
    vectors = [vector(number) for number in range(5)]
    together = yield store.find_neighbours_many("", vectors, 2)
    assert [found[0].id for found in together] == [entry_id("", str(number)) for number in range(5)]
    assert [len(found) for found in together] == [2] * 5


def tenants_are_kept_apart(store: EitherStore) -> Generator[Any, Any, None]:
    # Same query, same vector: only the tenant tells the entries apart.
    yield store.remember("", "q", vector(1), [(_A, 0.0)])
    for number, tenant in enumerate(AWKWARD_TENANTS, start=1):
        assert (yield store.read_exact(tenant, "q")) is None
        assert list((yield store.find_neighbours(tenant, vector(1), 9))) == []
        yield store.remember(tenant, "q", vector(1), [(_A, float(number))])
    for number, tenant in enumerate(("", *AWKWARD_TENANTS)):
        assert dict((yield store.read_exact(tenant, "q"))) == {_A: float(number)}
        (found,) = yield store.find_neighbours(tenant, vector(1), 9)
        assert (found.id, dict(found.scores)) == (entry_id(tenant, "q"), {_A: float(number)})
    assert (yield store.count()) == 1 + len(AWKWARD_TENANTS)


def a_query_is_forgotten(store: EitherStore) -> Generator[Any, Any, None]:
    for tenant in ("", "t"):
        yield store.remember(tenant, "q", vector(1), [(_A, 1.0)])
    assert (yield store.forget(query="q")) == 1
    assert (yield store.forget(query="q")) == 0
    assert (yield store.read_exact("", "q")) is None
    assert (yield store.read_vector("", "q")) is None
    assert list((yield store.find_neighbours("", vector(1), 4))) == []
    assert (yield store.forget("t", query="q")) == 1


def a_document_is_forgotten(store: EitherStore) -> Generator[Any, Any, None]:
    yield store.remember("", "one", vector(1), [(_A, 1.0), (_B, 2.0), (_C, 3.0)])
    # A store may keep both scores of a document that was scored twice, and has to remove both.
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


def a_tenant_is_forgotten(store: EitherStore) -> Generator[Any, Any, None]:
    for tenant in ("", "t", "u"):
        for number in range(3):
            yield store.remember(tenant, str(number), vector(number), [(_A, 1.0)])
    assert (yield store.forget("t")) == 3
    assert list((yield store.read_exact_many("t", ["0", "1", "2"]))) == [None] * 3
    assert list((yield store.find_neighbours("t", vector(0), 4))) == []
    assert (yield store.forget("")) == 3
    assert (yield store.forget("never seen")) == 0
    assert (yield store.count()) == 3


def clearing_removes_every_tenant(store: EitherStore) -> Generator[Any, Any, None]:
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


def an_entry_ends_after_its_ttl(store: EitherStore) -> Generator[Any, Any, None]:
    yield store.remember("", "lasting", vector(1), [(_A, 1.0)], ttl_s=3600)
    yield store.remember("", "ending", vector(2), [(_A, 1.0)], ttl_s=0.001)
    # A store may count time on another machine, so this asks until the entry has ended instead of sleeping.
    until = monotonic() + EXPIRY_PATIENCE_S
    while (yield store.read_exact("", "ending")) is not None:
        assert monotonic() < until, f"an entry of 1 ms is still there after {EXPIRY_PATIENCE_S} s"
    assert dict((yield store.read_exact("", "lasting"))) == {_A: 1.0}
    assert [dict(found.scores) for found in (yield store.find_neighbours("", vector(2), 1, 0.99))] == []


def an_impossible_ttl_is_refused(store: EitherStore) -> Generator[Any, Any, None]:
    for ttl_s in (0.0, -1.0, float("nan"), float("inf")):
        try:
            yield store.remember("", "q", vector(1), [(_A, 1.0)], ttl_s=ttl_s)
        except ValueError:
            continue
        raise AssertionError(f"ttl_s={ttl_s} was accepted; raise InvalidInputError or another ValueError")
    assert (yield store.read_exact("", "q")) is None


SCENARIOS: Sequence[Scenario] = (
    a_new_query_is_unknown,
    scores_are_read_back,
    queries_are_read_together_in_order,
    later_scores_are_merged,
    nothing_is_made_of_empty_input,
    the_vector_is_read_back,
    without_a_vector_an_entry_is_no_neighbour,
    neighbours_come_nearest_first,
    neighbours_are_at_most_k_and_similar_enough,
    vectors_are_searched_together_in_order,
    tenants_are_kept_apart,
    a_query_is_forgotten,
    a_document_is_forgotten,
    a_tenant_is_forgotten,
    clearing_removes_every_tenant,
    an_entry_ends_after_its_ttl,
    an_impossible_ttl_is_refused,
)
"""For stores that merge scores."""
LISTWISE_SCENARIOS: Sequence[Scenario] = (a_listwise_order_is_replaced,)
"""For stores that are made with ``listwise``."""
