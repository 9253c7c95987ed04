"""Workers that are asked the same at once: one computes, and the others have its scores, whatever becomes of it."""

import signal
from os import kill

import pytest
import redis

from semcache.redis.server.embedded import EmbeddedRedis
from tests.redis.conftest import server_pid
from tests.workers import jobs
from tests.workers.crew import Crew, Worker, count

QUERY = "how far is the moon"
LONG = {"lease_s": 20.0}


def ask(worker: Worker, url: str, namespace: str, **sections: object) -> None:
    worker.begin(jobs.ask, url, namespace, QUERY, sections)


def wait_for_looks(url: str, looks: int) -> None:
    """Wait until an entry that was missed was read so many times more."""
    with redis.Redis.from_url(url) as client:

        def reads() -> int:
            return int(client.info("commandstats")["cmdstat_getrange"]["calls"])

        wanted = reads() + looks
        while reads() < wanted:
            pass


def test_eight_workers_compute_a_hot_query_once(crew: Crew, redis_url: str, namespace: str) -> None:
    for worker in crew.workers:
        ask(worker, redis_url, namespace, cache=LONG, is_async=worker in crew.workers[:4])
    count(crew.gate.missed, 8)
    crew.let_go(1)
    answers = [worker.result() for worker in crew.workers]
    assert crew.calls() == 1
    # One that has missed the exact entry, and looks for neighbours after the scores were stored, finds them there.
    assert [answer["status"] for answer in answers].count("fresh") == 1
    assert {answer["scores"] for answer in answers} == {answers[0]["scores"]}
    assert all(answer["waits"] in ([], ["answered"]) and not answer["failures"] for answer in answers)


def test_without_leases_each_computes(crew: Crew, redis_url: str, namespace: str) -> None:
    for worker in crew.workers[:3]:
        ask(worker, redis_url, namespace, cache={"lease_s": 0.0})
    count(crew.gate.entered, 3)
    crew.let_go(3)
    for worker in crew.workers[:3]:
        assert worker.result()["waits"] == []


def test_one_that_is_killed_holds_the_others_up_for_its_lease(crew: Crew, redis_url: str, namespace: str) -> None:
    first, *others = crew.workers[:4]
    ask(first, redis_url, namespace, cache=LONG)
    count(crew.gate.entered, 1)
    for worker in others:
        ask(worker, redis_url, namespace, cache=LONG)
    count(crew.gate.missed, 4)
    wait_for_looks(redis_url, 2 * len(others))
    crew.replace(first)
    with redis.Redis.from_url(redis_url) as client:
        (lease,) = client.scan_iter(f"semcache:{namespace}:*:c:*")
        assert 0 < client.pttl(lease) <= 20_000
        client.pexpire(lease, 1)
    crew.let_go(3)
    answers = [worker.result() for worker in others]
    # One takes its place, and the others go on waiting, for that one.
    assert sorted(answer["waits"] for answer in answers) == [["answered"], ["answered"], ["released"]]
    assert sorted(answer["status"] for answer in answers) == ["exact", "exact", "fresh"]
    assert crew.calls() == 1
    assert not any(answer["failures"] for answer in answers)


def test_a_redis_that_freezes_while_they_wait_holds_none_up(crew: Crew, namespace: str) -> None:
    first, second = crew.workers[:2]
    few = {"redis": {"budget_s": 0.2, "timeout_s": 0.25}, "cache": LONG}
    with EmbeddedRedis() as server:
        ask(first, server.url, namespace, **few)
        count(crew.gate.entered, 1)
        ask(second, server.url, namespace, **few)
        count(crew.gate.missed, 2)
        wait_for_looks(server.url, 2)
        kill(server_pid(server), signal.SIGSTOP)
        # It would wait for the lease for 20 s.
        count(crew.gate.entered, 1)
        crew.let_go(2)
        answers = [worker.result() for worker in (first, second)]
        assert [answer["status"] for answer in answers] == ["fresh", "fresh"]
        assert "AwaitScores" in answers[1]["failures"]


@pytest.mark.parametrize("is_async", [False, True], ids=["threads", "event loops"])
def test_one_with_a_deadline_keeps_half_of_it_to_compute(
    crew: Crew, redis_url: str, namespace: str, is_async: bool
) -> None:
    first, second = crew.workers[:2]
    ask(first, redis_url, namespace, cache=LONG)
    count(crew.gate.entered, 1)
    ask(second, redis_url, namespace, cache=LONG, is_async=is_async, deadline_s=1.0)
    count(crew.gate.entered, 1)
    crew.let_go(2)
    for worker, waits in ((first, []), (second, ["timeout"])):
        answer = worker.result()
        assert (answer["status"], answer["waits"]) == ("fresh", waits)
