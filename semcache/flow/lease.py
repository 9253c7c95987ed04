"""Lets one of several processes that are asked the same compute it, while the others wait for its scores.

Theory of operation. A request that its exact entry does not answer claims the *lease* of its query and documents in the
round trip in which it looks for neighbours: a key with a random token that Redis sets unless it is there already, and
that expires. What neighbours answer needs no lease, and gives it up when the answer is there. A request that has to ask
the reranker does so if it holds the lease, and otherwise waits until the scores are there, the lease is gone, or its
time is over. While the reranker is asked, the lease is renewed. Storing the scores ends it, in the same step; only the
holder of the token can renew or end it.

So it is that of Facebook's memcached (Nishtala et al., Scaling Memcache at Facebook, NSDI 2013, section 3.2.1), without
the part that keeps stale values out. A holder that comes late, after its lease has expired and another has computed,
stores scores all the same, and these cannot harm: they are true scores of the same query by the same reranker, and are
appended to what is there. An order of a listwise reranker replaces another one, as it does without leases.
"""

from collections.abc import Callable, Generator
from dataclasses import replace
from math import inf
from typing import Any, cast

from semcache.entries.codec import scores_of
from semcache.entries.entry import Scores
from semcache.entries.fingerprint import settled_mark
from semcache.flow.outcome import Found, Outcome, all_known
from semcache.flow.requests import Request
from semcache.flow.steps import AwaitScores, Lease, Remember, Score, Step
from semcache.ranking import Status

Ask = Callable[[Found], Generator[Step, Any, Outcome]]
"""The flow that asks the reranker about what a look-up has not found."""
NewLease = Callable[[Request], Lease]


def lease_of(
    request: Request,
    life_s: float,
    token: bytes,
    longest_s: float | None = None,
    give_up: Callable[[Lease], None] = lambda lease: None,
) -> Lease:
    """The lease of a request, not claimed yet. Equal requests have leases of the same name."""
    least = -inf if request.min_score is None else request.min_score
    name = settled_mark(request.fingerprints, request.top_k, least)[-8:].hex()
    longest_s = life_s if longest_s is None else longest_s
    return Lease(request.tenant, request.query, name, token, life_s, longest_s, give_up=give_up)


def ask_once(request: Request, found: Found, lease: Lease, ask: Ask, reranker: str) -> Generator[Step, Any, Outcome]:
    """Ask as ``ask`` does, unless another process computes the same and has its scores in time."""
    flow = ask(found)
    first = yield from _before_asking(flow)
    awaiting = AwaitScores(lease, request.fingerprints, found.exact)
    if isinstance(first, Score) and not lease.is_ours:
        exact: Scores | None = yield awaiting
        if exact is not None and exact is not found.exact:
            flow.close()
            scores = scores_of(exact, request.fingerprints)
            if None not in scores:
                return all_known(cast("list[float]", scores), Status.EXACT, reranker)
            # The other process had other documents skipped, or scored: what is still needed is asked for.
            flow = ask(replace(found, exact=exact))
            first = yield from _before_asking(flow)
    if isinstance(first, Outcome):
        give_up(lease)
        return first
    return (yield from _asking(flow, first, lease, awaiting.waited_s))


def give_up(lease: Lease) -> None:
    """End a lease without scores, if it is ours."""
    if lease.is_ours:
        lease.give_up(lease)


def _before_asking(flow: Generator[Step, Any, Outcome]) -> Generator[Step, Any, Score | Outcome]:
    """Go on to where the reranker is asked, and give that step unperformed; or the outcome, if nothing is asked."""
    answer: Any = None
    try:
        while not isinstance(step := flow.send(answer), Score):
            answer = yield step
    except StopIteration as done:
        return cast("Outcome", done.value)
    return step


def _asking(
    flow: Generator[Step, Any, Outcome], step: Step, lease: Lease, waited_s: float
) -> Generator[Step, Any, Outcome]:
    """Perform a flow from this step on. The lease, if it is ours, ends with the scores, or when there are none."""
    is_ending = False
    try:
        while True:
            if isinstance(step, Score):
                step.waited_s = waited_s
                step.lease = lease if lease.is_ours else None
            elif isinstance(step, Remember) and lease.is_ours:
                step.lease, is_ending = lease, True
            step = flow.send((yield step))
    except StopIteration as done:
        outcome: Outcome = done.value
    except BaseException:  # an error for the caller, or the request was cancelled
        give_up(lease)
        raise
    if not is_ending:
        give_up(lease)
    return outcome
