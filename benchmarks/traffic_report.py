"""Figures, notes and plot of the replayed stream."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.statistics import clustered_interval
from benchmarks.timing import quantile
from benchmarks.traffic_stream import Served
from semcache.quality.statistics import order_loss, top_overlap
from semcache.ranking import Status

METHOD = (
    "A contiguous stretch of a web search log in its order, with its natural repeats; one request at a time through "
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
    """One row per status, and one of all; and what the sample took without a cache."""
    compared = [
        None if scores is None else (_overlap(one, scores), _loss(one, scores))
        for one, scores in zip(served, fresh, strict=True)
    ]
    for status in Status:
        places = [place for place, one in enumerate(served) if one.ranking.status is status]
        if places:
            yield _row(status.value, served, places, compared)
    # Without figures of quality: the fresh ones are only a sample.
    yield _row("all", served, range(len(served)), [None] * len(served))
    bare = np.array([one.bare_s for one in served if one.bare_s is not None])
    yield {"status": "no cache", "n": len(bare), **_latency(bare)}


def _row(
    name: str, served: Sequence[Served], places: Sequence[int], compared: Sequence[tuple[float, float] | None]
) -> Mapping[str, Any]:
    chosen = [served[place] for place in places]
    pairs, asked = _pairs(chosen)
    return {
        "status": name,
        "n": len(chosen),
        "share": round(len(chosen) / len(served), 4),
        "pairs": pairs,
        "avoided": round(1 - asked / pairs, 4),
        **_latency(np.array([one.duration_s for one in chosen])),
        **_quality([(served[place].asked.query, *told) for place in places if (told := compared[place]) is not None]),
    }


def _quality(compared: Sequence[tuple[str, float, float]]) -> Mapping[str, Any]:
    if not compared:
        return {}
    queries = np.unique([query for query, _, _ in compared], return_inverse=True)[1]
    same = clustered_interval(np.array([overlap for _, overlap, _ in compared]), queries)
    lost = clustered_interval(np.array([loss for _, _, loss in compared]), queries)
    return {
        "top10": round(same.mean, 5),
        "top10_low": round(same.low, 5),
        "top10_high": round(same.high, 5),
        "loss": round(lost.mean, 5),
        "loss_low": round(lost.low, 5),
        "loss_high": round(lost.high, 5),
    }


def _pairs(served: Sequence[Served]) -> tuple[int, int]:
    """Candidates, and pairs sent to the reranker; a degraded answer asked the primary nothing that it answered."""
    return sum(len(one.asked.documents) for one in served), sum(one.ranking.asked for one in served)


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


def _overlap(one: Served, fresh: np.ndarray) -> float:
    return top_overlap(_as_served(one, fresh), fresh)


def _loss(one: Served, fresh: np.ndarray) -> float:
    return order_loss(_as_served(one, fresh), fresh)


def _as_served(one: Served, fresh: np.ndarray) -> np.ndarray:
    """Scores that fall along the served order; what was not returned comes last, in the retriever's order."""
    scores = -1000.0 - np.arange(len(fresh))
    scores[list(one.ranking.indices)] = -np.arange(len(one.ranking))
    return scores


def notes(served: Sequence[Served], fresh: Sequence[np.ndarray | None]) -> Sequence[str]:
    """The end-to-end figure, and the growth of the cache."""
    sample = [one for one in served if one.bare_s is not None]
    with_s = np.array([one.duration_s for one in sample])
    bare_s = np.array([one.bare_s for one in sample], dtype=float)
    low, high = _saved_interval(with_s, bare_s)
    read = [one for one in served if one.entries is not None and one.used_bytes is not None]
    entries = read[-1].entries - read[0].entries  # type: ignore[operator]
    growth = read[-1].used_bytes - read[0].used_bytes  # type: ignore[operator]
    compared = Counter(
        one.ranking.status.value for one, scores in zip(served, fresh, strict=True) if scores is not None
    )
    return [
        f"End-to-end time saved: {1 - with_s.sum() / bare_s.sum():.1%} (95 % interval {low:.1%} to {high:.1%}), on a "
        f"sample of {len(sample)} requests, each made with and without the cache: {with_s.sum():.1f} s and "
        f"{bare_s.sum():.1f} s.",
        f"All {len(served)} requests took {sum(one.duration_s for one in served):.1f} s with the cache.",
        f"The cache ended with {read[-1].entries} entries; {growth / max(entries, 1):.0f} bytes of used memory each.",
        f"Answers compared with fresh scores: {', '.join(f'{status} {n}' for status, n in compared.items())}.",
        "Losses and overlaps include the noise of the int8 graph, in which a pair's score depends on its batch; exact "
        "and fresh answers show how much that is.",
    ]


def _saved_interval(with_s: np.ndarray, bare_s: np.ndarray) -> tuple[float, float]:
    chosen = np.random.default_rng(0).integers(0, len(with_s), (2000, len(with_s)))
    low, high = np.quantile(1 - with_s[chosen].sum(axis=1) / bare_s[chosen].sum(axis=1), (0.025, 0.975))
    return float(low), float(high)


def stream(served: Sequence[Served]) -> Mapping[str, Any]:
    """What happened up to each request, at as many points as the cache was read."""
    statuses = np.array([one.ranking.status.value for one in served])
    asked = np.cumsum([one.ranking.asked for one in served])
    pairs = np.cumsum([len(one.asked.documents) for one in served])
    at = [place for place, one in enumerate(served) if one.entries is not None]
    return {
        "requests": [place + 1 for place in at],
        "shares": {
            status.value: [float(np.mean(statuses[: place + 1] == status.value)) for place in at]
            for status in Status
            if status.value in statuses
        },
        "pairs_avoided": [float(1 - asked[place] / pairs[place]) for place in at],
        "entries": [served[place].entries for place in at],
        "used_bytes": [served[place].used_bytes for place in at],
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
