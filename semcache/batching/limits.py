"""How much one call of a model may merge, and how much may wait for it."""

from dataclasses import dataclass
from numbers import Integral, Real

from semcache.batching.admission import merging_time_s
from semcache.errors import ConfigurationError, SemcacheError
from semcache.settings import Batching, Monitor

_BATCHING = Batching()
# 0.4 s. Rounded, since 1 - 0.8 is 0.19999999999999996 and help() shows the result in signatures.
_MAX_BATCH_S = round(merging_time_s(Monitor().p95_threshold_s, _BATCHING.admission_factor), 6)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a batcher. The defaults of all its constructors stand here, and in the settings where those have them.

    One call merges at most ``max_requests`` requests, ``max_pairs`` (query, document) pairs and ``max_batch_s`` seconds
    of work, by the model's own record; a single request that is larger goes alone. At most ``max_queue_pairs`` pairs
    wait. Raises ConfigurationError for values that are not above 0.
    """

    max_requests: int = 10  # the batch_size of AsyncBatchReranker, which its users rely on
    max_pairs: int = _BATCHING.max_pairs
    max_batch_s: float = _MAX_BATCH_S
    max_queue_pairs: int = _BATCHING.max_queue_pairs

    def __post_init__(self) -> None:
        for name in ("max_requests", "max_pairs", "max_queue_pairs"):
            check_count(name, getattr(self, name))
        # Written so that NaN, which is above nothing, is refused.
        if not (isinstance(self.max_batch_s, Real) and self.max_batch_s > 0):
            raise ConfigurationError(f"max_batch_s must be a number of seconds above 0, got {self.max_batch_s!r}")


def check_count(name: str, value: object, error: type[SemcacheError] = ConfigurationError) -> None:
    """Raises ``error`` unless the value is a whole number of at least 1."""
    # bool is a subclass of int, but True is a mistake here and not the number 1.
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise error(f"{name} must be a whole number of at least 1, got {value!r}")


# Last, since making it calls check_count.
DEFAULTS = Limits()
"""The bounds of a batcher that is given none."""
