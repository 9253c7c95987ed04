"""Splits a request that is larger than what a service takes in one call."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from semcache.errors import ConfigurationError
from semcache.flow.requests import check_count
from semcache.protocols import FloatArray, Pair, Reranker


class SplitReranker:
    """A pointwise reranker that is sent at most ``max_pairs_per_call`` pairs at once; else it is the reranker inside.

    The parts of a larger request follow one another, since services limit how often they are called, too.
    """

    def __init__(self, reranker: Reranker, max_pairs_per_call: int) -> None:
        self.reranker = reranker
        self.max_pairs_per_call = max_pairs_per_call

    @property
    def name(self) -> str:
        """The name of the reranker inside."""
        return self.reranker.name

    @property
    def listwise(self) -> bool:
        """False: an order cannot be put together from parts."""
        return self.reranker.listwise

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One score per pair, by as many calls as are needed."""
        scores = [self.reranker.score(part) for part in self._parts(pairs)]
        return np.concatenate(scores) if scores else self.reranker.score(pairs)

    async def _ascore_pairs(self, pairs: Sequence[Pair]) -> FloatArray:
        scores = [await self.reranker.ascore_pairs(part) for part in self._parts(pairs)]  # type: ignore[attr-defined]
        return np.concatenate(scores) if scores else np.empty(0, dtype=np.float32)

    def _parts(self, pairs: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
        for start in range(0, len(pairs), self.max_pairs_per_call):
            yield pairs[start : start + self.max_pairs_per_call]

    def __getattr__(self, attribute: str) -> Any:
        # What else the reranker inside says of itself. Pickle and copy ask before __init__ has run.
        if attribute == "reranker":
            raise AttributeError(attribute)
        inside = getattr(self.reranker, attribute)
        return self._ascore_pairs if attribute == "ascore_pairs" else inside

    def __repr__(self) -> str:
        return f"<SplitReranker of at most {self.max_pairs_per_call} pairs: {self.reranker!r}>"


def split(reranker: Reranker, max_pairs_per_call: int | None) -> Reranker:
    """The reranker with no larger calls than this; as it is for None.

    Raises ConfigurationError for a number below 1, and for a listwise reranker.
    """
    if max_pairs_per_call is None:
        return reranker
    check_count("max_pairs_per_call", max_pairs_per_call)
    if reranker.listwise:
        raise ConfigurationError(
            f"max_pairs_per_call={max_pairs_per_call} cannot be kept for {reranker.name}: it is listwise, and an order "
            "cannot be put together from parts; send it fewer documents, or pass adapt(..., listwise=False) if it "
            "scores each of them"
        )
    return SplitReranker(reranker, int(max_pairs_per_call))
