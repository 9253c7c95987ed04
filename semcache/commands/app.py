"""Puts the commands together."""

from importlib.metadata import version
from typing import Annotated

import typer

from semcache.commands.bench.command import bench
from semcache.commands.calibration.command import calibrate
from semcache.commands.config import config
from semcache.commands.demo.command import demo
from semcache.commands.redis import redis

app = typer.Typer(
    help="A semantic rerank cache: reuses reranker scores across repeated and reworded queries.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its locals may hold a password
)
for command in (config, redis, demo, calibrate, bench):
    app.command()(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("redis-semcache"))
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...
