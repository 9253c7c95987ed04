"""A Redis that answers but cannot be used stops the cache at its construction, with the remedy."""

import pytest

from semcache.cache import RedisSemanticCache
from semcache.errors import IndexMismatchError, StoreError
from semcache.settings import Settings
from tests.fakes import WordEmbedder


@pytest.mark.parametrize(
    ("login", "message"),
    [
        (":right@", r"has no search module: .*use Redis 8 or Redis Stack"),
        (":wr0ng@", r"refused the user name or password: .*correct them"),
    ],
)
def test_it_is_named_with_its_remedy(plain_url: str, login: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        RedisSemanticCache(plain_url.format(login), WordEmbedder())
    assert "wr0ng" not in str(caught.value)


def test_an_embedder_with_other_dims_under_the_same_name_never_meets_the_old_vectors(
    redis_url: str, namespace: str
) -> None:
    class Other(WordEmbedder):
        dims = 32

    settings = Settings(cache={"namespace": namespace})
    with (
        RedisSemanticCache(redis_url, WordEmbedder(), settings=settings),
        pytest.raises(IndexMismatchError, match=r"has dim 64, but 32 is needed; use another namespace"),
    ):
        RedisSemanticCache(redis_url, Other(), settings=settings)
