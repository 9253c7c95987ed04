"""A rung of the ladder: one reranker with its queue, its circuit breaker, and how long a request waits for it."""

from dataclasses import dataclass
from typing import Any

from semcache.batching.admission import Load, is_hopeless, is_too_busy, pairs_within
from semcache.batching.batcher import Batcher
from semcache.degradation.breaker import BreakerPolicy
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.shared_breaker import SharedBreaker
from semcache.errors import ConfigurationError
from semcache.events import RungFailed

# A request that waits for exactly the threshold is answered after it, by the time that the next rung and the event loop
# take.
_WITHIN = 0.95
# A first call may have to load the model: 30 s with the default threshold. sentence-transformers takes 5 to 10 s to be
# imported alone.
_FIRST_CALL = 15.0
# A call that takes so many times as long as a request waits for it is not slow, it hangs. A thread that is given up
# may still use the model, so this is no matter of patience.
_HUNG = 5.0
# A request that needs more than the threshold by itself gets twice what it needs, so that it may wait a little, too.
_MARGIN = 2.0


@dataclass(frozen=True, slots=True)
class LadderRung:
    """A reranker with options of its own, to be given to a ladder or a pipeline in the place of a bare reranker.

    ``monitor`` and ``breaker`` say when the reranker counts as slow and when it is left alone; None means those of the
    ladder, with a window of its own. ``timeout_s`` is how many seconds a request waits for this reranker before the
    next one is asked. None means the monitor's threshold, in proportion more for a request larger than usual, and
    fifteen times the threshold for the first call, which may load the model. ``max_wait_s`` is as for
    DegradableReranker.
    Raises ConfigurationError for a time that is not above 0.

    Example:
        >>> DegradableReranker(cross_encoder, LadderRung(service, timeout_s=0.5), monitor)
    """

    reranker: Any
    monitor: LatencyMonitor | None = None
    breaker: BreakerPolicy | None = None
    timeout_s: float | None = None
    max_wait_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("timeout_s", "max_wait_s"):
            seconds = getattr(self, name)
            # Written so that NaN, which is above nothing, is refused.
            if seconds is not None and not seconds > 0:
                raise ConfigurationError(f"{name} must be a number of seconds above 0, got {seconds!r}")


@dataclass(frozen=True, slots=True)
class Rung:
    """All that the fallback chain needs of one reranker. ``threshold_s`` is of a call of usual size."""

    batcher: Batcher
    breaker: SharedBreaker
    threshold_s: float
    max_wait_s: float
    timeout_s: float | None = None

    @property
    def name(self) -> str:
        """The reranker's name."""
        return self.batcher.name

    def __str__(self) -> str:
        return self.name if self.timeout_s is None else f"{self.name} (timeout {self.timeout_s:g} s)"

    @property
    def longest_s(self) -> float:
        """A call that takes longer hangs: no request waits for longer, however late its deadline is."""
        return _HUNG * _FIRST_CALL * self.threshold_s

    def patience_s(self, pairs: int, load: Load) -> float:
        """How many seconds a request of that many pairs waits for this rung, if its caller set no deadline."""
        if load.cost is None and not load.busy:
            return _FIRST_CALL * self.threshold_s
        return max(_WITHIN * self._for_size(self.threshold_s, pairs, load), self.max_wait_s)

    def refusal(self, pairs: int, load: Load, left_s: float, *, has_deadline: bool) -> str | None:
        """Why a request is not sent to this rung, in one word: "busy" or "deadline"; None if it is sent."""
        # A caller who has set a deadline prefers the better answer within it.
        limit_s = left_s if has_deadline else min(left_s, self._for_size(self.max_wait_s, pairs, load))
        if is_too_busy(load, pairs, limit_s):
            return "busy"
        # Without a deadline it is sent, however slow the model is: the breaker judges by such calls.
        if has_deadline and load.cost is not None and is_hopeless(load.cost.seconds(pairs), left_s, load.cost.evidence):
            return "deadline"
        return None

    def pairs_within(self, share: float) -> int:
        """How many pairs this rung scores in that share of the threshold, in all calls that it makes at once."""
        most = self.batcher.max_batch_pairs
        return self.batcher.kind.concurrency * pairs_within(share * self.threshold_s, self.batcher.load().cost, most)

    def watch(self, load: Load, now: float) -> RungFailed | None:
        """Tell the breaker of a call that has been under way for too long, and give up one that hangs.

        Gives the event of the latter. ``now`` is a time of the batcher's clock.
        """
        if load.since is None:
            return None
        self.breaker.record_running(load.since, load.running_pairs)
        patience_s = max(self.timeout_s or 0.0, self._for_size(self.threshold_s, load.running_pairs, load))
        hung_s = self.longest_s if load.cost is None else _HUNG * patience_s
        running_s = now - load.since
        if running_s <= hung_s or not self.batcher.give_up(hung_s):
            return None
        self.breaker.record_hung(running_s)
        return RungFailed(self.name, f"RerankerHungError: no answer within {running_s:.3g} s, given up")

    def snapshot(self) -> dict[str, Any]:
        """State and measurements for display."""
        change = self.breaker.last_change
        return {
            "reranker": self.name,
            "state": self.breaker.state.value,
            "reason": None if change is None else change.reason,
            "cause": None if change is None else change.cause,
            "p95_s": self.breaker.monitor.p95_if_enough(),
            "samples": self.breaker.monitor.samples,
            "waiting_pairs": self.batcher.waiting_pairs,
            "abandoned": self.batcher.abandoned,
        }

    def _for_size(self, seconds: float, pairs: int, load: Load) -> float:
        """That many seconds, or more for a request that is larger than usual and cannot be scored in that time."""
        # Per pair the threshold is that of the largest call already.
        if load.cost is None or self.breaker.policy.per_pair:
            return seconds
        needed_s = _MARGIN * load.cost.seconds(pairs)
        # Bounded by its size: while the whole model is slow, all requests need more, and none is waited for longer.
        return max(seconds, min(needed_s, seconds * load.cost.times_usual(pairs)))
