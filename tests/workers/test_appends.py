"""Workers that add scores to the same entries lose none of each other's. ``benchmarks.workers`` adds 100,000."""

import redis

from semcache.entries import codec
from semcache.redis.client.connection import RedisConnection
from semcache.redis.server.embedded import EmbeddedRedis
from tests.workers import jobs
from tests.workers.crew import Crew
from tests.workers.jobs import Appends

WORKERS = 8


def write_all(crew: Crew, what: Appends) -> dict[str, dict[bytes, float]]:
    """Let all workers write, and give what each entry has to hold, if none is lost."""
    seen = crew.do(jobs.append, [(what, worker) for worker in range(WORKERS)])
    assert seen == [[]] * WORKERS
    expected: dict[str, dict[bytes, float]] = {}
    for number in range(what.writes):
        for worker in range(WORKERS):
            expected.setdefault(jobs.entry_of(what, number), {}).update(jobs.written(worker, number))
    return expected


def assert_kept(what: Appends, expected: dict[str, dict[bytes, float]]) -> None:
    with RedisConnection(what.url, timeout_s=10) as connection:
        store = jobs.store_of(connection, what)
        for query, scores in expected.items():
            assert dict(store.read_exact("", query) or {}) == scores


def test_no_score_is_lost_while_blocks_are_made_one(crew: Crew, redis_url: str, namespace: str) -> None:
    what = Appends(redis_url, namespace, writes=300, entries=3)
    expected = write_all(crew, what)
    assert_kept(what, expected)
    # Each write is a block; that there are fewer shows that they were made one meanwhile.
    with redis.Redis.from_url(redis_url) as client:
        length = sum(client.strlen(key) for key in client.scan_iter(f"semcache:{namespace}:*"))
    one_by_one = WORKERS * sum(codec.bytes_of(len(jobs.written(0, number))) for number in range(what.writes))
    assert length < one_by_one * 0.8


def test_none_is_lost_across_the_shards_of_a_cluster(crew: Crew, cluster: EmbeddedRedis, namespace: str) -> None:
    what = Appends(cluster.url, namespace, writes=60, entries=12)
    assert_kept(what, write_all(crew, what))


def test_entries_that_are_full_take_new_scores_all_the_same(crew: Crew, redis_url: str, namespace: str) -> None:
    what = Appends(redis_url, namespace, writes=120, entries=1, max_scores=400)
    ((query, written),) = write_all(crew, what).items()
    with RedisConnection(redis_url, timeout_s=10) as connection:
        kept = dict(jobs.store_of(connection, what).read_exact("", query) or {})
    assert 300 <= len(kept) <= 400
    assert kept.items() <= written.items()
