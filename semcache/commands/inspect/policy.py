"""The policy that is in force for a request: that of the settings, less what was withdrawn, with what was learned."""

from dataclasses import replace

from semcache.arguments import reuse_policy
from semcache.audit.learner import LEARNING
from semcache.audit.watch import restricted
from semcache.commands.models import Models
from semcache.commands.names import Names
from semcache.flow.policy import FlowPolicy, PrunePolicy
from semcache.guards import guard_of
from semcache.pruning.surrogate import Surrogate
from semcache.quality.pruning import ASK_ALL, effective
from semcache.redis.client.connection import RedisConnection
from semcache.redis.pruning_state import PruningStore
from semcache.redis.scopes import learned_in
from semcache.rerankers.kind import Kind, call_kind
from semcache.settings import Settings


def policy_in_force(
    settings: Settings, connection: RedisConnection, names: Names, models: Models, tenant: str
) -> FlowPolicy:
    """The policy by which a running pipeline of these settings would answer a tenant's request now.

    The share of requests that is scored whole to measure the loss is left out. Raises StoreError when Redis cannot be
    asked.
    """
    reuse = reuse_policy(settings.reuse, settings.reuse.trust_threshold)
    prune = None if settings.prune.mode == "off" else PrunePolicy(**settings.prune.model_dump())
    policy = FlowPolicy(
        reuse, guard_of(settings.reuse.guard), max_query_chars=settings.cache.max_query_chars, prune=prune
    )
    namespace, cascade = settings.cache.namespace, settings.prune.cascade or ""
    quality, pruning = learned_in(connection, namespace, names.learned_id(), cascade)
    policy = restricted(policy, quality.trust, quality.own)
    if prune is not None and not names.listwise:
        sums = PruningStore(connection, namespace, names.reranker, names.embedder, cascade).read_sums()
        surrogate = Surrogate.of(sums)
        confidence = effective(pruning.pruning, prune.confidence)
        is_on = surrogate is not None and confidence < ASK_ALL
        now = replace(prune, confidence=confidence, explore=0.0) if is_on else replace(prune, mode="measure")
        unpruned = "" if is_on or prune.mode != "on" else pruning.pruning.reason or LEARNING
        policy = replace(policy, prune=now, surrogate=surrogate, unpruned=unpruned)
    policy = policy.for_tenant(tenant)
    return policy.for_service() if call_kind(models.reranker).kind is Kind.REMOTE else policy
