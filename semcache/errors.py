"""The few errors semcache raises; each message names what was wrong, the value, and what to do."""


class SemcacheError(Exception):
    """Any error that semcache raises on purpose."""


class InvalidInputError(SemcacheError, ValueError):
    """An argument of a call cannot be used; nothing has been done yet."""


class ConfigurationError(SemcacheError, ValueError):
    """A setting, an environment variable or a YAML file cannot be used."""


class MissingExtraError(SemcacheError, ImportError):
    """An optional library is not installed; the message carries the ``pip install`` line."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed; run: pip install 'redis-semcache[{extra}]'")


class EmbedderError(SemcacheError):
    """An embedder gave something that is not one finite, non-zero vector of the right length per text."""


class RerankerError(SemcacheError):
    """A reranker gave something that is not one finite score per pair."""


class StoreError(SemcacheError):
    """Redis cannot be used as it is set up (no search module, wrong password, wrong kind of index)."""


class IndexMismatchError(StoreError):
    """An index of this name exists with other dims, vector type or metric; the message names both sides."""


class StoreUnavailableError(StoreError):
    """Redis did not answer in time, refused, or is being left alone after it just failed."""


class EmbeddedRedisError(SemcacheError):
    """No usable Redis was found on this machine, or the one that was started did not come up."""


class DeadlineExceededError(SemcacheError, TimeoutError):
    """The caller's deadline passed before the reranker answered."""


class QueueFullError(SemcacheError):
    """The batching queue holds as many pairs as it may."""


def described(value: object) -> str:
    """Type and ``repr`` of a wrong value for an error message, cut to 80 characters: it may be a whole document."""
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else f'{text[:80]}...'}"
