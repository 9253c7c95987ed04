"""A sentence-transformers model by torch, behind a lock, since its tokenizer may not be shared by threads."""

from collections.abc import Callable, Sequence
from typing import Any

from semcache.errors import MissingExtraError
from semcache.models.foreign import has_methods
from semcache.models.loading import without_progress_bars
from semcache.models.texts import readable
from semcache.runtime.forking import ForkSafeLock
from semcache.runtime.threads import in_fresh_thread

# A SentenceTransformer's methods for its dims; older releases know only the longer name.
_DIMS_METHODS = ("get_embedding_dimension", "get_sentence_embedding_dimension")


class TorchEncoder:
    """Encodes by a SentenceTransformer that ``load`` gives when the first text comes; it is called once."""

    def __init__(self, load: Callable[[], Any], batch_size: int) -> None:
        self._load = load
        self._batch_size = batch_size
        self._lock = ForkSafeLock()
        self._model: Any = None

    def encode(self, texts: Sequence[str]) -> Any:
        """One vector per text, as the model gives it."""
        # The lock covers loading, too: callers that come meanwhile would load the model again beside the first.
        with self._lock:
            if self._model is None:
                self._model = self._load()
            model = self._model
            readables = [readable(text, getattr(model, "max_seq_length", None)) for text in texts]
            return in_fresh_thread(
                lambda: model.encode(
                    readables, batch_size=self._batch_size, show_progress_bar=False, convert_to_numpy=True
                )
            )


def load_sentence_transformer(source: str, device: str | None) -> Any:
    """A SentenceTransformer of a folder or hub name. ``device`` None lets the library choose."""
    # Imported with the first model that needs them: sentence-transformers and torch take most of the 6 s until the
    # first answer (benchmarks/results/startup.md).
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "all") from error
    with without_progress_bars():
        return SentenceTransformer(source, device=device)


def is_sentence_transformer(model: Any) -> bool:
    """Whether an object encodes texts and can say its dims as a SentenceTransformer does."""
    # By its methods, since a test of its class would import sentence-transformers.
    return has_methods(model, "encode") and any(has_methods(model, method) for method in _DIMS_METHODS)


def dims_of(model: Any) -> int | None:
    """Length of the vectors, or None if the model does not say."""
    for method in _DIMS_METHODS:
        if has_methods(model, method):
            dims = getattr(model, method)()
            return None if dims is None else int(dims)
    return None


def identity_of(model: Any) -> str:
    """Name and revision of a SentenceTransformer, as far as the loaded model remembers them."""
    # Its first module wraps the transformer; only the transformer's configuration knows where it was loaded from.
    config = getattr(getattr(next(iter(model), None), "auto_model", None), "config", None)
    name = getattr(config, "_name_or_path", None) or type(model).__name__
    revision = getattr(config, "_commit_hash", None)
    return f"{name}@{revision[:8]}" if revision else str(name)
