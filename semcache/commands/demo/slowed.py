"""A real reranker that can be made slow, as an overloaded one is."""

import time
from collections.abc import Sequence

from semcache.protocols import FloatArray, Pair, Reranker


class SlowedReranker:
    """Gives the scores of ``reranker``; while ``is_slow`` is set, ``delay_s`` seconds later."""

    listwise = False

    def __init__(self, reranker: Reranker, delay_s: float) -> None:
        self._reranker = reranker
        self._delay_s = delay_s
        # Set by the thread that makes the requests, read by the thread that batches them: a plain flag suffices,
        # because each request waits for its answer before the next one changes it.
        self.is_slow = False

    @property
    def name(self) -> str:
        """The name of the reranker, since slowness does not change its scores."""
        return self._reranker.name

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One score per pair."""
        if self.is_slow:
            time.sleep(self._delay_s)
        return self._reranker.score(pairs)

    def __repr__(self) -> str:
        return f"<SlowedReranker {self._delay_s} s, {'slow' if self.is_slow else 'as usual'}>"
