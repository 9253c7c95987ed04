"""Decides how long requests may wait for a busy model and how much they may merge, by what the model did lately."""

from dataclasses import dataclass

# A call counts half after seven further ones: quick enough for a machine that becomes busy, steady against one outlier.
_DECAY = 0.9

# Nothing is known of the next rung before its first call; it is then left a quarter of the time.
_RESERVED_IF_UNKNOWN = 0.25
# Twice the time that the next rung needs by its own record, since its next call may be slower than the mean.
_SAFETY = 2.0
# But never more than half: a caller with a deadline prefers the better rung, and a cheap one that is slow for once must
# not take the time of all above it.
_MOST_RESERVED = 0.5

# Merging always gets this share of the threshold, even if admission uses all of it. 5 % of 2 s are about a dozen pairs
# on two CPU cores; 1 % would be one or two, and a call of two pairs is hardly merged at all.
_LEAST_MERGING_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Load:
    """The work that a new request would find before it, as one model's queue reports it.

    ``busy`` says that every worker of the model is in a call. ``abandoned`` counts callers who gave up on a call that
    still runs, ``wait_s`` is how long a new request would wait, and ``per_pair_s`` the model's time per pair, None
    before its first call.
    """

    busy: bool
    abandoned: int
    wait_s: float
    per_pair_s: float | None

    def expected_s(self, pairs: int) -> float | None:
        """Seconds until that many further pairs would be scored, wait included; None before the model's first call."""
        return None if self.per_pair_s is None else self.wait_s + pairs * self.per_pair_s


class ServiceRate:
    """Seconds of a model's time per pair, from its latest calls.

    A ratio of decayed sums rather than a mean of ratios: a call of one pair says little about a call of a hundred.
    """

    __slots__ = ("_pairs", "_service_s")

    def __init__(self) -> None:
        self._pairs = 0.0
        self._service_s = 0.0

    def record(self, pairs: int, service_s: float) -> None:
        """One call of the model scored ``pairs`` pairs in ``service_s`` seconds."""
        self._pairs = self._pairs * _DECAY + pairs
        self._service_s = self._service_s * _DECAY + service_s

    @property
    def per_pair_s(self) -> float | None:
        """None before the first call."""
        return self._service_s / self._pairs if self._pairs else None


def remaining_s(expected_s: float, elapsed_s: float) -> float:
    """How long a running call will go on, in seconds.

    A call that is overdue is expected to go on for as long again as it is late already. So waiting for a stuck call
    soon looks hopeless, and waiting for one that is a little late does not.
    """
    return abs(expected_s - elapsed_s)


def pairs_within(seconds: float, per_pair_s: float | None, most: int) -> int:
    """How many pairs a model scores in this time, from 1 to ``most``; ``most`` while nothing is known of the model.

    A request that joins a call delays those that are in it already, which were admitted when the call was shorter. A
    number of pairs alone does not bound that delay, as models differ in speed by orders of magnitude; a time does.
    """
    # The comparison comes first, since a scripted or coarse clock may say that scoring takes no time at all.
    if per_pair_s is None or most * per_pair_s <= seconds:
        return most
    return max(1, int(seconds / per_pair_s))


def merging_time_s(threshold_s: float, admission_factor: float) -> float:
    """How many seconds of work requests may merge into one call, for a model that is slow from ``threshold_s`` on.

    Admission lets a request wait when wait and service are within ``admission_factor`` (above 0, at most 1) of the
    threshold. Requests that join its call afterwards delay it; they may use what admission left of the threshold.
    """
    return max(_LEAST_MERGING_SHARE, 1 - admission_factor) * threshold_s


def is_too_busy(load: Load, pairs: int, limit_s: float) -> bool:
    """True if a request of that many pairs should go to another model instead of waiting for this one.

    It waits if wait and service stay within ``limit_s`` seconds. An idle model is never too busy, however slow it was:
    its record is corrected only by calls, so refusing them would lock it out for good.
    """
    if not load.busy:
        return False
    # A caller has given up on the call that runs, so this call has taken longer than expected. How much longer it will
    # take is unknown; the record, which holds finished calls only, cannot tell.
    if load.abandoned > 0:
        return True
    expected_s = load.expected_s(pairs)
    return (load.wait_s if expected_s is None else expected_s) > limit_s


def time_for_this_rung(left_s: float, next_rung_s: float | None) -> float:
    """How many of the ``left_s`` seconds until the deadline a rung may use, so that the next one can still answer.

    ``next_rung_s`` is how long the next rung is expected to take, None if that is unknown.
    """
    reserved_s = left_s * _RESERVED_IF_UNKNOWN if next_rung_s is None else next_rung_s * _SAFETY
    return left_s - min(reserved_s, left_s * _MOST_RESERVED)
