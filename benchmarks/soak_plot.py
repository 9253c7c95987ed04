"""Draws a soak: memory, entries, descriptors, threads and latency over time, with the faults behind them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.experiment import ExperimentResult

_STATUSES = ("exact", "semantic", "verified", "pruned", "fresh", "degraded")


def plot(result: ExperimentResult, path: Path) -> None:
    """Four panels over the minutes of the run. Grey is a fault of Redis."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    samples, reports = result.series["samples"], result.series["reports"]
    minutes = [sample["at_s"] / 60 for sample in samples]
    figure, panels = pyplot.subplots(4, 1, figsize=(10, 12), sharex=True)
    memory, server, counts, latency = panels
    for name, label in (("rss_mib", "RSS"), ("uss_mib", "USS"), ("own_mib", "own: no files")):
        memory.plot(minutes, [sample[name] for sample in samples], label=label)
    allocated = [report for report in reports if "malloc_mib" in report]
    for name, label in (("malloc_mib", "malloc, in use"), ("malloc_free_mib", "malloc, kept")):
        points = [(report["at_s"] / 60, report[name]) for report in allocated]
        memory.plot(*zip(*points, strict=True), label=label, linestyle="--")
    memory.set(title="Memory of the client", ylabel="MiB")
    memory.set_ylim(bottom=0)
    there = [sample for sample in samples if "used_mib" in sample]
    server.plot(
        [sample["at_s"] / 60 for sample in there], [sample["used_mib"] for sample in there], label="used_memory, MiB"
    )
    server.plot(
        [sample["at_s"] / 60 for sample in there], [sample["keys"] / 1000 for sample in there], label="thousand keys"
    )
    server.set(title="Server")
    for name in ("descriptors", "threads"):
        counts.plot(minutes, [sample[name] for sample in samples], label=name)
    for name in ("tasks", "loops"):
        counts.plot([report["at_s"] / 60 for report in reports], [report[name] for report in reports], label=name)
    counts.set(title="Client", ylabel="number")
    counts.set_ylim(bottom=0)
    _latencies(latency, reports)
    latency.set(title="Median of five seconds", ylabel="ms", xlabel="minutes", yscale="log")
    for axes in panels:
        for fault in result.series["faults"]:
            axes.axvspan(fault["from_s"] / 60, fault["to_s"] / 60, color="0.9", zorder=0)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _latencies(axes: Any, reports: Sequence[Mapping[str, Any]]) -> None:
    for status in _STATUSES:
        points = [
            (report["at_s"] / 60, report["statuses"][status]["p50_ms"])
            for report in reports
            if status in report["statuses"]
        ]
        if points:
            axes.plot(*zip(*points, strict=True), label=status, linewidth=0.8)
