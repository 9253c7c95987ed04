"""All that is done in the background for the requests of one reranker."""

from collections.abc import Callable
from functools import partial
from typing import Any

from semcache.audit.auditor import Auditor
from semcache.audit.forced import ForcedWatch
from semcache.audit.repairer import Repairer
from semcache.degradation.cascade import Cascade
from semcache.identity.ladder import IdentifiedLadder
from semcache.protocols import Ladder
from semcache.runtime.countdown import Countdown
from semcache.scoped_cache import ScopedCache

# What the background does is only a help, so that closing waits for the piece under way alone, and not long.
_CLOSING_S = 5.0


class BackgroundWork:
    """Audits and repairs the answers of ``ladder``, by way of ``identified``, and follows what operators decide of it.

    ``cascade`` is that of the setting ``prune.cascade``, ``repair`` says whether degraded requests are scored later.
    """

    def __init__(
        self,
        cache: ScopedCache,
        ladder: Ladder,
        identified: IdentifiedLadder,
        *,
        cascade: Cascade | None,
        repair: bool,
    ) -> None:
        knobs = cache.backend.reuse_knobs
        self.audit: Auditor = Auditor(
            cache, identified, audit_rate=knobs.audit_rate, quality_budget=knobs.quality_budget, cascade=cascade
        )
        # A ladder of the caller's own need not have it.
        following: Callable[[Callable[[], Any]], None] = getattr(ladder, "follow_learned", lambda _: None)
        following(partial(getattr, self.audit.pruning, "surrogate"))
        self.forced: ForcedWatch = ForcedWatch(cache, ladder)
        self.repairs: Repairer = Repairer(cache, identified, is_on=repair)

    def snapshot(self) -> dict[str, Any]:
        """The costs of reuse that were seen, the repairs, and the decisions of an operator."""
        return {
            "quality": self.audit.snapshot(),
            "repairs": self.repairs.snapshot(),
            "forced": self.forced.snapshot(),
        }

    def close(self, countdown: Countdown) -> None:
        """Drop what waits; what is under way has a few seconds each, and no more than the countdown leaves."""
        for work in (self.forced, self.repairs, self.audit):
            work.close(countdown.left_s(_CLOSING_S))

    def __repr__(self) -> str:
        return f"<BackgroundWork: {self.audit!r}, {self.repairs!r}, {self.forced!r}>"
