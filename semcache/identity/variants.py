"""The scopes that stand under one name, as the records of a namespace tell; nothing is asked about the probes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from semcache.identity.behaviour import Behaviour, Scores, Vector
from semcache.identity.kinds import IdentifiedBy, base_name, identified_by
from semcache.identity.pairs import LONG_AND_REPEATED, SHORT
from semcache.protocols import Embedder


def reranker_blank(reranker: Any) -> Behaviour:
    """Answers of the shape that records of a reranker have."""
    is_content = identified_by(reranker) is IdentifiedBy.CONTENT
    length = len(SHORT) + (0 if is_content else len(LONG_AND_REPEATED))
    return Scores(np.zeros(length, dtype=np.float32), listwise=not is_content and bool(reranker.listwise))


def embedder_blank(embedder: Embedder) -> Behaviour:
    """Answers of the shape that records of an embedder have."""
    return Vector(np.zeros(embedder.dims, dtype=np.float32))


def scopes_under(scorer: Any, blank: Behaviour, records: Sequence[bytes]) -> list[str]:
    """The scopes of all that ever had this scorer's name, the first one first; ``settle`` says how they are named.

    Which of them is the scorer's own only its answers tell, where there are several.
    """
    base = base_name(scorer)
    ids = [blank.of(record).id() for record in records]
    if identified_by(scorer) is IdentifiedBy.PROBE:
        return [f"{base}~{each}" for each in ids]
    return [base, *(f"{base}~{each}" for each in ids[1:])]
