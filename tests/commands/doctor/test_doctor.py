"""``semcache doctor`` on a real Redis: each of the prepared faults is found, and its remedy named."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from semcache.commands.app import app
from semcache.commands.doctor.finding import Finding, Verdict, checked
from semcache.commands.doctor.server import clock_finding, latency_finding, memory_finding
from semcache.embedders.adapt import adapt_embedder
from semcache.errors import StoreError
from semcache.redis.client.connection import RedisConnection
from semcache.redis.rights import acl_rules
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.store import RedisStore, keys_of
from semcache.rerankers.build import build
from semcache.settings import Settings
from tests.redis.certificate import CERTIFICATE
from tests.redis.conftest import plain_url as plain_url  # noqa: PLC0414 - a fixture
from tests.redis.proxy import Proxy
from tests.scripted import PATIENCE_S

Found = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedRedis]:
    """A server that these tests may set up as they like."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def client(server: EmbeddedRedis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
def doctor(namespace: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Found]:
    """The findings by their checks; the exit code says whether a fault is among them."""
    # Instead of a model, which would be read from disk for every test.
    monkeypatch.setenv("SEMCACHE_RERANKERS", '[{"kind": "retrieval-order"}]')

    def doctor(url: str, *options: str) -> Found:
        arguments = ["doctor", "--json", "--no-models", "--redis-url", url, "--namespace", namespace, *options]
        done = CliRunner().invoke(app, arguments)
        found = {finding["check"]: finding for finding in json.loads(done.stdout)}
        assert done.exit_code == any(finding["verdict"] == "fault" for finding in found.values())
        assert "wr0ng" not in done.output
        return found

    return doctor


def names(found: Found, check: str, verdict: str, remedy: str) -> bool:
    return found[check]["verdict"] == verdict and remedy in found[check]["remedy"]


def test_all_is_well(server: EmbeddedRedis, namespace: str) -> None:
    done = CliRunner().invoke(app, ["doctor", "--redis-url", server.url, "--namespace", namespace])
    assert done.exit_code == 0, done.output
    for check in ("settings", "reachable", "embedder", "reranker", "rights", "index", "clock", "latency"):
        assert f"ok      {check}: " in done.output


def test_a_user_with_the_rights_that_are_advised_is_well(
    server: EmbeddedRedis, client: redis.Redis, namespace: str, doctor: Callable[..., Found]
) -> None:
    client.execute_command("ACL", "SETUSER", *acl_rules(namespace, "advised").split())
    found = doctor(server.url.replace("unix://", "unix://advised:password@"))
    assert {finding["verdict"] for finding in found.values()} == {"ok", "skipped"}
    assert found["memory"]["remedy"] == "to see it, allow +info"


def test_a_cluster_is_well(cluster: EmbeddedRedis, doctor: Callable[..., Found]) -> None:
    found = doctor(cluster.url)
    assert "fault" not in {finding["verdict"] for finding in found.values()}, found
    assert found["reachable"]["seen"].endswith("a Redis Cluster of 3 shards")


def test_it_leaves_nothing_behind(server: EmbeddedRedis, client: redis.Redis, doctor: Callable[..., Found]) -> None:
    before = client.dbsize(), client.execute_command("FT._LIST")
    doctor(server.url)
    assert (client.dbsize(), client.execute_command("FT._LIST")) == before


