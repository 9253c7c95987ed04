"""The circuit breaker of one reranker: decides when no calls go to it, when it is probed, when it serves again.

Theory of operation. The states and what leads from one to another stand in ``transitions.py``.

An admitted call gets a ticket, which comes back with the result of the call. Every transition starts a new generation,
and tickets of earlier generations are ignored: a call that began before the outage says nothing about the recovery.

A call of more pairs than usual may take longer in proportion to its cost (``batching/service_time.py``), so that a
large request is not taken for a slow model; a small one is judged as it is. The proportion comes from the shape of the
cost, which stays the same when the whole model becomes slow.

Errors in a row open it only if the reranker fails for all: before that a request that was scored lately is sent again,
see ``health_check.py``. Half-open, a probe that fails is checked in the same way.

The machine reads no clock and draws no random numbers: ``now`` (seconds on a clock that never goes back) and ``jitter``
(in [0, 1)) are arguments. It has no lock: threads that share it need a common one, as in shared_breaker.py.
``take_changes`` gives the transitions for observers.

Rejected alternatives. An error share over the window: it needs many calls to see an outage that five errors in a row
show. Errors weighed by tenant: most applications have one, and an attacker may have two. Closing after one fast probe:
a primary just at its limit would flap. A longer open time after long outages: a primary that is back would be left
alone for up to a minute, and all that it saves is a call every ten seconds. Several probes at once: they would wait for
each other, and be slow because of that alone.
"""

from dataclasses import dataclass
from math import inf

from semcache.batching.service_time import ServiceTime
from semcache.degradation.health_check import HealthCheck
from semcache.degradation.monitor import LatencyMonitor, check_latency
from semcache.degradation.policy import BreakerPolicy
from semcache.degradation.transitions import TRANSITIONS, Signal
from semcache.errors import InvalidInputError
from semcache.events import BreakerChanged, State

