"""Translates redis-py's errors into semcache's, with the remedy and without any password."""

from redis import exceptions

from semcache.errors import StoreError, StoreUnavailableError

FOREIGN = (exceptions.RedisError, OSError)
"""The errors that redis-py raises: its own, and sometimes one of the operating system for the socket."""

_SEARCH_MISSING = (
    "{where} has no search module: {message}; use Redis 8 or Redis Stack, or the url 'embedded' "
    "(pip install 'redis-semcache[embedded]')"
)

# The first row that fits counts. Refused passwords stand above ConnectionError, which they are subclasses of.
_TRANSLATIONS: tuple[tuple[tuple[type[BaseException], ...], type[StoreError], str], ...] = (
    (
        (exceptions.AuthenticationError, exceptions.AuthorizationError),
        StoreError,
        "{where} refused the user name or password: {message}; correct them in the Redis url",
    ),
    (
        (exceptions.NoPermissionError,),
        StoreError,
        "{where}: {message}; give this user the commands that semcache uses (GET, SET, FT.SEARCH, ...)",
    ),
    (
        (exceptions.MaxConnectionsError,),
        StoreError,
        "{where}: {message}; more calls at once than the connection pool allows",
    ),
    ((exceptions.TimeoutError, TimeoutError), StoreUnavailableError, "{where} did not answer in time: {message}"),
    (
        (exceptions.ConnectionError, OSError),
        StoreUnavailableError,
        "{where} cannot be reached: {message}; check that Redis runs and the url is right",
    ),
    (
        (exceptions.OutOfMemoryError,),
        StoreError,
        "{where} is full: {message}; raise maxmemory, or set maxmemory-policy to allkeys-lru",
    ),
    ((exceptions.ReadOnlyError,), StoreError, "{where} is a read-only replica: {message}; use the url of the primary"),
)

_MISSING_INDEX = ("no such index", "unknown index name", "index_not_found")


def translated(error: BaseException, where: str) -> StoreError:
    """Our error for one of redis-py's. ``where`` names the server without its password."""
    if isinstance(error, exceptions.ConnectionError) and isinstance(error.__cause__, exceptions.RedisError):
        # The asynchronous client reports a refused password as a connection error that was caused by it.
        error = error.__cause__
    message = str(error)
    for kinds, ours, text in _TRANSLATIONS:
        if isinstance(error, kinds):
            return ours(text.format(where=where, message=message))
    if "unknown command" in message.lower() and "ft." in message.lower():
        return StoreError(_SEARCH_MISSING.format(where=where, message=message))
    return StoreError(f"{where} answered with an error: {message}")


def is_missing_index(reply: object) -> bool:
    """Whether a reply says that the index does not exist. Each version of the search module words it differently."""
    return isinstance(reply, exceptions.ResponseError) and any(words in str(reply).lower() for words in _MISSING_INDEX)
