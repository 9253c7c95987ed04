"""The demo: its corpus and traffic, a whole replay with small fakes, and the real one in short."""

import os
import subprocess
import sys
from collections import Counter
from io import StringIO

import pytest
from rich.console import Console

from semcache.commands.demo.corpus import load_corpus
from semcache.commands.demo.models import Models
from semcache.commands.demo.plot import check_plot, open_spells, plot
from semcache.commands.demo.remembering import MemoisingEmbedder
from semcache.commands.demo.replay import SLOW_SPELL
from semcache.commands.demo.report import pairs_of, report, total_without_s
from semcache.commands.demo.run import Result, run_demo
from semcache.commands.demo.shelf import CANDIDATES, InMemoryRetriever
from semcache.commands.demo.traffic import TENANTS, traffic
from semcache.documents import Document
from semcache.errors import ConfigurationError
from semcache.events import BreakerChanged
from semcache.ranking import Status
from tests.fakes import CountingReranker, WordEmbedder

REQUESTS = 150


@pytest.fixture(scope="module")
def corpus():
    return load_corpus()


@pytest.fixture(scope="module")
def steps():
    return []


@pytest.fixture(scope="module")
def result(steps):
    models = Models(WordEmbedder(), CountingReranker())
    return run_demo(REQUESTS, 7, models, lambda *step: steps.append(step))


class TestCorpus:
    def test_there_is_enough_of_it(self, corpus):
        assert 60 <= len(corpus.passages) <= 100
        assert len({passage.metadata["topic"] for passage in corpus.passages}) == 5
        assert all(len(phrasings) == 3 for phrasings in corpus.questions)

    def test_nothing_is_there_twice(self, corpus):
        phrasings = [phrasing for question in corpus.questions for phrasing in question]
        assert len(set(phrasings)) == len(phrasings)
        assert len({passage.text for passage in corpus.passages}) == len(corpus.passages)

    def test_updates_replace_passages_and_add_some(self, corpus):
        titles = {passage.metadata["title"] for passage in corpus.passages}
        assert {update.passage.metadata["title"] in titles for update in corpus.updates} == {True, False}
        assert all(0 < update.at < 1 for update in corpus.updates)


class TestTraffic:
    def test_the_seed_decides(self, corpus):
        assert traffic(corpus.questions, 100, 1) == traffic(corpus.questions, 100, 1)
        assert traffic(corpus.questions, 100, 1) != traffic(corpus.questions, 100, 2)

    @pytest.mark.parametrize("requests", [1, 20, 300, 3000])
    def test_so_many_are_made(self, corpus, requests):
        assert len(traffic(corpus.questions, requests, 7)) == requests

    def test_there_is_some_of_everything(self, corpus):
        asks = traffic(corpus.questions, 300, 7)
        assert {ask.tenant for ask in asks} == set(TENANTS)
        assert any(ask.variant is not None for ask in asks)
        counts = Counter((ask.tenant, ask.query) for ask in asks)
        assert max(counts.values()) > 1
        rewrites = {phrasing for question in corpus.questions for phrasing in question[1:]}
        assert rewrites & {ask.query for ask in asks}


class TestShelf:
    def test_a_variant_has_other_candidates(self, corpus):
        shelf = InMemoryRetriever(corpus.passages, WordEmbedder())
        usual, other = shelf.candidates("reset password"), shelf.candidates("reset password", 0)
        assert len(usual) == len(other) == CANDIDATES
        assert 0 < sum(document in usual for document in other) < CANDIDATES

    def test_an_update_replaces_by_title_or_is_added(self, corpus):
        shelf = InMemoryRetriever(corpus.passages[:2], WordEmbedder())
        title = corpus.passages[0].metadata["title"]
        changed, new = Document("changed", {"title": title}), Document("new", {"title": "Something else"})
        shelf.publish(changed)
        shelf.publish(new)
        found = shelf.candidates("changed new")
        assert len(found) == 3 and changed in found and new in found and corpus.passages[0] not in found


