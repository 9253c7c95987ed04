"""``semcache demo``: replay invented traffic and show what the cache did."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import TimeElapsedColumn

from semcache.commands.bars import Bars
from semcache.commands.console import out


def demo(
    requests: Annotated[int, typer.Option(min=20, max=100_000, help="How many requests to replay.")] = 300,
    output: Annotated[Path, typer.Option(dir_okay=False, help="Where the plot of latencies goes.")] = Path(
        "demo-latency.png"
    ),
    seed: Annotated[int, typer.Option(help="The same seed gives the same requests.")] = 7,
) -> None:
    """Replay a help centre's traffic against a private Redis and packaged models; about a minute on two cores."""
    from semcache.commands.demo.models import load_models
    from semcache.commands.demo.plot import check_plot, plot
    from semcache.commands.demo.report import report
    from semcache.commands.demo.run import run_demo

    check_plot(output)
    with Bars(TimeElapsedColumn()) as bars:
        bars.show("loading the models", 0, 1)
        models = load_models()
        bars.show("loading the models", 1, 1)
        result = run_demo(requests, seed, models, bars.show)
    out().print(report(result))
    plot(result, output)
    out().print(f"\nlatency of every request: {output}", soft_wrap=True, highlight=False)
