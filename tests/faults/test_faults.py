"""With every kind of fault no request fails or gets a wrong answer, the cache is used again, and it is told of.

`make faults` goes through all of them, for longer, and measures.
"""

import time
from collections.abc import Iterator

import pytest

from tests.faults.catalogue import all_faults
from tests.faults.fault import AWAY, Fault
from tests.faults.models import ScriptedReranker
from tests.faults.subjects import Semcache, Setup
from tests.faults.traffic import FATES, Load, Traffic
from tests.faults.world import a_world
from tests.redis.proxy import Proxy
from tests.scripted import PATIENCE_S

QUICK = (
    *("black hole: no reply ever comes", "black hole: no connection is accepted", "connections refused"),
    *("replies after 200 ms", "replies cut off in the middle", "replies a byte at a time, each after 20 ms"),
    *("replies are garbage", "a bit flipped in one of three replies", "replies come twice, six times"),
    *("killed, and started again without data", "stopped (SIGSTOP)", "out of memory (noeviction)", "read-only"),
    *("failover: killed, then the replica promoted", "BUSY with a script", "another password", "too many clients"),
    *("index dropped with its entries", "index replaced by one of other dims", "values of other types"),
    *("three bits flipped in every value", "NaN in every value", "entries of a newer version"),
    *("raises RuntimeError", "half of the vectors NaN", "raises SystemExit", "raises StopIteration"),
)
"""Those that are over soon, and one of those that are alike."""
LOAD = Load(threads=2, tasks=3, think_s=0.002, topics=1, new=0.2, near=0.3, changing=True)
# On a busy machine an answer of Redis may take long, which is not what is tested here.
KNOBS = {"budget_s": 0.5, "timeout_s": 1.0, "threshold_s": 0.5}
BACK_S = 5.0
"""Time until hits are back, on a busy machine; `make faults` measures it."""


def quick_faults() -> Iterator[Fault]:
    return (fault for fault in all_faults() if fault.name in QUICK)


def test_all_names_are_those_of_faults() -> None:
    assert set(QUICK) == {fault.name for fault in quick_faults()}


@pytest.mark.parametrize("fault", list(quick_faults()), ids=lambda fault: f"{fault.strikes}: {fault.name}")
def test_requests_do_not_suffer(fault: Fault, namespace: str) -> None:
    reranker = ScriptedReranker(service_s=0.001, concurrency=8)
    with a_world(lambda url: Proxy(url).running(), reranker) as world:
        fault.prepare(world)
        subject = Semcache(Setup(world.proxy.url, world.embedder, reranker, namespace, **KNOBS))
        traffic = Traffic(subject, reranker, LOAD)
        with traffic:
            traffic.wait_until_known(PATIENCE_S)
            traffic.wait_for(["hit"], of_each=2, since=0.0, patience_s=PATIENCE_S, near=True)
            told = subject.told()
            began = time.monotonic()
            fault.begin(world)
            traffic.wait_for(FATES, of_each=10, since=began, patience_s=PATIENCE_S)
            if fault.tells:
                traffic.wait_until(
                    lambda: any((subject.told() - told)[name] for name in fault.tells),
                    PATIENCE_S,
                    f"none of {fault.tells} was told",
                )
            if fault.tells == AWAY:
                # Each would take its whole budget if Redis were asked.
                traffic.wait_for(FATES, of_each=40, since=time.monotonic(), patience_s=BACK_S)
            ended = time.monotonic()
            fault.end(world)
            traffic.wait_for(["hit"], of_each=3, since=ended, patience_s=BACK_S, near=True)
            assert traffic.stop(PATIENCE_S) == 0, "requests without an answer"
        subject.close()
    assert [record.error for record in traffic.records if record.fate == "failed"] == []
    assert not [record for record in traffic.records if record.is_wrong]
