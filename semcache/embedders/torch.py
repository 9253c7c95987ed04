"""A sentence-transformers model by torch, behind a lock, since its tokenizer may not be shared by threads."""

from collections.abc import Callable, Sequence
from typing import Any

from semcache.embedders.folder import ModelFolder
from semcache.errors import MissingExtraError
from semcache.models.foreign import has_methods
from semcache.models.loading import without_progress_bars
from semcache.models.texts import readable
from semcache.runtime.forking import ForkSafeLock, forks_wait
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
        with self._lock, forks_wait():
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


def is_as_stored(model: Any, folder: ModelFolder) -> bool:
    """Whether a loaded model is what its folder holds, and runs as the folder says: nothing was trained or set since.

    Every weight is compared; 90 MB take some 0.1 s.
    """
    prompts = getattr(model, "prompts", None) or {}
    if (
        (prompts.get(getattr(model, "default_prompt_name", None)) or "") != folder.prompt
        or getattr(model, "max_seq_length", None) != folder.max_length
        or (getattr(model, "truncate_dim", None) or folder.dims) != folder.dims
    ):
        return False
    transformer, *others = model
    weights = folder.transformer / "model.safetensors"
    # Modules after the transformer that have weights of their own are rare, and not compared.
    if not weights.is_file() or any(module.state_dict() for module in others):
        return False
    from safetensors import safe_open

    loaded = getattr(transformer, "auto_model", transformer).state_dict()
    with safe_open(str(weights), "pt") as stored:
        # Older files hold a few constants, which newer libraries compute.
        names = set(stored.keys()) & set(loaded)
        return set(loaded) <= names and all(_are_equal(stored.get_tensor(name), loaded[name]) for name in names)


def _are_equal(stored: Any, loaded: Any) -> bool:
    plain = loaded.detach().cpu()
    return bool(plain.dtype == stored.dtype and plain.shape == stored.shape and (plain == stored).all())


def identity_of(model: Any) -> str:
    """Where a SentenceTransformer was loaded from, as far as it remembers: a folder or a hub name; else its class."""
    # Its first module wraps the transformer; only the transformer's configuration knows.
    config = getattr(getattr(next(iter(model), None), "auto_model", None), "config", None)
    return str(getattr(config, "_name_or_path", None) or type(model).__name__)
