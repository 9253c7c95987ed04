"""When a circuit breaker keeps calls from a reranker, and for how long."""

from dataclasses import dataclass

from semcache.errors import ConfigurationError
from semcache.flow.requests import check_count
from semcache.settings import Breaker as BreakerSettings

# Up to this share is added to the open time, so that many processes do not probe a remote model in the same moment.
_JITTER_SHARE = 0.2

# Errors return quickly, so probing costs little; and some inputs that no model can read, one after the other, should
# not keep all others from the primary for long.
_AFTER_ERRORS = 0.2

_DEFAULTS = BreakerSettings()


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When the breaker changes its state. The reasons for the defaults stand in the settings.

    The primary is left alone for ``open_s`` seconds at first (a fifth of that after errors), and for at most
    ``max_open_s`` after failed probes; it serves again after ``probes`` probes in a row that took at most
    ``probe_factor`` of the monitor's threshold.
    ``errors`` errors in a row open the breaker at once; a success in between starts their count anew, so that single
    bad requests between good ones never open it, and neither do many of them if a request that was scored before still
    is. ``slow_in_a_row`` slow calls in a row do the same once the monitor's window may be judged: a slow spell then
    need not fill a twentieth of the window.

    A call of more pairs than usual may take longer than the threshold, in proportion. With ``per_pair`` the latency of
    a call is divided by its number of pairs instead, and the monitor's threshold is in seconds per pair. With
    ``shadow`` no caller waits for a probe: it is a copy of a request that another rung answers. Raises
    ConfigurationError.
    """

    open_s: float = _DEFAULTS.open_s
    max_open_s: float = _DEFAULTS.max_open_s
    probes: int = _DEFAULTS.probes
    probe_factor: float = _DEFAULTS.probe_factor
    errors: int = _DEFAULTS.errors
    slow_in_a_row: int = _DEFAULTS.slow_in_a_row
    shadow: bool = _DEFAULTS.shadow
    per_pair: bool = False

    def __post_init__(self) -> None:
        # Also refuses NaN, with which no comparison holds, and infinity, which would mean an outage without an end.
        if not 0 < self.open_s <= self.max_open_s < float("inf"):
            raise ConfigurationError(
                f"open_s must be above 0 and at most max_open_s, got {self.open_s!r} and {self.max_open_s!r}"
            )
        for name in ("probes", "errors", "slow_in_a_row"):
            check_count(name, getattr(self, name))
        if not 0 < self.probe_factor <= 1:
            raise ConfigurationError(f"probe_factor must be above 0 and at most 1, got {self.probe_factor!r}")

    def open_time_s(self, openings: int, *, has_failed: bool, jitter: float) -> float:
        """How long the breaker stays open after so many openings in a row; ``jitter`` is in [0, 1)."""
        first_s = self.open_s * (_AFTER_ERRORS if has_failed else 1)
        # The exponent is capped, since 2.0 ** openings would overflow after a thousand failed probes.
        open_s = min(first_s * 2.0 ** min(openings, 64), self.max_open_s)
        # Jitter is added after the maximum is applied: otherwise all processes would probe together from then on.
        return open_s * (1 + _JITTER_SHARE * jitter)
