"""``semcache bench``: how fast semcache is on this machine, with these settings."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from semcache.commands.console import err, out
from semcache.errors import ConfigurationError


def bench(
    redis_url: Annotated[
        str | None,
        typer.Option(help="Redis to measure, or embedded for a private one.", show_default="redis.url of the settings"),
    ] = None,
    entries: Annotated[int, typer.Option(help="How many entries to measure on, up to 1,000,000.")] = 2000,
    documents: Annotated[int, typer.Option(help="Documents of each entry and request, up to 1000.")] = 50,
    seconds: Annotated[float, typer.Option(help="Most seconds each measurement takes, up to 60.")] = 2.0,
    no_models: Annotated[bool, typer.Option("--no-models", help="Load no model: no embedding, no reranking.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", dir_okay=False, help="Write everything as JSON.")] = None,
) -> None:
    """Measure semcache here, with your Redis, models and settings; under a minute on two cores.

    It stores invented entries in a namespace of its own, and removes them at the end or on Ctrl-C.
    """
    from semcache.commands.bench.models import configured_models
    from semcache.commands.bench.report import report
    from semcache.commands.bench.result import Options
    from semcache.commands.bench.run import run_bench
    from semcache.settings import Settings

    options = Options(entries, documents, seconds)
    settings = Settings() if redis_url is None else Settings(redis={"url": redis_url})
    if json_file is not None and not json_file.parent.is_dir():
        raise ConfigurationError(f"cannot write {json_file}: there is no folder {json_file.parent}; make it first")
    try:
        with _sigterm_as_interrupt():
            found = run_bench(options, settings, None if no_models else configured_models, _say)
    except KeyboardInterrupt:
        err().print("stopped; what was stored is removed again")
        raise typer.Exit(130) from None
    out().print(report(found))
    if json_file is not None:
        json_file.write_text(json.dumps(found.as_json(), indent=1) + "\n", encoding="utf-8")


def _say(what: str) -> None:
    # Lines, since the thread that keeps a progress bar moving would disturb what is measured.
    err().print(f"{what} ...", style="dim", highlight=False)


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Whoever stops the process otherwise than by Ctrl-C wants a clean server, too."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
