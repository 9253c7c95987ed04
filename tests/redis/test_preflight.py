"""What would fail with every request is found at the start, and said with the remedy; what may pass is no error."""

import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import redis
from redis import exceptions

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.errors import ConfigurationError, StoreError, StoreUnavailableError, TransientStoreError
from semcache.events import CacheFailed, Event
from semcache.flow.drive import drive
from semcache.redis import ensure
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.client.commands import CreateIndex
from semcache.redis.client.connection import RedisConnection
from semcache.redis.operation import StoreState
from semcache.redis.rights import RIGHTS, acl_rules
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.server.files import find_server_files
from semcache.redis.store import RedisStore
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.redis.conftest import LAYOUT, fingerprint, vector
from tests.redis.test_round_trips import CommandCounter
from tests.scripted import PATIENCE_S

DOCUMENTS = ["one", "two", "three"]
RULES = (Path(__file__).parents[2] / "docs" / "redis.md").read_text().split("ACL SETUSER semcache ")[1].split("```")[0]
NEEDED = [f"+{command}" for group in RIGHTS[:3] for command in group]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedRedis]:
    """A server whose users the tests of this module may change."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def admin(server: EmbeddedRedis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as admin:
        yield admin
        admin.execute_command("ACL", "DELUSER", "app")
        admin.flushall()


def url_of_user(server: EmbeddedRedis, admin: redis.Redis, *rules: str) -> str:
    """The url of a user with these rights."""
    admin.execute_command("ACL", "SETUSER", "app", "reset", "on", ">pw", *rules)
    return server.url.replace("unix://", "unix://app:pw@")


def cache_at(url: str, events: list[Event] | None = None, **settings: Any) -> RedisSemanticCache:
    observers = [] if events is None else [events.append]
    return RedisSemanticCache(url, WordEmbedder(), 0.9, settings=Settings(**settings), observers=observers)


class TestNothingStays:
    def test_no_key(self, server: EmbeddedRedis, admin: redis.Redis) -> None:
        cache_at(server.url).close()
        assert admin.dbsize() == 0

    def test_not_even_where_entries_could_not_be_given_an_end(self, server: EmbeddedRedis, admin: redis.Redis) -> None:
        with pytest.raises(StoreError, match="pexpire"):
            cache_at(url_of_user(server, admin, "~*", "+@all", "-pexpire"))
        assert admin.dbsize() == 0

    def test_what_cannot_be_removed_expires(self, server: EmbeddedRedis, admin: redis.Redis) -> None:
        with pytest.raises(StoreError, match="unlink"):
            cache_at(url_of_user(server, admin, "~*", "+@all", "-unlink"))
        left = admin.keys("*")
        assert left
        assert all(0 < admin.pttl(key) <= 10_000 for key in left)

    def test_no_index_on_a_server_that_is_refused(self, server: EmbeddedRedis, admin: redis.Redis) -> None:
        with pytest.raises(StoreError):
            cache_at(url_of_user(server, admin, "~*", "+@all", "-hgetall"))
        assert admin.execute_command("FT._LIST") == []

    def test_nothing_of_others_is_touched(self, server: EmbeddedRedis, admin: redis.Redis) -> None:
        with cache_at(server.url) as first:
            first.remember("how far is the moon", DOCUMENTS, [1.0, 2.0, 3.0])
            before = {key: admin.dump(key) for key in admin.keys("*")}
            with cache_at(server.url) as second:
                vector = WordEmbedder().embed(["how far is the moon"])[0]
                assert len(second.neighbours(vector)) == 1
            assert {key: admin.dump(key) for key in admin.keys("*")} == before

    def test_it_is_tried_once_and_not_by_requests(self, server: EmbeddedRedis, admin: redis.Redis) -> None:
        counter = CommandCounter(admin)
        with CachedReranker(CountingReranker(), cache_at(server.url)) as reranker:
            assert counter.since()["ft.create"] == 2  # the trial, and the index
            reranker.rerank("q", DOCUMENTS)
            reranker.rerank("q", DOCUMENTS)
            assert "unlink" not in counter.since()


class TestRights:
    def test_those_in_the_documentation_are_those_that_the_command_prints(self) -> None:
        assert RULES.strip() == acl_rules(None).removeprefix("semcache ")
        assert acl_rules("docs", "app").startswith("app on >password resetkeys resetchannels -@all ~semcache:docs:*\n")
        with pytest.raises(ConfigurationError, match="namespace 'a b' cannot be used"):
            acl_rules("a b")

    def test_a_right_that_is_taken_away_later_leaves_no_entry_without_end(
        self, server: EmbeddedRedis, admin: redis.Redis
    ) -> None:
        url = url_of_user(server, admin, *RULES.split()[2:])
        with RedisConnection(url) as connection:
            store = RedisStore(connection, **LAYOUT)
            store.check()
            admin.execute_command("ACL", "SETUSER", "app", "-pexpire")
            with pytest.raises(StoreError, match=r"no permissions for pexpire; .* \+pexpire"):
                store.remember("", "q", vector(1), [(fingerprint(1), 1.0)])
            assert store.remember("", "q", None, [(fingerprint(1), 1.0)])
        assert [0 < admin.pttl(key) <= 3_960_000 for key in admin.keys("*")] == [True]

    def test_those_that_are_documented_are_enough_for_everything(
        self, server: EmbeddedRedis, admin: redis.Redis
    ) -> None:
        events: list[Event] = []
        admin.execute_command("ACL", "LOG", "RESET")
        url = url_of_user(server, admin, *RULES.split()[2:])
        settings = {"reuse": {"audit_rate": 1.0, "reuse_threshold": 0.3}, "cache": {"store_queries": True}}
        with CachedReranker(CountingReranker(), cache_at(url, events, **settings)) as reranker:
            for tenant in ("", "t"):
                seen = [
                    reranker.rerank(query, documents, tenant=tenant).status.value
                    for query, documents in (
                        *(("how far is the moon", DOCUMENTS), ("how far is the moon", DOCUMENTS)),
                        *(("is the moon how far", DOCUMENTS), ("how far is the moon", [*DOCUMENTS, "four"])),
                        ("is the moon how near", [f"{n}" for n in range(9)]),
                    )
                ]
                assert seen == ["fresh", "exact", "semantic", "partial", "fresh"]
            reranker.rerank_many(["a b", "c d"], [DOCUMENTS, DOCUMENTS])
            reranker.cache.set("q", DOCUMENTS, DOCUMENTS)
            reranker.cache.set("q", DOCUMENTS, DOCUMENTS[:1])
            assert reranker.cache.get("q", DOCUMENTS) == DOCUMENTS[:1]
            assert reranker.audit.drain(10)
            assert reranker.cache.store.count() > 0
            assert reranker.cache.store.sample(1)
            assert reranker.cache.forget(query="a b") == 1
            assert reranker.cache.forget(document=DOCUMENTS[0]) > 1
            assert reranker.cache.forget(tenant="t") > 1
            assert reranker.cache.clear() > 0
        assert not [event for event in events if isinstance(event, CacheFailed)]
        assert admin.execute_command("ACL", "LOG") == []

    @pytest.mark.parametrize("rule", NEEDED)
    def test_a_command_that_is_missing_is_named(self, server: EmbeddedRedis, admin: redis.Redis, rule: str) -> None:
        url = url_of_user(server, admin, *RULES.split()[2:], f"-{rule[1:]}")
        with pytest.raises(
            StoreError, match=rf"(?i)no permissions for .*\b{rule[1:]}\b.*ACL SETUSER app \{rule}"
        ) as caught:
            cache_at(url)
        assert not isinstance(caught.value, TransientStoreError)

    def test_all_that_are_missing_are_named_together(self, server: EmbeddedRedis, admin: redis.Redis) -> None:
        url = url_of_user(server, admin, "~semcache:*", "+@all", "-@scripting", "-hgetall", "-ft.info")
        rules = r"\+eval \+evalsha \+hgetall \+ft.info$"
        with pytest.raises(StoreError, match=f"(?i)for eval, evalsha, hgetall, ft.info; .* ACL SETUSER app {rules}"):
            cache_at(url)

    @pytest.mark.parametrize("keys", [["~other:*"], ["%R~semcache:*"], []])
    def test_keys_that_are_missing_are_named(self, server: EmbeddedRedis, admin: redis.Redis, keys: list[str]) -> None:
        url = url_of_user(server, admin, *keys, "+@all")
        with pytest.raises(StoreError, match=r"no permissions for the keys semcache:\*; .* <user> ~semcache:\*"):
            cache_at(url)

    def test_keys_of_its_own_namespace_are_enough(self, server: EmbeddedRedis, admin: redis.Redis) -> None:
        url = url_of_user(server, admin, *RULES.split()[2:], "resetkeys", "~semcache:mine:*")
        with CachedReranker(CountingReranker(), cache_at(url, cache={"namespace": "mine"})) as reranker:
            assert [reranker.rerank("q", DOCUMENTS).status for _ in range(2)] == ["fresh", "exact"]
        with pytest.raises(StoreError, match="the keys semcache"):
            cache_at(url, cache={"namespace": "theirs"})

    async def test_an_event_loop_sees_the_same(self, server: EmbeddedRedis, admin: redis.Redis) -> None:
        async with RedisConnection(url_of_user(server, admin, "~*", "+@all", "-hset")) as connection:
            with pytest.raises(StoreError, match=r"no permissions for hset; .* \+hset"):
                await AsyncRedisStore(connection, **LAYOUT).check()


class TestPassing:
    """The constructor raises nothing, and the cache is used as soon as it can be."""

    def cache_that_waits(self, url: str, said: str) -> CachedReranker:
        events: list[Event] = []
        reranker = CachedReranker(CountingReranker(), cache_at(url, events))
        (event,) = [event for event in events if isinstance(event, CacheFailed)]
        assert event.step == "Connect"
        assert said in event.error
        assert reranker.rerank("q", DOCUMENTS).status == "fresh"
        return reranker

    def test_full(self, server: EmbeddedRedis, admin: redis.Redis) -> None:
        admin.config_set("maxmemory", 1)
        with self.cache_that_waits(server.url, "is full: ") as reranker:
            admin.config_set("maxmemory", 0)
            assert [reranker.rerank("q", DOCUMENTS).status for _ in range(2)] == ["fresh", "exact"]

    def test_too_few_replicas(self, server: EmbeddedRedis, admin: redis.Redis) -> None:
        admin.config_set("min-replicas-to-write", 1)
        with self.cache_that_waits(server.url, "refuses writes: NOREPLICAS") as reranker:
            admin.config_set("min-replicas-to-write", 0)
            assert [reranker.rerank("q", DOCUMENTS).status for _ in range(2)] == ["fresh", "exact"]

    def test_held_up_by_a_script(self, server: EmbeddedRedis, admin: redis.Redis) -> None:
        def hold_up() -> None:
            with redis.Redis.from_url(server.url) as other, pytest.raises(redis.ResponseError, match="killed"):
                other.eval("while true do end", 0)

        admin.config_set("lua-time-limit", 1)
        held_up = threading.Thread(target=hold_up)
        held_up.start()
        try:
            while not _is_busy(admin):
                pass
            reranker = self.cache_that_waits(server.url, "is held up by a script: BUSY")
        finally:
            admin.script_kill()
            held_up.join()
        until = monotonic() + PATIENCE_S
        with reranker:
            while reranker.rerank("q", DOCUMENTS).status != "exact":  # as soon as a probe is answered
                assert monotonic() < until

    def test_a_replica_without_its_primary(self, server: EmbeddedRedis, admin: redis.Redis) -> None:
        admin.replicaof("127.0.0.1", "1")
        try:
            reranker = self.cache_that_waits(server.url, "is a read-only replica: ")
        finally:
            admin.replicaof("NO", "ONE")
        with reranker:
            assert [reranker.rerank("q", DOCUMENTS).status for _ in range(2)] == ["fresh", "exact"]


def _is_busy(client: redis.Redis) -> bool:
    try:
        client.get("k")
    except redis.ResponseError as error:
        return str(error).startswith("BUSY")
    return False


class TestOtherServers:
    def test_a_cluster_that_does_not_serve_yet_is_waited_for(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
            port, bus = one.getsockname()[1], other.getsockname()[1]
        files = find_server_files()
        command = [
            *(files.server, "--port", str(port), "--cluster-enabled", "yes", "--cluster-port", str(bus)),
            *("--save", "", "--loadmodule", files.search_module),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) as process:
            assert process.stdout is not None
            assert any(b"Ready to accept connections" in line for line in process.stdout)
            with redis.Redis(port=port) as node:
                node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            events: list[Event] = []
            cache_at(f"redis://127.0.0.1:{port}", events).close()
            process.kill()
        (event,) = [event for event in events if isinstance(event, CacheFailed)]
        assert event.step == "Connect"
        assert "the Redis Cluster is down, or has lost this shard" in event.error

    def test_a_sentinel_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "sentinel.conf").write_text(f"port 0\nunixsocket {tmp_path}/s\n")
        command = [find_server_files().server, "sentinel.conf", "--sentinel"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) as process:
            assert process.stdout is not None
            assert any(b"Sentinel ID" in line for line in process.stdout)
            with pytest.raises(
                StoreError, match=r"stores nothing: .*; if it is a Sentinel, write redis.sentinel://host:port/service"
            ):
                cache_at(f"unix://{tmp_path}/s")
            process.kill()

    def test_a_replica_of_a_living_primary_says_where_that_is(self, server: EmbeddedRedis, admin: redis.Redis) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        admin.config_set("port", port)
        admin.config_set("repl-diskless-sync-delay", 0)
        with EmbeddedRedis() as other, redis.Redis.from_url(other.url) as replica:
            replica.replicaof("127.0.0.1", str(port))
            while replica.execute_command("ROLE")[3] != b"connected":
                pass
            with pytest.raises(StoreError, match=rf"is a read-only replica; its primary is 127.0.0.1:{port}") as caught:
                cache_at(other.url)
            assert not isinstance(caught.value, TransientStoreError)
        admin.config_set("port", 0)


Replies = Mapping[str, Any]


def tried(connection: RedisConnection, replies: Replies, *others: Replies, where: str = "here") -> None:
    """The trial against a server that gives these replies to commands by their names, and right ones otherwise.

    ``others`` are for the trials after the first; without them the server says the same again.
    """
    later = iter(others)

    def replies_to(commands: Any) -> Any:
        nonlocal replies
        if commands == (("ROLE",),):
            return [replies["ROLE"]]
        if isinstance(commands, CreateIndex):
            return connection.execute(commands)
        right = connection.execute(commands)
        given = [replies.get(str(command[0]), reply) for command, reply in zip(commands, right, strict=True)]
        replies = next(later, replies)
        return given

    drive(ensure.check(StoreState.of(where, **LAYOUT)), replies_to)


READ_ONLY = exceptions.ReadOnlyError("no")


@pytest.mark.parametrize(
    ("replies", "kind", "message"),
    [
        ({"GETRANGE": b"something else"}, TransientStoreError, "here did not give back what was just written"),
        (
            {"EVAL": exceptions.ResponseError("MISCONF cannot save")},
            TransientStoreError,
            "here refuses writes: MISCONF",
        ),
        ({"EVAL": exceptions.BusyLoadingError("loading")}, StoreUnavailableError, "here has just started: loading"),
        (
            {"EVAL": exceptions.ResponseError("NOREPLICAS no"), "EVALSHA": exceptions.NoScriptError("unknown")},
            TransientStoreError,
            "here refuses writes: NOREPLICAS no",
        ),
        ({"UNLINK": exceptions.MovedError("1 h:1")}, StoreError, "here was one server when it was first asked"),
        ({"GET": exceptions.MasterDownError("no link")}, TransientStoreError, "here is a replica that has lost its"),
        ({"EVAL": exceptions.ResponseError("unknown command 'EVAL'")}, StoreError, "here has no scripting"),
        (
            {"FT.INFO": exceptions.ResponseError("unknown command 'FT.INFO', with args beginning with: 'x'")},
            StoreError,
            "here has no search module",
        ),
        (
            {"EVAL": exceptions.OutOfMemoryError("full"), "UNLINK": exceptions.ClusterCrossSlotError("two slots")},
            StoreError,
            "here was one server when it was first asked",
        ),
        (
            {
                "EVAL": exceptions.OutOfMemoryError("full"),
                "HGETALL": exceptions.NoPermissionError("to run the 'hgetall' command"),
            },
            StoreError,
            "here: the user has no permissions for hgetall; allow them with ACL SETUSER <user> +hgetall",
        ),
        (
            {"EVAL": READ_ONLY, "ROLE": [b"slave", b"10.0.0.1", 6379, b"connected", 7]},
            StoreError,
            "here is a read-only replica; its primary is 10.0.0.1:6379",
        ),
        (
            {"EVAL": READ_ONLY, "ROLE": [b"slave", b"10.0.0.1", 6379, b"sync", 7]},
            TransientStoreError,
            "here is a read-only replica: no",
        ),
        ({"EVAL": READ_ONLY, "ROLE": [b"master", 0, []]}, TransientStoreError, "here is a read-only replica: no"),
        (
            {"EVAL": READ_ONLY, "ROLE": exceptions.NoPermissionError("to run the 'role' command")},
            TransientStoreError,
            "here is a read-only replica: no",
        ),
    ],
)
def test_what_is_found_and_whether_it_may_pass(
    server: EmbeddedRedis, replies: Replies, kind: type[StoreError], message: str
) -> None:
    with RedisConnection(server.url) as connection, pytest.raises(StoreError) as caught:
        tried(connection, replies)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(message)


def test_a_primary_that_is_demoted_while_it_is_tried_is_left_to_the_sentinels(server: EmbeddedRedis) -> None:
    replies = {"EVAL": READ_ONLY, "ROLE": [b"slave", b"10.0.0.1", 6379, b"connected", 7]}
    where = "Redis at redis+sentinel://h:26379/cache"
    with (
        RedisConnection(server.url) as connection,
        pytest.raises(TransientStoreError, match=r"has just become a replica: .* as soon as the Sentinels name"),
    ):
        tried(connection, replies, where=where)


def test_an_error_that_is_gone_the_next_moment_stops_nothing(server: EmbeddedRedis) -> None:
    flipped = {"FT.INFO": exceptions.ResponseError("Unknown index naie")}
    with RedisConnection(server.url) as connection:
        tried(connection, flipped, {})


def test_errors_that_change_may_pass(server: EmbeddedRedis) -> None:
    first, second = ({"FT.INFO": exceptions.ResponseError(f"Unknown index {name}")} for name in ("naie", "nbme"))
    with RedisConnection(server.url) as connection, pytest.raises(TransientStoreError, match="nbme; a moment before:"):
        tried(connection, first, second)


def test_an_index_that_another_program_drops_at_once_may_be_there_the_next_time() -> None:
    missing = exceptions.ResponseError("i: no such index")
    operation = ensure.ensure_index(StoreState.of("here", **LAYOUT), "")
    next(operation)
    assert isinstance(operation.send([missing, None]), CreateIndex)
    operation.send(None)
    with pytest.raises(TransientStoreError, match="vanished just after it was created"):
        operation.send([missing, None])
