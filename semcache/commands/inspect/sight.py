"""Follows a request up to the point where the reranker would be asked, on entries that are only looked at."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from math import inf
from time import time
from typing import Any, TypeVar

import numpy as np

from semcache.commands import models
from semcache.commands.inspect.policy import policy_in_force
from semcache.commands.names import own_names
from semcache.embedders.checked import unit_vectors
from semcache.entries.entry import Neighbour
from semcache.entries.fingerprint import is_settled_mark
from semcache.flow.drift import Floats
from semcache.flow.drive import drive
from semcache.flow.outcome import Found, Outcome
from semcache.flow.policy import FlowPolicy
from semcache.flow.requests import Request, check_query, check_tenant, checked_request
from semcache.flow.rerank import find, rerank
from semcache.flow.steps import Embed, FindNeighbours, ReadDocumentVectors, ReadExact, ReadVector, Score, Step
from semcache.flow.why import unknown_documents
from semcache.protocols import FloatArray, Scored
from semcache.ranking import Status
from semcache.redis.client.connection import RedisConnection
from semcache.redis.document_vectors import read_document_vectors
from semcache.redis.earlier import read_earlier
from semcache.redis.layout import LayoutOptions
from semcache.redis.looking import Seen, look, look_near
from semcache.redis.operation import StoreState
from semcache.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds in force. ``trust`` and ``reuse`` are similarities, None where none is enough; ``guard`` is its mode.

    ``configured`` is the trust threshold of the settings, and ``reason`` why another one is in force.
    """

    trust: float | None
    configured: float
    reuse: float | None
    guard: str
    trust_exact: bool
    reason: str


@dataclass(frozen=True, slots=True)
class EntryView:
    """An entry. ``known`` are the documents that it has scores of, ``shared`` those of the request among them.

    ``age_s`` is None where it has no vector, ``left_s`` where it does not expire. ``verdict`` says what a request may
    do with its scores; ``guard`` is the difference in meaning that the guard sees, None for none.
    """

    id: str
    similarity: float
    known: int
    shared: int | None
    age_s: float | None
    left_s: float | None
    query: str | None
    guard: str | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request for the documents. ``asked`` of ``documents`` would go to the reranker at first."""

    status: str
    why: str
    documents: int
    asked: int
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything that decides about a query. ``scope`` are the 11 characters in its keys."""

    query: str
    tenant: str
    namespace: str
    scope: str
    reranker: str
    embedder: str
    thresholds: Thresholds
    exact: EntryView | None
    neighbours: tuple[EntryView, ...]
    answer: Answer | None

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return asdict(self)


def inspect_query(
    settings: Settings,
    connection: RedisConnection,
    query: str,
    tenant: str,
    documents: Sequence[str] | None,
    top_k: int,
    k: int,
) -> Sight:
    """Look at what a request for this query would find. ``documents`` None: whatever documents it would send.

    Raises InvalidInputError for a query or documents that a request could not have, StoreError when Redis cannot be
    asked, and what loading the embedder raises.
    """
    check_query(query)
    check_tenant(tenant)
    request = None if documents is None else checked_request(query, documents, top_k, tenant)
    loaded = models.configured_models(settings)
    names = own_names(settings, connection, loaded)
    policy = policy_in_force(settings, connection, names, loaded, tenant)
    store = _Looking(connection, names.layout(settings, loaded.embedder.dims))
    exact = store.exact(tenant, query)
    vector = None if exact is None else exact.vector
    if vector is None:
        (vector,) = unit_vectors(loaded.embedder.embed([query]), [query], loaded.embedder.dims, loaded.embedder.name)
    near = store.near(tenant, vector, max(k, settings.cache.neighbours) + 1)
    answer = None
    if request is not None:
        answers = _Answers(store, exact, near[: settings.cache.neighbours], vector)
        answer = _answer(request, policy, names.reranker, names.listwise, answers)
    own = None if exact is None else _view(exact, 1.0, query, policy, request)
    others = [_view(seen, similarity, query, policy, request) for similarity, seen in near if not _is(exact, seen)]
    return Sight(
        query,
        tenant,
        settings.cache.namespace,
        names.scope_id(settings),
        names.reranker,
        names.embedder,
        _thresholds(policy, settings),
        own,
        tuple(others[:k]),
        answer,
    )


def _is(exact: Seen | None, seen: Seen) -> bool:
    return exact is not None and exact.id == seen.id


class _Looking:
    """The entries of one scope, looked at."""

    def __init__(self, connection: RedisConnection, layout: LayoutOptions) -> None:
        self._connection = connection
        self._state = StoreState.of(connection.where, **layout)

    def exact(self, tenant: str, query: str) -> Seen | None:
        return drive(look(self._state, tenant, query), self._connection.execute)

    def near(self, tenant: str, vector: FloatArray, k: int) -> list[tuple[float, Seen]]:
        return drive(look_near(self._state, tenant, vector, k), self._connection.execute)

    def earlier(self, tenant: str, documents: Sequence[bytes]) -> Floats | None:
        return drive(read_earlier(self._state, tenant, "", documents), self._connection.execute)

    def document_vectors(self, tenant: str, documents: Sequence[bytes]) -> FloatArray | None:
        return drive(read_document_vectors(self._state, tenant, documents), self._connection.execute)


