"""Reads that lack a shard are told of at once, and then together."""

from semcache.redis.cluster.left_out import EVERY_S, LeftOut
from semcache.redis.cluster.topology import Node

A, B = Node("a", 1), Node("b", 2)


def test_the_first_is_told_at_once_and_the_others_once_in_a_while() -> None:
    left_out = LeftOut()
    assert [left_out.count(A, 10 + EVERY_S * part) for part in (0, 0.1, 0.9, 1.0, 1.1, 2.0)] == [1, 0, 0, 3, 0, 2]


def test_each_shard_counts_for_itself() -> None:
    left_out = LeftOut()
    assert [left_out.count(A, 0), left_out.count(B, 0), left_out.count(A, 0)] == [1, 1, 0]
    assert left_out.rest(A) == 1


def test_those_that_are_left_are_told_when_it_is_back_and_the_next_outage_begins_anew() -> None:
    left_out = LeftOut()
    assert [left_out.count(A, 0), left_out.count(A, 0), left_out.count(A, 0)] == [1, 0, 0]
    assert left_out.rest(A) == 2
    assert left_out.rest(A) == 0
    assert left_out.count(A, 0.1) == 1
