"""Each error of redis-py becomes one of ours, with the remedy."""

import pytest
from redis import exceptions

from semcache.errors import StoreError, StoreUnavailableError, TransientStoreError
from semcache.redis.client.failures import is_missing_index, translated


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (exceptions.AuthenticationError("no"), StoreError, "here refused the user name or password: no; correct them"),
        (exceptions.NoPermissionError("no"), StoreError, "here: no; give this user the rights"),
        (
            exceptions.NoPermissionError("User app has no permissions to run the 'get' command"),
            StoreError,
            "here: the user has no permissions for get; allow them with ACL SETUSER app +get",
        ),
        (
            exceptions.ResponseError("ACL failure in script: No permissions to access a key script: 40fd"),
            StoreError,
            "here: the user has no permissions for the keys semcache:*; allow them with ACL SETUSER <user> ~semcache:*",
        ),
        (exceptions.MaxConnectionsError("no"), StoreError, "here: no; more calls at once than the connection pool"),
        (exceptions.TimeoutError("no"), StoreUnavailableError, "here did not answer in time: no"),
        (TimeoutError("no"), StoreUnavailableError, "here did not answer in time: no"),
        (exceptions.ConnectionError("no"), StoreUnavailableError, "here cannot be reached: no; check that Redis runs"),
        (BrokenPipeError("no"), StoreUnavailableError, "here cannot be reached: no; check that Redis runs"),
        (exceptions.BusyLoadingError("no"), StoreUnavailableError, "here has just started: no; it answers when"),
        (
            exceptions.InvalidResponse("no"),
            StoreUnavailableError,
            "here gave bytes that are no reply of Redis: no; check",
        ),
        (exceptions.OutOfMemoryError("no"), TransientStoreError, "here is full: no; raise maxmemory"),
        (exceptions.ReadOnlyError("no"), TransientStoreError, "here is a read-only replica: no; use the url of the"),
        (exceptions.MasterDownError("no"), TransientStoreError, "here is a replica that has lost its primary: no"),
        (exceptions.ResponseError("BUSY a script"), TransientStoreError, "here is held up by a script: BUSY a script"),
        (exceptions.ResponseError("MISCONF no disk"), TransientStoreError, "here refuses writes: MISCONF no disk"),
        (exceptions.ResponseError("NOREPLICAS no"), TransientStoreError, "here refuses writes: NOREPLICAS no; min-rep"),
        (exceptions.ClusterCrossSlotError("no"), StoreError, "here was one server when it was first asked"),
        (exceptions.MovedError("1 h:1"), StoreError, "here was one server when it was first asked"),
        (exceptions.ClusterDownError("no"), StoreError, "here was one server when it was first asked"),
        (exceptions.ResponseError("unknown command 'GET', with"), StoreError, "here stores nothing: unknown command"),
        (exceptions.ResponseError("unknown command `EVALSHA`, with"), StoreError, "here has no scripting: unknown"),
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
