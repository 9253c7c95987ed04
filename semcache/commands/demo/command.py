"""``semcache demo``: replays invented traffic and shows what the cache did."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import TimeElapsedColumn

from semcache.commands.bars import Bars
from semcache.commands.console import out
from semcache.commands.files import check_plot


def demo(
    requests: Annotated[int, typer.Option(min=20, max=100_000, help="Number of requests to replay.")] = 300,
    output: Annotated[Path, typer.Option(dir_okay=False, help="PNG file for the plot of latencies.")] = Path(
        "demo-latency.png"
    ),
    seed: Annotated[int, typer.Option(help="The same seed gives the same requests.")] = 7,
) -> None:
    """Replay invented questions to a help centre, with a private Redis and packaged models.

    Takes about a minute on two cores, downloads nothing, and needs no Redis of yours.
    """
    from semcache.commands.demo.plot import plot
    from semcache.commands.demo.report import report
    from semcache.commands.demo.run import run_demo
    from semcache.commands.models import packaged_models

    check_plot(output)
    with Bars(TimeElapsedColumn()) as bars:
        bars.show("loading the models", 0, 1)
        models = packaged_models()
        bars.show("loading the models", 1, 1)
        result = run_demo(requests, seed, models, bars.show)
    out().print(report(result))
    plot(result, output)
    out().print(f"\nlatency of every request: {output}", soft_wrap=True, highlight=False)
