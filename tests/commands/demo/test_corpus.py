"""The corpus of the demo."""

from semcache.commands.demo.corpus import Corpus


class TestCorpus:
    def test_there_is_enough_of_it(self, corpus: Corpus) -> None:
        assert 60 <= len(corpus.passages) <= 100
        assert len({passage.metadata["topic"] for passage in corpus.passages}) == 5
        assert all(len(phrasings) == 3 for phrasings in corpus.questions)

    def test_nothing_is_there_twice(self, corpus: Corpus) -> None:
        phrasings = [phrasing for question in corpus.questions for phrasing in question]
        assert len(set(phrasings)) == len(phrasings)
        assert len({passage.text for passage in corpus.passages}) == len(corpus.passages)

    def test_updates_replace_passages_and_add_some(self, corpus: Corpus) -> None:
        titles = {passage.metadata["title"] for passage in corpus.passages}
        assert {update.passage.metadata["title"] in titles for update in corpus.updates} == {True, False}
        assert all(0 < update.at < 1 for update in corpus.updates)
