"""``semcache calibrate``: thresholds for one's own traffic."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import TimeRemainingColumn

from semcache.commands.bars import Bars
from semcache.commands.console import err, out
from semcache.errors import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from semcache.commands.calibration.result import Calibration
    from semcache.commands.calibration.run import Options
    from semcache.entries.entry import StoredEntry
    from semcache.protocols import Embedder, Reranker
    from semcache.settings import Settings


def calibrate(
    log: Annotated[
        Path | None,
        typer.Argument(
            dir_okay=False,
            help='A request per line: {"query": "...", "documents": ["...", ...]}, in the order asked.',
        ),
    ] = None,
    from_cache: Annotated[
        bool, typer.Option("--from-cache", help="Compare near entries of the running cache; no model is asked.")
    ] = False,
    budget: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Mean loss a hit may cost; default: reuse.quality_budget.")
    ] = None,
    max_requests: Annotated[
        int, typer.Option(min=1, help="Most requests (a contiguous stretch of the log) or entries.")
    ] = 5000,  # embedded in a minute on two cores
    max_pairs: Annotated[
        int, typer.Option(min=1, help="Most pairs to score; about 70 per second on two cores.")
    ] = 20_000,  # some 200 requests of 50 documents, in about five minutes
    seed: Annotated[int, typer.Option(min=0, help="The same seed chooses the same requests.")] = 7,
    state: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Where scores are kept, so that a stopped run goes on; default: LOG.scores."),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", dir_okay=False, help="Write everything as JSON.")] = None,
    plot_file: Annotated[Path | None, typer.Option("--plot", dir_okay=False, help="Write a plot (PNG).")] = None,
) -> None:
    """Measure what reuse would save and cost on your own traffic, and recommend thresholds.

    Ctrl-C stops it at any time; the same command goes on from there.
    """
    from semcache.commands.calibration.plot import check_plot, plot
    from semcache.commands.calibration.report import report
    from semcache.settings import Settings

    if (log is None) != from_cache:
        raise InvalidInputError("name a log, or use --from-cache, and not both")
    settings = Settings()
    for path in filter(None, (json_file, plot_file)):
        check_plot(path)
    options = _options(settings, budget, max_requests, max_pairs, seed)
    found = _of_cache(settings, options) if log is None else _of_log(log, state, settings, options)
    out().print(report(found))
    if json_file is not None:
        json_file.write_text(json.dumps(found.as_json(), indent=1) + "\n", encoding="utf-8")
    if plot_file is not None:
        plot(found, plot_file)


def _options(settings: "Settings", budget: float | None, max_requests: int, max_pairs: int, seed: int) -> "Options":
    from semcache.commands.calibration.run import Options
    from semcache.flow.reuse import ReusePolicy

    knobs = settings.reuse
    rule = ReusePolicy(
        knobs.trust_threshold,
        knobs.reuse_threshold,
        knobs.confidence,
        knobs.max_rounds,
        knobs.max_pairs_share,
        knobs.drift_limit,
    )
    return Options(
        rule=rule,
        budget=knobs.quality_budget if budget is None else budget,
        max_requests=max_requests,
        max_pairs=max_pairs,
        seed=seed,
        neighbours=settings.cache.neighbours,
        max_query_chars=settings.cache.max_query_chars,
    )


def _of_log(log: Path, state: Path | None, settings: "Settings", options: "Options") -> "Calibration":
    from semcache.commands.calibration.log import read_log
    from semcache.commands.calibration.run import calibrate_log

    requests = read_log(log)
    kept = state or Path(f"{log.name}.scores")
    try:
        with Bars(TimeRemainingColumn()) as bars:
            bars.show("loading the models", 0, 1)
            embedder, reranker = _models(settings)
            bars.show("loading the models", 1, 1)
            return calibrate_log(requests, embedder, reranker, options, kept, bars.show)
    except KeyboardInterrupt:
        err().print(f"stopped; what was scored is in {kept}, and the same command goes on from there", soft_wrap=True)
        raise typer.Exit(130) from None


def _models(settings: "Settings") -> "tuple[Embedder, Reranker]":
    from semcache.embedders.sentence_transformers import SentenceTransformerEmbedder
    from semcache.rerankers.build import build

    embedder = SentenceTransformerEmbedder(settings.embedder.model, settings.embedder.backend)
    return embedder, build(settings.rerankers[0], embedder)


def _of_cache(settings: "Settings", options: "Options") -> "Calibration":
    from semcache.commands.calibration.run import calibrate_entries

    if settings.redis.url.get_secret_value() == "embedded":
        raise ConfigurationError("redis.url is embedded, and a new private server is empty; name the running cache's")
    with err().status("reading entries"):
        embedder, reranker = _models(settings)
        if reranker.listwise:
            raise ConfigurationError(f"{reranker.name} gives orders; the cache holds no scores to compare")
        entries = _entries(settings, embedder, reranker.name, options.max_requests)
        return calibrate_entries(entries, reranker.name, embedder.name, options)


def _entries(settings: "Settings", embedder: "Embedder", reranker: str, most: int) -> "list[StoredEntry]":
    from semcache.cache import RedisSemanticCache

    url = settings.redis.url.get_secret_value()
    with RedisSemanticCache(url, embedder, reranker=reranker, settings=settings) as cache:
        entries = cache.store.sample(most)
    if not entries:
        raise InvalidInputError(
            f"namespace {settings.cache.namespace!r} holds no entry of {reranker} with {embedder.name}; "
            "set what the running application has set (semcache config shows it), or give a log"
        )
    return entries
