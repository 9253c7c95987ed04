"""Policies for a rerank: from which similarity scores are reused, what is skipped, and how sure that has to be."""

# No numpy here: the settings read these defaults, and importing numpy would take half of their import time again.
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Literal, get_args

from semcache.entries.fingerprint import tenant_group
from semcache.errors import ConfigurationError

if TYPE_CHECKING:
    from semcache.protocols import Guard
    from semcache.pruning.surrogate import Surrogate

# The reasons stand with the knobs max_rounds in semcache/settings. Every round of a service waits for its answer.
_REUSE_ROUNDS, _PRUNE_ROUNDS, _SERVICE_ROUNDS = 3, 5, 1


@dataclass(frozen=True, slots=True)
class ReusePolicy:
    """How scores of a near query are reused. The knobs of the section ``reuse`` in the settings have these defaults.

    ``trust_threshold`` is the cosine in [-1, 1] from which they are served unasked, ``reuse_threshold`` the one from
    which they decide which documents are scored; infinity is never. A document is skipped when its expected score,
    raised by ``confidence`` spreads of the drift, does not reach the top k. A verification asks at most ``max_rounds``
    times (None: three times, and a service once), and for at most the share ``max_pairs_share`` of the candidates
    although a neighbour knows them. When the median or the spread of the drift is above ``drift_limit``, in standard
    deviations of the candidates' cached scores, all of them are scored; None for no limit. Raises ConfigurationError
    for values out of range.
    """

    # The reasons stand with the knobs of the same names in semcache/settings/reuse_section.py.
    trust_threshold: float = 0.97
    reuse_threshold: float = 0.80
    confidence: float = 1.0
    max_rounds: int | None = None
    max_pairs_share: float = 1.0
    drift_limit: float | None = None

    def __post_init__(self) -> None:
        # Comparisons are written so that NaN, which is neither above nor below anything, is refused.
        for name in ("trust_threshold", "reuse_threshold"):
            threshold = getattr(self, name)
            _require(-1 <= threshold <= 1 or threshold == inf, name, threshold, "give a cosine from -1 to 1")
        _require(
            self.trust_threshold >= self.reuse_threshold,
            "trust_threshold",
            self.trust_threshold,
            f"it must not be below reuse_threshold, {self.reuse_threshold!r}; raise it or lower that",
        )
        _require(0 <= self.confidence < inf, "confidence", self.confidence, "give a number of spreads, 0 or more")
        _check_rounds(self.max_rounds)
        share = self.max_pairs_share
        _require(0 < share <= 1, "max_pairs_share", share, "give a share above 0 and up to 1")
        if self.drift_limit is not None:
            _require(self.drift_limit > 0, "drift_limit", self.drift_limit, "give more than 0, or None for no limit")

    @property
    def most_rounds(self) -> int:
        """``max_rounds``, or what it is where it says nothing."""
        return _REUSE_ROUNDS if self.max_rounds is None else self.max_rounds


PruneMode = Literal["off", "measure", "on"]
DocumentVectors = Literal["off", "given", "documents", "embed"]


@dataclass(frozen=True, slots=True)
class PrunePolicy:
    """How requests that the cache cannot answer are pruned. The section ``prune`` of the settings has these defaults.

    With ``mode`` "measure" every such request is scored whole and only says what pruning would have saved and lost;
    "off" does not even learn. A document is skipped when its expected score, raised by ``confidence`` spreads, does not
    reach the top k. The reranker is asked at most ``max_rounds`` times (None: five times, and a service once). The
    share ``explore`` of the requests is scored whole all the same, so that the loss stays measured.
    ``document_vectors`` says whose vectors are used: of no document, those that callers give, also those that their
    documents carry, or also vectors that are embedded in spare time and kept. ``cascade`` names a cheaper reranker of
    the ladder that scores every document first, since that tells much about the primary's scores. Raises
    ConfigurationError for values out of range.
    """

    # The reasons stand with the knobs of the same names in semcache/settings/prune_section.py.
    mode: PruneMode = "measure"
    confidence: float = 2.0
    max_rounds: int | None = None
    explore: float = 0.02
    document_vectors: DocumentVectors = "given"
    max_document_vectors: int = 50_000
    cascade: str | None = None

    def __post_init__(self) -> None:
        for name, kinds in (("mode", PruneMode), ("document_vectors", DocumentVectors)):
            allowed = get_args(kinds)
            value = getattr(self, name)
            # YAML reads a bare on and off as True and False.
            _require(value in allowed, name, value, f"give one of {', '.join(allowed)}")
        _require(0 <= self.confidence < inf, "confidence", self.confidence, "give a number of spreads, 0 or more")
        _check_rounds(self.max_rounds)
        _require(0 <= self.explore <= 1, "explore", self.explore, "give a share from 0 to 1")
        _require(self.max_document_vectors >= 1, "max_document_vectors", self.max_document_vectors, "give 1 or more")

    def rule(self, confidence: float | None = None) -> ReusePolicy:
        """How a request is pruned that nothing cached helps: at ``confidence``, None for that of the policy."""
        rounds = _PRUNE_ROUNDS if self.max_rounds is None else self.max_rounds
        return ReusePolicy(max_rounds=rounds, confidence=self.confidence if confidence is None else confidence)


