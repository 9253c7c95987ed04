"""While the primary is down, what orders the documents best: the fallback alone, or with what the cache remembers?

``python -m benchmarks.degraded`` reads recorded scores (``python -m benchmarks.quality`` makes them) and calls no
model.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import evidence, machine
from benchmarks.reuse_requests import KNOWN, Evidence, Floats, Request, pairs
from benchmarks.tables import markdown, show
from benchmarks.trec import RETRIEVERS, Topic, check_loader, data_folder, load_topics, ndcg
from semcache.flow.requests import checked_request
from semcache.flow.stand_in import LEAST_SHARE, LEAST_SHARE_OF_ORDER, LEAST_SIMILARITY_OF_ORDER, Remembered, stand_in
from semcache.protocols import Scored

RESULTS = Path(__file__).parent / "results"
DEPTH, CUT, SEED = 50, 10, 7
BANDS = (0.60, 0.70, 0.80, 0.90, 0.97, 1.01)
SHARES = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)

Fallbacks = Mapping[str, Floats | None]
"""Scores of the candidates by fallback; None is the retriever's order."""


def main() -> None:
    """Measure on the scores on disk, and write the results."""
    topics = load_topics(data_folder())
    check_loader(topics)
    cheap = {
        "embedding": evidence.stored_scores(topics, evidence.EMBEDDER),
        "cut cross-encoder": evidence.stored_scores(topics, evidence.CUT_CROSS_ENCODER),
    }
    measured = list(_evidence(topics, cheap["embedding"]))
    sections = {
        "near": list(_near(measured, cheap)),
        "exact": list(_exact(measured, cheap)),
        "shares": list(_shares(measured, cheap)),
    }
    about = {"depth": DEPTH, "cut": CUT, "seed": SEED, "machine": machine.describe()}
    (RESULTS / "degraded.json").write_text(json.dumps({"about": about, **sections}, indent=1) + "\n")
    (RESULTS / "degraded.md").write_text(_report(sections))
    for name, rows in sections.items():
        show(name, rows)


def _evidence(topics: Sequence[Topic], cosines: Mapping[str, Floats]) -> Iterator[Evidence]:
    similarities = evidence.wording_similarities(topics)
    scores = evidence.stored_scores(topics, evidence.CROSS_ENCODER)
    nothing = np.empty((0, 0), np.float32)  # vectors play no part here
    for topic in topics:
        yield Evidence(topic, scores[topic.id], cosines[topic.id], similarities[topic.id], nothing, nothing)


def _near(measured: Sequence[Evidence], cheap: Mapping[str, Mapping[str, Floats]]) -> Iterator[dict[str, Any]]:
    """By how many candidates a near query knows, and how near it is."""
    for known in KNOWN:
        requests = pairs(measured, known, DEPTH, BANDS[0])
        for low, high in (*pairwise(BANDS), (BANDS[0], BANDS[-1])):
            band = [request for request in requests if low <= request.similarity < high]
            for fallback in ("order", *cheap):
                gains = [
                    _compared(request, request.prior.scores, _scores_of(request, cheap, fallback), request.similarity)
                    for request in band
                ]
                yield {"known": known, "similarity": f"{low:.2f}-{min(high, 1.0):.2f}", "fallback": fallback} | _row(
                    gains
                )


def _exact(measured: Sequence[Evidence], cheap: Mapping[str, Mapping[str, Floats]]) -> Iterator[dict[str, Any]]:
    """A random part of the candidates was scored for this very query."""
    rng = np.random.default_rng(SEED)
    requests = pairs(measured, "all", DEPTH, BANDS[0])
    for share in SHARES:
        for fallback in ("order", *cheap):
            gains = [
                _compared(
                    request, _kept(request.truth, share, rng), _scores_of(request, cheap, fallback), similarity=None
                )
                for request in requests
            ]
            yield {"share known": share, "fallback": fallback} | _row(gains)


