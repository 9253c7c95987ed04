"""The circuit breaker of the primary reranker: decides when no calls go to it, when it is probed, when it serves again.

Theory of operation. The breaker is in one of five states. What happens to calls becomes a signal, and ``TRANSITIONS``
says which signal leads from which state to which. A signal that is not in the table for a state changes nothing.

    CLOSED       every call is admitted; its latency goes into the monitor's window, whose p95 is judged
    OPEN         no call is admitted until the open time is over; that time doubles each time probing fails
    HALF_OPEN    one probe at a time is admitted; enough fast ones in a row close the breaker, any other reopens it
    FORCED_OPEN  no call is admitted until reset
    DISABLED     every call is admitted and measured until reset, however slow the calls are and however many fail

An admitted call gets a ticket, which comes back with the result of the call. Every transition starts a new generation,
and tickets of earlier generations are ignored: a call that began before the outage says nothing about the recovery.

The machine reads no clock and draws no random numbers: ``now`` (seconds on a clock that never goes back) and ``jitter``
(in [0, 1)) are arguments. It has no lock: threads that share it need a common one, as in shared_breaker.py.
``take_changes`` gives the transitions for observers.

Rejected alternatives. An error share over the window: it needs many calls to see an outage that five errors in a row
show, and a few requests that no model can read would take the primary from all callers. Closing after one fast probe:
a primary just at its limit would flap. Several probes at once: they would wait for each other, and be slow because of
that alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from semcache.degradation.monitor import LatencyMonitor, check_latency
from semcache.errors import ConfigurationError, InvalidInputError
from semcache.events import BreakerChanged, State
from semcache.settings import Breaker as BreakerSettings


class Signal(StrEnum):
    """The events that may change the breaker's state; the value is the reason that observers are given."""

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


# Up to this share is added to the open time, so that many processes do not probe a remote model in the same moment.
_JITTER_SHARE = 0.2

