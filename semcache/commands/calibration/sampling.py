"""Chooses which requests are scored, so that rare but decisive ones are among them, and what each then stands for."""

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from semcache.commands.calibration.cases import Case
from semcache.errors import InvalidInputError

# Trust is decided at the top, where requests are few; drawn by chance alone hardly any would be there.
_EDGES = (0.45, 0.60, 0.70, 0.80, 0.90, 0.95, 0.97, 0.99)


@dataclass(frozen=True, slots=True)
class Need:
    """Documents to be scored for one query, in one call."""

    query: str
    fingerprints: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """Cases to be scored, what each stands for (in requests), and the calls that score them, each pair once."""

    cases: tuple[Case, ...]
    weights: tuple[float, ...]
    needs: tuple[Need, ...]

    @property
    def pairs(self) -> int:
        return sum(len(need.fingerprints) for need in self.needs)


def draw_sample(cases: Sequence[Case], max_pairs: int, seed: int) -> Sample:
    """Cases with a neighbour, from every stratum in turn, for at most ``max_pairs`` pairs. Raises InvalidInputError."""
    strata = Counter(map(_stratum, filter(_matters, cases)))
    chosen: list[Case] = []
    needs: list[Need] = []
    planned: dict[str, set[bytes]] = {}
    room = max_pairs
    for case in _in_turn(cases, seed):
        wanted = list(_needed(case, planned))
        price = sum(len(need.fingerprints) for need in wanted)
        if price > room:
            break
        room -= price
        chosen.append(case)
        needs += wanted
        for need in wanted:
            planned.setdefault(need.query, set()).update(need.fingerprints)
    if strata and not chosen:
        raise InvalidInputError(f"max-pairs is {max_pairs}, and the first request alone needs more; raise it")
    drawn_of = Counter(map(_stratum, chosen))
    weights = tuple(strata[_stratum(case)] / drawn_of[_stratum(case)] for case in chosen)
    return Sample(tuple(chosen), weights, tuple(needs))


def _matters(case: Case) -> bool:
    return bool(case.near) and not case.is_exact


def _stratum(case: Case) -> tuple[int, int]:
    return bisect_right(_EDGES, case.reuse_from), bisect_right(_EDGES, case.unguarded_from)


def _in_turn(cases: Sequence[Case], seed: int) -> Iterator[Case]:
    """One of every stratum, then a second of every one, and so on; within a stratum in an order of chance."""
    strata: dict[tuple[int, int], list[Case]] = {}
    for case in filter(_matters, cases):
        strata.setdefault(_stratum(case), []).append(case)
    chance = random.Random(seed)
    for stratum in sorted(strata, reverse=True):
        chance.shuffle(strata[stratum])
    for turn in zip_longest(*(strata[stratum] for stratum in sorted(strata, reverse=True))):
        yield from (case for case in turn if case is not None)


def _needed(case: Case, planned: dict[str, set[bytes]]) -> Iterator[Need]:
    """All documents for the query itself; for a neighbour only those that would be taken from it."""
    wanted = {case.query: set(case.fingerprints)}
    ways = [case.nearest_owners(alike=False), case.nearest_owners(alike=True) if case.trust_from >= 0 else {}]
    for owners in ways:
        for query, documents in owners.items():
            wanted.setdefault(query, set()).update(documents)
    for query, every in wanted.items():
        new = every - planned.get(query, set())
        if new:
            # In the retriever's order, so that equal plans make equal calls.
            yield Need(query, tuple(fingerprint for fingerprint in case.fingerprints if fingerprint in new))
