"""What happens to clusters: slots that move, primaries that are killed; and the traffic that goes on meanwhile."""

import asyncio
import os
import random
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event as Flag
from threading import Thread
from time import monotonic
from typing import Any

import numpy as np
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.events import Event
from semcache.protocols import FloatArray, Pair
from semcache.ranking import Ranking
from semcache.redis.cluster.topology import Node
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.settings import Settings


class Cluster:
    """The nodes of an embedded cluster, behind semcache's back."""

    def __init__(self, server: EmbeddedRedis) -> None:
        self._password, _, _ = server.url.removeprefix("redis://:").partition("@")
        with redis.RedisCluster.from_url(server.url, require_full_coverage=False) as client:
            nodes = [*client.get_primaries(), *client.get_replicas()]
            self._nodes = [Node(str(node.host), int(node.port)) for node in nodes]

    @property
    def url(self) -> str:
        """The url that names all nodes."""
        return f"redis://:{self._password}@{','.join(map(str, self._nodes))}"

    @property
    def first(self) -> Node:
        """The node that the url names first."""
        return self._nodes[0]

    def node(self, node: Node) -> redis.Redis:
        """A client of one node; close it."""
        never = Retry(NoBackoff(), 0)
        return redis.Redis(node.host, node.port, password=self._password, protocol=2, retry=never)

    def slots(self) -> dict[Node, list[int]]:
        """The slots of each primary, as the first node that answers sees it."""
        owned: dict[Node, list[int]] = {}
        for first, last, (host, port, *_), *_ in self._ranges():
            owned.setdefault(Node(host.decode(), port), []).extend(range(first, last + 1))
        return owned

    def _ranges(self) -> list[Any]:
        for known in self._nodes:
            try:
                with self.node(known) as client:
                    return sorted(client.execute_command("CLUSTER", "SLOTS"))
            except redis.ConnectionError:
                continue
        raise AssertionError("no node answers")

    def move(self, slots: Iterable[int], source: Node, target: Node) -> int:
        """Move slots with their keys from one primary to another, as redis-cli does; how many keys moved."""
        moved = 0
        with self.node(source) as old, self.node(target) as new:
            ids = old.execute_command("CLUSTER", "MYID").decode(), new.execute_command("CLUSTER", "MYID").decode()
            for slot in slots:
                new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
                old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
                while keys := old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10):
                    for key in keys:  # one by one, so that entries stand on two nodes for a while
                        old.execute_command(
                            *("MIGRATE", target.host, target.port, "", 0, 5000, "AUTH", self._password, "KEYS", key)
                        )
                    moved += len(keys)
                for node in (new, old):
                    node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
        return moved

    @contextmanager
    def moving(self, slot: int, source: Node, target: Node) -> Iterator[None]:
        """A slot that is on its way during the block, and has arrived afterwards."""
        with self.node(source) as old, self.node(target) as new:
            ids = old.execute_command("CLUSTER", "MYID").decode(), new.execute_command("CLUSTER", "MYID").decode()
            new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
            old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        yield
        self.move([slot], source, target)

    def without_replica(self) -> Node:
        """A primary that no living replica follows."""
        followed = {Node(host.decode(), port): bool(others) for _, _, (host, port, *_), *others in self._ranges()}
        return next(node for node, has_replica in followed.items() if not has_replica)

    def wait_for_replicas(self) -> None:
        """Return when every replica has what its primary has by now."""
        for node in self.slots():
            with self.node(node) as client:
                client.wait(client.info("replication")["connected_slaves"], 5000)

    def kill(self, node: Node) -> None:
        """End a node at once."""
        with self.node(node) as client:
            pid = int(client.info("server")["process_id"])
        os.kill(pid, signal.SIGKILL)

    @contextmanager
    def frozen(self, node: Node) -> Iterator[None]:
        """A node that takes everything and answers nothing."""
        with self.node(node) as client:
            pid = int(client.info("server")["process_id"])
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def wait_until_served(self, slot: int, by_other_than: Node, patience_s: float = 20) -> Node:
        """Return the new primary of a slot when there is one."""
        until = monotonic() + patience_s
        while True:
            for node, slots in self.slots().items():
                if slot in slots and node != by_other_than:
                    return node
            assert monotonic() < until, "no replica took over"


