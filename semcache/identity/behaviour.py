"""The answers of a reranker or embedder to the probes, and whether another one gave the same.

Answers are kept as bytes beside those of others under the same name, so all records of one name have one length.
"""

from dataclasses import dataclass, replace
from hashlib import blake2b
from math import floor, log2
from typing import ClassVar, Protocol, Self

import numpy as np

from semcache.identity.pairs import SHORT
from semcache.protocols import FloatArray

# Shares of the spread of the scores. Equal functions and services repeat themselves to five digits, and other weights,
# prompts or activations move some score by percents.
TIGHT = 1e-3
# The packaged model, which rounds by the range of a batch, differs by up to 0.06 between batch sizes
# (benchmarks/results/identity.md), and processors differ, too. The name says already what the model is.
WIDE = 0.15

# A second answer to the same call that is this far away says that answers cannot be compared.
MOST_NOISE = 0.25
# Of the noise seen once: two further answers differ by more than one pair of answers happened to.
_NOISE_MARGIN = 3.0

# Cosines. Services repeat themselves to 1e-5. Processors round eight-bit graphs differently; the rounding as a whole
# moves vectors by 0.008 on average (benchmarks/results/embedding.md), and what processors differ in is a part of that.
_ALIKE = 0.9999
_ALIKE_BY_CONTENT = 0.98

_SCORES_AT_FIRST = len(SHORT)


class Behaviour(Protocol):
    """Answers to the probes.

    ``packed`` is their record. ``says_nothing``: they would fit any other, too. ``own_noise``: how far two answers to
    the same probe are apart, as a share of the spread.
    """

    @property
    def packed(self) -> bytes: ...

    @property
    def says_nothing(self) -> bool: ...

    @property
    def own_noise(self) -> float: ...

    def id(self) -> str:
        """Hexadecimal digits that stand for these answers; the same for answers that differ by rounding errors."""
        ...

    def resembles(self, packed: bytes) -> bool:
        """Whether a record is of the same scorer, as far as answers tell."""
        ...

    def noise(self, again: Self) -> float:
        """How far a second answer is away, as a share of what is a great difference."""
        ...

    def tolerating(self, noise: float) -> Self:
        """The same answers, of a scorer that is known to repeat itself no better than this."""
        ...

    def of(self, packed: bytes) -> Self:
        """The answers of a record."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """A reranker's scores of all probe pairs; ranks, if it is listwise. ``tolerance`` is a share of their spread."""

    scores: FloatArray
    tolerance: float = TIGHT
    listwise: bool = False

    @property
    def packed(self) -> bytes:
        """Little-endian float32."""
        return self.scores.astype("<f4").tobytes()

    @property
    def spread(self) -> float:
        """From the least to the greatest score of the first call, whose texts are all about as long."""
        return float(np.ptp(self.scores[:_SCORES_AT_FIRST]))

    @property
    def says_nothing(self) -> bool:
        """All scores are equal, or a listwise reranker left the documents in the order in which they were sent."""
        first = self.scores[:_SCORES_AT_FIRST]
        is_flat = self.spread <= 1e-6 * float(np.abs(first).max())
        return is_flat or (self.listwise and bool((np.diff(first) < 0).all()))

    @property
    def own_noise(self) -> float:
        """How far the two scores of the repeated pair are apart, as a share of the spread; 0 where none is repeated."""
        if self.listwise or len(self.scores) == _SCORES_AT_FIRST or not self.spread:
            return 0.0
        return float(abs(self.scores[-1] - self.scores[-2])) / self.spread

    def id(self) -> str:
        """12 digits, of the scores in steps of about a thousandth of their spread."""
        # A power of two, so that a spread that is a little different gives the same step, but for rare exceptions.
        exponent = floor(log2(self.spread)) - 10 if self.spread else 0
        steps = np.round(self.scores.astype(np.float64) / 2.0**exponent).astype("<i8")
        return _digits(f"{exponent} {int(self.listwise)} ".encode() + steps.tobytes())

    def resembles(self, packed: bytes) -> bool:
        """Whether no score differs by more than the tolerance."""
        other = self.of(packed)
        most = max(self.tolerance, _NOISE_MARGIN * max(self.own_noise, other.own_noise))
        return self.noise(other) <= most

    def noise(self, again: Self) -> float:
        """The greatest difference of a score, as a share of the greater spread."""
        spread = max(self.spread, again.spread)
        difference = float(np.abs(self.scores - again.scores).max())
        return difference / spread if spread else float(difference > 0)

    def tolerating(self, noise: float) -> Self:
        return replace(self, tolerance=max(self.tolerance, _NOISE_MARGIN * noise))

    def of(self, packed: bytes) -> Self:
        return replace(self, scores=np.frombuffer(packed, dtype="<f4").astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Vector:
    """An embedder's unit vector of the probe text. ``alike`` is the least cosine to one of the same embedder."""

    vector: FloatArray
    alike: float = _ALIKE

    says_nothing: ClassVar[bool] = False
    own_noise: ClassVar[float] = 0.0

    @classmethod
    def by_content(cls, vector: FloatArray) -> Self:
        """Of an embedder that is named by its content."""
        return cls(vector, _ALIKE_BY_CONTENT)

    @property
    def packed(self) -> bytes:
        """Little-endian float32."""
        return self.vector.astype("<f4").tobytes()

    def id(self) -> str:
        """12 digits, of the numbers in steps of a hundredth."""
        return _digits(np.round(self.vector.astype(np.float64) * 100).astype("<i4").tobytes())

    def resembles(self, packed: bytes) -> bool:
        """Whether the cosine is great enough."""
        return 1 - self.noise(self.of(packed)) >= self.alike

    def noise(self, again: Self) -> float:
        """1 minus the cosine."""
        return 1 - float(self.vector @ again.vector)

    def tolerating(self, noise: float) -> Self:
        return replace(self, alike=min(self.alike, 1 - _NOISE_MARGIN * noise))

    def of(self, packed: bytes) -> Self:
        return replace(self, vector=np.frombuffer(packed, dtype="<f4").astype(np.float32))


def _digits(content: bytes) -> str:
    return blake2b(content, digest_size=6).hexdigest()
