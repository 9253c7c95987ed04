"""Makes the identity of a reranker whose scores a cache holds."""

from functools import partial

from semcache.batching.reranker import AsyncBatchReranker
from semcache.identity.identity import Identity
from semcache.identity.ladder import primary_of
from semcache.identity.subjects import RerankerSubject
from semcache.protocols import Ladder
from semcache.scoped_cache import ScopedCache


def identity_of(ladder: Ladder, cache: ScopedCache, given: object) -> Identity:
    """The identity of the reranker whose scores a ladder gives; ``given`` is the reranker that the user holds.

    The cache serves another scope of the ladder when it is told so.
    """
    primary = primary_of(ladder)
    return Identity(
        # That inside of a batcher: the probes are no part of its traffic, and belong to no batch.
        RerankerSubject(primary.primary if isinstance(primary, AsyncBatchReranker) else primary),
        cache.backend.variants,
        on_event=cache.on_event,
        on_moved=partial(_move, cache, ladder),
        settled=cache.backend.settled,
        holder=given,
    )


def _move(cache: ScopedCache, ladder: Ladder, scope: str, is_private: bool) -> None:
    """Serve another scope of the same ladder from now on."""
    # Read now: some rerankers have to be asked for it.
    cache.move(scope, listwise=ladder.listwise, is_private=is_private)
