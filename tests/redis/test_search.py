"""The KNN command, and replies of FT.SEARCH in every shape that servers give them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.entries.fields import Fields
from semcache.entries.fingerprint import entry_id, tenant_tag
from semcache.redis.damage import Damage
from semcache.redis.layout import Layout
from semcache.redis.search import hits_in, knn_command
from tests.redis.conftest import LAYOUT, near, vector

TENANT, VECTOR = "acme", vector(1)
STORED = Layout.of(**LAYOUT, vector_type="float32")


def key(query: str = "q", tenant: str = TENANT) -> bytes:
    return STORED.keys.vector(tenant, query)


def found(similarity: float, query: str = "q", distance: bytes | None = None) -> list[bytes]:
    """The fields of an entry as the server gives them."""
    packed = STORED.vectors.pack(near(VECTOR, similarity))
    assert packed is not None
    flat = Fields(packed, tenant_tag(TENANT).encode(), 12.5, b"\xff").pack(key(query))
    return [b"vector_distance", b"%f" % (1 - similarity) if distance is None else distance, *flat]


def hits(reply: Any, min_similarity: float = -1.0) -> tuple[list[float | None], list[Damage]]:
    """The similarities of the hits in a reply, and the damages."""
    damages: list[Damage] = []
    hits = hits_in(reply, STORED, TENANT, VECTOR, min_similarity, damages, [])
    return [None if hit is None else round(hit.similarity, 4) for hit in hits], damages


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ([0], []),
        ([2, key(), found(0.75), b"gone", None], [None, 0.75]),
        ([2, b"gone", [], key(), found(0.75)], [None, 0.75]),
        ([2, key(), found(0.5), key("p"), found(0.75, "p")], [0.75, 0.5]),
    ],
)
def test_hits_in_a_reply(reply: Any, expected: list[float | None]) -> None:
    assert hits(reply) == (expected, [])


@pytest.mark.parametrize("similarity", [1.0, -1.0, 0.0])
def test_rounding_never_leaves_the_range(similarity: float) -> None:
    damages: list[Damage] = []
    (hit,) = hits_in([1, key(), found(similarity)], STORED, TENANT, 1.001 * VECTOR, -1.0, damages, [])
    assert hit is not None
    assert hit.similarity == pytest.approx(similarity, abs=1e-3)
    assert -1 <= hit.similarity <= 1


def test_a_hit_becomes_a_neighbour() -> None:
    (hit,) = hits_in([1, key(), found(0.75)], STORED, TENANT, VECTOR, -1.0, [], [])
    assert hit is not None
    neighbour = hit.with_scores({})
    assert (neighbour.id, neighbour.created_at, neighbour.cues) == (entry_id(TENANT, "q"), 12.5, b"\xff")
    assert neighbour.query is None


def test_less_similar_hits_are_left_out_and_expired_ones_are_not() -> None:
    reply = [3, key(), found(0.75), b"gone", None, key("far"), found(0.5, "far")]
    assert hits(reply, 0.74) == ([None, 0.75], [])


def test_the_similarities_of_all_are_told_also_of_those_that_are_too_far() -> None:
    damaged = found(0.9, distance=b"nan")
    reply = [4, key(), found(0.75), b"gone", None, key("far"), found(0.5, "far"), key("p"), damaged]
    seen: list[float] = []
    hits_in(reply, STORED, TENANT, VECTOR, 0.74, [], seen)
    assert seen == pytest.approx([0.75, 0.5])


def test_the_similarity_is_that_of_the_checked_vector_and_not_the_one_that_was_told() -> None:
    assert hits([1, key(), found(0.75, distance=b"0.01")]) == ([0.75], [])
    assert hits([1, key(), found(0.75, distance=b"0.01")], 0.9) == ([], [])


def changed(position: int, value: bytes | None) -> list[Any]:
    flat: list[Any] = found(0.75)
    flat[position] = value
    return flat


@pytest.mark.parametrize(
    ("one", "fault"),
    [
        ((key(), changed(5, b"13.5")), "check"),  # created_at
        ((key(), changed(5, b"not a number")), "check"),
        ((key(), changed(3, bytes(64))), "check"),  # embedding
        ((key(), changed(9, b"other")), "check"),  # cues
        ((key(), changed(11, b"\x03")), "version"),  # check
        ((key(), found(0.75)[:-2]), "version"),
        ((key("p"), found(0.75)), "check"),
        ((key(tenant="other"), found(0.75)), "check"),
        ((b"users:1", found(0.75)), "check"),
        ((key(), changed(1, b"far")), "reply"),  # vector_distance
        ((key(), changed(1, None)), "reply"),
        ((key(), found(0.75)[:-1]), "reply"),
        ((key(), 7), "reply"),
        ((7, found(0.75)), "reply"),
        ((None, found(0.75)), "reply"),
    ],
)
def test_one_that_cannot_be_used_does_not_hide_the_others(one: tuple[Any, Any], fault: str) -> None:
    similarities, (damage,) = hits([2, *one, key("next"), found(0.7, "next")])
    assert similarities == [0.7]
    assert damage.fault == fault


@pytest.mark.parametrize("reply", [None, 7, b"bytes", [], [1, b"k"], {}, [[], []]])
def test_no_reply_of_another_shape_raises(reply: Any) -> None:
    assert hits(reply)[0] == []
    assert [damage.fault for damage in hits(reply)[1]] == ["reply"]


@given(st.recursive(st.none() | st.integers() | st.binary(), lambda inner: st.lists(inner, max_size=6), max_leaves=20))
def test_any_reply_is_read_without_an_error(reply: Any) -> None:
    assert [similarity for similarity in hits(reply)[0] if similarity is not None] == []


def test_the_command_filters_by_tenant_only_where_there_are_tenants() -> None:
    plain = knn_command("index", 4, "float16", 2, is_named=False, ef=None, policy=None).near("", b"vvvv")
    named = knn_command("index", 4, "float16", 2, is_named=True, ef=None, policy=None).near("acme", b"vvvv")
    assert plain[:3] == ("FT.SEARCH", "index", "*=>[KNN 4 @embedding $vector AS vector_distance]")
    assert named[2].startswith(f"(@tenant:{{{tenant_tag('acme')}}})=>[KNN 4 @embedding $vector AS vector_distance]")
    assert plain[-4:] == named[-4:] == ("PARAMS", 2, "vector", b"vvvv")


def test_the_command_says_how_to_search() -> None:
    graph = knn_command("i", 4, "float16", 2, is_named=True, ef=40, policy="BATCHES").near("t", b"1234")
    assert "HYBRID_POLICY BATCHES" in str(graph[2])
    assert graph[-5:] == (4, "EF", 40, "vector", b"1234")
    compared = knn_command("i", 4, "float16", 2, is_named=True, ef=None, policy="ADHOC_BF").near("t", b"1234")
    assert "HYBRID_POLICY ADHOC_BF" in str(compared[2])
    assert compared[-3:] == (2, "vector", b"1234")
