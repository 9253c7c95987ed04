"""``semcache demo``: replays invented traffic and shows what the cache did."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from semcache.commands.console import say
from semcache.commands.files import JsonFile, check_folder, check_plot, present


def demo(
    requests: Annotated[int, typer.Option(min=20, max=100_000, help="Number of requests to replay.")] = 300,
    output: Annotated[Path, typer.Option(dir_okay=False, help="PNG file for the plot of latencies.")] = Path(
        "demo-latency.png"
    ),
    seed: Annotated[int, typer.Option(help="The same seed gives the same requests.")] = 7,
    cluster: Annotated[bool, typer.Option("--cluster", help="Use a Redis Cluster of three shards.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Replay invented questions to a help centre, with a private Redis and packaged models.

    Takes about a minute on two cores, downloads nothing, and needs no Redis of yours.
    """
    from rich.progress import TimeElapsedColumn

    from semcache.commands.bars import Bars
    from semcache.commands.demo.plot import plot
    from semcache.commands.demo.report import figures, report
    from semcache.commands.demo.run import run_demo
    from semcache.commands.models import packaged_models
    from semcache.redis.server.embedded import EmbeddedRedis

    check_plot(output)
    check_folder(json_file)
    with Bars(TimeElapsedColumn()) as bars:
        bars.show("loading the models", 0, 1)
        models = packaged_models()
        bars.show("loading the models", 1, 1)
        with EmbeddedRedis(cluster=3) if cluster else nullcontext() as shards:
            url = "embedded" if shards is None else shards.url
            result = run_demo(requests, seed, models, bars.show, redis_url=url)
    present(lambda: report(result), lambda: figures(result), json_file)
    plot(result, output)
    say(f"latency of every request: {output}")