def _shares(measured: Sequence[Evidence], cheap: Mapping[str, Mapping[str, Floats]]) -> Iterator[dict[str, Any]]:
    """A near query knows a random part of the candidates; the rule is applied whatever the share."""
    rng = np.random.default_rng(SEED)
    requests = pairs(measured, "all", DEPTH, BANDS[0])
    for low, high in ((0.60, 0.70), (0.70, 0.80), (0.80, 1.01)):
        band = [request for request in requests if low <= request.similarity < high]
        for share in SHARES:
            for fallback in ("order", *cheap):
                gains = [
                    _compared(
                        request,
                        _kept(request.prior.scores, share, rng),
                        _scores_of(request, cheap, fallback),
                        request.similarity,
                        is_forced=True,
                    )
                    for request in band
                ]
                yield {
                    "similarity": f"{low:.2f}-{min(high, 1.0):.2f}",
                    "share known": share,
                    "fallback": fallback,
                } | _row(gains)


def _compared(
    request: Request, known: Floats, fallback: Floats | None, similarity: float | None, *, is_forced: bool = False
) -> tuple[float, float, float]:
    """nDCG of the fallback alone, of the fallback with what is remembered, and of the primary."""
    candidates, topic = request.candidates, request.topic
    made = checked_request("a query", [str(place) for place in range(len(candidates))], CUT)
    scored = Scored(None if fallback is None else fallback.astype(np.float32), "fallback", "open")
    # All of them known, to force the rule where the share alone would not be enough.
    count = len(known) if is_forced else int(np.isfinite(known).sum())
    outcome = stand_in(made, scored, Remembered(known, count, None if is_forced else similarity))
    alone = np.arange(len(candidates)) if fallback is None else np.argsort(-fallback, kind="stable")
    orders = (alone, np.array(outcome.order), np.argsort(-request.truth, kind="stable"))
    first, second, third = (ndcg(candidates[order], topic, CUT) for order in orders)
    return first, second, third


def _scores_of(request: Request, cheap: Mapping[str, Mapping[str, Floats]], fallback: str) -> Floats | None:
    if fallback == "order":
        return None
    return cheap[fallback][request.topic.id][request.served, request.candidates]


def _kept(scores: Floats, share: float, rng: np.random.Generator) -> Floats:
    kept: NDArray[np.intp] = rng.choice(len(scores), max(2, round(share * len(scores))), replace=False)
    known = np.full(len(scores), np.nan)
    known[kept] = scores[kept]
    return known


def _row(gains: Sequence[tuple[float, float, float]]) -> dict[str, Any]:
    # The cut cross-encoder was recorded for a part of the wordings.
    usable = np.array([gain for gain in gains if np.isfinite(gain).all()])
    if not len(usable):
        return {"requests": 0}
    alone, with_cache, primary = usable.T
    change = np.sort(with_cache - alone)
    return {
        "requests": len(usable),
        "fallback alone": float(alone.mean()),
        "with the cache": float(with_cache.mean()),
        "change": float(change.mean()),
        "worst 5 %": float(change[: max(1, len(change) // 20)].mean()),
        "primary": float(primary.mean()),
    }


def _report(sections: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    return f"""# What orders documents while the primary is down?

TREC DL 2019 with human-checked rewrites, three retrievers ({", ".join(RETRIEVERS)}), {DEPTH} candidates, nDCG@{CUT};
recorded scores of the int8 cross-encoder, which is the primary. The fallbacks are the retriever's order, cosines of
all-MiniLM-L6-v2 (the rung "embedding"), and the same cross-encoder on the first 32 tokens. "With the cache" is the
answer of `semcache.flow.stand_in`: remembered scores, the other documents placed among them by the fallback. It is used
when {LEAST_SHARE:.0%} of the documents are known, and beside the retriever's order when {LEAST_SHARE_OF_ORDER:.0%} are,
by a query of similarity {LEAST_SIMILARITY_OF_ORDER:g} or more; elsewhere both columns are the same.

"worst 5 %" is the mean change of the twentieth of the requests that lose most; the primary itself, compared with a
fallback, loses as much on some. No cached score is verified here, since
there is nothing to verify it with; `quality.md` has the changes against the primary.

## Scores of a near query

"known" says from which retriever's candidates the remembered query's scores are: the same (all 50 known), or another
one (two thirds, one third).

{markdown(sections["near"])}

## Scores of this very query, of a random part of the candidates

{markdown(sections["exact"])}

## How much has to be known

A near query knows a random part, and the rule is applied whatever the share: this is what the three thresholds are
taken from.

{markdown(sections["shares"])}
"""


if __name__ == "__main__":
    main()
