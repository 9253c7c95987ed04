"""The random steps, and what must hold after each of them."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from semcache.events import EntryDamaged
from semcache.ranking import Ranking, Status
from semcache.redis.keys import KeySpace
from semcache.redis.store import keys_of
from tests.isolation.world import (
    DOCUMENTS,
    TENANTS,
    TOPICS,
    TRUSTED,
    VERIFIED,
    WORDINGS,
    Door,
    Scope,
    World,
    query_of,
    similarity,
)

steps: Counter[str] = Counter()
"""How often each step was taken, over all runs."""

Query = tuple[int, int]
"""Topic and wording."""

queries = st.tuples(st.integers(0, TOPICS - 1), st.integers(0, len(WORDINGS) - 1))
documents = st.lists(st.sampled_from(DOCUMENTS), min_size=1, max_size=10)
places = st.integers(0, 5)
one_of_few = st.integers(0, 2)
picks = st.integers(0, 999)
"""A place in what there is. Drawn before it is known what there is, which may depend on which of two threads was first.
"""
NOTHING: tuple[Scope, Query] = (Scope("", "", "", ""), (0, 0))


@dataclass
class Entry:
    """What the model knows of an entry: the scores by document, and whether its vector was left alone."""

    scores: dict[str, float] = field(default_factory=dict)
    is_vector_sound: bool = True


class Isolation(RuleBasedStateMachine):
    """Two or three of eight doors, three tenants, and a dictionary of what has to be where."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.world.empty()
        self.entries: dict[Scope, dict[Query, Entry]] = {}
        self.tenants: Sequence[str] = ()
        self.places: Sequence[int] = ()

    @initialize(
        tenants=st.lists(st.sampled_from(TENANTS), min_size=3, max_size=3, unique=True),
        places=st.lists(st.integers(0, 7), min_size=2, max_size=3, unique=True),
    )
    def begin(self, tenants: list[str], places: list[int]) -> None:
        self.tenants, self.places = tenants, places

    @rule(place=places, number=one_of_few, query=queries, documents=documents, top_k=st.integers(1, 6))
    def rerank(self, place: int, number: int, query: Query, documents: list[str], top_k: int) -> None:
        steps["rerank"] += 1
        self._rerank(self._door_at(place), self.tenants[number], query, documents, top_k)

    @rule(
        pick=picks,
        wording=st.none() | st.integers(0, len(WORDINGS) - 1),
        place=st.integers(0, 20).map(lambda place: place if place < 6 else None),
        number=st.integers(0, 11).map(lambda number: number if number < 3 else None),
        which=st.integers(1, 2 ** len(DOCUMENTS) - 1),
        more=st.lists(st.sampled_from(DOCUMENTS), max_size=2),
        top_k=st.integers(1, 6),
    )
    def rerank_again(
        self,
        pick: int,
        wording: int | None,
        place: int | None,
        number: int | None,
        which: int,
        more: list[str],
        top_k: int,
    ) -> None:
        """What is remembered is asked again: in the same words or others, and by the same tenant or another one."""
        if not (remembered := self._remembered()):
            return
        scope, query = remembered[pick % len(remembered)]
        known = self.entries[scope][query].scores
        documents = [text for at, text in enumerate(DOCUMENTS) if text in known and which >> at & 1] + more
        if not documents:
            return
        steps["rerank again"] += 1
        door = self._door(scope) if place is None else self._door_at(place)
        tenant = scope.tenant if number is None else self.tenants[number]
        self._rerank(door, tenant, query if wording is None else (query[0], wording), documents, top_k)

    @rule(place=places, numbers=st.sets(one_of_few, min_size=2), query=queries, documents=documents)
    def rerank_together(self, place: int, numbers: set[int], query: Query, documents: list[str]) -> None:
        """Several tenants ask the same at once, of one reranker."""
        steps["rerank together"] += 1
        door, tenants = self._door_at(place), [self.tenants[number] for number in sorted(numbers)]
        ledger, ledger.scope = self.world.ledger, None
        before = len(ledger.origins)

        def ask(tenant: str) -> Ranking[str]:
            return door.reranker.rerank(query_of(*query), documents, len(documents), tenant=tenant)

        with ThreadPoolExecutor(len(tenants)) as pool:
            rankings = dict(zip(tenants, pool.map(ask, tenants), strict=True))
        for tenant, ranking in rankings.items():
            scope = door.scope(tenant)
            for score in map(float, ranking.scores or ()):
                origin = ledger.origin(score)
                number = int(score) % 65_536
                assert origin.scope in (scope, None), f"{scope} was served {origin}"
                if number >= before:
                    # Whose it is follows from who is served first; a second one is served another tenant's.
                    ledger.origins[number] = origin._replace(scope=scope)
            self._check(ranking, scope, query, documents, len(documents))
            self._expect(ranking, scope, query, documents)
        self._computed(before)

    @rule(place=places, number=one_of_few, query=queries, documents=documents)
    def look_up(self, place: int, number: int, query: Query, documents: list[str]) -> None:
        steps["look up"] += 1
        door, tenant = self._door_at(place), self.tenants[number]
        found = door.cache.lookup(query_of(*query), documents, tenant=tenant)
        scope = door.scope(tenant)
        for document, score in zip(documents, found.scores, strict=True):
            if score is not None:
                self._check_origin(score, scope, query, document, found.status)
        known = self._known(scope, query)
        if known.keys() >= set(documents):
            assert found.status is Status.EXACT
        elif self._covered(scope, query, documents):
            assert found.status is Status.SEMANTIC
        elif not known and not self._near(scope, query, documents, are_sure=False):
            assert found.status is None

    @rule(place=places, number=one_of_few, query=queries, documents=documents)
    def remember(self, place: int, number: int, query: Query, documents: list[str]) -> None:
        steps["remember"] += 1
        door, tenant = self._door_at(place), self.tenants[number]
        scope = door.scope(tenant)
        self.world.ledger.scope = scope
        before = len(self.world.ledger.origins)
        distinct = list(dict.fromkeys(documents))
        scores = [self.world.ledger.score(query_of(*query), document) for document in distinct]
        assert door.cache.remember(query_of(*query), distinct, scores, tenant=tenant)
        self._computed(before)

    @rule(place=places, number=one_of_few, query=queries, documents=documents)
    def set_and_get(self, place: int, number: int, query: Query, documents: list[str]) -> None:
        """Whole lists are kept beside scores, for the empty tenant; nothing but documents of the caller comes back."""
        steps["set and get"] += 1
        cache = self._door_at(place).cache
        if number:
            distinct = list(dict.fromkeys(documents))
            cache.set(query_of(*query), distinct, distinct[:number])
            assert cache.get(query_of(*query), distinct) == distinct[:number]
        else:
            results = cache.get(query_of(*query), documents)
            assert set(results or ()) <= set(documents)

    @rule(place=places, number=one_of_few, query=queries, what=st.sampled_from(["query", "tenant", "all"]))
    def forget(self, place: int, number: int, query: Query, what: str) -> None:
        door, tenant = self._door_at(place), self.tenants[number]
        steps[f"forget {what}"] += 1
        if what == "query":
            door.cache.forget(query=query_of(*query), tenant=tenant)
            self.entries.get(door.scope(tenant), {}).pop(query, None)
        elif what == "tenant":
            door.cache.forget(tenant=tenant)
            self.entries.pop(door.scope(tenant), None)
        elif what == "all" and query == (0, 0):  # rarely, or there would be nothing to be served
            door.cache.clear()
            for scope in list(self.entries):
                if scope == door.scope(scope.tenant):
                    del self.entries[scope]

    @rule(place=places, number=st.none() | one_of_few, document=st.sampled_from(DOCUMENTS))
    def forget_document(self, place: int, number: int | None, document: str) -> None:
        """Of one tenant, or of all."""
        steps["forget document"] += 1
        door = self._door_at(place)
        tenant = None if number is None else self.tenants[number]
        door.cache.forget(document=document, tenant=tenant)
        for scope, entries in self.entries.items():
            if scope == door.scope(scope.tenant if tenant is None else tenant):
                for query, entry in list(entries.items()):
                    # An entry without scores is removed whole, its vector included.
                    if entry.scores.pop(document, None) is not None and not entry.scores:
                        del entries[query]

    @rule(picked=st.tuples(picks, picks), documents=documents, is_near=st.booleans())
    def move_scores(self, picked: tuple[int, int], documents: list[str], is_near: bool) -> None:
        """The scores of one entry are put under the key of another, as by a restore that went wrong."""
        source, target = self._two(picked)
        blob = None if source == target else self.world.client.get(self._key(*source, is_vector=False))
        if blob is None:
            return
        steps["move scores"] += 1
        scope, query = target
        self.world.client.set(self._key(*target, is_vector=False), blob)
        self.entries[scope][query].scores.clear()
        if is_near:  # found by another wording first
            self.look_up_as(scope, (query[0], (query[1] + 1) % len(WORDINGS)), documents)
        self.look_up_as(scope, query, documents)
        self._drop_damages(scope)

    @rule(picked=st.tuples(picks, picks), documents=documents)
    def move_vector(self, picked: tuple[int, int], documents: list[str]) -> None:
        """The hash of one entry is put under the key of another."""
        source, target = self._two(picked)
        flat = None if source == target else self.world.client.hgetall(self._key(*source, is_vector=True))
        if not flat:
            return
        steps["move a vector"] += 1
        scope, query = target
        key = self._key(*target, is_vector=True)
        self.world.client.delete(key)
        self.world.client.hset(key, mapping=flat)
        self.entries[scope][query].is_vector_sound = False
        for looking in (scope, source[0]):
            self.look_up_as(looking, query, documents)
            self.look_up_as(looking, source[1], documents)
        # It is found by searches of either tenant, and where it is not, it must not lie there for later steps.
        self.world.client.delete(key)
        self._drop_damages(scope)

    @invariant()
    def nothing_failed(self) -> None:
        steps["all"] += 1
        self._must(not self.world.events, f"{self.world.events}")

    def look_up_as(self, scope: Scope, query: Query, documents: list[str]) -> None:
        """A look-up in a scope, of which only the origins are looked at."""
        found = self._door(scope).cache.lookup(query_of(*query), documents, tenant=scope.tenant)
        for document, score in zip(documents, found.scores, strict=True):
            if score is not None:
                self._check_origin(score, scope, query, document, found.status)

    def _rerank(self, door: Door, tenant: str, query: Query, documents: Sequence[str], top_k: int) -> None:
        scope = door.scope(tenant)
        self.world.ledger.scope = scope
        before = len(self.world.ledger.origins)
        ranking = door.reranker.rerank(query_of(*query), documents, top_k, tenant=tenant)
        self._check(ranking, scope, query, documents, top_k)
        self._expect(ranking, scope, query, documents)
        self._computed(before)

    def _check(self, ranking: Ranking[str], scope: Scope, query: Query, documents: Sequence[str], top_k: int) -> None:
        """Only documents that were sent, and scores that were computed in this scope."""
        steps[f"  {ranking.status}"] += 1
        assert len(ranking) == min(top_k, len(documents))
        assert not Counter(ranking) - Counter(documents)
        assert ranking.scores is not None
        for document, score in zip(ranking, ranking.scores, strict=True):
            self._check_origin(float(score), scope, query, document, ranking.status)

    def _check_origin(self, score: float, scope: Scope, query: Query, document: str, status: Status | None) -> None:
        origin = self.world.ledger.origin(score)
        self._must(origin.scope == scope, f"{scope} was served {origin}")
        self._must(origin.document == document, f"{document} was served {origin}")
        is_own = status is not Status.SEMANTIC and status is not None
        self._must(not is_own or origin.query == query_of(*query), f"{query} was served {origin} as {status}")
        self._must(origin.query.split()[1] == str(query[0]), f"{query} was served {origin}")

    def _must(self, holds: bool, else_: str) -> None:
        if not holds:
            self.world.found.append(else_)
            raise AssertionError(else_)

    def _expect(self, ranking: Ranking[str], scope: Scope, query: Query, documents: Sequence[str]) -> None:
        """Hits where the model says that there are, and none where it says that there is nothing."""
        wanted = set(documents)
        known = self._known(scope, query)
        if known.keys() >= wanted:
            assert (ranking.status, ranking.asked) == (Status.EXACT, 0)
            for document, score in zip(ranking, ranking.scores or (), strict=True):
                assert score == known[document]
        elif self._covered(scope, query, documents):
            assert (ranking.status, ranking.asked) == (Status.SEMANTIC, 0)
        elif not self._near(scope, query, documents, are_sure=False):
            is_partial = bool(known.keys() & wanted)
            assert ranking.status is (Status.PARTIAL if is_partial else Status.FRESH)
            assert ranking.asked == len(wanted - known.keys())
        else:
            assert ranking.status not in (Status.EXACT, Status.DEGRADED)

    def _computed(self, before: int) -> None:
        """What the rerankers scored since then is remembered under the query that it was scored for."""
        for origin in self.world.ledger.origins[before:]:
            assert origin.scope is not None, f"{origin} was computed and not served"
            topic, wording = map(int, origin.query.split()[1:])
            entry = self.entries.setdefault(origin.scope, {}).setdefault((topic, wording), Entry())
            entry.scores[origin.document] = origin.score

    def _known(self, scope: Scope, query: Query) -> dict[str, float]:
        return self.entries.get(scope, {}).get(query, Entry()).scores

    def _near(
        self, scope: Scope, query: Query, documents: Sequence[str], *, are_sure: bool, least: float = VERIFIED
    ) -> list[Entry]:
        """Other entries of the scope that could be used; with ``are_sure`` only those whose vectors are there."""
        return [
            entry
            for (topic, wording), entry in self.entries.get(scope, {}).items()
            if topic == query[0] and wording != query[1] and similarity(wording, query[1]) >= least
            if entry.scores.keys() & set(documents) and (entry.is_vector_sound or not are_sure)
        ]

    def _covered(self, scope: Scope, query: Query, documents: Sequence[str]) -> bool:
        """Whether entries that are trusted know all documents, together with that of the query itself."""
        near = self._near(scope, query, documents, are_sure=True, least=TRUSTED)
        known = self._known(scope, query).keys()
        return bool(near) and set(documents) <= known | {document for entry in near for document in entry.scores}

    def _remembered(self) -> list[tuple[Scope, Query]]:
        return [(scope, query) for scope, entries in self.entries.items() for query in entries]

    def _two(self, picked: tuple[int, int]) -> list[tuple[Scope, Query]]:
        """Two entries; the same nothing twice where there is none."""
        remembered = self._remembered()
        return [remembered[pick % len(remembered)] if remembered else NOTHING for pick in picked]

    def _door_at(self, place: int) -> Door:
        return self.world.doors[self.places[place % len(self.places)]]

    def _door(self, scope: Scope) -> Door:
        return next(door for door in self.world.doors if door.scope(scope.tenant) == scope)

    def _key(self, scope: Scope, query: Query, *, is_vector: bool) -> bytes:
        keys: KeySpace = keys_of(self._door(scope).cache.store)
        return (keys.vector if is_vector else keys.scores)(scope.tenant, query_of(*query))

    def _drop_damages(self, scope: Scope) -> None:
        """Damage was done on purpose, and noticed."""
        assert all(isinstance(event, EntryDamaged) for event in self.world.events)
        self.world.events.clear()
