"""The breaker's table: which signal leads from which state to which."""

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    FORCED_OPEN = "forced-open"
    DISABLED = "disabled"


class Signal(StrEnum):
    """What may move the breaker; the value is the reason that observers are told."""

    SLOW = "slow"
    ERRORS = "errors"
    WAITED = "open time over"
    RECOVERED = "probes fast"
    PROBE_SLOW = "probe slow"
    PROBE_FAILED = "probe failed"
    PROBE_LOST = "probe lost"
    FORCE_OPEN = "forced"
    DISABLE = "disabled"
    RESET = "reset"


MOVES: Mapping[tuple[State, Signal], State] = {
    (State.CLOSED, Signal.SLOW): State.OPEN,
    (State.CLOSED, Signal.ERRORS): State.OPEN,
    (State.OPEN, Signal.WAITED): State.HALF_OPEN,
    (State.HALF_OPEN, Signal.RECOVERED): State.CLOSED,
    (State.HALF_OPEN, Signal.PROBE_SLOW): State.OPEN,
    (State.HALF_OPEN, Signal.PROBE_FAILED): State.OPEN,
    (State.HALF_OPEN, Signal.PROBE_LOST): State.OPEN,
    **{(state, Signal.FORCE_OPEN): State.FORCED_OPEN for state in State},
    **{(state, Signal.DISABLE): State.DISABLED for state in State},
    **{(state, Signal.RESET): State.CLOSED for state in State},
}
