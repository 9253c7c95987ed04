"""Figures of replayed streams: pairs avoided, time saved and loss; in all, by status, and along the stream."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.experiment import Target
from benchmarks.timing import Quantile
from benchmarks.traffic_clock import Prices
from benchmarks.traffic_replay import Replayed, Served
from semcache.commands.bootstrap import mean_interval
from semcache.ranking import Status

Row = Mapping[str, Any]
WINDOWS = 10
"""Parts of a stream whose figures stand side by side."""


def figures(
    served: Sequence[Served], depth: int, prices: Prices, audited: float = 0, beside_s: float = 0
) -> dict[str, Any]:
    """Shares of pairs avoided and of time saved against scoring all ``depth`` candidates of every request, and losses.

    Intervals are over distinct queries. ``audited`` pairs, asked for in the background, and ``beside_s`` processor
    seconds of Redis and of the background are shared out evenly.
    """
    asked = np.array([answer.asked for answer in served]) + audited / len(served)
    shared_s = (audited * prices.pair_s + beside_s) / len(served)
    seconds = np.array([prices.cost_s(answer) for answer in served]) + shared_s
    losses = np.array([answer.loss for answer in served])
    waited_ms = 1000 * np.array([answer.waited_s for answer in served])
    return {
        "requests": len(served),
        **_mean("avoided", 1 - asked / depth, served),
        **_mean("time_saved", 1 - seconds / (depth * prices.pair_s), served),
        **_mean("loss", losses, served),
        "worst_5": float(np.quantile(losses, 0.95)),
        "absolute_loss": float(np.mean([answer.absolute_loss for answer in served])),
        **_mean("scaled_loss", np.array([answer.scaled_loss for answer in served]), served),
        "kept": float(np.mean([answer.kept for answer in served])),
        "rounds": float(np.mean([answer.rounds for answer in served])),
        "own_ms": 1000 * float(np.mean([answer.own_s for answer in served])),
        "waited_p50_ms": float(np.median(waited_ms)),
        "waited_p95_ms": float(np.quantile(waited_ms, 0.95)),
    }


def by_status(replayed: Replayed, depth: int, prices: Prices) -> Iterator[Row]:
    """The figures of the requests of each status, without pairs of audits, which belong to none."""
    served = replayed.served
    for status in Status:
        chosen = [answer for answer in served if answer.status == status.value]
        if chosen:
            found = figures(chosen, depth, prices, beside_s=replayed.beside_s * len(chosen) / len(served))
            yield {"status": status.value, "share": len(chosen) / len(served), **found}


def along(served: Sequence[Served], depth: int) -> Iterator[Row]:
    """Pairs avoided and loss in each part of the stream: the learning curve, and how the cache fills."""
    for part in np.array_split(np.arange(len(served)), WINDOWS):
        chosen = [served[number] for number in part]
        yield {
            "requests_to": int(part[-1]) + 1,
            "avoided": 1 - float(np.mean([answer.asked for answer in chosen])) / depth,
            "loss": float(np.mean([answer.loss for answer in chosen])),
            **{status.value: float(np.mean([answer.status == status.value for answer in chosen])) for status in Status},
        }


def memory(replayed: Replayed) -> Row:
    """Entries and bytes at the end, and what ran in the background."""
    return {
        "entries": replayed.entries,
        "used_bytes": replayed.used_bytes,
        "bytes_per_entry": replayed.used_bytes / max(1, replayed.entries),
        "pairs_of_audits": replayed.audited,
        "redis_ms_per_request": 1000 * replayed.server_s / len(replayed.served),
        "background_ms_per_request": 1000 * replayed.background_s / len(replayed.served),
    }


def target(what: str, row: Row, name: str, *, at_least: float | None = None, at_most: float | None = None) -> Target:
    """A figure of a row against its bound."""
    value = Quantile(row[name], row[f"{name}_low"], row[f"{name}_high"])
    return Target(what, value, at_least=at_least, at_most=at_most)


def _mean(name: str, values: np.ndarray, served: Sequence[Served]) -> dict[str, float]:
    low, high = mean_interval(values, np.ones(len(values)), [answer.query for answer in served])
    return {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}
