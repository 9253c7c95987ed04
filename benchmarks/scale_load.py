"""Fills a server with entries, and lets entries come and go: in processes of their own, by the library's write path.

``python -m benchmarks.scale_load fill URL VECTORS FIRST STOP STEP`` and ``... churn URL VECTORS FIRST RATE TTL_S``.
"""

import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, perf_counter, sleep

import numpy as np

from benchmarks import scale_vectors
from benchmarks import vectors as real_vectors
from benchmarks.data import queries
from benchmarks.workload import HELD_OUT, packed
from semcache.entries.entry import NewScores
from semcache.redis.client.connection import RedisConnection
from semcache.redis.store import RedisStore, keys_of

FOLDER = Path(__file__).parent / ".cache" / "scale"
TTL_S = 7 * 24 * 3600.0
"""Long enough that nothing expires during a run but what churn writes; entries have one in production."""
_LOADERS = 2
"""Processes that write: packing an entry takes a client a third of the time that the server takes to store it."""
_PER_ROUND_TRIP = 100


def vectors_file(count: int) -> Path:
    """The file with the vectors of ``count`` entries, which is made if there is none."""
    path = FOLDER / f"vectors-{count}.npy"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, scale_vectors.entries(count))
        partial.replace(path)
    return path


def text_of(entry: int) -> str:
    """The query of an entry; made vectors have made texts of a real one's length."""
    known = queries()
    return known[HELD_OUT + entry] if HELD_OUT + entry < len(known) else f"{known[entry % len(known)]} {entry}"


def fill(url: str, vectors: Path, first: int, stop: int) -> float:
    """Write entries ``first`` to ``stop``; the seconds that the slowest writer took."""
    loaders = [
        _process("fill", url, vectors, first + offset, stop, _LOADERS) for offset in range(min(_LOADERS, stop - first))
    ]
    printed = [loader.communicate()[0] for loader in loaders]
    codes = [loader.returncode for loader in loaders]
    assert not any(codes), f"loaders ended with {codes}"
    return max(map(float, printed))


@contextmanager
def churn(url: str, vectors: Path, first: int, rate: float, life_s: float) -> Iterator[None]:
    """During the block ``rate`` new entries a second are written, and removed after ``life_s`` seconds."""
    process = _process("churn", url, vectors, first, rate, life_s)
    try:
        yield
        assert process.poll() is None, "the writer has ended"
    finally:
        process.kill()
        process.communicate()


def _process(*arguments: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "benchmarks.scale_load", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


@contextmanager
def _store(url: str) -> Iterator[RedisStore]:
    with RedisConnection(url, timeout_s=120) as connection:
        yield RedisStore(
            connection,
            namespace="default",
            reranker="default",
            embedder="given",
            dims=real_vectors.DIMS,
            ttl_s=TTL_S,
        )


def _fill(url: str, vectors: str, first: int, stop: int, step: int) -> None:
    given = np.load(vectors, mmap_mode="r")
    numbers = range(first, stop, step)
    with _store(url) as store:
        store.count()  # connects, and makes the index
        text_of(0), packed(0)  # read the files of the data
        started = perf_counter()
        for start in range(0, len(numbers), _PER_ROUND_TRIP):
            some = numbers[start : start + _PER_ROUND_TRIP]
            batch = [NewScores(text_of(at), given[at].astype(np.float32), packed(at)) for at in some]
            stored = store.remember_many("", batch)
            assert all(stored), f"{stored.count(False)} of {len(stored)} entries were not stored"
    print(perf_counter() - started)


def _churn(url: str, vectors: str, first: int, rate: float, life_s: float) -> None:
    given = np.load(vectors, mmap_mode="r")
    number, due = 0, monotonic()
    written: deque[tuple[float, str]] = deque()
    with _store(url) as store:
        client, keys = store.connection.client, keys_of(store)
        while True:
            at = (first + number) % len(given)
            # Turned a little, so that it is another vector; the texts are new, too.
            vector = given[at].astype(np.float32) + 0.2 * given[at - 1].astype(np.float32)
            new = NewScores(f"{text_of(at)} of churn {number}", vector / np.linalg.norm(vector), packed(at))
            store.remember_many("", [new])
            written.append((monotonic() + life_s, new.query))
            # Removed, as expiry would: Redis itself looks through two million keys with an end for hours before it
            # comes to these, and leaves a tenth of all keys there after their end.
            while written[0][0] < monotonic():
                (_, query) = written.popleft()
                client.unlink(keys.vector("", query), keys.scores("", query))
            number += 1
            due += 1 / rate
            sleep(max(0.0, due - monotonic()))


if __name__ == "__main__":
    what, url, vectors, *numbers = sys.argv[1:]
    if what == "fill":
        _fill(url, vectors, *map(int, numbers))
    else:
        _churn(url, vectors, int(numbers[0]), float(numbers[1]), float(numbers[2]))
