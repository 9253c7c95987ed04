"""Look-ups are read in turn from a primary and from the replicas that follow it, and from none that does not answer."""

from typing import Any

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from semcache.errors import StoreError, StoreTooSlowError, StoreUnavailableError
from semcache.flow.drive import drive
from semcache.redis.client.commands import Command, Reads, script
from semcache.redis.cluster.parts import Round
from semcache.redis.cluster.readers import Readers
from semcache.redis.cluster.routing import carry_out
from semcache.redis.cluster.topology import Node, Topology, tag_of_slot

A, B, OF_A, OF_B = Node("a", 1), Node("b", 2), Node("a", 11), Node("b", 12)
KEY_A, KEY_B = (f"k:{{{tag_of_slot(slot)}}}".encode() for slot in (100, 12000))
TOPOLOGY = Topology(0, [A] * 8192 + [B] * 8192, {A: "1", B: "2"}, replicas={A: [OF_A], B: [OF_B]})
KNN = ("FT.SEARCH", "i", "*=>[KNN 2 @e $v AS vector_distance]", "RETURN", 1, b"vector_distance", b"vector")
READ_A = ("GETRANGE", KEY_A, b"0", b"9")
FIRST: tuple[Command, ...] = (("READONLY",),)
FOLLOWS = [b"slave", b"a", 1, b"connected", 7]


class Shards:
    """A primary and a replica each. ``says`` has what a node says to a command, where that is not what is usual."""

    def __init__(self, **says: Any) -> None:
        self.now = 0.0
        self.says: dict[Node, dict[str, Any]] = {}
        self.gone: set[Node] = set()
        self.too_slow: set[Node] = set()
        self.asked: list[dict[Node, list[str]]] = []
        self.readers = Readers(FIRST, lambda: self.now)

    def execute(self, *commands: Command) -> Any:
        """The replies, and which nodes were asked for what in each round."""
        self.asked = []
        replies = drive(carry_out(Reads(commands), TOPOLOGY, self, self.readers), self._perform)
        return replies, self.asked

    def _perform(self, step: Any) -> Any:
        assert isinstance(step, Round)
        self.asked.append({node: [str(one[0]) for one in asked] for node, asked in step.asked.items()})  # type: ignore[union-attr]
        return {node: self._answer(node, asked) for node, asked in step.asked.items()}

    def _answer(self, node: Node, asked: Any) -> Any:
        if node in self.gone:
            return StoreUnavailableError("gone")
        if node in self.too_slow:
            return StoreTooSlowError("slow")
        usual = {"READONLY": b"OK", "ROLE": FOLLOWS, "GETRANGE": b"of %d" % node.port, "FT.SEARCH": [0], "SET": b"OK"}
        return [{**usual, **self.says.get(node, {})}[str(command[0])] for command in asked]

    def left_out(self, node: Node, error: StoreError) -> None:
        raise AssertionError(f"{node} was left out")

    def suspect(self, *, has_changed: bool = False) -> None:
        pass


def test_primary_and_replica_take_turns() -> None:
    shards = Shards()
    assert [shards.execute(READ_A)[0] for _ in range(4)] == [[b"of 1"], [b"of 11"], [b"of 1"], [b"of 11"]]


def test_a_replica_says_once_a_second_whether_it_follows() -> None:
    shards = Shards()
    rounds = [shards.execute(READ_A)[1] for _ in range(4)]
    assert rounds[1] == [{OF_A: ["READONLY", "ROLE", "GETRANGE"]}]
    assert rounds[3] == [{OF_A: ["READONLY", "GETRANGE"]}]
    shards.now = 1.0
    assert [shards.execute(READ_A)[1] for _ in range(2)][1] == [{OF_A: ["READONLY", "ROLE", "GETRANGE"]}]


def test_a_search_asks_one_node_of_each_shard_and_writes_go_to_the_primary() -> None:
    shards = Shards()
    lease = ("SET", KEY_B, b"token", "NX")
    assert shards.execute(KNN, lease) == ([[0], b"OK"], [{A: ["FT.SEARCH"], B: ["FT.SEARCH", "SET"]}])
    reading = ["READONLY", "ROLE", "FT.SEARCH"]
    assert shards.execute(KNN, lease) == ([[0], b"OK"], [{OF_A: reading, OF_B: reading, B: ["SET"]}])


def test_a_script_beside_it_goes_to_the_primary() -> None:
    shards = Shards()
    shards.execute(READ_A)
    call = script("read_earlier").by_digest((KEY_A, KEY_A), b"", b"")
    shards.says[A] = {"EVALSHA": b""}
    assert shards.execute(READ_A, call) == ([b"of 11", b""], [{OF_A: ["READONLY", "ROLE", "GETRANGE"], A: ["EVALSHA"]}])


