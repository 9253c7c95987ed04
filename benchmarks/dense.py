"""A first-stage retriever: the nearest passages by embedding, found by comparing the query with all of them."""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from semcache.embedders import SentenceTransformerEmbedder

CACHE = Path(__file__).parent / ".cache" / "passages"
_PART = 256


class Dense:
    """all-MiniLM-L6-v2 over passages. Their vectors are kept on disk in parts, so that a stopped run can go on."""

    def __init__(self, passages: Sequence[str]) -> None:
        self.passages = passages
        self._embedder = SentenceTransformerEmbedder(backend="onnx", threads=1)
        name = blake2b("\0".join((self._embedder.name, *passages)).encode(), digest_size=8).hexdigest()
        parts = range(0, len(passages), _PART)
        self._vectors = np.concatenate([self._part(start, CACHE / f"{name}-{start:06d}.npy") for start in parts])

    def search(self, query: str, k: int) -> list[str]:
        """The k nearest passages, nearest first."""
        cosines = self._vectors @ self._embedder.embed([query])[0]
        return [self.passages[row] for row in np.argsort(-cosines, kind="stable")[:k]]

    def _part(self, start: int, path: Path) -> np.ndarray:
        if not path.exists():
            CACHE.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial.npy")
            np.save(partial, self._embedder.embed(self.passages[start : start + _PART]))
            partial.replace(path)  # a run that is stopped in between leaves no half-written file
        return np.load(path)
