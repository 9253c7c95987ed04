"""The result of an experiment: question, method, seed, parameters, machine, rows, targets, as JSON and Markdown."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.awake import awake
from benchmarks.timing import Quantile

RESULTS = Path(__file__).parent / "results"
TRIALS = Path(__file__).parent / ".cache" / "trials"
"""Where ``--quick`` runs leave their files: they never replace a committed result."""


@dataclass(frozen=True, slots=True)
class Target:
    """A figure with its 95 % interval, and the bound that it should keep."""

    what: str
    measured: Quantile
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_reached(self) -> bool:
        value = self.measured.value
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def row(self) -> dict[str, Any]:
        """The target as a row of a table."""
        bound = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        return {
            "figure": self.what,
            "target": bound,
            "measured": self.measured.value,
            "low": self.measured.low,
            "high": self.measured.high,
            "reached": self.is_reached,
        }


@dataclass(frozen=True, slots=True)
class ExperimentResult:
    """Everything that is saved. ``rows`` are flat mappings with equal keys; durations in ms, sizes in bytes.

    ``more`` has further such tables by their headings. ``series`` is for plots, and in the JSON file alone.
    """

    name: str
    question: str
    method: str
    parameters: Mapping[str, Any]
    machine: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    targets: Sequence[Target] = ()
    notes: Sequence[str] = ()
    more: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    series: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    seed: int = 0
    measured_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


Plot = Callable[[ExperimentResult, Path], None]


def save(result: ExperimentResult, folder: Path) -> None:
    """Write ``NAME.json`` and ``NAME.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {**asdict(result), "targets": [target.row() for target in result.targets]}
    # The default turns numbers of numpy, which json does not know, into Python's.
    text = json.dumps(data, indent=1, default=lambda number: number.item())
    (folder / f"{result.name}.json").write_text(text + "\n")
    (folder / f"{result.name}.md").write_text(_markdown(result))


def _markdown(result: ExperimentResult) -> str:
    parts = [f"# {result.question}", result.method]
    if result.targets:
        parts += ["## Targets", tables.markdown([target.row() for target in result.targets])]
    parts += ["## Figures", tables.markdown(result.rows)]
    for heading, rows in result.more.items():
        parts += [f"## {heading}", tables.markdown(rows)]
    parts += [f"- {note}" for note in result.notes]
    parts += ["## Parameters", _listed({"seed": result.seed, **result.parameters})]
    parts += ["## Machine", _listed({"measured_at": result.measured_at, **result.machine})]
    return "\n\n".join(parts) + "\n"


def _listed(values: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in values.items())


def main(measure: Callable[[bool], ExperimentResult], plot: Plot | None = None) -> None:
    """The command line of an experiment. With ``--quick`` it measures small sizes and saves them as trials."""
    parser = argparse.ArgumentParser(description=(measure.__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes; files go to benchmarks/.cache/trials")
    quick = parser.parse_args().quick
    with awake() as circumstances:
        result = measure(quick)
    report(replace(result, machine={**result.machine, **circumstances}), plot, is_trial=quick)


def report(result: ExperimentResult, plot: Plot | None, *, is_trial: bool) -> None:
    """Save a result, draw it, and show it."""
    folder = TRIALS if is_trial else RESULTS
    save(result, folder)
    if plot is not None:
        plot(result, folder / f"{result.name}.png")
    tables.show(result.question, result.rows)
    if result.targets:
        tables.show("Targets", [target.row() for target in result.targets])
