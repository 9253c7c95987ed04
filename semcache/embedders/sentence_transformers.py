"""The embedder for sentence-transformers models: by torch, or as ONNX graph in float32 or 8-bit integers."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np

from semcache.embedders.checked import unit_vectors
from semcache.embedders.folder import ModelFolder, read_folder
from semcache.embedders.graphs import graph_of, torch_identity
from semcache.embedders.onnx import SLOW_OPTIMIZERS, OnnxEncoder
from semcache.embedders.torch import TorchEncoder, dims_of, identity_of, is_as_stored, load_sentence_transformer
from semcache.errors import ConfigurationError, EmbedderError, MissingExtraError
from semcache.identity.kinds import IdentifiedBy
from semcache.models import content
from semcache.models.memory import settings_hint, weights_hint
from semcache.models.names import (
    DEFAULT_BACKEND,
    DEFAULT_EMBEDDER,
    EmbedderBackend,
    ModelBackend,
    find_folder,
    packaged,
    required,
    short_name,
    torch_folder,
)
from semcache.models.onnx import open_onnx
from semcache.protocols import FloatArray

_BACKENDS: tuple[EmbedderBackend, ...] = ("auto", *get_args(ModelBackend))
_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")

_logger = logging.getLogger("semcache")


class _Encoder(Protocol):
    def encode(self, texts: Sequence[str]) -> Any: ...


class SentenceTransformerEmbedder:
    """Unit vectors of a sentence-transformers model: a hub name, a folder, or a loaded ``SentenceTransformer``.

    ``backend`` is ``"torch"``, ``"onnx"`` (same vectors within 1e-5, 2.3 times as fast for one query on a CPU),
    ``"onnx-int8"`` (10 times as fast; mean cosine to torch's vectors 0.993), see benchmarks/results/embedding.md, or
    ``"auto"``: onnx where the extra ``onnx`` is installed, no ``device`` is given and the model lets it, else torch. It
    is settled here; ``backend`` of the embedder says how. A model that torch alone can run is left to it. A graph that
    cannot be made is an error for ``"onnx"``; ``"auto"`` logs a warning and takes torch.

    Graphs are made on first use and kept in ``cache_dir`` (default ``$XDG_CACHE_HOME/semcache`` or
    ``~/.cache/semcache``): of BERT and its family in half a second without torch, of other models in some seconds by
    torch. No network is used for it. With extra ``offline`` the default model is on the machine already. ``device`` and
    ``batch_size`` (in texts) are for torch, ``threads`` for ONNX (None: one per core).

    The name holds model, content and backend, since vectors of different backends are not equal: weights, pooling,
    prompt, tokenizer. A loaded model is named by what is in memory, unless that is what its folder has. ``/torch`` at
    the end stands for torch's vectors in float32, whichever library computes them: a graph that was made here gives the
    same ones, so that entries outlive a change between the two. By ONNX a text has the same vector, to the last bit,
    whatever texts come with it. Safe to call from several threads; torch runs one call at a time. Raises
    ConfigurationError for a model that is not found or that the backend cannot run, and MissingExtraError.

    Example:
        embedder = SentenceTransformerEmbedder("BAAI/bge-small-en-v1.5", "onnx-int8")
        embedder.embed(["how many people live in berlin"])  # shape (1, 384)
    """

    def __init__(
        self,
        model: str | Path | Any = DEFAULT_EMBEDDER,
        backend: EmbedderBackend = DEFAULT_BACKEND,
        *,
        device: str | None = None,
        threads: int | None = 1,  # a query is too short to share out; requests at once keep the other cores busy
        batch_size: int = 32,  # sentence-transformers' own default
        cache_dir: str | Path | None = None,
    ) -> None:
        if backend not in _BACKENDS:
            raise ConfigurationError(f"backend must be one of {', '.join(_BACKENDS)}, got {backend!r}")
        cache = Path(cache_dir).expanduser() if cache_dir else None
        # A loaded model comes first: it runs by torch, whatever the backend says.
        if not isinstance(model, (str, Path)):
            self._opened = _of_instance(model, batch_size)
        elif backend == "torch":
            self._opened = _by_torch(model, device, batch_size)
        elif backend == "auto":
            self._opened = _by_either(model, device, threads, batch_size, cache)
        else:
            self._opened = _by_onnx(model, backend, threads, cache)

    @property
    def name(self) -> str:
        """Model, content hash or revision, and backend."""
        return self._opened.name

    @property
    def identified_by(self) -> IdentifiedBy:
        """By content, unless another library runs a loaded model, and keeps its weights."""
        return self._opened.identified_by

    @property
    def dims(self) -> int:
        """Length of the vectors."""
        return self._opened.dims

    @property
    def backend(self) -> ModelBackend:
        """The library and precision that the model runs by; never ``"auto"``."""
        return self._opened.backend

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """One unit vector per text. EmbedderError when the model gives something else."""
        if not texts:
            return np.empty((0, self.dims), dtype=np.float32)
        return unit_vectors(self._opened.encoder.encode(texts), texts, self.dims, self.name)

    def __repr__(self) -> str:
        return f"<SentenceTransformerEmbedder {self.name} by {self.backend}, {self.dims} dims>"


@dataclass(frozen=True, slots=True)
class _Opened:
    encoder: _Encoder
    dims: int
    name: str
    backend: ModelBackend
    identified_by: IdentifiedBy = IdentifiedBy.CONTENT


def _of_instance(model: Any, batch_size: int) -> _Opened:
    dims = dims_of(model)
    if dims is None:
        raise EmbedderError(f"{type(model).__name__} does not say its dims; wrap its encode in CallableEmbedder")
    encoder = TorchEncoder(lambda: model, batch_size)
    source = Path(identity_of(model))
    # A model that is as its folder has it is named by the folder's content, so that both share their entries.
    if source.is_dir() and is_as_stored(model, folder := read_folder(source)):
        return _Opened(encoder, dims, _named(source, torch_identity(folder), folder), "torch")
    weights = weights_hint(model)
    kind = IdentifiedBy.CONTENT if weights else IdentifiedBy.PROBE
    return _Opened(encoder, dims, f"{source.name}@{weights or 'unread'}-{settings_hint(model)}/torch", "torch", kind)


def _named(model: str | Path, identity: str, folder: ModelFolder) -> str:
    """The name of a model whose transformer has this identity; its folder says how it is used."""
    weights, _, runs_by = identity.partition("/")
    return f"{short_name(model)}@{weights}-{content.settings_hint(folder.path)}/{runs_by}"


def _by_either(
    model: str | Path, device: str | None, threads: int | None, batch_size: int, cache: Path | None
) -> _Opened:
    # Only torch has devices, so a caller who names one means torch.
    is_wanted = device is None and all(find_spec(library) for library in ("onnxruntime", "tokenizers", "onnx"))
    # A model that is not here, or that torch alone can run, is no failure of its graph.
    if is_wanted and read_folder(torch_folder(model, _FILES)).is_plain:
        try:
            return _by_onnx(model, "onnx", threads, cache)
        except (ConfigurationError, MissingExtraError) as error:
            _logger.warning("the embedder %s runs by torch, since its ONNX graph cannot be used: %s", model, error)
    return _by_torch(model, device, batch_size)


def _by_torch(model: str | Path, device: str | None, batch_size: int) -> _Opened:
    folder = read_folder(torch_folder(model, _FILES))
    # Dims and name are read from the files, so that exact hits, which need no vector, do not wait for torch to load.
    encoder = TorchEncoder(lambda: load_sentence_transformer(str(folder.path), device), batch_size)
    return _Opened(encoder, folder.dims, _named(model, torch_identity(folder), folder), "torch")


def _by_onnx(model: str | Path, backend: ModelBackend, threads: int | None, cache: Path | None) -> _Opened:
    # Packaged folders lack the file that tells the pooling.
    known = packaged(model, backend)
    folder = read_folder(find_folder(model, backend) or torch_folder(model, _FILES), known.pooling if known else "mean")
    graph = graph_of(folder, backend, cache)
    opened = open_onnx(
        graph.path,
        required(folder.transformer, "tokenizer.json"),
        folder.max_length,
        threads,
        is_lowered=folder.is_lowered,
        unused_optimizers=SLOW_OPTIMIZERS,
    )
    return _Opened(OnnxEncoder(opened, folder), folder.dims, _named(model, graph.identity, folder), backend)
