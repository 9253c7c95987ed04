"""The report of the load lab: its method, the bounds that its figures should keep, its tables and its charts."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import load_batching, load_plot, machine
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.load_scenarios import CAPACITY, LIMITED, THRESHOLD_S
from benchmarks.load_sides import OURS, TOLD
from benchmarks.timing import Quantile, ratio
from semcache.settings import Monitor

Parts = Mapping[str, Mapping[str, Any]]
"""What each part that was measured gave, with when and at which commit."""

QUESTION = "What do callers get when a reranker is overloaded, slow, failing or frozen, and when many call it at once?"


def targets(parts: Parts) -> Iterator[Target]:
    """The bounds that the figures should keep."""
    if "sides" in parts:
        row = partial(_row, parts["sides"]["rows"])
        half, over = row("half capacity"), row("overload 1.6x")
        yield _target("half capacity: by the primary, %", half["by_primary_pct"], at_least=98)
        yield _target("half capacity: switches a minute", half["switches_per_min"], at_most=0)
        yield _target(
            "overload 1.6x: by the primary, % (of the pairs 62.5 is possible; small requests fit in more easily)",
            over["by_primary_pct"],
            at_least=58,
        )
        yield _target("overload 1.6x: later than T, %", over["late_pct"], at_most=0.5)
        yield _target("overload 1.6x: switches a minute", over["switches_per_min"], at_most=0)
    if "spells" in parts:
        rows = parts["spells"]["rows"]
        calls = max(_or_endless(row["detect_calls"]) for row in rows)
        recovery_s = max(_or_endless(row["recover_s"]) for row in rows)
        yield _target("slow spells: calls until detected, most", calls, at_most=2 * Monitor().min_samples)
        yield _target("slow spells: s from the end to recovered, most", recovery_s, at_most=15)
    for side in (OURS, TOLD) if "api" in parts else ():
        row = _row(parts["api"]["rows"], LIMITED, side)
        yield _target(f"rate limit, {side}: 429s after the first second", row["refused_after_1s"], at_most=0)
        yield _target(f"rate limit, {side}: late or failed, %", row["late_or_failed_pct"], at_most=0.5)
    for burst in parts.get("bursts", {}).get("rows", ()):
        yield from _burst_targets(burst)
    if "batching" in parts:
        yield from _batching_targets(parts["batching"])


def _row(rows: Sequence[Mapping[str, Any]], scenario: str, side: str = OURS) -> Mapping[str, Any]:
    return next(row for row in rows if row["scenario"] == scenario and row["side"] == side)


def _target(what: str, value: float, **bounds: float) -> Target:
    """A figure of one long run: its interval is the figure."""
    return Target(what, Quantile(value, value, value), **bounds)


def _or_endless(value: float | None) -> float:
    return float("inf") if value is None else value


def _burst_targets(row: Mapping[str, Any]) -> Iterator[Target]:
    what = row["burst"]
    if "ideal_primary" not in row:
        yield _target(f"{what}: fresh", row["fresh"], at_least=row["requests"])
        yield _target(f"{what}: wall clock / ideal", row["wall_s"] / row["ideal_s"], at_most=1.5)
    elif row["ideal_s"]:
        yield _target(f"{what}: by the primary in T", row["fresh_in_time"], at_least=row["ideal_primary"])
        yield _target(f"{what}: later than T", row["later_than_t"], at_most=0)
    else:
        yield _target(f"{what}: exact", row["exact"], at_least=row["requests"])


def _batching_targets(found: Mapping[str, Any]) -> Iterator[Target]:
    for single in found["single"]:
        of = f"{single['model']}, {single['texts']} texts"
        rows = {
            (row["callers"], row["side"]): row
            for row in found["rows"]
            if (row["model"], row["texts"]) == (single["model"], single["texts"])
        }
        each, ours = rows[32, load_batching.POOL], rows[32, load_batching.OURS]
        gain = ours["requests_per_s"] / each["requests_per_s"]
        yield _target(f"{of}, 32 callers: requests/s against a call per request", gain, at_least=1.8)
        yield _target(f"{of}, 32 callers: p95 against a call per request", ours["p95_ms"] / each["p95_ms"], at_most=1)
        slower = ratio(np.array(single["s"][load_batching.OURS]), np.array(single["s"]["the model"]))
        yield Target(f"{of}, one caller: latency against the model alone", slower, at_most=1.03)


def result(parts: Parts) -> ExperimentResult:
    """The report of all parts that were measured."""
    tables = {
        "Slow spells, semcache": _shown(parts.get("spells", {}).get("rows", ())),
        "A service with a rate limit": _shown(parts.get("api", {}).get("rows", ()), LIMITED_COLUMNS),
        "The packaged cross-encoder, overloaded": _shown(parts.get("real", {}).get("rows", ())),
        "Bursts": parts.get("bursts", {}).get("rows", ()),
        "Concurrent callers of a real cross-encoder": parts.get("batching", {}).get("rows", ()),
    }
    return ExperimentResult(
        name="load",
        question=QUESTION,
        method=METHOD,
        parameters={
            "capacity_per_s": CAPACITY,
            "threshold_s": THRESHOLD_S,
            **{
                f"{name}, measured": f"{part['measured_at']} at {part['commit']}, in {part['took_s']} s, load average "
                f"{part['load_before']} before, {part.get('stolen_share', 0):.1%} of the time stolen"
                for name, part in parts.items()
            },
        },
        machine=machine.describe(),
        rows=_shown(parts.get("sides", {}).get("rows", ())),
        targets=list(targets(parts)),
        more={heading: rows for heading, rows in tables.items() if rows},
    )


METHOD = (
    "Requests arrive open-loop, whether earlier ones were answered or not, and their times count from the moment at "
    "which they should be sent. Each has 4 to 12 pairs, 8 on average. Scripted primaries sleep for as long as a model"
    " would compute, which for a request of 8 pairs is 80 ms on average (lognormal noise of 0.25), and compute one "
    "call at a time; the fallback takes 5 ms. T is 2 s. Real arrivals: the Azure LLM inference trace, stretched. A "
    "slow spell makes calls 40 times as long, an error burst has them raise after 10 ms, and in a freeze they do not "
    "end. Breakers of all sides open after 5 failures in a row, for 5 s; those of pybreaker and purgatory see "
    "slowness by a timeout of 0.9 T. The old toggle takes the fallback while the p95 of the latest 100 latencies, its"
    " own among them, is above T. wasted: the share of the primary's time that went into answers that were not used, "
    "or late. detect: from the beginning of the incident until calls are kept from the primary, in seconds and in "
    "calls that had ended. recover: from its end until 18 of 20 answers are the primary's and in time. Half capacity "
    "runs 6.7 times as fast, with all times scaled. Every score of the primary was compared with the true one. The "
    "service with a rate limit is asked over real HTTP, takes 200 ms, and lets in 20 requests a second (a token "
    "bucket); refused: its 429s. The packaged cross-encoder gets real queries and passages. Bursts go through the "
    "whole pipeline with a private Redis, T is 2 s (5 s for the functions of 200 ms, with concurrency=50 and random "
    "vectors in place of an embedder); ideal: the calls divided by what runs at once, and for the cross-encoder what "
    "it scores in T when it is given all pairs in one call. Concurrent callers: closed loops of real queries with "
    "short texts; onnx int8 alone is onnxruntime with its defaults, a run per request; torch is sentence-transformers"
    " with random weights; cpu_ms: processor time per request."
)
COLUMNS = (
    "scenario",
    "side",
    "requests",
    "by_primary_pct",
    "late_pct",
    "failed_pct",
    "p50_s",
    "p95_s",
    "switches_per_min",
    "wasted_pct",
    "detect_s",
    "detect_calls",
    "recover_s",
)
"""Of the figures of a run, those in the report."""
LIMITED_COLUMNS = (*COLUMNS[1:10], "refused", "refused_after_1s")


def _shown(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> list[dict[str, Any]]:
    return [{column: row.get(column) for column in columns} for row in rows]


def plot(parts: Parts, path: Path) -> None:
    """Draw the charts of all parts that were measured."""
    lines = parts.get("sides", {}).get("timelines", {})
    shown = {name: lines[name] for name in ("slow spell", "overload 1.6x") if name in lines}
    rows = [row for name in ("sides", "api", "real") for row in parts.get(name, {}).get("rows", ())]
    load_plot.draw(rows, shown, parts.get("batching", {}).get("rows", ()), path)
