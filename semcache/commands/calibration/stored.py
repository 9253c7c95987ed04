"""Makes cases of the entries in a running cache: near entries with documents in common, compared without any model."""

from collections.abc import Sequence

import numpy as np

from semcache.commands.calibration.cases import Case, Near
from semcache.commands.calibration.replay import nearest_earlier
from semcache.commands.calibration.scores import Scores
from semcache.entries.entry import StoredEntry
from semcache.protocols import Guard
from semcache.quality.statistics import CUT

MIN_SHARED = CUT
"""Documents that an entry and a neighbour must share: fewer say little about the order of a top 10."""


def stored_cases(entries: Sequence[StoredEntry], guard: Guard, neighbours: int) -> tuple[list[Case], Scores]:
    """A case per entry, oldest first, about the documents that it shares with older near entries; and all scores."""
    # By age, because the older entry is what the newer query would have found. The id decides between equal times, so
    # that the same entries always give the same cases.
    entries = sorted(entries, key=lambda entry: (entry.created_at, entry.id))
    vectors = np.stack([entry.vector for entry in entries])
    cases = []
    for own, found in zip(entries, nearest_earlier(vectors, np.arange(len(entries)), neighbours), strict=True):
        near = tuple(
            Near(other.id, similarity, shared, guard.difference(own.cues, other.cues, similarity) is None)
            for other, similarity in ((entries[row], similarity) for row, similarity in found)
            if len(shared := frozenset(own.scores.keys() & other.scores.keys())) >= MIN_SHARED
        )
        shared_by_any = frozenset[bytes]().union(*(neighbour.known for neighbour in near))
        # An entry without such neighbours still counts among all, with the documents that it knows itself.
        documents = tuple(sorted(shared_by_any or own.scores))
        # Nothing is exact: the case asks what the neighbours alone would have been worth.
        cases.append(Case(own.id, own.query, documents, frozenset(), near))
    return cases, {entry.id: dict(entry.scores) for entry in entries}
