"""One experiment's bookkeeping: question, method, seed, parameters, machine, rows and targets, as JSON and Markdown."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.awake import awake
from benchmarks.measure import Quantile

RESULTS = Path(__file__).parent / "results"
TRIALS = Path(__file__).parent / ".cache" / "trials"
"""Where ``--quick`` runs leave their files: they never replace a committed result."""


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that was promised: measured with its 95 % interval, and the bound it has to keep."""

    what: str
    measured: Quantile
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_reached(self) -> bool:
        value = self.measured.value
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def row(self) -> dict[str, Any]:
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
class Result:
    """What an experiment found. ``rows`` are flat mappings of equal keys; durations in ms, sizes in bytes."""

    name: str
    question: str
    method: str
    parameters: Mapping[str, Any]
    machine: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    targets: Sequence[Target] = ()
    notes: Sequence[str] = ()
    seed: int = 0
    measured_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


Plot = Callable[[Result, Path], None]


def save(result: Result, folder: Path) -> None:
    """Write ``NAME.json`` and ``NAME.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {**asdict(result), "targets": [target.row() for target in result.targets]}
    (folder / f"{result.name}.json").write_text(json.dumps(data, indent=1, default=_plain) + "\n")
    (folder / f"{result.name}.md").write_text(_markdown(result))


def _plain(value: Any) -> Any:
    """numpy's numbers, which json does not know."""
    return value.item()


def _markdown(result: Result) -> str:
    parts = [f"# {result.question}", result.method]
    if result.targets:
        parts += ["## Targets", tables.markdown([target.row() for target in result.targets])]
    parts += ["## Figures", tables.markdown(result.rows)]
    parts += [f"- {note}" for note in result.notes]
    parts += ["## Parameters", _listed({"seed": result.seed, **result.parameters})]
    parts += ["## Machine", _listed({"measured_at": result.measured_at, **result.machine})]
    return "\n\n".join(parts) + "\n"


def _listed(values: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in values.items())


def main(measure: Callable[[bool], Result], plot: Plot | None = None) -> None:
    """The command line of one experiment: ``--quick`` for small sizes, results in ``benchmarks/results`` or trials."""
    parser = argparse.ArgumentParser(description=(measure.__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes; files go to benchmarks/.cache/trials")
    quick = parser.parse_args().quick
    told: dict[str, object] = {}
    with awake(told):
        result = measure(quick)
    report(replace(result, machine={**result.machine, **told}), plot, is_trial=quick)


def report(result: Result, plot: Plot | None, *, is_trial: bool) -> None:
    """Save a result, draw it, and show it."""
    folder = TRIALS if is_trial else RESULTS
    save(result, folder)
    if plot is not None:
        plot(result, folder / f"{result.name}.png")
    tables.show(result.question, result.rows)
    if result.targets:
        tables.show("Targets", [target.row() for target in result.targets])
