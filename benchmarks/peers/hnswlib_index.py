"""hnswlib in the same process: the physical limit of a graph search without a server, with semcache's parameters."""

import hnswlib
import numpy as np
from serve import serve

CAPACITY = 1_048_576


class Peer:
    def __init__(self, _url):
        self.index = None

    def load(self, workload, start, stop):
        if self.index is None:
            self.index = hnswlib.Index(space="cosine", dim=384)
            self.index.init_index(max_elements=CAPACITY, M=16, ef_construction=100)
        self.index.set_ef(20 if stop <= 30_000 else 40)  # as many candidates as semcache asks for
        for first in range(start, stop, 10_000):
            last = min(first + 10_000, stop)
            rows = np.asarray(workload.vectors[first:last], dtype=np.float32)
            self.index.add_items(rows, np.arange(first, last), num_threads=1)

    def prepare(self, workload):
        self.probes = {kind: np.asarray(probes, dtype=np.float32) for kind, probes in workload.probes.items()}

    def look_up(self, kind, number):
        _, distances = self.index.knn_query(self.probes[kind][number], k=4, num_threads=1)
        return distances[0, 0] <= 0.05


serve(Peer)
