"""``semcache bench``: what it measures and says, and that nothing of it is left in Redis however it ends."""

import json
import os
import signal
import subprocess
import sys
from io import StringIO

import numpy as np
import pytest
import redis
from rich.console import Console

from semcache import RedisSemanticCache
from semcache.commands.bench import space
from semcache.commands.bench.command import bench
from semcache.commands.bench.entries import NEAR, SyntheticEntries
from semcache.commands.bench.measuring import Budget, Operation, Timing, affordable, alternate
from semcache.commands.bench.report import report
from semcache.commands.bench.result import Options
from semcache.commands.bench.run import run_bench
from semcache.commands.bench.space import check_room, settings_apart
from semcache.commands.demo.corpus import load_corpus
from semcache.commands.demo.models import Models
from semcache.errors import ConfigurationError, InvalidInputError, StoreError, StoreUnavailableError
from semcache.guards import CueGuard
from semcache.redis.client.server_info import ServerInfo
from semcache.settings import Settings
from tests.fakes import CountingOrder, CountingReranker, WordEmbedder

TINY = Options(entries=30, documents=5, seconds=0.02)
LOOK_UPS = {"ping", "get", "exact_hit", "semantic_hit", "miss", "neighbours", "exact_request"}


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def settings(redis_url, namespace):
    return Settings(redis={"url": redis_url}, cache={"namespace": namespace})


@pytest.fixture
def unchanged(client, settings):
    """The user's entries are on the server before; they and nothing else are there afterwards."""
    url = settings.redis.url.get_secret_value()
    with RedisSemanticCache(url, WordEmbedder(), settings=settings) as cache:
        assert cache.remember("synthetic question 1", ["a", "b"], [1, 2])
    before = _content(client)
    yield
    assert _content(client) == before


def _content(client):
    return {key: client.dump(key) for key in client.scan_iter()}, set(client.execute_command("FT._LIST"))


def printed(result):
    console = Console(width=80, file=StringIO())
    console.print(report(result))
    return console.file.getvalue()


class TestRun:
    def test_without_models(self, settings, unchanged):
        found = run_bench(TINY, settings, None)
        assert set(found.timings) == LOOK_UPS | {"remember"}
        assert all(timing.n >= 3 and timing.p50_ms > 0 for timing in found.timings.values())
        assert [ratio.name for ratio in found.ratios()] == ["exact_hit_to_get"]
        assert (found.embedder, found.reranker) == (None, None)

    @pytest.mark.parametrize("reranker", [CountingReranker(), CountingOrder()], ids=["scores", "orders"])
    def test_with_models(self, settings, unchanged, reranker):
        words = WordEmbedder()
        found = run_bench(TINY, settings, lambda _: Models(words, reranker))
        assert set(found.timings) == LOOK_UPS | {"remember", "embed", "fresh_rerank"}
        assert [ratio.name for ratio in found.ratios()] == ["exact_hit_to_get", "fresh_to_exact", "fresh_to_semantic"]
        assert (found.dims, found.embedder, found.reranker) == (64, "words", "counting")
        # The look-ups ask no model: what was asked are the questions of the corpus.
        questions = {question for question, *_ in load_corpus().questions}
        assert {query for query, _ in reranker.pairs} <= questions and set(words.texts) <= questions

    def test_the_report_fits_80_columns_and_cuts_nothing(self, settings):
        text = printed(run_bench(TINY, settings, lambda _: Models(WordEmbedder(), CountingReranker())))
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text
        for word in ("synthetic", "PING", "bare GET", "p99 ms", "rerank 5 passages afresh", "counting"):
            assert word in text

    def test_one_entry_is_enough(self, settings, unchanged):
        assert run_bench(Options(1, 1, 0.01), settings, None).timings["semantic_hit"].n >= 3

    def test_settings_that_would_get_in_the_way_do_not(self, settings, unchanged):
        odd = settings.model_copy(
            update={
                "cache": settings.cache.model_copy(update={"max_scores": 1, "max_query_chars": 1}),
                "reuse": settings.reuse.model_copy(update={"trust_threshold": 1.0, "reuse_threshold": 1.0}),
            }
        )
        assert run_bench(TINY, odd, None).timings["semantic_hit"].n >= 3

    @pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
    @pytest.mark.parametrize("during", ["storing", "measuring look-ups", "measuring writes"])
    def test_nothing_is_left_after_an_interruption(self, settings, unchanged, error, during):
        def stop(what):
            if what.startswith(during):
                raise error

        with pytest.raises(error):
            run_bench(TINY, settings, None, stop)

    def test_entries_that_vanish_are_an_error_not_a_fast_miss(self, settings, client):
        def evict(what):
            if what == "measuring look-ups":
                client.delete(*client.keys("semcache:bench-*"))

        with pytest.raises(StoreError, match="found by meaning; see that Redis neither fails nor evicts"):
            run_bench(TINY, settings, None, evict)

    def test_what_could_not_be_removed_is_named(self, settings, monkeypatch):
        def refuse(connection, namespace):
            monkeypatch.undo()
            space.remove_namespace(connection, namespace)
            raise StoreUnavailableError("nobody there")

        monkeypatch.setattr(space, "remove_namespace", refuse)
        with pytest.raises(
            StoreError, match=r"namespace bench-\w+ could not be removed \(nobody there\).*FT.DROPINDEX"
        ):
            run_bench(TINY, settings, None)

    def test_redis_is_asked_before_models_are_loaded(self, settings, tmp_path):
        away = settings.model_copy(update={"redis": Settings(redis={"url": f"unix://{tmp_path}/none"}).redis})
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            run_bench(TINY, away, lambda _: pytest.fail("loaded"))


