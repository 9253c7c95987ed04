"""Says in semcache's errors what redis-py raised, with the remedy and without any password."""

from redis import exceptions

from semcache.errors import StoreError, StoreUnavailableError

_MISSING_INDEX = ("no such index", "unknown index name", "index_not_found")
FOREIGN = (exceptions.RedisError, OSError)
"""What redis-py lets out: its own errors, and now and then a bare one of the socket."""


def translated(error: BaseException, where: str) -> StoreError:
    """Our error for one of redis-py's; ``where`` names the server without its password."""
    if isinstance(error, exceptions.ConnectionError) and isinstance(error.__cause__, exceptions.RedisError):
        error = error.__cause__  # the asynchronous client wraps a refused password as if nobody were there
    said = str(error)
    if isinstance(error, exceptions.AuthenticationError | exceptions.AuthorizationError):
        return StoreError(f"{where} refused the user name or password: {said}; correct them in the Redis url")
    if isinstance(error, exceptions.NoPermissionError):
        return StoreError(f"{where}: {said}; give this user the commands that semcache uses (GET, SET, FT.SEARCH, ...)")
    if isinstance(error, exceptions.MaxConnectionsError):
        return StoreError(f"{where}: {said}; more calls at once than the connection pool allows")
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return StoreUnavailableError(f"{where} did not answer in time: {said}")
    if isinstance(error, exceptions.ConnectionError | OSError):
        return StoreUnavailableError(f"{where} cannot be reached: {said}; check that Redis runs and the url is right")
    return _refused(error, said, where)


def _refused(error: BaseException, said: str, where: str) -> StoreError:
    if isinstance(error, exceptions.OutOfMemoryError):
        return StoreError(f"{where} is full: {said}; raise maxmemory, or set maxmemory-policy to allkeys-lru")
    if isinstance(error, exceptions.ReadOnlyError):
        return StoreError(f"{where} is a read-only replica: {said}; use the url of the primary")
    if "unknown command" in said.lower() and "ft." in said.lower():
        return StoreError(
            f"{where} has no search module: {said}; use Redis 8 or Redis Stack, or the url 'embedded' "
            "(pip install 'redis-semcache[embedded]')"
        )
    return StoreError(f"{where} answered with an error: {said}")


def is_missing_index(reply: object) -> bool:
    """Whether a reply says that the index does not exist; each version of the module has its own words."""
    return isinstance(reply, exceptions.ResponseError) and any(words in str(reply).lower() for words in _MISSING_INDEX)
