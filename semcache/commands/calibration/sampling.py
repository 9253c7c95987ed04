"""Chooses which requests are scored, so that rare but decisive ones are among them, and how many each stands for."""

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from semcache.commands.calibration.cases import Case
from semcache.errors import InvalidInputError

# Bounds of similarity between strata. Trust is decided near 1, where requests are few: a sample drawn from all
# requests alike would have hardly any of them.
_EDGES = (0.45, 0.60, 0.70, 0.80, 0.90, 0.95, 0.97, 0.99)


@dataclass(frozen=True, slots=True)
class Call:
    """Documents that the reranker scores for one query in one call."""

    query: str
    fingerprints: tuple[bytes, ...]

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.fingerprints)


@dataclass(frozen=True, slots=True)
class Sample:
    """``weights`` says how many requests each case stands for. ``calls`` score all cases, each pair once."""

    cases: tuple[Case, ...]
    weights: tuple[float, ...]
    calls: tuple[Call, ...]

    @property
    def pairs(self) -> int:
        """Pairs that the calls score."""
        return sum(map(len, self.calls))


def draw_sample(cases: Sequence[Case], max_pairs: int, seed: int) -> Sample:
    """Draw cases with a neighbour, from every stratum in turn, for at most ``max_pairs`` pairs.

    Raises InvalidInputError when not even the first case can be scored with so few pairs.
    """
    candidates = _in_turn(cases, seed)
    chosen: list[Case] = []
    calls: list[Call] = []
    planned: dict[str, set[bytes]] = {}
    left = max_pairs
    for case in candidates:
        needed = [
            # In the retriever's order, since a set has none: equal plans then make equal calls, and equal batches.
            Call(query, tuple(fingerprint for fingerprint in case.fingerprints if fingerprint in new))
            for query, documents in case.needed().items()
            if (new := documents - planned.get(query, set()))
        ]
        left -= sum(map(len, needed))
        # Stops here instead of looking for a cheaper case: the sample would otherwise prefer cases of few documents.
        if left < 0:
            break
        chosen.append(case)
        calls += needed
        for call in needed:
            planned.setdefault(call.query, set()).update(call.fingerprints)
    if candidates and not chosen:
        raise InvalidInputError(f"max-pairs is {max_pairs}, and the first request alone needs more; raise it")
    # A case stands for its share of its stratum, so that weighted means are means over all requests.
    existing, drawn = Counter(map(_stratum, candidates)), Counter(map(_stratum, chosen))
    weights = tuple(existing[_stratum(case)] / drawn[_stratum(case)] for case in chosen)
    return Sample(tuple(chosen), weights, tuple(calls))


def _stratum(case: Case) -> tuple[int, int]:
    # By both thresholds that it could be a hit of. Without the guard, since what the guard refuses is compared too.
    return bisect_right(_EDGES, case.reuse_from), bisect_right(_EDGES, case.unguarded_from)


def _in_turn(cases: Sequence[Case], seed: int) -> list[Case]:
    """One case of every stratum, then a second of every one, and so on. Within a stratum the order is random."""
    strata: dict[tuple[int, int], list[Case]] = {}
    for case in cases:
        # The answer to an exact case, or to one without neighbours, is the same at every threshold.
        if case.near and not case.is_exact:
            strata.setdefault(_stratum(case), []).append(case)
    # Highest similarities first, since a small sample must have those at least.
    ordered = [strata[stratum] for stratum in sorted(strata, reverse=True)]
    chance = random.Random(seed)
    for members in ordered:
        chance.shuffle(members)
    return [case for turn in zip_longest(*ordered) for case in turn if case is not None]
