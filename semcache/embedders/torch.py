"""A sentence-transformers model by torch, behind a lock, since its tokenizer may not be shared by threads."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

from semcache.errors import MissingExtraError
from semcache.models.loading import without_progress_bars
from semcache.models.texts import readable

DIMS_METHODS = ("get_embedding_dimension", "get_sentence_embedding_dimension")
"""How a SentenceTransformer is asked for dims; older releases know only the longer name."""


class TorchEncoder:
    """Loads the model when the first text comes, or when dims are asked for that no folder told.

    ``load`` gives a SentenceTransformer; it is called once.
    """

    def __init__(self, load: Callable[[], Any], batch_size: int) -> None:
        self._load = load
        self._batch_size = batch_size
        self._lock = Lock()
        self._model: Any = None

    def model(self) -> Any:
        """The SentenceTransformer, loaded now if need be."""
        with self._lock:
            return self._loaded()

    def encode(self, texts: Sequence[str]) -> Any:
        """One vector per text, as the model gives it."""
        with self._lock:
            model = self._loaded()
            return model.encode(
                [readable(text, getattr(model, "max_seq_length", None)) for text in texts],
                batch_size=self._batch_size,
                show_progress_bar=False,
                convert_to_numpy=True,
            )

    def _loaded(self) -> Any:
        if self._model is None:
            self._model = self._load()
        return self._model


def load_sentence_transformer(source: str, device: str | None) -> Any:
    """A SentenceTransformer of a folder or hub name. ``device`` None lets the library choose."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "all") from error
    with without_progress_bars():
        return SentenceTransformer(source, device=device)


def dims_of(model: Any) -> int | None:
    """Length of the vectors, or None if the model does not say."""
    for method in DIMS_METHODS:
        ask = getattr(model, method, None)
        if callable(ask):
            dims = ask()
            return None if dims is None else int(dims)
    return None


def identity_of(model: Any) -> str:
    """Name and revision of a SentenceTransformer, as far as the loaded model remembers them."""
    config = getattr(getattr(next(iter(model), None), "auto_model", None), "config", None)
    name = getattr(config, "_name_or_path", None) or type(model).__name__
    revision = getattr(config, "_commit_hash", None)
    return f"{name}@{revision[:8]}" if revision else str(name)
