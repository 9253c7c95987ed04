"""Cases in which one must not see what belongs to another: tenants, namespaces, candidates, other questions."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from semcache.protocols import FloatArray, Pair
from tests.faults.models import SHARED, ScriptedReranker
from tests.faults.subjects import Setup, Subject
from tests.faults.tally import Tally
from tests.faults.world import World

_GUARD_PAIRS = Path(__file__).parents[1] / "data" / "guard_pairs.jsonl"
_PAIRS = 60
HOSTILE = (
    *("a", "A", "b", "a|b", "*", "a*", "{a}", "}|@tenant:{a", "@tenant:{*}", "a,b", "a b", "-a", "~a", "(a)|(b)"),
    *("a\\", "\\", "$", "%a%", "?", "a.b", "a:b", "a:", ":a", "'a'", '"a"', " ", " a", "a ", "\u200b", "\u0430", "a\n"),
    *("a;b", "a/b", "a=b", "[a]", "a}", "{", "<a>", "&a", "#a", "a" * 300, "a" * 299 + "b", "None", "null", "0"),
)
"""Tenants with names that mean something to query languages, differ in case or blanks, or look alike."""

Make = Callable[[Setup], Subject]


@dataclass(frozen=True, slots=True)
class Case:
    """What is tried, and how; ``own`` means one that only semcache has."""

    name: str
    run: Callable[[Make, World], Tally]
    own: bool = False


def setup_of(world: World, namespace: str = "faults") -> Setup:
    """What the cases have in common. By TCP, as users have it."""
    return Setup(world.proxy.url, world.embedder, world.reranker, namespace)


def _passages(owner: str, count: int = 8) -> list[str]:
    return [f"passage {number} of {owner}" for number in range(count)]


def _two_tenants(make: Make, world: World) -> Tally:
    """The same query of both; their documents are the same for one half of the queries."""
    tally = Tally()
    with closing(make(setup_of(world))) as subject:
        for number in range(20):
            query = f"question {number}"
            for tenant in ("anna", "ben"):
                documents = _passages("both" if number % 2 else tenant)
                tally.ask(subject, query, documents, tenant, is_first=True)
                tally.ask(subject, query, documents, tenant)
    return tally


def _hostile_tenants(make: Make, world: World) -> Tally:
    """Every tenant asks the same about documents of its own."""
    tally = Tally()
    with closing(make(setup_of(world))) as subject:
        for is_first in (True, False):
            for tenant in HOSTILE:
                tally.ask(subject, "the same question", _passages(repr(tenant)), tenant, is_first=is_first)
    return tally


def _namespaces(make: Make, world: World) -> Tally:
    """One name begins with another."""
    tally = Tally()
    for namespace in ("shop", "shop2", "sho", "shop-a"):
        with closing(make(setup_of(world, namespace))) as subject:
            for number in range(5):
                documents = _passages(namespace)
                tally.ask(subject, f"question {number}", documents, is_first=True)
                tally.ask(subject, f"question {number}", documents)
    return tally


def _other_candidates(make: Make, world: World) -> Tally:
    """The retriever finds other documents for the same query."""
    tally, chance = Tally(), random.Random(1)
    with closing(make(setup_of(world))) as subject:
        for number in range(10):
            pool = _passages(f"topic {number}", 26)
            for _ in range(4):
                tally.ask(subject, f"question {number}", chance.sample(pool, 20))
    return tally


def _shorter_answers(make: Make, world: World) -> Tally:
    """The first request has few candidates, and the next one many."""
    tally = Tally()
    with closing(make(setup_of(world))) as subject:
        for number in range(10):
            for count in (2, 12):
                tally.ask(subject, f"question {number}", _passages(f"topic {number}", count))
    return tally


def _near_queries(documents_of: Callable[[str, str], list[str]]) -> Callable[[Make, World], Tally]:
    """Queries that an embedder takes for the same, and that ask something else (tests/data/guard_pairs.jsonl)."""

    def run(make: Make, world: World) -> Tally:
        tally = Tally()
        lines = map(json.loads, _GUARD_PAIRS.read_text().splitlines())
        pairs = islice((line for line in lines if not line["trust_ok"]), _PAIRS)
        with closing(make(replace(setup_of(world), guard="facts"))) as subject:
            for pair in pairs:
                world.embedder.same_place[pair["b"]] = pair["a"]
                documents = documents_of(pair["a"], pair["b"])
                for query in (pair["a"], pair["b"]):
                    tally.ask(subject, query, documents)
        return tally

    return run


def _shared(first: str, second: str) -> list[str]:
    """Passages that answer either question a little."""
    return [f"{SHARED} {number} of {first!r} and {second!r}" for number in range(20)]


def _of_each(first: str, second: str) -> list[str]:
    """Passages that answer one of the two questions."""
    return _passages(first, 10) + _passages(second, 10)


def _two_rerankers(make: Make, world: World) -> Tally:
    """A model is replaced by another one behind the same application."""
    tally = Tally()

    class Opposite(ScriptedReranker):
        name = "another"

        def score(self, pairs: Sequence[Pair]) -> FloatArray:
            return -super().score(pairs)

    with closing(make(replace(setup_of(world), reranker=Opposite()))) as before:
        for number in range(10):
            before.rerank(f"question {number}", _passages("both"), 5)
    with closing(make(setup_of(world))) as subject:
        for number in range(10):
            tally.ask(subject, f"question {number}", _passages("both"), is_first=True)
    return tally


def isolation_cases() -> Iterator[Case]:
    """All of them."""
    yield Case("two tenants ask the same", _two_tenants)
    yield Case(f"{len(HOSTILE)} tenants with hostile names ask the same", _hostile_tenants)
    yield Case("namespaces of which one begins with another", _namespaces)
    yield Case("the same query, other candidates", _other_candidates)
    yield Case("the same query, first with few candidates", _shorter_answers)
    yield Case("the reranker is replaced by another", _two_rerankers)


def near_query_cases() -> Iterator[Case]:
    """What is reused of near queries is a matter of statistics, and not of walls."""
    yield Case("shared passages", _near_queries(_shared))
    yield Case("passages of each", _near_queries(_of_each))