def test_an_index_embeds_a_text_once():
    words = WordEmbedder()
    index = MemoisingEmbedder(words)
    first = index.embed(["a b", "c", "a b"])
    assert (index.embed(["c", "a b"]) == first[[1, 0]]).all()
    assert words.texts == ["a b", "c"]
    assert (index.name, index.dims) == (words.name, words.dims)


class TestReplay:
    def test_every_request_is_answered_with_its_own_documents(self, result):
        assert len(result.served) == REQUESTS
        for one in result.served:
            assert all(any(document is own for own in one.documents) for document in one.ranking)

    @pytest.mark.parametrize("status", list(Status))
    def test_every_status_occurs(self, result, status):
        assert any(one.ranking.status is status for one in result.served)

    def test_only_the_slow_spell_degrades_and_the_primary_comes_back(self, result):
        first = int(SLOW_SPELL[0] * REQUESTS)
        degraded = [number for number, one in enumerate(result.served) if one.ranking.status is Status.DEGRADED]
        assert min(degraded) > first
        assert result.transitions[0][1].new == "open" and result.transitions[0][0] >= first
        assert result.served[-1].ranking.status is not Status.DEGRADED or result.transitions[-1][1].new == "closed"

    def test_exact_and_semantic_answers_ask_nothing(self, result):
        for one in result.served:
            if one.ranking.status in (Status.EXACT, Status.SEMANTIC):
                assert (one.ranking.asked, one.ranking.reused) == (0, CANDIDATES)

    def test_pairs_add_up(self, result):
        answered = [one for one in result.served if one.ranking.status is not Status.DEGRADED]
        assert sum(pairs_of(result.served)) == CANDIDATES * len(answered)

    def test_the_sample_without_a_cache_is_an_eighth(self, result):
        assert [one.served for one in result.uncached] == list(result.served[::8])
        assert total_without_s(result) > 0

    def test_exact_answers_are_those_of_fresh_scoring(self, result):
        exact = [one for one in result.uncached if one.served.ranking.status is Status.EXACT]
        assert exact and all(one.overlap == 1 for one in exact)

    def test_progress_is_told_to_the_end(self, steps, result):
        last = {what: (step, of) for what, step, of in steps}
        assert last["replaying"] == (REQUESTS, REQUESTS)
        assert all(step == of for step, of in last.values())


def printed(result):
    console = Console(width=80, file=StringIO())
    console.print(report(result))
    return console.file.getvalue()


def test_without_a_slow_spell_nothing_is_said_of_one(result):
    assert "made slow" not in printed(Result(result.served[:10], result.uncached[:2], [], result.threshold_s))


def test_the_report_fits_80_columns_and_says_what_matters(result):
    text = printed(result)
    assert max(map(len, text.splitlines())) <= 80
    for word in (*Status, "p95", "pairs asked", "avoided", "with the cache", "without it", "made slow", "half-open"):
        assert word in text
    assert "…" not in text


class TestPlot:
    def test_it_is_a_png(self, result, tmp_path):
        plot(result, tmp_path / "latency.png")
        assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")

    def test_a_missing_folder_is_told_before_the_replay(self, tmp_path):
        with pytest.raises(ConfigurationError, match=r"there is no folder .*nowhere; make it first"):
            check_plot(tmp_path / "nowhere" / "a.png")

    @pytest.mark.parametrize(
        ("transitions", "spells"),
        [
            ([], []),
            ([(5, "closed", "open"), (9, "open", "half-open"), (12, "half-open", "closed")], [(5, 12)]),
            ([(5, "closed", "open")], [(5, 10)]),
        ],
    )
    def test_when_the_breaker_was_not_closed(self, result, transitions, spells):
        told = [(number, BreakerChanged(old, new, "x", None)) for number, old, new in transitions]
        assert list(open_spells(Result(result.served[:10], [], told, 1.0))) == spells


def test_the_command_with_real_models_ends_in_table_and_plot(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "from semcache.commands import main; main()", "demo", "--requests", "20"],
        env=os.environ | {"COLUMNS": "80"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Requests by status" in done.stdout
    assert (tmp_path / "demo-latency.png").read_bytes().startswith(b"\x89PNG")
