"""The invented entries that are measured on; the same number always gives the same entry."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from semcache.commands.demo.corpus import Corpus
from semcache.entries.entry import NewScores
from semcache.entries.fingerprint import document_fingerprint
from semcache.protocols import FloatArray, Guard

NEAR = 0.98
"""Similarity of a rewording to the query it is a rewording of."""
_SEED = 20240
_LISTS = 20
"""The passages of so many requests are all different; those of further requests overlap with theirs."""
_STORED, _ASIDE, _UNKNOWN, _SCORES = range(4)


@dataclass(frozen=True, slots=True)
class SyntheticEntries:
    """Queries with a random unit vector of ``dims`` each, and random scores of ``documents`` passages.

    In many dimensions random vectors are far apart (the nearest of a million is below similarity 0.3 in 384), so
    what is near is known.
    """

    dims: int
    documents: int
    passages: tuple[str, ...]
    questions: tuple[str, ...]

    @classmethod
    def of(cls, corpus: Corpus, dims: int, documents: int) -> Self:
        """Passages and questions of a corpus; where it has too few passages, numbered copies of them."""
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
        """Its vector."""
        return self._unit(_STORED, number)

    def rewording(self, number: int) -> tuple[str, FloatArray]:
        """A query that is not stored, and its vector, near to that of a stored one. No guard tells the two apart."""
        stored, aside = self.vector(number), self._unit(_ASIDE, number)
        across = aside - (aside @ stored) * stored
        across /= np.linalg.norm(across)
        return f"{self.query(number)}?", (NEAR * stored + np.sqrt(1 - NEAR**2) * across).astype(np.float32)

    def unknown(self, number: int) -> tuple[str, FloatArray]:
        """A query that is not stored, and its vector, which is near to none."""
        return f"unknown question {number}", self._unit(_UNKNOWN, number)

    def texts(self, number: int) -> list[str]:
        """The documents of an entry, as a retriever brings them: new strings whose hash nobody has computed yet."""
        first = number * self.documents % len(self.passages)
        return [(text + " ")[:-1] for text in self.passages[first : first + self.documents]]

    def scores(self, number: int) -> list[float]:
        """A score for each of them."""
        drawn: list[float] = np.random.default_rng((_SEED, _SCORES, number)).standard_normal(self.documents).tolist()
        return drawn

    def question(self, number: int) -> str:
        """A real question, for the models."""
        return self.questions[number % len(self.questions)]

    def entry(self, number: int, guard: Guard | None) -> NewScores:
        """What is to be stored."""
        query = self.query(number)
        fingerprints = map(document_fingerprint, self.texts(number))
        scores = list(zip(fingerprints, self.scores(number), strict=True))
        return NewScores(query, self.vector(number), scores, b"" if guard is None else guard.cues(query))

    def _unit(self, stream: int, number: int) -> FloatArray:
        drawn = np.random.default_rng((_SEED, stream, number)).standard_normal(self.dims, dtype=np.float32)
        return np.asarray(drawn / np.linalg.norm(drawn), dtype=np.float32)
