"""``semcache stats`` on a real Redis."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pytest
import redis

from semcache.commands.names import names_of
from semcache.quality.statistics import Observation
from semcache.redis.client.connection import RedisConnection
from semcache.redis.forced_state import ForcedState, ForcedStateStore
from semcache.redis.quality_state import QualityStore
from semcache.redis.rights import acl_rules
from semcache.redis.scopes import learned_id, scopes_of
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.store import RedisStore
from semcache.settings import Settings
from tests.commands.conftest import QUERIES, Cli
from tests.redis.conftest import fingerprint, vector


@pytest.fixture
def connection(redis_url: str) -> Iterator[RedisConnection]:
    with RedisConnection(redis_url, timeout_s=10) as connection:
        yield connection


def test_entries_tenants_and_memory_of_each_scope(filled: Settings, cli: Cli, namespace: str) -> None:
    found = json.loads(cli("stats", "--json").stdout)
    [scope] = [scope for scope in found["scopes"] if scope["entries"]]
    assert (scope["entries"], scope["findable"], scope["tenants"]) == (2 * len(QUERIES), 2 * len(QUERIES), 1)
    assert (scope["reranker"], scope["embedder"], scope["is_configured"]) == ("counting", "words", True)
    assert scope["id"] == learned_id("counting", "words")
    assert 1000 < scope["bytes"] < 10_000
    assert found["memory"] > 0
    shown = cli("stats").stdout
    assert "counting, queries by words" in shown and namespace in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_what_was_learned_is_shown_with_its_evidence(
    filled: Settings, cli: Cli, connection: RedisConnection, namespace: str
) -> None:
    scores = np.arange(10.0)
    QualityStore(connection, namespace, "counting", "words").add([Observation("0.98", scores, scores[::-1])] * 40)
    [quality] = [scope["quality"] for scope in json.loads(cli("stats", "--json").stdout)["scopes"] if scope["quality"]]
    assert quality["bands"]["0.98"]["n"] == 40
    assert quality["trust_threshold"] == quality["configured"] == 0.97
    shown = cli("stats").stdout
    assert "near queries are trusted from similarity 0.97, as set" in shown
    assert "0.98" in shown and "40" in shown


def test_a_decision_about_the_breaker_is_shown(
    configured: Settings, cli: Cli, connection: RedisConnection, namespace: str
) -> None:
    ForcedStateStore(connection, namespace).write(ForcedState("forced-open", "new model", 0.0))
    shown = cli("stats").stdout
    assert "forced-open since 1970-01-01" in shown and "(new model)" in shown
    assert "Nothing is remembered" in shown


def test_namespaces_whose_names_begin_alike_are_kept_apart(connection: RedisConnection, namespace: str) -> None:
    layout: Any = {"reranker": "r", "embedder": "e", "dims": 16}
    for name in (namespace, f"{namespace}:b", f"{namespace}:elevenchars"):
        RedisStore(connection, namespace=name, **layout).remember("", "q", vector(1), [(fingerprint(1), 1.0)])
    [scope] = scopes_of(connection, namespace)
    assert scope.entries == 1


def test_a_cluster_is_counted_whole(cluster: EmbeddedRedis, namespace: str) -> None:
    with RedisConnection(cluster.url, timeout_s=10, budget_s=5) as connection:
        store = RedisStore(connection, namespace=namespace, reranker="r", embedder="e", dims=16)
        for number in range(20):
            store.remember("t", f"query {number}", vector(number), [(fingerprint(1), 1.0)])
        [scope] = scopes_of(connection, namespace)
    assert (scope.entries, scope.findable, scope.tenants) == (20, 20, 1)
    assert scope.bytes


def test_a_user_who_may_not_ask_for_memory_sees_the_rest(filled: Settings, redis_url: str, namespace: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command("ACL", "SETUSER", *acl_rules(namespace, "advised-stats").split())
    with RedisConnection(redis_url.replace("unix://", "unix://advised-stats:password@"), timeout_s=10) as connection:
        [scope] = [scope for scope in scopes_of(connection, namespace) if scope.entries]
        assert scope.bytes is None


def test_models_are_named_with_their_namesakes(configured: Settings, connection: RedisConnection) -> None:
    [names] = names_of(configured, connection)
    assert (names.reranker, names.embedder, names.scope_id(configured)) == (
        "counting",
        "words",
        learned_id("counting", "words"),
    )


class TestServer:
    @pytest.fixture
    def server(self) -> Iterator[str]:
        """Answers as ``semcache serve`` does, for one key."""
        failure = {"error": "StoreUnavailableError: away", "step": "ReadExact", "seconds_ago": 3.2}
        stats = {
            "process": 1,
            "cache": {
                "hit_rate": "50.00%",
                "cache_hits": 1,
                "cache_misses": 1,
                "last_error": {"cache": failure, "embedder": None, "reranker": {}},
            },
            "reranker": {"degraded": False},
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                is_ours = self.path == "/stats" and self.headers["Authorization"] == "Bearer 0123456789abcdef"
                self.send_response(200 if is_ours else 401)
                self.end_headers()
                self.wfile.write(json.dumps(stats).encode() if is_ours else b"{}")

            def log_message(self, *_: object) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()

    def test_its_last_errors_are_shown(
        self, configured: Settings, cli: Cli, server: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SEMCACHE_SERVER__API_KEYS", "shop-a:fedcba9876543210, 0123456789abcdef")
        shown = cli("stats", "--server", server).stdout
        assert "50.00% of 2 requests" in shown
        assert "StoreUnavailableError: away (3 s ago)" in shown
        assert json.loads(cli("stats", "--server", f"{server}/", "--json").stdout)["server"]["process"] == 1

    @pytest.mark.parametrize(
        ("url", "code", "said"),
        [
            ("localhost:8080", 2, "--server is 'localhost:8080'; it must be one such as http://localhost:8080"),
            ("http://127.0.0.1:1", 4, "no server of semcache at http://127.0.0.1:1"),
            ("", 3, "put one of its server.api_keys into SEMCACHE_SERVER__API_KEYS"),
        ],
    )
    def test_what_is_wrong_is_said(
        self, configured: Settings, cli: Cli, server: str, url: str, code: int, said: str
    ) -> None:
        assert said in cli("stats", "--server", url or server, code=code).stderr


def test_a_private_server_is_refused(cli: Cli) -> None:
    assert "a new private server is empty" in cli("stats", "--redis-url", "embedded", code=3).stderr


def test_an_option_that_cannot_be_used_is_called_one(cli: Cli) -> None:
    assert "cache.namespace (option) is 'a b'" in cli("stats", "--namespace", "a b", code=2).stderr
    assert "redis.url (option) is" in cli("stats", "--redis-url", "http://localhost", code=2).stderr


def test_the_report_needs_no_models(filled: Settings, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from semcache.commands import models
    from semcache.errors import ConfigurationError

    def missing(settings: Settings) -> None:
        raise ConfigurationError("no such model; name another")

    monkeypatch.setattr(models, "configured_models", missing)
    shown = " ".join(cli("stats").stdout.split())
    assert "cannot be told here: no such model; name another" in shown