__all__ = ["Breaker", "BreakerPolicy", "Ticket"]


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

    def __init__(
        self,
        monitor: LatencyMonitor,
        policy: BreakerPolicy | None = None,
        reranker: str = "",
        *,
        is_primary: bool = True,
    ) -> None:
        self.monitor = monitor
        self.reranker = reranker
        self.is_primary = is_primary
        self.policy: BreakerPolicy = BreakerPolicy() if policy is None else policy
        self.state: State = State.CLOSED
        self._generation = 0
        self._tickets = 0
        self._open_until = 0.0
        self._openings = 0  # in a row, without having been closed in between
        self._errors = 0  # in a row, while closed or disabled
        self._slow = 0  # in a row, while closed or disabled
        self._changed_at = -inf
        self._service = ServiceTime()
        self._fast = 0  # probes in a row, while half-open
        self._probe: _Probe | None = None
        self._check: HealthCheck[Ticket] = HealthCheck()
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
            self._transition(Signal.PROBE_LOST, now, jitter, f"no answer within {now - self._probe.since:.3g} s")
        return None

    def record(self, ticket: Ticket, latency_s: float, now: float, *, pairs: int = 1, jitter: float = 0.0) -> None:
        """The call of this ticket took ``latency_s`` seconds of the model's time, for ``pairs`` pairs.

        Raises InvalidInputError for a latency that is not finite and at least 0, and for less than one pair.
        """
        check_latency(latency_s)
        if pairs < 1:
            raise InvalidInputError(f"a call scores at least one pair, got {pairs!r}")
        if self._is_current(ticket):
            if self._check.end(ticket):
                self._check.excused_until = now + self.policy.open_time_s(0, has_failed=True, jitter=jitter)
            self._judge(self._as_usual(latency_s, pairs, now), _took(latency_s, pairs), now, jitter)
            self._service.record(pairs, latency_s, now)

    def record_running(self, since: float, now: float, *, pairs: int = 1, jitter: float = 0.0) -> bool:
        """A call of so many pairs has been under way since a time, and is not over. True if it counts as slow already.

        It must not be recorded again when it is over.
        """
        # What began before the present state says nothing about it; half-open, only the probe counts.
        begun = self._changed_at
        if self.state is State.HALF_OPEN:
            begun = inf if self._probe is None else self._probe.since
        if since < begun or self.state in (State.OPEN, State.FORCED_OPEN):
            return False
        latency_s = self._as_usual(now - since, pairs, now)
        if latency_s <= self.monitor.p95_threshold:
            return False
        self._judge(latency_s, f"under way for {now - since:.3g} s", now, jitter)
        return True

    def record_hung(self, running_s: float, now: float, jitter: float = 0.0) -> None:
        """A call did not come to an end within ``running_s`` seconds, and was given up."""
        self._transition(Signal.HUNG, now, jitter, f"given up after {running_s:.3g} s")

    def record_error(
        self, ticket: Ticket, now: float, jitter: float = 0.0, cause: str = "", *, can_check: bool = False
    ) -> None:
        """The call of this ticket raised an error; ``cause`` says which.

        With ``can_check`` a request is known that the reranker scored before, and ``take_check`` may ask for it.
        """
        if not self._is_current(ticket):
            return
        is_check = self._check.end(ticket)
        # Its latency is not recorded: most errors are quick, and would make a dead primary look fast.
        if self.state is State.HALF_OPEN:
            self._suspect(Signal.PROBE_FAILED, now, jitter, cause, can_check=can_check and not is_check)
        elif is_check or now >= self._check.excused_until:
            self._errors += 1
            if self._errors >= self.policy.errors:
                self._suspect(Signal.ERRORS, now, jitter, cause, can_check=can_check and not is_check)

    def take_check(self, now: float) -> Ticket | None:
        """A ticket for a health check, if one is due: a request that was scored before is to be sent again."""
        if not self._check.is_wanted or self._probe is not None:
            return None
        ticket = self._ticket()
        self._check.begin(ticket, now)
        if self.state is State.HALF_OPEN:
            self._probe = _Probe(ticket, now)
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """The call of this ticket never ran, or its end says nothing about the primary. Another may probe instead."""
        if self._is_current(ticket):
            self._check.end(ticket)
            self._probe = None

    def forget_probe(self) -> None:
        """The probe and the check under way, if there are any, will not come back. Others may be sent instead."""
        self._probe = None
        self._check = HealthCheck()

    def force_open(self, now: float, cause: str = "") -> None:
        """Admit no call until ``reset``."""
        self._transition(Signal.FORCE_OPEN, now, 0.0, cause)

    def disable(self, now: float, cause: str = "") -> None:
        """Admit every call until ``reset``; latencies are still recorded."""
        self._transition(Signal.DISABLE, now, 0.0, cause)

    def reset(self, now: float, cause: str = "") -> None:
        """Close the breaker, with an empty window."""
        self._transition(Signal.RESET, now, 0.0, cause)

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

    def _suspect(self, signal: Signal, now: float, jitter: float, cause: str, *, can_check: bool) -> None:
        """The reranker seems to fail: have it checked where that is possible, else open."""
        # Nothing follows from it while the breaker is disabled, and a check costs a call.
        if (self.state, signal) not in TRANSITIONS:
            return
        if not can_check or self._check.is_lost(now, self.policy.max_open_s):
            self._transition(signal, now, jitter, cause)
            return
        self._check.want()
        # Half-open, the check takes the place of the probe that failed.
        self._probe = None

    def _as_usual(self, latency_s: float, pairs: int, now: float) -> float:
        """The latency as a call of usual size would have had it."""
        if self.policy.per_pair:
            return latency_s / pairs
        # By the calls before this one, which must not excuse itself.
        cost = self._service.cost(now)
        return latency_s if cost is None else latency_s / cost.times_usual(pairs)

    def _judge(self, latency_s: float, cause: str, now: float, jitter: float) -> None:
        """Count a latency, of a call of usual size, in the present state."""
        if self.state is State.HALF_OPEN:
            # Probes stay out of the window: p95 shows to operators why the breaker opened, until it closes.
            if latency_s > self.policy.probe_factor * self.monitor.p95_threshold:
                self._transition(Signal.PROBE_SLOW, now, jitter, cause)
                return
            self._probe = None
            self._fast += 1
            if self._fast >= self.policy.probes:
                self._transition(Signal.RECOVERED, now, jitter)
            return
        self._errors = 0
        self._check.is_wanted = False
        self.monitor.record(latency_s)
        self._slow = self._slow + 1 if latency_s > self.monitor.p95_threshold else 0
        if self.monitor.should_degrade():
            self._transition(Signal.SLOW, now, jitter, cause)
        elif self._slow >= self.policy.slow_in_a_row and self.monitor.samples >= self.monitor.min_samples:
            self._transition(Signal.SLOW_IN_A_ROW, now, jitter, cause)

    def _transition(self, signal: Signal, now: float, jitter: float, cause: str = "") -> None:
        old, new = self.state, TRANSITIONS.get((self.state, signal))
        if new is None:
            return
        # A reset of a closed breaker is no change to observers, but ends older tickets like any other transition.
        if new is not old:
            self._changes.append(self._evidence(old, new, signal, cause))
        self.state = new
        self._generation += 1
        self._changed_at = now
        self._errors = self._fast = self._slow = 0
        self._probe = None
        self._check = HealthCheck()
        if new is State.OPEN:
            has_failed = signal in (Signal.ERRORS, Signal.PROBE_FAILED)
            self._open_until = now + self.policy.open_time_s(self._openings, has_failed=has_failed, jitter=jitter)
            self._openings += 1
        elif new is State.CLOSED:
            # The window that opened the breaker would open it again at once.
            self.monitor.clear()
            self._openings = 0

    def _evidence(self, old: State, new: State, signal: Signal, cause: str) -> BreakerChanged:
        return BreakerChanged(
            old.value,
            new.value,
            signal.value,
            self.monitor.p95_if_enough(),
            reranker=self.reranker,
            samples=self.monitor.samples,
            slow=self.monitor.slow,
            errors=self._errors,
            cause=cause,
            is_primary=self.is_primary,
        )


def _took(latency_s: float, pairs: int) -> str:
    return f"{latency_s:.3g} s for {pairs} pair{'' if pairs == 1 else 's'}"
