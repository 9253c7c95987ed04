"""Tenants, namespaces and candidates stay apart; programs that close, fork or change event loops get their answers."""

import pytest

from tests.faults.catalogue import all_cases
from tests.faults.isolation import Case
from tests.faults.models import ScriptedReranker
from tests.faults.subjects import Semcache
from tests.faults.world import a_world
from tests.redis.proxy import Proxy

# What a near query is answered with is a matter of statistics, and a poisoned request one of seconds.
EXACT = [(group, case) for group, case in all_cases() if group != "near" and "make the reranker fail" not in case.name]


@pytest.mark.parametrize(("group", "case"), EXACT, ids=lambda value: value if isinstance(value, str) else value.name)
def test_every_answer_is_the_callers_own(group: str, case: Case) -> None:
    with a_world(lambda url: Proxy(url).running(), ScriptedReranker(service_s=0.001)) as world:
        tally = case.run(Semcache, world)
    assert tally.requests > 0
    assert (tally.failed, tally.wrong, tally.leaked, tally.unanswered) == (0, 0, 0, 0), tally
