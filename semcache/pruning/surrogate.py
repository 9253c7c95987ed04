"""A model of a reranker's scores: ridge regression on cheap features, fitted from sums of earlier true scores."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from semcache.pruning.features import Features, Flags, Floats
from semcache.pruning.statistics import Statistics, bands

LEARNED = "learned"
"""Stands in the place of a reranker's name where expected scores were the answer."""
LEAST_REQUESTS = 30.0
"""Requests that must have been scored whole before anything is left out."""
RIDGE_ROWS = 50.0
"""How many documents, one standard deviation from the mean, without any effect the regression begins with."""
BAND_ROWS = 50.0
"""How many documents with the average residual each band of expected ranks begins with."""


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """Expected scores of one request's documents, relative to their mean, and how far off they usually are."""

    scores: Floats
    spread: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Surrogate:
    """Predicts scores of one reranker in one namespace. It is never an answer: it says what need not be asked."""

    statistics: Statistics

    @classmethod
    def of(cls, statistics: Statistics, least_requests: float = LEAST_REQUESTS) -> Self | None:
        """The surrogate of these statistics; None while they rest on too few requests."""
        return cls(statistics) if statistics.requests >= least_requests else None

    def predict(self, features: Features) -> Predicted:
        """Expected score and spread of each document."""
        weights, variance = self._fit(features.available)
        scores = features.values @ weights
        squares, rows = self.statistics.part("band_squares"), self.statistics.part("band_rows")
        ratios = (squares + BAND_ROWS) / (rows + BAND_ROWS)
        return Predicted(scores, np.sqrt(variance * ratios[bands(scores)]))

    def change(self, now: Features, then: Features) -> Floats:
        """How much more is expected of each document for this query than for another one.

        Only features that are available for both queries count.
        """
        both = now.available & then.available
        weights, _ = self._fit(both)
        return np.asarray((now.values - then.values) @ weights)

    def _fit(self, available: Flags) -> tuple[Floats, float]:
        """Weights by feature, 0 where it is not available, and the variance of the residual."""
        width = len(available) + 1
        products = self.statistics.part("products").reshape(width, width)
        rows = self.statistics.part("rows").reshape(width, width)
        covariance = products / np.maximum(rows, 1e-12)
        weights = np.zeros(width - 1)
        used = np.flatnonzero(available & (np.diagonal(products)[:-1] > 0))
        inner, outer = covariance[np.ix_(used, used)], covariance[used, -1]
        ridge = RIDGE_ROWS / np.maximum(np.diagonal(rows)[used], 1.0)
        found = np.linalg.solve(inner + np.diag(ridge * np.diagonal(inner)), outer)
        weights[used] = found
        total = float(covariance[-1, -1])
        variance = total - 2 * float(found @ outer) + float(found @ inner @ found)
        return weights, max(variance, 0.01 * total, 1e-12)
