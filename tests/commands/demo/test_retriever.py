"""The retriever of the demo."""

from semcache.commands.demo.corpus import Corpus
from semcache.commands.demo.retriever import CANDIDATES, InMemoryRetriever
from semcache.documents import Document
from tests.fakes import WordEmbedder


class TestRetriever:
    def test_a_variant_has_other_candidates(self, corpus: Corpus) -> None:
        retriever = InMemoryRetriever(corpus.passages, WordEmbedder())
        usual, other = retriever.candidates("reset password"), retriever.candidates("reset password", 0)
        assert len(usual) == len(other) == CANDIDATES
        assert 0 < sum(document in usual for document in other) < CANDIDATES

    def test_an_update_replaces_by_title_or_is_added(self, corpus: Corpus) -> None:
        retriever = InMemoryRetriever(corpus.passages[:2], WordEmbedder())
        title = corpus.passages[0].metadata["title"]
        changed, new = Document("changed", {"title": title}), Document("new", {"title": "Something else"})
        retriever.publish(changed)
        retriever.publish(new)
        found = retriever.candidates("changed new")
        assert len(found) == 3 and changed in found and new in found and corpus.passages[0] not in found
