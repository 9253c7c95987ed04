"""Figures, notes and plot of the replayed stream."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import quantile
from benchmarks.traffic_stream import Served
from semcache.commands.bootstrap import bounds, mean_interval, resampled
from semcache.quality.statistics import order_loss, top_overlap
from semcache.ranking import Status

METHOD = (
    "A contiguous part of a web search log in its order, with its natural repeats; one request at a time through "
    "OptimizedRerankerPipeline with default settings on an empty embedded Redis. Candidates are 50 passages of TREC "
    "DL 2019, found by a first stage that is not timed: dense, with the embedder that the cache has too, as in most "
    "applications; or BM25, which shares fewer candidates between near queries, gives fewer than 50 to most, and none "
    "to those that share no word with any passage, which are left out. Every sixth request is also made by the bare "
    "reranker, in turn right before and right after it goes through the pipeline. Scores kept on disk serve the "
    "comparison of orders, and nothing that is timed; compared are all answers but the fresh ones outside that sample."
)
COLOURS = {
    Status.EXACT: "#009E73",
    Status.SEMANTIC: "#56B4E9",
    Status.VERIFIED: "#0072B2",
    Status.PARTIAL: "#E69F00",
    Status.FRESH: "#BBBBBB",
    Status.DEGRADED: "#D55E00",
}


def rows(served: Sequence[Served], fresh: Sequence[np.ndarray | None]) -> Iterator[Mapping[str, Any]]:
    """One row per status, one for all requests, and one for the sample without a cache."""
    compared = [
        None if scores is None else _overlap_and_loss(answer, scores)
        for answer, scores in zip(served, fresh, strict=True)
    ]
    for status in Status:
        numbers = [number for number, answer in enumerate(served) if answer.ranking.status is status]
        if numbers:
            yield _row(status.value, served, numbers, compared)
    # Without figures of quality, since only a sample of the fresh answers is compared.
    yield _row("all", served, range(len(served)), [None] * len(served))
    bare = np.array([answer.bare_s for answer in served if answer.bare_s is not None])
    yield {"status": "no cache", "n": len(bare), **_latency(bare)}


def _row(
    name: str, served: Sequence[Served], numbers: Sequence[int], compared: Sequence[tuple[float, float] | None]
) -> Mapping[str, Any]:
    chosen = [served[number] for number in numbers]
    # A degraded answer asked the primary about no pair that it answered.
    pairs = sum(len(answer.request.documents) for answer in chosen)
    asked = sum(answer.ranking.asked for answer in chosen)
    return {
        "status": name,
        "n": len(chosen),
        "share": round(len(chosen) / len(served), 4),
        "pairs": pairs,
        "avoided": round(1 - asked / pairs, 4),
        **_latency(np.array([answer.duration_s for answer in chosen])),
        **_quality([(served[n].request.query, *found) for n in numbers if (found := compared[n]) is not None]),
    }


def _quality(compared: Sequence[tuple[str, float, float]]) -> Mapping[str, Any]:
    if not compared:
        return {}
    queries, overlaps, losses = zip(*compared, strict=True)
    figures: dict[str, float] = {}
    for name, values in (("top10", np.array(overlaps)), ("loss", np.array(losses))):
        low, high = mean_interval(values, np.ones(len(values)), queries)
        figures |= {name: round(float(values.mean()), 5), f"{name}_low": round(low, 5), f"{name}_high": round(high, 5)}
    return figures


def _latency(durations_s: np.ndarray) -> Mapping[str, float]:
    p50, p95 = (quantile(1000 * durations_s, share) for share in (0.5, 0.95))
    return {
        "p50_ms": p50.value,
        "p50_low": p50.low,
        "p50_high": p50.high,
        "p95_ms": p95.value,
        "p95_low": p95.low,
        "p95_high": p95.high,
    }


def _overlap_and_loss(answer: Served, fresh: np.ndarray) -> tuple[float, float]:
    # The served order as falling scores. Documents that were not returned come last, in the retriever's order.
    served = -1000.0 - np.arange(len(fresh))
    served[list(answer.ranking.indices)] = -np.arange(len(answer.ranking))
    return top_overlap(served, fresh), order_loss(served, fresh)


def notes(served: Sequence[Served], fresh: Sequence[np.ndarray | None]) -> Sequence[str]:
    """Sentences about the time saved end to end, the growth of the cache, and what was compared."""
    sample = [answer for answer in served if answer.bare_s is not None]
    with_s = np.array([answer.duration_s for answer in sample])
    bare_s = np.array([answer.bare_s for answer in sample], dtype=float)
    drawn = resampled(len(sample))
    low, high = bounds(1 - with_s[drawn].sum(axis=1) / bare_s[drawn].sum(axis=1))
    read = [answer for answer in served if answer.entries is not None and answer.used_bytes is not None]
    entries = read[-1].entries - read[0].entries  # type: ignore[operator]
    growth = read[-1].used_bytes - read[0].used_bytes  # type: ignore[operator]
    compared = Counter(
        answer.ranking.status.value for answer, scores in zip(served, fresh, strict=True) if scores is not None
    )
    return [
        f"End-to-end time saved: {1 - with_s.sum() / bare_s.sum():.1%} (95 % interval {low:.1%} to {high:.1%}), on a "
        f"sample of {len(sample)} requests, each made with and without the cache: {with_s.sum():.1f} s and "
        f"{bare_s.sum():.1f} s.",
        f"All {len(served)} requests took {sum(answer.duration_s for answer in served):.1f} s with the cache.",
        f"The cache ended with {read[-1].entries} entries; {growth / max(entries, 1):.0f} bytes of used memory each.",
        f"Answers compared with fresh scores: {', '.join(f'{status} {n}' for status, n in compared.items())}.",
        "Losses and overlaps include the noise of the int8 graph, in which a pair's score depends on its batch; exact "
        "and fresh answers show how much that is.",
    ]


def stream(served: Sequence[Served]) -> Mapping[str, Any]:
    """Shares of statuses, pairs avoided and the size of the cache, for the points at which the cache was read."""
    statuses = np.array([answer.ranking.status.value for answer in served])
    asked, pairs = np.cumsum([(answer.ranking.asked, len(answer.request.documents)) for answer in served], axis=0).T
    at = np.flatnonzero([answer.entries is not None for answer in served])
    occurring = (status.value for status in Status if status.value in statuses)
    return {
        "requests": (at + 1).tolist(),
        "shares": {status: (np.cumsum(statuses == status)[at] / (at + 1)).tolist() for status in occurring},
        "pairs_avoided": (1 - asked / pairs)[at].tolist(),
        "entries": [served[number].entries for number in at],
        "used_bytes": [served[number].used_bytes for number in at],
    }


def plot(stream: Mapping[str, Any], path: Path) -> None:
    """Shares of statuses and pairs avoided so far, and the growth of the cache."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    at = stream["requests"]
    shares = {Status(name): 100 * np.array(values) for name, values in stream["shares"].items()}
    left.stackplot(at, *shares.values(), labels=shares, colors=[COLOURS[status] for status in shares])
    left.plot(at, 100 * np.array(stream["pairs_avoided"]), color="black", lw=1.8, label="pairs avoided")
    left.set(xlabel="requests", ylabel="% so far", ylim=(0, 100), xlim=(at[0], at[-1]), title="Answers by status")
    left.legend(loc="upper left", fontsize="small", ncols=2, framealpha=0.9)
    megabytes = (np.array(stream["used_bytes"]) - stream["used_bytes"][0]) / 1e6
    right.plot(stream["entries"], megabytes, color="#0072B2")
    right.set(xlabel="entries", ylabel="growth of used memory, MB", ylim=(0, None), title="Growth of the cache")
    right.grid(visible=True, alpha=0.3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
