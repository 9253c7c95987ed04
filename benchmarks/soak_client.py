"""The client of the soak, a process of its own: it sends requests of every kind, and says each few seconds what it saw.

Run by ``benchmarks.soak`` as ``python -m benchmarks.soak_client URL``. Reports are lines of JSON on standard output. It
ends when its standard input does.
"""

import asyncio
import gc
import json
import sys
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable
from random import Random
from time import sleep
from typing import Any
from weakref import WeakSet

from benchmarks.soak_callers import Callers
from benchmarks.soak_process import allocated
from benchmarks.soak_record import Record

_REPORT_S = 5.0
_OBJECTS_EVERY = 12
"""Reports from one count of all objects to the next: it holds up the process for some tenths of a second."""


def main(url: str) -> None:
    """Send requests to this Redis until standard input ends."""
    ended = threading.Event()
    threading.Thread(target=_wait_for_end, args=(ended,), name="soak-end", daemon=True).start()
    record = Record()
    callers = Callers(url, record, ended)
    threads = [
        threading.Thread(target=_repeat, args=(work, ended, record, Random(number)), name=f"soak-{name}")
        for number, (name, work) in enumerate(callers.kinds())
    ]
    for thread in threads:
        thread.start()
    number = 0
    first_trace: tracemalloc.Snapshot | None = None
    while not ended.wait(_REPORT_S):
        report = {**record.taken(), **_state(callers.loops)}
        if number % _OBJECTS_EVERY == 0:
            report["types"] = _types()
        if tracemalloc.is_tracing() and number == 2 * _OBJECTS_EVERY:
            first_trace = tracemalloc.take_snapshot()
        print(json.dumps(report), flush=True)
        number += 1
    for thread in threads:
        thread.join(60)
    if first_trace is not None:
        _print_growth(first_trace)
    callers.close()
    print(json.dumps({**record.taken(), **_state(callers.loops), "is_last": True}), flush=True)


def _repeat(work: Callable[[Random], None], ended: threading.Event, record: Record, random: Random) -> None:
    while not ended.is_set():
        try:
            work(random)
        except Exception as error:  # noqa: BLE001 - counted: a caller who gets an error has no answer
            record.failed(threading.current_thread().name, error)
            sleep(0.1)


def _wait_for_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def _state(loops: WeakSet[asyncio.AbstractEventLoop]) -> dict[str, Any]:
    names = Counter(thread.name.rstrip("0123456789-_") for thread in threading.enumerate())
    # Loops that have ended are in cycles, and stay until Python's collector comes by.
    is_open = [loop for loop in list(loops) if not loop.is_closed()]
    tasks = sum(len(asyncio.all_tasks(loop)) for loop in is_open)
    return {"threads": dict(names), "loops": len(is_open), "tasks": tasks, **allocated()}


def _types() -> dict[str, int]:
    counted = Counter(f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in gc.get_objects())
    return dict(counted.most_common(150))


def _print_growth(first: tracemalloc.Snapshot) -> None:
    gc.collect()
    for line in tracemalloc.take_snapshot().compare_to(first, "traceback")[:25]:
        print(
            f"{line.size_diff / 1024:+.0f} KiB in {line.count_diff:+} blocks",
            *line.traceback.format(),
            sep="\n",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main(sys.argv[1])
