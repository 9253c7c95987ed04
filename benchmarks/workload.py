"""The entries and probes that all sides get, written to disk so that the processes of the peers can read them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import vectors
from benchmarks.data import SEED, queries
from benchmarks.trec import data_folder, load_topics
from semcache.entries.fingerprint import document_fingerprint

FOLDER = Path(__file__).parent / ".cache" / "workloads"
KINDS = ("exact", "semantic", "miss")
HELD_OUT = 4096
"""The first queries are never stored: probes for misses are drawn from them."""
THRESHOLD = 0.95
"""Similarity from which every side serves an entry: the default of the cache that is replaced."""
SEMANTIC = 0.97
"""Similarity of the probes that should find another query's entry."""
DOCUMENTS = 50
"""Documents per entry: what a first-stage retriever hands to a reranker."""
DECISIVE = 0.9
"""Held-out queries with a nearer entry are no probes for misses: a side could rightly serve them."""


@dataclass(frozen=True, slots=True)
class Workload:
    """``size`` entries, and probes by kind: a vector and a text per number, and the entry it should find (-1: none)."""

    folder: Path
    size: int
    vectors: NDArray[np.float16]
    texts: Sequence[str]
    probes: dict[str, NDArray[np.float32]]
    probe_texts: dict[str, list[str]]
    targets: dict[str, NDArray[np.int64]]

    def number(self, kind: str, at: int) -> int:
        """The number of the probe for operation ``at``. After the last probe comes the first again."""
        return at % len(self.probes[kind])


def build(size: int, probes: int = 1000) -> Workload:
    """Make a workload and write it for the other processes."""
    entries = vectors.extended(HELD_OUT, HELD_OUT + size, SEED)
    made = _probed(FOLDER / str(size), entries, _texts(size), range(size), probes)
    _write(made)
    return made


def aimed_at(work: Workload, entries: range, probes: int = 1000) -> Workload:
    """The same entries with probes that should find some of them: the entries of a tenant."""
    return _probed(work.folder, work.vectors, work.texts, entries, probes)


def _probed(folder: Path, stored: NDArray[np.float16], texts: Sequence[str], entries: range, probes: int) -> Workload:
    rng = np.random.default_rng(SEED + len(entries))
    held_out = vectors.real(HELD_OUT)
    chosen = entries.start + rng.choice(len(entries), min(probes, len(entries)), replace=False)
    semantic = vectors.turned(stored[chosen], held_out[rng.integers(0, HELD_OUT, len(chosen))], SEMANTIC)
    missing = _misses(held_out, stored[entries.start : entries.stop], probes)
    found = {"exact": stored[chosen].astype(np.float32), "semantic": semantic}
    return Workload(
        folder,
        len(stored),
        stored,
        texts,
        {**found, "miss": held_out[missing].astype(np.float32)},
        {
            "exact": [texts[at] for at in chosen],
            "semantic": [f"{texts[at]} again" for at in chosen],
            "miss": [queries()[at] for at in missing],
        },
        {"exact": chosen, "semantic": chosen, "miss": np.full(len(missing), -1)},
    )


def _texts(size: int) -> list[str]:
    """Query texts of the entries; made vectors get made texts of a real one's length."""
    known = queries()[HELD_OUT : HELD_OUT + size]
    return [*known, *(f"{queries()[at % len(queries())]} {at}" for at in range(len(known), size))]


def _misses(held_out: NDArray[np.float16], entries: NDArray[np.float16], count: int) -> NDArray[np.int64]:
    candidates = held_out[: 2 * count]
    _, cosine = vectors.nearest(candidates, entries)
    return np.flatnonzero(cosine < DECISIVE)[:count]


def _write(made: Workload) -> None:
    made.folder.mkdir(parents=True, exist_ok=True)
    np.save(made.folder / "vectors.npy", made.vectors)
    (made.folder / "texts.json").write_text(json.dumps(made.texts))
    (made.folder / "probe_texts.json").write_text(json.dumps(made.probe_texts))
    for kind in KINDS:
        np.save(made.folder / f"{kind}.npy", made.probes[kind])


@cache
def passages() -> tuple[str, ...]:
    """Real passages, each once, in a fixed order."""
    topics = load_topics(data_folder())
    return tuple(dict.fromkeys(text for topic in topics for text in topic.documents))


@cache
def _fingerprints() -> tuple[bytes, ...]:
    return tuple(map(document_fingerprint, passages()))


def documents(entry: int, count: int = DOCUMENTS) -> list[str]:
    """The passages that were scored for an entry (any whole number)."""
    start = _start(entry, count)
    return list(passages()[start : start + count])


def scores(entry: int, count: int = DOCUMENTS) -> list[float]:
    """The scores of the passages of an entry."""
    return [float(np.float32(-11 + 22 * ((entry * 31 + rank * 7919) % 9973) / 9973)) for rank in range(count)]


def packed(entry: int, count: int = DOCUMENTS) -> list[tuple[bytes, float]]:
    """Fingerprint and score of every document of an entry."""
    start = _start(entry, count)
    return list(zip(_fingerprints()[start : start + count], scores(entry, count), strict=True))


def _start(entry: int, count: int) -> int:
    return entry * 37 % (len(passages()) - count)
