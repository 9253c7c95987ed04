"""Finds the ONNX graph of a model: in its folder, else in the user's cache directory, else it is made now."""

import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from semcache.causes import message_of
from semcache.embedders.bert import is_bert, weights_type, write_bert
from semcache.embedders.export import export, quantise
from semcache.embedders.folder import ModelFolder
from semcache.errors import ConfigurationError
from semcache.models.names import GRAPHS, ModelBackend, content_hint, read_json, required, weight_files
from semcache.models.onnx import is_quantised

_RECIPE = "3"  # part of the file name: a graph that an older version of this room made is made again

_MAX_BYTES = 2**31 - 2**20  # protobuf, the format of graphs, ends at 2 GiB; the nodes need some of it

_logger = logging.getLogger("semcache")


@dataclass(frozen=True, slots=True)
class Graph:
    """An ONNX file. ``identity`` is the same wherever the graph gives the same vectors."""

    path: Path
    identity: str


def cache_directory() -> Path:
    """``$XDG_CACHE_HOME/semcache``, else ``~/.cache/semcache``; ``%LOCALAPPDATA%\\semcache`` on Windows."""
    root = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    return Path(root) / "semcache" if root else Path.home() / ".cache" / "semcache"


def torch_identity(folder: ModelFolder) -> str:
    """The identity that tells a folder's vectors by torch from others: content of weights and configuration."""
    return f"{content_hint(*weight_files(folder.transformer), required(folder.transformer, 'config.json'))}/torch"


def graph_of(folder: ModelFolder, backend: ModelBackend, cache: Path | None = None) -> Graph:
    """The graph for this backend: one of the folder, else one in ``cache``, else made now.

    ``cache`` None is ``cache_directory()``. To make one takes half a second for BERT and its family, otherwise some
    seconds and torch; it needs as much disk as the weights in float32. Raises ConfigurationError for a model that only
    torch can run or a cache that cannot be written, and MissingExtraError when a library that makes graphs is not
    installed.
    """
    # Before the folder's own graphs, which hold the transformer alone.
    if not folder.is_plain:
        raise ConfigurationError(
            f"{str(folder.path)!r} has modules {folder.modules} with {folder.pooling} pooling; without torch only a "
            'transformer with mean or cls pooling can run, so use backend="torch"'
        )
    shipped = _shipped(folder, backend)
    if shipped:
        return Graph(shipped, f"{_content_of(shipped)}/{backend}")
    kept = (cache or cache_directory()) / "onnx"
    # Named by the source, not by the bytes of the graph: these may differ between versions of the libraries that make
    # it, and equal vectors should meet in one index.
    source = _shipped(folder, "onnx")
    if source is None and not is_bert(folder):
        _check_size(folder)
    same = torch_identity(folder) if source is None else f"{_content_of(source)}/onnx"
    hint = same.partition("/")[0]
    plain = source or _kept(kept / f"{hint}-onnx.{_RECIPE}.onnx", lambda made: _make(folder, made))
    if backend == "onnx-int8":
        path = _kept(kept / f"{hint}-{backend}.{_RECIPE}.onnx", lambda made: quantise(plain, made))
        return Graph(path, f"{hint}/{backend}.{_RECIPE}")
    # The vectors are those of torch within 1e-5, less than Redis keeps of a number, so they have torch's name: entries
    # outlive a change of backend, and processes with and without the extra share them. Not where torch computes in 16
    # bits, since graphs are float32.
    return Graph(plain, same if _is_float32(folder) else f"{hint}/{backend}.{_RECIPE}")


def _content_of(graph: Path) -> str:
    # Large graphs keep their weights in a file beside them, which the hub calls model.onnx_data.
    beside = (graph.with_name(f"{graph.name}{ending}") for ending in (".data", "_data"))
    return content_hint(graph, *filter(Path.is_file, beside))


def _check_size(folder: ModelFolder) -> None:
    """Before anything is hashed or loaded, which takes long for a model that is too large."""
    weights = sum(file.stat().st_size for file in weight_files(folder.transformer))
    if weights * (1 if _is_float32(folder) else 2) > _MAX_BYTES:
        raise ConfigurationError(
            f"the weights in {str(folder.transformer)!r} are too large for an ONNX graph by torch, which holds 2 GiB; "
            'use backend="torch"'
        )


def _make(folder: ModelFolder, path: Path) -> None:
    if is_bert(folder):
        write_bert(folder, path)
        return
    _logger.info("making the ONNX graph of %s by torch, once; it is kept in %s", folder.path, path.parent.parent)
    export(folder, path)


def _is_float32(folder: ModelFolder) -> bool:
    """Whether torch computes in float32: transformers takes the number type of the configuration, else the weights'."""
    config = read_json(folder.transformer / "config.json")
    said = config.get("dtype") or config.get("torch_dtype")
    return bool(said == "float32" if said else weights_type(folder) == "F32")


def _shipped(folder: ModelFolder, backend: ModelBackend) -> Path | None:
    for name in GRAPHS:
        graph = folder.path / name
        # Quantised graphs have the same names as others in many folders, so the file itself is asked.
        if graph.is_file() and is_quantised(graph) == (backend == "onnx-int8"):
            return graph
    return None


def _kept(target: Path, make: Callable[[Path], None]) -> Path:
    """The file ``target``, made if it is not there."""
    if target.is_file():
        return target
    # Made beside the target, then renamed, so that no reader sees half a file. Two processes that start at once both
    # make it, and the later rename replaces an equal file. A lock file would spare this work, which comes once per
    # machine, but a killed process would leave it behind.
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as name:
            made = Path(name) / target.name
            make(made)
            # The graph comes last: where it is, all that it needs is there.
            for file in sorted(made.parent.iterdir(), key=lambda file: file == made):
                file.replace(target.with_name(file.name))
    except OSError as error:
        raise ConfigurationError(
            f"cannot keep ONNX graphs in {str(target.parent)!r} ({message_of(error)}); set cache_dir or XDG_CACHE_HOME "
            "to a folder that can be written"
        ) from error
    return target
