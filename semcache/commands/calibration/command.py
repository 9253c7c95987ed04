"""``semcache calibrate``: thresholds for the user's own traffic."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option

from semcache.commands.console import err, say
from semcache.commands.exit_codes import ExitCode
from semcache.commands.files import JsonFile, check_folder, check_plot, present
from semcache.errors import InvalidInputError

if TYPE_CHECKING:
    from semcache.commands.calibration.result import Calibration
    from semcache.commands.calibration.run import CalibrationOptions
    from semcache.settings import Settings

_LOG = (
    'File with one request per line, in the order of asking: {"query": "...", "documents": ["...", ...]}; - for stdin.'
)
_FROM_CACHE = "Use the entries of the running cache instead of a log. No model is called."
_BUDGET = "Acceptable mean loss of a reused answer, as a share of its nDCG."
_MAX_PAIRS = "Largest number of pairs to score. Two cores score about 40 per second."


def calibrate(
    log: Annotated[Path | None, Argument(dir_okay=False, help=_LOG)] = None,
    from_cache: Annotated[bool, Option("--from-cache", help=_FROM_CACHE)] = False,
    budget: Annotated[float | None, Option(min=0, max=1, help=_BUDGET, show_default="reuse.quality_budget")] = None,
    # 5000 queries are embedded in about a minute (benchmarks/results/embedding.md).
    max_requests: Annotated[int, Option(min=1, help="Largest number of requests or entries to look at.")] = 5000,
    # 20,000 pairs are some 200 requests of 50 documents and their neighbours: ten minutes of scoring
    # at the speed of benchmarks/results/end_to_end.md.
    max_pairs: Annotated[int, Option(min=1, help=_MAX_PAIRS)] = 20_000,
    seed: Annotated[int, Option(min=0, help="The same seed chooses the same requests.")] = 7,
    state: Annotated[
        Path | None,
        Option(dir_okay=False, help="File that keeps the scores, so that a stopped run goes on. No texts are in it."),
    ] = None,
    json_file: JsonFile = None,
    plot_file: Annotated[
        Path | None, Option("--plot", dir_okay=False, help="Also draw the figures to this PNG file.")
    ] = None,
) -> None:
    """Recommend settings for your own traffic, by what reusing scores would save and cost on it.

    Prints the advice with lines to paste, then the figures that it rests on. Nothing is written but the files that you
    name. Ctrl-C stops it at any time; with --state the same command then continues where it stopped.
    """
    from semcache.commands.calibration.paste import recommended
    from semcache.commands.calibration.plot import plot
    from semcache.commands.calibration.report import report
    from semcache.commands.calibration.run import CalibrationOptions, calibrate_cache
    from semcache.settings import Settings

    if (log is None) != from_cache:
        raise InvalidInputError("name a log, or use --from-cache, and not both")
    settings = Settings()
    check_folder(json_file)
    if plot_file is not None:
        check_plot(plot_file)
    options = CalibrationOptions.of(settings, budget, max_requests, max_pairs, seed)
    if log is None:
        with err().status("reading entries"):
            found = calibrate_cache(settings, options)
    else:
        found = _of_log(log, state, settings, options)
    present(lambda: report(found), lambda: {"settings": recommended(found), **found.as_json()}, json_file)
    if plot_file is not None:
        plot(found, plot_file)


def _of_log(log: Path, state: Path | None, settings: "Settings", options: "CalibrationOptions") -> "Calibration":
    from rich.progress import TimeRemainingColumn

    from semcache.commands.bars import Bars
    from semcache.commands.calibration.log import read_log
    from semcache.commands.calibration.run import calibrate_log
    from semcache.commands.models import configured_models

    # Read before the models are loaded, which takes seconds: a bad line is then reported at once.
    requests = read_log(log)
    try:
        with Bars(TimeRemainingColumn()) as bars:
            bars.show("loading the models", 0, 1)
            models = configured_models(settings)
            bars.show("loading the models", 1, 1)
            return calibrate_log(requests, models.embedder, models.reranker, options, state, bars.show)
    except KeyboardInterrupt:
        kept = "with --state FILE the scores are kept, and the same command goes on"
        say(f"stopped; {kept if state is None else f'the scores so far are in {state}, and the same command goes on'}")
        raise Exit(ExitCode.INTERRUPTED) from None