@dataclass(frozen=True, slots=True)
class TenantTrust:
    """How far scores are trusted for a group of tenants, in the place of what holds for all; see ``FlowPolicy``.

    ``trust_threshold`` is the cosine in [-1, 1] from which they are served unasked.
    """

    trust_near: bool
    trust_exact: bool
    trust_threshold: float
    withdrawn: str = ""


@dataclass(frozen=True, slots=True)
class FlowPolicy:
    """All that a flow may do. ``guard`` None trusts by similarity alone, ``reuse`` None looks up exact queries only.

    Queries longer than ``max_query_chars`` are looked up exactly only. Without ``trust_near`` no similarity is enough
    for serving scores unasked; without ``trust_exact`` even what is remembered of this very query is only verified.
    The quality watch withdraws both, or raises the trust threshold, when reuses have cost too much; ``withdrawn`` then
    says why. ``surrogate`` is what was learned so far, None while that is too little. ``prune`` None prunes nothing.
    The pruning watch lets its mode be "on" when the evidence suffices, and until then ``unpruned`` says why not.
    ``tenants`` has other trust by group of tenants (``entries.fingerprint.tenant_group``).
    """

    reuse: ReusePolicy | None
    guard: "Guard | None" = None
    max_query_chars: int = 512  # the reason stands with the knob cache.max_query_chars
    trust_near: bool = True
    trust_exact: bool = True
    withdrawn: str = ""
    prune: PrunePolicy | None = None
    surrogate: "Surrogate | None" = None
    unpruned: str = ""
    tenants: Mapping[str, TenantTrust] = field(default_factory=dict)

    def for_tenant(self, tenant: str) -> "FlowPolicy":
        """The policy of a tenant's requests: the same object where nothing else holds for it."""
        # Mostly there are none, and then even the tenant's group need not be known.
        own = self.tenants.get(tenant_group(tenant)) if self.tenants else None
        if own is None:
            return self
        reuse = self.reuse
        if reuse is not None:
            reuse = replace(reuse, trust_threshold=max(own.trust_threshold, reuse.reuse_threshold))
        return replace(
            self, reuse=reuse, trust_near=own.trust_near, trust_exact=own.trust_exact, withdrawn=own.withdrawn
        )

    @property
    def is_pruning(self) -> bool:
        """Whether documents may be skipped that only the surrogate knows."""
        return self.surrogate is not None and self.prune is not None and self.prune.mode == "on"

    def for_service(self) -> "FlowPolicy":
        """The policy over scores of a service, which is asked once unless the user says more."""
        reuse, prune = self.reuse, self.prune
        if reuse is not None and reuse.max_rounds is None:
            reuse = replace(reuse, max_rounds=_SERVICE_ROUNDS)
        if prune is not None and prune.max_rounds is None:
            prune = replace(prune, max_rounds=_SERVICE_ROUNDS)
        return replace(self, reuse=reuse, prune=prune)

    def asking_all(self) -> "FlowPolicy":
        """The policy of a flow that asks about every document of which no score of this very query is known.

        It takes nothing from neighbours and skips nothing, and yet stores vectors, so that later queries find what it
        remembers.
        """
        # Without a policy for reuse no vector would be stored.
        reuse = None if self.reuse is None else replace(self.reuse, trust_threshold=inf, reuse_threshold=inf)
        return replace(self, reuse=reuse, prune=None, surrogate=None)


def _check_rounds(rounds: int | None) -> None:
    _require(rounds is None or rounds >= 1, "max_rounds", rounds, "give 1 or more, or None to choose by the reranker")


def _require(is_met: bool, name: str, value: object, remedy: str) -> None:
    if not is_met:
        raise ConfigurationError(f"{name} is {value!r}; {remedy}")
