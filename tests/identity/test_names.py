"""Scopes by the names of rerankers."""

import pytest

from semcache.errors import ConfigurationError
from semcache.identity.names import ScopesByName


@pytest.fixture
def scopes() -> ScopesByName:
    return ScopesByName()


def test_one_that_is_in_use_is_found_by_its_name_and_by_its_scope(scopes: ScopesByName) -> None:
    scopes.settle("scorer", "scorer", "scorer#1")
    assert [scopes.of(name) for name in ("scorer", "scorer#1", "never used")] == ["scorer#1", "scorer#1", "never used"]


def test_one_that_moves_on_is_found_where_it_is_now(scopes: ScopesByName) -> None:
    scopes.settle("scorer", "scorer", "scorer#1")
    scopes.settle("scorer", "scorer#1", "scorer#2")
    assert scopes.of("scorer") == "scorer#2"


def test_two_of_one_name_that_are_the_same_share_it(scopes: ScopesByName) -> None:
    for _ in range(2):
        scopes.settle("scorer", "scorer", "scorer#1")
    assert scopes.of("scorer") == "scorer#1"


def test_two_of_one_name_that_are_not_the_same_have_to_be_told_apart(scopes: ScopesByName) -> None:
    scopes.settle("scorer", "scorer", "scorer#1")
    scopes.settle("scorer", "scorer", "scorer#2")
    with pytest.raises(ConfigurationError, match="several rerankers are called 'scorer'"):
        scopes.of("scorer")
    assert "1 rerankers" in repr(scopes)