class TopicEmbedder:
    """The same vector for all texts that begin with the same word, and another one for any other word."""

    name = "topics"
    dims = 32

    def embed(self, texts: Sequence[str]) -> FloatArray:
        return np.stack([self._vector(text.split()[0]) for text in texts])

    def _vector(self, word: str) -> FloatArray:
        drawn = np.random.default_rng(list(word.encode())).standard_normal(self.dims).astype(np.float32)
        return drawn / np.linalg.norm(drawn)


class TopicReranker:
    """Scores a pair by the first word of the query and the text: right for every query of that word, and no other."""

    name = "topics"
    listwise = False

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        return np.array([score_of(*pair) for pair in pairs], dtype=np.float32)


def score_of(query: str, text: str) -> float:
    """What the reranker gives."""
    word = query.split(maxsplit=1)[0]
    return float(random.Random(f"{word}/{text}").random())


DOCUMENTS = [f"document {number}" for number in range(10)]


class Traffic:
    """Requests by threads and tasks until the block ends; what raised or was wrong is kept.

    ``served`` has the time and the status of each request.
    """

    def __init__(self, url: str, topics: int = 60, threads: int = 2, tasks: int = 2) -> None:
        self.errors: list[BaseException] = []
        self.wrong: list[Ranking[str]] = []
        self.served: deque[tuple[float, str]] = deque()
        self.events: list[Event] = []
        self._topics = topics
        self._threads, self._tasks = threads, tasks
        self._stop = Flag()
        settings = Settings(reuse={"audit_rate": 0.0}, redis={"budget_s": 0.25, "timeout_s": 1.0})
        cache = RedisSemanticCache(
            url, TopicEmbedder(), 0.999, guard=None, settings=settings, observers=[self.events.append]
        )
        self.reranker = CachedReranker(TopicReranker(), cache)

    def warm(self) -> None:
        """Ask about every topic once."""
        for topic in range(self._topics):
            self._check(self.reranker.rerank(f"topic-{topic}", DOCUMENTS), f"topic-{topic}")

    def share_known(self) -> float:
        """The share of topics that the cache knows at the moment, by another query of each."""
        hits = 0
        for topic in range(self._topics):
            query = f"topic-{topic} {random.random()}"
            ranking = self.reranker.rerank(query, DOCUMENTS)
            self._check(ranking, query)
            hits += ranking.status in ("exact", "semantic")
        return hits / self._topics

    def wait_until_known(self, share: float, patience_s: float = 20) -> float:
        """Seconds until the cache knows this share of topics."""
        began = monotonic()
        while self.share_known() < share:
            assert monotonic() < began + patience_s, f"it knows {self.share_known():.0%}"
        return monotonic() - began

    def wait_for_event(self, kind: type, patience_s: float = 20) -> None:
        """Return when an event of this kind has happened."""
        until = monotonic() + patience_s
        while not any(isinstance(event, kind) for event in self.events):
            self.share_known()
            assert monotonic() < until, f"no {kind.__name__}"

    def _check(self, ranking: Ranking[str], query: str) -> None:
        self.served.append((monotonic(), str(ranking.status)))
        expected = sorted(DOCUMENTS, key=lambda text: -score_of(query, text))[: len(ranking)]
        if list(ranking) != expected:
            self.wrong.append(ranking)

    @contextmanager
    def running(self) -> Iterator["Traffic"]:
        """Send requests in the background."""
        runs: list[Callable[[], None]] = [self._run_thread] * self._threads + [self._run_loop]
        threads = [Thread(target=run) for run in runs]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            self.reranker.close()

    def _query(self, chance: random.Random) -> str:
        topic = chance.randrange(self._topics)
        return f"topic-{topic} {chance.randrange(3)}" if chance.random() < 0.5 else f"topic-{topic} {chance.random()}"

    def _run_thread(self) -> None:
        chance = random.Random()
        while not self._stop.is_set():
            query = self._query(chance)
            try:
                self._check(self.reranker.rerank(query, DOCUMENTS), query)
            except BaseException as error:  # noqa: BLE001 - any of them is what the test looks for
                self.errors.append(error)

    def _run_loop(self) -> None:
        async def ask(chance: random.Random) -> None:
            while not self._stop.is_set():
                query = self._query(chance)
                try:
                    self._check(await self.reranker.arerank(query, DOCUMENTS), query)
                except BaseException as error:  # noqa: BLE001 - any of them is what the test looks for
                    self.errors.append(error)

        async def ask_all() -> None:
            await asyncio.gather(*(ask(random.Random()) for _ in range(self._tasks)))
            await self.reranker.cache.backend.connection.aclose()

        asyncio.run(ask_all())
