"""How many commands each operation costs, by the server's own count."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from semcache.entries.entry import NewScores
from semcache.flow.drive import drive
from semcache.redis.client.commands import CreateIndex, Reads, Reconnect, RedisStep
from semcache.redis.client.connection import RedisConnection
from semcache.redis.operation import StoreState
from semcache.redis.reading import find_neighbours_many, read_exact_many
from semcache.redis.store import RedisStore
from semcache.redis.writing import remember_many
from tests.redis.conftest import DIMS, LAYOUT, fingerprint, vector

A, B = fingerprint(1), fingerprint(2)


class CommandCounter:
    """Counts the commands that the server carries out, those inside scripts included."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._before = self._stats()

    def _stats(self) -> Counter[str]:
        stats = self._client.info("commandstats")
        calls = {name.removeprefix("cmdstat_").lower(): stat["calls"] for name, stat in stats.items()}
        return Counter({name: count for name, count in calls.items() if name != "info"})

    def since(self) -> dict[str, int]:
        """How often the server carried out each command since the last call of this method."""
        now = self._stats()
        new, self._before = now - self._before, now
        return dict(new)


@pytest.fixture
def store(redis_url: str, namespace: str) -> Iterator[RedisStore]:
    with RedisConnection(redis_url, timeout_s=10) as connection:
        store = RedisStore(connection, namespace=namespace, reranker="r", embedder="e", dims=DIMS)
        store.remember("", "q", vector(1), [(A, 1.0)])
        store.remember("t", "q", vector(1), [(A, 1.0)])
        for tenant in ("", "t", "nobody", "nobody"):  # asks for sizes along with the search, and if the index fits
            store.find_neighbours(tenant, vector(1), 4)
        yield store


@pytest.fixture
def counted(store: RedisStore, client: redis.Redis) -> CommandCounter:
    client.ping()  # opens the connection, which is not to be counted
    return CommandCounter(client)


def test_an_exact_read_is_one_command(store: RedisStore, counted: CommandCounter) -> None:
    store.read_exact("", "q")
    assert counted.since() == {"getrange": 1}


def test_sizes_are_asked_for_with_a_search_once_a_minute(
    redis_url: str, namespace: str, counted: CommandCounter
) -> None:
    now = 0.0
    layout = {"namespace": namespace, "reranker": "r", "embedder": "e", "dims": DIMS}
    with RedisConnection(redis_url, timeout_s=10) as connection:
        store = RedisStore(connection, **layout, clock=lambda: now)
        store.check()
        store.read_exact("", "q")
        for seconds, asked in ((0, True), (59, False), (61, True), (100, False), (-100, True)):
            now = seconds
            counted.since()
            assert len(store.find_neighbours("", vector(1), 4)) == 1
            assert counted.since().get("dbsize", 0) == asked
            assert len(store.find_neighbours("t", vector(1), 4)) == 1
            assert counted.since().get("ft.aggregate", 0) == asked


def test_whether_an_index_fits_is_looked_at_again_once_a_minute_where_nothing_is_found(
    redis_url: str, namespace: str, counted: CommandCounter
) -> None:
    now = 0.0
    layout = {"namespace": namespace, "reranker": "r", "embedder": "e", "dims": DIMS}
    with RedisConnection(redis_url, timeout_s=10) as connection:
        store = RedisStore(connection, **layout, clock=lambda: now)
        store.find_neighbours("nobody", vector(1), 4)
        for seconds, searches in ((1, 2), (2, 1), (61, 1), (62, 2), (63, 1)):
            now = seconds
            counted.since()
            assert store.find_neighbours("nobody", vector(1), 4) == []
            assert counted.since()["ft.search"] == searches


def test_a_new_process_does_not_ask_for_what_takes_long_in_a_large_index(
    redis_url: str, namespace: str, counted: CommandCounter
) -> None:
    with RedisConnection(redis_url, timeout_s=10) as connection:
        store = RedisStore(connection, namespace=namespace, reranker="r", embedder="e", dims=DIMS)
        store.check()
        assert store.count() == 2
    seen = counted.since()
    # Once each for an index that does not exist, to see whether the user may ask.
    assert seen["ft.info"] == 1
    assert seen["ft.search"] == 1 + 1 + 2


