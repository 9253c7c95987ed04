"""Makes the rungs of a ladder from rerankers, each with a queue, a latency monitor and a circuit breaker of its own."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from semcache.batching.admission import merging_time_s
from semcache.batching.batcher import Batcher
from semcache.batching.limits import DEFAULTS
from semcache.batching.reranker import AsyncBatchReranker
from semcache.degradation.breaker import Breaker, BreakerPolicy
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.rung import LadderRung, Rung
from semcache.degradation.shared_breaker import SharedBreaker
from semcache.errors import ConfigurationError, described
from semcache.protocols import Clock, Observer
from semcache.rerankers.adapt import adapt
from semcache.rerankers.named import refuse_options
from semcache.rerankers.retrieval_order import RetrievalOrder


@dataclass(frozen=True, slots=True)
class RungDefaults:
    """The options of rungs that say nothing else; those of ``DegradableReranker``, which explains them."""

    monitor: LatencyMonitor
    breaker: BreakerPolicy
    admission_factor: float
    max_wait_s: float | None
    clock: Clock
    rng: Callable[[], float]
    on_event: Observer | None

    def __post_init__(self) -> None:
        if not 0 < self.admission_factor <= 1:
            raise ConfigurationError(f"admission_factor must be above 0 and at most 1, got {self.admission_factor!r}")

    def monitor_of(self, rung: LadderRung, *, is_primary: bool) -> LatencyMonitor:
        """The rung's own window; that of the primary is the one that was given."""
        if rung.monitor is not None or is_primary:
            return rung.monitor or self.monitor
        return LatencyMonitor(self.monitor.window_size, self.monitor.p95_threshold, self.monitor.min_samples)


def ladder_rungs(primary: Any, fallback: Any, rungs: Sequence[Any], **naming: Any) -> list[LadderRung]:
    """The rerankers that will be asked, from best to cheapest, adapted; ``naming`` are options of the primary.

    The retriever's order always answers, so what stands below it is left out. Raises ConfigurationError.
    """
    if isinstance(rungs, str) or not isinstance(rungs, Sequence):
        raise ConfigurationError(f"rungs is {described(rungs)}; put a single reranker in a list")
    below = takewhile(
        lambda rung: not isinstance(rung.reranker, RetrievalOrder | None), map(as_rung, (fallback, *rungs))
    )
    first = as_rung(primary)
    if isinstance(first.reranker, AsyncBatchReranker):
        refuse_options(first.reranker, **naming)
    else:
        first = replace(first, reranker=adapt(first.reranker, **naming))
    return [first, *below]


def build_rungs(
    rungs: Iterable[LadderRung], defaults: RungDefaults, tell: Observer
) -> tuple[list[Rung], list[Batcher]]:
    """The rungs, and those of their batchers that were made here; ``tell`` hears of transitions."""
    built: list[Rung] = []
    own: list[Batcher] = []
    for rung in rungs:
        is_primary = not built
        monitor, policy = defaults.monitor_of(rung, is_primary=is_primary), rung.breaker or defaults.breaker
        threshold_s = monitor.p95_threshold * (DEFAULTS.max_batch_pairs if policy.per_pair else 1)
        if isinstance(rung.reranker, AsyncBatchReranker):
            batcher = rung.reranker.batcher
        else:
            merging_s = merging_time_s(threshold_s, defaults.admission_factor)
            batcher = Batcher(
                adapt(rung.reranker), max_batch_s=merging_s, clock=defaults.clock, on_event=defaults.on_event
            )
            own.append(batcher)
        machine = Breaker(monitor, policy, batcher.name, is_primary=is_primary)
        breaker = SharedBreaker(machine, defaults.clock, defaults.rng, tell)
        wait_s = rung.max_wait_s or defaults.max_wait_s or defaults.admission_factor * threshold_s
        built.append(Rung(batcher, breaker, threshold_s, wait_s, rung.timeout_s))
    return built, own


def as_rung(reranker: Any) -> LadderRung:
    """A LadderRung as it is, and any reranker as one without options."""
    return reranker if isinstance(reranker, LadderRung) else LadderRung(reranker)
