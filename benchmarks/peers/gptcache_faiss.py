"""GPTCache with SQLite and FAISS, as its own quick start sets it up; embeddings are read from a dict."""

import tempfile

import numpy as np
from gptcache import Cache, Config
from gptcache.adapter.api import get
from gptcache.manager import CacheBase, VectorBase, get_data_manager
from gptcache.processor.pre import get_prompt
from gptcache.similarity_evaluation import SearchDistanceEvaluation
from serve import Embedding, answer, serve

COSINE_DISTANCE = 0.05
BATCH = 1000


class Peer:
    def __init__(self, _url):
        folder = tempfile.mkdtemp(prefix="peer-gptcache-")
        self.embedding = Embedding()
        self.manager = get_data_manager(
            CacheBase("sqlite", sql_url=f"sqlite:///{folder}/cache.db"),
            VectorBase("faiss", dimension=384, index_path=f"{folder}/faiss.index"),
            max_size=10_000_000,
        )
        self.cache = Cache()
        # Squared euclidean distance of unit vectors is twice the cosine distance; its scale runs from 0 to 4.
        self.cache.init(
            pre_embedding_func=get_prompt,
            embedding_func=lambda text, **_: self.embedding(text),
            data_manager=self.manager,
            similarity_evaluation=SearchDistanceEvaluation(),
            config=Config(similarity_threshold=1 - 2 * COSINE_DISTANCE / 4),
        )
        self.response = answer()

    def load(self, workload, start, stop):
        for first in range(start, stop, BATCH):
            entries = range(first, min(first + BATCH, stop))
            self.manager.import_data(
                [workload.texts[entry] for entry in entries],
                [self.response for _ in entries],
                [workload.vector(entry) for entry in entries],
                [None for _ in entries],
            )

    def prepare(self, workload):
        self.texts = workload.probe_texts
        self.vectors = {
            kind: dict(zip(self.texts[kind], np.asarray(probes, dtype=np.float32), strict=True))
            for kind, probes in workload.probes.items()
        }

    def look_up(self, kind, number):
        self.embedding.vectors = self.vectors[kind]
        return get(self.texts[kind][number], cache_obj=self.cache)


serve(Peer)
