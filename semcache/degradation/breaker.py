"""The breaker: decides when the primary reranker is left alone, when it is tried again, when it serves again.

Theory of operation. The breaker is in one of five states; every happening becomes a signal, and ``TRANSITIONS``
says which signal leads from which state to which. A signal that is not in the table for a state changes nothing.

    CLOSED       everybody is admitted; every latency goes into the monitor's window, which judges its p95
    OPEN         nobody is admitted until the open time is over; it doubles each time probing fails
    HALF_OPEN    one probe at a time is admitted; enough fast ones in a row close the breaker, any other reopens it
    FORCED_OPEN  nobody is admitted until reset
    DISABLED     everybody is admitted and measured, whatever comes of it, until reset

Whoever is admitted gets a ticket and brings it back with what happened. Every move starts a new generation, and a
ticket of an earlier one is ignored: a call that began before the outage says nothing about the recovery.

The machine reads no clock and draws no chance: ``now`` (seconds on a clock that never goes back) and ``jitter`` (in
[0, 1)) are arguments. It has no lock either; share it under one. What changed is collected by ``take_changes``.

Rejected: an error share over the window, as it needs hundreds of calls to see an outage that five show, and a few
requests that no model can digest would take the primary from everybody. Closing after one good probe: a primary just
at its limit would flap. Probes together: they would queue behind each other and be slow for that alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from semcache.degradation.monitor import LatencyMonitor, check_latency
from semcache.errors import ConfigurationError, InvalidInputError
from semcache.events import BreakerChanged, State


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


TRANSITIONS: Mapping[tuple[State, Signal], State] = {
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


# Added to the open time, at most: enough that many processes do not probe a remote model in the same moment.
_JITTER_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When the breaker moves; durations in seconds.

    ``per_pair`` judges latency divided by the pairs of the call, and then the monitor's threshold is in seconds per
    pair. Without it a call is judged whole, which suits requests of about one size.
    """

    open_s: float = 5.0  # a garbage collection or a noisy neighbour is over by then
    max_open_s: float = 60.0  # a mended primary serves again within a minute
    probes: int = 3  # one lucky call is not health; three cost little
    probe_factor: float = 0.8  # a probe is fast within this share of the threshold: hysteresis against flapping
    errors: int = 5  # in a row: pybreaker's default; a lone bad request between good ones never adds up to it
    per_pair: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.open_s <= self.max_open_s < float("inf"):
            raise ConfigurationError(
                f"open_s must be above 0 and at most max_open_s, got {self.open_s!r} and {self.max_open_s!r}"
            )
        if self.probes < 1 or self.errors < 1:
            raise ConfigurationError(f"probes and errors must be at least 1, got {self.probes!r} and {self.errors!r}")
        if not 0 < self.probe_factor <= 1:
            raise ConfigurationError(f"probe_factor must be above 0 and at most 1, got {self.probe_factor!r}")


@dataclass(frozen=True, slots=True)
class Ticket:
    """Permission for one call; valid while the breaker has not moved since."""

    generation: int
    number: int


@dataclass(frozen=True, slots=True)
class _Probe:
    ticket: Ticket
    since: float


