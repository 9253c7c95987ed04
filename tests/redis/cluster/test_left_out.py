"""Reads that lack a shard are told of at once, and then together."""

from semcache.events import ShardLeftOut
from semcache.redis.cluster.left_out import EVERY_S, LeftOut


def reads(event: ShardLeftOut | None) -> int:
    """How many reads observers are told of."""
    return 0 if event is None else event.reads


def test_the_first_is_told_at_once_and_the_others_once_in_a_while() -> None:
    left_out = LeftOut()
    told = [left_out.add("a:1", f"E: {part}", 10 + EVERY_S * part) for part in (0, 0.1, 0.9, 1.0, 1.1, 2.0)]
    assert list(map(reads, told)) == [1, 0, 0, 3, 0, 2]
    assert told[3] == ShardLeftOut("a:1", "E: 1.0", 3), "with the latest error"


def test_each_shard_counts_for_itself() -> None:
    left_out = LeftOut()
    assert [reads(left_out.add(node, "E", 0)) for node in ("a:1", "b:2", "a:1")] == [1, 1, 0]
    assert left_out.rest("b:2") is None
    assert left_out.rest("a:1") == ShardLeftOut("a:1", "E", 1)


def test_those_that_are_left_are_told_when_it_is_back_and_the_next_outage_begins_anew() -> None:
    left_out = LeftOut()
    assert [reads(left_out.add("a:1", "E", 0)) for _ in range(3)] == [1, 0, 0]
    assert reads(left_out.rest("a:1")) == 2
    assert left_out.rest("a:1") is None
    assert reads(left_out.add("a:1", "E", 0.1)) == 1
