"""Whether a request may wait for a busy model, and how long: judged by what the model has been doing lately."""

from dataclasses import dataclass

# A call counts half after seven further ones: quick enough for a machine that becomes busy, steady against one outlier.
_DECAY = 0.9

# Without an observation the next rung is left a quarter of the time.
_UNKNOWN_SHARE = 0.25
# Twice the time that the next rung needs by its own record, since its next call may be slower than the mean.
_SAFETY = 2.0
# But never more than half: who sets a deadline wants the primary first.
_MOST = 0.5
# Merging always gets this share of the threshold, even if admission uses all of it. 5 % of 2 s are about a dozen pairs
# on two CPU cores; 1 % would be one or two, and a call of two pairs is hardly merged at all.
_LEAST_MERGING_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Load:
    """What a model has before it. ``wait_s`` is how long a new request would wait; the rate is None before any call."""

    busy: bool
    abandoned: int
    wait_s: float
    per_pair_s: float | None

    def expected_s(self, pairs: int) -> float | None:
        """Wait and service of so many further pairs; None while nothing is known."""
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
        self._pairs = self._pairs * _DECAY + pairs
        self._service_s = self._service_s * _DECAY + service_s

    @property
    def per_pair_s(self) -> float | None:
        """None before the first call."""
        return self._service_s / self._pairs if self._pairs else None


def remaining_s(expected_s: float, elapsed_s: float) -> float:
    """How long a running call will go on.

    A call that is overdue is expected to go on for as long again as it is late: a stuck one is soon hopeless to wait
    for, one that is a little late is not.
    """
    return abs(expected_s - elapsed_s)


def pairs_within(seconds: float, per_pair_s: float | None, most: int) -> int:
    """How many pairs a model scores in this time, at least 1 and at most ``most``; all of them while nothing is known.

    What joins a call delays those who are already in it, after they were let in for the shorter time. With 200 requests
    a second for a model of 125 and a threshold of 0.2 s, calls bounded by number alone made 24 % of the answers late;
    bounded by a fifth of the threshold too, 3 %.
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
    """Whether so many pairs had better not wait for this model.

    An idle model is never too busy, whatever it was like before: otherwise one slow call would be believed for ever,
    as no further call could correct it. While a call runs whose caller has given up, waiting is pointless.
    """
    if not load.busy:
        return False
    expected_s = load.expected_s(pairs)
    return load.abandoned > 0 or (load.wait_s if expected_s is None else expected_s) > limit_s


def time_for_this_rung(left_s: float, next_rung_s: float | None) -> float:
    """How much of the time that is left a rung may use, so that the next one can still answer.

    ``next_rung_s`` is what the next rung is expected to take, None if unknown.
    """
    reserved_s = left_s * _UNKNOWN_SHARE if next_rung_s is None else next_rung_s * _SAFETY
    return left_s - min(reserved_s, left_s * _MOST)
