"""The KNN command, and replies of FT.SEARCH in every shape that servers give them."""

from typing import Any

import pytest

from semcache.entries.fingerprint import tenant_tag
from semcache.redis.search import Hit, hits_in, knn_command

FLAT = [b"vector_distance", b"0.25", b"created_at", b"12.5", b"cues", b"\xff"]
HIT = Hit(b"k", 0.75, 12.5, b"\xff", None)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ([0], []),
        ([2, b"k", FLAT, b"gone", None], [HIT, None]),
        ([2, b"gone", [], b"k", FLAT], [None, HIT]),
    ],
)
def test_hits_in_a_reply(reply: Any, expected: list[Hit | None]) -> None:
    assert hits_in(reply) == expected


@pytest.mark.parametrize(("distance", "similarity"), [(b"-5.1e-05", 1.0), (b"2.0001", -1.0), (b"0", 1.0), (b"1", 0.0)])
def test_rounding_never_leaves_the_range(distance: bytes, similarity: float) -> None:
    (hit,) = hits_in([1, b"k", [b"vector_distance", distance]])
    assert hit == Hit(b"k", similarity, 0.0, b"", None)


def test_the_command_filters_by_tenant_only_where_there_are_tenants() -> None:
    plain = knn_command("index", 4, "float16", 2, is_named=False, ef=None, policy=None).near("", b"vvvv")
    named = knn_command("index", 4, "float16", 2, is_named=True, ef=None, policy=None).near("acme", b"vvvv")
    assert plain[:3] == ("FT.SEARCH", "index", "*=>[KNN 4 @embedding $vector AS vector_distance]")
    assert named[2].startswith(f"(@tenant:{{{tenant_tag('acme')}}})=>[KNN 4 @embedding $vector AS vector_distance]")
    assert plain[-4:] == named[-4:] == ("PARAMS", 2, "vector", b"vvvv")
    assert "embedding" not in plain[3:]


def test_less_similar_hits_are_left_out_and_expired_ones_are_not() -> None:
    reply = [3, b"k", FLAT, b"gone", None, b"far", [b"vector_distance", b"0.5"]]
    assert hits_in(reply, 0.75) == [HIT, None]


def test_the_command_says_how_to_search() -> None:
    graph = knn_command("i", 4, "float16", 2, is_named=True, ef=40, policy="BATCHES").near("t", b"1234")
    assert "HYBRID_POLICY BATCHES" in str(graph[2])
    assert graph[-5:] == (4, "EF", 40, "vector", b"1234")
    compared = knn_command("i", 4, "float16", 2, is_named=True, ef=None, policy="ADHOC_BF").near("t", b"1234")
    assert "HYBRID_POLICY ADHOC_BF" in str(compared[2])
    assert compared[-3:] == (2, "vector", b"1234")
