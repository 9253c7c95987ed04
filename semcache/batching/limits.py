"""How much one call of a model may merge, and how much may wait for it."""

from dataclasses import dataclass
from math import inf
from numbers import Real
from typing import get_args

from semcache.batching.admission import merging_time_s
from semcache.errors import ConfigurationError, DeadlineExceededError, QueueFullError
from semcache.flow.requests import check_count
from semcache.protocols import Clock, Reranker
from semcache.rerankers.split import split
from semcache.settings import Batching, Monitor
from semcache.settings.reranker_sections import OnFull, Workers

_BATCHING = Batching()
# 0.4 s. Rounded, since 1 - 0.8 is 0.19999999999999996 and help() shows the result in signatures.
_MAX_BATCH_S = round(merging_time_s(Monitor().p95_threshold_s, _BATCHING.admission_factor), 6)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a batcher. The defaults of all its constructors stand here, and in the settings where those have them.

    One call merges at most ``max_requests`` requests, ``max_batch_pairs`` (query, document) pairs and ``max_batch_s``
    seconds of work, by the model's own record; a single request that is larger goes alone. For each call that may run
    at once at most ``max_queue_pairs`` pairs wait. Raises ConfigurationError for values that are not above 0.

    ``max_pairs_per_call`` is the most that one call of the model takes, as services have such limits: a larger request
    is split into several calls. None means ``max_batch_pairs`` where that is not the default, since those who change it
    mean the calls of their service or model, and else no limit: a request then costs one call, as without a batcher. An
    order cannot be put together from parts, so that requests to a listwise reranker are never split.

    ``max_wait_s`` is how many seconds an idle model waits for requests to merge with the first one. 0 is best unless
    calls are expensive to begin: while the model works, requests come together by themselves. ``on_full`` says what
    becomes of a request that finds the queue full: ``wait`` lets it wait however many wait before it; otherwise it is
    refused, and a ladder answers it by the next rung (``fallback``) or raises QueueFullError (``reject``).

    ``tenant_share`` is the share (above 0, at most 1) of the queue, and of the time that requests may wait, that one
    tenant may take up while there are requests of others. One that holds this share of the calls that may run at once
    lets others go first.
    """

    max_requests: int = 10  # the batch_size of AsyncBatchReranker, which its users rely on
    max_batch_pairs: int = _BATCHING.max_batch_pairs
    max_batch_s: float = _MAX_BATCH_S
    max_queue_pairs: int = _BATCHING.max_queue_pairs
    max_pairs_per_call: int | None = None
    max_wait_s: float = _BATCHING.max_wait_s
    on_full: OnFull = _BATCHING.on_full
    tenant_share: float = _BATCHING.tenant_share

    def __post_init__(self) -> None:
        for name in ("max_requests", "max_batch_pairs", "max_queue_pairs"):
            check_count(name, getattr(self, name))
        # Written so that NaN, which is above nothing, is refused.
        if not (isinstance(self.max_batch_s, Real) and self.max_batch_s > 0):
            raise ConfigurationError(f"max_batch_s must be a number of seconds above 0, got {self.max_batch_s!r}")
        if not (isinstance(self.max_wait_s, Real) and 0 <= self.max_wait_s < inf):
            raise ConfigurationError(f"max_wait_s must be a number of seconds of at least 0, got {self.max_wait_s!r}")
        if self.max_pairs_per_call is not None:
            check_count("max_pairs_per_call", self.max_pairs_per_call)
        if not (isinstance(self.tenant_share, Real) and 0 < self.tenant_share <= 1):
            raise ConfigurationError(f"tenant_share must be a number above 0 and at most 1, got {self.tenant_share!r}")
        if self.on_full not in get_args(OnFull):
            raise ConfigurationError(f"on_full must be one of {', '.join(get_args(OnFull))}, got {self.on_full!r}")

    @property
    def pairs_merged(self) -> int:
        """How many pairs one call may merge: never more than it takes."""
        return min(self.max_batch_pairs, self.max_pairs_per_call or self.max_batch_pairs)

    def splitting(self, reranker: Reranker) -> Reranker:
        """The reranker with no larger calls than these bounds allow.

        Raises ConfigurationError if ``max_pairs_per_call`` was given for a listwise one.
        """
        if self.max_pairs_per_call is not None:
            return split(reranker, self.max_pairs_per_call)
        is_said = self.max_batch_pairs != _BATCHING.max_batch_pairs and not reranker.listwise
        return split(reranker, self.max_batch_pairs) if is_said else reranker

    def check_room(self, waiting_pairs: int, pairs: int, concurrency: int, *, own_pairs: int = 0) -> None:
        """Raises QueueFullError if that many further pairs may not wait, for a model of ``concurrency`` calls at once.

        An empty queue takes any request: one that is larger than the bound would never be served otherwise.
        ``own_pairs`` of those that wait are of the same tenant, if there are others.
        """
        most = self.max_queue_pairs * concurrency
        if self.on_full != "wait" and own_pairs and own_pairs + pairs > self.tenant_share * most:
            raise QueueFullError(
                f"{own_pairs} pairs of this tenant are waiting, {pairs} more would exceed its share of {most}; send "
                "fewer at once, or raise tenant_share or max_queue_pairs"
            )
        if self.on_full != "wait" and waiting_pairs and waiting_pairs + pairs > most:
            raise QueueFullError(
                f"{waiting_pairs} pairs are waiting, {pairs} more would exceed {most}; send fewer at once, raise "
                "max_queue_pairs or concurrency, or use a faster reranker"
            )


def check_in_time(wait_s: float, deadline: float | None, clock: Clock) -> None:
    """Raises DeadlineExceededError if a request that has to wait so long for the rate limit begins after its deadline.

    It is refused at once, since its caller can do better with the time than to wait for nothing.
    """
    if deadline is not None and wait_s > 0 and wait_s > (left_s := deadline - clock()):
        raise DeadlineExceededError(
            f"the rate limit lets this request begin in {wait_s:.3g} s, and its deadline is in {left_s:.3g} s; allow "
            "more time, send less, or raise requests_per_minute or pairs_per_minute if the service allows it"
        )


DEFAULT_WORKERS: Workers = _BATCHING.workers


def checked_workers(workers: object) -> object:
    """``workers`` as they are. Raises ConfigurationError unless they are threads or processes."""
    if workers not in get_args(Workers):
        raise ConfigurationError(f"workers must be one of {', '.join(get_args(Workers))}, got {workers!r}")
    return workers


DEFAULTS = Limits()
"""The bounds of a batcher that is given none."""
