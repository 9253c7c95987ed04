"""The topology is read anew in the background, one question at a time, and what goes wrong there is told."""

from itertools import pairwise
from threading import Event as Flag
from time import monotonic
from typing import Any, cast

from semcache.errors import StoreUnavailableError
from semcache.events import CacheFailed, TopologyChanged
from semcache.redis.cluster.discovery import Discovery
from semcache.redis.cluster.keeper import TopologyKeeper
from semcache.redis.cluster.topology import Node, Topology
from tests.scripted import PATIENCE_S, Stopwatch

A, B = Node("a", 1), Node("b", 2)


class ScriptedDiscovery:
    """Gives what the script says, in its order, and its last word ever after."""

    def __init__(self, *script: Topology | Exception) -> None:
        self.script = list(script)
        self.read_at: list[float] = []
        self.read_again = Flag()

    def read(self, before: Topology | None = None) -> Topology:
        found = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if before is not None:
            self.read_at.append(monotonic())
            self.read_again.set()
        if isinstance(found, Exception):
            raise found
        return found


def topology(version: int, moved: int = 0) -> Topology:
    return Topology(version, [B] * moved + [A] * (16384 - moved), {A: "1", B: "2"})


def kept(*script: Topology | Exception) -> tuple[TopologyKeeper, ScriptedDiscovery, list[Any], Flag]:
    """A keeper, what it asks, the events, and a flag that is set by each of them."""
    discovery, events, told = ScriptedDiscovery(*script), [], Flag()

    def on_event(event: Any) -> None:
        events.append(event)
        told.set()

    return TopologyKeeper(cast("Discovery", discovery), on_event), discovery, events, told


def test_a_suspicion_leads_to_the_topology_that_is_there_now() -> None:
    keeper, _, events, told = kept(topology(0), topology(1, moved=7))
    keeper.suspect()
    assert told.wait(PATIENCE_S)
    assert keeper.current.version == 1
    assert events == [TopologyChanged(2, 7, 0)]


def test_a_cluster_that_does_not_answer_leaves_the_topology_as_it_was() -> None:
    first = topology(0)
    keeper, discovery, events, _ = kept(first, StoreUnavailableError("away"), first)
    keeper.suspect()
    assert discovery.read_again.wait(PATIENCE_S)
    assert keeper.refresh() is first
    assert events == []


def test_what_nothing_expected_is_told() -> None:
    keeper, _, events, told = kept(topology(0), ZeroDivisionError("by redis-py"))
    keeper.suspect()
    assert told.wait(PATIENCE_S)
    assert events == [CacheFailed("Topology", "ZeroDivisionError: by redis-py")]


def test_after_the_end_nothing_is_asked() -> None:
    keeper, discovery, _, _ = kept(topology(0), topology(1))
    keeper.stop()
    keeper.suspect()
    assert not discovery.read_again.is_set()


def test_a_shard_that_stays_away_is_asked_about_once_a_second_at_most() -> None:
    keeper, discovery, _, _ = kept(topology(0))
    while len(discovery.read_at) < 4:
        keeper.suspect()
    between = [later - earlier for earlier, later in pairwise(discovery.read_at)]
    assert [at_least <= passed for at_least, passed in zip((0.1, 0.2, 0.4), between, strict=True)] == [True] * 3
    keeper.stop()


def test_what_has_changed_for_certain_is_looked_at_soon_again() -> None:
    keeper, discovery, _, _ = kept(topology(0))
    while len(discovery.read_at) < 3:
        keeper.suspect()
    discovery.read_again.clear()
    with Stopwatch() as watch:
        while not discovery.read_again.wait(0.01):
            keeper.suspect(has_changed=True)
        assert watch.seconds < 0.3, "the next one was due 0.4 s after the third"
    keeper.stop()


def test_the_connections_are_told_of_each_topology_that_is_read() -> None:
    first, read = topology(0), list[Topology]()
    keeper = TopologyKeeper(cast("Discovery", ScriptedDiscovery(first)), lambda event: None, read.append)
    assert read == []
    keeper.refresh()
    assert read == [first]
