"""The embedder for a plain function, of many texts or of one."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import numpy as np

from semcache.embedders.checked import as_rows, unit_vectors
from semcache.errors import InvalidInputError
from semcache.models.texts import encodable
from semcache.protocols import FloatArray


class CallableEmbedder:
    """Unit vectors of ``function(texts) -> vectors``, or with ``one=True`` of ``function(text) -> vector``.

    ``one`` None finds out: the function is called once with a list of one text and, if that fails or gives no matrix,
    with the text. ``dims`` None is found out by the same call. ``name`` identifies what is behind the function, and is
    needed for lambdas and partials, which have none: vectors of different models under one name would meet. One call
    at a time.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        dims: int | None = None,
        name: str | None = None,
        *,
        one: bool | None = None,
    ) -> None:
        self._function = function
        self._lock = Lock()
        self._name = name or _name_of(function)
        self._one = self._takes_one() if one is None else one
        self._dims = dims or as_rows(self._vectors(["dims"]), self._name).shape[1]

    @property
    def name(self) -> str:
        """The name given, or the function's."""
        return self._name

    @property
    def dims(self) -> int:
        """Length of the vectors."""
        return int(self._dims)

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """One unit vector per text. EmbedderError when the function gives something else."""
        if not texts:
            return np.empty((0, self.dims), dtype=np.float32)
        return unit_vectors(self._vectors([encodable(text) for text in texts]), texts, self.dims, self._name)

    def _takes_one(self) -> bool:
        try:
            vectors = self._function(["dims"])
        except (TypeError, AttributeError, ValueError):  # what str functions raise when they get a list
            return True
        return np.ndim(vectors) != 2

    def _vectors(self, texts: list[str]) -> Any:
        with self._lock:
            return [self._function(text) for text in texts] if self._one else self._function(texts)

    def __repr__(self) -> str:
        return f"<CallableEmbedder {self._name}, {self._dims} dims>"


def _name_of(function: Any) -> str:
    qualified = getattr(function, "__qualname__", None)
    if not qualified or "<lambda>" in qualified:
        raise InvalidInputError(f"{function!r} has no name that tells models apart; pass name='...'")
    return f"{function.__module__}.{qualified}"
