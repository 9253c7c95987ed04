"""What does pruning save on traffic that hardly repeats? ``python -m benchmarks.traffic``"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from multiprocessing import get_context
from typing import Any

import numpy as np

from benchmarks import experiment, machine, traffic_plot, traffic_report
from benchmarks.awake import awake
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.stream_scores import CROSS_ENCODER, OTHER, recorded
from benchmarks.streams import SEED, Stream, faq, web
from benchmarks.traffic_clock import Check, Prices, checked
from benchmarks.traffic_replay import SHARED_EVERY_S, Mode, Replayed, replay
from semcache.commands.files import write_json
from semcache.settings import Settings

DEPTH = 50
CUTS = (5, 10)
EAGER_Z, EAGER_BUDGET = 1.0, 0.03
MIN_SCORE = 0.0
"""A logit of 0 is a probability of one half: below it the cross-encoder holds a passage for more likely irrelevant."""
OFF, MEASURE, CAREFUL = (
    Mode("off", {"mode": "off"}),
    Mode("measure", {"mode": "measure"}),
    Mode("careful", {"mode": "on"}),
)
LOWER = tuple(
    Mode(f"off, reuse_threshold {threshold:.2f}", {"mode": "off"}, {"reuse_threshold": threshold})
    for threshold in (0.60, 0.70, 0.90)
)
"""What thresholds beside the default of 0.80 would do where nothing is learned."""
EAGER = Mode("eager", {"mode": "on", "confidence": EAGER_Z}, {"quality_budget": EAGER_BUDGET})
PROVING = Mode("proving", {"mode": "on", "confidence": 2.0}, {"quality_budget": 0.1})
"""For checking the time model: pruning is soon in force, so that the requests that are checked are of every kind."""
FLOORED = tuple(replace(mode, name=f"{mode.name}, min_score", min_score=MIN_SCORE) for mode in (OFF, CAREFUL, EAGER))
STREAMS = {"faq": faq, "web": web}
CHECKED = {"faq": 160, "web": 70}
"""Requests with the real models, a minute or two each; in mode PROVING more than half of them are pruned."""
QUICK_REQUESTS, QUICK_CHECKED = 300, 45
TITLES = {"faq": "FAQ search", "web": "web queries"}

METHOD = f"""\
Two streams, one request at a time through OptimizedRerankerPipeline on an empty embedded Redis, with default settings
but for the mode of pruning: off, measure, on with the default confidence (careful), and on with confidence {EAGER_Z:g}
and a quality budget of {EAGER_BUDGET:g} (eager). FAQ search: 3,200 requests by Zipf's law (exponent 0.5) for 2,595
Quora questions, each marked as asking the same as one of a corpus of 15,000 others. Web queries: 1,000 consecutive ones
of a search log against TREC passages that mostly do not answer them, the adverse case. Candidates are the {DEPTH}
nearest by all-MiniLM-L6-v2, which is the cache's embedder, too; their cosines and vectors are passed on, as a vector
store has them. What is learned in the background is shared and followed every {SHARED_EVERY_S:g} modelled seconds, as
by default.

*Scores are recorded*: the real cross-encoder scored each pair once, alone in its batch, and the reranker of the replay
gives that score. *Time is modelled*, as processor time on one core, since the machine was not quiet: pairs asked x
seconds per pair, plus embeddings x seconds per embedding, plus the measured time of everything that semcache and Redis
do themselves. The first requests of each stream also went through the pipeline with the real models, one thread each,
and every third of them through the bare models, which gives the seconds per pair and per embedding; "The time model"
has the modelled and the measured sum of these requests.

