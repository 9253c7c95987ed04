"""The other end of a process pool: loads a reranker once, and scores what it is sent until it is told to end."""

import pickle
import signal
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from semcache.errors import RerankerError, described


def serve(handle: int) -> None:
    """Answer on the socket of this file descriptor: first that the reranker is there, then each call.

    An answer is a pair of a word, "scores" or "error", and the array or the exception.
    """
    # Ctrl-C goes to all processes of a terminal, and systemd sends SIGTERM to all of a service: the one that was asked
    # answers what is under way first, and ends this one.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with Connection(handle) as connection:
        try:
            reranker = _loaded(connection)
            while reranker is not None and (pairs := connection.recv()) is not None:
                _answer(connection, partial(reranker.score, pairs))
        except (EOFError, ConnectionError):  # the process that was served is gone
            pass
    sys.stdout.flush()


def _loaded(connection: Connection) -> Any:
    """The reranker that is sent first; None if it cannot be loaded, which is told."""
    loaded: list[Any] = []
    # The other end of the socket is the process that started this one.
    _answer(connection, lambda: loaded.append(pickle.loads(connection.recv_bytes())))  # noqa: S301
    return loaded[0] if loaded else None


def _answer(connection: Connection, call: Callable[[], Any]) -> None:
    """Send what the call gives, or what it raises."""
    try:
        answer = ("scores", call())
    except BaseException as error:  # noqa: BLE001 - also SystemExit: it is told to the caller, whose call it was
        answer = ("error", error)
    connection.send_bytes(_pickled(answer))


def _pickled(answer: tuple[str, Any]) -> bytes:
    try:
        data = pickle.dumps(answer)
        pickle.loads(data)  # noqa: S301 - of the line above; some exceptions can be written and not be read
    except Exception:  # noqa: BLE001 - what cannot be pickled is told in words
        data = pickle.dumps(("error", RerankerError(f"the worker process raised or gave {described(answer[1])}")))
    return data
