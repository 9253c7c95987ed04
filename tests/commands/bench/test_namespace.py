"""The namespace of a measurement, and the memory that it needs."""

import pytest

from semcache.commands.bench.namespace import check_memory, settings_apart
from semcache.errors import StoreError
from semcache.redis.client.server_info import ServerInfo
from semcache.settings import Settings


def test_entries_that_would_crowd_out_others() -> None:
    check_memory(ServerInfo("8", None, None), 10**6, 384, 50)
    check_memory(ServerInfo("8", None, 10_000_000), 2000, 384, 50)
    with pytest.raises(StoreError, match=r"2,000 entries need about 8 MB and Redis has 1 MB left"):
        check_memory(ServerInfo("8", None, 1_000_000), 2000, 384, 50)


def test_the_namespace_is_not_the_users_and_never_the_same(settings: Settings) -> None:
    spaces = {settings_apart(settings, 50).cache.namespace for _ in range(3)}
    assert len(spaces) == 3 and settings.cache.namespace not in spaces
