"""The errors that semcache raises; each message says what was wrong, the value, and what to do."""

from typing import Any


class SemcacheError(Exception):
    """Base of all errors that semcache raises on purpose."""


# Input and configuration errors are also ValueErrors, and a missed deadline a TimeoutError, so that a caller can handle
# them without importing semcache.
class InvalidInputError(SemcacheError, ValueError):
    """An argument of a call cannot be used. Raised before anything is done."""


class ConfigurationError(SemcacheError, ValueError):
    """A setting, an environment variable or a YAML file cannot be used."""


class MissingExtraError(SemcacheError, ImportError):
    """An optional library is not installed; the message contains the ``pip install`` line.

    ``what`` is missing, and ``extra`` of this package brings it.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed; run: pip install 'redis-semcache[{extra}]'")
        self.what = what
        self.extra = extra

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is unpickled by calling its class with ``args``, which hold the message alone.
        return type(self), (self.what, self.extra), self.__dict__


class EmbedderError(SemcacheError):
    """An embedder returned something other than one finite, non-zero vector of the right length per text."""


class RerankerError(SemcacheError):
    """A reranker returned something other than one finite score per pair."""


class RerankerHungError(RerankerError):
    """A call of a reranker took so long that it was given up. It may go on, but its answer is not waited for."""


class RerankServiceError(RerankerError):
    """A rerank service did not answer, or answered with an error.

    ``status`` is the HTTP status, None where there was no answer. ``may_pass`` says that the same request may be
    answered later, ``retry_after_s`` in how many seconds, where the service said that.
    """

    def __init__(
        self, message: str, *, status: int | None = None, may_pass: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.may_pass = may_pass
        self.retry_after_s = retry_after_s


class StoreError(SemcacheError):
    """Redis cannot be used as it is set up: no search module, missing rights, a wrong password, an unfit index."""


class IndexMismatchError(StoreError):
    """An index of this name exists with other dims, vector type or metric; the message names both sides."""


class TransientStoreError(StoreError):
    """Redis cannot be used at the moment, but may be usable again without a change: full, read-only, busy, loading."""


class StoreUnavailableError(TransientStoreError):
    """Redis did not answer in time or refused, or its circuit breaker is open after a recent failure."""


class StoreLeftAloneError(StoreUnavailableError):
    """Redis failed or was slow a moment ago, and is not asked until it answers again."""


class StoreTooSlowError(StoreUnavailableError):
    """A request used up the time that it may wait for Redis; the rest of it went on without the cache."""


class EmbeddedRedisError(SemcacheError):
    """No usable Redis was found on this machine, or the one that was started did not come up."""


class DeadlineExceededError(SemcacheError, TimeoutError):
    """The caller's deadline passed before the reranker answered."""


class QueueFullError(SemcacheError):
    """The batching queue already holds as many pairs as it may."""


def described(value: object) -> str:
    """Type and ``repr`` of a wrong value for an error message, cut to 80 characters: it may be a whole document."""
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else f'{text[:80]}...'}"
