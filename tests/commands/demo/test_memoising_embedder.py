"""An embedder that embeds each text once."""

from semcache.commands.demo.memoising_embedder import MemoisingEmbedder
from tests.fakes import WordEmbedder


def test_an_index_embeds_a_text_once() -> None:
    words = WordEmbedder()
    index = MemoisingEmbedder(words)
    first = index.embed(["a b", "c", "a b"])
    assert (index.embed(["c", "a b"]) == first[[1, 0]]).all()
    assert words.texts == ["a b", "c"]
    assert (index.name, index.dims) == (words.name, words.dims)