Shares are of all candidates of all requests, exact repeats included; pairs of audits count as asked. loss is 1 - DCG@k
of the answer / DCG@k of whole scoring, with k = top_k and the sigmoid of the cross-encoder's score as gain;
absolute_loss is the difference of the two DCGs as a share of that of k documents which are certainly relevant.
scaled_loss takes a gain from 0 for the worst candidate to 1 for the best instead, as the quality watch does. worst_5:
5 % of the requests lose more. kept: share of the true top k in the answer. rounds: calls of the reranker per request.
own_ms: processor time of semcache itself, per request. waited: what a caller waits beside reranker and embedder, on the
busy machine. With min_score, documents below it have no gain, and are no part of an answer. 95 % intervals by bootstrap
over distinct queries. The second reranker is the cosine of bge-small-en-v1.5, on a scale like that of logits; its time
is counted as if it took as long as the cross-encoder.\
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One replay, and where it belongs in the tables."""

    stream: str
    reranker: str
    top_k: int
    mode: str
    replayed: Replayed

    @property
    def head(self) -> Mapping[str, Any]:
        return {"stream": self.stream, "reranker": self.reranker, "top_k": self.top_k, "mode": self.mode}


@dataclass(frozen=True, slots=True)
class Measured:
    """One stream: the check of the time model, all replays, and the share of requests that repeat an earlier one."""

    check: Check
    time_model: Mapping[str, Any]
    runs: Sequence[Run]
    repeats: float


def main() -> None:
    """Replay both streams in every mode, with recorded scores of two rerankers, and write results and plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few requests; files go to benchmarks/.cache/trials")
    quick = parser.parse_args().quick
    with awake() as circumstances, ProcessPoolExecutor(len(STREAMS), get_context("spawn")) as pool:
        measured = dict(zip(STREAMS, pool.map(_measured, STREAMS, repeat(quick)), strict=True))
    prices = {name: found.check.prices for name, found in measured.items()}
    runs = [run for found in measured.values() for run in found.runs]
    rows = list(_rows(runs, prices))
    result = ExperimentResult(
        name="traffic",
        question="What does pruning save on traffic that hardly repeats?",
        method=METHOD,
        parameters=_parameters(measured),
        machine={**machine.describe(), **circumstances},
        rows=rows,
        targets=list(_targets(rows)),
        more=_tables(measured, runs, prices),
        seed=SEED,
    )
    shares = _shares(runs)
    experiment.report(result, lambda _, path: traffic_plot.plot(shares, CAREFUL.name, path), is_trial=quick)
    # The plot is drawn from the shares, so that they go into the result file, too.
    path = (experiment.TRIALS if quick else experiment.RESULTS) / f"{result.name}.json"
    write_json(path, {**json.loads(path.read_text()), "shares": shares})


def _rows(runs: Sequence[Run], prices: Mapping[str, Prices]) -> Iterator[Mapping[str, Any]]:
    for run in runs:
        replayed = run.replayed
        found = traffic_report.figures(replayed.served, DEPTH, prices[run.stream], replayed.audited, replayed.beside_s)
        yield {**run.head, **found}


def _shortened(stream: Stream, requests: int | None) -> Stream:
    return replace(stream, requests=stream.requests[:requests])


def _measured(name: str, quick: bool) -> Measured:
    """Everything about one stream. Streams are measured side by side, each in a process, by processor time."""
    whole = STREAMS[name]()
    stream = _shortened(whole, QUICK_REQUESTS if quick else None)
    some = _shortened(whole, QUICK_CHECKED if quick else CHECKED[name])
    print(f"{name}: {len(some.requests)} requests with the real models", flush=True)
    check = checked(some, PROVING, CUTS[0], DEPTH)
    pair_s = check.prices.pair_s
    again = replay(some, recorded(some, CROSS_ENCODER, DEPTH), PROVING, CUTS[0], CROSS_ENCODER, pair_s)
    repeats = 1 - len(np.unique(stream.requests)) / len(stream.requests)
    return Measured(check, check.row(again), list(_runs(stream, pair_s)), repeats)


def _runs(stream: Stream, pair_s: float) -> Iterator[Run]:
    for reranker, top_k, modes in _plan(stream.name):
        scores = recorded(stream, reranker, DEPTH)
        for mode in modes:
            print(f"{stream.name}, {reranker}, top {top_k}, {mode.name}", flush=True)
            yield Run(stream.name, reranker, top_k, mode.name, replay(stream, scores, mode, top_k, reranker, pair_s))


