"""Everything that is to be shown of a namespace, as one value."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from math import inf
from typing import Any

from semcache.arguments import reuse_policy
from semcache.commands.names import Names, names_of
from semcache.errors import SemcacheError
from semcache.quality.pruning import ASK_ALL, effective
from semcache.quality.trust import NEVER
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.failures import FOREIGN
from semcache.redis.forced_state import ForcedState, ForcedStateStore
from semcache.redis.pruning_state import PruningState
from semcache.redis.quality_state import QualityState
from semcache.redis.scopes import Scope, learned_in, scopes_of
from semcache.settings import Settings


@dataclass(frozen=True, slots=True)
class Quality:
    """All that was learned in one scope: what reuse cost by band of similarity, and what pruning would cost or costs.

    ``trust_threshold`` is the similarity from which near queries are trusted now, None if none is; ``configured`` is
    that of the settings. ``confidence`` is that at which documents are skipped, None while none are.
    """

    trust_threshold: float | None
    configured: float
    trust_exact: bool
    reason: str
    bands: Mapping[str, Mapping[str, Any]]
    confidence: float | None
    pruning_reason: str
    by_confidence: Mapping[float, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ScopeView:
    """One scope: what it holds, whose it is (empty where that is not known), and what was learned there."""

    id: str
    entries: int
    findable: int
    tenants: int
    document_vectors: int
    bytes: int | None
    reranker: str = ""
    embedder: str = ""
    is_configured: bool = False
    quality: Quality | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """``memory`` and ``limit`` are those of the whole Redis in bytes, None where the user may not ask.

    ``unnamed`` says why the models of the settings could not be named, and is empty if they could.
    """

    where: str
    namespace: str
    memory: int | None
    limit: int | None
    policy: str | None
    scopes: list[ScopeView] = field(default_factory=list)
    breaker: ForcedState | None = None
    unnamed: str = ""

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return asdict(self)


def survey(settings: Settings, connection: RedisConnection, seen: Callable[[int], None]) -> Survey:
    """Look at the namespace of the settings. Raises StoreError when Redis cannot be asked.

    ``seen`` is called with the number of keys that were counted so far.
    """
    namespace = settings.cache.namespace
    scopes = scopes_of(connection, namespace, seen)
    names: list[Names] = []
    unnamed = ""
    try:
        names = names_of(settings, connection)
    except SemcacheError as error:
        unnamed = str(error)
    owners = {each.learned_id(): each for each in reversed(names)} | {
        each.scope_id(settings): each for each in reversed(names)
    }
    memory, limit, policy = _memory(connection)
    return Survey(
        connection.where,
        namespace,
        memory,
        limit,
        policy,
        [_view(scope, owners.get(scope.id), names, settings, connection) for scope in scopes],
        ForcedStateStore(connection, namespace).read(),
        unnamed,
    )


def _view(
    scope: Scope, owner: Names | None, names: list[Names], settings: Settings, connection: RedisConnection
) -> ScopeView:
    quality = None
    if scope.learned:
        cascade = settings.prune.cascade or ""
        quality = _quality(settings, *learned_in(connection, settings.cache.namespace, scope.id, cascade))
    return ScopeView(
        scope.id,
        scope.entries,
        scope.findable,
        scope.tenants,
        scope.document_vectors,
        scope.bytes,
        "" if owner is None else owner.reranker + (" (order)" if owner.listwise else ""),
        "" if owner is None else owner.embedder,
        owner is not None and owner == names[0],
        quality,
    )


def _quality(settings: Settings, state: QualityState, pruning: PruningState) -> Quality:
    configured = reuse_policy(settings.reuse, settings.reuse.trust_threshold).trust_threshold
    threshold = state.trust.threshold(configured)
    confidence = inf if settings.prune.mode != "on" else effective(pruning.pruning, settings.prune.confidence)
    return Quality(
        None if threshold == NEVER else threshold,
        configured,
        state.trust.exact,
        state.trust.reason,
        {band: statistics.summary() for band, statistics in state.statistics.items()},
        None if confidence == ASK_ALL else confidence,
        pruning.pruning.reason,
        {level: seen.summary() for level, seen in sorted(pruning.statistics.items())},
    )


def _memory(connection: RedisConnection) -> tuple[int | None, int | None, str | None]:
    """Used memory, its limit (0: none) and the eviction policy, of all primaries together."""
    try:
        infos = [node.client.info("memory") for node in connection.nodes]
    except FOREIGN:
        # The user may not run INFO; what is counted above is shown all the same.
        return None, None, None
    return (
        sum(int(info["used_memory"]) for info in infos),
        sum(int(info["maxmemory"]) for info in infos),
        str(infos[0]["maxmemory_policy"]),
    )
