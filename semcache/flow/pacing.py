"""Takes apart what many flows ask a reranker at once, so that they do not overload it together."""

from collections.abc import Callable, Sequence
from math import inf

from semcache.flow.steps import Score


def first_within(steps: Sequence[Score], pairs_at_once: Callable[[], int] | None) -> Sequence[Score]:
    """The first of the steps that ask about no more pairs than a ladder takes at once, and one at least.

    All of them for None, a ladder that does not say.

    Example:
        >>> steps = [Score("q", ("a", "b", "c"), (0, 1, 2))] * 5
        >>> len(first_within(steps, lambda: 7)), len(first_within(steps, lambda: 1)), len(first_within(steps, None))
        (2, 1, 5)
    """
    most = inf if pairs_at_once is None else pairs_at_once()
    count = pairs = 0
    for step in steps:
        pairs += len(step.ask)
        if count and pairs > most:
            break
        count += 1
    return steps[:count]