def test_many_exact_reads_are_a_command_each(store: RedisStore, counted: CommandCounter) -> None:
    store.read_exact_many("", ["q", "r", "s"])
    assert counted.since() == {"getrange": 3}


def test_a_vector_is_one_command(store: RedisStore, counted: CommandCounter) -> None:
    store.read_vector("", "q")
    assert counted.since() == {"hgetall": 1}


@pytest.mark.parametrize("tenant", ["", "t"])
def test_neighbours_are_one_search_and_a_command_each(store: RedisStore, counted: CommandCounter, tenant: str) -> None:
    assert len(store.find_neighbours(tenant, vector(1), 4)) == 1
    assert counted.since() == {"ft.search": 1, "getrange": 1}


def test_no_neighbours_need_no_more(store: RedisStore, counted: CommandCounter) -> None:
    assert store.find_neighbours("nobody", vector(1), 4) == []
    assert counted.since() == {"ft.search": 1}


def test_neighbours_of_many_are_searched_together(store: RedisStore, counted: CommandCounter) -> None:
    store.find_neighbours_many("", [vector(1), vector(2), vector(3)], 4)
    assert counted.since() == {"ft.search": 3, "getrange": 3}


def test_a_long_list_leaves_the_server_to_others_in_between(redis_url: str, namespace: str) -> None:
    together: list[int] = []
    written: list[int] = []
    with RedisConnection(redis_url, timeout_s=10) as connection:

        def execute(step: RedisStep) -> Any:
            if not isinstance(step, CreateIndex | Reconnect) and step[0][0] == "EVALSHA":
                written.append(len(step))
            if isinstance(step, Reads):
                together.append(sum(command[0] == "FT.SEARCH" for command in step) or len(step))
            return connection.execute(step)

        state = StoreState.of(connection.where, **{**LAYOUT, "namespace": namespace, "ef_runtime": 200})
        drive(remember_many(state, "", [NewScores(f"q{n}", vector(n), [(A, n)]) for n in range(45)]), execute)
        assert written == [10, 10, 10, 10, 5]
        found = drive(find_neighbours_many(state, "", [vector(n) for n in range(45)], 1, 0.9), execute)
        assert [dict(near.scores) for (near,) in found] == [{A: n} for n in range(45)]
        assert together == [20, 20, 20, 20, 5, 5], "searches, and the scores of what they found"
        together.clear()
        scores = drive(read_exact_many(state, "", [f"q{n % 45}" for n in range(1100)]), execute)
        assert [known and known[A] for known in scores] == [n % 45 for n in range(1100)]
        assert together == [500, 500, 100]


def test_more_scores_touch_no_hash(store: RedisStore, counted: CommandCounter) -> None:
    store.remember("", "q", vector(1), [(B, 1.0)])
    assert counted.since() == {"evalsha": 1, "pttl": 2, "getrange": 1, "strlen": 1, "append": 1}


def test_a_new_entry_writes_its_hash_once(store: RedisStore, counted: CommandCounter) -> None:
    store.remember("", "new", vector(2), [(A, 1.0)])
    assert counted.since() == {"evalsha": 1, "pttl": 2, "hset": 1, "set": 1, "pexpire": 1}


def test_a_script_the_server_lost_is_sent_again(
    store: RedisStore, client: redis.Redis, counted: CommandCounter
) -> None:
    client.script_flush()
    new = [NewScores("q", None, [(B, 1.0)]), NewScores("new", vector(2), [(A, 1.0)])]
    assert store.remember_many("", new) == [True, True]
    seen = counted.since()
    assert (seen["evalsha"], seen["eval"], seen["append"], seen["hset"]) == (2, 2, 1, 1)
    assert store.read_exact("", "q") == {A: 1.0, B: 1.0}
