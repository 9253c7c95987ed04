"""Connections are reused, belong to one event loop each, survive forks of the process, and end with the reranker."""

import asyncio
import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from semcache.errors import SemcacheError
from semcache.rerankers import HttpReranker
from semcache.rerankers.awaiting import OWN_LOOP
from tests.contracts.reranker import PAIRS
from tests.forks import PATIENCE_S, in_child
from tests.loops import LoopInThread
from tests.rerank_service import Handler, Request, RerankService, Response, relevance

EXPECTED = [relevance(*pair) for pair in PAIRS]


@pytest.fixture
def service() -> Iterator[RerankService]:
    with RerankService("infinity") as service:
        yield service


@pytest.fixture
def reranker(service: RerankService) -> Iterator[HttpReranker]:
    with HttpReranker("infinity", "m", url=service.url) as reranker:
        yield reranker
    assert service.all_closed()


def by_runner(reranker: HttpReranker) -> list[float]:
    return asyncio.run(reranker.ascore_pairs(PAIRS)).tolist()  # type: ignore[no-any-return]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_threads_share_connections(reranker: HttpReranker, service: RerankService) -> None:
    for _ in range(5):
        reranker.score(PAIRS)
    assert service.connections == 1
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda _: reranker.score(PAIRS), range(50)))
    assert service.connections <= reranker.concurrency


async def test_tasks_of_a_loop_share_connections(reranker: HttpReranker, service: RerankService) -> None:
    for _ in range(5):
        await reranker.ascore_pairs(PAIRS)
    assert service.connections == 1
    await reranker.aclose()
    assert service.all_closed()


def test_a_loop_that_ends_closes_its_own(reranker: HttpReranker, service: RerankService) -> None:
    before = descriptors()
    for _ in range(5):
        assert by_runner(reranker) == EXPECTED
        assert service.all_closed()
    assert descriptors() == before


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the loop that is closed without closing what it has open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_only_closed_leaves_nothing_behind(reranker: HttpReranker, service: RerankService) -> None:
    for _ in range(3):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(reranker.ascore_pairs(PAIRS))
        loop.close()
    by_runner(reranker)
    assert service.all_closed()
    gc.collect()


def test_an_idle_connection_that_the_server_closed_is_opened_anew(
    reranker: HttpReranker, service: RerankService
) -> None:
    def last(handler: Handler, request: Request) -> Response | None:
        handler.close_connection = True
        return service.routes[request.path](handler, request)

    service.always = last
    for _ in range(5):
        assert reranker.score(PAIRS).tolist() == EXPECTED
    assert len(service.requests) == 5


def test_close_ends_those_of_loops_that_go_on(reranker: HttpReranker, service: RerankService) -> None:
    with LoopInThread() as loop:
        asyncio.run_coroutine_threadsafe(reranker.ascore_pairs(PAIRS), loop).result(PATIENCE_S)
        OWN_LOOP.run(reranker.ascore_pairs(PAIRS))
        reranker.score(PAIRS)
        assert service.open_connections == 3
        reranker.close()
        assert service.all_closed()
        with pytest.raises(SemcacheError, match="is closed"):
            asyncio.run_coroutine_threadsafe(reranker.ascore_pairs(PAIRS), loop).result(PATIENCE_S)


def test_close_in_the_middle_of_a_request_ends_it_with_an_error(reranker: HttpReranker, service: RerankService) -> None:
    reached, done = Event(), Event()

    def hold(handler: Handler, request: Request) -> None:
        reached.set()
        done.wait(PATIENCE_S)

    service.script.append(hold)
    with LoopInThread() as loop:
        waiting = asyncio.run_coroutine_threadsafe(reranker.ascore_pairs(PAIRS), loop)
        assert reached.wait(PATIENCE_S)
        reranker.close()
        with pytest.raises(SemcacheError):
            waiting.result(PATIENCE_S)
        done.set()


def test_a_child_has_connections_of_its_own_and_the_parents_go_on(
    reranker: HttpReranker, service: RerankService
) -> None:
    def in_parent(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.run_coroutine_threadsafe(reranker.ascore_pairs(PAIRS), loop).result(PATIENCE_S)
        reranker.score(PAIRS)

    def asked_in_child() -> list[float]:
        gc.collect()  # what was the parent's must not be closed in its name
        assert by_runner(reranker) == EXPECTED
        return reranker.score(PAIRS).tolist()  # type: ignore[no-any-return]

    with LoopInThread() as loop:
        in_parent(loop)
        before = service.connections
        assert in_child(asked_in_child) == EXPECTED
        assert service.connections == before + 2
        in_parent(loop)
        assert service.connections == before + 2


def test_what_is_dropped_unclosed_is_closed(service: RerankService) -> None:
    reranker = HttpReranker("infinity", "m", url=service.url)
    assert by_runner(reranker) == EXPECTED
    del reranker
    gc.collect()
    assert service.all_closed()
