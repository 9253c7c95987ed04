"""The embedder for sentence-transformers models: by torch, or as ONNX graph in float32 or 8-bit integers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np

from semcache.embedders.checked import unit_vectors
from semcache.embedders.folder import ModelFolder, read_folder
from semcache.embedders.graphs import graph_of
from semcache.embedders.onnx import OnnxEncoder
from semcache.embedders.torch import TorchEncoder, dims_of, identity_of, load_sentence_transformer
from semcache.errors import ConfigurationError, EmbedderError
from semcache.models.names import (
    DEFAULT_BACKEND,
    DEFAULT_EMBEDDER,
    WEIGHTS,
    ModelBackend,
    content_hint,
    find_folder,
    folder_of,
    packaged,
    required,
    short_name,
)
from semcache.models.onnx import open_onnx
from semcache.protocols import FloatArray

_BACKENDS: tuple[ModelBackend, ...] = get_args(ModelBackend)
_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")


class _Encoder(Protocol):
    def encode(self, texts: Sequence[str]) -> Any: ...


class SentenceTransformerEmbedder:
    """Unit vectors of a sentence-transformers model: a hub name, a folder, or a loaded ``SentenceTransformer``.

    ``backend`` is ``"torch"``, ``"onnx"`` (same vectors, 2.5 times as fast for one query on a CPU) or ``"onnx-int8"``
    (4.4 times as fast; mean cosine to torch's vectors 0.992), see benchmarks/results/embedding.md. The latter two need
    no torch once their graph is made. Graphs are made on first use and kept in ``cache_dir`` (default
    ``$XDG_CACHE_HOME/semcache`` or ``~/.cache/semcache``). With extra ``offline`` the default model is on the machine
    already. ``device`` is for torch, ``threads`` for ONNX (None: one per core). ``batch_size`` is in texts.

    The name holds model, content hash and backend, since vectors of different backends are not equal. Safe to call
    from several threads; torch runs one call at a time. Raises ConfigurationError for a model that is not found or
    that the backend cannot run, and MissingExtraError.

    Example:
        embedder = SentenceTransformerEmbedder("BAAI/bge-small-en-v1.5", "onnx-int8")
        embedder.embed(["how many people live in berlin"])  # shape (1, 384)
    """

    def __init__(
        self,
        model: str | Path | Any = DEFAULT_EMBEDDER,
        backend: ModelBackend = DEFAULT_BACKEND,
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
            self._encoder, self._dims, self._name = _of_instance(model, batch_size)
        elif backend == "torch":
            self._encoder, self._dims, self._name = _by_torch(model, device, batch_size)
        else:
            self._encoder, self._dims, self._name = _by_onnx(model, backend, threads, batch_size, cache)

    @property
    def name(self) -> str:
        """Model, content hash or revision, and backend."""
        return self._name

    @property
    def dims(self) -> int:
        """Length of the vectors."""
        return self._dims

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """One unit vector per text. EmbedderError when the model gives something else."""
        if not texts:
            return np.empty((0, self._dims), dtype=np.float32)
        return unit_vectors(self._encoder.encode(texts), texts, self._dims, self._name)

    def __repr__(self) -> str:
        return f"<SentenceTransformerEmbedder {self._name}, {self._dims} dims>"


_Opened = tuple[_Encoder, int, str]
"""(encoder, dims, name)"""


def _of_instance(model: Any, batch_size: int) -> _Opened:
    dims = dims_of(model)
    if dims is None:
        raise EmbedderError(f"{type(model).__name__} does not say its dims; wrap its encode in CallableEmbedder")
    # A model that was loaded from a folder is named by the folder's content, so that both share their entries.
    name = identity_of(model)
    if Path(name).is_dir():
        name = _content_name(Path(name).name, read_folder(Path(name)))
    return TorchEncoder(lambda: model, batch_size), dims, f"{name}/torch"


def _by_torch(model: str | Path, device: str | None, batch_size: int) -> _Opened:
    folder = read_folder(_folder(model, "torch"))
    # Dims and name are read from the files, so that exact hits, which need no vector, do not wait for torch to load.
    encoder = TorchEncoder(lambda: load_sentence_transformer(str(folder.path), device), batch_size)
    return encoder, folder.dims, f"{_content_name(short_name(model), folder)}/torch"


def _by_onnx(
    model: str | Path, backend: ModelBackend, threads: int | None, batch_size: int, cache: Path | None
) -> _Opened:
    # Packaged folders lack the file that tells the pooling.
    known = packaged(model, backend)
    folder = read_folder(_folder(model, backend), known.pooling if known else "mean")
    graph = graph_of(folder, backend, cache)
    opened = open_onnx(graph.path, required(folder.transformer, "tokenizer.json"), folder.max_length, threads)
    encoder = OnnxEncoder(opened, folder.pooling, folder.dims, batch_size)
    return encoder, folder.dims, f"{short_name(model)}@{graph.identity}"


def _folder(model: str | Path, backend: ModelBackend) -> Path:
    """The model's folder, with weights; fetched from the hub if it is not on this machine."""
    found = find_folder(model, backend)
    if found:
        return found
    folder = folder_of(model, "torch", _FILES)
    # Older models have their weights in a pickle alone. It is fetched only then, since many models have both.
    if not (folder / "model.safetensors").is_file():
        folder = folder_of(model, "torch", (*_FILES, "pytorch_model.bin"))
    return folder


def _content_name(name: str, folder: ModelFolder) -> str:
    return f"{name}@{content_hint(required(folder.transformer, *WEIGHTS), required(folder.transformer, 'config.json'))}"
