"""Worker processes of an application, which do what a test tells them."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Any

from tests.scripted import PATIENCE_S

_CONTEXT: ForkServerContext = get_context("forkserver")
# Else each process would take a second to import what they all need.
_CONTEXT.set_forkserver_preload(["tests.workers.jobs"])


@dataclass(frozen=True, slots=True)
class Gate:
    """What a model in a worker waits for, and by what a test sees how far workers are."""

    missed: Any
    """Requests that looked for neighbours, so that the exact entry did not answer them."""
    entered: Any
    """Calls of the model that have begun."""
    permits: Any
    """Calls that may end."""

    @classmethod
    def closed(cls) -> "Gate":
        """A gate that lets no call of a model end."""
        return cls(_CONTEXT.Semaphore(0), _CONTEXT.Semaphore(0), _CONTEXT.Semaphore(0))


class Worker:
    """A process that does one job after another, each within ``patience_s``."""

    def __init__(self, gate: Gate, patience_s: float) -> None:
        self._patience_s = patience_s
        self._connection, theirs = _CONTEXT.Pipe()
        self.process: BaseProcess = _CONTEXT.Process(target=_work, args=(theirs, gate), daemon=True)
        self.process.start()
        theirs.close()
        self.is_busy: bool = False

    def begin(self, job: Callable[..., Any], *arguments: Any) -> None:
        """Let the process call ``job`` with the gate and these arguments; ``result`` waits for it."""
        self.is_busy = True
        self._connection.send((job, arguments))

    def result(self) -> Any:
        """What the job gave; fails with its traceback if it raised."""
        assert self._connection.poll(self._patience_s), "no answer of the worker"
        is_good, result = self._connection.recv()
        self.is_busy = False
        assert is_good, result
        return result

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        self.process.kill()
        self.process.join()
        self._connection.close()


class Crew:
    """Several workers, started at the same time."""

    def __init__(self, size: int, patience_s: float = PATIENCE_S) -> None:
        self.gate = Gate.closed()
        self._patience_s = patience_s
        self.workers: list[Worker] = [Worker(self.gate, patience_s) for _ in range(size)]

    def do(self, job: Callable[..., Any], arguments: Sequence[Sequence[Any]]) -> list[Any]:
        """The results of a job that workers do at the same time, each with arguments of its own."""
        at_work = self.workers[: len(arguments)]
        for worker, its_own in zip(at_work, arguments, strict=True):
            worker.begin(job, *its_own)
        return [worker.result() for worker in at_work]

    def replace(self, worker: Worker) -> None:
        """Kill a worker, and start another in its place."""
        worker.kill()
        self.workers[self.workers.index(worker)] = Worker(self.gate, self._patience_s)

    def let_go(self, calls: int) -> None:
        """Let so many calls of the model end, also such as begin later."""
        for _ in range(calls):
            self.gate.permits.release()

    def calls(self) -> int:
        """How many calls of the model have begun that were not counted yet."""
        return _drained(self.gate.entered)

    def begin_anew(self) -> None:
        """Forget what is left of an earlier test, which may have failed in the middle."""
        for worker in [worker for worker in self.workers if worker.is_busy]:
            self.replace(worker)
        for semaphore in (self.gate.missed, self.gate.entered, self.gate.permits):
            _drained(semaphore)

    def close(self) -> None:
        """Kill all workers."""
        for worker in self.workers:
            worker.kill()


def count(semaphore: Any, wanted: int) -> None:
    """Wait until something has happened so many times more."""
    for _ in range(wanted):
        assert semaphore.acquire(timeout=PATIENCE_S), "it did not happen"


def _drained(semaphore: Any) -> int:
    taken = 0
    while semaphore.acquire(block=False):
        taken += 1
    return taken


def _work(connection: Connection, gate: Gate) -> None:
    while True:
        try:
            job, arguments = connection.recv()
        except EOFError:  # the test process has ended
            return
        try:
            answer = True, job(gate, *arguments)
        except BaseException:  # noqa: BLE001 - whatever it is, the test fails by it
            answer = False, traceback.format_exc()
        connection.send(answer)
