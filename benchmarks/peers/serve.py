"""The loop of a peer's process: one JSON request per line in, one JSON answer per line out."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np


class Workload:
    """Entries and probes from the folder that the benchmark wrote."""

    def __init__(self, folder):
        path = Path(folder)
        self.vectors = np.load(path / "vectors.npy", mmap_mode="r")
        self.texts = json.loads((path / "texts.json").read_text())
        self.probe_texts = json.loads((path / "probe_texts.json").read_text())
        self.probes = {kind: np.load(path / f"{kind}.npy") for kind in self.probe_texts}

    def vector(self, entry):
        return np.asarray(self.vectors[entry], dtype=np.float32)


class Embedding:
    """Stands for the embedder of a peer that takes only texts: the vector that belongs to a text, by a dict."""

    def __init__(self):
        self.vectors = {}

    def __call__(self, text):
        return self.vectors[text]


def answer(documents=50):
    """The answer that a peer stores per entry: scores of documents as JSON, 1.3 KB."""
    return json.dumps({f"passage-{rank}": round(rank * 0.371 - 9, 4) for rank in range(documents)})


def serve(make):
    """``make(url)`` gives a peer: ``load(workload, start, stop)``, ``prepare(workload)``, ``look_up(kind, number)``.

    ``look_up`` says whether it was a hit. Only the calls of ``look_up`` are timed, here, in the peer's own process.
    """
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    peer, workload = make(sys.argv[1]), None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["op"] == "load":
                workload = Workload(request["folder"])
                peer.load(workload, request["start"], request["stop"])
                peer.prepare(workload)
                reply = {}
            else:
                reply = _look_up(peer, workload, request["kind"], request["numbers"])
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything; the benchmark gets the message
            reply = {"error": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(reply) + "\n")


def _look_up(peer, workload, kind, numbers):
    count = len(workload.probe_texts[kind])
    seconds, hits = [], 0
    for number in numbers:
        started = time.perf_counter()
        hit = peer.look_up(kind, number % count)
        seconds.append(time.perf_counter() - started)
        hits += bool(hit)
    return {"seconds": seconds, "hits": hits}
