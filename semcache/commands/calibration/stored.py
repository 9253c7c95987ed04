"""Makes cases of entries in a running cache: near entries with documents in common, compared without any model."""

from collections.abc import Sequence

import numpy as np

from semcache.commands.calibration.cases import Case, Near
from semcache.commands.calibration.replay import nearest_earlier
from semcache.commands.calibration.scores import Scores
from semcache.entries.entry import StoredEntry
from semcache.protocols import Guard
from semcache.quality.statistics import CUT

MIN_SHARED = CUT
"""Documents that an entry and its neighbours must share: fewer say little about an order of ten."""


def stored_cases(entries: Sequence[StoredEntry], guard: Guard, neighbours: int) -> tuple[list[Case], Scores]:
    """A case per entry, oldest first, about the documents that it shares with older near entries; and all scores."""
    entries = sorted(entries, key=lambda entry: (entry.created_at, entry.id))
    vectors = np.stack([entry.vector for entry in entries])
    found = nearest_earlier(vectors, np.arange(len(entries)), neighbours)
    cases = [_case(entries, at, near, guard) for at, near in enumerate(found)]
    return cases, {entry.id: dict(entry.scores) for entry in entries}


def _case(entries: Sequence[StoredEntry], at: int, found: Sequence[tuple[int, float]], guard: Guard) -> Case:
    own = entries[at]
    near = tuple(
        Near(entries[other].id, similarity, shared, guard.difference(own.cues, entries[other].cues) is None)
        for other, similarity in found
        if len(shared := frozenset(own.scores.keys() & entries[other].scores.keys())) >= MIN_SHARED
    )
    shared = frozenset[bytes]().union(*(one.known for one in near))
    # Without neighbours the entry still counts among all, with what it knows.
    documents = tuple(sorted(shared or own.scores))
    return Case(own.id, own.query, documents, frozenset(), near)