class TestMeasuring:
    def test_blocks_alternate(self):
        order = []
        operations = [Operation(name, lambda number: number, lambda _, name=name: order.append(name)) for name in "ab"]
        alternate(operations, Budget(60, samples=4, blocks=4, warm_up=1))
        assert "".join(order[-8:]) == "abbaabba"

    def test_preparing_is_done_with_the_number(self):
        seen = []
        operation = Operation("a", lambda number: number * 10, seen.append)
        assert alternate([operation], Budget(60, samples=6, blocks=3, warm_up=1))["a"].n == 6
        assert seen[-6:] == [0, 10, 20, 30, 40, 50]

    def test_a_wrong_answer_is_an_error(self):
        with pytest.raises(StoreError, match="a answered 'x' although"):
            alternate([Operation("a", str, lambda _: "x", lambda answer: answer == "y")], Budget(1))

    @pytest.mark.parametrize(
        ("taken", "block", "expected_s", "calls"),
        [
            ([], 0, 0.01, 10),  # a twentieth of two seconds
            ([], 0, 1e-6, 100),
            ([0.5], 1, 0.5, 1),
            ([0.01] * 10, 10, 9, 19),  # 1.9 s for 10 blocks
            ([1.0, 1.1], 2, 1, 1),
            ([0.7] * 3, 3, 1, 0),
            ([7.0], 1, 7, 0),
        ],
    )
    def test_how_many_calls_a_block_affords(self, taken, block, expected_s, calls):
        assert affordable(np.array(taken), block, expected_s, Budget(2.0)) == calls

    @pytest.mark.parametrize(("n", "blank"), [(3, [True, True]), (20, [False, True]), (100, [False, False])])
    def test_quantiles_that_would_be_the_maximum_are_left_out(self, n, blank):
        timing = Timing.of(np.arange(1, n + 1) / 1000)
        assert [timing.p95_ms is None, timing.p99_ms is None] == blank
        assert timing.p50_ms == pytest.approx((n + 1) / 2)


class TestEntries:
    @pytest.fixture
    def entries(self):
        return SyntheticEntries.of(load_corpus(), 384, 50)

    def test_a_rewording_is_near_and_no_guard_refuses_it(self, entries):
        guard = CueGuard()
        for number in range(50):
            text, vector = entries.rewording(number)
            assert vector @ entries.vector(number) == pytest.approx(NEAR, abs=1e-5)
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
            assert guard.difference(guard.cues(text), guard.cues(entries.query(number))) is None
            assert text != entries.query(number)

    @pytest.mark.parametrize("documents", [1, 50, 300])
    def test_the_documents_of_a_request_are_all_different(self, documents):
        entries = SyntheticEntries.of(load_corpus(), 8, documents)
        for number in (0, 1, 19, 20, 12345):
            assert len(set(entries.texts(number))) == documents == len(entries.scores(number))

    def test_a_number_is_always_the_same_entry(self, entries):
        one, two = entries.entry(3, None), entries.entry(3, None)
        assert (one.query, one.scores) == (two.query, two.scores)
        assert (one.vector == two.vector).all() and not (one.vector == entries.vector(4)).any()