class Breaker:
    """The machine. Every ticket that ``admit`` gave must come back by ``record``, ``record_error`` or ``cancel``."""

    def __init__(self, monitor: LatencyMonitor, policy: BreakerPolicy | None = None) -> None:
        self.monitor = monitor
        self.policy = BreakerPolicy() if policy is None else policy
        self.state = State.CLOSED
        self._generation = 0
        self._tickets = 0
        self._open_until = 0.0
        self._openings = 0  # in a row, without having been closed in between
        self._errors = 0  # in a row, while closed
        self._fast = 0  # probes in a row, while half-open
        self._probe: _Probe | None = None
        self._changes: list[BreakerChanged] = []

    def admit(self, now: float, jitter: float = 0.0) -> Ticket | None:
        """A ticket for the primary, or None: leave it alone."""
        if self.state is State.OPEN and now >= self._open_until:
            self._transition(Signal.WAITED, now, jitter)
        if self.state is State.HALF_OPEN:
            return self._admit_probe(now, jitter)
        return self._ticket() if self.state in (State.CLOSED, State.DISABLED) else None

    def record(self, ticket: Ticket, latency_s: float, now: float, *, pairs: int = 1, jitter: float = 0.0) -> None:
        """The call took ``latency_s`` of the model's time, for so many pairs. Raises InvalidInputError for bad ones."""
        check_latency(latency_s)
        if pairs < 1:
            raise InvalidInputError(f"a call scores at least one pair, got {pairs!r}")
        if not self._is_current(ticket):
            return
        latency_s = latency_s / pairs if self.policy.per_pair else latency_s
        if self.state is State.HALF_OPEN:
            self._record_probe(latency_s, now, jitter)
        else:
            self._errors = 0
            self.monitor.record(latency_s)
            if self.monitor.should_degrade():
                self._transition(Signal.SLOW, now, jitter)

    def record_error(self, ticket: Ticket, now: float, jitter: float = 0.0) -> None:
        """The call raised. Its latency is not recorded: errors are quick, and would make a dead primary look fast."""
        if not self._is_current(ticket):
            return
        self._errors += 1
        if self.state is State.HALF_OPEN:
            self._transition(Signal.PROBE_FAILED, now, jitter)
        elif self._errors >= self.policy.errors:
            self._transition(Signal.ERRORS, now, jitter)

    def cancel(self, ticket: Ticket) -> None:
        """The call never ran, or nobody knows how it ended. Nothing is recorded; a probe's place is free again."""
        if self._is_current(ticket):
            self._probe = None

    def force_open(self, now: float) -> None:
        """Leave the primary alone until ``reset``."""
        self._transition(Signal.FORCE_OPEN, now, 0.0)

    def disable(self, now: float) -> None:
        """Admit everybody until ``reset``; latencies are still recorded."""
        self._transition(Signal.DISABLE, now, 0.0)

    def reset(self, now: float) -> None:
        """Closed, with an empty window."""
        self._transition(Signal.RESET, now, 0.0)

    @property
    def is_degraded(self) -> bool:
        """Whether calls are kept from the primary."""
        return self.state not in (State.CLOSED, State.DISABLED)

    def take_changes(self) -> list[BreakerChanged]:
        """The moves since this was last asked, oldest first."""
        changes, self._changes = self._changes, []
        return changes

    def __repr__(self) -> str:
        return f"<Breaker {self.state}, {self._errors} errors in a row, {self.monitor!r}>"

    def _ticket(self) -> Ticket:
        self._tickets += 1
        return Ticket(self._generation, self._tickets)

    def _admit_probe(self, now: float, jitter: float) -> Ticket | None:
        if self._probe is None:
            self._probe = _Probe(self._ticket(), now)
            return self._probe.ticket
        # A probe that hangs would keep the breaker half-open for ever; after the longest open time it has failed.
        if now - self._probe.since >= self.policy.max_open_s:
            self._transition(Signal.PROBE_LOST, now, jitter)
        return None

    def _is_current(self, ticket: Ticket) -> bool:
        if self.state is State.HALF_OPEN:
            return self._probe is not None and self._probe.ticket == ticket
        return ticket.generation == self._generation

    def _record_probe(self, latency_s: float, now: float, jitter: float) -> None:
        if latency_s > self.policy.probe_factor * self.monitor.p95_threshold:
            self._transition(Signal.PROBE_SLOW, now, jitter)
            return
        self._probe = None
        self._fast += 1
        if self._fast >= self.policy.probes:
            self._transition(Signal.RECOVERED, now, jitter)

    def _transition(self, signal: Signal, now: float, jitter: float) -> None:
        old, new = self.state, TRANSITIONS.get((self.state, signal))
        if new is None:
            return
        if new is not old:
            self._changes.append(BreakerChanged(old.value, new.value, signal.value, self.monitor.get_p95()))
        self.state = new
        self._generation += 1
        self._errors = self._fast = 0
        self._probe = None
        if new is State.OPEN:
            self._open_until = now + self._open_time_s() * (1 + _JITTER_SHARE * jitter)
            self._openings += 1
        elif new is State.CLOSED:
            # The window that tripped it would trip it again at once.
            self.monitor.clear()
            self._openings = 0

    def _open_time_s(self) -> float:
        # Capped, since after a thousand failed probes 2.0 ** openings would overflow.
        return min(self.policy.open_s * 2.0 ** min(self._openings, 64), self.policy.max_open_s)
