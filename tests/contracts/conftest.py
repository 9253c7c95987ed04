"""The kinds of Redis that users run, as urls."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from semcache.redis.rights import acl_rules
from semcache.redis.server.embedded import EmbeddedRedis
from tests.redis.certificate import CERTIFICATE
from tests.redis.proxy import Proxy
from tests.redis.sentinels import trio

DEPLOYMENTS = ("one server", "TLS", "least rights", "Sentinels", "cluster", "cluster with least rights")


@pytest.fixture(scope="session")
def tls_url(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """TLS in front of the server: the packaged one has none of its own."""
    certificate: Path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    certificate.write_text(CERTIFICATE)
    with Proxy(redis_url, certificate).running() as proxy:
        yield proxy.url


@pytest.fixture(scope="session")
def restricted_url(redis_url: str) -> Iterator[str]:
    """A user with the rights that semcache asks for, and no others."""
    with redis.Redis.from_url(redis_url) as admin:
        admin.execute_command("ACL", "SETUSER", *_rules().split())
        yield redis_url.replace("unix://", "unix://least:password@")
        admin.acl_deluser("least")


@pytest.fixture(scope="session")
def sentinels_url() -> Iterator[str]:
    """Sentinels that watch a primary and its replica."""
    with trio() as group:
        yield group.url


@pytest.fixture(scope="session")
def restricted_cluster_url(cluster: EmbeddedRedis) -> Iterator[str]:
    """Such a user on each node of a cluster."""
    with redis.RedisCluster.from_url(cluster.url) as admin:
        for node in admin.get_nodes():
            admin.execute_command("ACL SETUSER", *_rules().split(), target_nodes=node)
    yield f"redis://least:password@{cluster.url.partition('@')[2]}"
    with redis.RedisCluster.from_url(cluster.url) as admin:
        for node in admin.get_nodes():
            admin.execute_command("ACL DELUSER", "least", target_nodes=node)


def _rules() -> str:
    return acl_rules(None, "least")


@pytest.fixture(params=DEPLOYMENTS)
def deployment_url(request: pytest.FixtureRequest, redis_url: str) -> str:
    """The url of each kind of Redis in turn."""
    match request.param:
        case "TLS":
            url = request.getfixturevalue("tls_url")
        case "least rights":
            url = request.getfixturevalue("restricted_url")
        case "Sentinels":
            url = request.getfixturevalue("sentinels_url")
        case "cluster":
            url = request.getfixturevalue("cluster").url
        case "cluster with least rights":
            url = request.getfixturevalue("restricted_cluster_url")
        case _:
            url = redis_url
    return str(url)