_DEFAULTS = BreakerSettings()


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When the breaker changes its state. The reasons for the defaults stand in the settings.

    The primary is left alone for ``open_s`` seconds at first, and for at most ``max_open_s`` after failed probes; it
    serves again after ``probes`` probes in a row that took at most ``probe_factor`` of the monitor's threshold.
    ``errors`` errors in a row open the breaker at once; a success in between starts their count anew, so that single
    bad requests between good ones never open it.

    With ``per_pair`` the latency of a call is divided by its number of pairs, and the monitor's threshold is in seconds
    per pair. Without it whole calls are judged, which suits requests of about one size. Raises ConfigurationError.
    """

    open_s: float = _DEFAULTS.open_s
    max_open_s: float = _DEFAULTS.max_open_s
    probes: int = _DEFAULTS.probes
    probe_factor: float = _DEFAULTS.probe_factor
    errors: int = _DEFAULTS.errors
    per_pair: bool = False

    def __post_init__(self) -> None:
        # Also refuses NaN, with which no comparison holds, and infinity, which would mean an outage without an end.
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
    """Permission for one call. It is valid until the next transition, which starts another generation."""

    generation: int
    number: int


@dataclass(frozen=True, slots=True)
class _Probe:
    ticket: Ticket
    since: float


class Breaker:
    """The state machine. Every ticket of ``admit`` must come back by ``record``, ``record_error`` or ``cancel``.

    Example:
        ticket = breaker.admit(now)
        if ticket is not None:
            breaker.record(ticket, latency_s=0.8, now=now + 0.8, pairs=50)
    """

    def __init__(self, monitor: LatencyMonitor, policy: BreakerPolicy | None = None) -> None:
        self.monitor = monitor
        self.policy = BreakerPolicy() if policy is None else policy
        self.state = State.CLOSED
        self._generation = 0
        self._tickets = 0
        self._open_until = 0.0
        self._openings = 0  # in a row, without having been closed in between
        self._errors = 0  # in a row, while closed or disabled
        self._fast = 0  # probes in a row, while half-open
        self._probe: _Probe | None = None
        self._changes: list[BreakerChanged] = []

    def admit(self, now: float, jitter: float = 0.0) -> Ticket | None:
        """A ticket for one call of the primary, or None: call another reranker."""
        # Only a call that arrives looks at the open time, so the machine needs no timer.
        if self.state is State.OPEN and now >= self._open_until:
            self._transition(Signal.WAITED, now, jitter)
        if self.state is not State.HALF_OPEN:
            return self._ticket() if self.state in (State.CLOSED, State.DISABLED) else None
        if self._probe is None:
            self._probe = _Probe(self._ticket(), now)
            return self._probe.ticket
        # A probe that hangs would keep the breaker half-open for ever; after the longest open time it has failed. This
        # also covers a ticket that is lost because its thread was interrupted before the call.
        if now - self._probe.since >= self.policy.max_open_s:
            self._transition(Signal.PROBE_LOST, now, jitter)
        return None

    def record(self, ticket: Ticket, latency_s: float, now: float, *, pairs: int = 1, jitter: float = 0.0) -> None:
        """The call of this ticket took ``latency_s`` seconds of the model's time, for ``pairs`` pairs.

        Raises InvalidInputError for a latency that is not finite and at least 0, and for less than one pair.
        """
        check_latency(latency_s)
        if pairs < 1:
            raise InvalidInputError(f"a call scores at least one pair, got {pairs!r}")
        if not self._is_current(ticket):
            return
        latency_s = latency_s / pairs if self.policy.per_pair else latency_s
        if self.state is not State.HALF_OPEN:
            self._errors = 0
            self.monitor.record(latency_s)
            if self.monitor.should_degrade():
                self._transition(Signal.SLOW, now, jitter)
        # Probes stay out of the window: p95 shows to operators why the breaker opened, until it closes.
        elif latency_s > self.policy.probe_factor * self.monitor.p95_threshold:
            self._transition(Signal.PROBE_SLOW, now, jitter)
        else:
            self._probe = None
            self._fast += 1
            if self._fast >= self.policy.probes:
                self._transition(Signal.RECOVERED, now, jitter)

    def record_error(self, ticket: Ticket, now: float, jitter: float = 0.0) -> None:
        """The call of this ticket raised an error."""
        if not self._is_current(ticket):
            return
        # Its latency is not recorded: most errors are quick, and would make a dead primary look fast.
        self._errors += 1
        if self.state is State.HALF_OPEN:
            self._transition(Signal.PROBE_FAILED, now, jitter)
        elif self._errors >= self.policy.errors:
            self._transition(Signal.ERRORS, now, jitter)

    def cancel(self, ticket: Ticket) -> None:
        """The call of this ticket never ran, or its end says nothing about the primary. Another may probe instead."""
        if self._is_current(ticket):
            self._probe = None

    def forget_probe(self) -> None:
        """The probe under way, if there is one, will not come back. Another may be sent instead."""
        self._probe = None

    def force_open(self, now: float) -> None:
        """Admit no call until ``reset``."""
        self._transition(Signal.FORCE_OPEN, now, 0.0)

    def disable(self, now: float) -> None:
        """Admit every call until ``reset``; latencies are still recorded."""
        self._transition(Signal.DISABLE, now, 0.0)

    def reset(self, now: float) -> None:
        """Close the breaker, with an empty window."""
        self._transition(Signal.RESET, now, 0.0)

    @property
    def is_degraded(self) -> bool:
        """True while calls are kept from the primary."""
        return self.state not in (State.CLOSED, State.DISABLED)

    def take_changes(self) -> list[BreakerChanged]:
        """The transitions to another state since the last call of this method, oldest first."""
        changes, self._changes = self._changes, []
        return changes

    def __repr__(self) -> str:
        return f"<Breaker {self.state}, {self._errors} errors in a row, {self.monitor!r}>"

    def _ticket(self) -> Ticket:
        self._tickets += 1
        return Ticket(self._generation, self._tickets)

    def _is_current(self, ticket: Ticket) -> bool:
        # Half-open, the generation does not suffice: several probes of one generation follow each other, and a ticket
        # that is brought back twice must not count as two fast probes.
        if self.state is State.HALF_OPEN:
            return self._probe is not None and self._probe.ticket == ticket
        return ticket.generation == self._generation

    def _transition(self, signal: Signal, now: float, jitter: float) -> None:
        old, new = self.state, TRANSITIONS.get((self.state, signal))
        if new is None:
            return
        # A reset of a closed breaker is no change to observers, but it makes older tickets invalid like any other.
        if new is not old:
            self._changes.append(BreakerChanged(old.value, new.value, signal.value, self.monitor.p95_if_enough()))
        self.state = new
        self._generation += 1
        self._errors = self._fast = 0
        self._probe = None
        if new is State.OPEN:
            # The exponent is capped, since 2.0 ** openings would overflow after a thousand failed probes.
            open_s = min(self.policy.open_s * 2.0 ** min(self._openings, 64), self.policy.max_open_s)
            # Jitter is added after the maximum is applied: otherwise all processes would probe together from then on.
            self._open_until = now + open_s * (1 + _JITTER_SHARE * jitter)
            self._openings += 1
        elif new is State.CLOSED:
            # The window that opened the breaker would open it again at once.
            self.monitor.clear()
            self._openings = 0
