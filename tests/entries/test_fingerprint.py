"""Names are stable, short, and never equal for different things."""

import re

from hypothesis import given
from hypothesis import strategies as st

from semcache.entries.fingerprint import (
    FINGERPRINT_BYTES,
    document_fingerprint,
    entry_id,
    index_id,
    is_settled_mark,
    normalised_query,
    settled_mark,
    tenant_tag,
)

# Any str, lone surrogates included: they occur in crawled text.
TEXTS = st.text(st.characters(), max_size=40)


def test_known_names_do_not_change() -> None:
    """A changed name would orphan everything that is stored."""
    assert document_fingerprint("Berlin").hex() == "cf6e3c7db653e61b02a89823a1bb09e3"
    assert entry_id("", "how far is the moon") == "6gzu040cwRgkQ1VnxU1XmA"
    assert index_id("model", "embedder") == "trsV0HN4Qn8"


@given(TEXTS, TEXTS)
def test_documents_are_equal_exactly_when_their_texts_are(one: str, other: str) -> None:
    assert len(document_fingerprint(one)) == FINGERPRINT_BYTES
    assert (document_fingerprint(one) == document_fingerprint(other)) == (one == other)


@given(st.sets(TEXTS, min_size=1, max_size=5), st.sets(TEXTS, min_size=1, max_size=5), st.floats(0, 9))
def test_a_mark_stands_for_a_set_of_documents_and_what_was_asked_of_them(
    one: set[str], other: set[str], z: float
) -> None:
    names, others = (sorted(map(document_fingerprint, texts)) for texts in (one, other))
    mark = settled_mark(names, 5, z)
    assert len(mark) == FINGERPRINT_BYTES and is_settled_mark(mark) and not any(map(is_settled_mark, names))
    assert mark == settled_mark(reversed(names), 5, z)
    assert (mark == settled_mark(others, 5, z)) == (one == other)
    assert mark != settled_mark(names, 5, z + 1) and mark != settled_mark(names, 6, z)


@given(st.tuples(TEXTS, TEXTS), st.tuples(TEXTS, TEXTS))
def test_joined_parts_do_not_collide(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (index_id(*one) == index_id(*other)) == (one == other)


@given(TEXTS, TEXTS)
def test_a_tenant_and_a_query_name_an_entry(tenant: str, query: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", entry_id(tenant, query))
    assert entry_id(tenant, query) != entry_id(tenant + "x", query)


@given(TEXTS)
def test_a_tenant_tag_needs_no_escaping(tenant: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", tenant_tag(tenant))


def test_what_no_tokenizer_tells_apart_is_one_query() -> None:
    assert entry_id("", " how\tfar \n is it ") == entry_id("", "how far is it")
    assert entry_id("", "cafe\u0301") == entry_id("", "caf\u00e9")
    assert entry_id("", "US") != entry_id("", "us")


@given(TEXTS)
def test_normalising_twice_changes_nothing(query: str) -> None:
    assert normalised_query(normalised_query(query)) == normalised_query(query)
