"""Finds the scopes of a namespace and counts what each holds. No model is needed: keys tell all of it.

Keys name a scope by 11 characters that follow from the names of its models (``KeySpace``), and a tenant by its tag.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.failures import FOREIGN, translated
from semcache.redis.keys import KeySpace, namespace_prefix
from semcache.redis.layout import Layout, LayoutOptions
from semcache.redis.operation import PAGE
from semcache.redis.pruning_state import PruningState, read_pruning
from semcache.redis.quality_state import QualityState, read_quality

_KEY = re.compile(rb"([\w-]{11}p?):(tv|ts|v|s|td|d|te|e|n|q|z|l)(?::|$)")
_SAMPLE = 100
"""Keys of a kind whose memory is asked for. At a spread of half of the mean, the mean is good to 5 %."""


@dataclass(slots=True)
class _Kind:
    """Keys of one kind in one scope."""

    keys: int = 0
    sampled: int = 0
    sampled_bytes: int = 0

    @property
    def bytes(self) -> float:
        return self.keys * self.sampled_bytes / self.sampled if self.sampled else 0.0


@dataclass(slots=True)
class Scope:
    """The contents of one scope. ``id`` are the 11 characters in its keys.

    ``entries`` have scores; ``findable`` of them have a vector, by which near queries find them. ``tenants`` are named
    ones. ``document_vectors`` are kept ones. ``bytes`` is the memory of the keys, estimated from some of each kind, and
    None where the user may not ask for it; the index takes some more. ``learned`` is true where a quality or pruning
    state is kept.
    """

    id: str
    kinds: dict[str, _Kind] = field(default_factory=dict)
    tags: set[bytes] = field(default_factory=set)
    is_measured: bool = True

    def of(self, *kinds: str) -> int:
        """How many keys of these kinds there are."""
        return sum(self.kinds[kind].keys for kind in kinds if kind in self.kinds)

    @property
    def entries(self) -> int:
        return self.of("s", "ts")

    @property
    def findable(self) -> int:
        return self.of("v", "tv")

    @property
    def tenants(self) -> int:
        return len(self.tags)

    @property
    def document_vectors(self) -> int:
        return self.of("d", "td")

    @property
    def learned(self) -> bool:
        return self.of("q", "z", "l") > 0

    @property
    def bytes(self) -> int | None:
        return round(sum(kind.bytes for kind in self.kinds.values())) if self.is_measured else None


def scopes_of(
    connection: RedisConnection,
    namespace: str,
    seen: Callable[[int], None] = lambda keys: None,
    *,
    is_measured: bool = True,
) -> list[Scope]:
    """The scopes of a namespace, those with most entries first. Goes through all keys of the server.

    ``seen`` is called with the number of keys of the namespace so far. Memory is not asked for unless ``is_measured``.
    Raises StoreUnavailableError or StoreError when Redis does not answer.
    """
    prefix = namespace_prefix(namespace).encode()
    found: dict[str, Scope] = {}
    keys = 0
    try:
        for node in connection.nodes:
            for page in _pages(node.client, prefix):
                keys += len(page)
                sampled = _count(prefix, page, found)
                if is_measured:
                    _measure(node.client, sampled)
                seen(keys)
    except FOREIGN as error:
        raise translated(error, connection.where) from error
    return sorted(found.values(), key=lambda scope: (-scope.entries, scope.id))


def scope_id(layout: LayoutOptions) -> str:
    """The characters that stand for a scope in its keys: 11, and one more if tenants are pinned."""
    return Layout.of(**layout).keys.base.rpartition(":")[2]


def learned_id(reranker: str, embedder: str) -> str:
    """The scope of what is learned about models, however their entries are laid out and signed."""
    return KeySpace.of("any", reranker, embedder).base.rpartition(":")[2]


def _pages(client: Redis, prefix: bytes) -> Iterator[list[bytes]]:
    cursor = 0
    while True:
        reply: Any = client.scan(cursor, match=prefix + b"*", count=PAGE)
        cursor, page = reply
        yield page
        if not cursor:
            return


def _count(prefix: bytes, page: list[bytes], found: dict[str, Scope]) -> list[tuple[Scope, _Kind, bytes]]:
    """Count the keys of a page; some of them, whose memory is to be asked for."""
    sampled: list[tuple[Scope, _Kind, bytes]] = []
    for key in page:
        # A namespace whose name begins with this one has keys here, too.
        match = _KEY.match(key[len(prefix) :])
        if match is None:
            continue
        name, kind_name = match[1].decode(), match[2].decode()
        scope = found.setdefault(name, Scope(name))
        kind = scope.kinds.setdefault(kind_name, _Kind())
        kind.keys += 1
        if kind_name in ("tv", "ts"):
            scope.tags.add(key[len(prefix) + match.end() :].partition(b":")[0])
        if scope.is_measured and kind.sampled < _SAMPLE:
            kind.sampled += 1
            sampled.append((scope, kind, key))
    return sampled


def _measure(client: Redis, sampled: list[tuple[Scope, _Kind, bytes]]) -> None:
    if not sampled:
        return
    with client.pipeline(transaction=False) as pipeline:
        for _, _, key in sampled:
            pipeline.memory_usage(key)
        replies = pipeline.execute(raise_on_error=False)
    for (scope, kind, _), reply in zip(sampled, replies, strict=True):
        if isinstance(reply, RedisError):
            # The user may not ask for it, or the key has moved.
            scope.is_measured = False
        elif reply is None:
            kind.sampled -= 1  # expired meanwhile
        else:
            kind.sampled_bytes += reply


def learned_in(
    connection: RedisConnection, namespace: str, scope: str, cascade: str = ""
) -> tuple[QualityState, PruningState]:
    """All that the processes of a scope have learned about the cost of reuse and of pruning, and decided by it.

    ``cascade`` names the cheap reranker of pruning, if there is one. Two round trips.
    """
    base = f"{namespace_prefix(namespace)}{scope}"
    return read_quality(connection, base), read_pruning(connection, base, cascade)
