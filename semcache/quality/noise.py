"""How well a reranker repeats itself: what two answers about the same pairs differ by is no cost of reuse.

Some models give a pair another score in another batch. One that computes in eight bits rounds by the range of the
whole batch: two answers of the packaged one differ by 0.1 to 0.2 logits (standard deviation). Passages that differ in
one number have scores closer than that, so two answers put them in different orders, each as good as the other.

It is measured by scoring the same pairs twice now, in different batches, and never by cached scores: what those differ
by may be another model.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_LATEST = 8
"""Requests. With two documents each they still have enough pairs, and a model that was mended is soon known as that."""

_MARGIN = 2.0
"""Standard deviations. Of twenty passages that differ in one number, the packaged model loses 0.16 against itself, and
0 by this tolerance; with normal noise 0.006 is left, less than any limit of trust. More would hide another model where
scores are close: of documents whose scores spread by three times the noise, one that has nothing in common with the
cached one loses 0.14 in place of 0.35, and by three standard deviations 0.07."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What a reranker's two answers about the pairs of its latest requests differed by: sums of squares and numbers."""

    latest: tuple[tuple[float, int], ...] = ()

    def after(self, first: ArrayLike, second: ArrayLike) -> Self:
        """The noise as it is known after two answers about the pairs of one more request."""
        differences = _centred(np.asarray(second, dtype=float) - np.asarray(first, dtype=float))
        measured = float(differences @ differences), len(differences)
        return type(self)((*self.latest, measured)[-_LATEST:])

    @property
    def is_known_well(self) -> bool:
        """Whether one more measurement would only replace the oldest."""
        return len(self.latest) == _LATEST

    @property
    def tolerance(self) -> float:
        """Scores that differ by less say nothing; 0 for a reranker that repeats itself, or before it was measured.

        Example:
            >>> Noise().after([1.0, 2.0, 3.0, 4.0], [1.1, 1.9, 3.1, 3.9]).tolerance  # 2 x 0.1
            0.2
        """
        if not self.latest:
            return 0.0
        squares, count = map(sum, zip(*self.latest, strict=True))
        return round(_MARGIN * sqrt(squares / count), 9)


def beyond_noise(cached: ArrayLike, fresh: ArrayLike, tolerance: float) -> Floats:
    """The cached scores, but for differences from the fresh ones that the reranker's noise explains.

    Each moves toward its fresh score by at most the tolerance. What all of them differ by, which changes no order, is
    left as it is.

    Example:
        >>> beyond_noise([1.0, 2.0, 9.0], [2.0, 1.9, 3.0], tolerance=0.5)
        array([1.5, 2. , 8.5])
    """
    cached, fresh = np.asarray(cached, dtype=float), np.asarray(fresh, dtype=float)
    return np.asarray(cached + np.clip(_centred(fresh - cached), -tolerance, tolerance))


def _centred(differences: Floats) -> Floats:
    return np.asarray(differences - np.median(differences))
