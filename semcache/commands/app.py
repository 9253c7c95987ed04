"""Puts the commands together into one application."""

from importlib import metadata
from typing import Annotated

import typer
from typer import Option

from semcache.commands.bench.command import bench
from semcache.commands.breaker import breaker
from semcache.commands.calibration.command import calibrate
from semcache.commands.config import config
from semcache.commands.demo.command import demo
from semcache.commands.doctor.command import doctor
from semcache.commands.redis import redis
from semcache.commands.serve import serve

app: typer.Typer = typer.Typer(
    help="A cache for rerankers: it reuses scores when a query is repeated or asked in other words.",
    no_args_is_help=True,
    add_completion=False,
    # The tracebacks of rich show local variables, and one of them may hold the password of the Redis url.
    pretty_exceptions_enable=False,
)
# In the order in which a newcomer needs them; the help lists them in this order, and groups behind them.
app.command()(config)
app.command()(doctor)
app.add_typer(redis, name="redis")
for _command in (serve, demo, calibrate, bench, breaker):
    app.command()(_command)


# Invoked without a command too, as in ``semcache --version``.
@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(metadata.version("redis-semcache"))
        raise typer.Exit
