"""Says what an operator can do about an error or an outage, by the class of the error."""

from collections.abc import Mapping

_REDIS_AWAY = (
    "See that Redis runs and can be reached; the cache comes back by itself when it does. "
    "`semcache doctor` checks address, login and network."
)
_BY_ERROR: Mapping[str, str] = {
    "StoreUnavailableError": _REDIS_AWAY,
    "StoreLeftAloneError": _REDIS_AWAY,
    "StoreTooSlowError": "Redis answers too slowly. Look at its CPU, at slow commands (SLOWLOG GET) and at the "
    "network; redis.budget_s is how long a request waits.",
    "TransientStoreError": "Redis refuses writes for now: full, read-only or loading. See its maxmemory and "
    "maxmemory-policy, and whether it is a replica.",
    "IndexMismatchError": "The index was made for other vectors. Use another cache.namespace, or the embedder that "
    "made it.",
    "StoreError": "Redis cannot be used as it is set up: search module, rights or password. `semcache doctor` says "
    "which.",
    "EmbedderError": "The embedder gives no usable vectors, so that only repeated queries are found. Look at "
    "embedder.model.",
    "RerankServiceError": "The rerank service refuses or is away; lower rungs answer. See its status page, key and "
    "limits.",
    "RerankerHungError": "A call of the model never ended. Look at what it waits for, and restart the process if its "
    "threads are used up.",
    "RerankerError": "The reranker gave no score for each pair. Look at its log and its version.",
    "DeadlineExceededError": "The reranker is slower than the caller's deadline. See the latency and the queue above.",
    "QueueFullError": "More requests come than the reranker can take. Add workers, or raise batching.max_queue_pairs.",
    "MemoryError": "The process is out of memory. Lower batching.max_batch_pairs, or give it more.",
}
_BY_EVENT: Mapping[str, str] = {
    "CacheUnavailable": _REDIS_AWAY,
    "ShardUnavailable": "Entries on this shard are misses until it or its replica answers. See the cluster's state.",
    "BreakerChanged": "Lower rungs answer until probes are fast again. If the primary is always this slow, raise "
    "monitor.p95_threshold_s, or give it a faster machine.",
    "TrustChanged": "Near queries were seen to lose more than reuse.quality_budget. Nothing to do: they are verified "
    "instead.",
    "PruningChanged": "Skipping was seen to cost more than reuse.quality_budget. Nothing to do: it is measured again.",
    "IdentityChanged": "Another model answers under this name. If that was meant, nothing to do; it fills a scope of "
    "its own.",
    "EntryDamaged": "Another program writes to these keys, or another version of semcache. Give each a namespace.",
    "VectorRefused": "The embedder gives vectors that are not of length 1. Look at embedder.model.",
}
FORCED = "An operator has decided that; `semcache breaker reset` ends it."
_BY_REASON: Mapping[str, str] = {
    "forced": FORCED,
    **dict.fromkeys(
        ("errors", "probe failed"),
        "Lower rungs answer until calls succeed again. The latest error of the reranker says why they fail.",
    ),
    "hung": _BY_ERROR["RerankerHungError"],
}
"""Why a breaker opened, other than that calls are slow."""
_OTHERWISE = "See the log of the server for what led to it."


def remedy_of(error: str, event: str = "", reason: str = "") -> str:
    """A sentence for an error, given as class and message, or for the event that told of it, with its reason.

    Example:
        >>> remedy_of("StoreTooSlowError: no answer within 0.05 s")
        'Redis answers too slowly. Look at its CPU, ...'
    """
    return _BY_ERROR.get(error.partition(":")[0]) or _BY_REASON.get(reason) or _BY_EVENT.get(event, _OTHERWISE)
