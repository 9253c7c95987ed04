"""Goes through a log as a cache would have: who was near, and what was known, when each request came."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from semcache.commands.calibration.cases import LOWEST, Case, Near
from semcache.commands.calibration.log import Logged
from semcache.entries.fingerprint import document_fingerprint, entry_id, normalised_query
from semcache.protocols import FloatArray, Guard

_BLOCK = 512
"""Requests compared with all queries at once: 20 MB of similarities for 10,000 queries."""


def query_name(query: str) -> str:
    """What a query is called in scores and state files: no text, and the same for what is the same query."""
    return entry_id("", query)


def distinct_queries(log: Sequence[Logged]) -> list[str]:
    """The first wording of every distinct query, in the order of their first requests."""
    first: dict[str, str] = {}
    for logged in log:
        first.setdefault(normalised_query(logged.query), logged.query)
    return list(first.values())


def replay(log: Sequence[Logged], vectors: FloatArray, guard: Guard, neighbours: int) -> list[Case]:
    """One case per request. ``vectors`` has a unit vector per distinct query, or zeros for one that is never near.

    Every earlier query counts as remembered with all of its candidates: no entry has expired, none was only verified.
    """
    queries = distinct_queries(log)
    place_of = {normalised_query(query): place for place, query in enumerate(queries)}
    places = np.array([place_of[normalised_query(logged.query)] for logged in log])
    names = [query_name(query) for query in queries]
    cues = [guard.cues(query) for query in queries]
    known: list[set[bytes]] = [set() for _ in queries]
    cases = []
    for logged, place, found in zip(log, places.tolist(), nearest_earlier(vectors, places, neighbours), strict=True):
        fingerprints = tuple(map(document_fingerprint, logged.documents))
        near = [
            Near(names[at], similarity, shared, guard.difference(cues[place], cues[at]) is None)
            for at, similarity in found
            if (shared := frozenset(known[at].intersection(fingerprints)))
        ]
        exact = frozenset(known[place].intersection(fingerprints))
        cases.append(Case(names[place], logged.query, fingerprints, exact, tuple(near)))
        known[place].update(fingerprints)
    return cases


def nearest_earlier(vectors: FloatArray, places: NDArray[np.intp], k: int) -> Iterator[list[tuple[int, float]]]:
    """For every request the k nearest other queries asked before it, nearest first, from LOWEST on.

    ``places`` says which row of ``vectors`` each request asks; rows are in the order of their first requests.
    """
    seen = np.concatenate(([0], np.maximum.accumulate(places)[:-1] + 1))
    for start in range(0, len(places), _BLOCK):
        asked = places[start : start + _BLOCK]
        cosines = vectors[asked] @ vectors.T
        for row, place, before in zip(cosines, asked, seen[start : start + _BLOCK], strict=True):
            row[place] = -1.0
            yield _best(row[:before], k)


def _best(row: FloatArray, k: int) -> list[tuple[int, float]]:
    near = np.flatnonzero(row >= LOWEST)
    best = near[np.argsort(-row[near], kind="stable")[:k]]
    # Rounding makes cosines of unit vectors a little larger than 1.
    return [(int(at), min(float(row[at]), 1.0)) for at in best]
