"""RedisVL's SemanticCache: ``check(vector=...)`` and ``store(vector=...)``."""

from redisvl.extensions.cache.llm import SemanticCache
from redisvl.utils.vectorize import CustomTextVectorizer
from serve import answer, serve


class Peer:
    def __init__(self, url):
        vectorizer = CustomTextVectorizer(embed=lambda text: [1.0] * 384)
        self.cache = SemanticCache(
            name="peer-redisvl", distance_threshold=0.05, ttl=86400, vectorizer=vectorizer, redis_url=url
        )
        self.response = answer()

    def load(self, workload, start, stop):
        for entry in range(start, stop):
            self.cache.store(workload.texts[entry], self.response, vector=workload.vector(entry).tolist())

    def prepare(self, workload):
        self.vectors = {kind: probes.tolist() for kind, probes in workload.probes.items()}

    def look_up(self, kind, number):
        return self.cache.check(vector=self.vectors[kind][number])


serve(Peer)
