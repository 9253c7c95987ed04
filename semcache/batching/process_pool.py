"""Runs a reranker in processes of its own, for models in Python code, which threads of one process cannot run at once.

Not multiprocessing's own processes and pools: a crash of one worker breaks a whole ProcessPoolExecutor, and a forked
child that ends kills or waits for the processes of its parent. The programs here know only the socket to their parent,
and end when it is closed.
"""

import os
import pickle
import pickletools
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from threading import Lock, Thread, current_thread
from typing import Any
from weakref import finalize

from semcache.causes import message_of
from semcache.errors import ConfigurationError, RerankerError, SemcacheError
from semcache.protocols import FloatArray, Pair, Reranker
from semcache.rerankers.awaiting import is_awaited
from semcache.runtime.forking import renew_in_child

_PROGRAM = "from semcache.batching.process_worker import serve; serve({handle})"

# A worker without a call ends at once when it is told. One that does not is in its model, which ends with it.
_END_S = 2.0


class WorkerCrashedError(RerankerError):
    """The process of a reranker ended in the middle of a call, which cannot be tried again: it would end it again."""


class ProcessPool:
    """A reranker whose calls are made in at most ``processes`` processes. Each loads it once, with its first call.

    The reranker is sent there by pickle. It must be defined in a module, since the script that is being run is not run
    again in the others. If a process crashes, the call in it raises WorkerCrashedError, and the next call starts
    another one. Raises ConfigurationError for a reranker that cannot be pickled, that is awaited, or on Windows.
    """

    def __init__(self, reranker: Reranker, processes: int) -> None:
        self.reranker = reranker
        self._pickled = _pickled(reranker)
        self._most = processes
        self._is_closed = False
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Leave the processes to the parent; also used for the beginning itself."""
        # Guards both lists, and whether the pool is closed.
        self._changing = Lock()
        for process in getattr(self, "_all", ()):
            process.disown()
        self._idle: list[_Process] = []
        self._all: list[_Process] = []
        # Each thread writes its own entry.
        self._calling: dict[Thread, _Process] = {}
        # For a pool that is dropped, and at the end of the interpreter.
        finalize(self, _end_all, self._all)

    @property
    def name(self) -> str:
        """The name of the reranker."""
        return self.reranker.name

    @property
    def listwise(self) -> bool:
        """Whether the reranker gives an order instead of scores."""
        return self.reranker.listwise

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One score per pair, by a process that is idle. There must not be more calls at once than processes."""
        process = self._taken()
        self._calling[current_thread()] = process
        try:
            return process.call(pairs, self.name)
        finally:
            del self._calling[current_thread()]
            # One that has no reranker has crashed, or could not load it.
            if process.is_loaded:
                self._give_back(process)
            else:
                self._forget(process)

    def end_call(self, thread: Thread) -> None:
        """End the process that a thread waits for, whose call then raises WorkerCrashedError."""
        process = self._calling.get(thread)
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the processes, also in the middle of a call, which then raises WorkerCrashedError."""
        with self._changing:
            self._is_closed = True
            ending, self._idle[:], self._all[:] = list(self._all), [], []
        _end_all(ending)

    def __repr__(self) -> str:
        return f"<ProcessPool of {len(self._all)} of {self._most} processes: {self.reranker!r}>"

    def _taken(self) -> "_Process":
        with self._changing:
            if self._is_closed:
                raise SemcacheError("this batcher is closed; make a new one")
            if self._idle:
                return self._idle.pop()
            process = _Process(self._pickled)
            self._all.append(process)
            return process

    def _give_back(self, process: "_Process") -> None:
        with self._changing:
            if not self._is_closed:
                self._idle.append(process)

    def _forget(self, process: "_Process") -> None:
        with self._changing:
            if process in self._all:
                self._all.remove(process)
        process.end()


class _Process:
    """One program that has a reranker, and the socket to it."""

    def __init__(self, pickled: bytes) -> None:
        self._connection, other = Pipe()
        with other:
            handle = other.fileno()
            self._program = subprocess.Popen(  # noqa: S603 - this Python with a program of ours, and no shell
                [sys.executable, "-c", _PROGRAM.format(handle=handle)],
                pass_fds=(handle,),
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
            )
        self.is_loaded = False
        self._pickled = pickled

    def call(self, pairs: Sequence[Pair], name: str) -> FloatArray:
        """The scores of the pairs, or what the reranker raised. Loads it first, once."""
        if not self.is_loaded:
            self._asked(self._pickled, name, "its start")
            self.is_loaded = True
        return self._asked(pickle.dumps(pairs), name, f"a call of {len(pairs)} pairs")  # type: ignore[no-any-return]

    def end(self) -> int:
        """Tell it to end, and make it; gives its exit code."""
        with suppress(OSError):  # it has ended
            # Told, because a forked child may hold the socket open.
            self._connection.send(None)
        try:
            code = self._program.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._program.kill()
            code = self._program.wait()
        # Last: a thread that still reads the answer of a call must not read from another file of the same number.
        self._connection.close()
        return code

    def kill(self) -> None:
        """End it at once; the thread that waits for its answer then takes notice."""
        self._program.kill()

    def disown(self) -> None:
        """Close the socket, in a forked child; the program serves the parent."""
        self._connection.close()
        # Or its destructor would wait for a process that is none of ours.
        self._program.returncode = 0

    def _asked(self, message: bytes, name: str, during: str) -> Any:
        try:
            self._connection.send_bytes(message)
            word, answer = pickle.loads(self._connection.recv_bytes())  # noqa: S301 - from a process of ours
        except (EOFError, OSError) as error:
            self.is_loaded = False
            raise WorkerCrashedError(
                f"the worker process of {name} ended with code {self.end()} in the middle of {during}; the next call "
                "starts another one"
            ) from error
        if word == "error":
            raise answer
        return answer


def _end_all(processes: "list[_Process]") -> None:
    for process in processes:
        process.end()


def _pickled(reranker: Reranker) -> bytes:
    if os.name == "nt":
        raise ConfigurationError("workers='processes' needs sockets that a program inherits, which Windows has not")
    if is_awaited(reranker):
        raise ConfigurationError(
            f"{reranker.name} is asynchronous, so that it waits and does not compute; leave workers at 'threads'"
        )
    try:
        data = pickle.dumps(reranker)
    except Exception as error:  # pickling calls methods of the object, which may raise anything
        raise ConfigurationError(
            f"{reranker.name} cannot be sent to worker processes ({message_of(error)}); give its model by name or "
            "folder, or an object of a class with a module of its own, or leave workers at 'threads'"
        ) from error
    if any(argument in ("__main__", "__mp_main__") for _, argument, _ in pickletools.genops(data)):
        raise ConfigurationError(
            f"{reranker.name} is defined in the script that is being run, which worker processes do not run again; put "
            "it into a module, or leave workers at 'threads'"
        )
    return data
