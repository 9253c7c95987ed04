"""``semcache bench``: how fast semcache is on this machine, with these settings."""

from typing import Annotated

from typer import Exit, Option

from semcache.commands.console import err
from semcache.commands.exit_codes import ExitCode
from semcache.commands.files import JsonFile, check_folder, present


def bench(
    redis_url: Annotated[
        str | None,
        Option(help='URL of the Redis to measure, or "embedded" for a private one.', show_default="redis.url"),
    ] = None,
    entries: Annotated[int, Option(help="Number of entries to store and look up, at most 1,000,000.")] = 2000,
    documents: Annotated[int, Option(help="Number of documents per request, at most 1000.")] = 50,
    seconds: Annotated[float, Option(help="Time limit of each measurement in seconds, at most 60.")] = 2.0,
    no_models: Annotated[bool, Option("--no-models", help="Measure neither embedding nor reranking.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Measure how fast semcache is here, with your Redis, models and settings. Takes under a minute on two cores.

    It stores invented entries in a namespace of its own and removes them at the end, also after Ctrl-C.
    """
    from semcache.commands.bench.report import report
    from semcache.commands.bench.result import BenchOptions
    from semcache.commands.bench.run import run_bench
    from semcache.commands.models import warm_models
    from semcache.settings import Settings

    # Everything that may be wrong with the arguments comes before the work.
    options = BenchOptions(entries, documents, seconds)
    settings = Settings() if redis_url is None else Settings(redis={"url": redis_url})
    check_folder(json_file)
    try:
        result = run_bench(
            options,
            settings,
            None if no_models else warm_models,
            # Lines: the thread that keeps a progress bar moving would disturb what is measured.
            lambda phase: err().print(f"{phase} ...", style="dim", highlight=False),
        )
    except KeyboardInterrupt:
        err().print("stopped; what was stored is removed again")
        raise Exit(ExitCode.INTERRUPTED) from None
    present(lambda: report(result), result.as_json, json_file)
