"""An index on the server is compared with the one that is needed; the schema that RedisVL is given."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.errors import IndexMismatchError, TransientStoreError
from semcache.redis.index import check_index, schema_of
from semcache.redis.keys import KeySpace
from semcache.redis.layout import vector_attributes


def ft_info(**changes: Any) -> list[Any]:
    """A reply to FT.INFO with an index that fits, but for the changes; None leaves an attribute out."""
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
    attributes = vector_attributes(dims=384)

    def test_a_fitting_index_passes(self) -> None:
        check_index("i", self.attributes, ft_info())

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
            check_index("i", self.attributes, ft_info(**{what: there}))

    def test_an_index_without_vectors_is_a_mismatch(self) -> None:
        with pytest.raises(IndexMismatchError, match="has dim no vector field, but 384 is needed"):
            check_index("i", self.attributes, [b"attributes", []])

    @pytest.mark.parametrize("reply", [None, 7, b"bytes", [], [b"attributes"], [b"attributes", 7], [[], b"attributes"]])
    def test_a_reply_that_is_no_information_is_no_mismatch(self, reply: Any) -> None:
        with pytest.raises(TransientStoreError, match="what the server says of index i cannot be read") as caught:
            check_index("i", self.attributes, reply)
        assert type(caught.value) is TransientStoreError

    @given(st.recursive(st.none() | st.integers() | st.binary(), lambda inner: st.lists(inner, max_size=6)))
    def test_any_reply_is_read_without_another_error(self, reply: Any) -> None:
        with pytest.raises((IndexMismatchError, TransientStoreError)):
            check_index("i", self.attributes, [b"attributes", reply])

    def test_attributes_that_an_older_server_leaves_out_are_no_mismatch(self) -> None:
        check_index("i", self.attributes, ft_info(algorithm=None, data_type=None))


class TestSchema:
    def test_only_the_index_of_named_tenants_has_a_tenant(self) -> None:
        keys = KeySpace.of("n", "r", "e")
        attributes = vector_attributes(dims=7, m=8, ef_construction=64, ef_runtime=30)
        plain, named = (schema_of(keys.family(tenant), tenant != "", attributes) for tenant in ("", "t"))
        assert set(plain.fields) == {"embedding"}
        assert set(named.fields) == {"embedding", "tenant"}
        assert (plain.index.name, plain.index.prefix) == (keys.base, f"{keys.base}:v:")
        assert (named.index.name, named.index.prefix) == (f"{keys.base}:named", f"{keys.base}:tv:")
        attrs = plain.fields["embedding"].attrs
        assert (attrs.dims, attrs.m, attrs.ef_construction, attrs.ef_runtime) == (7, 8, 64, 30)
        assert (attrs.datatype.lower(), attrs.distance_metric.lower()) == ("float16", "cosine")
