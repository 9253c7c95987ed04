"""Makes the calls that perform the steps of a reranker's requests over its cache."""

import asyncio
from dataclasses import replace
from time import sleep
from typing import Any

from semcache.degradation.cascade import Cascade
from semcache.flow.calls import Calls
from semcache.flow.keeping import Leases
from semcache.flow.run import written_later
from semcache.flow.waiting import LeaseCalls
from semcache.identity.ladder import IdentifiedLadder
from semcache.protocols import AsyncStore, Store
from semcache.reranking.checked import CheckedLadder
from semcache.scoped_cache import ScopedCache


def calls_of(
    cache: ScopedCache, ladder: IdentifiedLadder, cascade: Cascade | None, held: Leases
) -> tuple[Calls[Store], Calls[AsyncStore]]:
    """Performs the steps of requests over this cache and ladder: for threads, and for event loops.

    ``held`` are the leases of these requests.
    """
    backend = cache.backend
    leases, aleases = (
        LeaseCalls(store.claim_lease, store.look_at_lease, held.computing, pause, cache.on_event)
        for store, pause in ((cache.store, sleep), (cache.async_store, asyncio.sleep))
    )
    options: dict[str, Any] = {
        "budget_s": backend.connection.budget_s,
        "pairs_at_once": ladder.pairs_at_once,
        "write_later": written_later(cache.calls(), backend.writes.submit),
    }
    checked = CheckedLadder(ladder)
    cheap, acheap = (None, None) if cascade is None else (cascade.score, cascade.ascore)
    return (
        replace(cache.calls(checked.score), score_cheaply=cheap, leases=leases, **options),
        replace(cache.async_calls(checked.ascore), score_cheaply=acheap, leases=aleases, **options),
    )