def test_where_a_replica_is_away_the_primary_is_asked_and_it_is_left_for_a_while() -> None:
    shards = Shards()
    shards.gone = {OF_A}
    shards.execute(READ_A)
    replies, rounds = shards.execute(READ_A)
    assert (replies, [list(asked) for asked in rounds]) == ([b"of 1"], [[OF_A], [A]])
    assert [[list(asked) for asked in shards.execute(READ_A)[1]] for _ in range(3)] == [[[A]]] * 3
    shards.now, shards.gone = 1.0, set()
    assert {next(iter(shards.execute(READ_A)[1][0])) for _ in range(2)} == {A, OF_A}


def test_where_the_primary_is_away_the_replica_answers_alone() -> None:
    shards = Shards()
    shards.gone = {A}
    assert shards.execute(READ_A) == ([b"of 11"], [{A: ["GETRANGE"]}, {OF_A: ["READONLY", "ROLE", "GETRANGE"]}])
    assert [shards.execute(READ_A) for _ in range(3)] == [([b"of 11"], [{OF_A: ["READONLY", "GETRANGE"]}])] * 3
    shards.now = 1.0
    assert [len(shards.execute(READ_A)[1]) for _ in range(2)] == [1, 2], "it is asked again, once"
    shards.now, shards.gone = 2.0, set()
    assert {shards.execute(READ_A)[0][0] for _ in range(2)} == {b"of 1", b"of 11"}


def test_a_search_then_asks_the_replica_of_that_shard_and_writes_beside_it_fail() -> None:
    shards = Shards()
    shards.gone = {A}
    lease = ("SET", KEY_A, b"token", "NX")
    (found, error), rounds = shards.execute(KNN, lease)
    assert found == [0] and isinstance(error, StoreUnavailableError)
    assert "FT.SEARCH" in rounds[1][OF_A] and "FT.SEARCH" not in rounds[1][A]


def test_one_that_had_too_little_time_is_not_left_alone_for_that() -> None:
    shards = Shards()
    shards.too_slow = {A}
    with pytest.raises(StoreTooSlowError):
        shards.execute(READ_A)
    assert shards.execute(READ_A)[0] == [b"of 11"]
    with pytest.raises(StoreTooSlowError):
        shards.execute(READ_A)


def test_where_none_answers_that_is_an_error() -> None:
    shards = Shards()
    shards.gone = {A, OF_A}
    for _ in range(4):
        with pytest.raises(StoreUnavailableError):
            shards.execute(READ_A)


def test_a_node_of_several_servers_says_each_time_whether_it_follows() -> None:
    shards = Shards()
    unfit: set[Node] = set()
    shards.readers = Readers((), lambda: shards.now, every_s=0.0, on_unfit=unfit.add)
    assert [shards.execute(READ_A)[1] for _ in range(4)][1::2] == [[{OF_A: ["ROLE", "GETRANGE"]}]] * 2
    shards.says[OF_A] = {"ROLE": [b"slave", b"a", 1, b"connect", -1]}
    assert [shards.execute(READ_A)[0] for _ in range(3)] == [[b"of 1"]] * 3
    assert unfit == {OF_A}


def test_one_that_does_not_follow_its_primary_is_not_read_from() -> None:
    shards = Shards()
    shards.says[OF_A] = {"ROLE": [b"slave", b"a", 1, b"connect", -1]}
    assert [shards.execute(READ_A)[0] for _ in range(4)] == [[b"of 1"]] * 4


def test_one_that_became_the_primary_is_read_from_and_so_is_one_that_may_not_be_asked() -> None:
    for role in ([b"master", 7, []], NoPermissionError("no permissions to run the 'role' command")):
        shards = Shards()
        shards.says[OF_A] = {"ROLE": role}
        assert [shards.execute(READ_A)[0] for _ in range(2)] == [[b"of 1"], [b"of 11"]]


def test_an_index_that_has_not_come_to_a_replica_is_searched_on_the_primary() -> None:
    shards = Shards()
    shards.says[OF_B] = {"FT.SEARCH": ResponseError("i: no such index")}
    shards.says[B] = {"FT.SEARCH": [1, KEY_B, [b"vector_distance", b"0.1"]]}
    shards.execute(KNN)
    (found,), rounds = shards.execute(KNN)
    assert found == [1, KEY_B, [b"vector_distance", b"0.1"]]
    assert [list(asked) for asked in rounds] == [[OF_A, OF_B], [B]], "the answer of the other shard stands"
    assert [len(shards.execute(KNN)[1]) for _ in range(4)] == [1] * 4, "the replica is left alone for a while"