class TestErrors:
    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"entries": 0}, "entries must be from 1 to 1,000,000, got 0"),
            ({"documents": 1001}, "documents must be from 1 to 1,000, got 1001"),
            ({"seconds": 0}, "seconds must be above 0 and at most 60, got 0"),
            ({"seconds": float("nan")}, "got nan"),
        ],
    )
    def test_options_out_of_range(self, values, said):
        with pytest.raises(InvalidInputError, match=said):
            Options(**values)

    def test_a_folder_that_is_not_there_is_told_before_the_work(self, tmp_path):
        with pytest.raises(ConfigurationError, match="make it first"):
            bench(json_file=tmp_path / "missing" / "a.json")

    def test_entries_that_would_crowd_out_others(self):
        check_room(ServerInfo("8", None, None), 10**6, 384, 50)
        check_room(ServerInfo("8", None, 10_000_000), 2000, 384, 50)
        with pytest.raises(StoreError, match=r"2,000 entries need about 8 MB and Redis has 1 MB left"):
            check_room(ServerInfo("8", None, 1_000_000), 2000, 384, 50)

    def test_the_namespace_is_not_the_users_and_never_the_same(self, settings):
        spaces = {settings_apart(settings, 50).cache.namespace for _ in range(3)}
        assert len(spaces) == 3 and settings.cache.namespace not in spaces


# Importing a model's library fails: without models it is not to be needed.
_COMMAND = "import sys; sys.modules.update(torch=None, onnxruntime=None); from semcache.commands import main; main()"
_ARGUMENTS = ("bench", "--no-models", "--entries", "30", "--documents", "5")


class TestCommand:
    @pytest.fixture
    def command(self, settings, tmp_path):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SEMCACHE_")}
        environment = clean | {"SEMCACHE_REDIS_URL": settings.redis.url.get_secret_value(), "COLUMNS": "80"}

        def start(*arguments, **more):
            return subprocess.Popen(
                [sys.executable, "-c", _COMMAND, *_ARGUMENTS, *arguments],
                env=environment | more,
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

        return start

    def test_table_and_json(self, command, unchanged, tmp_path, client):
        with command("--seconds", "0.02", "--json", "found.json") as process:
            said, complaints = process.communicate(timeout=60)
        assert process.returncode == 0, complaints
        assert "exact hit / bare GET" in said and "measuring look-ups" in complaints
        found = json.loads((tmp_path / "found.json").read_text())
        assert (found["entries"], found["documents"], found["seconds"]) == (30, 5, 0.02)
        assert found["machine"]["redis_server"] == client.info("server")["redis_version"]
        for what in ("semcache", "search_module", "python", "cpu"):
            assert found["machine"][what]
        assert found["machine"]["load_before"] >= 0
        assert found["timings"]["exact_hit"].keys() == {"n", "p50_ms", "p95_ms", "p99_ms"}
        assert found["ratios"]["exact_hit_to_get"] > 0

    def test_a_private_server(self, command):
        with command("--seconds", "0.02", "--redis-url", "embedded", SEMCACHE_REDIS_URL="redis://nowhere:1") as process:
            said, complaints = process.communicate(timeout=60)
        assert process.returncode == 0, complaints
        assert "unix://" in said

    @pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
    def test_stopped_it_leaves_nothing(self, command, unchanged, client, stop):
        with command("--seconds", "60") as process:
            while "measuring look-ups" not in process.stderr.readline():
                assert process.poll() is None
            assert client.keys("semcache:bench-*")
            process.send_signal(stop)
            _, complaints = process.communicate(timeout=60)
        assert process.returncode == 130
        assert complaints.strip() == "stopped; what was stored is removed again"

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--entries", "0"), "entries must be from 1 to 1,000,000, got 0"),
            (("--redis-url", "redis://me:geheim@localhost:1"), "check that Redis runs and the url is right"),
            (("--redis-url", "http://localhost"), "use redis://host:port"),
        ],
    )
    def test_what_is_wrong_is_one_line(self, command, arguments, said):
        with command(*arguments) as process:
            shown, complaints = process.communicate(timeout=60)
        assert process.returncode == 1 and shown == ""
        [line] = complaints.splitlines()
        assert said in line and "geheim" not in line
