"""LastErrors: the latest error of each part of a pipeline, for ``get_stats``."""

from time import monotonic
from typing import Any, NamedTuple

from semcache.events import CacheFailed, CacheUnavailable, Event, RungFailed
from semcache.protocols import Clock

EMBED = "Embed"
"""The cache step that is the embedder's."""


class _Failure(NamedTuple):
    at: float
    description: dict[str, str]


class LastErrors:
    """An observer that keeps the latest error of the cache, of the embedder, and of each reranker of the ladder."""

    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        # By part and name. Not locked: setting an item and copying a dict are atomic, and the later of two wins.
        self._latest: dict[tuple[str, str], _Failure] = {}

    def __call__(self, event: Event, /) -> None:
        match event:
            case CacheFailed(step, error):
                part = "embedder" if step == EMBED else "cache"
                self._latest[part, ""] = _Failure(self._clock(), {"error": error, "step": step})
            case CacheUnavailable(error):
                self._latest["cache", ""] = _Failure(self._clock(), {"error": error, "step": "Redis"})
            case RungFailed(reranker, error):
                self._latest["reranker", reranker] = _Failure(self._clock(), {"error": error})

    def snapshot(self) -> dict[str, Any]:
        """The latest errors of ``cache`` and ``embedder`` (None without one), and those of ``reranker`` by name.

        Example:
            >>> errors.snapshot()["cache"]
            {'error': 'StoreUnavailableError: ...', 'step': 'ReadExact', 'seconds_ago': 3.2}
        """
        now = self._clock()
        shown: dict[str, Any] = {"cache": None, "embedder": None, "reranker": {}}
        for (part, name), failure in self._latest.copy().items():
            described = {**failure.description, "seconds_ago": round(now - failure.at, 3)}
            if part == "reranker":
                shown[part][name] = described
            else:
                shown[part] = described
        return shown
