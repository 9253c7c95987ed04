"""The embedder for a plain function, of many texts or of one."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from semcache.embedders.checked import as_rows, unit_vectors
from semcache.errors import InvalidInputError
from semcache.identity.code import read_function
from semcache.identity.kinds import IdentifiedBy
from semcache.identity.pairs import TEXT
from semcache.models.texts import encodable
from semcache.protocols import FloatArray
from semcache.runtime.forking import ForkSafeLock


class CallableEmbedder:
    """Unit vectors of ``function(texts) -> vectors``, or with ``per_text=True`` of ``function(text) -> vector``.

    With ``per_text`` None the function is called once with a list of one text; if that fails or gives no matrix, the
    function takes one text. With ``dims`` None it is called once, to see the length of its vectors. That vector also
    tells it from other functions of its name; with ``dims`` it is asked for when it first embeds something. ``name``
    replaces the name of the function, and is needed for lambdas and partials, which have none. One call at a time.
    Raises InvalidInputError for a function without a name.

    Example:
        CallableEmbedder(lambda text: client.embed(text), dims=768, name="our-service/v2", per_text=True)
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        dims: int | None = None,
        name: str | None = None,
        *,
        per_text: bool | None = None,
    ) -> None:
        if not name:
            qualified = getattr(function, "__qualname__", None)
            if not qualified or "<lambda>" in qualified:
                raise InvalidInputError(f"{function!r} has no name that tells models apart; pass name='...'")
            name = f"{function.__module__}.{qualified}"
        self._function = function
        self._name = name
        reading = read_function(function)
        self.content: str = reading.digest
        # A function may hold a model that threads cannot share, or a client that they can; it does not say.
        self._lock = ForkSafeLock()
        self._per_text = self._takes_one_text() if per_text is None else per_text
        # With dims it is asked nothing now. What vectors of its name mean is then known by the first that comes.
        unread = IdentifiedBy.CONTENT if dims else IdentifiedBy.PROBE
        self.identified_by = IdentifiedBy.CODE if reading.is_whole else unread
        self.probe_vector: FloatArray | None = None
        if not dims:
            first = self._vectors([TEXT])
            dims = as_rows(first, self._name).shape[1]
            self.probe_vector = unit_vectors(first, [TEXT], dims, self._name)[0]
        self._dims = dims

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
        # Many models fail on an empty batch.
        if not texts:
            return np.empty((0, self.dims), dtype=np.float32)
        return unit_vectors(self._vectors([encodable(text) for text in texts]), texts, self.dims, self._name)

    def _takes_one_text(self) -> bool:
        # Type hints would tell without a call, but few functions have them, and some of those are wrong.
        try:
            vectors = self._function([TEXT])
        except (TypeError, AttributeError, ValueError):  # functions of a string raise these when they get a list
            return True
        return np.ndim(vectors) != 2

    def _vectors(self, texts: list[str]) -> Any:
        with self._lock:
            return [self._function(text) for text in texts] if self._per_text else self._function(texts)

    def __repr__(self) -> str:
        return f"<CallableEmbedder {self._name}, {self._dims} dims>"
