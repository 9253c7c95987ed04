"""A first-stage retriever: BM25 over passages, with numpy only."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

# Anserini's defaults for MS MARCO passages before tuning.
K1, B = 0.9, 0.4
_WORD = re.compile(r"[a-z0-9]+")


class BM25:
    """Passages that share a word with the query, best first. Words are lower-cased, neither stemmed nor dropped.

    It does not use the embedder by which the cache finds near queries. So near queries share only those candidates
    that their common words find.
    """

    def __init__(self, passages: Sequence[str]) -> None:
        self.passages = passages
        counts = [Counter(_words(passage)) for passage in passages]
        lengths = np.array([count.total() for count in counts], dtype=float)
        norms = K1 * (1 - B + B * lengths / lengths.mean())
        postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for row, count in enumerate(counts):
            for word, times in count.items():
                postings[word].append((row, times))
        self._postings = {}
        for word, found in postings.items():
            rows, times = np.array(found).T
            idf = np.log1p((len(passages) - len(found) + 0.5) / (len(found) + 0.5))
            self._postings[word] = rows, idf * times / (times + norms[rows])

    def search(self, query: str, k: int) -> list[str]:
        """The ``k`` best passages; fewer, or none, where fewer share a word with the query."""
        scores = np.zeros(len(self.passages))
        for word in set(_words(query)):
            if word in self._postings:
                rows, weights = self._postings[word]
                scores[rows] += weights
        best = np.argsort(-scores, kind="stable")[:k]
        return [self.passages[row] for row in best if scores[row] > 0]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
