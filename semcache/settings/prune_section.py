"""The knobs of pruning: what need not be asked on a request that the cache cannot answer."""

from semcache.flow.policy import DocumentVectors, PruneMode, PrunePolicy
from semcache.settings.knobs import Section, knob

# The policy stands below the settings and has the defaults; the knobs add the reasons.
_PRUNE = PrunePolicy()


class Prune(Section):
    """When documents are skipped that by earlier scores of this reranker cannot be among the best."""

    mode: PruneMode = knob(
        _PRUNE.mode,
        "off: never, and nothing is learned; measure: what was learned corrects the scores of near queries, and "
        "events, statistics and metrics say what skipping more would avoid, and at what loss; on: documents are "
        "skipped as soon as the evidence suffices",
        reason="measuring costs under a millisecond per request; its figures say whether to switch it on. Near hits of "
        "an FAQ lose a tenth without the correction (benchmarks/results/traffic.md)",
    )
    confidence: float = knob(
        _PRUNE.confidence,
        "z: a document is scored while its expected score + z x spread could reach the top k. Raised by itself while "
        "the loss is above reuse.quality_budget",
        unit="spreads",
        reason="top 10 of 50 on a complete miss, TREC DL 2019: z 2 avoids 39 % of the pairs and costs the worst 5 % of "
        "requests nothing, z 1.5 50 % and 0.003 nDCG@10, z 1 59 % and 0.034 (benchmarks/results/quality.md)",
        ge=0,
        le=10,
    )
    max_rounds: int | None = knob(
        _PRUNE.max_rounds,
        "How often one pruned request asks the reranker at most. none: 5, and 1 for a reranker that waits for a "
        "service",
        unit="rounds",
        reason="each answer tells of documents that are alike: 5 rounds avoid 56 % of the pairs, one avoids 48 % (top "
        "5 of 50), at the same loss. A local model is then done sooner; an API of 200 ms answers after 0.75 s instead "
        "of 0.2 s (benchmarks/results/quality.md)",
        ge=1,
        le=100,
    )
    explore: float = knob(
        _PRUNE.explore,
        "Share of the requests that are scored whole although they could be pruned, so that the loss stays measured",
        reason="costs 2 % of what pruning saves, and gives 20 measurements in a thousand requests",
        ge=0,
        le=1,
    )
    document_vectors: DocumentVectors = knob(
        _PRUNE.document_vectors,
        "Vectors that the similarity of query and document is taken from. off: none; given: those that callers pass; "
        "documents: also those that documents carry (embedding or vector, as an attribute or in the metadata), which "
        "have to be of the cache's embedder; embed: others are embedded in spare time, once per document, and kept in "
        "Redis for cache.ttl_s",
        reason="nothing tells which model made the vectors that documents carry; to embed a passage takes a CPU some "
        "milliseconds and Redis about a kilobyte, which is to be decided by the user",
    )
    max_document_vectors: int = knob(
        _PRUNE.max_document_vectors,
        "Most documents of which something is kept at a time: vectors, with document_vectors: embed, and how much "
        "better than the others they scored for earlier queries. Further ones are not embedded, and not learned from",
        unit="documents",
        reason="about 50 MB of Redis for vectors of 384 dims, 4 MB for scores",
        ge=1,
        le=100_000_000,
    )
    cascade: str | None = knob(
        _PRUNE.cascade,
        "Name of a rung below the primary that scores every document of a request first, so that the primary is asked "
        "about fewer; learned from in spare time. none: no such rung",
        reason="pays where the primary is much slower, such as a language model: the packaged cross-encoder on 32 "
        "tokens lets 3 to 5 % more of the pairs be avoided, and costs half of one for every pair (top 5 and 10 of 50 "
        "and 100, benchmarks/results/quality.md)",
        min_length=1,
    )
