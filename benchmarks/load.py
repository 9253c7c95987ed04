"""What do callers get when a reranker is overloaded, slow, failing or frozen, and when many call it at once?

``python -m benchmarks.load`` runs all parts, ``python -m benchmarks.load PART ...`` some of them; the figures of the
others are those of their last run, which are kept in ``benchmarks/.cache/load``.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import experiment, load_batching, load_bursts, load_drive, load_plot, machine
from benchmarks.awake import awake
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.load_scenarios import CAPACITY, THRESHOLD_S, Scenario, limited, real, scenarios, spells
from benchmarks.load_sides import SIDES
from benchmarks.timing import Quantile, ratio
from semcache.settings import Monitor

KEPT = Path(__file__).parent / ".cache" / "load"
TOGETHER = 12
"""Scenarios that run side by side, each in a process of its own: they mostly sleep."""
SPELLS = 6
"""Slow spells of different lengths and seeds for the time to detect and to recover."""
MOST_OF_OTHERS = 2000
"""Requests of sides that need not show that nothing happens in 10,000 of them."""
Part = Callable[[bool], dict[str, Any]]
OURS = "semcache"


def measure_sides(quick: bool) -> dict[str, Any]:
    """Every scenario with every side."""
    return _together(
        [
            (scenario if side == OURS else replace(scenario, count=min(scenario.count, MOST_OF_OTHERS)), side)
            for scenario in scenarios(quick).values()
            for side in SIDES
        ]
    )


def measure_spells(quick: bool) -> dict[str, Any]:
    """Slow spells of several lengths, for semcache alone: when is each detected, and when is it over?"""
    return _together([(scenario, OURS) for scenario in spells(2 if quick else SPELLS)])


def measure_api(quick: bool) -> dict[str, Any]:
    """A service with a rate limit, by every side."""
    return _together([(limited(quick), side) for side in SIDES])


def measure_real(quick: bool) -> dict[str, Any]:
    """The packaged cross-encoder at 1.6 times of what it scores alone, one side after the other."""
    per_s = load_bursts.requests_per_s()
    scenario = real(per_s, quick)
    found = _together([(scenario, side) for side in SIDES], at_once=1)
    return found | {"requests_per_s": per_s}


PARTS: Mapping[str, Part] = {
    "sides": measure_sides,
    "spells": measure_spells,
    "api": measure_api,
    "real": measure_real,
    "bursts": load_bursts.measure,
    "batching": load_batching.measure,
}


def _together(runs: Sequence[tuple[Scenario, str]], at_once: int = TOGETHER) -> dict[str, Any]:
    """Rows and timelines of all runs, each in a new process, longest first."""
    longest_first = sorted(runs, key=lambda run: -run[0].count / run[0].rate * run[0].scale)
    with ProcessPoolExecutor(at_once, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        waited = {
            (scenario.name, side): pool.submit(load_drive.run, scenario, side) for scenario, side in longest_first
        }
        found = {key: future.result() for key, future in waited.items()}
    rows = [found[scenario.name, side][0] for scenario, side in runs]
    lines = {
        scenario.name: {
            "incident": scenario.incident and (scenario.incident.start, scenario.incident.end),
            **{side: load_plot.timeline(found[name, side][1]) for name, side in found if name == scenario.name},
        }
        for scenario, _ in runs
    }
    return {"rows": rows, "timelines": lines}


def targets(parts: Mapping[str, Mapping[str, Any]]) -> Iterator[Target]:
    """The bounds that the figures should keep."""
    if "sides" in parts:
        row = partial(_row, parts["sides"]["rows"])
        half, over = row("half capacity"), row("overload 1.6x")
        yield _target("half capacity: by the primary, %", half["by_primary_pct"], at_least=98)
        yield _target("half capacity: switches a minute", half["switches_per_min"], at_most=0)
        yield _target("overload 1.6x: by the primary, % (62.5 is possible)", over["by_primary_pct"], at_least=58)
        yield _target("overload 1.6x: later than T, %", over["late_pct"], at_most=0.5)
        yield _target("overload 1.6x: switches a minute", over["switches_per_min"], at_most=0)
    if "spells" in parts:
        rows = parts["spells"]["rows"]
        calls = max(_or_endless(row["detect_calls"]) for row in rows)
        recovery_s = max(_or_endless(row["recover_s"]) for row in rows)
        yield _target("slow spells: calls until detected, most", calls, at_most=2 * Monitor().min_samples)
        yield _target("slow spells: s from the end to recovered, most", recovery_s, at_most=15)
    if "api" in parts:
        limited_row = next(row for row in parts["api"]["rows"] if row["side"] == OURS)
        yield _target(
            "service with a rate limit: 429s after the first second", limited_row["refused_after_1s"], at_most=0
        )
        yield _target("service with a rate limit: failed, %", limited_row["failed_pct"], at_most=0)
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
    for model, single in found["single"].items():
        rows = {(row["callers"], row["side"]): row for row in found["rows"] if row["model"] == model}
        each, ours = rows[32, load_batching.POOL], rows[32, load_batching.TASKS]
        gain = ours["requests_per_s"] / each["requests_per_s"]
        yield _target(f"{model}, 32 callers: requests/s against a call per request", gain, at_least=1.8)
        yield _target(
            f"{model}, 32 callers: p95 against a call per request", ours["p95_ms"] / each["p95_ms"], at_most=1
        )
        slower = ratio(np.array(single["semcache"]), np.array(single["the model"]))
        yield Target(f"{model}, one caller: latency against the model alone", slower, at_most=1.03)


def result(parts: Mapping[str, Mapping[str, Any]]) -> ExperimentResult:
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
        question=(__doc__ or "").partition("\n")[0],
        method=METHOD,
        parameters={
            "capacity_per_s": CAPACITY,
            "threshold_s": THRESHOLD_S,
            "measured": ", ".join(f"{name} {part['measured_at']} at {part['commit']}" for name, part in parts.items()),
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
    "runs five times as fast, with all times scaled. Every score of the primary was compared with the true one."
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


def main() -> None:
    """Run the parts that are named, or all, and write the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes; files go to benchmarks/.cache/trials")
    parser.add_argument("--report", action="store_true", help="measure nothing, only write the report again")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    kept = KEPT / ("quick" if arguments.quick else "full")
    kept.mkdir(parents=True, exist_ok=True)
    for name in () if arguments.report else arguments.parts or PARTS:
        started = perf_counter()
        with awake() as circumstances:
            measured = PARTS[name](arguments.quick)
        seconds = perf_counter() - started
        print(f"{name}: {seconds:.0f} s", file=sys.stderr)
        head = {
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": machine.describe()["commit"],
            "took_s": round(seconds),
            **circumstances,
        }
        text = json.dumps({**head, **measured}, default=lambda value: value.tolist())
        (kept / f"{name}.json").write_text(text)
    parts = {name: json.loads(file.read_text()) for name in PARTS if (file := kept / f"{name}.json").exists()}
    experiment.report(result(parts), partial(_plot, parts), is_trial=arguments.quick)


def _shown(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> list[dict[str, Any]]:
    return [{column: row.get(column) for column in columns} for row in rows]


def _plot(parts: Mapping[str, Mapping[str, Any]], measured: ExperimentResult, path: Path) -> None:
    lines = parts.get("sides", {}).get("timelines", {})
    shown = {name: lines[name] for name in ("slow spell", "overload 1.6x") if name in lines}
    rows = [row for name in ("sides", "api", "real") for row in parts.get(name, {}).get("rows", ())]
    load_plot.draw(rows, shown, parts.get("batching", {}).get("rows", ()), path)


if __name__ == "__main__":
    main()
