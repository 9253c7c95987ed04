"""An outcome as the caller gets it: the caller's own documents in order."""

from collections.abc import Sequence
from typing import TypeVar

from semcache.flow.requests import Request, by_position, caller_positions
from semcache.flow.rerank import Outcome
from semcache.ranking import Ranking

D = TypeVar("D")


def ranking(request: Request, documents: Sequence[D], outcome: Outcome) -> Ranking[D]:
    """The best ``top_k`` documents, equal texts side by side in the caller's order."""
    best = tuple(caller_positions(request.places, outcome.order)[: request.top_k])
    scores = outcome.scores
    documents = by_position(documents)
    return Ranking(
        documents=tuple(documents[index] for index in best),
        indices=best,
        scores=None if scores is None else tuple(scores[request.places[index]] for index in best),
        status=outcome.status,
        reranker=outcome.reranker,
        reason=outcome.reason,
        similarity=outcome.similarity,
        asked=outcome.asked,
        reused=outcome.reused,
        rounds=outcome.rounds,
        drift=outcome.drift,
    )