class TestSettings:
    def test_a_misspelt_variable(self, doctor: Callable[..., Found], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SEMCACHE_NAMESPCE", "docs")
        found = doctor("embedded")
        assert list(found) == ["settings"]
        assert names(found, "settings", "fault", "did you mean SEMCACHE_NAMESPACE?")

    def test_an_unreadable_file(
        self, doctor: Callable[..., Found], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "bad.yaml").write_text("redis: {url: 'redis://:wr0ng@host'")
        monkeypatch.setenv("SEMCACHE_CONFIG", str(tmp_path / "bad.yaml"))
        found = doctor("embedded")
        assert names(found, "settings", "fault", "semcache config --template")
        assert "bad.yaml" in found["settings"]["seen"]

    def test_another_database(self, doctor: Callable[..., Found]) -> None:
        assert names(doctor("redis://localhost/3"), "reachable", "fault", "use database 0")

    def test_a_model_that_is_not_there(self, doctor: Callable[..., Found], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SEMCACHE_EMBEDDING_MODEL", "/nowhere/model")
        found = doctor("redis://127.0.0.1:1")
        assert names(found, "embedder", "fault", "pass an existing folder or a hub name")
        assert "/nowhere/model" in found["embedder"]["seen"]


class TestReachable:
    def test_refused(self, doctor: Callable[..., Found]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        found = doctor(f"redis://127.0.0.1:{port}")
        assert names(found, "reachable", "fault", "start Redis there")
        assert "latency" not in found

    @pytest.fixture
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SEMCACHE_REDIS__TIMEOUT_S", "0.2")
        monkeypatch.setenv("SEMCACHE_REDIS__CONNECT_TIMEOUT_S", "0.2")

    @pytest.mark.usefixtures("_impatient")
    def test_a_black_hole(self, server: EmbeddedRedis, doctor: Callable[..., Found]) -> None:
        with Proxy(server.url).running() as proxy:
            proxy.change(frozen=True)
            assert names(doctor(proxy.url), "reachable", "fault", "firewalls")

    def test_an_unknown_host(self, doctor: Callable[..., Found]) -> None:
        assert names(doctor("redis://nosuch.invalid"), "reachable", "fault", "correct the name of the host")

    def test_a_wrong_password(self, plain_url: str, doctor: Callable[..., Found]) -> None:
        found = doctor(plain_url.format(":wr0ng@"))
        assert names(found, "reachable", "fault", "correct them in the Redis url")

    @pytest.mark.usefixtures("_impatient")
    def test_tls_where_there_is_none(self, server: EmbeddedRedis, doctor: Callable[..., Found]) -> None:
        with Proxy(server.url).running() as proxy:
            found = doctor(proxy.url.replace("redis://", "rediss://"))
            assert names(found, "reachable", "fault", "write redis:// in place of rediss://")

    def test_no_tls_where_there_is_some(
        self, server: EmbeddedRedis, doctor: Callable[..., Found], tmp_path: Path
    ) -> None:
        (tmp_path / "certificate.pem").write_text(CERTIFICATE)
        with Proxy(server.url, tmp_path / "certificate.pem").running() as proxy:
            found = doctor(proxy.url.partition("?")[0].replace("rediss://", "redis://"))
            assert names(found, "reachable", "fault", "write rediss:// in place of redis://")


class TestServer:
    def test_no_search_module(self, plain_url: str, doctor: Callable[..., Found]) -> None:
        assert names(doctor(plain_url.format(":right@")), "search module", "fault", "Redis 8 or Redis Stack")

    @pytest.mark.parametrize(
        ("denied", "check", "verdict", "remedy"),
        [
            ("evalsha", "scripting", "fault", "ACL SETUSER limited +evalsha"),
            ("hgetall", "rights", "fault", "ACL SETUSER limited +hgetall"),
            ("ft.dropindex", "rights", "warning", "ACL SETUSER limited +FT.DROPINDEX"),
        ],
    )
    def test_a_right_that_is_missing(
        self,
        server: EmbeddedRedis,
        client: redis.Redis,
        doctor: Callable[..., Found],
        denied: str,
        check: str,
        verdict: str,
        remedy: str,
    ) -> None:
        client.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">pw", "~*", "+@all", f"-{denied}")
        found = doctor(server.url.replace("unix://", "unix://limited:pw@"))
        assert names(found, check, verdict, remedy), found[check]

    def test_a_replica(self, server: EmbeddedRedis, client: redis.Redis, doctor: Callable[..., Found]) -> None:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            found = doctor(server.url)
        finally:
            client.execute_command("REPLICAOF", "NO", "ONE")
        assert names(found, "role", "fault", "use the url of its primary, which is at 127.0.0.1:1")

    def test_full(self, server: EmbeddedRedis, client: redis.Redis, doctor: Callable[..., Found]) -> None:
        client.config_set("maxmemory", "1mb")
        try:
            found = doctor(server.url)
        finally:
            client.config_set("maxmemory", 0)
        assert names(found, "memory", "warning", "set maxmemory-policy to allkeys-lru")
        assert names(found, "rights", "fault", "set maxmemory-policy to allkeys-lru")

    def test_far_away(
        self, server: EmbeddedRedis, doctor: Callable[..., Found], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SEMCACHE_REDIS__BUDGET_S", "0.01")
        with Proxy(server.url).running() as proxy:
            proxy.change(delay_s=0.011)
            assert names(doctor(proxy.url), "latency", "fault", "SEMCACHE_REDIS__BUDGET_S")


class TestIndex:
    @pytest.fixture
    def make(
        self, server: EmbeddedRedis, namespace: str, doctor: Callable[..., Found]
    ) -> Iterator[Callable[[int], RedisStore]]:
        """Makes the index of the models of the settings, with other dims than theirs."""
        embedder = adapt_embedder(Settings().embedder.model)
        reranker = build(Settings().rerankers[0], embedder)
        with RedisConnection(server.url) as connection:

            def make(dims: int) -> RedisStore:
                models: dict[str, Any] = {"reranker": reranker.name, "embedder": embedder.name}
                models["listwise"] = reranker.listwise
                store = RedisStore(connection, namespace=namespace, dims=dims, **models)
                store.check()
                return store

            yield make

    def test_other_dims(
        self, server: EmbeddedRedis, make: Callable[[int], RedisStore], doctor: Callable[..., Found]
    ) -> None:
        make(8)
        found = doctor(server.url)
        assert "has dim 8, but 384 is needed" in found["index"]["seen"]
        assert names(found, "index", "fault", "remove the old index with FT.DROPINDEX")

    def test_hashes_of_others(
        self,
        server: EmbeddedRedis,
        client: redis.Redis,
        make: Callable[[int], RedisStore],
        doctor: Callable[..., Found],
    ) -> None:
        client.hset(f"{keys_of(make(384)).base}:v:{{x}}", "embedding", "short")
        assert names(doctor(server.url), "index", "warning", "what else writes hashes under its keys")


class TestChecked:
    def test_a_check_that_hangs_is_a_fault(self) -> None:
        released = Event()

        def hang() -> Finding:
            released.wait(PATIENCE_S)
            return Finding("slow", Verdict.OK, "late")

        found = checked("slow", hang, 0.01)
        released.set()
        assert (found.verdict, found.seen) == (Verdict.FAULT, "no result within 0.01 s")

    @pytest.mark.parametrize(
        ("error", "seen", "remedy"),
        [
            (StoreError("it is full; make room"), "it is full", "make room"),
            (StoreError("it is full"), "it is full", ""),
            (ZeroDivisionError("by 0"), "ZeroDivisionError: by 0", "correct it, and look again"),
        ],
    )
    def test_an_error_is_a_fault(self, error: Exception, seen: str, remedy: str) -> None:
        def look() -> Finding:
            raise error

        assert checked("any", look, PATIENCE_S) == Finding("any", Verdict.FAULT, seen, remedy)


@pytest.mark.parametrize(
    ("limit", "policy", "expires", "verdict", "remedy"),
    [
        ("0", "noeviction", True, Verdict.WARNING, "set maxmemory to"),
        ("100", "noeviction", True, Verdict.WARNING, "allkeys-lru"),
        ("51", "noeviction", True, Verdict.WARNING, "allkeys-lru"),
        ("100", "allkeys-lru", False, Verdict.OK, ""),
        ("100", "volatile-lru", True, Verdict.OK, ""),
        ("100", "volatile-lru", False, Verdict.WARNING, "allkeys-lru"),
    ],
)
def test_memory(limit: str, policy: str, expires: bool, verdict: Verdict, remedy: str) -> None:
    info = {"maxmemory": limit, "used_memory": "50", "maxmemory_policy": policy}
    found = memory_finding(info, expires=expires)
    assert found.verdict is verdict
    assert remedy in found.remedy


@pytest.mark.parametrize(("median_s", "verdict"), [(0.001, Verdict.OK), (0.02, Verdict.WARNING), (0.06, Verdict.FAULT)])
def test_latency(median_s: float, verdict: Verdict) -> None:
    assert latency_finding(median_s, 0.05).verdict is verdict


@pytest.mark.parametrize(
    ("apart_s", "verdict"), [(-0.2, Verdict.OK), (60.0, Verdict.WARNING), (-60.0, Verdict.WARNING)]
)
def test_clock(apart_s: float, verdict: Verdict) -> None:
    found = clock_finding(apart_s)
    assert found.verdict is verdict
    assert ("NTP" in found.remedy) == (verdict is Verdict.WARNING)
