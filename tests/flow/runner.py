"""Runs flows over a store, an embedder and a ladder that can be looked into and told to fail."""

import numpy as np

from semcache.events import Event
from semcache.flow.calls import Calls
from semcache.flow.outcome import Outcome
from semcache.flow.policy import FlowPolicy, ReusePolicy
from semcache.flow.requests import checked_request
from semcache.flow.rerank import Flow, rerank
from semcache.flow.run import run
from semcache.protocols import Store
from tests.fakes import CountingReranker, MemoryStore, OneRung, WordEmbedder


class FlowRunner:
    """Runs flows over a memory store, a counting reranker and a ladder that can be told to degrade."""

    def __init__(
        self,
        reranker: CountingReranker | None = None,
        policy: FlowPolicy | None = None,
        store_of: type[MemoryStore] = MemoryStore,
    ) -> None:
        self.reranker = reranker or CountingReranker()
        self.store = store_of(listwise=self.reranker.listwise)
        self.embedder = WordEmbedder()
        self.ladder = OneRung(self.reranker)
        self.policy = policy or FlowPolicy(ReusePolicy())
        self.events: list[Event] = []
        self.calls: Calls[Store] = Calls(self.store, self.embedder.embed, self.ladder.score, 4, self.events.append)

    def ask(self, query: str, documents: list[str], top_k: int = 5, tenant: str = "") -> Outcome:
        return run(self.flow(query, documents, top_k, tenant), self.calls)

    def flow(self, query: str, documents: list[str], top_k: int = 5, tenant: str = "") -> Flow:
        request = checked_request(query, documents, top_k, tenant)
        return rerank(request, self.policy, self.reranker.name, listwise=self.reranker.listwise)

    def fresh(self, query: str, documents: list[str]) -> list[float]:
        return [float(np.float32(self.reranker.score_of(query, text))) for text in dict.fromkeys(documents)]


class ScriptedGuard:
    def cues(self, query: str) -> bytes:
        return b"not" if " not " in query else b""

    def difference(self, ours: bytes, theirs: bytes, similarity: float = 1.0) -> str | None:
        return None if ours == theirs else "negation"
