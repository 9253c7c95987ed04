"""Which node is asked what, by a cluster on paper: answers that point elsewhere, and nodes that give none."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from redis.exceptions import AskError, ClusterDownError, MovedError, NoPermissionError, ResponseError, TryAgainError

from semcache.errors import StoreError, StoreUnavailableError, TransientStoreError
from semcache.flow.drive import drive
from semcache.redis.client.commands import Command, CreateIndex, Reconnect, script
from semcache.redis.cluster.parts import Pause, Refresh, Round
from semcache.redis.cluster.routing import carry_out
from semcache.redis.cluster.topology import Node, Topology, tag_of_slot
from semcache.redis.index import schema_of
from semcache.redis.keys import KeySpace
from semcache.redis.layout import vector_attributes

A, B, C = Node("a", 1), Node("b", 2), Node("c", 3)
NODES = (A, B, C)
KEY_A, KEY_B, KEY_C = (f"k:{{{tag_of_slot(slot)}}}".encode() for slot in (100, 6000, 12000))
OTHER_A = f"other:{{{tag_of_slot(101)}}}".encode()
KNN = ("FT.SEARCH", "i", "*=>[KNN 2 @e $v AS vector_distance]", "RETURN", 2, "e", "vector_distance", "LIMIT", 0, 2)
GONE = StoreUnavailableError("gone")


def topology(version: int = 0, *, has_coordinator: bool = False) -> Topology:
    owners = [A] * 5000 + [B] * 5000 + [C] * 6384
    tags = {node: tag_of_slot(slot) for node, slot in zip(NODES, (4999, 9999, 16383), strict=True)}
    return Topology(version, owners, tags, has_coordinator)


class Cluster:
    """Answers commands by a function of node and command, and keeps what was asked in which round."""

    def __init__(self, answer: Callable[[Node, Command], Any], now: Topology | None = None) -> None:
        self.answer = answer
        self.now = now or topology()
        self.rounds: list[Mapping[Node, Any]] = []
        self.pauses: list[float] = []
        self.missing: list[Node] = []
        self.suspected = 0
        self.has_changed = False

    def left_out(self, node: Node, error: StoreError) -> None:
        self.missing.append(node)

    def suspect(self, *, has_changed: bool = False) -> None:
        self.suspected += 1
        self.has_changed |= has_changed

    def execute(self, step: Any, known: Topology | None = None) -> Any:
        return drive(carry_out(step, known or self.now, self), self._perform)

    def _perform(self, step: Round | Pause | Refresh) -> Any:
        if isinstance(step, Pause):
            self.pauses.append(step.seconds)
            return None
        if isinstance(step, Refresh):
            return self.now
        self.rounds.append(step.asked)
        return {node: self._replies(node, asked) for node, asked in step.asked.items()}

    def _replies(self, node: Node, asked: Any) -> Any:
        if isinstance(asked, Reconnect):
            return None
        if isinstance(asked, CreateIndex):
            return self.answer(node, ("FT.CREATE", asked.schema.index.name))
        replies = [self.answer(node, command) for command in asked]
        errors = [reply for reply in replies if isinstance(reply, StoreError)]
        return errors[0] if errors else replies


def found(*hits: tuple[bytes, float | None]) -> list[Any]:
    flat: list[Any] = [len(hits)]
    for key, distance in hits:
        flat += [key, None if distance is None else [b"vector_distance", str(distance).encode()]]
    return flat


class TestKeys:
    def test_each_command_goes_to_the_owner_of_its_key(self) -> None:
        cluster = Cluster(lambda node, command: (node, command))
        call = script("remember").by_digest((KEY_C, KEY_C), b"block")
        step: Sequence[Command] = [("GETRANGE", KEY_B, 0, 1), ("GET", KEY_A), call, ("GET", OTHER_A)]
        assert cluster.execute(step) == [(B, step[0]), (A, step[1]), (C, call), (A, step[3])]
        assert len(cluster.rounds) == 1, "all nodes are asked at once"

    def test_removals_are_split_and_summed(self) -> None:
        cluster = Cluster(lambda node, command: len(command) - 1)
        assert cluster.execute([("UNLINK", KEY_A, KEY_B, OTHER_A)]) == [3]
        assert cluster.rounds == [{A: [("UNLINK", KEY_A), ("UNLINK", OTHER_A)], B: [("UNLINK", KEY_B)]}]

    def test_all_nodes_open_their_connections_anew(self) -> None:
        cluster = Cluster(lambda node, command: None)
        cluster.execute(Reconnect())
        assert set(cluster.rounds[0]) == set(NODES)

    def test_an_entry_of_a_slot_that_no_node_serves_is_unknown(self) -> None:
        nobody = Topology(0, [None] * 16384, topology().tags)
        with pytest.raises(StoreUnavailableError, match="no node of the Redis Cluster serves slot 100"):
            Cluster(lambda node, command: b"").execute([("GET", KEY_A)], nobody)


class TestWhatPointsElsewhere:
    def test_a_slot_that_has_moved(self) -> None:
        cluster = Cluster(lambda node, command: b"x" if node == C else MovedError("100 c:3"))
        assert cluster.execute([("GET", KEY_A)]) == [b"x"]
        assert cluster.rounds == [{A: [("GET", KEY_A)]}, {C: [("GET", KEY_A)]}]
        assert cluster.has_changed, "the topology is read anew"

    def test_without_a_host_it_is_the_same_one(self) -> None:
        cluster = Cluster(lambda node, command: b"x" if node == Node("a", 9) else MovedError("100 :9"))
        assert cluster.execute([("GET", KEY_A)]) == [b"x"]

    def test_a_slot_on_its_way_is_asked_for_with_the_word_for_that(self) -> None:
        cluster = Cluster(lambda node, command: b"x" if node == B else AskError("100 b:2"))
        replies = cluster.execute([("GET", KEY_A), ("GET", KEY_B)])
        assert replies == [b"x", b"x"]
        assert cluster.rounds[1] == {B: [("ASKING",), ("GET", KEY_A)]}

    def test_keys_that_are_on_two_nodes_are_asked_for_a_little_later(self) -> None:
        answers = iter([TryAgainError("later"), AskError("100 b:2"), b"OK", 20])
        cluster = Cluster(lambda node, command: next(answers))
        assert cluster.execute([script("remember").by_digest((KEY_A, KEY_A), b"block")]) == [20]
        assert [next(iter(asked)) for asked in cluster.rounds] == [A, A, B]
        assert cluster.pauses == [0.002]

    def test_a_new_entry_of_a_slot_on_its_way_is_written_by_a_script_of_one_key(self) -> None:
        # The node that is to get the slot refuses two keys that it has not, although the other one has them no more.
        def answer(node: Node, command: Command) -> Any:
            if command == ("ASKING",):
                return b"OK"
            return AskError("100 b:2") if node == A else TryAgainError("later") if command[2] == 2 else 20

        cluster = Cluster(answer)
        call = script("remember").by_digest((KEY_A, KEY_A + b"s"), b"block", 7)
        assert cluster.execute([call]) == [20]
        asking, (name, text, count, *given) = cluster.rounds[2][B]
        assert (asking, name, count) == (("ASKING",), "EVAL", 1)
        assert given == [KEY_A, KEY_A + b"s", b"block", 7]
        assert text.endswith(script("remember").text)
        assert cluster.pauses == []

    def test_what_points_in_circles_is_given_up(self) -> None:
        cluster = Cluster(lambda node, command: MovedError("100 b:2" if node == A else "100 a:1"))
        with pytest.raises(TransientStoreError, match=r"moves slots: .* says 100"):
            cluster.execute([("GET", KEY_A)])

    def test_a_cluster_that_is_down_is_no_answer(self) -> None:
        cluster = Cluster(lambda node, command: ClusterDownError("The cluster is down"))
        with pytest.raises(TransientStoreError, match="is down, or has lost this shard: a:1 says The cluster is down"):
            cluster.execute([("GET", KEY_A)])


class TestNodesThatGiveNoAnswer:
    def test_reads_beside_others_find_nothing_there(self) -> None:
        cluster = Cluster(lambda node, command: GONE if node == B else b"x")
        step = [("GETRANGE", KEY_A, 0, 1), ("GETRANGE", KEY_B, 0, 1), ("HGETALL", KEY_B)]
        assert cluster.execute(step) == [b"x", b"", []]
        assert cluster.missing == [B, B]
        assert cluster.suspected

    def test_writes_fail_and_do_not_look_as_if_they_had_been_done(self) -> None:
        cluster = Cluster(lambda node, command: GONE if node == B else 20)
        calls = [script("remember").by_digest((key, key), b"block") for key in (KEY_A, KEY_B)]
        assert cluster.execute(calls) == [20, GONE]
        assert cluster.execute([("UNLINK", KEY_A, KEY_B)]) == [GONE]

    def test_a_read_of_one_node_fails_as_that_of_one_server(self) -> None:
        with pytest.raises(StoreUnavailableError, match="gone"):
            Cluster(lambda node, command: GONE).execute([("GET", KEY_A)])


class TestSearches:
    def test_the_nearest_of_all_shards(self) -> None:
        hits = {A: found((KEY_A, 0.3), (OTHER_A, 0.5)), B: found((KEY_B, 0.1)), C: found((KEY_C, 0.2))}
        cluster = Cluster(lambda node, command: hits[node])
        assert cluster.execute([KNN]) == [found((KEY_B, 0.1), (KEY_C, 0.2))]
        assert [asked[0][1] for asked in cluster.rounds[0].values()] == [
            f"i:{{{tag}}}" for tag in topology().tags.values()
        ]
        assert cluster.rounds[0][A][0][3:] == ("RETURN", 1, b"vector_distance", "LIMIT", 0, 2)

    def test_an_entry_on_two_nodes_counts_where_its_slot_is(self) -> None:
        hits = {A: found((KEY_A, 0.3)), B: found((KEY_A, 0.1), (KEY_B, 0.4)), C: found()}
        cluster = Cluster(lambda node, command: hits[node])
        assert cluster.execute([KNN]) == [found((KEY_A, 0.3), (KEY_B, 0.4))]
        assert cluster.suspected, "it may be this process that is behind"

    def test_expired_ones_do_not_hide_others(self) -> None:
        hits = {A: found((KEY_A, None)), B: found((KEY_B, 0.1)), C: found((KEY_C, 0.2))}
        assert Cluster(lambda node, command: hits[node]).execute([KNN]) == [found((KEY_B, 0.1), (KEY_C, 0.2))]

    def test_vectors_that_are_none_come_first_and_are_removed_by_the_reader(self) -> None:
        hits = {A: found((KEY_A, float("nan"))), B: found((KEY_B, 0.1)), C: found((KEY_C, 0.2))}
        (reply,) = Cluster(lambda node, command: hits[node]).execute([KNN])
        assert reply[1::2] == [KEY_A, KEY_B]

    def test_a_lost_shard_is_left_out(self) -> None:
        hits = {A: found((KEY_A, 0.3)), B: GONE, C: found((KEY_C, 0.2))}
        cluster = Cluster(lambda node, command: hits[node])
        assert cluster.execute([KNN]) == [found((KEY_C, 0.2), (KEY_A, 0.3))]
        assert cluster.missing == [B]

    def test_an_index_that_one_shard_lacks_is_missing(self) -> None:
        missing = ResponseError("i: no such index")
        cluster = Cluster(lambda node, command: missing if node == B else found((KEY_A, 0.3)))
        assert cluster.execute([KNN]) == [missing]

    def test_what_one_shard_denies_is_denied(self) -> None:
        denied = NoPermissionError("no")
        replies = {A: ResponseError("i: no such index"), B: denied, C: found()}
        assert Cluster(lambda node, command: replies[node]).execute([KNN]) == [denied]

    def test_a_reply_that_cannot_be_read_reaches_the_reader(self) -> None:
        cluster = Cluster(lambda node, command: b"?" if node == B else found((KEY_A, 0.3)))
        assert cluster.execute([KNN]) == [b"?"]

    def test_an_index_whose_name_has_moved_is_left_out(self) -> None:
        cluster = Cluster(lambda node, command: MovedError("1 c:3") if node == A else found((KEY_B, 0.1)))
        # C is asked under its own name of the index, and not instead of A.
        assert cluster.execute([KNN])[0][1] == KEY_B
        assert cluster.missing == [A]
        assert len(cluster.rounds) == 1

    def test_with_a_coordinator_one_node_is_asked_or_else_the_next(self) -> None:
        cluster = Cluster(lambda node, command: GONE if node == A else found((KEY_A, 0.3)))
        assert cluster.execute([KNN], topology(has_coordinator=True)) == [found((KEY_A, 0.3))]
        assert cluster.rounds == [{A: [KNN]}, {B: [KNN]}]


class TestCounts:
    count = ("FT.SEARCH", "i", "*", "NOCONTENT", "LIMIT", 0, 0)

    def test_they_are_summed(self) -> None:
        numbers = {A: [3], B: [4], C: [5]}
        assert Cluster(lambda node, command: numbers[node]).execute([self.count]) == [[12]]

    def test_a_shard_without_the_index_has_none(self) -> None:
        missing = ResponseError("i: no such index")
        assert Cluster(lambda node, command: missing if node == B else [3]).execute([self.count]) == [[6]]
        assert Cluster(lambda node, command: missing).execute([self.count]) == [missing]

    def test_without_one_shard_there_is_no_count(self) -> None:
        assert Cluster(lambda node, command: GONE if node == B else [3]).execute([self.count]) == [GONE]

    def test_sizes_are_those_of_the_largest_shard(self) -> None:
        sizes: dict[Node, Any] = {A: [3, []], B: [40, []], C: GONE}
        assert Cluster(lambda node, command: sizes[node]).execute([("FT.AGGREGATE", "i", "*")]) == [[40]]
        assert Cluster(lambda node, command: node.port).execute([("DBSIZE",)]) == [3]

    def test_a_count_that_cannot_be_read_reaches_the_reader(self) -> None:
        assert Cluster(lambda node, command: b"?").execute([self.count]) == [b"?"]


class TestIndexes:
    create = CreateIndex(schema_of(KeySpace.of("n", "r", "e").plain, False, vector_attributes(dims=4)))

    def test_each_shard_gets_one_of_its_own_name(self) -> None:
        cluster = Cluster(lambda node, step: None)
        assert cluster.execute(self.create) is None
        names = {node: step.schema.index.name for node, step in cluster.rounds[0].items()}
        assert names == {node: f"{self.create.schema.index.name}:{{{tag}}}" for node, tag in topology().tags.items()}
        assert self.create.schema.index.name.endswith("DAI"), "the step itself stays as it is"

    def test_with_a_coordinator_there_is_one(self) -> None:
        cluster = Cluster(lambda node, step: None)
        cluster.execute(self.create, topology(has_coordinator=True))
        assert [step.schema.index.name for step in cluster.rounds[0].values()] == [self.create.schema.index.name]

    def test_what_one_shard_says_against_it_is_said(self) -> None:
        refused = ResponseError("no")
        assert Cluster(lambda node, step: refused if node == B else None).execute(self.create) is refused

    def test_a_lost_shard_gets_none_and_is_told_of(self) -> None:
        cluster = Cluster(lambda node, step: GONE if node == B else None)
        assert cluster.execute(self.create) is None
        assert cluster.missing == [B]
        with pytest.raises(StoreUnavailableError, match="gone"):
            Cluster(lambda node, step: GONE).execute(self.create)

    def test_where_the_slot_of_its_name_has_moved_it_gets_another(self) -> None:
        tags = {A: "other", B: topology().tags[B], C: topology().tags[C]}
        now = Topology(1, topology().owners, tags)
        cluster = Cluster(
            lambda node, step: MovedError("1 b:2") if node == A and "other" not in str(step) else None, now
        )
        assert cluster.execute(self.create, topology()) is None
        assert len(cluster.rounds) == 2
        assert cluster.rounds[1][A].schema.index.name.endswith(":{other}")

    def test_dropping_it_needs_every_shard(self) -> None:
        drop = [("FT.DROPINDEX", "i")]
        missing = ResponseError("i: no such index")
        assert Cluster(lambda node, command: missing if node == B else b"OK").execute(drop) == [b"OK"]
        assert Cluster(lambda node, command: missing).execute(drop) == [missing]
        assert Cluster(lambda node, command: GONE if node == B else b"OK").execute(drop) == [GONE]

    def test_one_shard_can_describe_it(self) -> None:
        replies = {A: ResponseError("i: no such index"), B: [b"index_name", b"i"], C: GONE}
        assert Cluster(lambda node, command: replies[node]).execute([("FT.INFO", "i")]) == [replies[B]]


class TestScan:
    def keys_of(self, cluster: Cluster, *, change_at: int | None = None) -> list[bytes]:
        keys: list[bytes] = []
        cursor = b"0"
        for page in range(100):
            if page == change_at:
                cluster.now = topology(cluster.now.version + 1)
            ((cursor, some),) = cluster.execute([("SCAN", int(cursor), "MATCH", b"k*", "COUNT", 10)])
            keys += some
            if cursor == b"0":
                return keys
        raise AssertionError("it does not end")

    @staticmethod
    def pages(node: Node, command: Command) -> Any:
        # Two pages on each shard; the cursor of the second is as long as they get.
        first = command[1] == 0
        return [str(2**64 - 1).encode() if first else b"0", [f"{node.host}{1 if first else 2}".encode()]]

    def test_all_shards_are_gone_through(self) -> None:
        assert self.keys_of(Cluster(self.pages)) == [b"a1", b"a2", b"b1", b"b2", b"c1", b"c2"]

    @pytest.mark.parametrize("change_at", [1, 3, 5])
    def test_it_begins_anew_when_slots_have_moved_meanwhile(self, change_at: int) -> None:
        keys = self.keys_of(Cluster(self.pages), change_at=change_at)
        assert keys[-6:] == [b"a1", b"a2", b"b1", b"b2", b"c1", b"c2"]
        assert len(keys) == 6 + change_at

    def test_also_when_that_is_seen_only_at_the_end(self) -> None:
        cluster = Cluster(self.pages)
        known, cluster.now = cluster.now, topology(1)
        cursor = b"0"
        for _ in range(6):
            ((cursor, _),) = cluster.execute([("SCAN", int(cursor), "MATCH", b"k*")], known)
        assert cursor != b"0"

    def test_it_is_given_up_when_they_move_all_the_time(self) -> None:
        cluster = Cluster(self.pages)
        cursor = b"0"
        with pytest.raises(TransientStoreError, match="keep moving"):
            for version in range(10):
                cluster.now = topology(version)
                ((cursor, _),) = cluster.execute([("SCAN", int(cursor), "MATCH", b"k*")])

    def test_without_one_shard_it_fails(self) -> None:
        with pytest.raises(StoreUnavailableError, match="gone"):
            Cluster(lambda node, command: GONE).execute([("SCAN", 0, "MATCH", b"k*")])
