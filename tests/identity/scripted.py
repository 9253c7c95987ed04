"""Subjects that answer what a test says, and records without a Redis."""

from collections.abc import Callable, Sequence

import numpy as np

from semcache.errors import StoreUnavailableError
from semcache.identity.behaviour import TIGHT, Scores
from semcache.identity.kinds import IdentifiedBy

COUNT = 13
"""Scores of a pointwise reranker: ten of the first call, and three of the second."""


def scores(*first: float, tolerance: float = TIGHT, listwise: bool = False, repeated: float = 0.0) -> Scores:
    """Answers that begin so; all others are 1, 2, 3, and the repeated pair's two scores are this far apart."""
    values = np.arange(COUNT, dtype=np.float32)
    values[: len(first)] = first
    values[-1] = values[-2] + repeated
    return Scores(values, tolerance, listwise)


class MemoryVariants:
    """Records in a dictionary. ``is_away`` makes every call fail."""

    def __init__(self) -> None:
        self.records: dict[str, list[bytes]] = {}
        self.is_away = False

    def read(self, base: str, length: int) -> list[bytes]:
        if self.is_away:
            raise StoreUnavailableError("scripted outage")
        return list(self.records.get(base, ()))

    def add(self, base: str, record: bytes) -> list[bytes]:
        known = self.read(base, len(record))
        self.records.setdefault(base, []).append(record)
        return [*known, record]


class ScriptedSubject:
    """Answers with ``ask``, which a test may replace."""

    name = "scorer"
    is_awaited = False

    def __init__(self, kind: IdentifiedBy, answer: Callable[[], Scores], base: str = "scorer#1") -> None:
        self.kind = kind
        self.base = base
        self.answer = answer
        self.asked = 0

    def ask(self) -> Scores:
        self.asked += 1
        return self.answer()

    async def aask(self) -> Scores:
        return self.ask()


def in_turn(answers: Sequence[Scores]) -> Callable[[], Scores]:
    """Each answer once, in order."""
    return iter(answers).__next__
