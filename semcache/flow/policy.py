"""Policies for a rerank: from which similarity scores are reused, and how sure the reuse has to be."""

# No numpy here: the settings read these defaults, and importing numpy would take half of their import time again.
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from semcache.errors import ConfigurationError

if TYPE_CHECKING:
    from semcache.protocols import Guard


@dataclass(frozen=True, slots=True)
class ReusePolicy:
    """How scores of a near query are reused. The knobs of the section ``reuse`` in the settings have these defaults.

    ``trust_threshold`` is the cosine in [-1, 1] from which they are served unasked, ``reuse_threshold`` the one from
    which they decide which documents are scored. A document is skipped when its expected score, raised by
    ``confidence`` spreads of the drift, does not reach the top k. A verification asks at most ``max_rounds`` times, and
    for at most the share ``max_pairs_share`` of the candidates although a neighbour knows them. When the median or the
    spread of the drift is above ``drift_limit``, in standard deviations of the candidates' cached scores, all of them
    are scored; None for no limit. Raises ConfigurationError for values out of range.
    """

    # The reasons stand with the knobs of the same names in semcache/settings/cache_sections.py.
    trust_threshold: float = 0.97
    reuse_threshold: float = 0.60
    confidence: float = 1.0
    max_rounds: int = 3
    max_pairs_share: float = 1.0
    drift_limit: float | None = None

    def __post_init__(self) -> None:
        # Comparisons are written so that NaN, which is neither above nor below anything, is refused.
        for name in ("trust_threshold", "reuse_threshold"):
            _require(-1 <= getattr(self, name) <= 1, name, getattr(self, name), "give a cosine from -1 to 1")
        _require(
            self.trust_threshold >= self.reuse_threshold,
            "trust_threshold",
            self.trust_threshold,
            f"it must not be below reuse_threshold, {self.reuse_threshold!r}; raise it or lower that",
        )
        _require(0 <= self.confidence < inf, "confidence", self.confidence, "give a number of spreads, 0 or more")
        _require(self.max_rounds >= 1, "max_rounds", self.max_rounds, "give 1 or more")
        share = self.max_pairs_share
        _require(0 < share <= 1, "max_pairs_share", share, "give a share above 0 and up to 1")
        if self.drift_limit is not None:
            _require(self.drift_limit > 0, "drift_limit", self.drift_limit, "give more than 0, or None for no limit")


@dataclass(frozen=True, slots=True)
class FlowPolicy:
    """All that a flow may do. ``guard`` None trusts by similarity alone, ``reuse`` None looks up exact queries only.

    Queries longer than ``max_query_chars`` are looked up exactly only. Without ``trust_near`` no similarity is enough
    for serving scores unasked; without ``trust_exact`` even what is remembered of this very query is only verified.
    The quality watch withdraws both, or raises the trust threshold, when reuses have cost too much; ``withdrawn`` then
    says why.
    """

    reuse: ReusePolicy | None
    guard: "Guard | None" = None
    max_query_chars: int = 512  # the reason stands with the knob cache.max_query_chars
    trust_near: bool = True
    trust_exact: bool = True
    withdrawn: str = ""


def _require(is_met: bool, name: str, value: object, remedy: str) -> None:
    if not is_met:
        raise ConfigurationError(f"{name} is {value!r}; {remedy}")
