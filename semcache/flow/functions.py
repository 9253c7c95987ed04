"""The functions that calls are made of: of an embedder, a ladder and a store, for threads or for event loops."""

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from semcache.flow.steps import Lease
from semcache.protocols import FloatArray, Scored


class EmbedTexts(Protocol):
    """``embed`` of a backend, or its ``aembed``. ``timeout_s`` is only passed for requests with a deadline."""

    def __call__(self, texts: Sequence[str], timeout_s: float | None = None) -> FloatArray | Awaitable[FloatArray]: ...


class ScoreDocuments(Protocol):
    """``score`` of a ladder, or its ``ascore``."""

    def __call__(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored | Awaitable[Scored]: ...


class FindNear(Protocol):
    """``find_near`` of a store; of one for event loops it is awaited."""

    def __call__(
        self,
        tenant: str,
        vectors: Sequence[FloatArray],
        k: int,
        min_similarity: float,
        documents: Sequence[Sequence[bytes]],
        lease: Lease | None = None,
        former: FloatArray | None = None,
    ) -> Any: ...
