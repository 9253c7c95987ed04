"""Replies of FT.SEARCH and FT.INFO in every shape that servers and protocols give them."""

from typing import Any

import pytest

from semcache.entries.fingerprint import tenant_tag
from semcache.errors import ConfigurationError, IndexMismatchError
from semcache.redis.index import IndexTuning, as_dict, attributes_of, check_index, schema_of
from semcache.redis.keys import KeySpace, entry_id_in
from semcache.redis.search import Hit, KnnCommand, hits_in

FIELDS = {b"vector_distance": b"0.25", b"created_at": b"12.5", b"cues": b"\xff"}
FLAT = [part for field in FIELDS.items() for part in field]
HIT = Hit(b"k", 0.75, 12.5, b"\xff", None)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ([0], []),
        ([2, b"k", FLAT, b"gone", None], [HIT, None]),
        ([2, b"gone", [], b"k", FLAT], [None, HIT]),
        ({b"results": []}, []),
        (
            {b"results": [{b"id": b"k", b"extra_attributes": FIELDS}, {b"id": b"gone", b"extra_attributes": None}]},
            [HIT, None],
        ),
        ({b"results": [{b"id": b"gone"}]}, [None]),
    ],
)
def test_hits_in_both_protocols(reply: Any, expected: list[Hit | None]) -> None:
    assert hits_in(reply) == expected


@pytest.mark.parametrize(("distance", "similarity"), [(b"-5.1e-05", 1.0), (b"2.0001", -1.0), (b"0", 1.0), (b"1", 0.0)])
def test_rounding_never_leaves_the_range(distance: bytes, similarity: float) -> None:
    (hit,) = hits_in([1, b"k", [b"vector_distance", distance]])
    assert hit == Hit(b"k", similarity, 0.0, b"", None)


def test_the_command_filters_by_tenant_only_where_there_are_tenants() -> None:
    plain = KnnCommand.build("index", 4, "float16", 2, is_named=False, ef=None, policy=None).near("", b"vvvv")
    named = KnnCommand.build("index", 4, "float16", 2, is_named=True, ef=None, policy=None).near("acme", b"vvvv")
    assert plain[:3] == ("FT.SEARCH", "index", "*=>[KNN 4 @embedding $vector AS vector_distance]")
    assert named[2].startswith(f"(@tenant:{{{tenant_tag('acme')}}})=>[KNN 4 @embedding $vector AS vector_distance]")
    assert plain[-4:] == named[-4:] == ("PARAMS", 2, "vector", b"vvvv")
    assert "embedding" not in plain[3:]


def info(**changes: Any) -> list[Any]:
    field = {"identifier": "embedding", "type": "VECTOR", "algorithm": "HNSW", "data_type": "FLOAT16", "dim": 384}
    field = {**field, "distance_metric": "COSINE", **changes}
    flat = [part for pair in field.items() for part in pair if pair[1] is not None]
    flat = [part.encode() if isinstance(part, str) else part for part in flat]
    return [
        b"index_name",
        b"i",
        b"attributes",
        [[b"identifier", b"created_at", b"type", b"NUMERIC", b"SORTABLE"], flat],
    ]


class TestCheck:
    attributes = attributes_of(IndexTuning(), 384)

    def test_a_fitting_index_passes(self) -> None:
        check_index("i", self.attributes, info())
        check_index("i", self.attributes, {b"attributes": [{k.encode(): v for k, v in as_dict(info()[3][1]).items()}]})

    @pytest.mark.parametrize(
        ("what", "there", "needed"),
        [
            ("dim", 768, 384),
            ("data_type", "FLOAT32", "float16"),
            ("distance_metric", "L2", "cosine"),
            ("algorithm", "FLAT", "hnsw"),
        ],
    )
    def test_a_mismatch_names_both_sides(self, what: str, there: Any, needed: Any) -> None:
        with pytest.raises(
            IndexMismatchError, match=f"index i has {what} {there}, but {needed} is needed; use another"
        ):
            check_index("i", self.attributes, info(**{what: there}))

    def test_an_index_without_vectors_is_a_mismatch(self) -> None:
        with pytest.raises(IndexMismatchError, match="has dim no vector field, but 384 is needed"):
            check_index("i", self.attributes, [b"attributes", []])

    def test_what_an_older_server_does_not_tell_is_not_held_against_it(self) -> None:
        check_index("i", self.attributes, info(algorithm=None, data_type=None))


class TestSchema:
    def test_only_the_index_of_named_tenants_has_a_tenant(self) -> None:
        keys = KeySpace.of("n", "r", "e")
        attributes = attributes_of(IndexTuning(m=8, ef_construction=64, ef_runtime=30), 7)
        plain, named = (schema_of(keys.family(tenant), tenant != "", attributes) for tenant in ("", "t"))
        assert set(plain.fields) == {"embedding"}
        assert set(named.fields) == {"embedding", "tenant"}
        assert (plain.index.name, plain.index.prefix) == (keys.base, f"{keys.base}:v:")
        assert (named.index.name, named.index.prefix) == (f"{keys.base}:named", f"{keys.base}:tv:")
        attrs = plain.fields["embedding"].attrs
        assert (attrs.dims, attrs.m, attrs.ef_construction, attrs.ef_runtime) == (7, 8, 64, 30)
        assert (attrs.datatype.lower(), attrs.distance_metric.lower()) == ("float16", "cosine")

    def test_the_file_is_what_is_used_where_nothing_is_tuned(self) -> None:
        attributes = attributes_of(IndexTuning(), 384)
        assert (attributes["datatype"], attributes["m"], attributes["ef_construction"]) == ("float16", 16, 100)

    def test_a_type_that_cannot_be_written_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="vector type 'bfloat16' cannot be written; take one of float16"):
            attributes_of(IndexTuning(vector_type="bfloat16"), 384)


def test_both_keys_of_an_entry_share_a_hash_tag() -> None:
    keys = KeySpace.of("n", "r", "e")
    for tenant in ("", "acme {x}"):
        family = keys.family(tenant)
        vector, scores = keys.vector(tenant, "q"), keys.scores(tenant, "q")
        assert family.scores_beside(vector) == scores
        assert family.vector_beside(scores) == vector
        assert entry_id_in(vector) == entry_id_in(scores)
        assert vector.count(b"{") == vector.count(b"}") == 1
