"""The knobs of the reuse of scores: what is trusted, what is verified, and what it may cost."""

from typing import Literal, Self

from pydantic import model_validator

from semcache.flow.policy import ReusePolicy
from semcache.settings.knobs import Section, knob

# The policy stands below the settings and has the defaults; the knobs add the reasons.
_REUSE = ReusePolicy()


class Reuse(Section):
    """When scores of a similar query are used, and how they are verified."""

    trust_threshold: float = knob(
        _REUSE.trust_threshold,
        "Cosine similarity from which a similar query's scores are served without asking the reranker",
        reason="unasked reuse loses 0.05 nDCG@10 on its worst 5 % of requests from 0.97 on, 0.09 from 0.95 to 0.97 "
        "(benchmarks/results/quality.md)",
        ge=-1,
        le=1,
    )
    guard: Literal["facts", "strict", "off"] = knob(
        "facts",
        "How similar queries that ask something else are kept apart, so that they are verified and not trusted. "
        "strict: any differing word; facts: negations, numbers, opposites etc., other words weighed; off: never",
        reason="from similarity 0.80 on facts trusts 51 % of question pairs that ask the same and 5 % of the others, "
        "strict 20 % and 2 % (benchmarks/results/guards.md); a wrong trust costs order, never a document",
    )
    reuse_threshold: float = knob(
        _REUSE.reuse_threshold,
        "Cosine similarity from which a similar query's scores decide which documents the reranker need not score",
        reason="near questions of an FAQ search are often other questions: from 0.60 on verified reuse loses 0.032 "
        "over all requests there, from 0.80 on 0.002 (benchmarks/results/traffic.md); rewrites of one question lose "
        "nothing from 0.60 on (quality.md)",
        ge=-1,
        le=1,
    )
    confidence: float = knob(
        _REUSE.confidence,
        "z: a document is scored while its cached score + median drift + z x spread could reach the top k",
        unit="spreads",
        reason="z 0 loses 0.059 nDCG@10 on the worst 5 % of requests and avoids 74 % of the pairs; z 1 0.023 and 65 "
        "%, z 1.5 nothing and 59 % (benchmarks/results/quality.md)",
        ge=0,
        le=10,
    )
    max_rounds: int | None = knob(
        _REUSE.max_rounds,
        "How often one verification asks the reranker at most; after that it stops, and the ranking says so. none: 3, "
        "and 1 for a reranker that waits for a service",
        unit="rounds",
        reason="the best-looking documents, then the most promising, then all that could still reach the top k; two "
        "rounds on average. Each one waits for the network of a service, and one alone avoids 1 to 2 points less at "
        "the same loss (benchmarks/results/quality.md)",
        ge=1,
        le=100,
    )
    max_pairs_share: float = knob(
        _REUSE.max_pairs_share,
        "Share of the candidates that a verification may have scored although a similar query's scores of them are "
        "known; then it stops, and the ranking says so",
        reason="below 1 a top k may hold scores made for another query",
        formerly="max_pairs",
        gt=0,
        le=1,
    )
    drift_limit: float | None = knob(
        _REUSE.drift_limit,
        "Drift (median or spread) above which all candidates are scored; none: no limit",
        unit="standard deviations of the candidates' cached scores",
        reason="the bound grows with the spread by itself, so a limit only has more documents scored",
        gt=0,
    )
    audit_rate: float = knob(
        0.01,
        "Share of hits scored afresh in the background to measure what trust costs; 0 stops all measuring",
        reason="one model call in a hundred hits costs little, and some tens of them show that the reranker has "
        "changed",
        ge=0,
        le=1,
    )
    quality_budget: float = knob(
        0.01,
        "Mean loss (1 - nDCG against the fresh order) that trusted hits may cost before the trust threshold is raised",
        reason="smaller than the differences between rerankers, larger than the noise of a few hundred audits",
        gt=0,
        lt=1,
    )

    trust_floor: float = knob(
        0.90,
        "Cosine similarity down to which audits may lower the trust threshold, where near queries have surely cost "
        "less than quality_budget; 1: never below trust_threshold",
        reason="trusted from 0.90 on, the worst 5 % of TREC's rewordings lose 0.08 nDCG@10 (README); other traffic may "
        "lose less, and proves it before it is trusted",
        ge=-1,
        le=1,
    )

    @model_validator(mode="after")
    def _trust_is_stricter(self) -> Self:
        if self.trust_threshold < self.reuse_threshold:
            raise ValueError(
                f"trust_threshold {self.trust_threshold} is below reuse_threshold {self.reuse_threshold}; what is "
                "served unasked must be at least as similar as what is verified: raise the one or lower the other"
            )
        return self
