"""Puts the commands together into one application."""

from typing import Annotated

import typer
from typer import Option

from semcache.commands.bench.command import bench
from semcache.commands.breaker import breaker
from semcache.commands.calibration.command import calibrate
from semcache.commands.config import config
from semcache.commands.demo.command import demo
from semcache.commands.doctor.command import doctor
from semcache.commands.forget import clear, forget
from semcache.commands.group import Commands
from semcache.commands.inspect.command import inspect
from semcache.commands.migrate import migrate
from semcache.commands.redis import redis
from semcache.commands.serve import serve
from semcache.commands.size import size
from semcache.commands.stats.command import stats
from semcache.commands.top.command import top
from semcache.commands.transfer.export import export
from semcache.commands.transfer.load import load
from semcache.commands.warm.command import warm

app: typer.Typer = typer.Typer(
    cls=Commands,
    help="A cache for rerankers: it reuses scores when a query is repeated or asked in other words.",
    epilog="Exit codes: 0 done, 1 a fault was found or something failed, 2 wrong usage, 3 wrong configuration, "
    "4 Redis or a service cannot be used, 130 stopped by Ctrl-C or SIGTERM.",
    no_args_is_help=True,
    # By this mode paragraphs of docstrings are wrapped anew, and square brackets are no markup.
    rich_markup_mode="markdown",
    # Commands below take it over.
    context_settings={"help_option_names": ["-h", "--help"]},
    # The tracebacks of rich show local variables, and one of them may hold the password of the Redis url.
    pretty_exceptions_enable=False,
)
# In the order in which a newcomer needs them; the help lists them in this order, and groups behind them.
app.command()(config)
app.command()(doctor)
app.command()(stats)
app.command()(inspect)
app.command()(warm)
app.command()(forget)
app.command()(clear)
app.command()(export)
app.command("import")(load)
app.add_typer(redis, name="redis")
for _command in (serve, top, demo, size, calibrate, bench, breaker, migrate):
    app.command()(_command)


# Invoked without a command too, as in ``semcache --version``.
@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, Option("--version", help="Print the version and exit.")] = False,
    traceback: Annotated[
        bool, Option("--traceback", help="Show where an unexpected error came from, for a report.")
    ] = False,
) -> None:
    if version:
        # Importing it takes as long as the rest of the help.
        from importlib import metadata

        typer.echo(metadata.version("redis-semcache"))
        raise typer.Exit