@dataclass(frozen=True, slots=True)
class _Answers:
    """Answers the steps of a flow from what was seen, and from what is kept of documents."""

    store: _Looking
    exact: Seen | None
    near: Sequence[tuple[float, Seen]]
    vector: FloatArray

    def __call__(self, step: Step) -> Any:
        match step:
            case ReadExact():
                return None if self.exact is None else self.exact.scores
            case ReadVector():
                return None if self.exact is None else self.exact.vector
            case Embed():
                return self.vector
            case FindNeighbours(tenant, documents=documents):
                step.earlier = self.store.earlier(tenant, documents) if documents else None
                step.similarities = [similarity for similarity, _ in self.near]
                return [near for near in self._neighbours() if near.similarity >= step.min_similarity]
            case ReadDocumentVectors(tenant, fingerprints):
                return self.store.document_vectors(tenant, fingerprints)
        # No model is called, also none that helps; a guard's refusal needs no answer.
        return None

    def _neighbours(self) -> list[Neighbour]:
        found = [seen.neighbour(similarity) for similarity, seen in self.near]
        return [neighbour for neighbour in found if neighbour is not None]


def _answer(request: Request, policy: FlowPolicy, reranker: str, listwise: bool, answers: _Answers) -> Answer:
    count = len(request.texts)
    found = _followed(find(request, policy, reranker, listwise=listwise), answers)
    assert isinstance(found, Found)  # noqa: S101 - a look-up never asks for scores
    if found.outcome is not None:
        return Answer(found.outcome.status, found.why, count, 0, ())
    flow = rerank(request, policy, reranker, listwise=listwise)
    end = _followed(flow, answers)
    if isinstance(end, Outcome):
        return Answer(end.status, end.why or found.why, count, 0, ())
    status = Status.VERIFIED if found.neighbours else Status.PRUNED
    reasons = [unknown_documents(request, found.exact) if found.exact else "", found.why]
    if len(end.ask) >= sum(fingerprint not in (found.exact or {}) for fingerprint in request.fingerprints):
        # Where nothing is skipped, neither depends on what the scores are.
        zeros = Scored(np.zeros(len(end.ask), dtype=np.float32), reranker)
        outcome = _followed(flow, answers, zeros)
        assert isinstance(outcome, Outcome)  # noqa: S101 - there is nothing left to ask
        status, reasons = outcome.status, [outcome.why]
    flow.close()
    if policy.is_pruning and policy.prune is not None and policy.prune.cascade is not None:
        reasons.append(f"foretold without {policy.prune.cascade}, which is asked first what need not be scored")
    return Answer(status, "; ".join(filter(None, reasons)), count, len(end.ask), end.ask)


def _followed(flow: Generator[Step, Any, T], answer: Callable[[Step], Any], scored: Scored | None = None) -> T | Score:
    """The result of a flow, or the next step by which it would ask the reranker; ``scored`` answers the one before."""
    try:
        step = flow.send(scored)
        while not isinstance(step, Score):
            step = flow.send(answer(step))
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    return step


def _thresholds(policy: FlowPolicy, settings: Settings) -> Thresholds:
    rule = policy.reuse
    trust = None if rule is None or not policy.trust_near else _finite(rule.trust_threshold)
    reuse = None if rule is None else _finite(rule.reuse_threshold)
    configured = settings.reuse.trust_threshold
    return Thresholds(trust, configured, reuse, settings.reuse.guard, policy.trust_exact, policy.withdrawn)


def _view(seen: Seen, similarity: float, query: str, policy: FlowPolicy, request: Request | None) -> EntryView:
    known = {name for name in seen.scores or () if not is_settled_mark(name)}
    guard = None
    if policy.guard is not None and seen.fields is not None:
        guard = policy.guard.difference(policy.guard.cues(query), seen.fields.cues, similarity)
    return EntryView(
        seen.id,
        similarity,
        len(known),
        None if request is None else len(known.intersection(request.fingerprints)),
        None if seen.fields is None else max(0.0, time() - seen.fields.created_at),
        _finite(seen.left_s),
        None if seen.fields is None else seen.fields.query,
        guard,
        _verdict(seen, similarity, guard, policy),
    )


def _verdict(seen: Seen, similarity: float, guard: str | None, policy: FlowPolicy) -> str:
    rule = policy.reuse
    if seen.damage:
        return f"damaged ({seen.damage}): not used, and removed by the next request"
    if seen.scores is None:
        return "its scores have expired: not used"
    if rule is None or similarity < rule.reuse_threshold:
        return "not used: too far"
    if not policy.trust_near or similarity < rule.trust_threshold:
        return "verified: below the trust threshold" if policy.trust_near else "verified: trust was withdrawn"
    return "trusted: its scores are served" if guard is None else "verified: the guard sees a difference"


def _finite(number: float) -> float | None:
    return None if number == inf else number
