"""What do callers get when a reranker is overloaded, slow, failing or frozen, and when many call it at once?

``python -m benchmarks.load`` runs all parts, ``python -m benchmarks.load PART ...`` some of them; the figures of the
others are those of their last run, which are kept in ``benchmarks/.cache/load``.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import experiment, load_batching, load_bursts, load_drive, load_plot, load_report, machine
from benchmarks.awake import awake
from benchmarks.load_figures import Run
from benchmarks.load_scenarios import Scenario, limited, real, scenarios, spells
from benchmarks.load_sides import LIMITED_SIDES, OURS, SIDES

KEPT = Path(__file__).parent / ".cache" / "load"
TOGETHER = 16
"""Scripted scenarios that run side by side, each in a process of its own: they sleep nearly all the time."""
SPELLS, QUICK_SPELLS = 6, 2
MOST_OF_OTHERS = 2000
"""Requests of sides that need not show that nothing happens in 10,000 of them."""

Key = tuple[str, str]
"""A scenario's name and a side."""
Runs = list[tuple[Scenario, str]]


def sides(quick: bool) -> Runs:
    """Every scenario with every side."""
    return [
        (scenario if side == OURS else replace(scenario, count=min(scenario.count, MOST_OF_OTHERS)), side)
        for scenario in scenarios(quick).values()
        for side in SIDES
    ]


def only_spells(quick: bool) -> Runs:
    """Slow spells of several lengths, for semcache alone: when is each detected, and when is it over?"""
    return [(scenario, OURS) for scenario in spells(QUICK_SPELLS if quick else SPELLS)]


def api(quick: bool) -> Runs:
    """A service with a rate limit, with every side."""
    return [(limited(quick), side) for side in LIMITED_SIDES]


def with_the_model(quick: bool) -> dict[str, Any]:
    """The packaged cross-encoder at 1.6 times of what it scores alone, one side after the other."""
    per_s = load_bursts.requests_per_s()
    runs = [(real(per_s, quick), side) for side in SIDES]
    return {**_gathered(runs, _run(runs, at_once=1)), "requests_per_s": per_s}


SCRIPTED: Mapping[str, Callable[[bool], Runs]] = {"sides": sides, "spells": only_spells, "api": api}
"""Parts whose primaries sleep, so that all their runs share one pool."""
ALONE: Mapping[str, Callable[[bool], dict[str, Any]]] = {
    "real": with_the_model,
    "bursts": load_bursts.measure,
    "batching": load_batching.measure,
}
"""Parts that compute, one after the other."""
PARTS = (*SCRIPTED, *ALONE)


def _run(runs: Sequence[tuple[Scenario, str]], at_once: int) -> dict[Key, tuple[dict[str, Any], Run]]:
    """The row and the record of each run, each in a new process, longest first."""
    longest_first = sorted(runs, key=lambda run: -run[0].count / run[0].rate * run[0].scale)
    with ProcessPoolExecutor(at_once, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        waited = {(run[0].name, run[1]): pool.submit(load_drive.run, *run) for run in longest_first}
        return {key: future.result() for key, future in waited.items()}


def _gathered(runs: Sequence[tuple[Scenario, str]], found: Mapping[Key, tuple[dict[str, Any], Run]]) -> dict[str, Any]:
    """Rows and timelines of some of the runs."""
    lines: dict[str, dict[str, Any]] = {}
    for scenario, side in runs:
        incident = scenario.incident and (scenario.incident.start, scenario.incident.end)
        line = lines.setdefault(scenario.name, {"incident": incident})
        line[side] = load_plot.timeline(found[scenario.name, side][1])
    return {"rows": [found[scenario.name, side][0] for scenario, side in runs], "timelines": lines}


def measure(names: Sequence[str], quick: bool, keep: Callable[[str, dict[str, Any]], None]) -> None:
    """Measure these parts; each is kept as soon as it is there."""
    scripted = {name: SCRIPTED[name](quick) for name in names if name in SCRIPTED}
    if scripted:
        with _told(", ".join(scripted)) as head:
            found = _run([run for runs in scripted.values() for run in runs], TOGETHER)
        for name, runs in scripted.items():
            keep(name, {**head, **_gathered(runs, found)})
    for name in names:
        if name in ALONE:
            with _told(name) as head:
                measured = ALONE[name](quick)
            keep(name, {**head, **measured})


@contextmanager
def _told(what: str) -> Iterator[dict[str, Any]]:
    """Keeps the processors awake, and says how long it took. Yields when, at which commit and how it was measured."""
    started = perf_counter()
    head: dict[str, Any] = {"commit": machine.describe()["commit"]}
    with awake() as circumstances:
        yield head
    seconds = perf_counter() - started
    head |= {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "took_s": round(seconds), **circumstances}
    print(f"{what}: {seconds:.0f} s", file=sys.stderr)


def main() -> None:
    """Run the parts that are named, or all, and write the report."""
    parser = argparse.ArgumentParser(description=load_report.QUESTION)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes; files go to benchmarks/.cache/trials")
    parser.add_argument("--report", action="store_true", help="measure nothing, only write the report again")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    kept = KEPT / ("quick" if arguments.quick else "full")
    kept.mkdir(parents=True, exist_ok=True)

    def keep(name: str, measured: dict[str, Any]) -> None:
        text = json.dumps(measured, default=lambda value: value.tolist())
        (kept / f"{name}.json").write_text(text)

    if not arguments.report:
        measure(arguments.parts or PARTS, arguments.quick, keep)
    parts = {name: json.loads(file.read_text()) for name in PARTS if (file := kept / f"{name}.json").exists()}
    result = load_report.result(parts)
    experiment.report(result, lambda _, path: load_report.plot(parts, path), is_trial=arguments.quick)


if __name__ == "__main__":
    main()
