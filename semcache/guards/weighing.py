"""Weighs the words in which two queries differ: "best" and "good" hardly matter, "canada" and "china" do.

A logistic regression on similarity, on how many words the queries share and on which words they differ in, learned on
20,000 labelled question pairs (benchmarks/guard_weights.py says how; benchmarks/results/guards.md has its figures on
pairs that it was not learned on). Words are known by the 16 bits of their cue only, so the file holds no text.
"""

import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Self

_SIMILARITY_BENDS = (0.85, 0.95)
"""The weight of the similarity changes here: from 0.95 on it says more about two questions than below 0.85."""


@dataclass(frozen=True, slots=True)
class WordDifference:
    """Words of only one query, of only the other and of both, as hashes; and how many other cues differ.

    ``kind`` names the first kind of difference, for the observers.
    """

    ours: Set[bytes]
    theirs: Set[bytes]
    shared: Set[bytes]
    numbers: int
    scopes: int
    questions: int
    similarity: float
    kind: str = "word"


@dataclass(frozen=True, slots=True)
class Weighing:
    """Coefficients of the regression. ``threshold`` is the logit from which a difference counts as harmless.

    ``common`` are words that many queries have; a rare word (often a name) weighs more than a common one.
    """

    bias: float
    dense: tuple[float, ...]
    differing: Mapping[bytes, float]
    shared: Mapping[bytes, float]
    common: Set[bytes]
    threshold: float

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """From the JSON that benchmarks/guard_weights.py writes; words are hexadecimal hashes."""
        common: str = stored["common"]
        return cls(
            bias=stored["bias"],
            dense=tuple(stored["dense"]),
            differing=_by_hash(stored["differing"]),
            shared=_by_hash(stored["shared"]),
            common=frozenset(bytes.fromhex(common[at : at + 4]) for at in range(0, len(common), 4)),
            threshold=stored["threshold"],
        )

    def logit(self, difference: WordDifference) -> float:
        """How likely the difference is harmless, as a logit: above 0 more likely than not."""
        differing = (*difference.ours, *difference.theirs)
        return (
            self.bias
            + sum(map(float.__mul__, self.dense, features(difference, self.common)))
            + sum(self.differing.get(word, 0.0) for word in differing)
            + sum(self.shared.get(word, 0.0) for word in difference.shared)
        )

    def is_harmless(self, difference: WordDifference) -> bool:
        """Whether one query's scores may be trusted for the other in spite of the differing words."""
        return self.logit(difference) >= self.threshold


def features(difference: WordDifference, common: Set[bytes]) -> list[float]:
    """The dense features, the same for (a, b) and (b, a)."""
    fewer, more = sorted((len(difference.ours), len(difference.theirs)))
    shared = len(difference.shared)
    rare_fewer, rare_more = sorted((_rare(difference.ours, common), _rare(difference.theirs, common)))
    return [
        difference.similarity,
        *(max(0.0, difference.similarity - bend) for bend in _SIMILARITY_BENDS),
        float(min(fewer, 4)),
        float(min(more, 4)),
        float(fewer == 0),
        float(min(shared, 6)),
        shared / (fewer + more + shared + 1),
        float(min(rare_fewer, 2)),
        float(min(rare_more, 3)),
        float(min(difference.numbers, 3)),
        float(min(difference.scopes, 2)),
        float(min(difference.questions, 2)),
    ]


def _by_hash(weights: Mapping[str, float]) -> dict[bytes, float]:
    return {bytes.fromhex(word): weight for word, weight in weights.items()}


def _rare(words: Iterable[bytes], common: Set[bytes]) -> int:
    return sum(word not in common for word in words)


@cache
def learned() -> Weighing:
    """The weighing that ships with the package."""
    return Weighing.of(json.loads(files(__package__).joinpath("weights.json").read_text("ascii")))
