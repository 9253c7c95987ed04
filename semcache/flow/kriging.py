"""A Gaussian process over the documents of a request, which is told more with each round: universal kriging."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Kriging:
    """The values to be expected of all documents when some of them are seen (Matheron 1969).

    ``covariance`` is that of what is unknown of the documents, but for an offset that all share, of which nothing is
    known before. What was worked out in one round is kept for the next: a row of the inverse Cholesky factor depends
    only on the rows before it, so that each round adds rows for the documents that are new.
    """

    __slots__ = ("_covariance", "_is_seen", "_levels", "_moved", "_open", "_reach", "_seen", "_values")

    def __init__(self, covariance: Floats) -> None:
        self._covariance = covariance
        self._forget()

    def _forget(self) -> None:
        count = len(self._covariance)
        self._seen = np.empty(0, dtype=np.intp)
        self._is_seen = np.zeros(count, dtype=np.bool_)
        self._moved = self._levels = self._values = np.empty(0)
        self._reach = np.empty((0, count))
        # The variance that the documents seen leave open.
        self._open = self._covariance.diagonal().copy()

    def see(self, moved: Floats, *, in_order: bool = False) -> None:
        """Take the values of ``moved`` that are not nan for seen.

        ``in_order`` begins anew, so that documents count in the order of the request, and not in that of the rounds.
        """
        is_seen = ~np.isnan(moved)
        if in_order or not (is_seen[self._seen].all() and np.array_equal(moved[self._seen], self._moved)):
            self._forget()
        new = np.flatnonzero(is_seen & ~self._is_seen)
        if not new.size:
            return
        rows, level, value = self._covariance[new], np.ones(len(new)), moved[new]
        if self._seen.size:
            # Less what the documents seen before say of the new ones.
            said = self._reach[:, new].T
            rows = rows - said @ self._reach
            level, value = level - said @ self._levels, value - said @ self._values
        # Columns of the inverse factor make what was seen independent, with variance 1 if the prior is right.
        whiten = np.linalg.inv(np.linalg.cholesky(rows[:, new]))
        reach = whiten @ rows
        self._open -= (reach * reach).sum(axis=0)
        self._reach = np.concatenate([self._reach, reach])
        self._levels = np.concatenate([self._levels, whiten @ level])
        self._values = np.concatenate([self._values, whiten @ value])
        self._seen = np.concatenate([self._seen, new])
        self._moved = moved[self._seen]
        self._is_seen = is_seen

    def expected(self) -> tuple[Floats, Floats, Floats]:
        """By document its expected value and the variance of that; and by document seen the square of its surprise.

        The surprises are in the order of ``seen``, each less what the ones before it said.
        """
        precision = float(self._levels @ self._levels)
        offset = float(self._levels @ self._values) / precision
        residuals = self._values - offset * self._levels
        # Of the offset nothing is known before: its own variance is added to what the documents seen leave open.
        open_offset = 1 - self._levels @ self._reach
        variance = self._open + open_offset**2 / precision
        return offset + residuals @ self._reach, np.maximum(variance, 0), residuals**2

    @property
    def seen(self) -> NDArray[np.intp]:
        """Positions of the documents seen."""
        return self._seen
