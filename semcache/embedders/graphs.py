"""Finds the ONNX graph of a model: in its folder, else in the user's cache directory, else it is made now."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from semcache.embedders.export import export, quantise
from semcache.embedders.folder import ModelFolder
from semcache.errors import ConfigurationError
from semcache.models.names import GRAPHS, WEIGHTS, ModelBackend, content_hint, required
from semcache.models.onnx import is_quantised

_RECIPE = "1"  # part of the file name: a graph that an older version of export.py made is made again


@dataclass(frozen=True, slots=True)
class Graph:
    """An ONNX file. ``identity`` is the same wherever the graph is made of the same weights in the same way."""

    path: Path
    identity: str


def cache_directory() -> Path:
    """``$XDG_CACHE_HOME/semcache``, else ``~/.cache/semcache``; ``%LOCALAPPDATA%\\semcache`` on Windows."""
    root = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    return Path(root) / "semcache" if root else Path.home() / ".cache" / "semcache"


def graph_of(folder: ModelFolder, backend: ModelBackend, cache: Path | None = None) -> Graph:
    """The graph for this backend: one of the folder, else one in ``cache``, else made now, which takes seconds.

    ``cache`` None is ``cache_directory()``. Raises ConfigurationError for a model that only torch can run or a cache
    that cannot be written, and MissingExtraError when a library that makes graphs is not installed.
    """
    shipped = _shipped(folder, backend)
    if shipped:
        return Graph(shipped, f"{content_hint(shipped)}/{backend}")
    if not folder.is_plain:
        raise ConfigurationError(
            f"{str(folder.path)!r} has modules {folder.modules} with {folder.pooling} pooling; without torch only a "
            'transformer with mean or cls pooling can run, so use backend="torch"'
        )
    # Named by the source, not by the bytes of the graph: these may differ between versions of the libraries that make
    # it, and equal vectors should meet in one index.
    source = required(folder.transformer, *WEIGHTS, *GRAPHS)
    hint = content_hint(source, required(folder.transformer, "config.json"))
    kept = (cache or cache_directory()) / "onnx"
    path = _shipped(folder, "onnx") or _kept(kept / f"{hint}-onnx.{_RECIPE}.onnx", lambda made: export(folder, made))
    if backend == "onnx-int8":
        plain = path
        path = _kept(kept / f"{hint}-{backend}.{_RECIPE}.onnx", lambda made: quantise(plain, made))
    return Graph(path, f"{hint}/{backend}.{_RECIPE}")


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
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-")
    except OSError as error:
        raise ConfigurationError(
            f"cannot keep ONNX graphs in {str(target.parent)!r} ({error}); set cache_dir"
        ) from error
    # Made beside the target, then renamed, so that no reader sees half a file. Two processes that start at once both
    # make it, and the later rename replaces an equal file. A lock file would spare this work, which comes once per
    # machine, but a killed process would leave it behind.
    with folder as name:
        made = Path(name) / target.name
        make(made)
        made.replace(target)
    return target
