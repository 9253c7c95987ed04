"""Each error of redis-py becomes one of ours, with the remedy."""

import pytest
from redis import exceptions

from semcache.errors import StoreError, StoreUnavailableError
from semcache.redis.client.failures import is_missing_index, translated


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (exceptions.AuthenticationError("no"), StoreError, "here refused the user name or password: no; correct them"),
        (exceptions.NoPermissionError("no"), StoreError, "here: no; give this user the commands"),
        (exceptions.MaxConnectionsError("no"), StoreError, "here: no; more calls at once than the connection pool"),
        (exceptions.TimeoutError("no"), StoreUnavailableError, "here did not answer in time: no"),
        (TimeoutError("no"), StoreUnavailableError, "here did not answer in time: no"),
        (exceptions.ConnectionError("no"), StoreUnavailableError, "here cannot be reached: no; check that Redis runs"),
        (BrokenPipeError("no"), StoreUnavailableError, "here cannot be reached: no; check that Redis runs"),
        (exceptions.OutOfMemoryError("no"), StoreError, "here is full: no; raise maxmemory"),
        (exceptions.ReadOnlyError("no"), StoreError, "here is a read-only replica: no; use the url of the primary"),
        (exceptions.ResponseError("unknown command 'FT.SEARCH'"), StoreError, "here has no search module: unknown"),
        (exceptions.ResponseError("{x}"), StoreError, "here answered with an error: {x}"),
    ],
)
def test_the_kind_and_the_message(error: Exception, kind: type[StoreError], message: str) -> None:
    ours = translated(error, "here")
    assert type(ours) is kind
    assert str(ours).startswith(message)


def test_a_refused_password_inside_a_connection_error_is_found() -> None:
    wrapped = exceptions.ConnectionError("closed")
    wrapped.__cause__ = exceptions.AuthenticationError("wrong")
    assert str(translated(wrapped, "here")).startswith("here refused the user name or password: wrong")


@pytest.mark.parametrize("words", ["i: no such index", "Unknown index name (or name is an alias itself)"])
def test_each_version_of_the_module_has_words_for_a_missing_index(words: str) -> None:
    assert is_missing_index(exceptions.ResponseError(words))
    assert not is_missing_index(words)
