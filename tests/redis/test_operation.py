"""Operations are decided without I/O, so that a test can answer their steps."""

import pytest
from redis import exceptions

from semcache.errors import StoreError
from semcache.redis.client.commands import script
from semcache.redis.operation import run_script, value_of

CALLS = [script("remember").by_digest((b"v", b"s"), number) for number in range(3)]


def test_a_reply_that_is_an_error_is_raised() -> None:
    error = exceptions.ResponseError("no")
    with pytest.raises(StoreError, match="here answered with an error: no") as caught:
        value_of(error, "here")
    assert caught.value.__cause__ is error
    assert value_of(b"fine", "here") == b"fine"


def test_only_calls_that_met_a_server_without_the_script_are_repeated() -> None:
    operation = run_script("here", "remember", CALLS)
    assert next(operation) == CALLS
    repeated = operation.send([10, exceptions.NoScriptError("no"), 12])
    assert repeated == [("EVAL", script("remember").text, 2, b"v", b"s", 1)]
    with pytest.raises(StopIteration) as done:
        operation.send([11])
    assert done.value.value == [10, 11, 12]


def test_an_error_of_a_script_is_raised() -> None:
    operation = run_script("here", "remember", CALLS[:1])
    next(operation)
    with pytest.raises(StoreError, match="here is full"):
        operation.send([exceptions.OutOfMemoryError("no")])
