"""Decides how long requests may wait for a busy model and how much they may merge, by what the model did lately.

Theory of operation. A call of a model costs a fixed time and a time per pair; ``service_time.py`` learns both from the
calls that are over. Three questions are answered by that cost: how much one call may merge (``pairs_within``), how long
a new request would wait (``Load``), and whether it should wait at all (``is_hopeless``).

An estimate from few or old calls is not believed much: a first call may have loaded the model, and a model that was
slow a minute ago may be fast again. So a request is refused only if it would be late by a margin that shrinks with the
evidence. A burst on a model of which nothing is known yet waits for the evidence of the call under way, and those that
cannot be answered in time are told so when their turn comes or their time is up, whichever is first. A steady overload
has much evidence, and what is too much is refused at the door: it would only make others wait.
"""

from dataclasses import dataclass
from math import ceil, inf

from semcache.batching.service_time import Cost

# An estimate from one call is believed within a factor of five, from forty calls within 10 %. The first call of a torch
# model takes up to five times as long as its later ones.
_DOUBT_IN_CALLS = 4.0

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

# While all calls were of one size, a fixed cost cannot be told from a cost per pair. A call twice as large tells.
_LARGER = 2.0


CALL_MARGIN = 1.3
"""A call is begun for a request only if it may take so many times as long as expected. Calls of one size vary by a
quarter on a machine with other work, and half of those that are begun with no time to spare end too late, for nothing.
By simulation (tests/degradation/test_overload.py) an overload then loses 1 % of the model's time instead of 10 %."""


@dataclass(frozen=True, slots=True)
class Load:
    """The work that a new request would find before it, as one model's queue reports it.

    ``busy`` says that every worker of the model is in a call. ``abandoned`` counts callers who gave up on a call that
    still runs. ``wait_s`` is how long a new request would wait, and ``cost`` what a call costs, None before the
    model's first call. The oldest call under way began at ``since``, by the batcher's clock (None without one), and has
    ``running_pairs``; every call under way has taken at least ``all_for_s`` seconds so far.
    """

    busy: bool
    abandoned: int
    wait_s: float
    cost: Cost | None
    since: float | None = None
    running_pairs: int = 0
    all_for_s: float = 0.0

    def expected_s(self, pairs: int) -> float | None:
        """Seconds until that many further pairs would be scored, wait included; None before the model's first call."""
        return None if self.cost is None else self.wait_s + self.cost.seconds(pairs)


def remaining_s(expected_s: float, elapsed_s: float) -> float:
    """How long a running call will go on, in seconds.

    A call that is overdue is expected to go on for as long again as it is late already. So waiting for a stuck call
    soon looks hopeless, and waiting for one that is a little late does not.
    """
    return abs(expected_s - elapsed_s)


def queued_s(pairs: int, requests: int, cost: Cost | None, max_pairs: int, max_requests: int) -> float:
    """How long one worker takes for all that waits, in seconds, if its calls merge as much as they may."""
    if cost is None or not pairs:
        return 0.0
    calls = max(ceil(pairs / max_pairs), ceil(requests / max_requests))
    return calls * cost.fixed_s + pairs * cost.per_pair_s


def pairs_within(seconds: float, cost: Cost | None, most: int) -> int:
    """How many pairs a model scores in this time, from 1 to ``most``; ``most`` while nothing is known of the model.

    A request that joins a call delays those that are in it already, which were admitted when the call was shorter. A
    number of pairs alone does not bound that delay, as models differ in speed by orders of magnitude; a time does.
    """
    # The comparison comes first, since a scripted or coarse clock may say that scoring takes no time at all.
    if cost is None or cost.seconds(most) <= seconds:
        return most
    within = (seconds - cost.fixed_s) / cost.per_pair_s if cost.per_pair_s else 0.0
    # Otherwise a model of fixed cost, whose small calls say nothing about larger ones, would never be given any.
    if cost.one_size:
        within = max(within, _LARGER * cost.usual_pairs)
    return max(1, min(most, int(within)))


def merging_time_s(threshold_s: float, admission_factor: float) -> float:
    """How many seconds of work requests may merge into one call, for a model that is slow from ``threshold_s`` on.

    Admission lets a request wait when wait and service are within ``admission_factor`` (above 0, at most 1) of the
    threshold. Requests that join its call afterwards delay it; they may use what admission left of the threshold.
    """
    return max(_LEAST_MERGING_SHARE, 1 - admission_factor) * threshold_s


def is_hopeless(expected_s: float, left_s: float, evidence: float) -> bool:
    """True if work that is expected to take so long will not be done in the time that is left, as far as is known.

    ``evidence`` is the number of calls that the expectation comes from, less for old ones; without any, nothing is
    hopeless.
    """
    # Multiplied by the evidence, which may be 0.
    return expected_s * evidence > left_s * (evidence + _DOUBT_IN_CALLS)


def is_too_busy(load: Load, pairs: int, limit_s: float) -> bool:
    """True if a request of that many pairs should go to another model instead of waiting for this one.

    It waits while wait and service may stay within ``limit_s`` seconds, see ``is_hopeless``. An idle model is never too
    busy, however slow it was: its record is corrected only by calls.
    """
    if not load.busy:
        return False
    # Calls that take longer than this request would wait at all may hang. That is evidence enough.
    if load.all_for_s > limit_s:
        return True
    expected_s = load.expected_s(pairs)
    if expected_s is None or load.cost is None:
        # The call under way is the first one. Its evidence is waited for, unless a caller has given up on it already.
        return load.abandoned > 0 and limit_s < inf
    return is_hopeless(expected_s, limit_s, load.cost.evidence)


def time_for_this_rung(left_s: float, next_rung_s: float | None) -> float:
    """How many of the ``left_s`` seconds until the deadline a rung may use, so that the next one can still answer.

    ``next_rung_s`` is how long the next rung is expected to take, None if that is unknown.
    """
    reserved_s = left_s * _RESERVED_IF_UNKNOWN if next_rung_s is None else next_rung_s * _SAFETY
    return left_s - min(reserved_s, left_s * _MOST_RESERVED)
