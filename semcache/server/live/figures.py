"""Adds what the processes of a server know to the figures that its page and ``semcache top`` show. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from statistics import median
from typing import Any

from semcache.quality.statistics import BANDS
from semcache.ranking import Status
from semcache.server.live.remedies import remedy_of
from semcache.server.live.ring import NEAREST_EDGES, Window, quantile_s

Part = Mapping[str, Any]
"""That which ``Parts.part`` gives, also after a way through JSON."""

_SHARES = {"p50_s": 0.5, "p95_s": 0.95, "p99_s": 0.99}


def figures(parts: Sequence[Part], window: Window, now: float) -> dict[str, Any]:
    """The figures of all processes; ``parts`` holds at least one, and ``now`` is the time of day.

    ``totals`` count since the processes started, ``window`` and ``latency`` are of the window that ends now.
    """
    slots = [slot for part in parts for slot in part.get("slots", ())]
    # Quality is shared through Redis: what the process knows that looked last is what all know.
    caches = [part["stats"]["cache"] for part in parts]
    quality = max((cache["quality"] for cache in caches), key=_observations)
    return {
        "now": now,
        "started": min(part["started"] for part in parts),
        "processes": [{"process": part["process"], "started": part["started"]} for part in parts],
        "recorded": any("slots" in part for part in parts),
        "totals": _totals([part["stats"] for part in parts]),
        "window": {
            "name": window.name,
            "seconds": window.seconds,
            "slot_s": window.slot_s,
            "smooth_s": window.slot_s * window.smooth,
            **_series(slots, window, now),
        },
        "latency": _latency(slots, "seconds") | {"all": _quantiles(_all(slots))},
        "steps": _latency(slots, "steps"),
        "nearest": {
            "edges": NEAREST_EDGES,
            "counts": [sum(counts) for counts in zip(*(slot["nearest"] for slot in slots), strict=True)],
        },
        "rerankers": _rerankers([part["stats"]["reranker"] for part in parts]),
        "breaker_changes": _newest(parts, "breakers"),
        "quality": {
            **{name: value for name, value in quality.items() if name != "pruning"},
            "bands": {name: quality["bands"][name] for name in BANDS if name in quality["bands"]},
        },
        "pruning": max((cache["quality"]["pruning"] for cache in caches), key=lambda pruning: pruning.get("n", 0)),
        "happened": [
            event | {"remedy": None if event["is_over"] else remedy_of("", event["event"], event["reason"])}
            for event in _newest(parts, "happened")
        ],
        "errors": _errors([cache["last_error"] for cache in caches]),
    }


def _observations(quality: Mapping[str, Any]) -> int:
    return sum(band["n"] for band in quality["bands"].values())


def _newest(parts: Sequence[Part], name: str, most: int = 60) -> list[dict[str, Any]]:
    """Everything that was remembered under this name, the newest first."""
    told = ({**event, "process": part["process"]} for part in parts for event in part.get(name, ()))
    return sorted(told, key=lambda event: event["at"], reverse=True)[:most]


def _totals(stats: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    caches = [each["cache"] for each in stats]
    counts = {
        name: sum(cache[name] for cache in caches)
        for name in (
            "requests",
            "cache_hits",
            "cache_misses",
            "pairs_asked",
            "pairs_reused",
            "pairs_skipped",
            "outages",
        )
    }
    by_status: Counter[str] = Counter()
    by_reason: Counter[str] = Counter()
    for cache in caches:
        by_status.update(cache["by_status"])
        by_reason.update(cache["by_reason"])
    return {
        **counts,
        "by_status": {status.value: by_status[status.value] for status in Status},
        "by_reason": dict(by_reason),
        "saved_s": sum(cache["saved_s"] for cache in caches),
        "degraded": any(each["reranker"]["degraded"] for each in stats),
    }


def _series(slots: Iterable[Mapping[str, Any]], window: Window, now: float) -> dict[str, Any]:
    """One value per slot and curve. A slot in which nothing happened has counts of 0; a point of a curve is of several
    slots, and None where nothing happened in these.
    """
    starts = window.starts(now)
    by_start: dict[int, list[Mapping[str, Any]]] = {start: [] for start in starts}
    for slot in slots:
        # A process that told a moment ago may begin a slot earlier.
        if slot["at"] in by_start:
            by_start[slot["at"]].append(slot)
    columns = list(by_start.values())
    requests = [_requests(column) for column in columns]
    return {
        "at": starts,
        "by_status": {status.value: [column[status.value] for column in requests] for status in Status},
        **{
            name: [sum(slot[name] for slot in column) for column in columns] for name in ("asked", "avoided", "waiting")
        },
        **_curves(columns, window.smooth),
    }


def _curves(columns: Sequence[Sequence[Mapping[str, Any]]], smooth: int) -> dict[str, list[float | None]]:
    """Quantiles of latencies, and the median drift: each point is of the ``smooth`` columns that end there."""
    # Once for each column, and not for each point that it is a part of: requests of this process wait meanwhile.
    latencies = [_added(column) for column in columns]
    drifts = [[drift for slot in column for drift in slot["drifts"]] for column in columns]
    curves: dict[str, list[float | None]] = {name: [] for name in (*_SHARES, "drift")}
    for end in range(1, len(columns) + 1):
        points = slice(max(0, end - smooth), end)
        seen = list(chain.from_iterable(latencies[points]))
        for name, share in _SHARES.items():
            curves[name].append(quantile_s(seen, share))
        drifted = list(chain.from_iterable(drifts[points]))
        curves["drift"].append(median(drifted) if drifted else None)
    return curves


def _added(slots: Iterable[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """A histogram of the latencies of all of them."""
    counts: Counter[int] = Counter()
    for bucket, count in _all(slots):
        counts[bucket] += count
    return list(counts.items())


def _requests(slots: Iterable[Mapping[str, Any]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for slot in slots:
        for status, histogram in slot["seconds"].items():
            counts[status] += sum(count for _, count in histogram)
    return counts


def _all(slots: Iterable[Mapping[str, Any]]) -> list[Sequence[int]]:
    return [pair for slot in slots for histogram in slot["seconds"].values() for pair in histogram]


def _latency(slots: Sequence[Mapping[str, Any]], kind: str) -> dict[str, Any]:
    """Number and quantiles by name, of the histograms of this kind."""
    histograms: dict[str, list[Sequence[int]]] = {}
    for slot in slots:
        for name, histogram in slot[kind].items():
            histograms.setdefault(name, []).extend(histogram)
    return {name: _quantiles(histogram) for name, histogram in histograms.items()}


def _quantiles(histogram: Sequence[Sequence[int]]) -> dict[str, Any]:
    quantiles = {name: quantile_s(histogram, share) for name, share in _SHARES.items()}
    return {"n": sum(count for _, count in histogram), **quantiles}


def _rerankers(told: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each rung of the ladder, from best to cheapest, with the states of its breakers by number of processes."""
    rungs = []
    # Of different lengths where a worker was started anew after the settings had changed.
    for place in range(max(len(stats["rungs"]) for stats in told)):
        same = [stats["rungs"][place] for stats in told if place < len(stats["rungs"])]
        # The breaker that is worst off says why.
        worst = min(same, key=lambda rung: rung["state"] == "closed")
        p95s = [rung["p95_s"] for rung in same if rung["p95_s"] is not None]
        rungs.append(
            {
                "reranker": worst["reranker"],
                "states": dict(Counter(rung["state"] for rung in same)),
                "reason": worst["reason"],
                "cause": worst["cause"],
                "p95_s": max(p95s, default=None),
                "answers": sum(stats["answers"].get(worst["reranker"], 0) for stats in told),
                **{name: sum(rung[name] for rung in same) for name in ("samples", "waiting_pairs", "abandoned")},
            }
        )
    return rungs


def _errors(told: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The latest error of each part, the newest first."""
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for errors in told:
        named = [(part, "", errors[part]) for part in ("cache", "embedder") if errors[part]]
        named += [("reranker", name, error) for name, error in errors["reranker"].items()]
        for part, name, error in named:
            before = latest.get((part, name))
            if before is None or error["seconds_ago"] < before["seconds_ago"]:
                latest[part, name] = {"part": part, "name": name, "remedy": remedy_of(error["error"]), **error}
    return sorted(latest.values(), key=lambda error: error["seconds_ago"])
