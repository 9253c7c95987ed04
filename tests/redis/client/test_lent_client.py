"""A client of the application lends its address and its login, and is left alone."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.cluster
import redis.sentinel
from redis.credentials import CredentialProvider

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.errors import ConfigurationError, StoreUnavailableError
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.lent_client import address_of_client
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.store import RedisStore
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.redis.conftest import LAYOUT

DOCUMENTS = ["one", "two"]


@pytest.fixture
def socket(redis_url: str) -> str:
    return str(redis.Redis.from_url(redis_url).connection_pool.connection_kwargs["path"])


@pytest.mark.parametrize(
    "make",
    [
        lambda socket: redis.Redis(unix_socket_path=socket, decode_responses=True, protocol=3, socket_timeout=1e-6),
        lambda socket: redis.Redis(unix_socket_path=socket).connection_pool,
        lambda socket: redis.BlockingConnectionPool(
            connection_class=redis.UnixDomainSocketConnection, path=socket, max_connections=1, timeout=1
        ),
        lambda socket: redis.asyncio.Redis(unix_socket_path=socket, decode_responses=True),
        lambda socket: redis.asyncio.Redis(unix_socket_path=socket).connection_pool,
    ],
)
def test_a_cache_works_over_each_kind_of_client(make: Any, socket: str, namespace: str) -> None:
    settings = Settings(cache={"namespace": namespace})
    with RedisSemanticCache(embedding_model=WordEmbedder(), redis_client=make(socket), settings=settings) as cache:
        cache.remember("how far is the moon", DOCUMENTS, [1.0, 2.0])
        assert cache.lookup("how far is the moon", DOCUMENTS).scores == (1.0, 2.0)


async def test_a_client_for_threads_serves_event_loops_too(socket: str, namespace: str) -> None:
    lent = redis.Redis(unix_socket_path=socket)
    settings = Settings(cache={"namespace": namespace})
    async with RedisSemanticCache(embedding_model=WordEmbedder(), redis_client=lent, settings=settings) as cache:
        await cache.aremember("how far is the moon", DOCUMENTS, [1.0, 2.0])
        assert (await cache.alookup("how far is the moon", DOCUMENTS)).scores == (1.0, 2.0)


def test_the_client_is_neither_used_nor_closed(socket: str, namespace: str) -> None:
    lent = redis.Redis(unix_socket_path=socket, single_connection_client=True)
    lent.client_setname("lent")
    settings = Settings(cache={"namespace": namespace})
    before = lent.client_info()
    with OptimizedRerankerPipeline(
        CountingReranker(), redis_client=lent, embedding_model=WordEmbedder(), settings=settings
    ) as pipeline:
        assert [pipeline.rerank("q", DOCUMENTS).status for _ in range(2)] == ["fresh", "exact"]
    after = lent.client_info()
    assert (after["id"], after["name"]) == (before["id"], "lent")
    assert int(after["tot-cmds"]) - int(before["tot-cmds"]) == 1  # CLIENT INFO itself


def test_everything_from_settings_but_the_client(socket: str, namespace: str) -> None:
    settings = Settings(
        redis={"url": "redis://localhost:1"}, cache={"namespace": namespace}, rerankers=[{"kind": "retrieval-order"}]
    )
    lent = redis.Redis(unix_socket_path=socket)
    with OptimizedRerankerPipeline.from_settings(
        settings, primary=CountingReranker(), embedder=WordEmbedder(), redis_client=lent
    ) as pipeline:
        assert [pipeline.rerank("q", DOCUMENTS).status for _ in range(2)] == ["fresh", "exact"]
        assert socket in repr(pipeline.cache)


def test_the_parameters_are_taken_and_the_rest_is_semcaches_own() -> None:
    lent = redis.Redis(
        "h", 7, username="u", password="p", ssl=True, ssl_cert_reqs="none", client_name="app", socket_timeout=9
    )
    address = address_of_client(lent)
    assert address.kind == "tls"
    assert address.where == "Redis at rediss://h:7"
    expected = {"host": "h", "port": 7, "username": "u", "password": "p", "ssl_cert_reqs": "none", "client_name": "app"}
    assert expected.items() <= address.parameters.items()
    assert not address.parameters.keys() & {"retry", "socket_timeout", "protocol"}


class Elsewhere(redis.Connection):
    """A connection to something that is no server."""


@pytest.mark.parametrize(
    ("client", "message"),
    [
        (redis.sentinel.Sentinel([("h", 1)]), "Sentinel: it watches several services; pass .*master_for"),
        (redis.asyncio.sentinel.Sentinel([("h", 1)]), "Sentinel: it watches several services; pass .*master_for"),
        (redis.sentinel.Sentinel([("h", 1)]).master_for("m", db=1), "Redis database 1 .* cannot be used"),
        (redis.Redis(db=1), "Redis database 1 .* cannot be used"),
        (redis.Redis(redis_connect_func=print), "redis_connect_func cannot be taken over"),
        (redis.Redis(ssl=True, ssl_validate_ocsp=True), "ssl_validate_ocsp cannot be taken over"),
        (redis.ConnectionPool(connection_class=Elsewhere), "connections of class Elsewhere cannot be made anew"),
        ("redis://:secret@h", "redis_client is a builtins.str: pass a redis.Redis"),
        (redis.Redis(password="secret").pubsub(), "PubSub: pass a redis.Redis"),
    ],
)
def test_a_client_that_cannot_be_followed_is_refused_by_name(client: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        RedisSemanticCache(embedding_model=WordEmbedder(), redis_client=client)
    assert "secret" not in str(caught.value)


async def test_that_of_a_cluster_stands_for_all_of_it(cluster: EmbeddedRedis) -> None:
    with redis.RedisCluster.from_url(cluster.url) as lent:
        addresses = [address_of_client(lent)]
    async with redis.asyncio.RedisCluster.from_url(cluster.url) as lent_to_loops:
        addresses.append(address_of_client(lent_to_loops))
    for address in addresses:
        with RedisConnection(address, timeout_s=5, connect_timeout_s=5) as connection:
            assert len(connection.nodes) == 3
    tls = redis.asyncio.RedisCluster(host="localhost", ssl=True, ssl_ca_certs=__file__)
    assert address_of_client(tls).where == "Redis at rediss://127.0.0.1:6379"


def test_a_url_and_a_client_together_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="redis_url and redis_client are both given; pass one of them"):
        RedisSemanticCache("redis://elsewhere", WordEmbedder(), redis_client=redis.Redis())


class Tokens(CredentialProvider):
    """Gives one token after another, as services do whose tokens end."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)

    def get_credentials(self) -> tuple[str, str]:
        if not self.tokens:
            raise LookupError("secret of the service")
        return "tokens", self.tokens[0]


