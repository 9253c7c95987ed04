"""The exit codes of all commands, which scripts may depend on; ``docs/cli.md`` has the same table for users."""

from enum import IntEnum

from semcache.errors import (
    ConfigurationError,
    DeadlineExceededError,
    EmbeddedRedisError,
    InvalidInputError,
    MissingExtraError,
    RerankServiceError,
    StoreError,
)


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    """Done; nothing is wrong."""
    FAILED = 1
    """It has found a fault (``doctor``), or something failed that no other code stands for."""
    USAGE = 2
    """An option, an argument or a file that was given cannot be used; nothing was done."""
    CONFIGURATION = 3
    """A setting cannot be used, or an optional library is not installed; nothing was done."""
    UNAVAILABLE = 4
    """Redis or a rerank service cannot be used, or did not answer."""
    INTERRUPTED = 130
    """Ctrl-C or SIGTERM; 128 + the number of SIGINT, as shells report it."""


# An error that is none of these has failed in its own way.
_CODES: tuple[tuple[tuple[type[Exception], ...], ExitCode], ...] = (
    ((InvalidInputError,), ExitCode.USAGE),
    ((ConfigurationError, MissingExtraError), ExitCode.CONFIGURATION),
    ((StoreError, EmbeddedRedisError, RerankServiceError, DeadlineExceededError), ExitCode.UNAVAILABLE),
)


def code_of(error: Exception) -> ExitCode:
    """The exit code of a command that ends with this error."""
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), ExitCode.FAILED)
