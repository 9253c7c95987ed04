"""The invented entries that are measured on. The same number always gives the same entry."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from semcache.commands.demo.corpus import Corpus
from semcache.entries.entry import NewScores
from semcache.entries.fingerprint import document_fingerprint
from semcache.protocols import FloatArray, Guard

NEAR = 0.98
"""Similarity of a rewording to the query that it rewords: a little above the trust threshold of the measurement."""

_SEED = 20240
# The passages of this many requests are all different. Those of further requests overlap with theirs, as candidates of
# real queries do.
_LISTS = 20
# Streams of random numbers. A number has one draw from each, so that none depends on which was drawn first.
_STORED, _ASIDE, _UNKNOWN, _SCORES = range(4)


@dataclass(frozen=True, slots=True)
class SyntheticEntries:
    """Queries with a random unit vector of ``dims`` each, and random scores of ``documents`` passages.

    In many dimensions random vectors are far apart (the nearest of a million is below similarity 0.3 in 384), so a
    query is near to another one only where it was made so.
    """

    dims: int
    documents: int
    passages: tuple[str, ...]
    questions: tuple[str, ...]

    @classmethod
    def of(cls, corpus: Corpus, dims: int, documents: int) -> Self:
        """Take passages and questions from a corpus. Where it has too few passages, numbered copies are added."""
        texts = [passage.text for passage in corpus.passages]
        pool = (
            texts[at % len(texts)] + (f" ({at // len(texts)})" if at >= len(texts) else "")
            for at in range(_LISTS * documents)
        )
        return cls(dims, documents, tuple(pool), tuple(question for question, *_ in corpus.questions))

    def query(self, number: int) -> str:
        """A stored query."""
        return f"synthetic question {number}"

    def vector(self, number: int) -> FloatArray:
        """The vector of the stored query."""
        return self._unit(_STORED, number)

    def rewording(self, number: int) -> tuple[str, FloatArray]:
        """A query that is not stored, and its vector at similarity ``NEAR`` to that of a stored one."""
        stored, aside = self.vector(number), self._unit(_ASIDE, number)
        # Gram-Schmidt: what remains of ``aside`` is perpendicular to ``stored``, so the mix has exactly this cosine.
        across = aside - (aside @ stored) * stored
        across /= np.linalg.norm(across)
        # Only a question mark is added: with another word, the guard would refuse to trust the neighbour.
        return f"{self.query(number)}?", (NEAR * stored + np.sqrt(1 - NEAR**2) * across).astype(np.float32)

    def unknown(self, number: int) -> tuple[str, FloatArray]:
        """A query that is not stored, and its vector, which is near to none that is."""
        return f"unknown question {number}", self._unit(_UNKNOWN, number)

    def texts(self, number: int) -> list[str]:
        """The documents of an entry: new strings at every call, as a retriever brings them."""
        first = number * self.documents % len(self.passages)
        # A string keeps its hash after the first use. Copies have none yet, so that hashing them is measured too.
        return [(text + " ")[:-1] for text in self.passages[first : first + self.documents]]

    def scores(self, number: int) -> list[float]:
        """A score per document of an entry."""
        drawn: list[float] = np.random.default_rng((_SEED, _SCORES, number)).standard_normal(self.documents).tolist()
        return drawn

    def question(self, number: int) -> str:
        """A real question, for the models: how long they take depends on the words."""
        return self.questions[number % len(self.questions)]

    def entry(self, number: int, guard: Guard | None) -> NewScores:
        """The entry as the store takes it. ``guard`` is that of the cache, which stores its cues."""
        query = self.query(number)
        fingerprints = map(document_fingerprint, self.texts(number))
        scores = list(zip(fingerprints, self.scores(number), strict=True))
        return NewScores(query, self.vector(number), scores, b"" if guard is None else guard.cues(query))

    def _unit(self, stream: int, number: int) -> FloatArray:
        drawn = np.random.default_rng((_SEED, stream, number)).standard_normal(self.dims, dtype=np.float32)
        return np.asarray(drawn / np.linalg.norm(drawn), dtype=np.float32)
