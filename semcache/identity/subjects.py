"""The subjects that are identified: a reranker or an embedder, asked about the probes that fit it."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from semcache.errors import EmbedderError, RerankerError
from semcache.flow.drive import adrive, drive
from semcache.identity.behaviour import TIGHT, WIDE, Behaviour, Scores, Vector
from semcache.identity.kinds import IdentifiedBy, base_name, identified_by
from semcache.identity.pairs import LONG_AND_OTHERS, LONG_AND_REPEATED, SHORT, TEXT
from semcache.protocols import Embedder, FloatArray, Pair
from semcache.runtime.foreign_errors import awaited, called


class Subject(Protocol):
    """Something under a name. ``base`` is the name with what can be read of it, see ``base_name``."""

    @property
    def name(self) -> str: ...

    @property
    def base(self) -> str: ...

    @property
    def kind(self) -> IdentifiedBy: ...

    @property
    def is_awaited(self) -> bool: ...

    def ask(self) -> Behaviour:
        """Its answers to the probes. Raises what it raises."""
        ...

    async def aask(self) -> Behaviour:
        """``ask`` on the running event loop, of a subject that is awaited."""
        ...


Calls = Generator[Sequence[Pair], FloatArray, Scores]
"""Yields the pairs of a call, is sent their scores, and returns all answers."""


@dataclass(frozen=True, slots=True)
class RerankerSubject:
    """A reranker, asked directly: those that are probed may be called from any thread.

    A ladder of the user's own may stand for it, which is known by its name and never asked.
    """

    reranker: Any

    @property
    def name(self) -> str:
        """The reranker's name."""
        return str(self.reranker.name)

    @property
    def base(self) -> str:
        """The name with what can be read of the reranker."""
        return base_name(self.reranker)

    @property
    def kind(self) -> IdentifiedBy:
        """The kind of evidence that stands behind its name."""
        return identified_by(self.reranker)

    @property
    def is_awaited(self) -> bool:
        """Whether it belongs to the event loop that uses it, as all do that are awaited and do not say otherwise."""
        return hasattr(self.reranker, "ascore_pairs") and getattr(self.reranker, "is_loop_bound", True)

    def ask(self) -> Scores:
        """Its scores of the probe pairs: one call of ten pairs, and one of three unless its content is known.

        Raises what the reranker raises.
        """
        return drive(self._calls(), self._score)

    async def aask(self) -> Scores:
        """``ask``, awaited."""
        return await adrive(self._calls(), self._ascore)

    def _score(self, pairs: Sequence[Pair]) -> Any:
        return called(partial(self.reranker.score, pairs), self.name, RerankerError)

    async def _ascore(self, pairs: Sequence[Pair]) -> Any:
        return await awaited(self.reranker.ascore_pairs(pairs), self.name, RerankerError)

    def _calls(self) -> Calls:
        first = yield SHORT
        if self.kind is IdentifiedBy.CONTENT:
            return Scores(_scores(first), WIDE)
        # Asked only now: some rerankers know by their first answer whether they score or order.
        is_listwise = self.reranker.listwise
        second = yield LONG_AND_OTHERS if is_listwise else LONG_AND_REPEATED
        return Scores(np.concatenate([_scores(first), _scores(second)]), TIGHT, is_listwise)


class EmbedderSubject:
    """An embedder, asked for one text, unless it was asked for that when it was made (``probe_vector``)."""

    is_awaited = False

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self._vector: FloatArray | None = getattr(embedder, "probe_vector", None)

    @property
    def name(self) -> str:
        """The embedder's name."""
        return self.embedder.name

    @property
    def base(self) -> str:
        """The name with what can be read of the embedder."""
        return base_name(self.embedder)

    @property
    def kind(self) -> IdentifiedBy:
        """The kind of evidence that stands behind its name."""
        return identified_by(self.embedder)

    def ask(self) -> Vector:
        """Its vector of the probe text. Raises what the embedder raises."""
        vector, self._vector = self._vector, None
        if vector is None:
            (vector,) = called(partial(self.embedder.embed, [TEXT]), self.name, EmbedderError)
        return Vector.by_content(vector) if self.kind is IdentifiedBy.CONTENT else Vector(vector)

    async def aask(self) -> Vector:
        """Embedders are never awaited."""
        return self.ask()


def _scores(answer: Any) -> FloatArray:
    return np.asarray(answer, dtype=np.float32)
