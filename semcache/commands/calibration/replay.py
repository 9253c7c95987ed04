"""Goes through a log as a cache would: which queries were near, and what was known, when each request came."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from semcache.commands.calibration.cases import LOWEST, Case, Near
from semcache.commands.calibration.log import Logged
from semcache.entries.fingerprint import document_fingerprint, entry_id, normalised_query
from semcache.protocols import FloatArray, Guard

# Requests that are compared with all queries at once: 20 MB of similarities for 10,000 queries.
_BLOCK = 512


def query_name(query: str) -> str:
    """The name of a query in scores and state files: no text, and the same for equal normalised queries."""
    return entry_id("", query)


def distinct_queries(log: Sequence[Logged]) -> list[str]:
    """The first wording of every distinct query, in the order of their first requests."""
    first: dict[str, str] = {}
    for logged in log:
        first.setdefault(normalised_query(logged.query), logged.query)
    return list(first.values())


def replay(log: Sequence[Logged], vectors: FloatArray, guard: Guard, neighbours: int) -> list[Case]:
    """One case per request. ``vectors`` has a unit vector per distinct query, or zeros for one that is never near.

    Every earlier query counts as remembered with all of its candidates, as if no entry had expired and none had been
    answered by verification, which scores a part of the candidates only.
    """
    queries = distinct_queries(log)
    row_of = {normalised_query(query): row for row, query in enumerate(queries)}
    rows = np.array([row_of[normalised_query(logged.query)] for logged in log])
    names = [query_name(query) for query in queries]
    cues = [guard.cues(query) for query in queries]
    known: list[set[bytes]] = [set() for _ in queries]
    cases = []
    for logged, row, found in zip(log, rows.tolist(), nearest_earlier(vectors, rows, neighbours), strict=True):
        fingerprints = tuple(map(document_fingerprint, logged.documents))
        near = [
            Near(names[other], similarity, shared, guard.difference(cues[row], cues[other], similarity) is None)
            for other, similarity in found
            # A neighbour without one of these documents has nothing to reuse.
            if (shared := frozenset(known[other].intersection(fingerprints)))
        ]
        exact = frozenset(known[row].intersection(fingerprints))
        cases.append(Case(names[row], logged.query, fingerprints, exact, tuple(near)))
        # Only now: a request must not find what it scores itself.
        known[row].update(fingerprints)
    return cases


def nearest_earlier(vectors: FloatArray, rows: NDArray[np.intp], k: int) -> Iterator[list[tuple[int, float]]]:
    """For every request the ``k`` nearest other queries asked before it, as (row, similarity), nearest first.

    ``rows`` says which row of ``vectors`` each request asks; rows are in the order of their first requests. Queries
    below the similarity LOWEST are left out.
    """
    # Rows are numbered by first request, so the queries asked before a request are a prefix of the rows.
    seen = np.concatenate(([0], np.maximum.accumulate(rows)[:-1] + 1))
    for start in range(0, len(rows), _BLOCK):
        asked = rows[start : start + _BLOCK]
        block = vectors[asked] @ vectors.T
        for cosines, own, count in zip(block, asked, seen[start : start + _BLOCK], strict=True):
            cosines[own] = -1.0  # a query is no neighbour of itself
            earlier = cosines[:count]
            near = np.flatnonzero(earlier >= LOWEST)
            nearest = near[np.argsort(-earlier[near], kind="stable")[:k]]
            # Rounding makes cosines of unit vectors a little larger than 1.
            yield [(int(row), min(float(earlier[row]), 1.0)) for row in nearest]
