"""``semcache demo``: replay invented traffic and show what the cache did."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from semcache.cli.console import err, out


def demo(
    requests: Annotated[int, typer.Option(min=20, max=100_000, help="How many requests to replay.")] = 300,
    output: Annotated[Path, typer.Option(dir_okay=False, help="Where the plot of latencies goes.")] = Path(
        "demo-latency.png"
    ),
    seed: Annotated[int, typer.Option(help="The same seed gives the same requests.")] = 7,
) -> None:
    """Replay a help centre's traffic against a private Redis and packaged models; about a minute on two cores."""
    from semcache.demo.models import load_models
    from semcache.demo.plot import check_plot, plot
    from semcache.demo.report import report
    from semcache.demo.run import run_demo

    check_plot(output)
    with _Bars() as bars:
        bars.show("loading the models", 0, 1)
        models = load_models()
        bars.show("loading the models", 1, 1)
        result = run_demo(requests, seed, models, bars.show)
    out().print(report(result))
    plot(result, output)
    out().print(f"\nlatency of every request: {output}", soft_wrap=True, highlight=False)


class _Bars:
    """One progress bar for each thing that is being done."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=err(),
        )
        self._tasks: dict[str, TaskID] = {}

    def show(self, what: str, step: int, steps: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=steps)
        self._progress.update(self._tasks[what], completed=step)

    def __enter__(self) -> "_Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
