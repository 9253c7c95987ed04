"""The code before and after on the page of migrating runs, and gives the same order."""

from typing import Any

import pytest
from redisvl.utils.vectorize import CustomVectorizer

from tests.docs.pages import PAGES, blocks_of
from tests.fakes import WordEmbedder

PAGE = "docs/migrating.md"
QUERY = "how many people live in berlin"
DOCUMENTS = ["berlin has many museums", "how many people live in berlin now", "people live in rome", "a mango", "many"]
BEST = [DOCUMENTS[at] for at in (1, 2, 0)]


class Words:
    """A cross-encoder by the number of shared words, without equal scores among the best."""

    def __init__(self) -> None:
        self.asked = 0

    def predict(self, pairs: list[tuple[str, str]]) -> list[float]:
        self.asked += len(pairs)
        return [len(set(query.split()) & set(text.split())) - len(text) / 1000 for query, text in pairs]


def test_before_and_after(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEMCACHE_NAMESPACE", namespace)
    names: dict[str, Any] = {"query": QUERY, "documents": DOCUMENTS, "cross_encoder": Words(), "redis_url": redis_url}
    names["vectorizer"] = CustomVectorizer(embed=lambda text, **_: WordEmbedder().embed([text])[0].tolist())
    for block in blocks_of(PAGE, PAGES[PAGE]):
        if block.language == "python":
            # An index of this run alone.
            exec(compile(block.code.replace('"rerank"', f'"{namespace}"'), str(block), "exec"), names)
    assert str(BEST) in capsys.readouterr().out
