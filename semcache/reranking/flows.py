"""Makes the flow of each request: what it may do, what it waits for, and what is learned from it."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from semcache.audit.background import BackgroundWork
from semcache.errors import InvalidInputError, described
from semcache.flow.keeping import Leases
from semcache.flow.lease import NewLease
from semcache.flow.policy import FlowPolicy
from semcache.flow.requests import Request, checked_request
from semcache.flow.rerank import Flow, rerank
from semcache.flow.singleflight import flight_key
from semcache.protocols import Ladder
from semcache.scoped_cache import ScopedCache

# Warming takes a log in pieces: large enough to fill batches, small enough to be interrupted without losing much.
_WARM_CHUNK = 32


class Flows:
    """The flows of requests to ``ladder`` over ``cache``. What they come to is considered by ``background``.

    ``leases`` makes those of requests.
    """

    def __init__(
        self,
        cache: ScopedCache,
        ladder: Ladder,
        background: BackgroundWork,
        leases: Leases,
    ) -> None:
        self._cache = cache
        # Read once: a ladder asks rung by rung for it.
        self._name = ladder.name
        self._leases = leases
        self._audit, self._forced, self._repairs = background.audit, background.forced, background.repairs

    def of(self, request: Request, policy: FlowPolicy | None = None, new_lease: NewLease | None = None) -> Flow:
        """The flow of one request, by ``policy``, or by that of its tenant."""
        cache = self._cache
        # A generator: the policy is read when the flow begins, and the audit considers only flows that came to an end.
        policy = cache.policy(request.tenant) if policy is None else policy
        self._forced.keep_up()
        listwise, is_remote = cache.listwise, cache.is_remote
        outcome = yield from rerank(
            request, policy, self._name, listwise=listwise, is_remote=is_remote, new_lease=new_lease
        )
        # What other processes will not read need not be watched.
        if not cache.is_private:
            self._audit.consider(request, outcome)
        self._repairs.consider(request, outcome)
        return outcome

    def leased(self, request: Request) -> Flow:
        """The flow of one request, which computes nothing that another process computes already.

        Lists of requests are computed by each process for itself: they would wait for each other in turn.
        """
        # What other processes will not read need not be waited for.
        is_shared = self._leases.life_s > 0 and not self._cache.is_private
        return self.of(request, new_lease=self._leases.new if is_shared else None)

    def of_log(self, requests: Iterable[tuple[str, Sequence[object]]], tenant: str) -> Iterator[list[Flow]]:
        """Flows that score what is not known exactly of each (query, documents), as many at a time as to run at once.

        Raises InvalidInputError for a request that is no such pair, when its turn comes.
        """
        log, cache = iter(requests), self._cache
        while chunk := list(islice(log, _WARM_CHUNK)):
            checked = [checked_request(*_pair(one), 1, tenant, cache.read) for one in chunk]
            # Logs repeat themselves, and flows that run together would all score the same.
            distinct = {flight_key(request): request for request in checked}
            policy = cache.policy(tenant).asking_all()
            yield [self.of(request, policy) for request in distinct.values()]

    def __repr__(self) -> str:
        return f"<Flows of {self._name!r} over {self._cache!r}>"


def _pair(one: object) -> tuple[str, Sequence[object]]:
    # A string of two letters can be taken apart, too.
    if isinstance(one, Sequence) and not isinstance(one, str | bytes) and len(one) == 2:
        return one[0], one[1]
    raise InvalidInputError(f"a request is {described(one)}; pass pairs of a query and its documents")
