"""Single flight for calls that are awaited: a request whose pairs a call is asked about already waits for that call."""

from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np

from semcache.batching.plan import PairOf
from semcache.protocols import FloatArray, Pair
from semcache.runtime.forking import ForkSafeLock


class Flight:
    """A tenant's call for some pairs. ``over`` is done when it is, and holds the scores or the error of the reranker.

    Neither, but None, if its caller gave it up.
    """

    __slots__ = ("over", "pairs", "tenant")

    def __init__(self, tenant: str | None, pairs: frozenset[Pair]) -> None:
        self.tenant: str | None = tenant
        self.pairs: frozenset[Pair] = pairs
        self.over: Future[dict[Pair, float] | None] = Future()

    def raise_second_failure(self, failed: "list[Flight]") -> None:
        """Raise the reranker's error of a call that is over, if it is the second that a request has seen fail.

        If all who wait for a failing call asked one after the other, the last of them would wait for all.
        """
        if self.over.exception() is not None:
            failed.append(self)
            if len(failed) > 1:
                self.over.result()

    def scores_of(self, pairs: Sequence[Pair]) -> FloatArray | None:
        """The scores of these pairs; None if the call is not over, failed, or was cancelled by its caller."""
        is_scored = self.over.done() and self.over.exception() is None
        scores = self.over.result() if is_scored else None
        return None if scores is None else np.array([scores[pair] for pair in pairs], dtype=np.float32)


class Flights:
    """The calls that wait or are under way, by their pairs. Safe between threads and event loops.

    A request follows one call of its tenant that is asked about all of its pairs. One that shares only some of them is
    asked about all of its own: it would otherwise wait for the slower of two calls.
    """

    def __init__(self) -> None:
        # Guards the dictionary. No other lock is taken while it is held.
        self._lock = ForkSafeLock()
        self._by_pair: dict[PairOf, Flight] = {}

    def following(self, tenant: str | None, pairs: Sequence[Pair]) -> Flight | None:
        """The call that will answer these pairs; None if there is none."""
        with self._lock:
            flight = self._by_pair.get((tenant, pairs[0]))
            return flight if flight is not None and flight.pairs.issuperset(pairs) else None

    def begin(self, tenant: str | None, pairs: Sequence[Pair]) -> Flight:
        """A call for these pairs, which has to be ended."""
        flight = Flight(tenant, frozenset(pairs))
        with self._lock:
            self._by_pair.update(((tenant, pair), flight) for pair in flight.pairs)
        return flight

    def end(self, flight: Flight, scores: dict[Pair, float] | None, error: BaseException | None = None) -> None:
        """The call is over, with scores, with an error of the reranker, or with neither."""
        with self._lock:
            for pair in flight.pairs:
                # A later call may be asked about the same, together with others.
                if self._by_pair.get((flight.tenant, pair)) is flight:
                    del self._by_pair[flight.tenant, pair]
        if error is None:
            flight.over.set_result(scores)
        else:
            flight.over.set_exception(error)

    def __repr__(self) -> str:
        return f"<Flights of {len(self._by_pair)} pairs>"
