"""Runs a part of a test in a forked child of the test process."""

import os
import pickle
import signal
import traceback
from collections.abc import Callable
from select import select
from typing import Any, TypeVar

T = TypeVar("T")

# A child that waits for a thread of its parent waits for ever.
PATIENCE_S = 20.0


def in_child(call: Callable[[], T]) -> T:
    """What the call gives in a forked child; fails with its traceback if it raises there, or takes too long."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(call, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        if not select([answer], [], [], PATIENCE_S)[0]:
            os.kill(child, signal.SIGKILL)
        sent = answer.read()
    os.waitpid(child, 0)
    assert sent, f"no answer from the child within {PATIENCE_S} s"
    is_good, result = pickle.loads(sent)
    assert is_good, result
    return result  # type: ignore[no-any-return]


def _answer(call: Callable[[], Any], writing: int) -> None:
    try:
        answer = True, call()
    except BaseException:  # noqa: BLE001 - whatever it is, the test fails by it
        answer = False, traceback.format_exc()
    try:
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(answer, pipe)
    finally:
        # Not sys.exit(): the child must neither run the rest of the tests nor end their servers.
        os._exit(0)