class AsyncTokens(Tokens):
    async def get_credentials_async(self) -> tuple[str, str]:
        return self.get_credentials()


@pytest.fixture
def acl_user(client: redis.Redis) -> Iterator[None]:
    client.acl_setuser("tokens", enabled=True, passwords=["+first", "+second"], categories=["+@all"], keys=["*"])
    yield
    client.acl_deluser("tokens")


@pytest.mark.usefixtures("acl_user")
class TestCredentials:
    def lent(self, socket: str, provider: CredentialProvider) -> RedisConnection:
        pool = redis.ConnectionPool(
            connection_class=redis.UnixDomainSocketConnection, path=socket, credential_provider=provider
        )
        return RedisConnection(address_of_client(pool))

    def test_threads_log_in_with_it(self, socket: str, namespace: str) -> None:
        with self.lent(socket, Tokens("first")) as connection:
            assert connection.client.acl_whoami() == "tokens"
            assert RedisStore(connection, **{**LAYOUT, "namespace": namespace}).read_exact("", "q") is None

    @pytest.mark.parametrize("provider", [Tokens, AsyncTokens])
    async def test_event_loops_too(self, socket: str, namespace: str, provider: type[Tokens]) -> None:
        async with self.lent(socket, provider("first")) as connection:
            assert await AsyncRedisStore(connection, **{**LAYOUT, "namespace": namespace}).read_exact("", "q") is None
            assert (await connection.aexchange([("ACL", "WHOAMI")])) == [b"tokens"]

    def test_a_token_that_ended_is_replaced(self, socket: str, client: redis.Redis, namespace: str) -> None:
        provider = Tokens("first", "second")
        with self.lent(socket, provider) as connection:
            store = RedisStore(connection, **{**LAYOUT, "namespace": namespace})
            assert store.read_exact("", "q") is None
            client.execute_command("ACL", "SETUSER", "tokens", "<first")
            client.execute_command("CLIENT", "KILL", "USER", "tokens")
            provider.tokens.pop(0)
            assert store.read_exact("", "q") is None

    def test_a_provider_that_fails_is_an_outage_that_may_pass(self, socket: str, namespace: str) -> None:
        provider = Tokens()
        with self.lent(socket, provider) as connection:
            store = RedisStore(connection, **{**LAYOUT, "namespace": namespace})
            with pytest.raises(StoreUnavailableError, match="the credential provider raised LookupError") as caught:
                store.read_exact("", "q")
            assert "secret" not in str(caught.value)

    def test_a_reranker_goes_on_without_it(self, socket: str, namespace: str) -> None:
        lent = redis.Redis(unix_socket_path=socket, credential_provider=Tokens())
        settings = Settings(cache={"namespace": namespace})
        with CachedReranker(
            CountingReranker(), RedisSemanticCache(embedding_model=WordEmbedder(), redis_client=lent, settings=settings)
        ) as reranker:
            assert reranker.rerank("q", DOCUMENTS).status == "fresh"
