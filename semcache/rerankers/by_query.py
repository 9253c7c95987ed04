"""Scores of pairs by calls that take one query and its documents."""

from collections.abc import Callable, Sequence

import numpy as np

from semcache.protocols import Pair
from semcache.rerankers.awaiting import Steps


def scored_by_query(pairs: Sequence[Pair], ask: Callable[[str, list[str]], Steps]) -> Steps:
    """One score per pair, in the order of the pairs; ``ask`` is used once per query, with all of its texts."""
    # Not by runs of equal queries: pairs of merged requests come sorted by length, so that the queries alternate.
    positions: dict[str, list[int]] = {}
    for position, (query, _) in enumerate(pairs):
        positions.setdefault(query, []).append(position)
    scores = np.empty(len(pairs), dtype=np.float32)
    for query, places in positions.items():
        scores[places] = yield from ask(query, [pairs[place][1] for place in places])
    return scores
