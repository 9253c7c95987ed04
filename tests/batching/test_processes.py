"""Worker processes: a crash costs its batch alone, and none is left behind."""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest

from semcache.batching.batcher import Batcher
from semcache.batching.process_pool import ProcessPool, WorkerCrashedError
from semcache.batching.reranker import AsyncBatchReranker
from semcache.errors import ConfigurationError, RerankerError, RerankerHungError, SemcacheError
from semcache.protocols import Pair
from semcache.rerankers import OnnxCrossEncoder, adapt
from tests.batching.process_models import InProcess, by_words
from tests.forks import in_child
from tests.scripted import PATIENCE_S, ScriptedReranker


def pairs(*texts: str) -> list[Pair]:
    return [("q", text) for text in texts]


def children() -> set[int]:
    """Processes of this one that have not ended."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(after_name[1]) == os.getpid() and after_name[0] != "Z":
            found.add(int(stat.parent.name))
    return found


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    before = children()
    yield
    assert children() <= before


# One batcher for several tests, as a process takes a second to start.
class TestCalls:
    @pytest.fixture(scope="class")
    @staticmethod
    def batcher() -> Iterator[Batcher]:
        with Batcher(InProcess(), workers="processes", concurrency=2) as batcher:
            batcher.warmup()
            yield batcher

    @pytest.fixture(autouse=True)
    def none_left(self) -> None:
        """Asked at the end of the class, by the next test."""

    def test_are_made_in_another_process_that_loads_the_model_once(self, batcher: Batcher) -> None:
        (first,), (second,) = batcher.score(pairs("a")), batcher.score(pairs("b"))
        assert first == second
        assert int(first) in children()

    def test_run_at_once_in_as_many_processes_as_concurrency_says(self, batcher: Batcher) -> None:
        assert batcher.get_stats()["kind"] == "compute-bound"
        assert batcher.kind.concurrency == 2

    def test_errors_are_those_of_the_model(self, batcher: Batcher) -> None:
        with pytest.raises(ValueError, match="cannot read that"):
            batcher.score(pairs("raise"))
        with pytest.raises(RerankerError, match="SystemExit"):
            batcher.score(pairs("exit"))
        assert len(batcher.score(pairs("a"))) == 1

    def test_a_crash_fails_its_call_and_another_process_is_started(self, batcher: Batcher) -> None:
        before = int(batcher.score(pairs("x"))[0])
        with pytest.raises(WorkerCrashedError, match="ended with code -9 in the middle of a call of 1 pairs"):
            batcher.score(pairs("crash"))
        assert int(batcher.score(pairs("y"))[0]) != before

    @pytest.mark.parametrize("stop", ["SIGINT", "SIGTERM"])
    def test_what_stops_all_processes_of_a_service_ends_no_call(self, batcher: Batcher, stop: str) -> None:
        (process,) = batcher.score(pairs(stop))
        assert int(process) in children()

    def test_a_forked_child_has_processes_of_its_own(self, batcher: Batcher) -> None:
        ours = int(batcher.score(pairs("z"))[0])

        def score() -> int:
            theirs = int(batcher.score(pairs("z"))[0])
            batcher.close()
            return theirs

        assert in_child(score) != ours
        assert int(batcher.score(pairs("zz"))[0]) == ours

    def test_a_call_that_is_given_up_ends_its_process(self, batcher: Batcher) -> None:
        hanging = batcher.submit(pairs("hang"))
        while not batcher.give_up(0.01):
            pass
        with pytest.raises(RerankerHungError):
            hanging.result(PATIENCE_S)
        before = children()
        assert int(batcher.score(pairs("next"))[0]) in children()
        assert len(before) <= 2

    def test_a_call_that_hangs_is_ended_by_close(self, batcher: Batcher) -> None:
        hanging = batcher.submit(pairs("hang"))
        while not batcher.load().since:
            pass
        closing = Thread(target=batcher.close, kwargs={"stuck_after_s": 0.1})
        closing.start()
        closing.join(PATIENCE_S)
        assert not closing.is_alive()
        with pytest.raises(SemcacheError, match="closed while this request was scored"):
            hanging.result(PATIENCE_S)


def test_several_calls_share_the_processes() -> None:
    with Batcher(InProcess(), workers="processes", concurrency=2) as batcher, ThreadPoolExecutor(4) as threads:
        used = set(threads.map(lambda text: int(batcher.score([(text, "a")])[0]), "abcdefgh"))
    assert 1 <= len(used) <= 2


def test_a_model_that_cannot_be_loaded_is_an_error_of_its_callers() -> None:
    with Batcher(InProcess(loads="no such weights"), workers="processes") as batcher:
        for _ in range(2):
            with pytest.raises(OSError, match="no such weights"):
                batcher.score(pairs("a"))


def test_a_function_of_a_module_is_sent_there() -> None:
    with AsyncBatchReranker(by_words, workers="processes") as reranker:
        assert list(reranker.rerank("red pie", ["blue car", "red pie"], 1)) == ["red pie"]


async def _awaited(query: str, texts: list[str]) -> list[float]:
    return by_words(query, texts)


@pytest.mark.parametrize(
    ("reranker", "message"),
    [
        (lambda query, texts: [0.0] * len(texts), "cannot be sent to worker processes"),
        (_awaited, "is asynchronous"),
    ],
)
def test_what_cannot_be_sent_is_refused_at_construction(reranker: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        AsyncBatchReranker(reranker, workers="processes", name="mine")


def test_what_the_script_defines_is_refused_at_construction() -> None:
    program = """
from semcache.batching.reranker import AsyncBatchReranker
def mine(query, texts):
    return [0.0] * len(texts)
AsyncBatchReranker(mine, workers="processes")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "is defined in the script that is being run" in ended.stderr


def test_a_wrong_word_is_named() -> None:
    with pytest.raises(ConfigurationError, match="workers must be one of threads, processes, got 'fibres'"):
        Batcher(ScriptedReranker(), workers="fibres")  # type: ignore[arg-type]


def test_a_pool_without_calls_starts_nothing_and_takes_nothing_when_closed() -> None:
    pool = ProcessPool(InProcess(), 2)
    pool.close()
    with pytest.raises(SemcacheError, match="closed"):
        pool.score(pairs("a"))


def test_our_own_models_can_be_sent() -> None:
    model = OnnxCrossEncoder(max_length=64)
    again = pickle.loads(pickle.dumps(model))
    assert (again.name, type(again)) == (model.name, OnnxCrossEncoder)
    assert (
        adapt(by_words).score(pairs("q")).tolist()
        == pickle.loads(pickle.dumps(adapt(by_words))).score(pairs("q")).tolist()
    )