def _plan(stream: str) -> Iterator[tuple[str, int, Sequence[Mode]]]:
    """What is replayed: reranker, top_k and modes."""
    # Cosines have no level below which a passage is irrelevant.
    floored = FLOORED if stream == "web" else ()
    yield CROSS_ENCODER, CUTS[0], (OFF, *LOWER, MEASURE, CAREFUL, EAGER, *floored)
    yield CROSS_ENCODER, CUTS[1], (CAREFUL, EAGER, *floored[1:2])
    yield OTHER, CUTS[0], (CAREFUL, EAGER)


def _tables(
    measured: Mapping[str, Measured], runs: Sequence[Run], prices: Mapping[str, Prices]
) -> dict[str, list[Mapping[str, Any]]]:
    ours = [run for run in runs if run.reranker == CROSS_ENCODER and run.top_k == CUTS[0]]
    return {
        "By status": [
            {"stream": run.stream, "mode": run.mode, **row}
            for run in ours
            if run.mode != MEASURE.name
            for row in traffic_report.by_status(run.replayed, DEPTH, prices[run.stream])
        ],
        "Along the stream": [
            {"stream": run.stream, "mode": run.mode, **row}
            for run in ours
            if run.mode != MEASURE.name
            for row in traffic_report.along(run.replayed.served, DEPTH)
        ],
        "The time model": [{"stream": name, **found.time_model} for name, found in measured.items()],
        "What the pipeline itself measured": list(_self_measured(ours)),
        "What the cache holds at the end": [
            {"stream": run.stream, "mode": run.mode, **traffic_report.memory(run.replayed)} for run in ours
        ],
    }


def _targets(rows: Sequence[Mapping[str, Any]]) -> Iterator[Target]:
    def row(stream: str, mode: str) -> Mapping[str, Any]:
        wanted = {"stream": stream, "reranker": CROSS_ENCODER, "top_k": CUTS[0], "mode": mode}
        return next(row for row in rows if wanted.items() <= row.items())

    for mode, share, most in ((CAREFUL, 0.40, 0.005), (EAGER, 0.60, 0.01)):
        found = row("faq", mode.name)
        what = f"FAQ search, top {CUTS[0]} of {DEPTH}, {mode.name}"
        yield traffic_report.target(f"{what}: pairs avoided", found, "avoided", at_least=share)
        yield traffic_report.target(f"{what}: time saved", found, "time_saved", at_least=share)
        yield traffic_report.target(f"{what}: loss", found, "loss", at_most=most)
    what = f"web queries, top {CUTS[0]} of {DEPTH}, {CAREFUL.name}"
    yield traffic_report.target(f"{what}: loss", row("web", CAREFUL.name), "loss", at_most=0.005)
    floored = row("web", FLOORED[1].name)
    yield traffic_report.target(f"{what}, min_score: pairs avoided", floored, "avoided", at_least=0.60)
    yield traffic_report.target(f"{what}, min_score: loss", floored, "loss", at_most=0.005)


def _self_measured(runs: Sequence[Run]) -> Iterator[Mapping[str, Any]]:
    """What the pipeline itself says of pruning at the end of a run, by confidence."""
    for run in runs:
        pruning = run.replayed.stats["quality"]["pruning"]
        for confidence, figures in pruning.get("by_confidence", {}).items():
            yield {**run.head, "in_force": pruning["confidence"], "confidence": confidence, **figures}


def _parameters(measured: Mapping[str, Measured]) -> Mapping[str, Any]:
    settings = Settings()
    return {
        "candidates": DEPTH,
        **{f"{name}_repeats": found.repeats for name, found in measured.items()},
        "min_score": MIN_SCORE,
        **{f"prune.{name}": value for name, value in settings.prune.model_dump().items()},
        **{f"reuse.{name}": value for name, value in settings.reuse.model_dump().items()},
    }


def _shares(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """Shares of pairs by reason along the stream, by title of the stream and mode."""
    shares: dict[str, dict[str, Any]] = {}
    lower = {mode.name for mode in LOWER}
    for run in runs:
        if run.reranker == CROSS_ENCODER and run.top_k == CUTS[0] and run.mode not in lower:
            title = f"{TITLES[run.stream]}, top {run.top_k} of {DEPTH}"
            shares.setdefault(title, {})[run.mode] = traffic_plot.shares(run.replayed.served, DEPTH)
    return shares


if __name__ == "__main__":
    main()
