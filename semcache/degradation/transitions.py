"""The states of a circuit breaker, and the signals that lead from one to another.

The breaker is in one of five states. What happens to calls becomes a signal, and ``TRANSITIONS`` says which signal
leads from which state to which. A signal that is not in the table for a state changes nothing.

    CLOSED       every call is admitted; its latency goes into the monitor's window, whose p95 is judged, and so are
                 slow calls in a row and calls that do not come to an end
    OPEN         no call is admitted until the open time is over; that time doubles each time probing fails
    HALF_OPEN    one probe at a time is admitted; enough fast ones in a row close the breaker, any other reopens it
    FORCED_OPEN  no call is admitted until reset
    DISABLED     every call is admitted and measured until reset, however slow the calls are and however many fail
"""

from collections.abc import Mapping
from enum import StrEnum

from semcache.events import State


class Signal(StrEnum):
    """The events that may change the breaker's state; the value is the reason that observers are given."""

    SLOW = "slow"
    SLOW_IN_A_ROW = "slow in a row"
    ERRORS = "errors"
    HUNG = "hung"
    WAITED = "open time over"
    RECOVERED = "probes fast"
    PROBE_SLOW = "probe slow"
    PROBE_FAILED = "probe failed"
    PROBE_LOST = "probe lost"
    FORCE_OPEN = "forced"
    DISABLE = "disabled"
    RESET = "reset"


TRANSITIONS: Mapping[tuple[State, Signal], State] = {
    (State.CLOSED, Signal.SLOW): State.OPEN,
    (State.CLOSED, Signal.SLOW_IN_A_ROW): State.OPEN,
    (State.CLOSED, Signal.ERRORS): State.OPEN,
    (State.CLOSED, Signal.HUNG): State.OPEN,
    (State.OPEN, Signal.WAITED): State.HALF_OPEN,
    (State.HALF_OPEN, Signal.RECOVERED): State.CLOSED,
    (State.HALF_OPEN, Signal.PROBE_SLOW): State.OPEN,
    (State.HALF_OPEN, Signal.PROBE_FAILED): State.OPEN,
    (State.HALF_OPEN, Signal.PROBE_LOST): State.OPEN,
    (State.HALF_OPEN, Signal.HUNG): State.OPEN,
    **{(state, Signal.FORCE_OPEN): State.FORCED_OPEN for state in State},
    **{(state, Signal.DISABLE): State.DISABLED for state in State},
    **{(state, Signal.RESET): State.CLOSED for state in State},
}
