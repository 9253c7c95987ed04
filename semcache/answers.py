"""What a ladder of rerankers answered, as the caller's own documents in order."""

from collections.abc import Sequence
from typing import TypeVar

from semcache.flow import best_first
from semcache.protocols import Scored
from semcache.ranking import Ranking, Status
from semcache.requests import Request, in_order

D = TypeVar("D")


def ranking(request: Request, documents: Sequence[D], scored: Scored) -> Ranking[D]:
    """The best ``top_k`` documents; ``scored`` covers every distinct text of the request, or is retrieval order."""
    if scored.scores is None:
        positions, scores, asked = list(range(len(documents))), None, 0
    else:
        by_text = scored.scores.tolist()
        positions, asked = in_order(request.places, best_first(by_text)), len(by_text)
        scores = tuple(by_text[request.places[position]] for position in positions[: request.top_k])
    best = tuple(positions[: request.top_k])
    return Ranking(
        documents=tuple(documents[position] for position in best),
        indices=best,
        scores=scores,
        status=Status.FRESH if scored.reason is None else Status.DEGRADED,
        reranker=scored.reranker,
        reason=scored.reason,
        asked=asked,
        rounds=1 if asked else 0,
    )
