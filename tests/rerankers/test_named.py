"""Names and versions that a user gives to rerankers, and where they may be given."""

import pytest

from semcache import AsyncBatchReranker, DegradableReranker, LatencyMonitor
from semcache.errors import ConfigurationError
from semcache.identity.kinds import IdentifiedBy, base_name, identified_by
from semcache.rerankers import OnnxCrossEncoder, adapt
from semcache.rerankers.single import as_ladder
from tests.contracts.reranker import PAIRS, TEXTS
from tests.fakes import CountingReranker
from tests.rerankers.test_function import of_query


def test_a_name_replaces_what_the_reranker_says_of_itself() -> None:
    named = adapt(CountingReranker("own"), name="given")
    assert named.name == "given"
    assert named.score(PAIRS).tolist() == CountingReranker().score(PAIRS).tolist()
    assert "given" in repr(named) and "own" not in named.name


def test_other_attributes_are_those_of_the_reranker_inside() -> None:
    class Remote(CountingReranker):
        concurrency = 3

    assert adapt(Remote(), version="1").concurrency == 3  # type: ignore[attr-defined]
    assert not hasattr(adapt(Remote(), version="1"), "unheard_of")


def test_a_version_vouches_for_the_name() -> None:
    first, second = (adapt(of_query, name="lengths", version=version) for version in ("1", "2"))
    assert (base_name(first), base_name(second)) == ("lengths@1", "lengths@2")
    assert identified_by(first) is IdentifiedBy.NAME
    assert identified_by(adapt(of_query, probe=False)) is IdentifiedBy.NAME


def test_a_model_under_another_name_is_still_known_by_its_content() -> None:
    short, long = (adapt(OnnxCrossEncoder(max_length=length), name="mine") for length in (64, 128))
    assert short.name == long.name == "mine"
    assert base_name(short) != base_name(long)
    assert identified_by(short) is IdentifiedBy.CONTENT


@pytest.mark.parametrize("given", ["", "  ", 3, 1.5])
def test_names_and_versions_are_texts(given: object) -> None:
    for option in ("name", "version"):
        with pytest.raises(ConfigurationError, match=f"{option} must be a text"):
            adapt(CountingReranker(), **{option: given})  # type: ignore[arg-type]


def test_every_class_that_takes_a_reranker_takes_its_name() -> None:
    with AsyncBatchReranker(of_query, name="lengths", version="3") as batched:
        assert batched.name == "lengths@3"
        assert batched.rerank("q", TEXTS, 1).reranker == "lengths@3"
    with DegradableReranker(of_query, None, LatencyMonitor(), name="lengths", version="3") as ladder:
        assert ladder.name == "lengths@3"


def test_a_name_is_refused_where_the_reranker_has_one_already() -> None:
    with AsyncBatchReranker(of_query) as batched:
        with pytest.raises(ConfigurationError, match="was given to AsyncBatchReranker already"):
            DegradableReranker(batched, None, LatencyMonitor(), version="3")
        with DegradableReranker(batched, None, LatencyMonitor()) as ladder:
            assert as_ladder(ladder) is ladder
            with pytest.raises(ConfigurationError, match="was given to DegradableReranker already; pass them there"):
                as_ladder(ladder, name="late")
