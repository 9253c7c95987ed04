"""Checks of the models that the settings name: whether they load, and how quick they are."""

from collections.abc import Callable
from statistics import median
from time import perf_counter

from semcache.commands.doctor.finding import Finding, Verdict
from semcache.embedders.queries import EMBEDDER_PATIENCE_S
from semcache.protocols import Embedder, Reranker

_PAIRS = [("how far away is the moon", f"Passage {number}: the moon is about 384,400 km away.") for number in range(10)]
_CALLS = 3
"""Calls that are timed, of which the median counts: one may meet another program on the same processor."""


def embedder_finding(embedder: Embedder, began: float) -> Finding:
    """Time one query. ``began`` is when its loading began, a time of ``perf_counter``."""
    load_s, call_s = _timed(lambda: embedder.embed([_PAIRS[0][0]]), began)
    # The name ends with the library whose vectors these are, which need not be the one that computes them here.
    by = f" by {backend}" if (backend := getattr(embedder, "backend", None)) else ""
    seen = f"{embedder.name}{by}, {embedder.dims} dims: ready after {load_s:.1f} s, {call_s * 1000:.1f} ms for a query"
    if call_s > EMBEDDER_PATIENCE_S:
        slow = f"{seen}; a request waits {EMBEDDER_PATIENCE_S:g} s at most"
        return Finding("embedder", Verdict.FAULT, slow, "take a smaller model, or embedder.backend: onnx-int8")
    return Finding("embedder", Verdict.OK, seen)


def reranker_finding(reranker: Reranker, began: float, p95_threshold_s: float) -> Finding:
    """Time ten pairs. The breaker takes a reranker for slow from ``p95_threshold_s`` seconds on."""
    load_s, call_s = _timed(lambda: reranker.score(_PAIRS), began)
    seen = f"{reranker.name}: ready after {load_s:.1f} s, {call_s * 1000:.0f} ms for {len(_PAIRS)} pairs"
    if call_s > p95_threshold_s:
        slow = f"{seen}; the breaker opens when calls take longer than {p95_threshold_s:g} s"
        remedy = "take a smaller model or a shorter max_length, or raise monitor.p95_threshold_s"
        return Finding("reranker", Verdict.WARNING, slow, remedy)
    return Finding("reranker", Verdict.OK, seen)


def _timed(call: Callable[[], object], began: float) -> tuple[float, float]:
    """Seconds until the first answer, which a model may load for, and the median of the calls after it."""
    call()
    load_s = perf_counter() - began
    seconds = []
    for _ in range(_CALLS):
        began = perf_counter()
        call()
        seconds.append(perf_counter() - began)
    return load_s, median(seconds)
